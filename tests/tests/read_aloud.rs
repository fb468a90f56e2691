//! Does the voice say what it was given? Whisper hears it back; and every way of asking gets the same speech.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_schemas::{AudioFormat, FaultKind, Media, SpeakReply, SpeakRequest, TranscribeReply, TranscribeRequest};
use megabrain_tests::{Brain, name, presence, words, wrong};

/// Without noise the same text sounds the same every time. The bucket holds 2 MiB: a long speech does not fit inline,
/// and fits there.
const BRAIN: &str = r#"
[models.voice]
actor = "voice"
weights = { model = "voice-joe", config = "voice-joe-config" }
noise_scale = 0.0
noise_w = 0.0
max_text = 5000
[models.whisper]
actor = "speech"
weights = "whisper-tiny.en"
"#;
const LOADING: Duration = Duration::from_secs(120);

const SENTENCES: [&str; 8] = [
    "The ship leaves the harbor at seven in the morning.",
    "She asked whether the second train had already arrived.",
    "Please close the window before the rain comes in.",
    "My brother bought three apples and a loaf of bread.",
    "The capital of France is Paris, and it is famous for its museums.",
    "Nobody knew who had written the letter on the table.",
    "Dr. Smith will see you on Monday, won't she?",
    "In winter the lake is frozen; children walk across it to school.",
];

fn request(text: &str) -> SpeakRequest {
    SpeakRequest { text: text.into(), voice: None, speed: None, format: AudioFormat::Wav, stream: false }
}

async fn speak(bus: &Bus, request: &SpeakRequest) -> SpeakReply {
    bus.call(&Target::Router, request, Call::within(LOADING)).await.unwrap()
}

async fn hear(bus: &Bus, audio: Media) -> TranscribeReply {
    let request = TranscribeRequest { audio, language: Some("en".into()), ..TranscribeRequest::default() };
    bus.call(&Target::Router, &request, Call::within(LOADING)).await.unwrap()
}

fn data(media: &Media) -> &[u8] {
    &media.data.as_ref().expect("inline").0
}

/// The samples of a WAV file of ours.
fn samples(media: &Media) -> &[u8] {
    let wav = data(media);
    assert_eq!((&wav[..4], &wav[36..40]), (&b"RIFF"[..], &b"data"[..]));
    &wav[44..]
}

#[tokio::test]
async fn whisper_understands_what_the_voice_says() {
    let mut brain = Brain::start(BRAIN).await;
    brain.ready(&["voice", "whisper"], LOADING).await;
    let bus = brain.client().await;
    let (mut count, mut errors) = (0, 0);
    for sentence in SENTENCES {
        let reply = speak(&bus, &request(sentence)).await;
        let heard = hear(&bus, reply.audio.clone()).await;
        let (said, understood) = (words(sentence), words(&heard.text));
        let wrong = wrong(&said, &understood);
        println!("{wrong} of {} words wrong: {sentence} -> {}", said.len(), heard.text);
        count += said.len();
        errors += wrong;
        assert!(wrong <= 3, "{sentence} was heard as {}", heard.text);
    }
    // The smallest Whisper takes a word for another now and then: "Francis" for "France is".
    assert!(errors * 100 <= count * 10, "{errors} of {count} words were misheard");
}

#[tokio::test]
async fn every_format_and_speed_is_as_long_as_it_says() {
    let mut brain = Brain::start(BRAIN).await;
    brain.ready(&["voice", "whisper"], LOADING).await;
    let bus = brain.client().await;
    let text = "The boat is yours on Friday. Please be there at noon.";
    let wav = speak(&bus, &request(text)).await;
    assert_eq!(samples(&wav.audio).len(), (wav.duration_ms * 22.05 * 2.0).round() as usize);
    for (format, mime) in
        [(AudioFormat::Wav, "audio/wav"), (AudioFormat::Flac, "audio/flac"), (AudioFormat::Opus, "audio/ogg")]
    {
        let reply = speak(&bus, &SpeakRequest { format, ..request(text) }).await;
        assert_eq!(reply.audio.mime.as_deref(), Some(mime));
        assert_eq!(reply.duration_ms, wav.duration_ms, "{format:?}");
        assert_eq!(reply.segments, wav.segments);
        let heard = hear(&bus, reply.audio).await;
        let longer = heard.duration_ms - reply.duration_ms;
        // A decoder may keep the 6.5 ms that Opus begins with and the last packet's padding.
        assert!((-1.0..40.0).contains(&longer), "{format:?}: decoded, it is {longer} ms longer");
        assert!(wrong(&words(text), &words(&heard.text)) <= 2, "{format:?}: {}", heard.text);
    }
    let fast = speak(&bus, &SpeakRequest { speed: Some(2.0), ..request(text) }).await;
    assert!((0.48..0.72).contains(&(fast.duration_ms / wav.duration_ms)), "{} ms", fast.duration_ms);
}

#[tokio::test]
async fn frames_one_after_the_other_are_the_whole() {
    let mut brain = Brain::start(BRAIN).await;
    brain.ready(&["voice"], LOADING).await;
    let bus = brain.client().await;
    let text = "One. Two is longer than one! And three?\n\nA new paragraph ends it.";
    let whole = speak(&bus, &request(text)).await;
    let streamed = SpeakRequest { stream: true, ..request(text) };
    let mut stream = bus.stream(&Target::Router, &streamed, Call::within(LOADING)).await.unwrap();
    let (mut joined, mut said, mut duration_ms, mut end) = (Vec::new(), Vec::new(), 0.0, None);
    while let Some(frame) = stream.next::<SpeakRequest>().await {
        match frame.unwrap() {
            Frame::Part(_, part) => {
                joined.extend_from_slice(samples(&part.audio));
                duration_ms += part.duration_ms;
                said.extend(part.segments);
            }
            Frame::End(stamp, reply) => {
                assert_eq!((stamp.seq, stamp.done), (Some(4), true));
                end = Some(reply);
            }
        }
    }
    let end = end.expect("an end");
    assert!(joined == samples(&whole.audio), "{} bytes joined, {} whole", joined.len(), samples(&whole.audio).len());
    assert_eq!(end, whole);
    assert!((duration_ms - whole.duration_ms).abs() < 0.01);
    assert_eq!(said, whole.segments);
    let texts: Vec<&str> = said.iter().map(|segment| segment.text.as_str()).collect();
    assert_eq!(texts, ["One.", "Two is longer than one!", "And three?", "A new paragraph ends it."]);
    assert!(said.windows(2).all(|pair| (pair[1].t0_ms - pair[0].t1_ms - 200.0).abs() < 0.1), "{said:?}");
}

#[tokio::test]
async fn what_cannot_be_spoken_is_refused_by_name() {
    let mut brain = Brain::start(BRAIN).await;
    brain.ready(&["voice"], LOADING).await;
    let bus = brain.client().await;
    let voice = Target::Model(name("voice"));
    let cases = [
        (request(""), FaultKind::InvalidRequest, "`text`"),
        (request(" \n "), FaultKind::InvalidRequest, "`text`"),
        (request("...?!"), FaultKind::InvalidRequest, "nothing"),
        (request(&"All work. ".repeat(100_000)), FaultKind::TooLarge, "1000000 characters, at most 5000"),
        (SpeakRequest { voice: Some("nobody".into()), ..request("Hi.") }, FaultKind::InvalidRequest, "joe"),
        (SpeakRequest { speed: Some(9.0), ..request("Hi.") }, FaultKind::InvalidRequest, "`speed`"),
        (SpeakRequest { speed: Some(f32::NAN), ..request("Hi.") }, FaultKind::InvalidRequest, "`speed`"),
    ];
    for (request, kind, part) in cases {
        let fault = bus.call(&voice, &request, Call::within(LOADING)).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.contains(part), "{fault}");
    }
    let unknown = Bytes::from_static(br#"{"text":"Hi.","format":"mp3"}"#);
    let answer = bus.request_plain("mb.v1.speak.voice", unknown, LOADING).await.unwrap().expect("an answer");
    let answer = String::from_utf8_lossy(&answer.payload).into_owned();
    assert!(answer.contains("invalid_request") && answer.contains("mp3") && answer.contains("flac"), "{answer}");
    let named = SpeakRequest { voice: Some("joe".into()), ..request("Hi.") };
    bus.call(&voice, &named, Call::within(LOADING)).await.unwrap();
}

#[tokio::test]
async fn a_speech_that_a_message_has_no_room_for_travels_by_reference() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("small.conf");
    let rules = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../nats.conf")).unwrap();
    let small = rules.replace("max_payload: 8MB", "max_payload: 256KB");
    assert_ne!(small, rules);
    std::fs::write(&config, small).unwrap();
    // The harness ends its text within the table of the bus.
    let mut brain = Brain::start(&format!("config = {:?}\n{BRAIN}", config.display().to_string())).await;
    brain.ready(&["voice"], LOADING).await;
    let bus = brain.client().await;
    let short = speak(&bus, &request("Short.")).await;
    let inline = samples(&short.audio).len();
    assert!(inline < 128 << 10, "{inline} bytes inline");
    let text = SENTENCES.join(" ");
    let reply = speak(&bus, &request(&text)).await;
    let blob = reply.audio.blob.clone().expect("a reference");
    assert!(reply.audio.data.is_none());
    let wav = bus.blob_store().await.unwrap().get(&blob, 8 << 20).await.unwrap();
    assert_eq!(wav.len(), 44 + (reply.duration_ms * 22.05).round() as usize * 2);
    // What does not fit into the bucket either, of 2 MiB in the tests, is told as that.
    let fault = bus
        .call(&Target::Router, &SpeakRequest { speed: Some(0.25), ..request(&text) }, Call::within(LOADING))
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Overloaded, "{fault}");
}

#[tokio::test]
async fn a_speech_stops_at_once_when_it_is_cancelled_and_two_are_spoken_side_by_side() {
    let mut brain = Brain::start(BRAIN).await;
    brain.ready(&["voice"], LOADING).await;
    let bus = brain.client().await;
    let voice = Target::Model(name("voice"));
    let long = SpeakRequest { stream: true, ..request(&"And so it goes on and on, word after word. ".repeat(100)) };
    let call = Call::default();
    let work = call.meta.work.clone();
    let mut stream = bus.stream(&voice, &long, call).await.unwrap();
    stream.next::<SpeakRequest>().await.expect("a first frame").unwrap();

    // The other slot is free.
    let began = Instant::now();
    speak(&bus, &request("A short one.")).await;
    println!("a short text beside a long one took {:?}", began.elapsed());
    let presence = presence(&bus, "voice").await.expect("a presence");
    assert_eq!((presence.slots, presence.in_flight), (2, 1));

    let began = Instant::now();
    bus.cancel(&work);
    let fault = loop {
        match stream.next::<SpeakRequest>().await.expect("an end") {
            Ok(Frame::Part(..)) => {}
            Ok(Frame::End(..)) => panic!("it was spoken to its end"),
            Err(fault) => break fault,
        }
    };
    println!("cancelled in {:?}", began.elapsed());
    assert_eq!(fault.kind, FaultKind::Cancelled, "{fault}");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());

    let began = Instant::now();
    let whole = SpeakRequest { stream: false, ..long };
    let fault = bus.call(&voice, &whole, Call::within(Duration::from_millis(300))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::DeadlineExceeded, "{fault}");
    assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
}
