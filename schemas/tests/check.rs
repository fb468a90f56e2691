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
fn every_golden_request_passes_its_check() {
    fn passes<R: Request>(name: &str) {
        let body = std::fs::read(generated::root().join("golden").join(name)).unwrap();
        Codec::Json.decode::<R>(&body).unwrap().check().unwrap();
    }
    passes::<Ask>("ask_request.json");
    passes::<Ask>("ask_request-short.json");
    passes::<ChatRequest>("chat_request.json");
    passes::<EmbedRequest>("embed_request.json");
    passes::<EmbedRequest>("embed_request-short.json");
    passes::<TranscribeRequest>("transcribe_request.json");
    passes::<TranscribeRequest>("transcribe_request-live.json");
    passes::<SpeakRequest>("speak_request.json");
    passes::<SeeRequest>("see_request.json");
    passes::<SplitRequest>("split_request.json");
    passes::<EchoRequest>("echo_request.json");
}
