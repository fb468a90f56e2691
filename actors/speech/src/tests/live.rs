//! Live sound: partial segments while somebody speaks, final ones when they pause, and nothing is lost on the way.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use megabrain_schemas::{LiveSound, TranscribeFrame};

use super::*;
use crate::ears::Ears;
use crate::inbox::Inbox;
use crate::live::{LiveTask, follow};

const TENTH: usize = 1600;

/// Publishes samples as fast as they are spoken, and then the end.
fn speak(inbox: Arc<Inbox>, samples: Vec<f32>) -> thread::JoinHandle<Instant> {
    thread::spawn(move || {
        let began = Instant::now();
        for (part, at) in samples.chunks(TENTH).zip(1..) {
            let bytes: Vec<u8> = part.iter().flat_map(|sample| ((sample * 32767.0) as i16).to_le_bytes()).collect();
            thread::sleep((began + Duration::from_millis(100) * at).saturating_duration_since(Instant::now()));
            inbox.put(Bytes::from(bytes));
        }
        inbox.put(Bytes::new());
        Instant::now()
    })
}

#[test]
fn speech_is_heard_in_part_while_it_goes_on_and_whole_when_it_has_ended() {
    let mut samples = decode(&media("question.wav")).unwrap();
    samples.resize(samples.len() + 2 * 16_000, 0.0);
    let length = samples.len();
    let inbox = Arc::new(Inbox::new(16_000));
    let ears = Ears::new(&LiveSound::default(), inbox.clone(), &LIMITS).unwrap();
    let (pool, cores) = (pool(), Cores::new(1));
    let wish = Wish { language: Some("en"), ..Wish::default() };
    let task = LiveTask { wish, pool: &pool, cores: &cores, is_due: &|| false };
    let speaker = speak(inbox, samples);
    let mut frames: Vec<TranscribeFrame> = Vec::new();
    let (transcript, heard) = follow(&task, ears, &mut |frame| frames.push(frame)).unwrap();
    speaker.join().unwrap();

    assert_eq!(plain(&transcript.text), QUESTION);
    assert_eq!(heard, crate::collect::duration(length));
    let (partial, last): (Vec<_>, Vec<_>) = frames.iter().partition(|frame| frame.partial);
    assert!(!partial.is_empty(), "{frames:?}");
    let first = frames.iter().find(|frame| frame.segment.is_some()).unwrap();
    assert!(first.partial, "speech goes on for more than a second before it ends");
    let last: Vec<_> = last.into_iter().filter_map(|frame| frame.segment.clone()).collect();
    assert_eq!(last, transcript.segments, "what is final is what is answered");
    let first = &transcript.segments[0];
    assert!(first.t0_ms < 1_000.0 && first.t1_ms <= 7_000.0, "{first:?}");
}

#[test]
fn a_caller_who_is_silent_is_sent_a_frame_now_and_then() {
    let (pool, cores) = (pool(), Cores::new(1));
    let live = LiveSound { idle_ms: 2_500, ..LiveSound::default() };
    let ears = Ears::new(&live, Arc::new(Inbox::new(16_000)), &LIMITS).unwrap();
    let task = LiveTask { wish: Wish::default(), pool: &pool, cores: &cores, is_due: &|| false };
    let mut frames = Vec::new();
    follow(&task, ears, &mut |frame| frames.push(frame)).unwrap();
    assert!((1..=2).contains(&frames.len()), "{frames:?}");
    assert!(frames.iter().all(|frame| *frame == TranscribeFrame::default()), "{frames:?}");
}

#[test]
fn live_sound_that_nobody_wants_any_more_ends_at_once() {
    let inbox = Arc::new(Inbox::new(16_000));
    let ears = Ears::new(&LiveSound::default(), inbox, &LIMITS).unwrap();
    let (pool, cores, began) = (pool(), Cores::new(1), Instant::now());
    let is_due = || began.elapsed() > Duration::from_millis(200);
    let task = LiveTask { wish: Wish::default(), pool: &pool, cores: &cores, is_due: &is_due };
    let outcome = follow(&task, ears, &mut |_| {});
    assert!(matches!(outcome, Err(Stop::Interrupted)), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
}
