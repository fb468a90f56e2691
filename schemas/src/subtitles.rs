//! How do segments become subtitles? SubRip and WebVTT, in cues that can be read.

use std::fmt::Write as _;

use crate::Segment;

/// Letters of a line, give or take a word, and lines of a cue: as Netflix' Timed Text Style Guide has it for most languages.
const LINE: usize = 42;
const LINES: usize = 2;

/// What is shown at once.
struct Cue {
    t0_ms: f64,
    t1_ms: f64,
    text: String,
}

/// As SubRip has it (`.srt`).
pub(crate) fn srt(segments: &[Segment]) -> String {
    let mut file = String::new();
    for (index, cue) in segments.iter().flat_map(cues).enumerate() {
        // An arrow within the text would be read as times.
        let text = cue.text.replace("-->", "→");
        // Writing to a string cannot fail.
        let _ = writeln!(file, "{}\n{}\n{text}\n", index + 1, times(&cue, ','));
    }
    file
}

/// As WebVTT has it (`.vtt`).
pub(crate) fn vtt(segments: &[Segment]) -> String {
    let mut file = String::from("WEBVTT\n\n");
    for cue in segments.iter().flat_map(cues) {
        let text = cue.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(file, "{}\n{text}\n", times(&cue, '.'));
    }
    file
}

/// A segment as one cue or, where that would be too long, as several.
fn cues(segment: &Segment) -> Vec<Cue> {
    let mut cues: Vec<Cue> = Vec::new();
    for word in words(segment) {
        match cues.last_mut().filter(|cue| has_room(&cue.text, &word.text)) {
            Some(cue) => {
                cue.text.push_str(&word.text);
                cue.t1_ms = word.t1_ms;
            }
            None => cues.push(word),
        }
    }
    for cue in &mut cues {
        cue.text = in_two_lines(cue.text.trim());
    }
    // The speech of a segment may begin before its first word's time, and end after its last.
    if let Some(first) = cues.first_mut() {
        first.t0_ms = segment.t0_ms;
    }
    if let Some(last) = cues.last_mut() {
        last.t1_ms = segment.t1_ms;
    }
    cues
}

/// True if a cue goes on with a word: until it is full, or has more than a line and its sentence ends.
fn has_room(text: &str, word: &str) -> bool {
    let is_enough = ends_sentence(text) && letters(text) > LINE;
    !is_enough && letters(text) + letters(word.trim_end()) <= LINE * LINES
}

fn ends_sentence(text: &str) -> bool {
    text.trim_end().ends_with(['.', '?', '!', '。', '？', '！'])
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

/// The words of a segment with the blank that follows each, and their times: as they were heard, or in proportion to their
/// letters.
fn words(segment: &Segment) -> Vec<Cue> {
    // A blank line would end the cue.
    let text = segment.text.split_whitespace().collect::<Vec<_>>().join(" ");
    timed(segment, &text).unwrap_or_else(|| {
        let per_letter = (segment.t1_ms - segment.t0_ms) / text.len().max(1) as f64;
        let mut end = segment.t0_ms;
        let timed = |word: &str| {
            let begin = end;
            end += per_letter * word.len() as f64;
            Cue { t0_ms: begin, t1_ms: end, text: word.to_owned() }
        };
        text.split_inclusive(' ').map(timed).collect()
    })
}

/// `None` if the words were not asked for, or are not those of the text.
fn timed(segment: &Segment, text: &str) -> Option<Vec<Cue>> {
    let mut rest = text;
    let cues = segment.words.iter().map(|word| {
        rest = rest.strip_prefix(word.text.as_str())?;
        let after = rest.trim_start();
        let blank = if after.len() < rest.len() { " " } else { "" };
        rest = after;
        Some(Cue { t0_ms: word.t0_ms, t1_ms: word.t1_ms, text: format!("{}{blank}", word.text) })
    });
    let cues: Vec<Cue> = cues.collect::<Option<_>>()?;
    (!cues.is_empty() && rest.is_empty()).then_some(cues)
}

/// A text that is too long for one line, broken at the blank that is nearest to its middle.
fn in_two_lines(text: &str) -> String {
    let middle = text.len() / 2;
    let blank = text.match_indices(' ').map(|(at, _)| at).min_by_key(|at| at.abs_diff(middle));
    match blank.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))) {
        Some((first, second)) if text.chars().count() > LINE => format!("{first}\n{second}"),
        _ => text.to_owned(),
    }
}

fn times(cue: &Cue, point: char) -> String {
    let begin = milliseconds(cue.t0_ms);
    // A cue ends after it begins, or players leave it out.
    let end = milliseconds(cue.t1_ms).max(begin.saturating_add(1));
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

    const LONG: &str = "In winter the lake is frozen, and children walk across it to school. In summer there is a \
                        boat, which the teacher rows when the wind is not too strong, and then all are late.";

    #[test]
    fn a_long_segment_is_several_cues_of_two_lines_with_times_in_proportion() {
        let cues = cues(&said(1000.0, 18_000.0, LONG));
        let told: Vec<_> = cues.iter().map(|cue| cue.text.as_str()).collect();
        assert_eq!(
            told,
            [
                "In winter the lake is frozen, and\nchildren walk across it to school.",
                "In summer there is a boat, which the teacher\nrows when the wind is not too strong,",
                "and then all are late.",
            ]
        );
        let times: Vec<_> = cues.iter().map(|cue| (cue.t0_ms, cue.t1_ms)).collect();
        assert_eq!(times.first().map(|(begin, _)| *begin), Some(1000.0));
        assert_eq!(times.last().map(|(_, end)| *end), Some(18_000.0));
        assert!(times.windows(2).all(|pair| matches!(pair, [(_, end), (begin, _)] if end == begin)), "{times:?}");
    }

    #[test]
    fn where_words_have_times_the_cues_have_them() {
        let word = |(at, text): (usize, &str)| crate::Word {
            t0_ms: 1000.0 + 100.0 * at as f64,
            t1_ms: 1090.0 + 100.0 * at as f64,
            text: text.into(),
            confidence: 0.9,
        };
        let words = LONG.split(' ').enumerate().map(word).collect();
        let cues = cues(&Segment { words, ..said(900.0, 9000.0, LONG) });
        let times: Vec<_> = cues.iter().map(|cue| (cue.t0_ms, cue.t1_ms)).collect();
        assert_eq!(times, [(900.0, 2290.0), (2300.0, 3990.0), (4000.0, 9000.0)]);
    }

    #[test]
    fn writing_without_blanks_is_cut_between_its_words() {
        let text = "你好".repeat(60);
        let word =
            |at: usize| crate::Word {
                t0_ms: at as f64, t1_ms: at as f64 + 1.0, text: "你好".into(), confidence: 0.9
            };
        let cues = cues(&Segment { words: (0..60).map(word).collect(), ..said(0.0, 60.0, &text) });
        assert_eq!(cues.iter().map(|cue| cue.text.chars().count()).collect::<Vec<_>>(), [84, 36]);
    }
}
