//! Does the main job work on real input? A spoken question, two language models, one joined answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use megabrain_bus::{Call, Frame, Target};
use megabrain_schemas::{Ask, ChatRequest, FaultKind, LegStatus, Media, Message, Modality, Policy, TranscribeRequest};
use megabrain_tests::{Brain, STARTER, media, name, presence};

const LOADING: Duration = Duration::from_secs(120);

fn spoken(policy: Policy, stream: bool) -> Ask {
    Ask {
        attachments: vec![Media::inline("audio/wav", media("question.wav"))],
        policy,
        stream,
        max_tokens: Some(24),
        temperature: Some(0.0),
        ..Ask::default()
    }
}

#[tokio::test]
async fn a_spoken_question_is_heard_and_answered_by_both_models() {
    let mut brain = Brain::start(STARTER).await;
    brain.ready(&["fast", "deep", "whisper"], LOADING).await;
    let bus = brain.client().await;

    let reply = bus.call(&Target::Router, &spoken(Policy::All, false), Call::within(LOADING)).await.unwrap();
    let heard: String = reply.evidence.iter().map(|item| item.text.to_lowercase()).collect::<Vec<_>>().join(" ");
    assert!(heard.contains("capital of france"), "{heard}");
    assert!(reply.evidence.iter().all(|item| item.modality == Modality::Audio && item.t0_ms < item.t1_ms));
    let answered: Vec<&str> = reply.answers.iter().map(|answer| answer.model.as_str()).collect();
    assert_eq!(answered, ["deep", "fast"]);
    assert!(reply.answers.iter().all(|answer| !answer.text.is_empty() && answer.usage.completion_tokens > 0));
    assert!(reply.answers.iter().any(|answer| answer.text.contains("Paris")), "{:?}", reply.answers);
    assert_eq!(reply.legs.len(), 3);
    assert!(reply.legs.iter().all(|leg| leg.status == Some(LegStatus::Ok)), "{:?}", reply.legs);

    // Streamed, the same comes in numbered frames, and the deltas add up to the answers.
    let mut stream = bus.stream(&Target::Router, &spoken(Policy::All, true), Call::within(LOADING)).await.unwrap();
    let (mut deltas, mut evidence, mut end) = (std::collections::BTreeMap::<_, String>::new(), 0, None);
    while let Some(frame) = stream.next::<Ask>().await {
        match frame.unwrap() {
            Frame::Part(_, frame) => {
                evidence += usize::from(frame.evidence.is_some());
                if let (Some(delta), Some(model)) = (frame.delta, frame.model) {
                    deltas.entry(model).or_default().push_str(&delta);
                }
            }
            Frame::End(stamp, reply) => {
                assert!(stamp.done);
                end = Some(reply);
            }
        }
    }
    let end = end.expect("no end");
    assert_eq!(evidence, end.evidence.len());
    for answer in &end.answers {
        assert_eq!(deltas[&answer.model], answer.text);
    }
}

#[tokio::test]
async fn the_next_model_answers_where_the_first_cannot_and_a_stream_without_a_reader_frees_its_slot() {
    let broken = format!("{STARTER}\n[models.broken]\nactor = \"llm\"\nweights = \"/nonexistent.gguf\"\n");
    let mut brain = Brain::start(&broken).await;
    brain.ready(&["fast", "whisper"], LOADING).await;
    let bus = brain.client().await;
    brain.until(LOADING, "broken to be down", |brain| brain.log().contains("cannot be prepared")).await;
    let models = Some(vec![name("broken"), name("fast")]);
    let ask = Ask { text: Some("Hello".into()), models, max_tokens: Some(4), ..Ask::default() };
    let reply = bus.call(&Target::Router, &ask, Call::within(LOADING)).await.unwrap();
    assert_eq!(reply.model, Some(name("fast")));
    assert_eq!(reply.legs[0].status, Some(LegStatus::Failed));
    assert_eq!(reply.legs[0].error.as_ref().unwrap().kind, FaultKind::Unavailable);

    // A plain client asks for a long stream and goes away without a word.
    let gone = brain.client().await;
    let mut inbox = gone.subscribe("_INBOX.gone.1", None).await.unwrap();
    let chat = ChatRequest {
        messages: vec![Message::user("Count from one to one thousand, slowly.")],
        max_tokens: Some(3000),
        stream: true,
        ..ChatRequest::default()
    };
    let body = serde_json::to_vec(&chat).unwrap();
    gone.publish("mb.v1.chat.fast", Some("_INBOX.gone.1"), body.into()).await.unwrap();
    assert!(inbox.next().await.is_some(), "no first frame");
    drop(inbox);
    drop(gone);
    let end = Instant::now() + Duration::from_secs(4);
    while presence(&bus, "fast").await.is_none_or(|presence| presence.in_flight > 0) {
        assert!(Instant::now() < end, "the slot is still taken");
    }
}

#[tokio::test]
async fn a_running_answer_and_a_running_transcription_stop_at_once_when_cancelled() {
    let mut brain = Brain::start(STARTER).await;
    brain.ready(&["deep", "whisper"], LOADING).await;
    let bus = brain.client().await;
    let call = Call::default();
    let work = call.meta.work.clone();
    let chat = ChatRequest {
        messages: vec![Message::user("Tell me everything about Rome.")],
        max_tokens: Some(2000),
        stream: true,
        ..ChatRequest::default()
    };
    let mut stream = bus.stream(&Target::Model(name("deep")), &chat, call).await.unwrap();
    stream.next::<ChatRequest>().await.expect("a first frame").unwrap();
    let began = Instant::now();
    bus.cancel(&work);
    let fault = loop {
        match stream.next::<ChatRequest>().await.expect("an end") {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, FaultKind::Cancelled, "{fault}");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());

    let audio = Media::inline("audio/wav", media("question.wav"));
    let request = TranscribeRequest { audio, ..TranscribeRequest::default() };
    let began = Instant::now();
    let fault =
        bus.call(&Target::Model(name("whisper")), &request, Call::within(Duration::from_millis(60))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::DeadlineExceeded, "{fault}");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    let reply = bus.call(&Target::Model(name("whisper")), &request, Call::within(LOADING)).await.unwrap();
    assert!(reply.text.to_lowercase().contains("capital of france"), "{}", reply.text);
}
