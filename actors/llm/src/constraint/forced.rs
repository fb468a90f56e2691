//! How is a model made to call a tool? Its answer is held to calls that keep to the tools' schemas.

use llguidance::api::TopLevelGrammar;
use megabrain_schemas::{ChatRequest, Fault, Tool, ToolChoice, ToolMode};
use serde_json::{Value, json};

use super::{Constraint, Constraints, check_schema, on_one_line, wrong};
use crate::answer::Family;

/// Calls in an answer, so that a small model comes to an end.
const MOST_CALLS: usize = 8;

/// What makes a model call, if the request says that it must: what its answer begins with, as part of the prompt, and
/// what the rest is held to.
///
/// # Errors
/// `invalid_request` if the schema of a tool that may be called cannot be held to, with what is wrong with it.
pub(crate) fn forced_calls(
    constraints: &Constraints,
    request: &ChatRequest,
    family: Family,
) -> Result<Option<(&'static str, Constraint)>, Fault> {
    let is_wanted = |tool: &Tool| match &request.tool_choice {
        Some(ToolChoice::Named(named)) => tool.function.name == named.function.name,
        Some(ToolChoice::Mode(mode)) => *mode == ToolMode::Required,
        None => false,
    };
    let wanted: Vec<(usize, &Tool)> = request.tools.iter().enumerate().filter(|(_, tool)| is_wanted(tool)).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    // All but the schemas first: so that what is wrong with one is told with its name.
    for (index, tool) in &wanted {
        let field = format!("tools[{index}].function.parameters");
        let schema = parameters(tool);
        check_schema(&field, &schema)?;
        constraints.compile(super::json_schema(&schema), &field, None)?;
    }
    let most = if request.parallel_tool_calls == Some(false) { 1 } else { MOST_CALLS };
    let [begin, ..] = family.frame();
    let constraint = constraints.compile(TopLevelGrammar::from_lark(lark(&wanted, family, most)?), "tools", None)?;
    Ok(Some((begin, constraint)))
}

fn lark(wanted: &[(usize, &Tool)], family: Family, most: usize) -> Result<String, Fault> {
    let [_, between, end] = family.frame();
    let more = if most > 1 { format!(" ({} call){{0,{}}}", quoted(between), most - 1) } else { String::new() };
    let end = if end.is_empty() { String::new() } else { format!(" {}", quoted(end)) };
    let names: Vec<String> = wanted.iter().map(|(index, _)| format!("call_{index}")).collect();
    let mut lark = format!("start: call{more}{end}\ncall: {}\n", names.join(" | "));
    for (index, tool) in wanted {
        let name = json!(tool.function.name);
        let before = format!("{{\"name\": {name}, \"{}\": ", family.arguments_key());
        let schema = serde_json::to_string(&on_one_line(&parameters(tool)))
            .map_err(|error| wrong("tools", &error.to_string()))?;
        lark.push_str(&format!(
            "call_{index}: {} args_{index} \"}}\"\nargs_{index}: %json {schema}\n",
            quoted(&before)
        ));
    }
    Ok(lark)
}

/// A text as Lark writes it: as JSON does.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The schema of a function's arguments, which are an object whatever it says.
fn parameters(tool: &Tool) -> Value {
    let mut schema = tool.function.parameters.clone().unwrap_or_else(|| json!({"additionalProperties": false}));
    if let Some(fields) = schema.as_object_mut() {
        let is_open = ["type", "$ref", "anyOf", "oneOf", "allOf"].iter().all(|keyword| !fields.contains_key(*keyword));
        if is_open {
            fields.insert("type".into(), json!("object"));
        }
    }
    schema
}
