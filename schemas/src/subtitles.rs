//! How do segments become subtitles? SubRip and WebVTT, one cue a segment.

use std::fmt::Write as _;

use crate::Segment;

/// As SubRip has it (`.srt`).
pub(crate) fn srt(segments: &[Segment]) -> String {
    let mut file = String::new();
    for (index, segment) in segments.iter().enumerate() {
        // An arrow within the text would be read as times.
        let text = one_line(&segment.text).replace("-->", "→");
        // Writing to a string cannot fail.
        let _ = writeln!(file, "{}\n{}\n{text}\n", index + 1, times(segment, ','));
    }
    file
}

/// As WebVTT has it (`.vtt`).
pub(crate) fn vtt(segments: &[Segment]) -> String {
    let mut file = String::from("WEBVTT\n\n");
    for segment in segments {
        let text = one_line(&segment.text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(file, "{}\n{text}\n", times(segment, '.'));
    }
    file
}

/// A blank line would end the cue.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn times(segment: &Segment, point: char) -> String {
    let begin = milliseconds(segment.t0_ms);
    // A cue ends after it begins, or players leave it out.
    let end = milliseconds(segment.t1_ms).max(begin.saturating_add(1));
    format!("{} --> {}", clock(begin, point), clock(end, point))
}

/// What is no time is the beginning.
fn milliseconds(time: f64) -> u64 {
    time.round() as u64
}

fn clock(milliseconds: u64, point: char) -> String {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    format!("{:02}:{:02}:{:02}{point}{rest:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(t0_ms: f64, t1_ms: f64, text: &str) -> Segment {
        Segment { t0_ms, t1_ms, text: text.into(), ..Segment::default() }
    }

    #[test]
    fn subrip_counts_its_cues_and_has_a_comma() {
        let file = srt(&[said(0.0, 3200.4, "And so."), said(3_723_004.0, 3_723_004.0, "Over\n\nthere --> here")]);
        assert_eq!(
            file,
            "1\n00:00:00,000 --> 00:00:03,200\nAnd so.\n\n\
             2\n01:02:03,004 --> 01:02:03,005\nOver there → here\n\n"
        );
        assert_eq!(srt(&[]), "");
    }

    #[test]
    fn webvtt_has_a_head_a_point_and_no_tags_of_the_speakers_making() {
        let file = vtt(&[said(59_999.6, 61_000.0, "<b>Q&A</b> --> yes")]);
        assert_eq!(file, "WEBVTT\n\n00:01:00.000 --> 00:01:01.000\n&lt;b&gt;Q&amp;A&lt;/b&gt; --&gt; yes\n\n");
        assert_eq!(vtt(&[]), "WEBVTT\n\n");
    }
}
