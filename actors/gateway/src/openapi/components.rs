//! Which shapes do several doors share?

use megabrain_schemas::{Evidence, Fault, JsonSchemaFormat, LegReport, ResponseFormat, ToolCall, ToolChoice, headers};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::schema::{maybe, object, reference};

/// All of them.
pub(super) fn written() -> Value {
    let mut schemas = of_the_contract();
    schemas.insert("Error".into(), error());
    schemas.insert("OllamaError".into(), object(&["error"], &json!({ "error": { "type": "string" } })));
    schemas.insert("Usage".into(), usage());
    schemas.insert("Notes".into(), notes());
    schemas.insert("Part".into(), part());
    schemas.insert("Message".into(), message());
    schemas.insert("Model".into(), super::service::model_schema());
    schemas.insert("Job".into(), super::jobs::job_schema());
    schemas.sort_keys();
    json!({
        "schemas": schemas,
        "parameters": parameters(),
        "headers": {
            "x-request-id": {
                "description": "The work's id, by which it is found in logs and traces.", "schema": { "type": "string" },
            },
            "retry-after": {
                "description": "When to come again, in seconds.", "schema": { "type": "integer", "minimum": 1 },
            },
            "retry-after-ms": {
                "description": "The same in milliseconds.", "schema": { "type": "integer", "minimum": 0 },
            },
        },
        "securitySchemes": {
            "key": { "type": "http", "scheme": "bearer", "description": "`megabrain key` makes one; its scopes stand beside it." },
        },
    })
}

/// What the contract of the bus describes already, as it is written in answers.
fn of_the_contract() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    generator.subschema_for::<Fault>();
    generator.subschema_for::<Evidence>();
    generator.subschema_for::<LegReport>();
    generator.subschema_for::<ToolCall>();
    generator.subschema_for::<ToolChoice>();
    generator.subschema_for::<ResponseFormat>();
    generator.subschema_for::<JsonSchemaFormat>();
    generator.take_definitions(true)
}

fn error() -> Value {
    let fields = json!({
        "message": { "type": "string", "description": "What failed, for a person." },
        "type": { "type": "string", "description": "What kind of failure OpenAI would call it." },
        "param": { "type": ["string", "null"], "description": "The parameter that it is about." },
        "code": { "type": "string", "description": "What failed, for a program." },
    });
    object(&["error"], &json!({ "error": object(&["message", "type", "param", "code"], &fields) }))
}

fn usage() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let fields = json!({ "prompt_tokens": count, "completion_tokens": count, "total_tokens": count });
    object(&["prompt_tokens", "completion_tokens", "total_tokens"], &fields)
}

/// What the brain tells beside its answer.
fn notes() -> Value {
    object(
        &["evidence", "legs", "took_ms"],
        &json!({
            "model": { "type": ["string", "null"] },
            "evidence": { "type": "array", "items": reference("Evidence") },
            "left_out": { "type": "array", "items": { "type": "integer" } },
            "legs": { "type": "array", "items": reference("LegReport") },
            "took_ms": { "type": "number" },
        }),
    )
}

/// A part of a message: text, or what is sent along.
fn part() -> Value {
    let text = json!({ "type": "string" });
    let of = |kind: &str, name: &str, schema: Value| {
        object(&["type", name], &json!({ "type": { "const": kind }, name: schema }))
    };
    let url = json!({ "type": "string", "description": "A data URL, or the name of a blob: nothing is fetched." });
    let image = json!({ "anyOf": [url, object(&["url"], &json!({ "url": url }))] });
    let sound = object(&["data", "format"], &json!({ "data": text, "format": text }));
    json!({ "anyOf": [
        of("text", "text", text.clone()),
        of("refusal", "refusal", text),
        of("image_url", "image_url", image),
        of("input_audio", "input_audio", sound),
        of("file", "file", object(&["file_data"], &json!({ "file_data": url }))),
    ] })
}

fn message() -> Value {
    let parts = json!({ "type": "array", "items": reference("Part") });
    object(
        &["role"],
        &json!({
            "role": { "enum": ["system", "developer", "user", "assistant", "tool"] },
            "content": maybe(&json!({ "anyOf": [{ "type": "string" }, parts] })),
            "name": super::schema::ignored(),
            "reasoning_content": { "type": ["string", "null"], "description": "What the assistant thought before it answered." },
            "tool_calls": maybe(&json!({ "type": "array", "items": reference("ToolCall") })),
            "tool_call_id": { "type": ["string", "null"], "description": "The call that a message of role tool answers." },
        }),
    )
}

/// Headers that go along to the model.
fn parameters() -> Value {
    let header = |name: &str, schema: Value, about: &str| json!({ "name": name, "in": "header", "required": false, "schema": schema, "description": about });
    json!({
        "work": header(
            headers::WORK,
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" }),
            "An id of your own for the work, to cancel it by, and to find it in logs.",
        ),
        "deadline": header(
            headers::DEADLINE_MS,
            json!({ "type": "integer", "minimum": 0 }),
            "Time allowed, in milliseconds. Without it, the brain's own.",
        ),
        "trace": header(headers::TRACEPARENT, json!({ "type": "string" }), "The W3C trace that the work is a part of."),
        "id": {
            "name": "id", "in": "path", "required": true, "schema": { "type": "string" }, "description": "Which one.",
        },
    })
}
