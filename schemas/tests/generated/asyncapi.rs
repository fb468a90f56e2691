//! How does the contract read as an AsyncAPI document? Every subject, who may send what there, and what comes back.

use std::error::Error;

use megabrain_schemas::*;
use serde_json::{Map, Value, json};

use super::message::{MessageType, Part};

/// One capability: the types of its request, its frames (if it streams) and its reply.
struct Talk {
    capability: &'static str,
    what: &'static str,
    request: &'static str,
    frame: Option<&'static str>,
    reply: &'static str,
}

const fn talk(
    capability: &'static str,
    what: &'static str,
    request: &'static str,
    frame: Option<&'static str>,
    reply: &'static str,
) -> Talk {
    Talk { capability, what, request, frame, reply }
}

const TALKS: [Talk; 8] = [
    talk(
        ChatRequest::CAPABILITY,
        "Messages in, one more message out.",
        "chat_request",
        Some("chat_frame"),
        "chat_reply",
    ),
    talk(EmbedRequest::CAPABILITY, "Texts in, vectors out.", "embed_request", None, "embed_reply"),
    talk(
        RerankRequest::CAPABILITY,
        "A query and documents in, how well each answers it out.",
        "rerank_request",
        None,
        "rerank_reply",
    ),
    talk(
        TranscribeRequest::CAPABILITY,
        "Sound in, words on a clock out.",
        "transcribe_request",
        Some("transcribe_frame"),
        "transcribe_reply",
    ),
    talk(
        SpeakRequest::CAPABILITY,
        "Text in, speech out. A frame has the fields of the reply.",
        "speak_request",
        None,
        "speak_reply",
    ),
    talk(SeeRequest::CAPABILITY, "Pictures in, what they show out.", "see_request", None, "see_reply"),
    talk(
        SplitRequest::CAPABILITY,
        "Film in, frames and sound on one clock out.",
        "split_request",
        Some("split_frame"),
        "split_reply",
    ),
    talk(
        EchoRequest::CAPABILITY,
        "The same back. A frame has the fields of the reply.",
        "echo_request",
        None,
        "echo_reply",
    ),
];

/// The kinds of event, what each tells, and its message.
const EVENTS: [(&str, &str, &str); 7] = [
    (subject::event::PRESENCE, "What an instance is and does, once a second.", "presence_event"),
    (subject::event::READY, "An instance has begun to serve.", "presence_event"),
    (subject::event::DOWN, "An instance has stopped serving.", "presence_event"),
    (subject::event::DRAINING, "An instance finishes what it has and takes nothing new.", "presence_event"),
    (subject::event::WORK, "What an instance took and finished, in batches.", "work_event"),
    (subject::event::CORES, "How many threads each model of a node may use now.", "cores_event"),
    (subject::event::NODE, "What a node is and has, once a second.", "node_event"),
];

/// The document, as YAML.
pub(crate) fn document(messages: &[MessageType]) -> Result<String, Box<dyn Error>> {
    let mut house = House::default();
    house.inbox(messages);
    house.ask();
    for talk in &TALKS {
        house.capability(talk);
    }
    house.attachment();
    house.cancel();
    house.live();
    house.events();
    let document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "megabrain",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": Codec::Json.content_type(),
        "servers": {
            "bus": {
                "host": "localhost:4222",
                "protocol": "nats",
                "description": "NATS with JetStream. `megabrain up` starts one; NATS_URL names another.",
                "security": [{ "$ref": "#/components/securitySchemes/user" }],
            },
        },
        "channels": house.channels,
        "operations": house.operations,
        "components": {
            "messages": messages.iter().map(|message| (message.name.to_owned(), component(message))).collect::<Map<_, _>>(),
            "parameters": parameters(),
            "schemas": headers_schemas(),
            "securitySchemes": {
                "user": { "type": "userPassword", "description": "NATS user and password, or a credentials file" },
            },
        },
    });
    let yaml = serde_saphyr::to_string(&document)?;
    Ok(format!("# Made by `cargo run --release -p megabrain-schemas --example generate`: do not edit.\n{yaml}"))
}

const INTRODUCTION: &str = "\
Several models of several modalities work as one mind, on NATS. Operations are named from the brain's side: it \
receives requests and sends answers.

Every message is one map, in JSON (bytes are base64) or in MessagePack (bytes are binary). The Content-Type header says \
which; without it the first byte tells. The answer comes in the caller's codec. Unknown fields are ignored.

Every request with a reply subject gets exactly one terminal answer: a reply or a fault, with `done: true`. A stream is \
numbered frames (`seq` from 0, without gaps), then the terminal answer.

Media travels inline (`data`) or by reference (`blob`): an object of the JetStream object store `mb_blobs`, named by \
the SHA-256 of its bytes.";

#[derive(Default)]
struct House {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
}

impl House {
    /// Where answers go: the caller's own reply subject.
    fn inbox(&mut self, messages: &[MessageType]) {
        let answers = messages
            .iter()
            .filter(|message| matches!(message.part, Part::Reply | Part::Frame | Part::Fault))
            .map(|message| message.name);
        let answers: Vec<&str> = answers.collect();
        let description = "The reply subject of the request. It must be an inbox: `_INBOX.`, `_INBOX_MODEL.`, `_INBOX_NODE.` or \
                           `mb.v1.job.`; a request with any other is dropped.";
        self.channel("inbox", Value::Null, description, &answers);
        let description = "A durable job's reply subject, kept by JetStream: live and replay are the same messages. Everything \
                           else under `mb.v1.job.` is reserved.";
        self.channel("job", json!("mb.v1.job.{job}.frames"), description, &answers);
        self.operation("job", "send", "job", "Frames, then the terminal answer, of a durable job.", None, &answers);
    }

    fn ask(&mut self) {
        let what = "A question with any mix of text, sound, pictures, film and documents. The router sends each attachment \
                    to a model that takes it, joins what they find on one clock, and has a language model answer.";
        self.channel("ask", json!(subject::ASK), what, &["ask_request"]);
        self.operation("ask", "receive", "ask", what, Some("router"), &["ask_request"]);
        self.answered("ask", &["ask_frame", "ask_reply", "fault"]);
    }

    fn capability(&mut self, talk: &Talk) {
        let answers: Vec<&str> = talk.frame.into_iter().chain([talk.reply, "fault"]).collect();
        let token = talk.capability;
        let places = [
            (token.to_owned(), format!("mb.v1.{token}"), "The router picks model and instance.", "router"),
            (format!("{token}Model"), format!("mb.v1.{token}.{{model}}"), "Any instance of this model.", "{model}"),
            (format!("{token}Instance"), format!("mb.v1.{token}.{{model}}.{{instance}}"), "This instance.", ""),
        ];
        for (name, address, who, queue) in places {
            let what = format!("{} {who}", talk.what);
            self.channel(&name, json!(address), &what, &[talk.request]);
            self.operation(&name, "receive", &name, &what, (!queue.is_empty()).then_some(queue), &[talk.request]);
            self.answered(&name, &answers);
        }
    }

    fn attachment(&mut self) {
        let what = "An attachment whose media type an actor of your own has announced: sent to its first capability.";
        self.channel("attachment", json!("mb.v1.{capability}.{model}"), what, &["attachment_request"]);
        self.operation("attachment", "receive", "attachment", what, Some("{model}"), &["attachment_request"]);
        self.answered("attachment", &["attachment_reply", "fault"]);
    }

    fn cancel(&mut self) {
        let what =
            "Ends a work and all its legs. A broadcast: nobody answers it, the work itself is answered `cancelled`.";
        self.channel("cancel", json!("mb.v1.cancel.{work}"), what, &["cancel"]);
        self.operation("cancel", "receive", "cancel", what, None, &["cancel"]);
    }

    fn live(&mut self) {
        let what = "Sound that is published while it is recorded, for a `transcribe` with `live`: whole samples, signed, 16 bits, \
                    little-endian, one channel. An empty message ends it.";
        self.channel("live", json!("mb.v1.live.{work}"), what, &[]);
        self.operation("live", "receive", "live", what, None, &[]);
    }

    fn events(&mut self) {
        for (kind, what, message) in EVENTS {
            let name = format!("event_{kind}");
            self.channel(&name, json!(format!("mb.v1.event.{kind}.{{who}}")), what, &[message]);
            self.operation(&name, "send", &name, what, None, &[message]);
        }
    }

    fn channel(&mut self, name: &str, address: Value, description: &str, messages: &[&str]) {
        let parameters: Map<String, Value> = address
            .as_str()
            .into_iter()
            .flat_map(|address| address.split('.'))
            .filter_map(|token| token.strip_prefix('{')?.strip_suffix('}'))
            .map(|token| (token.to_owned(), reference(&format!("#/components/parameters/{token}"))))
            .collect();
        let messages: Map<String, Value> = messages
            .iter()
            .map(|message| ((*message).to_owned(), reference(&format!("#/components/messages/{message}"))))
            .collect();
        let mut channel = Map::new();
        channel.insert("address".to_owned(), address);
        channel.insert("description".to_owned(), json!(description));
        if !parameters.is_empty() {
            channel.insert("parameters".to_owned(), Value::Object(parameters));
        }
        channel.insert("messages".to_owned(), Value::Object(messages));
        self.channels.insert(name.to_owned(), Value::Object(channel));
    }

    fn operation(
        &mut self,
        name: &str,
        action: &str,
        channel: &str,
        summary: &str,
        queue: Option<&str>,
        messages: &[&str],
    ) {
        let mut operation = Map::new();
        operation.insert("action".to_owned(), json!(action));
        operation.insert("channel".to_owned(), reference(&format!("#/channels/{channel}")));
        operation.insert("summary".to_owned(), json!(summary));
        operation.insert("messages".to_owned(), of_channel(channel, messages));
        if let Some(queue) = queue {
            operation.insert("bindings".to_owned(), json!({ "nats": { "queue": queue, "bindingVersion": "0.1.0" } }));
        }
        self.operations.insert(name.to_owned(), Value::Object(operation));
    }

    /// Says what answers an operation.
    fn answered(&mut self, name: &str, answers: &[&str]) {
        if let Some(operation) = self.operations.get_mut(name).and_then(Value::as_object_mut) {
            let reply = json!({ "channel": reference("#/channels/inbox"), "messages": of_channel("inbox", answers) });
            operation.insert("reply".to_owned(), reply);
        }
    }
}

fn of_channel(channel: &str, messages: &[&str]) -> Value {
    messages.iter().map(|message| reference(&format!("#/channels/{channel}/messages/{message}"))).collect()
}

fn reference(to: &str) -> Value {
    json!({ "$ref": to })
}

fn component(message: &MessageType) -> Value {
    let headers = match message.part {
        Part::Request => Some("request_headers"),
        Part::Fault => Some("fault_headers"),
        Part::Reply | Part::Frame | Part::Event => None,
    };
    let mut component = Map::new();
    component.insert("name".to_owned(), json!(message.name));
    if let Some(summary) = message.schema.get("description") {
        component.insert("summary".to_owned(), summary.clone());
    }
    if let Some(headers) = headers {
        component.insert("headers".to_owned(), reference(&format!("#/components/schemas/{headers}")));
    }
    component.insert(
        "payload".to_owned(),
        json!({
            "schemaFormat": "application/schema+json;version=draft-07",
            "schema": { "$ref": format!("./json/{}.schema.json", message.name) },
        }),
    );
    Value::Object(component)
}

fn parameters() -> Value {
    json!({
        "model": { "description": "A model's name: one token, [A-Za-z0-9_-]{1,64}." },
        "instance": { "description": "An instance of a model, unique in the brain: one token." },
        "capability": { "description": "A capability that an actor has announced: one token, none of ask, cancel, event, job, live." },
        "work": { "description": "The work's id: one token." },
        "job": { "description": "The job's id: one token." },
        "who": { "description": "The instance, or the node, that tells: one token." },
    })
}

fn headers_schemas() -> Value {
    let token = "^[A-Za-z0-9_-]{1,64}$";
    let kinds: Vec<&str> = FaultKind::ALL.into_iter().map(FaultKind::as_str).collect();
    let codes: Vec<String> = FaultKind::ALL.into_iter().map(|kind| kind.code().to_string()).collect();
    json!({
        "request_headers": {
            "type": "object",
            "description": "None is needed. A header wins over a field of the body.",
            "properties": {
                headers::WORK: { "type": "string", "pattern": token, "description": "The work's id; made by the first hop where it is missing." },
                headers::LEG: { "type": "string", "description": "The leg's path within its work: 0, 0.3." },
                headers::DEADLINE_MS: { "type": "string", "pattern": "^[0-9]+$", "description": "Time left, in milliseconds." },
                headers::PRIORITY: { "type": "string", "pattern": "^-?[0-9]+$", "description": "0 where it is missing; in a queue the higher goes first." },
                headers::TRACEPARENT: { "type": "string", "description": "W3C trace context." },
                headers::CONTENT_TYPE: {
                    "type": "string",
                    "enum": [Codec::Json.content_type(), Codec::MessagePack.content_type()],
                },
            },
        },
        "fault_headers": {
            "type": "object",
            "properties": {
                headers::SERVICE_ERROR: { "type": "string", "enum": kinds, "description": "The fault's kind." },
                headers::SERVICE_ERROR_CODE: { "type": "string", "enum": codes, "description": "The HTTP status that says the same." },
            },
        },
    })
}
