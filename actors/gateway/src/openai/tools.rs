//! What may a model call, and what form must its answer have? As the two doors of OpenAI's write it, for the bus.

use megabrain_schemas::{
    ChatRequest, FunctionTool, JsonSchemaFormat, ResponseFormat, Tool, ToolChoice, ToolKind, ToolMode,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;
use crate::parameters::Parameters;

/// A tool of a chat.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum ChatTool {
    Function { function: Function },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

/// A tool of a response: a level less.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum ResponseTool {
    Function { name: String, description: Option<String>, parameters: Option<Value>, strict: Option<bool> },
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"none\", \"auto\", \"required\" or {\"type\":\"function\",\"name\":…}")]
enum ResponseToolChoice {
    Mode(ToolMode),
    Named(NamedFunction),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum NamedFunction {
    Function { name: String },
}

/// `text` of a response.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextSettings {
    #[serde(default)]
    format: Option<TextFormat>,
    #[serde(default, rename = "verbosity")]
    _verbosity: Option<Verbosity>,
}

/// The form of a response's text: a level less than a chat's.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum TextFormat {
    Text {},
    JsonObject {},
    JsonSchema { name: Option<String>, description: Option<String>, schema: Value, strict: Option<bool> },
}

/// How much is said: what a model says anyway.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verbosity {
    Medium,
}

impl From<ChatTool> for Tool {
    fn from(ChatTool::Function { function }: ChatTool) -> Self {
        let Function { name, description, parameters, strict } = function;
        Self { kind: ToolKind::Function, function: FunctionTool { name, description, parameters, strict } }
    }
}

impl From<ResponseTool> for Tool {
    fn from(tool: ResponseTool) -> Self {
        let ResponseTool::Function { name, description, parameters, strict } = tool;
        Self { kind: ToolKind::Function, function: FunctionTool { name, description, parameters, strict } }
    }
}

impl From<ResponseToolChoice> for ToolChoice {
    fn from(choice: ResponseToolChoice) -> Self {
        match choice {
            ResponseToolChoice::Mode(mode) => Self::Mode(mode),
            ResponseToolChoice::Named(NamedFunction::Function { name }) => Self::named(name),
        }
    }
}

impl From<TextFormat> for ResponseFormat {
    fn from(format: TextFormat) -> Self {
        match format {
            TextFormat::Text {} => Self::Text {},
            TextFormat::JsonObject {} => Self::JsonObject {},
            TextFormat::JsonSchema { name, description, schema, strict } => {
                Self::JsonSchema { json_schema: JsonSchemaFormat { name, description, schema, strict } }
            }
        }
    }
}

/// Takes what a chat says of tools and of its answer's form.
///
/// # Errors
/// One of them is not what it should be.
pub(super) fn of_chat(parameters: &mut Parameters, settings: &mut ChatRequest) -> Result<(), ApiError> {
    let choice = parameters.take("tool_choice")?;
    take_tools::<ChatTool>(parameters, choice, settings)?;
    settings.response_format = parameters.take("response_format")?.filter(is_more_than_text);
    settings.grammar = parameters.take("grammar")?;
    Ok(())
}

/// Takes the same of a response.
///
/// # Errors
/// As [`of_chat`].
pub(super) fn of_response(parameters: &mut Parameters, settings: &mut ChatRequest) -> Result<(), ApiError> {
    let choice = parameters.take::<ResponseToolChoice>("tool_choice")?.map(ToolChoice::from);
    take_tools::<ResponseTool>(parameters, choice, settings)?;
    let text: TextSettings = parameters.take("text")?.unwrap_or_default();
    settings.response_format = text.format.map(ResponseFormat::from).filter(is_more_than_text);
    Ok(())
}

/// Takes what Ollama's clients say of tools: the same as a chat, without a choice.
///
/// # Errors
/// As [`of_chat`].
pub(crate) fn of_ollama(parameters: &mut Parameters, settings: &mut ChatRequest) -> Result<(), ApiError> {
    take_tools::<ChatTool>(parameters, None, settings)
}

fn take_tools<T: DeserializeOwned + Into<Tool>>(
    parameters: &mut Parameters,
    choice: Option<ToolChoice>,
    settings: &mut ChatRequest,
) -> Result<(), ApiError> {
    let tools: Vec<T> = parameters.take("tools")?.unwrap_or_default();
    settings.tools = tools.into_iter().map(Into::into).collect();
    let parallel = parameters.take("parallel_tool_calls")?;
    // Clients say these without tools, too, where they say nothing.
    settings.parallel_tool_calls = parallel.filter(|_| !settings.tools.is_empty());
    let says_nothing = |choice: &ToolChoice| matches!(choice, ToolChoice::Mode(ToolMode::None | ToolMode::Auto));
    settings.tool_choice = choice.filter(|choice| !(settings.tools.is_empty() && says_nothing(choice)));
    Ok(())
}

fn is_more_than_text(format: &ResponseFormat) -> bool {
    *format != ResponseFormat::Text {}
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Take = fn(&mut Parameters, &mut ChatRequest) -> Result<(), ApiError>;

    fn taken(take: Take, body: &str) -> Result<ChatRequest, String> {
        let mut parameters = Parameters::read(body.as_bytes()).unwrap();
        let mut settings = ChatRequest::default();
        take(&mut parameters, &mut settings).map_err(|error| error.message().to_owned())?;
        Ok(settings)
    }

    #[test]
    fn both_doors_say_the_same_in_their_own_words() {
        let chat = taken(
            of_chat,
            r#"{"tools":[{"type":"function","function":{"name":"add","description":"Adds.","parameters":{"type":"object"},"strict":true}}],
                "tool_choice":{"type":"function","function":{"name":"add"}},"parallel_tool_calls":false,
                "response_format":{"type":"json_schema","json_schema":{"name":"sum","schema":{"type":"integer"},"strict":true}}}"#,
        );
        let response = taken(
            of_response,
            r#"{"tools":[{"type":"function","name":"add","description":"Adds.","parameters":{"type":"object"},"strict":true}],
                "tool_choice":{"type":"function","name":"add"},"parallel_tool_calls":false,
                "text":{"format":{"type":"json_schema","name":"sum","schema":{"type":"integer"},"strict":true},"verbosity":"medium"}}"#,
        );
        let chat = chat.unwrap();
        assert_eq!(chat.tools[0].function.parameters, Some(json!({ "type": "object" })));
        assert_eq!(chat.tool_choice, Some(ToolChoice::named("add")));
        assert_eq!(response.unwrap(), chat);
    }

    #[test]
    fn what_says_nothing_leaves_nothing() {
        for (take, body) in [
            (
                of_chat as Take,
                r#"{"tools":[],"tool_choice":"auto","parallel_tool_calls":true,"response_format":{"type":"text"}}"#,
            ),
            (
                of_response,
                r#"{"tools":[],"tool_choice":"none","parallel_tool_calls":true,"text":{"format":{"type":"text"}}}"#,
            ),
            (of_response, r#"{"text":{"verbosity":"medium"}}"#),
        ] {
            assert_eq!(taken(take, body).unwrap(), ChatRequest::default(), "{body}");
        }
    }

    #[test]
    fn fields_keep_their_order() {
        let body = r#"{"response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{"why":{},"answer":{}}}}}}"#;
        let Some(ResponseFormat::JsonSchema { json_schema }) = taken(of_chat, body).unwrap().response_format else {
            panic!("no schema")
        };
        // A model writes them in this order: the reasons come before the answer.
        assert_eq!(json_schema.schema.to_string(), r#"{"properties":{"why":{},"answer":{}}}"#);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (take, body, told) in [
            (
                of_chat as Take,
                r#"{"tools":[{"type":"custom","custom":{"name":"x"}}]}"#,
                "`tools`: unknown variant `custom`",
            ),
            (of_chat, r#"{"tools":[{"type":"function","function":{"name":"x","cache":1}}]}"#, "unknown field `cache`"),
            (of_chat, r#"{"tools":[{"type":"function","function":{}}]}"#, "missing field `name`"),
            (of_chat, r#"{"tool_choice":"perhaps"}"#, "`tool_choice`"),
            (of_chat, r#"{"response_format":{"type":"yaml"}}"#, "`response_format`"),
            (
                of_chat,
                r#"{"response_format":{"type":"json_schema","json_schema":{"name":"x"}}}"#,
                "missing field `schema`",
            ),
            (of_response, r#"{"tools":[{"type":"web_search"}]}"#, "`tools`: unknown variant `web_search`"),
            (of_response, r#"{"tool_choice":{"type":"web_search"}}"#, "`tool_choice`"),
            (of_response, r#"{"text":{"verbosity":"high"}}"#, "`text`: unknown variant `high`"),
            (of_response, r#"{"text":{"format":{"type":"grammar"}}}"#, "`text`: unknown variant `grammar`"),
        ] {
            let error = taken(take, body).unwrap_err();
            assert!(error.contains(told), "{body}: {error}");
        }
    }
}
