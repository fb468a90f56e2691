//! Is sound that cannot be heard refused with a word on what is wrong, and does Whisper live on?

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use megabrain_bus::{Call, Target};
use megabrain_schemas::{Ask, FaultKind, Media, Name, TranscribeRequest};
use megabrain_tests::{Brain, media, name, presence};

const WHISPER: &str = "[models.whisper]\nactor = \"speech\"\nweights = \"whisper-tiny.en\"\n";
const LIMIT: Duration = Duration::from_secs(60);

fn transcribe(audio: Media) -> TranscribeRequest {
    TranscribeRequest { audio, ..TranscribeRequest::default() }
}

/// A WAV file: its format's code, rate, bits a sample, bytes a block, what follows in the format, and its data.
fn wav(code: u16, rate: u32, bits: u16, block: u16, extra: &[u8], data: &[u8]) -> Vec<u8> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let mut format = Vec::new();
    format.extend(code.to_le_bytes());
    format.extend(1_u16.to_le_bytes());
    format.extend(rate.to_le_bytes());
    format.extend((rate * u32::from(bits) / 8).to_le_bytes());
    format.extend(block.to_le_bytes());
    format.extend(bits.to_le_bytes());
    format.extend(extra);
    let chunks = [b"WAVEfmt ", &size(&format)[..], &format, b"data", &size(data), data].concat();
    [b"RIFF", &size(&chunks)[..], &chunks].concat()
}

/// Three hours of IMA ADPCM, four bits a sample: a real sound, small enough for one message.
fn three_hours() -> Vec<u8> {
    const RATE: u32 = 1000;
    const BLOCK: u16 = 256;
    let samples_in_block = (BLOCK - 4) * 2 + 1;
    let blocks = 3 * 3600 * RATE / u32::from(samples_in_block) + 1;
    // Each block: first sample, step, and nibbles that swing.
    let block: Vec<u8> = [0, 0, 40, 0].into_iter().chain(std::iter::repeat_n(0x7f, usize::from(BLOCK) - 4)).collect();
    let extra = [2_u16.to_le_bytes(), samples_in_block.to_le_bytes()].concat();
    wav(0x11, RATE, 4, BLOCK, &extra, &block.repeat(blocks as usize))
}

#[tokio::test]
async fn sound_that_cannot_be_heard_is_refused_by_name_and_whisper_lives_on() {
    let mut brain = Brain::start(WHISPER).await;
    brain.ready(&["whisper"], LIMIT).await;
    let bus = brain.client().await;
    let clip = media("question.wav");
    let mut corrupt = media("question.flac");
    corrupt[8..400].fill(0xff);
    let cases: [(&str, Vec<u8>, FaultKind, &[&str]); 7] = [
        ("nothing", vec![], FaultKind::InvalidRequest, &["empty"]),
        ("no sound", b"This is text.".to_vec(), FaultKind::InvalidRequest, &["not a sound"]),
        ("a header alone", clip[..44].to_vec(), FaultKind::InvalidRequest, &["sound"]),
        ("damaged", corrupt, FaultKind::InvalidRequest, &["sound"]),
        ("zero length", wav(1, 16_000, 16, 2, &[], &[]), FaultKind::InvalidRequest, &["no samples"]),
        ("silent", wav(1, 16_000, 16, 2, &[], &[0; 32_000]), FaultKind::InvalidRequest, &["silent"]),
        ("three hours", three_hours(), FaultKind::TooLarge, &["3h", "1h"]),
    ];
    for (what, sound, kind, words) in cases {
        let audio = Media::inline("audio/wav", sound);
        let began = Instant::now();
        let fault = bus
            .call(&Target::Model(name("whisper")), &transcribe(audio.clone()), Call::within(LIMIT))
            .await
            .unwrap_err();
        println!("{what}: {fault} ({:?})", began.elapsed());
        assert_eq!(fault.kind, kind, "{what}: {fault}");
        assert!(words.iter().all(|word| fault.message.contains(word)), "{what}: {words:?} in {fault}");
        // In a question, the fault names the attachment.
        let ask = Ask { attachments: vec![audio], models: Some(Vec::<Name>::new()), ..Ask::default() };
        let fault = bus.call(&Target::Router, &ask, Call::within(LIMIT)).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{what}: {fault}");
        assert!(fault.message.contains("attachment") && fault.message.contains(words[0]), "{what}: {fault}");
    }
    let heard = bus
        .call(&Target::Model(name("whisper")), &transcribe(Media::inline("audio/wav", clip)), Call::within(LIMIT))
        .await
        .unwrap();
    assert!(heard.text.to_lowercase().contains("capital of france"), "{}", heard.text);
    assert_eq!(presence(&bus, "whisper").await.expect("presence").restarts, 0);
}
