//! How are calls read that are neither JSON nor Python?

use megabrain_schemas::FunctionCall;
use serde_json::{Map, Value};

use super::notation::{Found, call};

/// `<function=name><parameter=key>value</parameter>…</function>`, one or several: Qwen3-Coder.
pub(super) fn functions(body: &str, names: &[String]) -> Found {
    const END: &str = "</function>";
    let mut calls = Vec::new();
    let mut read = 0;
    loop {
        let rest = body.get(read..).unwrap_or_default();
        let text = rest.trim_start();
        if !text.starts_with("<function=") {
            let may_go_on = !text.is_empty() && "<function=".starts_with(text);
            return if calls.is_empty() || may_go_on { Found::Open } else { Found::Calls(calls, read) };
        }
        let Some(at) = text.find(END) else { return Found::Open };
        let Some(one) = text.get(..at).and_then(|text| function(text, names)) else { return Found::None };
        calls.push(one);
        read += rest.len() - text.len() + at + END.len();
    }
}

fn function(text: &str, names: &[String]) -> Option<FunctionCall> {
    let (name, mut rest) = text.strip_prefix("<function=")?.split_once('>')?;
    let name = names.iter().find(|known| *known == name.trim())?;
    let mut arguments = Map::new();
    while let Some((_, parameter)) = rest.split_once("<parameter=") {
        let (key, after) = parameter.split_once('>')?;
        let (value, after) = after.split_once("</parameter>")?;
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        arguments.insert(key.trim().to_owned(), loose(value));
        rest = after;
    }
    Some(call(name, &arguments))
}

/// A value that is written without quotation marks if it is text.
fn loose(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// `call:name{key:<escape>text<escape>,other:3}`: Gemma.
pub(super) fn gemma_call(text: &str, names: &[String]) -> Option<Vec<FunctionCall>> {
    let (name, rest) = text.trim().strip_prefix("call:")?.split_once('{')?;
    let name = names.iter().find(|known| *known == name.trim())?;
    let mut reader = Gemma { rest };
    let arguments = reader.object(0)?;
    reader.rest.trim().is_empty().then(|| vec![call(name, &arguments)])
}

/// How deep values nest.
const DEEPEST: usize = 32;

struct Gemma<'t> {
    rest: &'t str,
}

impl Gemma<'_> {
    /// What follows a brace.
    fn object(&mut self, depth: usize) -> Option<Map<String, Value>> {
        let mut fields = Map::new();
        while !self.takes("}") {
            if !fields.is_empty() && !self.takes(",") {
                return None;
            }
            let (key, rest) = self.rest.split_once(':')?;
            let key = key.trim().to_owned();
            self.rest = rest;
            fields.insert(key, self.value(depth + 1)?);
        }
        Some(fields)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        if self.takes("<escape>") {
            let (text, rest) = self.rest.split_once("<escape>")?;
            self.rest = rest;
            return Some(Value::String(text.to_owned()));
        }
        if self.takes("{") {
            return self.object(depth).map(Value::Object);
        }
        if self.takes("[") {
            let mut values = Vec::new();
            while !self.takes("]") {
                if !values.is_empty() && !self.takes(",") {
                    return None;
                }
                values.push(self.value(depth + 1)?);
            }
            return Some(Value::Array(values));
        }
        let end = self.rest.find([',', '}', ']'])?;
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(loose(text.trim()))
    }

    fn takes(&mut self, text: &str) -> bool {
        match self.rest.trim_start().strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}
