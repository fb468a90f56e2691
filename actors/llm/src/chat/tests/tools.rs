//! Do real models call tools, with a template that knows of them and with one that does not?

use megabrain_schemas::{FunctionCall, Role, Tool, ToolCall, ToolChoice, ToolMode};
use serde_json::{Value, json};

use super::*;
use crate::answer::Part;
use crate::testing::qwen;

/// Computes the answer to one request, and reads it.
pub(super) fn read(engine: &mut Chat, request: &ChatRequest) -> (Vec<Part>, FinishReason) {
    let (task, mut answering) = engine.task(request).unwrap();
    engine.batcher.admit(task).unwrap();
    let mut parts = Vec::new();
    loop {
        for (_, result) in engine.batcher.step() {
            let output = result.unwrap();
            parts.extend(answering.reader.push(&output.text));
            if let Some(finish) = output.finish {
                parts.extend(answering.reader.finish());
                return (parts, finish);
            }
        }
    }
}

fn calls(parts: Vec<Part>) -> Vec<FunctionCall> {
    let call = |part| match part {
        Part::Call(call) => Some(call),
        Part::Text(_) | Part::Thought(_) => None,
    };
    parts.into_iter().filter_map(call).collect()
}

fn tools() -> Vec<Tool> {
    let city = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
        "additionalProperties": false,
    });
    let sum = json!({
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": false,
    });
    vec![
        Tool::function("get_weather", "Tells the weather in a city now.", city),
        Tool::function("add", "Adds two whole numbers.", sum),
    ]
}

fn with_tools(text: &str, choice: ToolChoice) -> ChatRequest {
    ChatRequest { tools: tools(), tool_choice: Some(choice), max_tokens: Some(200), ..ask(text) }
}

/// The arguments, which must be what the schema of [`tools`] says.
fn weather(call: &FunctionCall) -> Value {
    assert_eq!(call.name, "get_weather");
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
    assert!(arguments["city"].is_string(), "{arguments}");
    assert!(["celsius", "fahrenheit"].contains(&arguments["unit"].as_str().unwrap()), "{arguments}");
    assert_eq!(arguments.as_object().unwrap().len(), 2, "{arguments}");
    arguments
}

#[test]
fn a_model_that_knows_of_tools_calls_one_as_it_likes() {
    let mut engine = engine_of(qwen(), |config| config.context = Some(1024));
    let request = with_tools("What is the weather in Paris, in celsius?", ToolChoice::Mode(ToolMode::Auto));
    let (parts, finish) = read(&mut engine, &request);
    assert_eq!(finish, FinishReason::Stop);
    let shown = format!("{parts:?}");
    let calls = calls(parts);
    assert_eq!(calls.len(), 1, "{shown}");
    assert_eq!(weather(&calls[0])["city"], "Paris");

    // What came of it becomes words.
    let call = ToolCall::function("call_1", "get_weather", calls[0].arguments.clone());
    let mut request = ChatRequest { tool_choice: Some(ToolChoice::Mode(ToolMode::None)), ..request };
    request.messages.push(Message { tool_calls: vec![call], ..Message::assistant("") });
    request.messages.push(Message::tool("call_1", "{\"temperature\": 31, \"sky\": \"clear\"}"));
    let (parts, _) = read(&mut engine, &request);
    let said: String =
        parts.into_iter().map(|part| if let Part::Text(text) = part { text } else { String::new() }).collect();
    assert!(said.contains("31"), "{said}");
}

#[test]
fn a_model_is_not_told_of_tools_that_it_must_not_call() {
    let engine = engine_of(qwen(), |_| ());
    let forbidden = with_tools("Hi", ToolChoice::Mode(ToolMode::None));
    let plain = engine.planner.plan(&ask("Hi"), &ask("Hi").messages).unwrap().text;
    assert_eq!(engine.planner.plan(&forbidden, &forbidden.messages).unwrap().text, plain);
    assert!(!plain.contains("get_weather"));
}

#[test]
fn a_model_that_must_call_does_whatever_it_is_asked() {
    for weights in [qwen(), smollm2()] {
        let mut engine = engine_of(weights, |config| config.context = Some(1024));
        for temperature in [0.0, 1.5] {
            for (choice, question) in [
                (ToolChoice::named("get_weather"), "Tell me a joke."),
                (ToolChoice::Mode(ToolMode::Required), "What is 17 plus 25?"),
            ] {
                let is_named = matches!(choice, ToolChoice::Named(_));
                let request = ChatRequest {
                    temperature: Some(temperature),
                    seed: Some(7),
                    parallel_tool_calls: Some(false),
                    ..with_tools(question, choice)
                };
                let (parts, finish) = read(&mut engine, &request);
                assert_eq!(finish, FinishReason::Stop, "{parts:?}");
                let shown = format!("{parts:?}");
                let calls = calls(parts);
                assert_eq!(calls.len(), 1, "{shown}");
                if is_named || calls[0].name == "get_weather" {
                    weather(&calls[0]);
                } else {
                    let arguments: Value = serde_json::from_str(&calls[0].arguments).unwrap();
                    let is_sum = calls[0].name == "add" && arguments["a"].is_i64() && arguments["b"].is_i64();
                    assert!(is_sum, "{shown}");
                }
            }
        }
    }
}

#[test]
fn the_text_of_a_plain_chat_is_what_the_template_alone_makes_of_it() {
    let conversation = [
        Message::new(Role::System, "Be brief."),
        Message::user("Hi"),
        Message::assistant("Hello!"),
        Message::user("What's 1 < 2 & 'x'?"),
    ];
    let said: &[(&str, &str)] =
        &[("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "What's 1 < 2 & 'x'?")];
    let chatml = |messages: &[(&str, &str)]| {
        let messages: String =
            messages.iter().map(|(role, content)| format!("<|im_start|>{role}\n{content}<|im_end|>\n")).collect();
        format!("{messages}<|im_start|>assistant\n")
    };
    let smollm2_is = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
    let qwen_is = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
    for (weights, default) in [(smollm2(), smollm2_is), (qwen(), qwen_is)] {
        let engine = engine_of(weights, |_| ());
        let text = |messages: &[Message]| engine.planner.template().render(messages, &[]).unwrap();
        assert_eq!(text(&conversation), chatml(said));
        let with_default: Vec<_> = std::iter::once(("system", default)).chain(said[1..].iter().copied()).collect();
        assert_eq!(text(&conversation[1..]), chatml(&with_default));
    }
}
