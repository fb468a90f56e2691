//! Does the document tell the names that a door knows, no more and no fewer?

use serde_json::Value;

use crate::error::ApiError;
use crate::known::{Names, while_reading};
use crate::parameters::Parameters;

/// Compares the parameters of a door that takes JSON with what is told of it, and those of the tables `inner`.
pub(crate) fn tells_all<T>(
    path: &str,
    body: &str,
    read: impl FnOnce(Parameters) -> Result<T, ApiError>,
    inner: &[&str],
) {
    let tables = while_reading(|| Parameters::read(body.as_bytes()).and_then(read));
    let schema = schema(path, "application/json");
    let pointers = inner.iter().map(|name| format!("/properties/{name}/properties")).chain(["/properties".into()]);
    let told = pointers.map(|pointer| names(&schema, &pointer));
    // The body is done with last.
    let others = tables.len().checked_sub(inner.len() + 1).expect("the door reads so many tables");
    compare(tables.into_iter().skip(others).zip(told));
}

/// The same of a door that takes a form.
pub(crate) fn tells_all_of_a_form<T>(path: &str, read: impl FnOnce() -> Result<T, ApiError>) {
    let tables = while_reading(read);
    let told = names(&schema(path, "multipart/form-data"), "/properties");
    // A list's name may have brackets behind it.
    let told = told.into_iter().map(|name| name.trim_end_matches("[]").to_owned()).collect();
    compare(tables.into_iter().zip([told]));
}

fn compare(tables: impl Iterator<Item = (Names, Names)>) {
    let mut only_told = Names::new();
    for (door, told) in tables {
        let untold: Vec<&String> = door.difference(&told).collect();
        assert!(untold.is_empty(), "the door knows these, and the document does not tell them: {untold:?}");
        only_told.extend(told.difference(&door).cloned());
    }
    assert!(only_told.is_empty(), "the document tells these, and the door does not know them: {only_told:?}");
}

fn schema(path: &str, kind: &str) -> Value {
    super::written(false)["paths"][path]["post"]["requestBody"]["content"][kind]["schema"].clone()
}

fn names(schema: &Value, pointer: &str) -> Names {
    schema.pointer(pointer).and_then(Value::as_object).unwrap().keys().cloned().collect()
}
