//! Which files are made from the types? All of them, in memory: the generator writes them, the drift test compares.
#![allow(dead_code, reason = "the generator and each test use a part of it")]

mod asyncapi;
mod examples;
mod examples_reading;
mod message;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use message::MessageType;

/// The folder `schemas/`, which the paths of generated files are relative to.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every message type of the contract.
pub(crate) fn messages() -> Result<Vec<MessageType>, Box<dyn Error>> {
    examples::all()
}

/// Every generated file, by its path.
pub(crate) fn files() -> Result<BTreeMap<String, Vec<u8>>, Box<dyn Error>> {
    let messages = messages()?;
    let mut files = BTreeMap::new();
    for message in &messages {
        let mut schema = serde_json::to_vec_pretty(&message.schema)?;
        schema.push(b'\n');
        files.insert(format!("json/{}.schema.json", message.name), schema);
        for golden in &message.golden {
            files.insert(format!("golden/{}.json", golden.name), golden.json.clone());
            files.insert(format!("golden/{}.msgpack", golden.name), golden.message_pack.clone());
        }
    }
    files.insert("asyncapi.yaml".to_owned(), asyncapi::document(&messages)?.into_bytes());
    Ok(files)
}

/// The paths of the files that lie where generated ones lie.
pub(crate) fn committed() -> Result<Vec<String>, Box<dyn Error>> {
    let mut paths = Vec::new();
    for folder in ["json", "golden"] {
        let path = root().join(folder);
        if !path.exists() {
            continue;
        }
        for entry in fs::read_dir(path)? {
            paths.push(format!("{folder}/{}", entry?.file_name().to_string_lossy()));
        }
    }
    Ok(paths)
}
