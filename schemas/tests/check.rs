//! What is refused before any model sees it?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod generated;

use std::fmt::Debug;

use megabrain_schemas::*;

#[test]
fn what_the_types_cannot_say_is_checked() {
    fn refused<R: Request + Debug>(body: &str, named: &str) {
        let fault = Codec::Json.decode::<R>(body.as_bytes()).unwrap().check().unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert!(fault.message.contains(named), "{fault}");
    }
    refused::<Ask>("{}", "neither `text` nor `attachments`");
    refused::<Ask>(r#"{"text":" "}"#, "neither");
    refused::<Ask>(r#"{"text":"a","models":[]}"#, "`models`");
    refused::<Ask>(r#"{"attachments":[{"mime":"audio/wav","data":""}]}"#, "attachments[0]");
    refused::<Ask>(r#"{"attachments":[{"mime":"audio/wav"}]}"#, "attachments[0]");
    refused::<Ask>(r#"{"text":"a","temperature":3}"#, "`temperature`");
    refused::<Ask>(r#"{"text":"a","top_p":-1}"#, "`top_p`");
    refused::<Ask>(r#"{"text":"a","stop":[""]}"#, "`stop`");
    refused::<Ask>(r#"{"text":"a","messages":[{"role":"user","content":"b","images":[{}]}]}"#, "messages[0].images[0]");
    refused::<ChatRequest>(r#"{"messages":[]}"#, "`messages`");
    refused::<ChatRequest>(r#"{"messages":[{"role":"user","content":"a"}],"max_tokens":0}"#, "`max_tokens`");
    refused::<ChatRequest>(r#"{"messages":[{"role":"user","content":"a"}],"top_p":1.5}"#, "`top_p`");
    refused::<ChatRequest>(r#"{"messages":[{"role":"user","content":"a"}],"stop":[""]}"#, "`stop`");
    refused::<ChatRequest>(
        r#"{"messages":[{"role":"user","content":"a","images":[{"data":"AA=="},{}]}]}"#,
        "messages[0].images[1]",
    );
    let images = vec![r#"{"data":"AA=="}"#; 65].join(",");
    refused::<ChatRequest>(
        &format!(r#"{{"messages":[{{"role":"user","content":"a","images":[{images}]}}]}}"#),
        "65 images: expected 64",
    );
    refused::<SeeRequest>(&format!(r#"{{"images":[{images}]}}"#), "65 images: expected 64");
    let form = r#"{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_object","schema":{}}}"#;
    let error = Codec::Json.decode::<ChatRequest>(form.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("`schema`"), "it would be ignored: {error}");
    let bias = format!(r#"{{"messages":[{{"role":"user","content":"a"}}],"logit_bias":{{"{}x":1}}}}"#, "0".repeat(20));
    refused::<ChatRequest>(&bias, "logit_bias.00000000000000000000`");
    let stops = |stops: &[String]| {
        let stops = serde_json::to_string(stops).unwrap();
        format!(r#"{{"messages":[{{"role":"user","content":"a"}}],"stop":{stops}}}"#)
    };
    refused::<ChatRequest>(&stops(&vec!["a".to_owned(); 17]), "`stop` has 17 texts: expected 16");
    refused::<ChatRequest>(
        &stops(&["a".to_owned(), "é".repeat(129)]),
        "`stop` holds a text of 258 bytes: expected 256",
    );
    let most: ChatRequest = Codec::Json.decode(stops(&vec!["x".repeat(256); 16]).as_bytes()).unwrap();
    most.check().unwrap();
    refused::<EmbedRequest>(r#"{"input":[]}"#, "`input`");
    refused::<EmbedRequest>(r#"{"input":["a",""]}"#, "input[1]");
    refused::<RerankRequest>(r#"{"query":"","documents":["a"]}"#, "`query`");
    refused::<RerankRequest>(r#"{"query":"a","documents":[]}"#, "`documents`");
    refused::<RerankRequest>(r#"{"query":"a","documents":["a",""]}"#, "documents[1]");
    refused::<RerankRequest>(r#"{"query":"a","documents":["a"],"top_n":0}"#, "`top_n`");
    refused::<TranscribeRequest>(r#"{"audio":{}}"#, "audio");
    refused::<TranscribeRequest>("{}", "audio");
    refused::<TranscribeRequest>(r#"{"audio":{"data":"AA=="},"live":{}}"#, "both");
    refused::<TranscribeRequest>(r#"{"live":{"rate":0}}"#, "`rate`");
    refused::<TranscribeRequest>(r#"{"live":{"idle_ms":0}}"#, "`idle_ms`");
    refused::<TranscribeRequest>(r#"{"live":{"idle_ms":600001}}"#, "1 to 600000");
    refused::<SeeRequest>(r#"{"images":[]}"#, "`images`");
    refused::<SeeRequest>(r#"{"images":[{"data":"AA=="}],"tasks":[]}"#, "`tasks`");
    refused::<SpeakRequest>(r#"{"text":""}"#, "`text`");
    refused::<SpeakRequest>(r#"{"text":"a","speed":0}"#, "`speed`");
    refused::<SplitRequest>(r#"{"video":{"data":"AA=="},"fps":0}"#, "`fps`");
    refused::<EchoRequest>(r#"{"attachment":{}}"#, "attachment");
    let not_a_number =
        ChatRequest { messages: vec![Message::user("a")], top_p: Some(f32::NAN), ..ChatRequest::default() };
    assert!(not_a_number.check().is_err());
}

#[test]
fn what_a_chat_cannot_be_asked_for_is_named() {
    fn refused(more: &str, named: &str) {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"a"}}],{more}}}"#);
        let fault = Codec::Json.decode::<ChatRequest>(body.as_bytes()).unwrap().check().unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert!(fault.message.contains(named), "{more}: {fault}");
    }
    for (field, outside) in [
        ("min_p", 1.5),
        ("presence_penalty", -2.5),
        ("frequency_penalty", 3.0),
        ("repeat_penalty", 0.0),
        ("repeat_penalty", 11.0),
    ] {
        refused(&format!(r#""{field}":{outside}"#), &format!("`{field}`"));
    }
    refused(r#""n":2"#, "`n` is 2: expected 1");
    refused(r#""logit_bias":{"the":1}"#, "`logit_bias.the`");
    refused(r#""logit_bias":{"7":101}"#, "`logit_bias.7`");
    let tool = |name: &str| format!(r#"{{"type":"function","function":{{"name":"{name}"}}}}"#);
    refused(&format!(r#""tools":[{}]"#, tool("two words")), "tools[0].function.name");
    refused(&format!(r#""tools":[{0},{0}]"#, tool("a")), "tools[1].function.name: there are two of a");
    refused(r#""tools":[{"type":"function","function":{"name":"a","parameters":7}}]"#, "tools[0].function.parameters");
    refused(r#""tool_choice":"required""#, "`tool_choice` is required");
    refused(
        &format!(r#""tools":[{}],"tool_choice":{{"type":"function","function":{{"name":"b"}}}}"#, tool("a")),
        "`tool_choice` names a function",
    );
    refused(&format!(r#""tools":[{}],"response_format":{{"type":"json_object"}}"#, tool("a")), "`tool_choice` to none");
    refused(r#""grammar":"root ::= \"a\"","response_format":{"type":"json_object"}"#, "`grammar`");
    refused(&format!(r#""grammar":"{}""#, "x".repeat(65_537)), "`grammar` has 65537 bytes");
}

#[test]
fn only_a_message_that_calls_tools_may_be_without_content() {
    let read = |message: &str| Codec::Json.decode::<ChatRequest>(format!(r#"{{"messages":[{message}]}}"#).as_bytes());
    let call = r#"{"id":"1","function":{"name":"f","arguments":"{}"}}"#;
    for content in ["", r#","content":null"#] {
        let calling = read(&format!(r#"{{"role":"assistant","tool_calls":[{call}]{content}}}"#)).unwrap();
        calling.check().unwrap();
        assert_eq!(calling.messages[0].content, "");
        for rest in ["", r#","tool_calls":[]"#, r#","tool_calls":null"#] {
            let error = read(&format!(r#"{{"role":"user"{content}{rest}}}"#)).unwrap_err().to_string();
            assert!(error.contains("messages[0]") && error.contains("`content`"), "{error}");
        }
    }
    for (message, named) in [
        (r#"{"role":"tool","content":"4"}"#.to_owned(), "no `tool_call_id`"),
        (r#"{"role":"user","content":"4","tool_call_id":"1"}"#.to_owned(), "not the role `tool`"),
        (format!(r#"{{"role":"user","tool_calls":[{call}]}}"#), "not the role `assistant`"),
    ] {
        let fault = read(&message).unwrap().check().unwrap_err();
        assert!(fault.message.contains("messages[0]") && fault.message.contains(named), "{fault}");
    }
}

#[test]
fn every_golden_request_passes_its_check() {
    fn passes<R: Request>(name: &str) {
        let body = std::fs::read(generated::root().join("golden").join(name)).unwrap();
        Codec::Json.decode::<R>(&body).unwrap().check().unwrap();
    }
    passes::<Ask>("ask_request.json");
    passes::<Ask>("ask_request-short.json");
    passes::<ChatRequest>("chat_request.json");
    passes::<ChatRequest>("chat_request-tools.json");
    passes::<EmbedRequest>("embed_request.json");
    passes::<EmbedRequest>("embed_request-short.json");
    passes::<RerankRequest>("rerank_request.json");
    passes::<RerankRequest>("rerank_request-short.json");
    passes::<TranscribeRequest>("transcribe_request.json");
    passes::<TranscribeRequest>("transcribe_request-live.json");
    passes::<SpeakRequest>("speak_request.json");
    passes::<SeeRequest>("see_request.json");
    passes::<SplitRequest>("split_request.json");
    passes::<EchoRequest>("echo_request.json");
}
