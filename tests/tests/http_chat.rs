//! How does a conversation go over HTTP, and what becomes of it when its client leaves?

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use megabrain_tests::{Doors, conversation, error, name, presence, text_of};
use serde_json::{Value, json};

const MODELS: &str = "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\nslots = 2\n\
    [models.echo]\nactor = \"echo\"\n[router]\nanswer = [\"fast\"]\n";
const LIMIT: Duration = Duration::from_secs(90);

async fn open() -> Doors {
    Doors::open(MODELS, &["fast", "echo"], LIMIT).await
}

#[tokio::test]
async fn the_same_answer_comes_whole_in_chunks_and_by_every_door() {
    let doors = open().await;
    let whole = doors.answer("/v1/chat/completions", &conversation("fast", &json!({}))).await;
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(!text.is_empty());
    let usage = &whole["usage"];
    assert_eq!(
        usage["total_tokens"],
        json!(usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap())
    );
    assert_eq!((&whole["object"], &whole["model"]), (&json!("chat.completion"), &json!("fast")));

    let options = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let chunks = doors.chunks("/v1/chat/completions", &conversation("fast", &options)).await;
    assert_eq!(text_of(&chunks), text);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let last = chunks.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), usage));
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);

    let prompt = json!({ "model": "fast", "prompt": "Name a colour.", "max_tokens": 8, "temperature": 0 });
    assert_eq!(doors.answer("/v1/completions", &prompt).await["choices"][0]["text"], text);
    let mut streamed = prompt.clone();
    streamed["stream"] = true.into();
    let chunks = doors.chunks("/v1/completions", &streamed).await;
    let said: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(said, text);

    let input =
        json!({ "model": "fast", "input": "Name a colour.", "max_output_tokens": 8, "temperature": 0, "text": {} });
    let response = doors.answer("/v1/responses", &input).await;
    assert_eq!(response["output"][0]["content"][0]["text"], text);
    assert_eq!(response["usage"]["output_tokens"], usage["completion_tokens"]);
    let mut streamed = input.clone();
    streamed["stream"] = true.into();
    let events: Vec<Value> = doors
        .events("/v1/responses", &streamed)
        .await
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    assert_eq!(events[0]["type"], "response.created");
    let last = events.last().unwrap();
    assert_eq!(last["type"], format!("response.{}", response["status"].as_str().unwrap()));
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], text);
    let said: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(said, text);

    let ollama = json!({
        "model": "fast:latest", "messages": [{ "role": "user", "content": "Name a colour." }], "stream": false,
        "options": { "num_predict": 8, "temperature": 0 },
    });
    assert_eq!(doors.answer("/api/chat", &ollama).await["message"]["content"], text);
    let mut streamed = ollama.clone();
    streamed["stream"] = true.into();
    let lines = doors.post("/api/chat", &streamed).await.text().await.unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: String = lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!(said, text);
    assert_eq!(
        (&lines.last().unwrap()["done"], &lines.last().unwrap()["eval_count"]),
        (&json!(true), &usage["completion_tokens"])
    );
}

#[tokio::test]
async fn without_a_model_a_client_can_be_tried_on_an_echo() {
    let doors = Doors::open("[models.echo]\nactor = \"echo\"\n", &["echo"], LIMIT).await;
    let whole = doors.answer("/v1/chat/completions", &conversation("echo", &json!({}))).await;
    assert_eq!(whole["choices"][0]["message"]["content"], "Name a colour.");
    let chunks = doors.chunks("/v1/chat/completions", &conversation("echo", &json!({ "stream": true }))).await;
    let said: Vec<&str> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, ["", "Name ", "a ", "colour."]);
}

#[tokio::test]
async fn the_brain_takes_attachments_and_what_was_said_before() {
    let doors = open().await;
    let hidden = STANDARD.encode(r#"{"text":"the password is swordfish"}"#);
    let file = json!({ "type": "file", "file": { "file_data": format!("data:application/x-megabrain-echo;base64,{hidden}") } });
    let body = |stream: bool| {
        json!({
            "model": "brain", "max_tokens": 8, "temperature": 0, "top_p": 1, "stop": ["\n\n"], "stream": stream,
            "messages": [
                { "role": "system", "content": "Answer in one word." },
                { "role": "user", "content": [{ "type": "text", "text": "Look at this." }, file] },
                { "role": "assistant", "content": "Yes." },
                { "role": "user", "content": "What is the password?" },
            ],
        })
    };
    let whole = doors.answer("/v1/chat/completions", &body(false)).await;
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(whole["megabrain"]["evidence"][0]["text"], "the password is swordfish");
    assert_eq!(whole["megabrain"]["model"], "fast");
    let chunks = doors.chunks("/v1/chat/completions", &body(true)).await;
    let found = chunks.iter().filter_map(|chunk| chunk["megabrain"]["evidence"]["text"].as_str()).collect::<Vec<_>>();
    assert_eq!(found, ["the password is swordfish"]);
    assert_eq!(text_of(&chunks), text);
    // What was said before is read, too: the prompt is longer by it.
    let mut short = body(false);
    short["messages"].as_array_mut().unwrap().drain(..3);
    let tokens = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(tokens(&whole) > tokens(&doors.answer("/v1/chat/completions", &short).await) + 10);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_the_right_status() {
    let doors = open().await;
    let picture = json!({ "messages": [{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } }] }] });
    for (body, status, told) in [
        (conversation("gpt-4", &json!({})), 404, "gpt-4"),
        (conversation("no.such/model", &json!({})), 404, "no.such/model"),
        (conversation("fast", &json!({ "logprobs": true })), 400, "`logprobs`"),
        (conversation("fast", &json!({ "logit_bias": { "49152": 1 } })), 400, "`logit_bias.49152`"),
        (conversation("fast", &json!({ "temperature": 7 })), 400, "temperature"),
        (conversation("fast", &json!({ "max_tokens": 0 })), 400, "max_tokens"),
        (conversation("fast", &json!({ "stream": true, "max_tokens": 0 })), 400, "max_tokens"),
        (conversation("gpt-4", &json!({ "stream": true })), 404, "gpt-4"),
        (conversation("fast", &picture), 400, "`brain`"),
        (conversation("brain", &picture), 400, "image/png"),
        (json!({ "model": "brain", "messages": [{ "role": "assistant", "content": "x" }] }), 400, "the user's"),
    ] {
        let (got, _, message) = error(doors.post("/v1/chat/completions", &body).await).await;
        assert!(got == status && message.contains(told), "{body}: {got} {message}");
    }
    let vectors = doors.post("/v1/embeddings", &json!({ "model": "echo", "input": "a" })).await;
    assert_eq!(vectors.status(), 404, "it does not embed");
    let late = doors.to("/v1/chat/completions", &conversation("fast", &json!({ "max_tokens": 500 })));
    let late = late.header("megabrain-deadline-ms", "1").send().await.unwrap();
    assert_eq!(error(late).await.0, 504);
}

/// A story that takes longer than the test.
fn story(stream: bool) -> Value {
    conversation(
        "fast",
        &json!({ "max_tokens": 1900, "stream": stream,
        "messages": [{ "role": "user", "content": "Write a long story about the sea." }] }),
    )
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_work_with_it() {
    let doors = open().await;
    let bus = doors.brain.client().await;
    for stream in [true, false] {
        let request = doors.to("/v1/chat/completions", &story(stream)).send();
        let running = tokio::spawn(async move {
            let response = request.await.unwrap();
            let mut body = response.bytes_stream();
            while body.next().await.is_some() {}
        });
        let end = Instant::now() + LIMIT;
        while presence(&bus, "fast").await.is_none_or(|presence| presence.in_flight == 0) {
            assert!(Instant::now() < end, "the story does not begin");
        }
        running.abort();
        let left = Instant::now();
        while presence(&bus, "fast").await.is_none_or(|presence| presence.in_flight > 0) {
            assert!(left.elapsed() < Duration::from_secs(5), "stream {stream}: the story is still being written");
        }
        println!("stream {stream}: the slot is seen to be free after {:?}", left.elapsed());
    }
    let page = doors.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("megabrain_http_requests_total{route=\"/v1/chat/completions\",status=\"499\"} 1"), "{page}");
    assert!(page.contains("megabrain_http_open_requests{route=\"/v1/chat/completions\"} 0"), "{page}");
}

#[tokio::test]
async fn a_work_that_is_named_can_be_cancelled_and_its_stream_says_so() {
    let doors = open().await;
    let bus = doors.brain.client().await;
    let request = doors.to("/v1/chat/completions", &story(true)).header("megabrain-work", "my-story");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "my-story");
    bus.cancel(&name("my-story"));
    let text = response.text().await.unwrap();
    let errors: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter(|event| event["error"].is_object())
        .collect();
    assert_eq!(errors[0]["error"]["code"], "cancelled", "{text}");
    assert!(text.trim_end().ends_with("data: [DONE]"));
}

#[tokio::test]
async fn a_brain_that_stops_lets_a_stream_come_to_its_end() {
    let mut doors = open().await;
    let response =
        doors.post("/v1/chat/completions", &conversation("fast", &json!({ "stream": true, "max_tokens": 300 }))).await;
    let mut body = response.bytes_stream();
    let mut text = body.next().await.unwrap().unwrap().to_vec();
    let reading = tokio::spawn(async move {
        while let Some(piece) = body.next().await {
            text.extend_from_slice(&piece.unwrap());
        }
        String::from_utf8(text).unwrap()
    });
    tokio::task::spawn_blocking(move || assert!(doors.brain.stop().success())).await.unwrap();
    let text = reading.await.unwrap();
    assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    let is_whole = [r#""finish_reason":"length""#, r#""finish_reason":"stop""#].iter().any(|end| text.contains(end));
    assert!(is_whole && !text.contains(r#""error""#), "{text}");
}
