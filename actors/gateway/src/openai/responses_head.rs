//! What is known of a response before it is made, and what is it when it has ended?

use megabrain_schemas::{ChatRequest, FinishReason, FunctionTool, JsonSchemaFormat, ResponseFormat, ToolChoice, Usage};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::error::ApiError;
use crate::models::now;
use crate::work::Work;

use super::responses_input::ResponseCall;
use super::responses_items::Item;

/// What is known before.
pub(super) struct Head {
    /// What tells its ids from others'.
    work: String,
    created: u64,
    model: String,
    instructions: Option<String>,
    settings: ChatRequest,
}

impl Head {
    pub(super) fn new(call: &ResponseCall, work: &Work) -> Self {
        Self {
            work: work.meta.work.as_str().replace('-', "_"),
            created: now(),
            model: call.model.clone(),
            instructions: call.instructions.clone(),
            settings: call.conversation.settings.clone(),
        }
    }

    /// The id of an item that is the `index`th of the output.
    pub(super) fn item_id(&self, item: &Item, index: usize) -> String {
        item.id(&format!("{}_{index}", self.work))
    }

    /// The response while it is being made.
    pub(super) fn in_progress(&self) -> Value {
        self.with("in_progress", json!([]))
    }

    /// The response that failed.
    pub(super) fn failed(&self, error: &ApiError) -> Value {
        let mut response = self.with("failed", json!([]));
        put(&mut response, "error", json!({ "code": "server_error", "message": error.message() }));
        response
    }

    /// The response of a whole answer.
    pub(super) fn whole(&self, answer: &Answer) -> Value {
        let items = Item::of(answer);
        let ended = |(index, item): (usize, &Item)| item.ended(&self.item_id(item, index), status(answer));
        self.ended(items.iter().enumerate().map(ended).collect(), answer)
    }

    /// The response when all of its output is there.
    pub(super) fn ended(&self, output: Vec<Value>, answer: &Answer) -> Value {
        let status = status(answer);
        let mut response = self.with(status, output.into());
        if status == "incomplete" {
            put(&mut response, "incomplete_details", json!({ "reason": "max_output_tokens" }));
        }
        put(&mut response, "usage", usage(answer.usage));
        if let Some(notes) = &answer.notes {
            put(&mut response, "megabrain", notes.clone());
        }
        response
    }

    fn with(&self, status: &str, output: Value) -> Value {
        let Self { work, created, model, instructions, settings } = self;
        let tools: Vec<Value> = settings.tools.iter().map(|tool| tool_of(&tool.function)).collect();
        json!({
            "id": format!("resp_{work}"), "object": "response", "created_at": created, "status": status,
            "model": model, "output": output,
            "error": null, "incomplete_details": null, "instructions": instructions, "metadata": {}, "usage": null,
            "max_output_tokens": settings.max_tokens, "temperature": settings.temperature, "top_p": settings.top_p,
            "parallel_tool_calls": settings.parallel_tool_calls.unwrap_or(true), "previous_response_id": null,
            "store": false, "text": { "format": format(settings.response_format.as_ref()) },
            "tool_choice": choice(settings.tool_choice.as_ref()), "tools": tools, "truncation": "disabled",
        })
    }
}

/// How an answer ended, as a response says it.
pub(super) fn status(answer: &Answer) -> &'static str {
    if answer.finish_reason == FinishReason::Length { "incomplete" } else { "completed" }
}

fn tool_of(FunctionTool { name, description, parameters, strict }: &FunctionTool) -> Value {
    json!({ "type": "function", "name": name, "description": description, "parameters": parameters, "strict": strict })
}

fn choice(choice: Option<&ToolChoice>) -> Value {
    match choice {
        None => json!("auto"),
        Some(ToolChoice::Mode(mode)) => json!(mode),
        Some(ToolChoice::Named(named)) => json!({ "type": "function", "name": named.function.name }),
    }
}

fn format(format: Option<&ResponseFormat>) -> Value {
    match format {
        None => json!({ "type": "text" }),
        Some(ResponseFormat::JsonSchema { json_schema: JsonSchemaFormat { name, description, schema, strict } }) => {
            json!({ "type": "json_schema", "name": name, "description": description, "schema": schema, "strict": strict })
        }
        Some(other) => json!(other),
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens),
    })
}

fn put(response: &mut Value, name: &str, value: Value) {
    if let Some(fields) = response.as_object_mut() {
        fields.insert(name.into(), value);
    }
}
