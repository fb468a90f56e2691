//! Temporary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use std::time::{Duration, Instant};

use megabrain_bus::{Call, Target};
use megabrain_schemas::{FaultKind, Media, TranscribeRequest};
use megabrain_tests::{Brain, media, name};

#[tokio::test]
async fn measure() {
    let mut brain = Brain::start("[models.whisper]\nactor = \"speech\"\nweights = \"whisper-tiny.en\"\n").await;
    brain.ready(&["whisper"], Duration::from_secs(60)).await;
    let bus = brain.client().await;
    let audio = Media::inline("audio/ogg", media("question-opus.ogg").repeat(24));
    let request =
        TranscribeRequest { model: None, audio, language: None, stream: false, deadline_ms: None, work: None };
    let load: usize = std::env::var("LOAD").unwrap_or_default().parse().unwrap_or(0);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let threads: Vec<_> = (0..load)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || while !stop.load(std::sync::atomic::Ordering::Relaxed) {})
        })
        .collect();
    let mut took = Vec::new();
    for number in 0..12 {
        let call = Call::default();
        let work = call.meta.work.clone();
        let handle = {
            let (bus, request) = (bus.clone(), request.clone());
            tokio::spawn(async move { bus.call(&Target::Model(name("whisper")), &request, call).await })
        };
        tokio::time::sleep(Duration::from_millis(900 + number * 37)).await;
        let began = Instant::now();
        bus.cancel(&work);
        let fault = handle.await.unwrap().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Cancelled);
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    took.sort_by(f64::total_cmp);
    println!("LOAD {load}: cancel to answer, ms: {took:.1?}");
}
