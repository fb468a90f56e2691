//! How does a conversation become the text that a model was trained on?
//!
//! Every GGUF of a chat model carries a Jinja template for that, and it is rendered here as Hugging Face's
//! `apply_chat_template` does. A model without one gets ChatML, which most were trained on.

use std::io::{self, Write};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use megabrain_runtime::LoadError;
use megabrain_schemas::{Fault, Message, Tool};
use minijinja::{Environment, ErrorKind, context};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::parse_strftime_owned;

use crate::answer::Family;

mod conversation;
mod json;

/// The template of models that bring none.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}\
                      {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Instructions that a template may take to render a conversation.
const FUEL: u64 = 10_000_000;
/// Bytes that a rendered conversation may have, for templates that would not end: more than any context has.
const MOST_BYTES: usize = 64 << 20;

/// A model's chat template: downloaded with the model, and not to be trusted more than that. It is bounded in steps and in
/// what it writes, not in what it holds meanwhile: that can end this process, which is one model.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    /// What a conversation with tools is rendered with. None: the template knows of none.
    tools: Option<&'static str>,
    family: Family,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The template of a model, or `instead` of it.
    ///
    /// # Errors
    /// The template is not Jinja as we know it.
    pub(crate) fn of(model: &LlamaModel, instead: Option<String>) -> Result<Self, LoadError> {
        let own = |name| model.chat_template(name).ok().and_then(|template| template.to_string().ok());
        let with_tools = if instead.is_none() { own(Some("tool_use")) } else { None };
        let source = instead.or_else(|| own(None)).unwrap_or_else(|| {
            tracing::warn!("the model has no chat template, ChatML is used");
            CHATML.to_owned()
        });
        let vocabulary = model.vocab();
        let (bos, eos) = (special_text(model, vocabulary.bos()), special_text(model, vocabulary.eos()));
        Self::new(source, with_tools, bos, eos).map_err(|error| {
            LoadError::Weights(format!(
                "the model's chat template cannot be read: {error}; give another with `chat_template`"
            ))
        })
    }

    fn new(source: String, with_tools: Option<String>, bos: String, eos: String) -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", json::to_json);
        let family = Family::of(with_tools.as_deref().unwrap_or(&source));
        environment.add_template_owned(PLAIN, source)?;
        let mut tools = None;
        if let Some(source) = with_tools {
            environment.add_template_owned(WITH_TOOLS, source)?;
            tools = Some(WITH_TOOLS);
        } else if environment.get_template(PLAIN)?.undeclared_variables(false).contains("tools") {
            tools = Some(PLAIN);
        }
        let family = if tools.is_some() { family } else { Family::Hermes };
        Ok(Self { environment, tools, family, bos, eos })
    }

    /// How the model writes calls of tools.
    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// The text after which the model answers. A template that knows of no tools is told of them in words.
    ///
    /// # Errors
    /// `invalid_request` if the template refuses the conversation, with its reason.
    pub(crate) fn render(&self, messages: &[Message], tools: &[Tool]) -> Result<String, Fault> {
        let has_tools = !tools.is_empty() || messages.iter().any(is_about_tools);
        let rendered = match (has_tools, self.tools) {
            (false, _) => self.render_values(PLAIN, &conversation::with_tools(messages), &[]),
            (true, Some(template)) => self.render_values(template, &conversation::with_tools(messages), tools),
            (true, None) => {
                let messages = conversation::in_words(messages, tools);
                self.render_values(PLAIN, &messages, &[]).or_else(|error| {
                    let without_system = conversation::without_system(&messages).ok_or(error)?;
                    self.render_values(PLAIN, &without_system, &[])
                })
            }
        };
        rendered.map_err(|error| {
            let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            Fault::invalid(format!("the model's chat template refuses `messages`: {reason}"))
        })
    }

    fn render_values(&self, template: &str, messages: &Value, tools: &[Tool]) -> Result<String, minijinja::Error> {
        let tools = (!tools.is_empty()).then_some(tools);
        let values = context! {
            messages => messages,
            tools => tools,
            add_generation_prompt => true,
            bos_token => self.bos,
            eos_token => self.eos,
        };
        let mut text = Bounded(Vec::new());
        let rendered = self.environment.get_template(template)?.render_captured_to(values, &mut text);
        if text.0.len() > MOST_BYTES {
            return Err(minijinja::Error::new(
                ErrorKind::InvalidOperation,
                format!("it writes more than {MOST_BYTES} bytes"),
            ));
        }
        rendered?;
        Ok(String::from_utf8_lossy(&text.0).into_owned())
    }

    /// Tokens of a rendered conversation. The text that begins every document is added where the template did not.
    pub(crate) fn tokens(&self, model: &LlamaModel, text: &str) -> Vec<LlamaToken> {
        model.vocab().tokenize(text.as_bytes(), self.lacks_beginning(text), true)
    }

    /// True if a rendered conversation is without the text that begins every document.
    pub(crate) fn lacks_beginning(&self, text: &str) -> bool {
        self.bos.is_empty() || !text.starts_with(&self.bos)
    }
}

const PLAIN: &str = "chat";
const WITH_TOOLS: &str = "tool_use";

fn is_about_tools(message: &Message) -> bool {
    !message.tool_calls.is_empty() || message.tool_call_id.is_some()
}

/// Takes no more than a template may write; one byte more tells that there was more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (MOST_BYTES + 1).saturating_sub(self.0.len());
        if room == 0 {
            return Err(io::Error::other("too long"));
        }
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.0.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn special_text(model: &LlamaModel, token: LlamaToken) -> String {
    if token.0 < 0 {
        return String::new();
    }
    model.vocab().text(token).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

fn raise_exception(message: String) -> Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// The date for templates that tell it to the model, in UTC.
fn strftime_now(format: &str) -> Result<String, minijinja::Error> {
    let wrong = |error: String| minijinja::Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {error}"));
    let description = parse_strftime_owned(format).map_err(|error| wrong(error.to_string()))?;
    OffsetDateTime::now_utc().format(&description).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
