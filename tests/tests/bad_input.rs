//! Does bad input get a clear fault, and does the brain live on?

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use megabrain_bus::{Bus, Call, Target};
use megabrain_node::connection::Role;
use megabrain_schemas::subject::event;
use megabrain_schemas::{
    Ask, BLOB_BUCKET, BlobRef, Codec, ECHO_MIME, EchoRequest, FaultKind, FaultReply, Media, ModelState, Name, Presence,
};
use megabrain_tests::{Brain, name};
use serde_json::{Value, json};

const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";
const LIMIT: Duration = Duration::from_secs(30);

async fn fault(bus: &Bus, subject: &str, body: impl Into<Bytes>) -> FaultReply {
    let answer = bus.request_plain(subject, body.into(), Duration::from_secs(5)).await.unwrap().expect("no answer");
    assert!(!answer.no_responders, "nobody listens on {subject}");
    assert!(answer.headers.iter().any(|(name, _)| name == "Nats-Service-Error-Code"), "{answer:?}");
    Codec::detect(None, &answer.payload).unwrap().decode(&answer.payload).unwrap()
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_by_name() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let mut trailing =
        Codec::MessagePack.encode(&EchoRequest { text: Some("x".into()), ..EchoRequest::default() }).unwrap();
    trailing.push(7);
    let cases: Vec<(&str, Vec<u8>, FaultKind, &str)> = vec![
        ("mb.v1.echo.echo", vec![], FaultKind::InvalidRequest, "empty"),
        ("mb.v1.echo.echo", b"{\"text\":".to_vec(), FaultKind::InvalidRequest, "EOF"),
        ("mb.v1.echo.echo", b"{\"text\":5}".to_vec(), FaultKind::InvalidRequest, "text"),
        ("mb.v1.echo.echo", b"{\"text\":\"\xff\xfe\"}".to_vec(), FaultKind::InvalidRequest, "unicode"),
        ("mb.v1.echo.echo", deep.into_bytes(), FaultKind::InvalidRequest, ""),
        ("mb.v1.echo.echo", trailing, FaultKind::InvalidRequest, "trailing"),
        ("mb.v1.echo.echo", b"\xc1nonsense".to_vec(), FaultKind::InvalidRequest, "0xc1"),
        ("mb.v1.chat.echo", b"{}".to_vec(), FaultKind::NotFound, "does not serve chat"),
        ("mb.v1.echo.nobody", b"{}".to_vec(), FaultKind::NotFound, "nobody is not there"),
        ("mb.v1.nothing", b"{}".to_vec(), FaultKind::NotFound, "nothing"),
        ("mb.v1.ask.echo", b"{}".to_vec(), FaultKind::NotFound, "mb.v1.ask.echo is no subject"),
        ("mb.v1.echo.echo!", b"{}".to_vec(), FaultKind::NotFound, "mb.v1.echo.echo! is no subject"),
        (
            "mb.v1.ask",
            b"{\"text\":\"?\",\"models\":[\"a\",\"b\",\"a\"]}".to_vec(),
            FaultKind::InvalidRequest,
            "models[2]",
        ),
        ("mb.v1.ask", b"{}".to_vec(), FaultKind::InvalidRequest, "text"),
    ];
    for (subject, body, kind, part) in cases {
        let shown = String::from_utf8_lossy(&body).chars().take(40).collect::<String>();
        let reply = fault(&bus, subject, body).await;
        assert_eq!(reply.error.kind, kind, "{subject} {shown:?}: {}", reply.error);
        assert!(reply.done && reply.error.message.contains(part), "{subject} {shown:?}: {}", reply.error);
    }
    assert!(brain.is_alive());
}

#[tokio::test]
async fn an_ask_is_refused_before_any_leg_for_what_can_be_told_without_a_model() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let missing = BlobRef::of(b"never stored");
    let none = Some(Vec::<Name>::new());
    let cases = [
        (Media::inline(ECHO_MIME, vec![]), FaultKind::InvalidRequest, "empty"),
        (Media::inline("video/mp4", vec![1]), FaultKind::InvalidRequest, "video/mp4"),
        (Media::by_reference(Some(ECHO_MIME.into()), missing), FaultKind::NotFound, "blob:sha256:"),
    ];
    for (attachment, kind, part) in cases {
        let ask = Ask { attachments: vec![attachment], models: none.clone(), ..Ask::default() };
        let fault = bus.call(&Target::Router, &ask, Call::default()).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.contains(part), "{fault}");
    }
    let ask = Ask { text: Some("?".into()), models: Some(vec![name("nobody")]), ..Ask::default() };
    let fault = bus.call(&Target::Router, &ask, Call::default()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound, "{fault}");
}

#[tokio::test]
async fn a_forged_reply_subject_is_not_written_to() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let client = brain.client().await;
    let admin = brain.connect(Role::Admin).await;
    // What a client may not publish to, it must not have published by a model or a node either.
    let forged = ["mb.v1.event.presence.forged", "mb.v1.echo.victim", "user.somebody"];
    let mut watchers = Vec::new();
    for subject in forged {
        watchers.push(admin.subscribe(subject, None).await.unwrap());
    }
    admin.flush().await.unwrap();
    for subject in forged {
        for asked in ["mb.v1.echo.echo", "mb.v1.echo", "mb.v1.ask", "mb.v1.echo.nobody"] {
            client.publish(asked, Some(subject), Bytes::from_static(b"{\"text\":\"x\"}")).await.unwrap();
        }
    }
    client.flush().await.unwrap();
    client
        .call(&Target::Router, &EchoRequest { text: Some("after".into()), ..EchoRequest::default() }, Call::default())
        .await
        .unwrap();
    for watcher in &mut watchers {
        let heard = tokio::time::timeout(Duration::from_millis(300), watcher.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

#[tokio::test]
async fn an_object_that_leads_to_itself_or_to_nowhere_is_refused_and_everybody_lives_on() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    // What any client may write: the meta message of an object, here of one that is a link, and of one without pieces.
    let link = |bucket: &str, name: &str| json!({"link": {"bucket": bucket, "name": name}});
    let itself = BlobRef::of(b"leads to itself");
    let elsewhere = BlobRef::of(b"leads elsewhere");
    let empty = BlobRef::of(b"has no pieces");
    for (blob, options) in
        [(&itself, link("mb_blobs", itself.object_name())), (&elsewhere, link("other", "x")), (&empty, Value::Null)]
    {
        let name = blob.object_name();
        let meta = json!({
            "name": name, "bucket": BLOB_BUCKET, "nuid": format!("none{name}"), "size": 1000, "chunks": 1,
            "digest": "SHA-256=x", "mtime": "2026-01-01T00:00:00Z", "options": options,
        });
        let subject = format!("$O.mb_blobs.M.{}", URL_SAFE.encode(name));
        let stored = bus
            .request_plain(&subject, meta.to_string().into(), Duration::from_secs(5))
            .await
            .unwrap()
            .expect("an answer");
        let stored: Value = serde_json::from_slice(&stored.payload).unwrap();
        assert!(stored["seq"].is_number(), "the bucket took it: {stored}");
    }
    for (blob, kind) in
        [(itself, FaultKind::NotFound), (elsewhere, FaultKind::NotFound), (empty, FaultKind::Unavailable)]
    {
        let attachment = Some(Media::by_reference(None, blob.clone()));
        let echo = EchoRequest { attachment, ..EchoRequest::default() };
        let fault = bus.call(&Target::Model(name("echo")), &echo, Call::within(LIMIT)).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        // The router looks into it itself where no type is given.
        let ask = Ask { attachments: vec![Media::by_reference(None, blob)], ..Ask::default() };
        let fault = bus.call(&Target::Router, &ask, Call::within(LIMIT)).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
    }
    assert!(brain.is_alive());
}

/// The number of the last message in the bucket's stream.
async fn last_stored(bus: &Bus) -> u64 {
    let question = bus.request_plain("$JS.API.STREAM.INFO.OBJ_mb_blobs", Bytes::new(), Duration::from_secs(5));
    let info: Value = serde_json::from_slice(&question.await.unwrap().expect("no answer").payload).unwrap();
    info["state"]["last_seq"].as_u64().expect("a number")
}

#[tokio::test]
async fn media_by_reference_is_stored_once_checked_and_bounded() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let store = bus.blob_store().await.unwrap();
    let body = br#"{"text":"from a blob"}"#;
    let blob = store.put(body).await.unwrap();
    let stored = last_stored(&bus).await;
    assert_eq!(store.put(body).await.unwrap(), blob);
    assert_eq!(last_stored(&bus).await, stored, "it was stored again");
    assert_eq!(&store.get(&blob, 1000).await.unwrap()[..], body);
    assert_eq!(store.get(&blob, 3).await.unwrap_err().kind, FaultKind::TooLarge);
    let ask = Ask {
        attachments: vec![Media::by_reference(Some(ECHO_MIME.into()), blob)],
        models: Some(vec![]),
        ..Ask::default()
    };
    let reply = bus.call(&Target::Router, &ask, Call::default()).await.unwrap();
    assert_eq!(reply.text, "from a blob");
    assert_eq!(reply.legs.len(), 1);
    // The bucket of the tests holds 2 MiB.
    let fault = store.put(&vec![1; 3 << 20]).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Overloaded, "{fault}");
    assert!(fault.message.contains("2097152"), "{fault}");
}

#[tokio::test]
async fn a_model_that_cannot_load_is_told_with_its_reason_and_tried_with_growing_delay_and_the_rest_works() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("garbage.gguf");
    std::fs::write(&weights, b"this is no model").unwrap();
    let bad = format!("[models.bad]\nactor = \"llm\"\nweights = \"{}\"\n", weights.display());
    let mut brain = Brain::start(&format!("{ECHO}{bad}")).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let mut downs = bus.events::<Presence>(event::DOWN, None).await.unwrap();
    let mut delays = Vec::new();
    while delays.len() < 4 {
        let down = tokio::time::timeout(LIMIT, downs.next()).await.expect("it is not tried again").unwrap().body;
        // The process says why; the node, when it will be started again.
        if down.state == ModelState::Backoff {
            assert!(down.reason.as_deref().is_some_and(|reason| reason.contains("garbage.gguf")), "{down:?}");
            delays.push(down.retry_after_ms.expect("when"));
        }
    }
    assert!(delays.windows(2).all(|pair| pair[1] == pair[0] * 2), "the delay does not grow: {delays:?}");
    let reply = fault(&bus, "mb.v1.chat.bad", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}").await;
    assert_eq!(reply.error.kind, FaultKind::Unavailable, "{}", reply.error);
    assert!(reply.error.message.contains("garbage.gguf"), "{}", reply.error);
    assert!(reply.error.retry_after_ms.is_some());
    bus.call(&Target::Model(name("echo")), &EchoRequest::default(), Call::default()).await.unwrap();
}
