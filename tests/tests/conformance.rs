//! Does every actor keep the promises that every actor makes?

use std::time::Duration;

use megabrain_runtime::conformance::Kit;
use megabrain_schemas::{Capability, Media, SeeRequest, TranscribeRequest};
use megabrain_tests::{Brain, EYES, RANKER, SEEING, VECTORS, media, name};

const LOADING: Duration = Duration::from_secs(120);

async fn check(models: &str, model: &str, capability: &str, short: &str, long: &str) {
    let mut brain = Brain::start(models).await;
    brain.ready(&[model], LOADING).await;
    let kit = Kit {
        bus: brain.client().await,
        model: name(model),
        capability: Capability::new(capability).unwrap(),
        short: short.into(),
        long: long.into(),
        patience: Duration::from_secs(30),
    };
    if let Err(broken) = kit.check().await {
        panic!("{broken}\n{}", brain.log());
    }
}

#[tokio::test]
async fn echo_keeps_its_promises() {
    let models = "[models.echo]\nactor = \"echo\"\n";
    check(models, "echo", "echo", r#"{"text":"a b c","stream":true}"#, r#"{"text":"x","delay_ms":20000}"#).await;
}

#[tokio::test]
async fn the_llm_actor_keeps_its_promises() {
    let models = "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\n";
    let chat = |text: &str, rest: &str| format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],{rest}}}"#);
    let short = chat("Say hello.", r#""max_tokens":8,"stream":true"#);
    // A story may be short, too: without the tokens that end one it is not.
    let long = chat("Write a very long story about the sea.", r#""max_tokens":3000,"logit_bias":{"0":-100,"2":-100}"#);
    check(models, "fast", "chat", &short, &long).await;
}

#[tokio::test]
async fn the_llm_actor_keeps_its_promises_with_vectors() {
    // Texts as long as the model reads, for some seconds.
    let long = serde_json::json!({"input": vec!["the sea and the ships ".repeat(90); 400]}).to_string();
    check(VECTORS, "embed", "embed", r#"{"input":["a berth","a mooring"]}"#, &long).await;
}

#[tokio::test]
async fn the_llm_actor_keeps_its_promises_with_ranking() {
    let documents = vec!["the sea and the ships ".repeat(80); 200];
    let long = serde_json::json!({ "query": "Where is the harbour?", "documents": documents }).to_string();
    check(RANKER, "rerank", "rerank", r#"{"query":"a berth?","documents":["a mooring","eggs"]}"#, &long).await;
}

#[tokio::test]
async fn the_llm_actor_keeps_its_promises_with_pictures() {
    let sign = Media::inline("image/png", media("label.png"));
    let see = |images| serde_json::to_string(&SeeRequest { images, tasks: None, prompt: None, top_k: None }).unwrap();
    check(SEEING, "writer", "see", &see(vec![sign.clone()]), &see(vec![sign; 60])).await;
}

#[tokio::test]
async fn the_speech_actor_keeps_its_promises() {
    let models = "[models.whisper]\nactor = \"speech\"\nweights = \"whisper-tiny.en\"\n";
    let transcribe = |mime: &str, sound: Vec<u8>, stream: bool| {
        let audio = Media::inline(mime, sound);
        let request = TranscribeRequest { audio, stream, ..TranscribeRequest::default() };
        serde_json::to_string(&request).unwrap()
    };
    let short = transcribe("audio/wav", media("question.wav"), true);
    // Ogg files one after the other are one file: more than two minutes of speech.
    let long = transcribe("audio/ogg", media("question-opus.ogg").repeat(24), false);
    check(models, "whisper", "transcribe", &short, &long).await;
}

#[tokio::test]
async fn the_vision_actor_keeps_its_promises() {
    let sign = Media::inline("image/png", media("sign.png"));
    let see = |images| serde_json::to_string(&SeeRequest { images, tasks: None, prompt: None, top_k: None }).unwrap();
    // Some tenths of a second each.
    let (short, long) = (see(vec![sign.clone()]), see(vec![sign; 60]));
    check(EYES, "vision", "see", &short, &long).await;
}

#[tokio::test]
async fn the_voice_actor_keeps_its_promises() {
    let models =
        "[models.voice]\nactor = \"voice\"\nweights = { model = \"voice-joe\", config = \"voice-joe-config\" }\n";
    let long = format!(r#"{{"text":"{}"}}"#, "A long story about the sea and all that lives in it. ".repeat(100));
    check(models, "voice", "speak", r#"{"text":"Hello. Goodbye.","stream":true}"#, &long).await;
}
