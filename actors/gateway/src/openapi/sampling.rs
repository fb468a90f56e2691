//! Which parameters say how an answer is made? The same at most doors.

use serde_json::{Value, json};

use super::schema::within;

/// What every door of conversations takes, the longest answer aside.
pub(super) fn sampling() -> Value {
    let stop = json!({ "type": "string", "minLength": 1, "maxLength": 256 });
    json!({
        "temperature": within(0.0, 2.0, "Randomness; 0 is greedy."),
        "top_p": within(0.0, 1.0, "Keep only the likeliest tokens whose chances add up to this."),
        "top_k": {
            "type": ["integer", "null"], "minimum": 0, "description": "Keep only so many of the likeliest tokens; 0: all.",
        },
        "min_p": within(0.0, 1.0, "Keep only tokens at least this likely, measured by the likeliest."),
        "presence_penalty": within(-2.0, 2.0, "Taken from the logit of a token that the answer has already."),
        "frequency_penalty": within(-2.0, 2.0, "Taken from it once for each time that the answer has it."),
        "repeat_penalty": within(0.1, 10.0, "Divides the logit of a token that is among the last of the answer."),
        "logit_bias": {
            "type": ["object", "null"],
            "additionalProperties": { "type": "number", "minimum": -100, "maximum": 100 },
            "description": "Added to the logits of tokens, each by its number in the model's vocabulary.",
        },
        "seed": { "type": ["integer", "null"], "description": "The same seed gives the same answer." },
        "stop": {
            "anyOf": [stop, { "type": "array", "items": stop, "maxItems": 16 }, { "type": "null" }],
            "description": "Texts that end the answer; they are not part of it.",
        },
    })
}

/// The longest answer, under one of its names.
pub(super) fn longest(name: &str) -> Value {
    json!({
        name: {
            "type": ["integer", "null"], "minimum": 1,
            "description": "The longest answer, in tokens. Without it, the brain's own.",
        },
    })
}

/// Whether the answer comes as it is made.
pub(super) fn stream(about: &str) -> Value {
    json!({ "stream": { "type": ["boolean", "null"], "description": about } })
}

/// What is said of the streams of OpenAI's older doors.
pub(super) fn stream_options() -> Value {
    json!({
        "stream_options": {
            "type": ["object", "null"],
            "properties": { "include_usage": { "type": "boolean" }, "include_obfuscation": { "type": "boolean" } },
            "additionalProperties": false,
        },
    })
}
