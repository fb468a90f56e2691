//! Which keywords of a JSON Schema are held to? Those that are not are refused, with their place: one that is ignored would
//! promise what nobody keeps.

use serde_json::Value;

/// Held to. llguidance knows these (its list is private) and ignores what no draft has, such as a word that is misspelled:
/// to be compared with its `IMPLEMENTED` when it is updated.
const HELD: [&str; 27] = [
    "anyOf",
    "oneOf",
    "allOf",
    "$ref",
    "const",
    "enum",
    "type",
    "items",
    "additionalItems",
    "prefixItems",
    "minItems",
    "maxItems",
    "properties",
    "additionalProperties",
    "patternProperties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];
/// Say nothing of what is valid.
const NOTES: [&str; 19] = [
    "$anchor",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "id",
    "$comment",
    "title",
    "description",
    "default",
    "readOnly",
    "writeOnly",
    "examples",
    "example",
    "contentMediaType",
    "contentEncoding",
    "deprecated",
    "strict",
    "$vocabulary",
];
/// Hold schemas by name.
const MAPS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
/// Hold a schema, or a list of some.
const SCHEMAS: [&str; 7] =
    ["items", "additionalItems", "additionalProperties", "prefixItems", "anyOf", "oneOf", "allOf"];

/// Checks every schema within a schema.
///
/// # Errors
/// Names the keyword that is not held to, or the schema that is none, and where it is.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    check_at(schema, "")
}

fn check_at(schema: &Value, path: &str) -> Result<(), String> {
    let place = if path.is_empty() { String::new() } else { format!(" at {path}") };
    let fields = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(fields) => fields,
        _ => return Err(format!("a schema is an object, or true or false; this is none{place}")),
    };
    for (keyword, value) in fields {
        let keyword = keyword.as_str();
        let is_known = HELD.contains(&keyword) || NOTES.contains(&keyword) || keyword.starts_with("x-");
        if !is_known || keyword == "x-guidance" {
            let keyword: String = keyword.chars().take(64).collect();
            return Err(format!("the keyword `{keyword}`{place} is not supported"));
        }
        let path = format!("{path}/{keyword}");
        match value {
            Value::Object(schemas) if MAPS.contains(&keyword) => {
                for (name, schema) in schemas {
                    check_at(schema, &format!("{path}/{}", name.chars().take(64).collect::<String>()))?;
                }
            }
            Value::Array(schemas) if SCHEMAS.contains(&keyword) => {
                for (index, schema) in schemas.iter().enumerate() {
                    check_at(schema, &format!("{path}/{index}"))?;
                }
            }
            schema if SCHEMAS.contains(&keyword) => check_at(schema, &path)?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_keyword_that_is_not_held_to_is_named_with_its_place() {
        let schema = json!({
            "type": "object", "title": "A berth", "x-note": 1,
            "properties": {"not": {"type": "array", "items": {"anyOf": [true, {"uniqueItems": true}]}}},
        });
        let error = check(&schema).unwrap_err();
        assert_eq!(error, "the keyword `uniqueItems` at /properties/not/items/anyOf/1 is not supported");
        for (schema, part) in [
            (json!({"propertes": {}}), "`propertes`"),
            (json!({"not": {}}), "`not`"),
            (json!({"x-guidance": {"lenient": true}}), "`x-guidance`"),
            (json!({"properties": {"a": 7}}), "at /properties/a"),
            (json!("string"), "this is none"),
        ] {
            let error = check(&schema).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn names_of_properties_and_values_are_no_keywords() {
        check(&json!({"properties": {"if": {"const": {"then": 1}}, "else": {"enum": [{"not": 1}]}}})).unwrap();
        check(&json!(true)).unwrap();
    }
}
