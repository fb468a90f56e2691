//! Does a language model with eyes take pictures? In a conversation, as `see`, and by the router's choice. Its projector
//! is a toy that names eight colours (`models/make_colour_projector.py`); the way that a picture takes is the real one.

use std::time::Duration;

use futures::future::join_all;
use megabrain_bus::{Bus, Call, Target};
use megabrain_schemas::{Ask, ChatRequest, FaultKind, LegStatus, Media, Message, Name, SeeRequest, SeeTask};
use megabrain_tests::{Brain, EYES, SEEING, media, name};

const LOADING: Duration = Duration::from_secs(120);
const QUESTION: &str = "What is the colour of the image? Answer with one word.";

async fn brain(models: &str, ready: &[&str]) -> (Brain, Bus) {
    let mut brain = Brain::start(models).await;
    brain.ready(ready, LOADING).await;
    let bus = brain.client().await;
    (brain, bus)
}

/// A picture of one colour: blue, green, red, as the format has them.
fn bmp(colour: [u8; 3], width: u32, height: u32) -> Media {
    let row = (width * 3).next_multiple_of(4);
    let mut bytes = b"BM".to_vec();
    for number in [54 + row * height, 0, 54, 40, width, height, 1 | 24 << 16, 0, row * height, 2835, 2835, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    for _ in 0..height {
        let mut line = colour.repeat(width as usize);
        line.resize(row as usize, 0);
        bytes.extend(line);
    }
    Media::inline("image/bmp", bytes)
}

fn red() -> Media {
    bmp([0, 0, 255], 90, 90)
}

fn blue() -> Media {
    bmp([255, 0, 0], 90, 90)
}

fn chat(images: Vec<Media>) -> ChatRequest {
    let messages = vec![Message { images, ..Message::user(QUESTION) }];
    ChatRequest { messages, max_tokens: Some(24), temperature: Some(0.0), ..ChatRequest::default() }
}

fn see(images: Vec<Media>, tasks: Option<Vec<SeeTask>>) -> SeeRequest {
    SeeRequest { images, tasks, prompt: Some(QUESTION.into()), top_k: None }
}

#[tokio::test]
async fn pictures_of_a_conversation_are_seen_inline_and_by_reference() {
    let (_brain, bus) = brain(SEEING, &["writer"]).await;
    let blob = bus.blob_store().await.unwrap().put(&blue().data.unwrap().0).await.unwrap();
    let by_reference = Media::by_reference(None, blob);
    let target = Target::Model(name("writer"));
    let (bus, target) = (&bus, &target);
    let say = |images: Vec<Media>| async move {
        let reply = bus.call(target, &chat(images), Call::within(LOADING)).await.unwrap();
        (reply.message.unwrap().content.to_lowercase(), reply.usage.prompt_tokens)
    };
    // At the same time, so that they are read and answered side by side.
    let said = join_all([say(vec![red()]), say(vec![by_reference]), say(vec![])]).await;
    assert!(said[0].0.contains("red") && said[1].0.contains("blue"), "{said:?}");
    assert!(said[0].1 >= said[2].1 + 9, "a picture's tokens count: {said:?}");
}

#[tokio::test]
async fn bad_pictures_are_refused_by_their_place_and_the_model_answers_on() {
    let (brain, bus) = brain(SEEING, &["writer"]).await;
    let pid = brain.children("megabrain-llm --name");
    let target = Target::Model(name("writer"));
    let mut cut = red();
    cut.data.as_mut().unwrap().0.truncate(500);
    let cases = [
        (cut, FaultKind::InvalidRequest),
        (Media::inline("image/png", media("question.wav")), FaultKind::InvalidRequest),
        (bmp([0; 3], 3, 3), FaultKind::InvalidRequest),
        (bmp([0; 3], 1001, 1000), FaultKind::TooLarge),
        (bmp([0; 3], 1700, 8), FaultKind::InvalidRequest),
    ];
    for (bad, kind) in cases {
        let fault = bus.call(&target, &chat(vec![red(), bad.clone()]), Call::within(LOADING)).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.contains("messages[0].images[1]"), "{fault}");
        let fault = bus.call(&target, &see(vec![red(), bad], None), Call::within(LOADING)).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.contains("images[1]"), "{fault}");
    }
    for (count, word) in [(60, "tokens"), (65, "images")] {
        let many = bus.call(&target, &chat(vec![red(); count]), Call::within(LOADING)).await.unwrap_err();
        assert!(many.kind == FaultKind::InvalidRequest && many.message.contains(word), "{many}");
    }
    let fault = bus.call(&target, &see(vec![red()], Some(vec![SeeTask::Read])), Call::within(LOADING)).await;
    assert!(fault.unwrap_err().message.contains("cannot read"));
    assert!(bus.call(&target, &chat(vec![red()]), Call::within(LOADING)).await.is_ok());
    assert_eq!(brain.children("megabrain-llm --name"), pid, "the process is the same");
}

#[tokio::test]
async fn a_description_is_by_the_model_that_writes_and_the_rest_by_the_eyes() {
    let models = format!("{SEEING}{EYES}");
    let (_brain, bus) = brain(&models, &["writer", "vision"]).await;
    let call = |request: SeeRequest| {
        let bus = &bus;
        async move { bus.call(&Target::Router, &request, Call::within(LOADING)).await.unwrap() }
    };
    let described = call(see(vec![red(), blue()], Some(vec![SeeTask::Describe]))).await;
    let texts: Vec<String> =
        described.results.iter().map(|seen| seen.describe.as_ref().unwrap().text.to_lowercase()).collect();
    assert!(texts[0].contains("red") && texts[1].contains("blue"), "{texts:?}");
    assert!(described.results.iter().all(|seen| seen.describe.as_ref().unwrap().by == "writer" && seen.width == 90));
    let sign = || vec![Media::inline("image/png", media("sign.png"))];
    let read = call(see(sign(), Some(vec![SeeTask::Read]))).await;
    assert_eq!(read.results[0].read.as_ref().unwrap()[0].text, "BERTH42");
    // Nobody does both by itself: the eyes compose the description, and say so.
    let both = call(see(sign(), Some(vec![SeeTask::Read, SeeTask::Describe]))).await;
    assert_eq!(both.results[0].describe.as_ref().unwrap().by, "classify+read");
    let all = call(SeeRequest { prompt: None, ..see(sign(), None) }).await;
    assert!(all.results[0].read.is_some() && all.results[0].describe.is_none());
}

#[tokio::test]
async fn in_a_question_a_picture_is_described_where_nobody_else_sees() {
    let (_brain, bus) = brain(SEEING, &["writer"]).await;
    let ask = Ask {
        text: Some(QUESTION.into()),
        attachments: vec![red()],
        models: Some(Vec::<Name>::new()),
        ..Ask::default()
    };
    let reply = bus.call(&Target::Router, &ask, Call::within(LOADING)).await.unwrap();
    assert_eq!(reply.legs[0].status, Some(LegStatus::Ok));
    assert!(reply.evidence[0].text.to_lowercase().contains("red"), "{:?}", reply.evidence);
}

#[tokio::test]
async fn a_model_without_eyes_refuses_pictures() {
    let (_brain, bus) = brain("[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\n", &["fast"]).await;
    let fault = bus.call(&Target::Model(name("fast")), &chat(vec![red()]), Call::within(LOADING)).await.unwrap_err();
    assert!(fault.kind == FaultKind::InvalidRequest && fault.message.contains("mmproj"), "{fault}");
}
