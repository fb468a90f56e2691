//! How does a template write a value as JSON? As Python's `json.dumps` does, which models have seen in training: with a
//! space after commas and colons, and without escapes for HTML.

use std::io;

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// The widest indent, in spaces.
const WIDEST: usize = 16;

/// The filter `tojson`, with the arguments that Hugging Face's has.
pub(super) fn to_json(value: &Value, arguments: Kwargs) -> Result<String, Error> {
    let indent = arguments.get::<Option<usize>>("indent")?;
    let is_sorted = arguments.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let is_ascii = arguments.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let separators = arguments.get::<Option<Vec<String>>>("separators")?;
    arguments.assert_all_used()?;
    let wrong = |error: serde_json::Error| Error::new(ErrorKind::InvalidOperation, format!("tojson: {error}"));
    let mut json = serde_json::to_value(value).map_err(wrong)?;
    if is_sorted {
        json.sort_all_objects();
    }
    let separators = separators.as_deref().unwrap_or_default();
    let written = match indent {
        Some(indent) => {
            let indent = " ".repeat(indent.min(WIDEST));
            write(&json, PrettyFormatter::with_indent(indent.as_bytes()))
        }
        None => write(
            &json,
            Spaced {
                comma: separators.first().map_or(", ", String::as_str),
                colon: separators.get(1).map_or(": ", String::as_str),
            },
        ),
    };
    let text = written.map_err(wrong)?;
    Ok(if is_ascii { escaped(&text) } else { text })
}

fn write(json: &Json, formatter: impl Formatter) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    json.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// On one line, with these separators.
struct Spaced<'s> {
    comma: &'s str,
    colon: &'s str,
}

impl Formatter for Spaced<'_> {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        if is_first { Ok(()) } else { writer.write_all(self.comma.as_bytes()) }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        self.begin_array_value(writer, is_first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.colon.as_bytes())
    }
}

/// Everything beyond ASCII as `\uXXXX`.
fn escaped(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let mut units = [0; 2];
            ascii.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    ascii
}

/// A value as the filter writes it without arguments.
pub(super) fn spaced(json: &Json) -> String {
    write(json, Spaced { comma: ", ", colon: ": " }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};

    use super::*;

    #[test]
    fn values_are_written_as_python_writes_them() {
        let mut environment = Environment::new();
        environment.add_filter("tojson", to_json);
        let value: Json = serde_json::from_str(r#"{"b":["<é>",1,2.5],"a":{"x":null,"y":true},"e":{}}"#).unwrap();
        for (filter, expected) in [
            // What Python 3 prints.
            ("tojson", r#"{"b": ["<é>", 1, 2.5], "a": {"x": null, "y": true}, "e": {}}"#),
            ("tojson(ensure_ascii=True)", r#"{"b": ["<\u00e9>", 1, 2.5], "a": {"x": null, "y": true}, "e": {}}"#),
            ("tojson(sort_keys=True)", r#"{"a": {"x": null, "y": true}, "b": ["<é>", 1, 2.5], "e": {}}"#),
            ("tojson(separators=(',', ':'))", r#"{"b":["<é>",1,2.5],"a":{"x":null,"y":true},"e":{}}"#),
            (
                "tojson(indent=2)",
                "{\n  \"b\": [\n    \"<é>\",\n    1,\n    2.5\n  ],\n  \"a\": {\n    \"x\": null,\n    \"y\": true\n  },\n  \"e\": {}\n}",
            ),
        ] {
            let text = environment.render_str(&format!("{{{{ value | {filter} }}}}"), context! { value }).unwrap();
            assert_eq!(text, expected, "{filter}");
        }
    }
}
