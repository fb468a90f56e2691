//! What is told of one door?

use serde_json::{Map, Value, json};

use crate::routes::Door;

use super::statuses;

/// A door's description as it is being made.
pub(crate) struct Operation {
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
    refusals: Vec<u16>,
}

impl Operation {
    /// A door, by what programs call it, and by what it is for.
    pub(super) fn new(id: &'static str, summary: &'static str) -> Self {
        Self { id, summary, parameters: Vec::new(), body: None, answers: Map::new(), refusals: Vec::new() }
    }

    /// It has this parameter, beside a body.
    pub(super) fn takes(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// It takes JSON.
    pub(super) fn takes_json(self, schema: &Value, example: &Value) -> Self {
        self.takes_body(json!({ "application/json": { "schema": schema, "example": example } }))
    }

    /// It takes a form with a file.
    pub(super) fn takes_form(self, schema: &Value) -> Self {
        self.takes_body(json!({ "multipart/form-data": { "schema": schema } }))
    }

    fn takes_body(mut self, content: Value) -> Self {
        self.body = Some(json!({ "required": true, "content": content }));
        self.refuses(statuses::OF_BODIES)
    }

    /// It is answered so where all is well.
    pub(super) fn answers(self, status: u16, description: &str, kind: &str, schema: &Value) -> Self {
        self.answers_with(status, description, kind, schema, &json!({}))
    }

    /// The same, with headers of its own.
    pub(super) fn answers_with(
        mut self,
        status: u16,
        description: &str,
        kind: &str,
        schema: &Value,
        headers: &Value,
    ) -> Self {
        let answer = self.answers.entry(status.to_string()).or_insert_with(|| {
            let mut all = json!({ "x-request-id": { "$ref": "#/components/headers/x-request-id" } });
            merge(&mut all, headers);
            json!({ "description": description, "headers": all, "content": {} })
        });
        add(answer, kind, schema);
        self
    }

    /// Or in another way, with the same status.
    pub(super) fn or(mut self, status: u16, kind: &str, schema: &Value) -> Self {
        if let Some(answer) = self.answers.get_mut(&status.to_string()) {
            add(answer, kind, schema);
        }
        self
    }

    /// It is refused with these statuses.
    pub(super) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// A model works on it, and may fail in every way there is; work, time and trace are named in headers.
    pub(super) fn asks_a_model(self) -> Self {
        ["work", "deadline", "trace"].into_iter().fold(self.refuses(statuses::OF_FAULTS), |operation, name| {
            operation.takes(json!({ "$ref": format!("#/components/parameters/{name}") }))
        })
    }

    /// As the document has it.
    pub(super) fn written(self, door: &Door, asks_for_keys: bool) -> Value {
        let Self { id, summary, parameters, body, mut answers, mut refusals } = self;
        refusals.extend(statuses::OF_ALL);
        if door.scope.is_some() {
            refusals.extend(statuses::OF_KEYS);
        }
        for status in refusals {
            answers.entry(status.to_string()).or_insert_with(|| statuses::refusal(status, door.path));
        }
        answers.sort_keys();
        let security: Vec<Value> =
            door.scope.iter().filter(|_| asks_for_keys).map(|scope| json!({ "key": [scope.as_str()] })).collect();
        let mut operation = json!({
            "operationId": id, "summary": summary, "security": security, "parameters": parameters, "responses": answers,
        });
        if let Some(body) = body {
            merge(&mut operation, &json!({ "requestBody": body }));
        }
        operation
    }
}

fn add(answer: &mut Value, kind: &str, schema: &Value) {
    if let Some(content) = answer.get_mut("content").and_then(Value::as_object_mut) {
        content.insert(kind.into(), json!({ "schema": schema }));
    }
}

/// Puts the fields of one object into another.
pub(super) fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.clone());
    }
}
