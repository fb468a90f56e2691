//! Long sound: cut in pauses, on one clock, streamed as it is heard.

use std::cell::Cell;
use std::time::Instant;

use super::*;

/// The question `times` over, a second of silence after each.
fn repeated(times: usize) -> (Vec<f32>, f64) {
    let mut once = decode(&media("question.wav")).unwrap();
    once.resize(once.len() + 16_000, 0.0);
    let period_ms = once.len() as f64 / 16.0;
    (once.repeat(times), period_ms)
}

#[test]
fn no_word_is_lost_at_a_cut_and_times_are_of_the_whole_sound() {
    let (samples, period_ms) = repeated(9);
    let transcript = transcribe(&pool(), &samples);
    assert_eq!(plain(&transcript.text), [QUESTION; 9].join(" "));
    let mut last = 0.0;
    for segment in &transcript.segments {
        assert!(segment.t0_ms >= last && segment.t1_ms > segment.t0_ms, "{segment:?} after {last}");
        last = segment.t1_ms;
    }
    assert!(last <= samples.len() as f64 / 16.0, "{last} is past the end");
    // Each question begins where it does, give or take what Whisper calls the begin of a word.
    for nth in 0..9 {
        let begin = period_ms * f64::from(nth);
        let nearest = transcript.segments.iter().map(|s| (s.t0_ms - begin).abs()).fold(f64::MAX, f64::min);
        assert!(nearest < 2_500.0, "nothing begins near {begin} ms: {:?}", transcript.segments);
    }
}

#[test]
fn segments_come_before_the_end_of_the_work() {
    let (samples, _) = repeated(9);
    let (pool, cores, sound) = (pool(), Cores::new(1), Condensed::whole(samples));
    let task = Task {
        sound: &sound,
        wish: Wish::default(),
        limits: &LIMITS,
        pool: &pool,
        cores: &cores,
        is_due: &|| false,
        is_patient: false,
    };
    let (first, began, mut emitted) = (Cell::new(None), Instant::now(), 0);
    let transcript = crate::transcribe::transcribe(&task, &mut |_| {
        emitted += 1;
        first.set(first.get().or(Some(began.elapsed())));
    })
    .unwrap();
    assert_eq!(emitted, transcript.segments.len());
    assert!(first.get().unwrap() < began.elapsed() * 2 / 3, "the first after {:?}", first.get());
}

#[test]
fn a_silent_stretch_is_not_given_to_the_model() {
    let mut samples = decode(&media("question.wav")).unwrap();
    samples.resize(200 * 16_000, 0.0);
    let transcript = transcribe(&pool(), &samples);
    assert_eq!(plain(&transcript.text), QUESTION);
}

#[test]
fn a_sound_shorter_than_a_syllable_is_no_fault() {
    let transcript = transcribe(&pool(), &tone(16_000, 1, 0.05));
    assert_eq!((transcript.text.as_str(), transcript.language), ("", Some("en")));
}

#[test]
fn where_nobody_speaks_nothing_is_said() {
    let mut seed = 1_u32;
    let noise: Vec<f32> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / f32::from(u16::MAX) / 256.0 * 0.04 - 0.02
    })
    .take(6 * 16_000)
    .collect();
    assert!(!LIMITS.is_silent(&noise));
    let transcript = transcribe(&pool(), &noise);
    assert_eq!((transcript.text.as_str(), transcript.segments.len()), ("", 0));
}
