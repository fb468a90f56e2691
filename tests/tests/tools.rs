//! Does a call of a tool come back over the bus, streamed and not, and does what came of it become an answer?

use std::time::Duration;

use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_schemas::{
    ChatReply, ChatRequest, FinishReason, Message, Tool, ToolCall, ToolCallDelta, ToolChoice, ToolKind, ToolMode,
};
use megabrain_tests::{Brain, name};
use serde_json::{Value, json};

const QWEN: &str = "[models.fast]\nactor = \"llm\"\nweights = \"qwen2.5-coder-0.5b\"\ncontext = 1024\n";
/// Its template knows nothing of tools.
const SMOLLM: &str = "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ncontext = 1024\n";
const LIMIT: Duration = Duration::from_secs(120);

async fn brain(models: &str) -> (Brain, Bus) {
    let mut brain = Brain::start(models).await;
    brain.ready(&["fast"], LIMIT).await;
    let bus = brain.client().await;
    (brain, bus)
}

fn weather(choice: ToolChoice) -> ChatRequest {
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": false,
    });
    ChatRequest {
        messages: vec![Message::user("What is the weather in Paris?")],
        tools: vec![Tool::function("get_weather", "Tells the weather in a city now.", parameters)],
        tool_choice: Some(choice),
        parallel_tool_calls: Some(false),
        max_tokens: Some(200),
        temperature: Some(0.0),
        ..ChatRequest::default()
    }
}

async fn ask(bus: &Bus, request: &ChatRequest) -> ChatReply {
    bus.call(&Target::Model(name("fast")), request, Call::within(LIMIT)).await.unwrap()
}

/// The text, the parts of calls, and the end of a stream.
async fn stream(bus: &Bus, request: ChatRequest) -> (String, Vec<ToolCallDelta>, ChatReply) {
    let request = ChatRequest { stream: true, ..request };
    let mut frames = bus.stream(&Target::Model(name("fast")), &request, Call::within(LIMIT)).await.unwrap();
    let (mut text, mut calls) = (String::new(), Vec::new());
    loop {
        match frames.next::<ChatRequest>().await.expect("an end").unwrap() {
            Frame::Part(_, part) => {
                text.push_str(&part.delta);
                calls.extend(part.tool_calls);
            }
            Frame::End(_, reply) => return (text, calls, reply),
        }
    }
}

fn city(arguments: &str) -> Value {
    let mut arguments: Value = serde_json::from_str(arguments).unwrap();
    assert_eq!(arguments.as_object().unwrap().len(), 1, "{arguments}");
    arguments["city"].take()
}

#[tokio::test]
async fn a_call_comes_back_whole_and_streamed_and_its_result_is_answered() {
    let (_brain, bus) = brain(QWEN).await;
    let request = weather(ToolChoice::Mode(ToolMode::Auto));
    let reply = ask(&bus, &request).await;
    assert_eq!(reply.finish_reason, FinishReason::ToolCalls);
    let message = reply.message.unwrap();
    let [call] = message.tool_calls.as_slice() else { panic!("{message:?}") };
    assert_eq!((call.function.name.as_str(), call.kind), ("get_weather", ToolKind::Function));
    assert_eq!(city(&call.function.arguments), "Paris");
    assert!(call.id.starts_with("call_"), "{}", call.id);

    let (text, calls, end) = stream(&bus, request.clone()).await;
    assert_eq!((text.as_str(), end.finish_reason, end.message), ("", FinishReason::ToolCalls, None));
    let [delta] = calls.as_slice() else { panic!("{calls:?}") };
    let function = delta.function.clone().unwrap();
    assert_eq!((delta.index, delta.kind, function.name.as_deref()), (0, Some(ToolKind::Function), Some("get_weather")));
    assert_eq!(city(&function.arguments.unwrap()), "Paris");

    let mut request = ChatRequest { tool_choice: Some(ToolChoice::Mode(ToolMode::None)), ..request };
    let id = call.id.clone();
    request.messages.extend([message, Message::tool(id, "{\"celsius\": 31}")]);
    let reply = ask(&bus, &request).await;
    assert_eq!(reply.finish_reason, FinishReason::Stop);
    let said = reply.message.unwrap().content;
    assert!(said.contains("31"), "{said}");
}

#[tokio::test]
async fn a_model_that_must_call_does_even_if_its_template_knows_of_no_tools() {
    let (_brain, bus) = brain(SMOLLM).await;
    for choice in [ToolChoice::named("get_weather"), ToolChoice::Mode(ToolMode::Required)] {
        let reply = ask(&bus, &weather(choice.clone())).await;
        assert_eq!(reply.finish_reason, FinishReason::ToolCalls);
        let message = reply.message.unwrap();
        let [ToolCall { function, .. }] = message.tool_calls.as_slice() else { panic!("{message:?}") };
        assert!(city(&function.arguments).is_string());
        assert_eq!(message.content, "");

        let (text, calls, end) = stream(&bus, weather(choice)).await;
        assert_eq!((text.as_str(), calls.len(), end.finish_reason), ("", 1, FinishReason::ToolCalls));
    }
}
