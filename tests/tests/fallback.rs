//! Does the next model of a list answer where the one before cannot, and only there?

use std::time::{Duration, Instant};

use bytes::Bytes;
use megabrain_bus::{Bus, Call, Frame, FrameStream, Meta, Target};
use megabrain_schemas::{
    Ask, ChatRequest, Codec, ECHO_MIME, EchoRequest, Fault, FaultKind, LegStatus, Media, Message, Name, Policy, Stamp,
};
use megabrain_tests::{Brain, Works, name, presence, signal};
use rustix::process::Signal;

const ECHOES: &str = r#"
[models.first]
actor = "echo"
slots = 1
queue = 0
[models.second]
actor = "echo"
[router]
prefer = { echo = ["first", "second"] }
"#;
const WRITERS: &str = r#"
[models.first]
actor = "llm"
weights = "smollm2-135m"
context = 2048
slots = 1
[models.second]
actor = "llm"
weights = "smollm2-135m"
context = 2048
slots = 1
[router]
answer = ["first", "second"]
prefer = { chat = ["first", "second"] }
"#;
const LIMIT: Duration = Duration::from_secs(60);

fn echo(delay_ms: u64) -> EchoRequest {
    EchoRequest { text: Some("a b c".into()), delay_ms, ..EchoRequest::default() }
}

fn chat(max_tokens: u32) -> ChatRequest {
    ChatRequest {
        messages: vec![Message::user("Write a very long story about the sea.")],
        max_tokens: Some(max_tokens),
        stream: true,
        ..ChatRequest::default()
    }
}

fn kill(brain: &Brain, model: &str) {
    let processes = brain.children(&format!("--name {model} "));
    assert!(!processes.is_empty(), "{model} has no process");
    processes.into_iter().for_each(|process| signal(process, Signal::KILL));
}

/// Who answered an echo that named no model.
async fn answered_by(bus: &Bus, body: &'static str) -> Result<Name, Fault> {
    let answer = bus.call_raw("mb.v1.echo", Bytes::from_static(body.as_bytes()), &Meta::new()).await?;
    let stamp: Stamp = Codec::Json.decode(&answer)?;
    Ok(stamp.model.expect("an answer names its model"))
}

/// The model of every message of a stream, in order, and the fault that ended it, if one did.
async fn read(mut stream: FrameStream) -> (Vec<Name>, Option<Fault>) {
    let mut models = Vec::new();
    while let Some(frame) = stream.next_raw().await {
        match frame {
            Ok((stamp, _)) => models.extend(stamp.model),
            Err(fault) => return (models, Some(fault)),
        }
    }
    (models, None)
}

#[tokio::test]
async fn an_overloaded_or_killed_model_is_passed_over_and_a_wrong_request_is_not() {
    let mut brain = Brain::start(ECHOES).await;
    brain.ready(&["first", "second"], LIMIT).await;
    let bus = brain.client().await;
    assert_eq!(answered_by(&bus, r#"{"text":"x"}"#).await.unwrap(), name("first"));

    // The only place of the first is taken.
    let taken = bus.stream(&Target::Model(name("first")), &echo(60_000), Call::default()).await.unwrap();
    assert_eq!(answered_by(&bus, r#"{"text":"x"}"#).await.unwrap(), name("second"));
    let streamed = EchoRequest { stream: true, ..echo(0) };
    let stream = bus.stream(&Target::Router, &streamed, Call::default()).await.unwrap();
    assert_eq!(read(stream).await, (vec![name("second"); 4], None));
    drop(taken);

    // What is wrong for one is wrong for all: the second is not asked.
    let asked = presence(&bus, "second").await.expect("presence").finished;
    let fault = answered_by(&bus, r#"{"text":5}"#).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{fault}");
    assert_eq!(presence(&bus, "second").await.expect("presence").finished, asked);

    // The first dies with the request: the second does it from the beginning. Then it is down: the second at once.
    let mut works = Works::of(&brain).await;
    let open = {
        let bus = bus.clone();
        tokio::spawn(async move { answered_by(&bus, r#"{"text":"x","delay_ms":500}"#).await })
    };
    works.until(LIMIT, "request at the first", |works| works.count() == 1).await;
    kill(&brain, "first");
    assert_eq!(open.await.unwrap().unwrap(), name("second"));
    brain.ready(&["first"], LIMIT).await;
    kill(&brain, "first");
    assert_eq!(answered_by(&bus, r#"{"text":"x"}"#).await.unwrap(), name("second"));
}

#[tokio::test]
async fn an_attachment_that_one_model_cannot_take_now_goes_to_the_next() {
    let mut brain = Brain::start(ECHOES).await;
    brain.ready(&["first", "second"], LIMIT).await;
    let bus = brain.client().await;
    let asked = async || {
        let media = Media::inline(ECHO_MIME, Codec::MessagePack.encode(&echo(0)).unwrap());
        let ask = Ask { attachments: vec![media], models: Some(Vec::new()), ..Ask::default() };
        let reply = bus.call(&Target::Router, &ask, Call::within(LIMIT)).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.legs.len()), ("a b c", 1), "{:?}", reply.legs);
        reply.legs[0].model.clone().unwrap()
    };
    assert_eq!(asked().await, name("first"));
    let taken = bus.stream(&Target::Model(name("first")), &echo(60_000), Call::default()).await.unwrap();
    assert_eq!(asked().await, name("second"));
    drop(taken);
    kill(&brain, "first");
    assert_eq!(asked().await, name("second"));
}

#[tokio::test]
async fn a_cancel_reaches_the_model_that_was_fallen_back_to() {
    let models =
        ECHOES.replace("[models.second]\nactor = \"echo\"", "[models.second]\nactor = \"echo\"\nslots = 1\nqueue = 0");
    let mut brain = Brain::start(&models).await;
    brain.ready(&["first", "second"], LIMIT).await;
    let bus = brain.client().await;
    let mut works = Works::of(&brain).await;
    let taken = bus.stream(&Target::Model(name("first")), &echo(60_000), Call::default()).await.unwrap();
    let call = Call::default();
    let work = call.meta.work.clone();
    let relayed = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.call(&Target::Router, &echo(60_000), call).await })
    };
    works.until(LIMIT, "request at each", |works| works.count() == 2).await;
    let began = Instant::now();
    bus.cancel(&work);
    let fault = relayed.await.unwrap().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Cancelled, "{fault}");
    works.until(LIMIT, "free second", |works| works.count() == 1).await;
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    // And so does the end of a caller that is dropped.
    let dropped = bus.stream(&Target::Router, &echo(60_000), Call::default()).await.unwrap();
    works.until(LIMIT, "request at each", |works| works.count() == 2).await;
    drop(dropped);
    works.until(LIMIT, "free second", |works| works.count() == 1).await;
    drop(taken);
    works.until(LIMIT, "free first", |works| works.count() == 0).await;
}

#[tokio::test]
async fn language_models_fall_back_before_the_first_frame_and_never_after_it() {
    let mut brain = Brain::start(WRITERS).await;
    brain.ready(&["first", "second"], LIMIT).await;
    let bus = brain.client().await;

    let mut stream = bus.stream(&Target::Router, &chat(1500), Call::within(LIMIT)).await.unwrap();
    let Some(Ok(Frame::Part(stamp, _))) = stream.next::<ChatRequest>().await else { panic!("no first frame") };
    assert_eq!(stamp.model, Some(name("first")));
    kill(&brain, "first");
    // Half an answer of one model is not gone on with by another.
    let (models, fault) = read(stream).await;
    assert_eq!(fault.expect("a fault").kind, FaultKind::WorkerLost);
    assert!(models.iter().all(|model| *model == name("first")), "{models:?}");

    // Now the first is down, and the second is asked from the beginning: for the capability, and by a question.
    let stream = bus.stream(&Target::Router, &chat(4), Call::within(LIMIT)).await.unwrap();
    let (models, fault) = read(stream).await;
    assert_eq!(fault, None);
    assert!(models.len() >= 2 && models.iter().all(|model| *model == name("second")), "{models:?}");
    brain.ready(&["first"], LIMIT).await;
    kill(&brain, "first");
    let ask =
        Ask { text: Some("Hello".into()), policy: Policy::First, max_tokens: Some(4), stream: true, ..Ask::default() };
    let mut stream = bus.stream(&Target::Router, &ask, Call::within(LIMIT)).await.unwrap();
    let (mut deltas, mut end) = (String::new(), None);
    while let Some(frame) = stream.next::<Ask>().await {
        match frame.unwrap() {
            Frame::Part(_, frame) => deltas.extend(frame.delta),
            Frame::End(_, reply) => end = Some(reply),
        }
    }
    let reply = end.expect("no end");
    assert_eq!((reply.model, &reply.text), (Some(name("second")), &deltas));
    let legs: Vec<_> = reply.legs.iter().map(|leg| (leg.model.clone().unwrap(), leg.status.unwrap())).collect();
    assert_eq!(legs, [(name("first"), LegStatus::Failed), (name("second"), LegStatus::Ok)]);
    let kind = reply.legs[0].error.as_ref().expect("why").kind;
    assert!([FaultKind::Unavailable, FaultKind::WorkerLost].contains(&kind), "{kind}");
}
