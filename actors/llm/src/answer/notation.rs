//! Is this text one call, or several, in the way that a marker announces?

use megabrain_schemas::FunctionCall;
use serde_json::{Map, Value};

use super::family::{Marker, Writing};
use super::{python, tagged};

/// What a text after a marker is.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// The beginning of a call, so far.
    Open,
    /// Calls, in so many bytes.
    Calls(Vec<FunctionCall>, usize),
    /// No call.
    None,
}

/// Reads what follows a marker. `is_end` says that no more text will come; `names` are the functions that there are.
pub(super) fn find_calls(marker: Marker, body: &str, is_end: bool, names: &[String]) -> Found {
    let found = match marker.writing {
        Writing::Json => json_or_tags(body, marker, names),
        Writing::Named => named(body, names),
        Writing::Python => until_end(body, marker.end, is_end, |text| python::calls(text, names)),
        Writing::Gemma => until_end(body, marker.end, is_end, |text| tagged::gemma_call(text, names)),
    };
    match found {
        Found::Calls(calls, length) => close(calls, length, body, marker.end, is_end),
        Found::Open if is_end => Found::None,
        found => found,
    }
}

/// Adds the text that ends the calls, and white space before it, to their length.
fn close(calls: Vec<FunctionCall>, length: usize, body: &str, end: &str, is_end: bool) -> Found {
    if end.is_empty() {
        return Found::Calls(calls, length);
    }
    let rest = body.get(length..).unwrap_or_default();
    let tail = rest.trim_start();
    let space = rest.len() - tail.len();
    if tail.starts_with(end) {
        Found::Calls(calls, length + space + end.len())
    } else if end.starts_with(tail) && !is_end {
        Found::Open
    } else if end.starts_with(tail) {
        Found::Calls(calls, body.len())
    } else {
        // The model goes on without having closed the call.
        Found::Calls(calls, length)
    }
}

/// A notation that can be read only once all of it is there.
fn until_end(body: &str, end: &str, is_end: bool, read: impl Fn(&str) -> Option<Vec<FunctionCall>>) -> Found {
    let at = match body.find(end) {
        Some(at) => at,
        None if is_end => body.len(),
        None => return Found::Open,
    };
    let text = body.get(..at).unwrap_or_default();
    read(text).map_or(Found::None, |calls| Found::Calls(calls, text.trim_end().len()))
}

fn json_or_tags(body: &str, marker: Marker, names: &[String]) -> Found {
    let text = body.trim_start();
    if text.starts_with("<function=") || (!text.is_empty() && "<function=".starts_with(text)) {
        return tagged::functions(body, names);
    }
    // Without a mark, only what has arguments is a call: other objects may have names too.
    json_calls(body, marker.begin.is_empty(), names)
}

fn json_calls(body: &str, needs_arguments: bool, names: &[String]) -> Found {
    match json(body) {
        Json::Open => Found::Open,
        Json::None => Found::None,
        Json::Value(value, length) => {
            calls_of(&value, needs_arguments, names).map_or(Found::None, |calls| Found::Calls(calls, length))
        }
    }
}

/// `[{…}]`, or `name[ARGS]{…}`, perhaps with `[CALL_ID]…` between; newer models leave `[ARGS]` out.
fn named(body: &str, names: &[String]) -> Found {
    let text = body.trim_start();
    let space = body.len() - text.len();
    if text.is_empty() {
        return Found::Open;
    }
    if text.starts_with(['[', '{']) {
        return json_calls(body, false, names);
    }
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    let name = text.get(..text.find(|character| !is_plain(character)).unwrap_or(text.len())).unwrap_or_default();
    if !names.iter().any(|known| known == name) {
        let may_be = name.len() == text.len() && names.iter().any(|known| known.starts_with(name));
        return if may_be { Found::Open } else { Found::None };
    }
    let rest = text.get(name.len()..).unwrap_or_default();
    let Some(at) = rest.find('{') else {
        return if rest.len() <= MOST_BETWEEN { Found::Open } else { Found::None };
    };
    match json(rest.get(at..).unwrap_or_default()) {
        Json::Open => Found::Open,
        Json::Value(Value::Object(arguments), length) => {
            Found::Calls(vec![call(name, &arguments)], space + name.len() + at + length)
        }
        _ => Found::None,
    }
}

/// Bytes between a function's name and its arguments.
const MOST_BETWEEN: usize = 64;

/// What a text begins with.
enum Json {
    Open,
    Value(Value, usize),
    None,
}

/// Reads one object or list, and white space before it.
fn json(text: &str) -> Json {
    let begun = text.trim_start();
    if begun.is_empty() {
        return Json::Open;
    }
    if !begun.starts_with(['{', '[']) {
        return Json::None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => Json::Value(value, values.byte_offset()),
        Some(Err(error)) if error.is_eof() => Json::Open,
        _ => Json::None,
    }
}

/// The calls that a JSON value is: an object, or a list of some.
fn calls_of(value: &Value, needs_arguments: bool, names: &[String]) -> Option<Vec<FunctionCall>> {
    let call = |value: &Value| call_of(value, needs_arguments, names);
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(call).collect(),
        Value::Object(_) => Some(vec![call(value)?]),
        _ => None,
    }
}

fn call_of(value: &Value, needs_arguments: bool, names: &[String]) -> Option<FunctionCall> {
    let object = value.as_object()?;
    if let Some(inner @ Value::Object(_)) = object.get("function") {
        return call_of(inner, needs_arguments, names);
    }
    let name = object.get("name").or_else(|| object.get("function"))?.as_str()?;
    let name = names.iter().find(|known| *known == name)?;
    let given = ["arguments", "parameters", "args"].iter().find_map(|key| object.get(*key));
    match given {
        None if needs_arguments => None,
        None | Some(Value::Null) => Some(call(name, &Map::new())),
        Some(Value::Object(arguments)) => Some(call(name, arguments)),
        Some(Value::String(text)) => Some(call(name, serde_json::from_str::<Value>(text).ok()?.as_object()?)),
        Some(_) => None,
    }
}

/// A call of a function.
pub(super) fn call(name: &str, arguments: &Map<String, Value>) -> FunctionCall {
    FunctionCall { name: name.to_owned(), arguments: Value::Object(arguments.clone()).to_string() }
}
