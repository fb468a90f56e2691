//! Are the committed schemas, the AsyncAPI document and the golden messages what the types say?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod generated;

const COMMAND: &str = "cargo run --release -p megabrain-schemas --example generate";

#[test]
fn what_is_committed_is_what_the_types_say() {
    let files = generated::files().unwrap();
    let mut drifted = Vec::new();
    for (path, made) in &files {
        match std::fs::read(generated::root().join(path)) {
            Ok(committed) if committed == *made => {}
            Ok(_) => drifted.push(format!("schemas/{path} differs")),
            Err(error) => drifted.push(format!("schemas/{path}: {error}")),
        }
    }
    for path in generated::committed().unwrap() {
        if !files.contains_key(&path) {
            drifted.push(format!("schemas/{path} belongs to no message type"));
        }
    }
    assert!(drifted.is_empty(), "{}\nrun: {COMMAND}", drifted.join("\n"));
}

#[test]
fn every_message_type_has_a_golden_message() {
    for message in generated::messages().unwrap() {
        assert!(!message.golden.is_empty(), "{} ({:?})", message.name, message.part);
    }
}
