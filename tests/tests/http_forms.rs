//! Has an answer the form that was asked for, by every door, and do thoughts stand apart from it?

use std::time::Duration;

use megabrain_tests::{Doors, error, text_of};
use serde_json::{Value, json};

const SMOLLM: &str = "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ncontext = 1024\n\
    [router]\nanswer = [\"fast\"]\n";
const LIMIT: Duration = Duration::from_secs(120);
const CHAT: &str = "/v1/chat/completions";
const QUESTION: &str = "Tell me about the sea, and do not write JSON.";

/// The fields are not in the order of the alphabet.
fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "note": { "type": "string", "maxLength": 30 },
            "berth": { "type": "integer", "minimum": 1, "maximum": 99 },
            "day": { "enum": ["Monday", "Friday"] },
        },
        "required": ["note", "berth", "day"],
        "additionalProperties": false,
    })
}

fn chat(model: &str, format: &Value) -> Value {
    json!({
        "model": model, "messages": [{ "role": "user", "content": QUESTION }], "response_format": format,
        "max_tokens": 200, "temperature": 1.5, "seed": 3,
    })
}

/// Fails unless a text keeps to the schema.
fn check(text: &str) {
    let answer: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["note", "berth", "day"], "in their order");
    assert!((1..=99).contains(&answer["berth"].as_i64().unwrap()), "{answer}");
    assert!(["Monday", "Friday"].contains(&answer["day"].as_str().unwrap()), "{answer}");
    assert!(answer["note"].as_str().unwrap().chars().count() <= 30, "{answer}");
}

#[tokio::test]
async fn an_answer_keeps_to_its_schema_by_every_door() {
    let doors = Doors::open(SMOLLM, &["fast"], LIMIT).await;
    let format =
        json!({ "type": "json_schema", "json_schema": { "name": "berth", "schema": schema(), "strict": true } });
    for model in ["fast", "brain"] {
        let mut body = chat(model, &format);
        let whole = doors.answer(CHAT, &body).await;
        assert_eq!(whole["choices"][0]["finish_reason"], "stop");
        check(whole["choices"][0]["message"]["content"].as_str().unwrap());
        body["stream"] = true.into();
        check(&text_of(&doors.chunks(CHAT, &body).await));
    }

    let format = json!({ "type": "json_schema", "name": "berth", "schema": schema(), "strict": true });
    let body = json!({ "model": "fast", "input": QUESTION, "text": { "format": format }, "max_output_tokens": 200,
        "temperature": 1.5 });
    let whole = doors.answer("/v1/responses", &body).await;
    check(whole["output"][0]["content"][0]["text"].as_str().unwrap());
    assert_eq!(whole["text"]["format"]["schema"], schema());

    let body = json!({ "model": "fast", "messages": [{ "role": "user", "content": QUESTION }], "format": schema(),
        "options": { "num_predict": 200, "temperature": 1.5 }, "stream": false });
    check(doors.answer("/api/chat", &body).await["message"]["content"].as_str().unwrap());
}

#[tokio::test]
async fn any_object_can_be_asked_for_and_what_nothing_keeps_to_is_refused() {
    let doors = Doors::open(SMOLLM, &["fast"], LIMIT).await;
    let mut bodies = vec![
        (CHAT, json!({ "response_format": { "type": "json_object" }, "max_tokens": 300 })),
        ("/api/chat", json!({ "format": "json", "stream": false, "options": { "num_predict": 300 } })),
    ];
    for (path, body) in &mut bodies {
        body["model"] = "fast".into();
        body["messages"] =
            json!([{ "role": "user", "content": "Give me the object {\"berth\": 42} and nothing else." }]);
        body["temperature"] = if *path == CHAT { json!(0) } else { Value::Null };
        let answer = doors.answer(path, body).await;
        let text = answer["choices"][0]["message"]["content"].as_str().or(answer["message"]["content"].as_str());
        assert!(text.unwrap().trim_start().starts_with('{'), "{answer}");
    }
    let of = |schema: Value| json!({ "type": "json_schema", "json_schema": { "schema": schema } });
    for (format, told) in [
        (of(json!(false)), "schema is false"),
        (of(json!({ "if": {} })), "`if`"),
        (json!({ "type": "json_schema", "json_schema": { "name": "x" } }), "`schema`"),
        (json!({ "type": "json_object", "schema": {} }), "`schema`"),
        (json!({ "type": "yaml" }), "`yaml`"),
    ] {
        for stream in [false, true] {
            let mut body = chat("fast", &format);
            body["stream"] = stream.into();
            let (status, _, message) = error(doors.post(CHAT, &body).await).await;
            assert!(status == 400 && message.contains(told), "{body}: {status} {message}");
        }
    }
}

/// A template that has any model think aloud: it shows how that is done, and begins.
const THINKING: &str = "<|im_start|>user\nWhat is 1 plus 1?<|im_end|>\n<|im_start|>assistant\n<think>\nOne and one \
    is two.\n</think>\n\nIt is 2.<|im_end|>\n<|im_start|>user\nWhat is 2 plus 3?<|im_end|>\n<|im_start|>assistant\n<think>\nTwo \
    and three is five.\n</think>\n\nIt is 5.<|im_end|>\n{% for message in messages %}<|im_start|>{{ message.role }}\n\
    {{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n<think>\n";

#[tokio::test]
async fn thoughts_stand_apart_by_every_door() {
    let folder = tempfile::TempDir::new().unwrap();
    let template = folder.path().join("thinking.jinja");
    std::fs::write(&template, THINKING).unwrap();
    let models = format!(
        "[models.deep]\nactor = \"llm\"\nweights = \"qwen2.5-coder-0.5b\"\ncontext = 1024\nchat_template = \"{}\"\n",
        template.display()
    );
    let doors = Doors::open(&models, &["deep"], LIMIT).await;
    let messages = json!([{ "role": "user", "content": "What is 3 plus 4?" }]);
    let mut body = json!({ "model": "deep", "messages": messages, "max_tokens": 100, "temperature": 0 });
    let whole = doors.answer(CHAT, &body).await;
    let message = &whole["choices"][0]["message"];
    let (thought, text) = (message["reasoning_content"].as_str().unwrap(), message["content"].as_str().unwrap());
    assert!(thought.contains("three and four") || thought.contains("Three and four"), "{whole}");
    assert!(text.contains('7') && !text.contains("think"), "{whole}");

    body["stream"] = true.into();
    let chunks = doors.chunks(CHAT, &body).await;
    let thoughts: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["reasoning_content"].as_str()).collect();
    assert_eq!((thoughts.as_str(), text_of(&chunks).as_str()), (thought, text));

    let mut body = json!({ "model": "deep", "input": messages, "max_output_tokens": 100, "temperature": 0 });
    let response = doors.answer("/v1/responses", &body).await;
    assert_eq!(response["output"][0]["content"], json!([{ "type": "reasoning_text", "text": thought }]));
    assert_eq!(response["output"][1]["content"][0]["text"], text);
    body["stream"] = true.into();
    let events = doors.events("/v1/responses", &body).await;
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let of = |kind: &str| -> String {
        events.iter().filter(|event| event["type"] == kind).filter_map(|event| event["delta"].as_str()).collect()
    };
    assert_eq!(of("response.reasoning_text.delta"), thought);
    assert_eq!(of("response.output_text.delta"), text);
    assert_eq!(events.last().unwrap()["response"]["output"][1]["content"][0]["text"], text);

    let mut body = json!({ "model": "deep", "messages": messages, "stream": false,
        "options": { "num_predict": 100, "temperature": 0 } });
    let line = doors.answer("/api/chat", &body).await;
    assert_eq!((&line["message"]["thinking"], &line["message"]["content"]), (&json!(thought), &json!(text)));
    body["think"] = false.into();
    assert_eq!(doors.answer("/api/chat", &body).await["message"], json!({ "role": "assistant", "content": text }));
}
