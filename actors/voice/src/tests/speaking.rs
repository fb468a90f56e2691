//! A sentence sounds like one: as long as it should be, as loud as can be, the same again.

use std::thread;
use std::time::{Duration, Instant};

use super::*;

const SENTENCE: &str = "The quick brown fox jumps over the lazy dog.";

fn seconds(samples: &[i16]) -> f64 {
    samples.len() as f64 / 22_050.0
}

#[test]
fn a_sentence_takes_its_time_and_is_loud() {
    let samples = Speaker::new().say(SENTENCE, 1.0).unwrap();
    assert!((1.5..5.0).contains(&seconds(&samples)), "{} s", seconds(&samples));
    assert_eq!(samples.iter().map(|sample| sample.unsigned_abs()).max(), Some(i16::MAX.unsigned_abs()));
    let loudness = (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64).sqrt();
    assert!((1000.0..12_000.0).contains(&loudness), "rms {loudness}");
}

#[test]
fn speed_is_in_the_length() {
    let mut speaker = Speaker::new();
    let own = seconds(&speaker.say(SENTENCE, 1.0).unwrap());
    // A model counts whole frames for each phoneme: they do not get four times as many, or as few.
    for (speed, range) in [(0.25, 2.9..4.2), (0.5, 1.6..2.1), (2.0, 0.48..0.7), (4.0, 0.24..0.55)] {
        let ratio = seconds(&speaker.say(SENTENCE, speed).unwrap()) / own;
        assert!(range.contains(&ratio), "speed {speed}: {ratio} times as long");
    }
}

#[test]
fn without_noise_the_same_is_said_twice() {
    let mut speaker = Speaker::new();
    assert_eq!(speaker.say(SENTENCE, 1.0), speaker.say(SENTENCE, 1.0));
    assert_ne!(speaker.say(SENTENCE, 1.0), speaker.say("Something else.", 1.0));
}

#[test]
fn a_brake_stops_the_model_within_a_sentence() {
    let mut speaker = Speaker::new();
    let long = "word and ".repeat(30);
    let phonemes = speaker.reader.read(&long, &|| false).unwrap().unwrap();
    let began = Instant::now();
    let manner = speaker.manner;
    speaker.synthesizer.speak(&phonemes, &manner, &Brake::new(&speaker.runtime).unwrap()).unwrap();
    let whole = began.elapsed();
    for share in [4, 2] {
        let brake = Brake::new(&speaker.runtime).unwrap();
        let puller = brake.clone();
        let wait = whole / share;
        let pulled = thread::spawn(move || {
            thread::sleep(wait);
            puller.pull();
            Instant::now()
        });
        let outcome = speaker.synthesizer.speak(&phonemes, &manner, &brake);
        let late = pulled.join().unwrap().elapsed();
        assert!(matches!(outcome, Err(Stop::Interrupted)), "{outcome:?} after {whole:?}");
        println!("stopped {late:?} after the brake was pulled, the whole takes {whole:?}");
        assert!(late < Duration::from_millis(500).min(whole), "{late:?} of {whole:?}");
    }
    assert!(speaker.say(SENTENCE, 1.0).is_some(), "it speaks on afterwards");
}
