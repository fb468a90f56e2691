//! How is a call read that is written in Python? `print(default_api.find(day="Friday", length=7))`, a line each.

use megabrain_schemas::FunctionCall;
use serde_json::{Map, Value};

use super::notation::call;

/// How deep values nest.
const DEEPEST: usize = 32;

/// The calls, if the text is nothing else, and all are of functions that there are, with named arguments.
pub(super) fn calls(text: &str, names: &[String]) -> Option<Vec<FunctionCall>> {
    let mut reader = Reader { rest: text.trim() };
    let mut calls = Vec::new();
    if reader.takes("[") {
        // A list of calls.
        loop {
            calls.push(reader.call(names)?);
            if reader.takes("]") {
                break;
            }
            reader.takes(",").then_some(())?;
        }
    } else {
        while !reader.rest.trim_start().is_empty() {
            calls.push(reader.call(names)?);
            while reader.takes(";") {}
        }
    }
    (!calls.is_empty() && reader.rest.trim().is_empty()).then_some(calls)
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn call(&mut self, names: &[String]) -> Option<FunctionCall> {
        let is_printed = self.takes("print(");
        let written = self.word(|character| character.is_alphanumeric() || "_.-".contains(character));
        let name = names.iter().find(|known| **known == written || written.ends_with(&format!(".{known}")))?;
        self.takes("(").then_some(())?;
        let mut arguments = Map::new();
        while !self.takes(")") {
            if !arguments.is_empty() {
                self.takes(",").then_some(())?;
                if self.takes(")") {
                    break;
                }
            }
            let key = self.word(|character| character.is_alphanumeric() || character == '_');
            (!key.is_empty() && self.takes("=")).then_some(())?;
            arguments.insert(key, self.value(0)?);
        }
        if is_printed {
            self.takes(")").then_some(())?;
        }
        Some(call(name, &arguments))
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            quote @ ('"' | '\'') => self.text(quote).map(Value::String),
            '[' => self.list('[', ']', depth).map(Value::Array),
            '(' => self.list('(', ')', depth).map(Value::Array),
            '{' => self.dictionary(depth).map(Value::Object),
            _ => match self.word(|character| character.is_alphanumeric() || "+-._".contains(character)).as_str() {
                "True" | "true" => Some(Value::Bool(true)),
                "False" | "false" => Some(Value::Bool(false)),
                "None" | "null" => Some(Value::Null),
                number => serde_json::from_str::<Value>(number).ok().filter(Value::is_number),
            },
        }
    }

    fn list(&mut self, begin: char, end: char, depth: usize) -> Option<Vec<Value>> {
        self.rest = self.rest.strip_prefix(begin)?;
        let end = end.to_string();
        let mut values = Vec::new();
        while !self.takes(&end) {
            if !values.is_empty() {
                self.takes(",").then_some(())?;
                if self.takes(&end) {
                    break;
                }
            }
            values.push(self.value(depth + 1)?);
        }
        Some(values)
    }

    fn dictionary(&mut self, depth: usize) -> Option<Map<String, Value>> {
        self.rest = self.rest.strip_prefix('{')?;
        let mut fields = Map::new();
        while !self.takes("}") {
            if !fields.is_empty() {
                self.takes(",").then_some(())?;
                if self.takes("}") {
                    break;
                }
            }
            let key = self.value(depth + 1)?.as_str()?.to_owned();
            self.takes(":").then_some(())?;
            fields.insert(key, self.value(depth + 1)?);
        }
        Some(fields)
    }

    fn text(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.rest = self.rest.get(at + quote.len_utf8()..)?;
                return Some(text);
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            match characters.next()?.1 {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                escaped @ ('\\' | '"' | '\'') => text.push(escaped),
                other => text.extend(['\\', other]),
            }
        }
        None
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let begun = self.rest.trim_start();
        let end = begun.find(|character| !belongs(character)).unwrap_or(begun.len());
        let (word, rest) = begun.split_at_checked(end).unwrap_or((begun, ""));
        let word = word.to_owned();
        self.rest = rest;
        word
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
