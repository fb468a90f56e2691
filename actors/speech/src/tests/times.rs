//! When was it said? Times are those of the whole sound, whatever was left out, and words lie within their segment.

use std::ops::Range;

use super::*;

const SECOND: usize = 16_000;

fn heard(samples: Vec<f32>) -> Transcript {
    let sound = Condensed::of(samples, &|| false).unwrap();
    let wish = Wish { language: Some("en"), words: true, ..Wish::default() };
    transcribe_until(&pool(), &sound, wish, &|| false).unwrap()
}

/// Milliseconds from a place in the samples to another.
fn span(samples: Range<usize>) -> (f64, f64) {
    (samples.start as f64 / 16.0, samples.end as f64 / 16.0)
}

#[test]
fn speech_that_is_mostly_silence_is_heard_word_by_word_where_it_is() {
    let question = decode(&media("question.wav")).unwrap();
    let silence = vec![0.0; 25 * SECOND];
    let transcript = heard([&silence[..], &question, &silence, &question, &silence].concat());
    assert_eq!(plain(&transcript.text), [QUESTION; 2].join(" "));
    let first = silence.len()..silence.len() + question.len();
    let second = first.end + silence.len()..first.end + silence.len() + question.len();
    let spans = [span(first), span(second)];
    for segment in &transcript.segments {
        let is_within = |(begin, end): &(f64, f64)| segment.t0_ms >= begin - 200.0 && segment.t1_ms <= end + 200.0;
        assert!(spans.iter().any(is_within), "{} to {} in {spans:?}", segment.t0_ms, segment.t1_ms);
    }
}

#[test]
fn every_word_has_its_time_and_its_probability() {
    let transcript = heard(decode(&media("question.wav")).unwrap());
    let mut last = 0.0;
    for segment in &transcript.segments {
        let words: Vec<&str> = segment.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(words.join(" "), segment.text);
        for word in &segment.words {
            assert!(word.t0_ms >= last && word.t1_ms >= word.t0_ms, "{word:?} after {last}");
            assert!(word.t0_ms >= segment.t0_ms && word.t1_ms <= segment.t1_ms + 1.0, "{word:?} in {segment:?}");
            assert!((0.0..=1.0).contains(&word.confidence), "{word:?}");
            last = word.t0_ms;
        }
    }
    let said: usize = transcript.segments.iter().map(|segment| segment.words.len()).sum();
    assert_eq!(said, QUESTION.split(' ').count());
}

#[test]
fn words_that_nobody_asked_for_are_not_there() {
    let transcript = transcribe(&pool(), &decode(&media("question.wav")).unwrap());
    assert!(transcript.segments.iter().all(|segment| segment.words.is_empty() && segment.confidence.is_some()));
}
