//! Do texts become vectors? By a model that is asked, from the command line; and is the text that is too long refused?

use std::time::Duration;

use futures::future::join_all;
use megabrain_bus::{Bus, Call, Target};
use megabrain_schemas::{ChatRequest, EmbedReply, EmbedRequest, FaultKind, Message};
use megabrain_tests::{Brain, VECTORS, media, megabrain, name, said};
use serde_json::Value;

const LOADING: Duration = Duration::from_secs(120);

async fn reader() -> (Brain, Bus) {
    let mut brain = Brain::start(VECTORS).await;
    brain.ready(&["embed"], LOADING).await;
    let bus = brain.client().await;
    (brain, bus)
}

fn request(texts: &[&str]) -> EmbedRequest {
    EmbedRequest { input: texts.iter().map(|&text| text.to_owned()).collect(), ..EmbedRequest::default() }
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[tokio::test]
async fn texts_become_the_vectors_of_the_reference_in_their_order() {
    let (_brain, bus) = reader().await;
    let expected: Vec<Value> = serde_json::from_slice(&media("vectors.json")).unwrap();
    let texts: Vec<&str> = expected.iter().map(|one| one["text"].as_str().unwrap()).collect();
    let reply = bus.call(&Target::Router, &request(&texts), Call::within(LOADING)).await.unwrap();
    assert_eq!(reply.embeddings.len(), texts.len());
    for (vector, one) in reply.embeddings.iter().zip(&expected) {
        let reference: Vec<f32> = serde_json::from_value(one["vector"].clone()).unwrap();
        assert!(cosine(vector, &reference) > 0.999, "{}", one["text"]);
    }
}

#[tokio::test]
async fn many_requests_at_once_each_get_their_own() {
    let (_brain, bus) = reader().await;
    let texts: Vec<String> = (0..40).map(|number| format!("ship number {number}")).collect();
    let target = Target::Model(name("embed"));
    let (bus, target) = (&bus, &target);
    let calls = texts.iter().map(|text| async move {
        bus.call(target, &request(&[text, "the harbour"]), Call::within(LOADING)).await.unwrap()
    });
    let replies = join_all(calls).await;
    let all = request(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let together = bus.call(target, &all, Call::within(LOADING)).await.unwrap();
    for (reply, vector) in replies.iter().zip(&together.embeddings) {
        assert!(cosine(&reply.embeddings[0], vector) > 0.999);
        assert!(cosine(&reply.embeddings[1], &replies[0].embeddings[1]) > 0.999);
    }
}

#[tokio::test]
async fn bad_requests_are_refused_and_the_model_reads_on() {
    let (brain, bus) = reader().await;
    let pid = brain.children("megabrain-llm --name");
    let call = |request: EmbedRequest| {
        let bus = &bus;
        async move { bus.call(&Target::Router, &request, Call::within(LOADING)).await }
    };
    let long = "word ".repeat(1000);
    let fault = call(request(&["short", &long])).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest);
    for part in ["input[1]", "1002", "512"] {
        assert!(fault.message.contains(part), "{fault}");
    }
    let cut = call(EmbedRequest { truncate: true, ..request(&[&long]) }).await.unwrap();
    assert_eq!(cut.usage.prompt_tokens, 512);

    assert_eq!(call(request(&[])).await.unwrap_err().kind, FaultKind::InvalidRequest);
    assert_eq!(call(request(&["a", ""])).await.unwrap_err().kind, FaultKind::InvalidRequest);
    let many = call(request(&vec!["a"; 20_000])).await.unwrap_err();
    assert!(many.kind == FaultKind::TooLarge && many.message.contains("20000"), "{many}");
    let nobody = call(EmbedRequest { model: Some("nobody".into()), ..request(&["a"]) }).await.unwrap_err();
    assert_eq!(nobody.kind, FaultKind::NotFound);
    let chat = ChatRequest { messages: vec![Message::user("Hi")], ..ChatRequest::default() };
    let fault = bus.call(&Target::Router, &chat, Call::within(LOADING)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound, "nobody here chats: {fault}");

    let odd = call(request(&["\0", "🛥", " \n", "\u{202e}x"])).await.unwrap();
    assert_eq!(odd.embeddings.len(), 4);
    assert_eq!(brain.children("megabrain-llm --name"), pid, "the process is the same");
}

#[tokio::test]
async fn a_deadline_ends_a_long_request_and_a_short_one_does_not_wait_for_it() {
    let (_brain, bus) = reader().await;
    let target = Target::Model(name("embed"));
    let long = EmbedRequest { truncate: true, ..request(&vec![&*"the sea ".repeat(300); 2000]) };
    let long = bus.call(&target, &long, Call::within(Duration::from_secs(3)));
    let short = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        bus.call(&target, &request(&["a berth"]), Call::within(Duration::from_secs(2))).await
    };
    let (long, short) = tokio::join!(long, short);
    assert_eq!(long.unwrap_err().kind, FaultKind::DeadlineExceeded);
    assert_eq!(short.unwrap().embeddings.len(), 1);
}

#[tokio::test]
async fn the_command_line_compares_texts_and_lists_the_model() {
    let (brain, _bus) = reader().await;
    let run = |arguments: &[&str]| {
        let (code, output, errors) = said(&mut megabrain(brain.folder(), arguments));
        assert_eq!(code, 0, "{errors}");
        (output, errors)
    };
    let texts = ["a berth for Friday", "a place for my boat", "two eggs"];
    let (shown, told) = run(&[&["embed"], &texts[..]].concat());
    assert_eq!(shown.lines().count(), 4, "{shown}");
    let numbers = |line: usize| -> Vec<f32> {
        shown.lines().nth(line).unwrap().split_whitespace().take(5).map(|word| word.parse().unwrap()).collect()
    };
    let [number, norm, itself, boat, eggs] = numbers(1)[..] else { panic!("{shown}") };
    assert!(number == 1.0 && norm == 1.0 && itself == 1.0 && boat > eggs, "{shown}");
    assert!(told.contains("3 vectors of 384 numbers"), "{told}");

    let (json, _) = run(&["embed", "a berth", "--json", "--model", "embed"]);
    let reply: EmbedReply = serde_json::from_str(&json).unwrap();
    assert_eq!((reply.embeddings.len(), reply.embeddings[0].len()), (1, 384));

    let (models, _) = run(&["models", "--json"]);
    assert!(models.contains("embed") && models.contains(r#""capabilities":["embed"]"#), "{models}");
}
