//! Does a request that nobody waits for end, and does a brain without limits in the request still have some?

use std::time::{Duration, Instant};

use bytes::Bytes;
use megabrain_bus::{Bus, Call, Target};
use megabrain_schemas::{
    Ask, ChatRequest, EchoRequest, FaultKind, FinishReason, LiveSound, Media, Message, TranscribeRequest,
};
use megabrain_tests::{Brain, media, name, presence};

/// One conversation at a time: whoever comes next begins when the slot is free.
const WRITER: &str = r#"
[models.writer]
actor = "llm"
weights = "smollm2-135m"
context = 2048
slots = 1
queue = 4
"#;
/// One sound at a time.
const LISTENER: &str = r#"
[models.whisper]
actor = "speech"
weights = "whisper-tiny.en"
slots = 1
queue = 4
"#;
const LIMIT: Duration = Duration::from_secs(60);

fn story(max_tokens: Option<u32>) -> ChatRequest {
    ChatRequest {
        messages: vec![Message::user("Write a very long story about the sea.")],
        max_tokens,
        ..ChatRequest::default()
    }
}

/// Asks for a long stream as a plain client, reads its first frame, goes away without a word, and tells how long the
/// slot stays taken.
async fn abandoned(brain: &Brain, bus: &Bus, subject: &str, body: Vec<u8>) -> Duration {
    let gone = brain.client().await;
    let mut inbox = gone.subscribe("_INBOX.gone.1", None).await.unwrap();
    gone.publish(subject, Some("_INBOX.gone.1"), Bytes::from(body)).await.unwrap();
    // The story has begun; of a question, the word that its leg has begun comes before that.
    for _ in 0..3 {
        inbox.next().await.expect("a frame");
    }
    drop(inbox);
    drop(gone);
    let left = Instant::now();
    bus.call(&Target::Model(name("writer")), &story(Some(1)), Call::within(LIMIT)).await.unwrap();
    left.elapsed()
}

#[tokio::test]
async fn a_stream_whose_caller_is_gone_ends_within_a_second_however_it_was_asked() {
    let relayed = format!("{WRITER}[router]\nprefer = {{ chat = [\"writer\"] }}\n");
    let mut brain = Brain::start(&relayed).await;
    brain.ready(&["writer"], LIMIT).await;
    let bus = brain.client().await;
    let chat = serde_json::to_vec(&ChatRequest { stream: true, ..story(Some(1900)) }).unwrap();
    let ask = Ask {
        text: Some("Write a very long story about the sea.".into()),
        max_tokens: Some(1900),
        stream: true,
        ..Ask::default()
    };
    let ask = serde_json::to_vec(&ask).unwrap();
    // What the next one takes for itself.
    let began = Instant::now();
    bus.call(&Target::Model(name("writer")), &story(Some(1)), Call::within(LIMIT)).await.unwrap();
    let own = began.elapsed();
    for (subject, body) in [("mb.v1.chat.writer", &chat), ("mb.v1.chat", &chat), ("mb.v1.ask", &ask)] {
        let took = abandoned(&brain, &bus, subject, body.clone()).await;
        println!("{subject}: the slot is free after {took:?}, {own:?} of it for the next request itself");
        assert!(took < Duration::from_secs(1) + own * 2, "{subject}: {took:?}");
    }
}

#[tokio::test]
async fn live_sound_whose_caller_is_gone_ends_though_nobody_speaks() {
    let mut brain = Brain::start(LISTENER).await;
    brain.ready(&["whisper"], LIMIT).await;
    let (bus, gone) = (brain.client().await, brain.client().await);
    let live = LiveSound { idle_ms: 600_000, ..LiveSound::default() };
    let request = TranscribeRequest { live: Some(live), ..TranscribeRequest::default() };
    let mut inbox = gone.subscribe("_INBOX.gone.2", None).await.unwrap();
    let body = Bytes::from(serde_json::to_vec(&request).unwrap());
    gone.publish("mb.v1.transcribe.whisper", Some("_INBOX.gone.2"), body).await.unwrap();
    inbox.next().await.expect("where to publish");
    drop(inbox);
    drop(gone);
    // It waits until the slot is free.
    let audio = Media::inline("audio/wav", media("question.wav"));
    let request = TranscribeRequest { audio, ..TranscribeRequest::default() };
    bus.call(&Target::Model(name("whisper")), &request, Call::within(LIMIT)).await.unwrap();
}

#[tokio::test]
async fn a_request_without_limits_ends_by_the_brains_own() {
    let models = format!("{WRITER}[models.echo]\nactor = \"echo\"\n");
    let mut brain = Brain::start_as("default_deadline = \"1s\"\ndefault_max_tokens = 5", &models).await;
    brain.ready(&["echo", "writer"], LIMIT).await;
    let bus = brain.client().await;
    let reply = bus.call(&Target::Model(name("writer")), &story(None), Call::default()).await.unwrap();
    assert_eq!((reply.usage.completion_tokens, reply.finish_reason), (5, FinishReason::Length));
    let ask = Ask { text: Some("Write a story about the sea.".into()), ..Ask::default() };
    let reply = bus.call(&Target::Router, &ask, Call::default()).await.unwrap();
    assert_eq!(reply.usage.expect("usage").completion_tokens, 5);

    let long = EchoRequest { text: Some("x".into()), delay_ms: 60_000, ..EchoRequest::default() };
    for target in [Target::Model(name("echo")), Target::Router] {
        let began = Instant::now();
        let fault = bus.call(&target, &long, Call::default()).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::DeadlineExceeded, "{fault}");
        let took = began.elapsed();
        assert!((Duration::from_millis(950)..Duration::from_millis(1500)).contains(&took), "{target:?}: {took:?}");
    }
    let story = Ask { max_tokens: Some(1900), ..ask };
    let began = Instant::now();
    let fault = bus.call(&Target::Router, &story, Call::default()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::DeadlineExceeded, "{fault}");
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    let idle = presence(&bus, "writer").await.expect("presence");
    assert_eq!((idle.in_flight, idle.queued), (0, 0), "the story is still being written");
}
