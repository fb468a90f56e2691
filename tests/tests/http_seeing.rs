//! What becomes of pictures that come by HTTP? A model with eyes sees them, and for others the brain says what they show.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use megabrain_tests::{Brain, Doors, EYES, Receiver, SEEING, error, media};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);
const FAST: &str =
    "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ncontext = 1024\n[router]\nanswer = [\"fast\"]\n";
const QUESTION: &str = "What is the colour of the image? Answer with one word.";

/// A picture of one colour, blue, green, red: the smallest kind of file for that, as a data URL.
fn picture(colour: [u8; 3]) -> String {
    let (side, row) = (64_u32, 192_u32);
    let mut bytes = b"BM".to_vec();
    for number in [54 + row * side, 0, 54, 40, side, side, 1 | 24 << 16, 0, row * side, 2835, 2835, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(colour.repeat((side * side) as usize));
    data_url("image/bmp", &bytes)
}

fn data_url(mime: &str, bytes: &[u8]) -> String {
    format!("data:{mime};base64,{}", STANDARD.encode(bytes))
}

fn user(text: &str, urls: &[String]) -> Value {
    let pictures = urls.iter().map(|url| json!({ "type": "image_url", "image_url": { "url": url, "detail": "auto" } }));
    let parts: Vec<Value> = std::iter::once(json!({ "type": "text", "text": text })).chain(pictures).collect();
    json!({ "role": "user", "content": parts })
}

fn chat(model: &str, messages: &[Value]) -> Value {
    json!({ "model": model, "messages": messages, "max_tokens": 24, "temperature": 0 })
}

fn text(answer: &Value) -> String {
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_lowercase()
}

#[tokio::test]
async fn a_model_with_eyes_is_shown_the_pictures_of_each_message_by_every_door() {
    let doors = Doors::open(SEEING, &["writer"], LIMIT).await;
    let (red, blue) = (picture([0, 0, 255]), picture([255, 0, 0]));
    let seen =
        doors.answer("/v1/chat/completions", &chat("writer", &[user(QUESTION, std::slice::from_ref(&red))])).await;
    assert!(text(&seen).contains("red"), "{seen}");
    let turns = [
        user(QUESTION, std::slice::from_ref(&red)),
        json!({ "role": "assistant", "content": "Red." }),
        user(QUESTION, std::slice::from_ref(&blue)),
    ];
    let both = doors.answer("/v1/chat/completions", &chat("writer", &turns)).await;
    assert!(text(&both).contains("blue"), "{both}");
    let tokens = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(tokens(&both) > tokens(&seen) + 9, "the earlier picture is read, too");

    let response = json!({
        "model": "writer", "max_output_tokens": 24, "temperature": 0,
        "input": [{ "role": "user", "content": [
            { "type": "input_text", "text": QUESTION }, { "type": "input_image", "image_url": blue, "detail": "auto" } ] }],
    });
    let said = doors.answer("/v1/responses", &response).await;
    assert!(said["output"][0]["content"][0]["text"].as_str().unwrap().to_lowercase().contains("blue"), "{said}");
    let data = red.split_once(',').unwrap().1;
    let ollama = json!({
        "model": "writer", "stream": false, "options": { "num_predict": 24, "temperature": 0 },
        "messages": [{ "role": "user", "content": QUESTION, "images": [data] }],
    });
    let said = doors.answer("/api/chat", &ollama).await;
    assert!(said["message"]["content"].as_str().unwrap().to_lowercase().contains("red"), "{said}");

    let sound = json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } });
    let heard = chat("writer", &[json!({ "role": "user", "content": [sound] })]);
    let (status, _, message) = error(doors.post("/v1/chat/completions", &heard).await).await;
    assert!(status == 400 && message.contains("text and pictures only"), "{status} {message}");
}

#[tokio::test]
async fn the_brain_says_what_a_picture_shows_to_a_model_without_eyes() {
    let models =
        format!("[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\n{EYES}[router]\nanswer = [\"fast\"]\n");
    let brain = Brain::start_with_room(&models, &[], "32 MiB").await;
    let doors = Doors::of(brain, &["fast", "vision"], LIMIT).await;
    // Larger than what goes in one message: by reference, then.
    let mut large = media("sign.png");
    large.resize(5_000_000, 0);
    for sign in [media("sign.png"), large] {
        let asked = chat("brain", &[user("What does the sign say?", &[data_url("image/png", &sign)])]);
        let answer = doors.answer("/v1/chat/completions", &asked).await;
        let evidence = answer["megabrain"]["evidence"].as_array().unwrap();
        // The starter brain's eyes often leave the spaces out.
        let read: Vec<String> =
            evidence.iter().filter_map(|found| found["text"].as_str()).map(|text| text.replace(' ', "")).collect();
        assert!(read.iter().any(|text| text.contains("BERTH42")), "{read:?}");
        assert!(!text(&answer).is_empty());
    }
    let blind = chat("fast", &[user(QUESTION, &[data_url("image/png", &media("sign.png"))])]);
    let (status, _, message) = error(doors.post("/v1/chat/completions", &blind).await).await;
    assert!(status == 400 && message.contains("`brain`"), "{status} {message}");
}

#[tokio::test]
async fn a_picture_is_fetched_from_where_the_brain_may_go_and_from_nowhere_else() {
    let place = Receiver::start(&[]).await;
    let settings = format!("[gateway]\nlisten = \"127.0.0.1:0\"\nallow = [\"{}\"]\n{EYES}{FAST}", place.host());
    let doors = Doors::open(&settings, &["vision", "fast"], LIMIT).await;
    let ask = |url: String| chat("brain", &[user("What does it show?", &[url])]);
    let url = |file: &str| format!("http://{}/media/{file}", place.host());
    let seen = doors.answer("/v1/chat/completions", &ask(url("cat.jpg"))).await;
    assert_eq!(seen["megabrain"]["legs"][0]["status"], "ok", "{seen}");
    for (elsewhere, told) in [
        (url("away"), "redirects are not followed"),
        ("http://127.0.0.1:9/x.png".into(), "no public address"),
        ("http://localhost/x.png".into(), "no public address"),
        ("file:///etc/passwd".into(), "is not fetched"),
    ] {
        let (status, _, message) = error(doors.post("/v1/chat/completions", &ask(elsewhere.clone())).await).await;
        assert_eq!(status, 400, "{elsewhere}");
        assert!(message.contains(told), "{elsewhere}: {message}");
    }
    let many = chat("brain", &[user("What do they show?", &vec![url("cat.jpg"); 17])]);
    let (status, _, message) = error(doors.post("/v1/chat/completions", &many).await).await;
    assert!(status == 400 && message.contains("at most 16 URLs"), "{message}");
    // What is wrong is told by the name that the caller gave it.
    let picture = json!({ "type": "input_image", "image_url": "http://127.0.0.1:9/x.png" });
    let asked = json!({ "model": "brain", "input": [{ "role": "user", "content": [picture] }] });
    let told: Value = doors.post("/v1/responses", &asked).await.json().await.unwrap();
    assert_eq!(told["error"]["param"], "input", "{told}");
}
