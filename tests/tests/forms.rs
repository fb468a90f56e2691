//! Does an answer have the form that was asked for, over the bus, and is what cannot be asked for refused by name?

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use megabrain_bus::{Call, Target};
use megabrain_schemas::{
    ChatRequest, Codec, FaultKind, FaultReply, FinishReason, JsonSchemaFormat, Message, ResponseFormat,
};
use megabrain_tests::{Brain, name};
use serde_json::{Value, json};

const SMOLLM: &str = "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ncontext = 1024\n";
const LIMIT: Duration = Duration::from_secs(120);

fn berth(seed: u32) -> ChatRequest {
    let schema = json!({
        "type": "object",
        "properties": {
            "berth": {"type": "integer", "minimum": 1, "maximum": 99},
            "day": {"enum": ["Monday", "Friday"]},
            "note": {"type": "string", "maxLength": 30},
        },
        "required": ["berth", "day", "note"],
        "additionalProperties": false,
    });
    let json_schema = JsonSchemaFormat { name: Some("berth".into()), description: None, schema, strict: Some(true) };
    ChatRequest {
        messages: vec![Message::user("Tell me about the sea, and do not write JSON.")],
        response_format: Some(ResponseFormat::JsonSchema { json_schema }),
        temperature: Some(2.0),
        top_p: Some(1.0),
        seed: Some(seed),
        max_tokens: Some(200),
        ..ChatRequest::default()
    }
}

#[tokio::test]
async fn an_answer_always_keeps_to_its_schema() {
    let mut brain = Brain::start(SMOLLM).await;
    brain.ready(&["fast"], LIMIT).await;
    let bus = brain.client().await;
    let target = Target::Model(name("fast"));
    let requests: Vec<ChatRequest> = (0..12).map(berth).collect();
    let replies = join_all(requests.iter().map(|request| bus.call(&target, request, Call::within(LIMIT)))).await;
    for reply in replies {
        let reply = reply.unwrap();
        assert_eq!(reply.finish_reason, FinishReason::Stop);
        let text = reply.message.unwrap().content;
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!((1..=99).contains(&answer["berth"].as_i64().unwrap()), "{answer}");
        assert!(["Monday", "Friday"].contains(&answer["day"].as_str().unwrap()), "{answer}");
        assert!(answer["note"].as_str().unwrap().chars().count() <= 30, "{answer}");
    }
}

#[tokio::test]
async fn what_the_model_cannot_be_asked_for_is_refused_by_name_and_it_lives_on() {
    let mut brain = Brain::start(SMOLLM).await;
    brain.ready(&["fast"], LIMIT).await;
    let bus = brain.client().await;
    let deep = format!("{}{}{}", r#"{"items":"#.repeat(50), "true", "}".repeat(50));
    let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(1 << 20));
    let with_schema =
        |schema: &str| format!(r#""response_format":{{"type":"json_schema","json_schema":{{"schema":{schema}}}}}"#);
    for (more, named) in [
        (r#""mirostat":2"#.to_owned(), "`mirostat`"),
        (r#""logprobs":true"#.to_owned(), "`logprobs`"),
        (r#""n":3"#.to_owned(), "`n`"),
        (r#""logit_bias":{"49152":1}"#.to_owned(), "`logit_bias.49152`"),
        (r#""grammar":"root ::= ("#.to_owned(), "`grammar`"),
        (with_schema("false"), "schema is false"),
        (with_schema(r#"{"if":{}}"#), "`if`"),
        (with_schema(&long), "262144"),
        (r#""response_format":{"type":"yaml"}"#.to_owned(), "response_format"),
        (r#""tool_choice":"perhaps""#.to_owned(), "tool_choice"),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],"max_tokens":4,{more}}}"#);
        let subject = "mb.v1.chat.fast";
        let answer = bus.request_plain(subject, Bytes::from(body), LIMIT).await.unwrap().expect("no answer");
        let reply: FaultReply = Codec::Json.decode(&answer.payload).unwrap();
        assert_eq!(reply.error.kind, FaultKind::InvalidRequest, "{}", reply.error);
        assert!(reply.error.message.contains(named), "{named}: {}", reply.error);
    }
    // It lives on, whatever it says of one that nests.
    let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],"max_tokens":4,{}}}"#, with_schema(&deep));
    let answer = bus.request_plain("mb.v1.chat.fast", Bytes::from(body), LIMIT).await.unwrap().expect("no answer");
    assert!(!String::from_utf8_lossy(&answer.payload).contains("worker_lost"), "{:?}", answer.payload);
    assert!(brain.is_alive());
    bus.call(&Target::Model(name("fast")), &berth(1), Call::within(LIMIT)).await.unwrap();
}
