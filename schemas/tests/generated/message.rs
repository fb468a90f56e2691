//! What is known of one message type? Its name, its JSON Schema as it is on the wire, and golden messages.

use std::error::Error;

use megabrain_schemas::{Codec, Stamp};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Value, json};

/// What part a message plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Request,
    Reply,
    Frame,
    Event,
    Fault,
}

/// One message type as it is on the wire.
pub(crate) struct MessageType {
    /// As in `json/<name>.schema.json`.
    pub(crate) name: &'static str,
    pub(crate) part: Part,
    pub(crate) schema: Value,
    pub(crate) golden: Vec<Golden>,
}

/// One message in both notations.
pub(crate) struct Golden {
    /// As in `golden/<name>.json`: the type's name or, with several, `<type>-<variant>`.
    pub(crate) name: String,
    pub(crate) json: Vec<u8>,
    pub(crate) message_pack: Vec<u8>,
}

/// A body and what the runtime adds to it, as `megabrain-bus` sends it.
#[derive(Serialize)]
struct Stamped<'a, T> {
    #[serde(flatten)]
    stamp: &'a Stamp,
    #[serde(flatten)]
    body: &'a T,
}

impl MessageType {
    /// A type without golden messages. The schema has what the part adds to the body's own fields.
    pub(crate) fn new<T: JsonSchema>(name: &'static str, part: Part) -> Result<Self, Box<dyn Error>> {
        let mut schema = draft_07::<T>();
        match part {
            Part::Request => add(&mut schema, &draft_07::<Wishes>()),
            Part::Reply => add(&mut schema, &draft_07::<Stamp>()),
            Part::Frame => {
                add(&mut schema, &draft_07::<Stamp>());
                require(&mut schema, "seq");
            }
            Part::Event | Part::Fault => {}
        }
        Ok(Self { name, part, schema: schema.to_value(), golden: Vec::new() })
    }

    /// Adds a golden message without a stamp.
    pub(crate) fn plain<T: Serialize>(mut self, variant: &str, message: &T) -> Result<Self, Box<dyn Error>> {
        let name = if variant.is_empty() { self.name.to_owned() } else { format!("{}-{variant}", self.name) };
        let mut json = serde_json::to_vec_pretty(message)?;
        json.push(b'\n');
        self.golden.push(Golden { name, json, message_pack: Codec::MessagePack.encode(message)? });
        Ok(self)
    }

    /// Adds a golden message with a stamp.
    pub(crate) fn stamped<T: Serialize>(self, variant: &str, stamp: &Stamp, body: &T) -> Result<Self, Box<dyn Error>> {
        self.plain(variant, &Stamped { stamp, body })
    }
}

/// What every request may say in its body where its headers do not.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Wishes {
    /// The work id that the caller chose, so that it can cancel; the header wins.
    work: Option<megabrain_schemas::Name>,
    /// Time allowed, in milliseconds; the header wins.
    deadline_ms: Option<u64>,
}

/// AsyncAPI's own dialect is a superset of draft 7.
fn draft_07<T: JsonSchema>() -> Schema {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>()
}

/// Adds the properties of `more` that `schema` does not have.
fn add(schema: &mut Schema, more: &Schema) {
    let Some(more) = more.get("properties").and_then(Value::as_object) else { return };
    let own = schema.ensure_object().entry("properties").or_insert_with(|| json!({}));
    let Some(own) = own.as_object_mut() else { return };
    for (name, property) in more {
        own.entry(name.clone()).or_insert_with(|| property.clone());
    }
}

fn require(schema: &mut Schema, field: &str) {
    let required = schema.ensure_object().entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut() {
        required.push(json!(field));
    }
}
