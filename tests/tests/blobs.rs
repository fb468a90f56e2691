//! Is media by reference what its name says, and is the bucket what the brain file says?

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use megabrain_bus::{BlobStore, Bus};
use megabrain_node::connection::Role;
use megabrain_schemas::{BLOB_BUCKET, BlobRef, FaultKind};
use megabrain_tests::Server;
use serde_json::{Value, json};

const LIFE: Duration = Duration::from_secs(3600);
const MOST: i64 = 1 << 20;

/// A bus with the bucket, and the connection of somebody who may do everything.
async fn bucket() -> (Server, Bus, BlobStore) {
    let mut server = Server::new().await;
    server.start().await;
    let node = server.connection().connect(Role::Node, "node", false).await.unwrap();
    let store = node.create_blob_store(LIFE, MOST).await.unwrap();
    let admin = server.connection().connect(Role::Admin, "admin", false).await.unwrap();
    (server, admin, store)
}

/// Sends something to JetStream and gives its answer, which must be no error.
async fn request(bus: &Bus, subject: &str, body: impl Into<Bytes>) -> Value {
    let answer = bus.request_plain(subject, body.into(), Duration::from_secs(5)).await.unwrap().expect("no answer");
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer.get("error").is_none(), "{subject}: {answer}");
    answer
}

/// Stores `bytes` under the name of others, as any client can, and says that they have this size.
async fn forge(bus: &Bus, blob: &BlobRef, bytes: &'static [u8], size: usize) {
    request(bus, "$O.mb_blobs.C.forged", bytes).await;
    let info = json!({
        "name": blob.object_name(), "bucket": BLOB_BUCKET, "nuid": "forged", "size": size, "chunks": 1,
        "digest": BlobRef::of(bytes).object_digest(), "mtime": "2999-01-01T00:00:00Z",
    });
    let subject = format!("$O.mb_blobs.M.{}", URL_SAFE.encode(blob.object_name()));
    request(bus, &subject, serde_json::to_vec(&info).unwrap()).await;
}

#[tokio::test]
async fn wrong_bytes_of_the_same_size_are_noticed_and_replaced_by_the_next_put() {
    let (_server, admin, store) = bucket().await;
    let blob = BlobRef::of(b"right");
    forge(&admin, &blob, b"wrong", 5).await;
    assert_eq!(store.get(&blob, 100).await.unwrap_err().kind, FaultKind::Engine);
    assert_eq!(store.put(b"right").await.unwrap(), blob);
    assert_eq!(&store.get(&blob, 100).await.unwrap()[..], b"right");
}

#[tokio::test]
async fn the_limit_holds_though_the_stored_size_lies() {
    let (_server, admin, store) = bucket().await;
    let bytes = &[7; 1000];
    let blob = BlobRef::of(bytes);
    forge(&admin, &blob, bytes, 3).await;
    let fault = store.get(&blob, 100).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::TooLarge, "{fault}");
    assert_eq!(&store.get(&blob, 1000).await.unwrap()[..], bytes);
}

#[tokio::test]
async fn only_what_is_not_there_is_not_found() {
    let (_server, admin, store) = bucket().await;
    let blob = BlobRef::of(b"never stored");
    assert_eq!(store.check(&blob).await.unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(store.head(&blob).await.unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(store.get(&blob, 100).await.unwrap_err().kind, FaultKind::NotFound);
    request(&admin, "$JS.API.STREAM.DELETE.OBJ_mb_blobs", "").await;
    for fault in [
        store.check(&blob).await.unwrap_err(),
        store.head(&blob).await.unwrap_err(),
        store.get(&blob, 100).await.unwrap_err(),
    ] {
        assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
        assert!(fault.retryable, "{fault}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_there_gets_the_settings_of_the_brain_and_keeps_its_others() {
    let (server, admin, _) = bucket().await;
    let config = async || request(&admin, "$JS.API.STREAM.INFO.OBJ_mb_blobs", "").await["config"].take();
    let mut changed = config().await;
    assert_eq!((changed["max_bytes"].as_i64(), changed["max_age"].as_u64()), (Some(MOST), Some(3_600_000_000_000)));
    changed["allow_direct"] = true.into();
    changed["description"] = "by hand".into();
    request(&admin, "$JS.API.STREAM.UPDATE.OBJ_mb_blobs", serde_json::to_vec(&changed).unwrap()).await;
    assert_eq!(config().await["allow_direct"], true);

    let node = server.connection().connect(Role::Node, "node", false).await.unwrap();
    node.create_blob_store(LIFE * 2, MOST * 2).await.unwrap();
    let adapted = config().await;
    assert_eq!((adapted["max_bytes"].as_i64(), adapted["max_age"].as_u64()), (Some(MOST * 2), Some(7_200_000_000_000)));
    assert_ne!(adapted["allow_direct"], true, "{adapted}");
    assert_eq!(adapted["description"], "by hand");
}
