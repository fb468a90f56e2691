//! Does a call of a tool come back by every door, streamed and not, and does what came of it become an answer?

use std::time::Duration;

use megabrain_tests::{Doors, error, text_of};
use serde_json::{Value, json};

const QWEN: &str = "[models.fast]\nactor = \"llm\"\nweights = \"qwen2.5-coder-0.5b\"\ncontext = 1024\n\
    [models.echo]\nactor = \"echo\"\n[router]\nanswer = [\"fast\"]\n";
/// Its template knows nothing of tools.
const SMOLLM: &str = "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ncontext = 1024\n";
const LIMIT: Duration = Duration::from_secs(120);
const CHAT: &str = "/v1/chat/completions";
const QUESTION: &str = "What is the weather in Paris?";
const RESULT: &str = "{\"celsius\": 31}";

/// The function, as a response has it.
fn function() -> Value {
    let parameters = json!({
        "type": "object",
        "properties": { "city": { "type": "string" } },
        "required": ["city"],
        "additionalProperties": false,
    });
    json!({ "name": "get_weather", "description": "Tells the weather in a city now.", "parameters": parameters })
}

fn tools() -> Value {
    json!([{ "type": "function", "function": function() }])
}

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn chat(model: &str, more: &Value) -> Value {
    let messages = json!([{ "role": "user", "content": QUESTION }]);
    with(
        json!({ "model": model, "messages": messages, "tools": tools(), "parallel_tool_calls": false, "max_tokens": 200,
            "temperature": 0 }),
        more,
    )
}

/// The city in arguments that have nothing else.
fn city(arguments: &Value) -> Value {
    let mut arguments: Value = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
    assert_eq!(arguments.as_object().unwrap().len(), 1, "{arguments}");
    arguments["city"].take()
}

/// As many tokens were read; and some were written, not always as many: between the marks of JSON a model may put white
/// space, and what was read in steps of another size is rounded otherwise.
fn are_alike(one: &Value, other: &Value, [read, written]: [&str; 2]) {
    assert!(one[read].is_u64() && one[read] == other[read], "{one} {other}");
    assert!([one, other].iter().all(|usage| usage[written].as_u64() > Some(0)), "{one} {other}");
}

#[tokio::test]
async fn a_chats_call_comes_back_whole_and_in_chunks_and_its_result_is_answered() {
    let doors = Doors::open(QWEN, &["fast", "echo"], LIMIT).await;
    let whole = doors.answer(CHAT, &chat("fast", &json!({}))).await;
    let choice = &whole["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
    let [call] = choice["message"]["tool_calls"].as_array().unwrap().as_slice() else { panic!("{whole}") };
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("get_weather")));
    assert_eq!(city(&call["function"]["arguments"]), "Paris");

    let options = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let chunks = doors.chunks(CHAT, &chat("fast", &options)).await;
    assert_eq!(text_of(&chunks), "");
    let deltas: Vec<&Value> =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).flatten().collect();
    let first = deltas[0];
    assert_eq!((&first["index"], &first["type"]), (&json!(0), &json!("function")));
    assert_eq!(first["function"]["name"], "get_weather");
    assert!(first["id"].as_str().unwrap().starts_with("call_"), "{first}");
    assert!(deltas[1..].iter().all(|delta| delta["id"].is_null()), "{deltas:?}");
    let arguments: String = deltas.iter().filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
    assert_eq!(city(&arguments.into()), "Paris");
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "tool_calls");
    are_alike(&chunks.last().unwrap()["usage"], &whole["usage"], ["prompt_tokens", "completion_tokens"]);

    let messages = json!([
        { "role": "user", "content": QUESTION }, choice["message"],
        { "role": "tool", "tool_call_id": call["id"], "content": RESULT },
    ]);
    // The router has no question there, yet a model can go on: that of its choice.
    for model in ["fast", "brain"] {
        let told = chat(model, &json!({ "messages": messages, "tool_choice": "none" }));
        let answer = doors.answer(CHAT, &told).await;
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("31"), "{answer}");
    }
}

#[tokio::test]
async fn a_responses_call_is_an_item_and_so_is_its_result() {
    let doors = Doors::open(QWEN, &["fast"], LIMIT).await;
    let tool = with(json!({ "type": "function" }), &function());
    let body = |more: &Value| {
        let body = json!({ "model": "fast", "input": QUESTION, "tools": [tool], "parallel_tool_calls": false,
            "max_output_tokens": 200, "temperature": 0 });
        with(body, more)
    };
    let whole = doors.answer("/v1/responses", &body(&json!({}))).await;
    let [call] = whole["output"].as_array().unwrap().as_slice() else { panic!("{whole}") };
    assert_eq!((&whole["status"], &call["type"]), (&json!("completed"), &json!("function_call")));
    assert_eq!((&call["name"], city(&call["arguments"])), (&json!("get_weather"), json!("Paris")));
    assert_eq!((&whole["tools"][0]["name"], &whole["tool_choice"]), (&json!("get_weather"), &json!("auto")));

    let events = doors.events("/v1/responses", &body(&json!({ "stream": true }))).await;
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert_eq!((&events[2]["item"]["arguments"], &events[2]["item"]["name"]), (&json!(""), &json!("get_weather")));
    assert_eq!(city(&events[3]["delta"]), "Paris");
    assert_eq!((&events[4]["arguments"], &events[4]["item_id"]), (&events[3]["delta"], &events[2]["item"]["id"]));
    assert_eq!(events[6]["response"]["output"][0], events[5]["item"]);
    are_alike(&events[6]["response"]["usage"], &whole["usage"], ["input_tokens", "output_tokens"]);

    let input = json!([
        { "role": "user", "content": QUESTION }, call,
        { "type": "function_call_output", "call_id": call["call_id"], "output": RESULT },
    ]);
    let answer = doors.answer("/v1/responses", &body(&json!({ "input": input, "tool_choice": "none" }))).await;
    assert!(answer["output"][0]["content"][0]["text"].as_str().unwrap().contains("31"), "{answer}");
}

#[tokio::test]
async fn ollamas_calls_have_arguments_that_are_an_object_and_no_ids() {
    let doors = Doors::open(QWEN, &["fast"], LIMIT).await;
    let body = |more: &Value| {
        let messages = json!([{ "role": "user", "content": QUESTION }]);
        let body = json!({ "model": "fast", "messages": messages, "tools": tools(), "stream": false,
            "options": { "num_predict": 60, "temperature": 0 } });
        with(body, more)
    };
    let whole = doors.answer("/api/chat", &body(&json!({}))).await;
    let calls = &whole["message"]["tool_calls"];
    assert_eq!(calls[0]["function"], json!({ "name": "get_weather", "arguments": { "city": "Paris" } }));
    assert_eq!((&whole["message"]["content"], &whole["done_reason"]), (&json!(""), &json!("stop")));

    let lines = doors.post("/api/chat", &body(&json!({ "stream": true }))).await.text().await.unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let called: Vec<&Value> =
        lines.iter().filter_map(|line| line["message"]["tool_calls"].as_array()).flatten().collect();
    assert_eq!(called[0]["function"], calls[0]["function"]);
    are_alike(lines.last().unwrap(), &whole, ["prompt_eval_count", "eval_count"]);

    let call = json!({ "function": calls[0]["function"] });
    let messages = json!([
        { "role": "user", "content": QUESTION },
        { "role": "assistant", "content": "", "tool_calls": [call] },
        { "role": "tool", "tool_name": "get_weather", "content": RESULT },
    ]);
    let answer = doors.answer("/api/chat", &body(&json!({ "messages": messages, "tools": [] }))).await;
    assert!(answer["message"]["content"].as_str().unwrap().contains("31"), "{answer}");
}

#[tokio::test]
async fn a_model_that_must_call_does_even_if_its_template_knows_of_no_tools() {
    let doors = Doors::open(SMOLLM, &["fast"], LIMIT).await;
    let named = json!({ "type": "function", "function": { "name": "get_weather" } });
    for choice in [named, json!("required")] {
        let whole = doors.answer(CHAT, &chat("fast", &json!({ "tool_choice": choice }))).await;
        let message = &whole["choices"][0]["message"];
        assert_eq!(message["tool_calls"].as_array().unwrap().len(), 1, "{whole}");
        assert!(city(&message["tool_calls"][0]["function"]["arguments"]).is_string());
    }
}

#[tokio::test]
async fn the_brain_has_a_model_call_and_what_does_not_go_together_is_refused_by_name() {
    let doors = Doors::open(QWEN, &["fast", "echo"], LIMIT).await;
    for stream in [false, true] {
        let body = chat("brain", &json!({ "stream": stream, "tool_choice": "required" }));
        let answered = doors.post(CHAT, &body).await.text().await.unwrap();
        assert!(answered.contains("get_weather") && answered.contains(r#""finish_reason":"tool_calls""#), "{answered}");
    }
    let sound = json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } });
    let heard = json!({ "messages": [{ "role": "user", "content": [sound] }] });
    let unknown = json!({ "tool_choice": { "type": "function", "function": { "name": "get_time" } } });
    for (model, more, told) in [
        ("brain", heard, "`tools`"),
        ("echo", json!({}), "`tools`"),
        ("fast", json!({ "response_format": { "type": "json_object" } }), "`response_format`"),
        ("fast", json!({ "tools": [], "tool_choice": "required" }), "`tool_choice`"),
        ("fast", unknown, "`tool_choice`"),
        ("fast", json!({ "messages": [{ "role": "tool", "content": "31" }] }), "`tool_call_id`"),
        ("fast", json!({ "tools": [{ "type": "function", "function": { "name": "get weather" } }] }), "tools[0]"),
        ("fast", json!({ "tools": [{ "type": "web_search" }] }), "`web_search`"),
    ] {
        for stream in [false, true] {
            let body = with(chat(model, &more), &json!({ "stream": stream }));
            let (status, _, message) = error(doors.post(CHAT, &body).await).await;
            assert!(status == 400 && message.contains(told), "{body}: {status} {message}");
        }
    }
}
