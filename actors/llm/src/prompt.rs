//! How does a conversation become the text that a model was trained on?
//!
//! Every GGUF of a chat model carries a Jinja template for that, and it is rendered here as Hugging Face's
//! `apply_chat_template` does. A model without one gets ChatML, which most were trained on.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use megabrain_runtime::LoadError;
use megabrain_schemas::{Fault, Message};
use minijinja::{Environment, ErrorKind, context};
use time::OffsetDateTime;
use time::format_description::parse_strftime_owned;

/// The template of models that bring none.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}\
                      {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A model's chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The template of a model, or `instead` of it.
    ///
    /// # Errors
    /// The template is not Jinja as we know it.
    pub(crate) fn of(model: &LlamaModel, instead: Option<String>) -> Result<Self, LoadError> {
        let own = || model.chat_template(None).ok().and_then(|template| template.to_string().ok());
        let source = instead.or_else(own).unwrap_or_else(|| {
            tracing::warn!("the model has no chat template, ChatML is used");
            CHATML.to_owned()
        });
        let vocabulary = model.vocab();
        Self::new(source, special_text(model, vocabulary.bos()), special_text(model, vocabulary.eos())).map_err(
            |error| {
                LoadError::Weights(format!(
                    "the model's chat template cannot be read: {error}; give another with `chat_template`"
                ))
            },
        )
    }

    fn new(source: String, bos: String, eos: String) -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_template_owned("chat", source)?;
        Ok(Self { environment, bos, eos })
    }

    /// The text after which the model answers.
    ///
    /// # Errors
    /// `invalid_request` if the template refuses the conversation, with its reason.
    pub(crate) fn render(&self, messages: &[Message]) -> Result<String, Fault> {
        let values = context! {
            messages => messages,
            add_generation_prompt => true,
            bos_token => self.bos,
            eos_token => self.eos,
        };
        self.environment.get_template("chat").and_then(|template| template.render(values)).map_err(|error| {
            let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            Fault::invalid(format!("the model's chat template refuses `messages`: {reason}"))
        })
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
mod tests {
    use megabrain_schemas::{FaultKind, Role};

    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap()
    }

    fn system(content: &str) -> Message {
        Message::new(Role::System, content)
    }

    #[test]
    fn a_model_without_a_template_gets_chatml() {
        let text = template(CHATML).render(&[system("Be brief."), Message::user("Hi")]).unwrap();
        assert_eq!(
            text,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn blocks_leave_no_white_space_and_python_methods_work() {
        let source = "{%- for message in messages %}\n    {% if message['role'].upper() == 'USER' %}\n\
                      {{ bos_token }}[{{ message.content.strip() }}]{{ eos_token }}\n    {% endif %}\n{% endfor %}";
        let text = template(source).render(&[Message::user("  hi "), Message::assistant("no")]).unwrap();
        assert_eq!(text, "<s>[hi]</s>\n");
    }

    #[test]
    fn a_template_that_refuses_is_an_invalid_request_with_its_reason() {
        let source =
            "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}";
        let fault = template(source).render(&[system("x")]).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert!(fault.message.ends_with("System role not supported"), "{fault}");
    }

    #[test]
    fn templates_may_tell_the_date() {
        let text = template("{{ strftime_now('%d %b %Y') }}").render(&[Message::user("x")]).unwrap();
        assert_eq!(text.split(' ').count(), 3);
        assert!(text.ends_with(&OffsetDateTime::now_utc().year().to_string()), "{text}");
    }

    #[test]
    fn a_template_that_cannot_be_parsed_is_an_error() {
        assert!(ChatTemplate::new("{% if %}".to_owned(), String::new(), String::new()).is_err());
    }
}
