//! Are the types what DESIGN.md's "The wire, by example" says? Its examples, with the dots filled in, are read by them,
//! and what they write has the same fields again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use megabrain_schemas::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const BLOB: &str = "blob:sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Reads an example by both codecs and checks that writing it again loses no field and changes none.
///
/// `work`, `model`, `seq` and `done` are the stamp's, where the type does not have them itself.
#[track_caller]
fn reads<T: Serialize + DeserializeOwned>(example: &str) -> T {
    let example = example.replace("blob:sha256:…", BLOB);
    let value: T = Codec::Json.decode(example.as_bytes()).unwrap();
    let stamp: Value = serde_json::to_value(Codec::Json.decode::<Stamp>(example.as_bytes()).unwrap()).unwrap();
    let mut written = serde_json::to_value(&value).unwrap();
    for (field, own) in stamp.as_object().unwrap() {
        written.as_object_mut().unwrap().entry(field.clone()).or_insert_with(|| own.clone());
    }
    let example: Value = serde_json::from_str(&example).unwrap();
    contains(&written, &example, "");
    let packed = Codec::MessagePack.encode(&value).unwrap();
    let again: T = Codec::MessagePack.decode(&packed).unwrap();
    assert_eq!(serde_json::to_value(again).unwrap(), serde_json::to_value(&value).unwrap());
    value
}

#[track_caller]
fn contains(written: &Value, example: &Value, at: &str) {
    match (written, example) {
        (Value::Object(written), Value::Object(example)) => {
            for (field, wanted) in example {
                let found = written.get(field).unwrap_or_else(|| panic!("{at}.{field} is lost"));
                contains(found, wanted, &format!("{at}.{field}"));
            }
        }
        (Value::Array(written), Value::Array(example)) => {
            assert_eq!(written.len(), example.len(), "{at}");
            for (index, (written, example)) in written.iter().zip(example).enumerate() {
                contains(written, example, &format!("{at}[{index}]"));
            }
        }
        (Value::Number(written), Value::Number(example)) => {
            let (written, example) = (written.as_f64().unwrap(), example.as_f64().unwrap());
            assert!((written - example).abs() < 1e-6, "{at}: {written} {example}");
        }
        _ => assert_eq!(written, example, "{at}"),
    }
}

#[test]
fn ask() {
    let ask: Ask = reads(
        r#"{"text":"What does she ask for?","attachments":[{"mime":"audio/wav","data":"UklGRg=="},{"blob":"blob:sha256:…"}],
            "models":["deep"],"policy":"first","stream":false,"deadline_ms":30000,"max_tokens":64,"session":"s"}"#,
    );
    assert_eq!(ask.attachments.first().unwrap().data, Some(Data(b"RIFF".to_vec())));
    ask.check().unwrap();
    reads::<Ask>(r#"{"text":"…"}"#);
    reads::<AskReply>(
        r#"{"work":"01K","text":"…","model":"deep","finish_reason":"stop","usage":{"prompt_tokens":1,"completion_tokens":2},
            "answers":[{"model":"deep","text":"…","finish_reason":"stop","usage":{"prompt_tokens":1,"completion_tokens":2},"took_ms":5}],
            "evidence":[{"attachment":0,"modality":"audio","model":"whisper","t0_ms":0,"t1_ms":10990,"text":"…","confidence":0.94}],
            "legs":[{"leg":"0","subject":"mb.v1.transcribe.whisper","model":"whisper","status":"ok","queued_ms":1,"took_ms":870}]}"#,
    );
    reads::<AskFrame>(r#"{"work":"w","seq":0,"leg":{"leg":"0","subject":"mb.v1.see.vision","took_ms":0}}"#);
    reads::<AskFrame>(
        r#"{"work":"w","seq":1,"evidence":{"attachment":0,"modality":"image","model":"vision","text":"…"}}"#,
    );
    reads::<AskFrame>(r#"{"work":"w","seq":2,"delta":"…","model":"deep"}"#);
}

#[test]
fn chat() {
    let chat: ChatRequest =
        reads(r#"{"messages":[{"role":"user","content":"…"}],"max_tokens":64,"temperature":0,"seed":1,"stream":true}"#);
    assert!(chat.is_stream());
    reads::<ChatReply>(
        r#"{"work":"w","model":"fast","message":{"role":"assistant","content":"…"},"finish_reason":"stop","usage":{"prompt_tokens":1,"completion_tokens":2},
            "timings":{"queued_ms":1,"prompt_ms":2,"first_token_ms":3,"total_ms":4}}"#,
    );
    reads::<ChatFrame>(r#"{"work":"w","seq":0,"delta":"Th"}"#);
    reads::<ChatReply>(
        r#"{"work":"w","seq":9,"done":true,"finish_reason":"stop","usage":{"prompt_tokens":1,"completion_tokens":2},
            "timings":{"queued_ms":1,"prompt_ms":2,"first_token_ms":3,"total_ms":4}}"#,
    );
}

#[test]
fn rerank() {
    reads::<RerankRequest>(r#"{"query":"…","documents":["…","…"]}"#);
    reads::<RerankRequest>(r#"{"query":"…","documents":["…"],"top_n":1,"truncate":true,"deadline_ms":2000}"#);
    let whole: RerankRequest = Codec::Json.decode(br#"{"query":"a","documents":["b"],"truncate":null}"#).unwrap();
    assert!(!whole.truncate);
    reads::<RerankReply>(
        r#"{"results":[{"index":1,"relevance_score":0.75}],"usage":{"prompt_tokens":9,"completion_tokens":0}}"#,
    );
}

#[test]
fn embed() {
    reads::<EmbedRequest>(r#"{"input":["…","…"]}"#);
    reads::<EmbedRequest>(r#"{"input":["…"],"model":"embed","truncate":true,"deadline_ms":2000}"#);
    let whole: EmbedRequest = Codec::Json.decode(br#"{"input":["x"],"truncate":null}"#).unwrap();
    assert!(!whole.truncate);
    reads::<EmbedReply>(r#"{"embeddings":[[0.5,1],[0,0.25]],"usage":{"prompt_tokens":2,"completion_tokens":0}}"#);
}

#[test]
fn transcribe() {
    reads::<TranscribeRequest>(r#"{"audio":{"mime":"audio/wav","data":"UklGRg=="},"language":"en","stream":false}"#);
    let live: TranscribeRequest =
        reads(r#"{"live":{"rate":16000,"idle_ms":10000},"words":true,"translate":true,"format":"srt"}"#);
    assert!(live.is_stream());
    let short: TranscribeRequest = Codec::Json.decode(br#"{"live":{},"format":"json"}"#).unwrap();
    assert_eq!((short.live, short.format), (live.live, TextFormat::Text));
    reads::<TranscribeFrame>(r#"{"work":"w","seq":0,"publish_to":"mb.v1.live.w"}"#);
    reads::<TranscribeFrame>(r#"{"work":"w","seq":1,"segment":{"t0_ms":0,"t1_ms":3200,"text":"…"},"partial":true}"#);
    reads::<TranscribeReply>(
        r#"{"work":"w","text":"…","language":"en","duration_ms":10990,"segments":[{"t0_ms":0,"t1_ms":3200,"text":"…"}]}"#,
    );
}

#[test]
fn see() {
    reads::<SeeRequest>(
        r#"{"images":[{"mime":"image/jpeg","data":"/9j/"}],"tasks":["classify","read","describe"],"prompt":"…","top_k":5}"#,
    );
    reads::<SeeReply>(
        r#"{"work":"w","results":[{"width":640,"height":480,"classify":[{"label":"tabby cat","score":0.71}],
            "read":[{"text":"BERTH 42","box":[[1,2],[3,2],[3,4],[1,4]],"score":0.98}],"describe":{"text":"…","by":"…"}}]}"#,
    );
}

#[test]
fn speak() {
    reads::<SpeakRequest>(r#"{"text":"…","voice":"joe","speed":1.0,"format":"wav","stream":false}"#);
    reads::<SpeakReply>(r#"{"work":"w","audio":{"mime":"audio/wav","data":"UklGRg=="},"duration_ms":2960}"#);
    reads::<SpeakReply>(
        r#"{"work":"w","seq":0,"audio":{"blob":"blob:sha256:…"},"duration_ms":2960,"segments":[{"t0_ms":0,"t1_ms":2960,"text":"…"}]}"#,
    );
}

#[test]
fn split() {
    let split: SplitRequest = reads(r#"{"video":{"blob":"blob:sha256:…"},"frames":20,"fps":0.5}"#);
    assert!(split.is_stream());
    assert!(!reads::<SplitRequest>(r#"{"video":{"blob":"blob:sha256:…"},"stream":false}"#).is_stream());
    reads::<SplitFrame>(r#"{"work":"w","seq":0,"frame":{"blob":"blob:sha256:…","t_ms":1500}}"#);
    reads::<SplitFrame>(r#"{"work":"w","seq":1,"sound":{"blob":"blob:sha256:…","t0_ms":0,"duration_ms":18000}}"#);
}

#[test]
fn echo() {
    reads::<EchoRequest>(r#"{"text":"…","delay_ms":0}"#);
    reads::<EchoRequest>(r#"{"data":"AP8="}"#);
    reads::<EchoReply>(r#"{"data":"AP8="}"#);
}

#[test]
fn cancel() {
    reads::<Cancel>("{}");
}

#[test]
fn any_fault() {
    let outside = r#"{"work":"w","error":{"kind":"overloaded","message":"…","retryable":true,"retry_after_ms":120}}"#;
    assert!(reads::<FaultReply>(outside).done, "a fault is terminal, marked or not");
    reads::<FaultReply>(r#"{"work":"w","error":{"kind":"overloaded","message":"…","retryable":true},"done":true}"#);
    reads::<FaultReply>(r#"{"error":{"kind":"engine","message":"…","retryable":false}}"#);
}
