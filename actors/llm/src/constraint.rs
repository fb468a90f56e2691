//! Which tokens may come next, where the answer must have a form?
//!
//! The form is a JSON Schema or a grammar, and llguidance holds the answer to it: written in Rust, it names the keyword
//! that it does not know and the schema that nothing keeps to, its work is bounded, and it walks the vocabulary as a tree.
//! llama.cpp's own converter ignores what it does not know, and its recursion over hostile input would end the process.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory, panic_utils};
use megabrain_schemas::{ChatRequest, Fault, ResponseFormat};
use serde_json::{Value, json};

mod forced;
mod gbnf;
mod keywords;

pub(crate) use forced::forced_calls;

/// Bytes of a schema.
const LONGEST_SCHEMA: usize = 256 << 10;
/// Work to compile a form, in which nobody's answer goes on: llguidance's own limit, of which, it says, 50,000 take a
/// millisecond (`ParserLimits`).
const COMPILE_FUEL: u64 = 1_000_000;
/// Symbols of a compiled form.
const LARGEST: usize = 200_000;
/// Characters of a reason: it must fit into an answer.
const LONGEST_REASON: usize = 400;

/// What makes constraints for a model. Its vocabulary becomes trees, which take memory, with the first request that needs
/// them.
pub(crate) struct Constraints {
    model: Arc<LlamaModel>,
    factory: OnceLock<Result<ParserFactory, Fault>>,
}

impl fmt::Debug for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Constraints")
    }
}

impl Constraints {
    pub(crate) fn of(model: Arc<LlamaModel>) -> Self {
        Self { model, factory: OnceLock::new() }
    }

    fn factory(&self) -> Result<&ParserFactory, Fault> {
        self.factory.get_or_init(|| factory(&self.model)).as_ref().map_err(Fault::clone)
    }

    /// What a request holds its answer to, if it does. `thought_end` ends the thoughts that the prompt has opened: what
    /// is held to the form comes after them.
    ///
    /// # Errors
    /// `invalid_request` with what is wrong: nothing keeps to the form, it cannot be held to, or it cannot be read.
    pub(crate) fn of_request(
        &self,
        request: &ChatRequest,
        thought_end: Option<&'static str>,
    ) -> Result<Option<Constraint>, Fault> {
        let (grammar, field) = match (&request.grammar, &request.response_format) {
            (Some(grammar), _) => {
                let lark = gbnf::to_lark(grammar).map_err(|error| wrong("grammar", &error.to_string()))?;
                (TopLevelGrammar::from_lark(lark), "grammar")
            }
            (None, Some(ResponseFormat::JsonObject {})) => (json_schema(&json!({"type": "object"})), "response_format"),
            (None, Some(ResponseFormat::JsonSchema { json_schema: format })) => {
                let field = "response_format.json_schema.schema";
                check_schema(field, &format.schema)?;
                (json_schema(&format.schema), field)
            }
            (None, Some(ResponseFormat::Text {}) | None) => return Ok(None),
        };
        self.compile(grammar, field, thought_end).map(Some)
    }

    fn compile(
        &self,
        grammar: TopLevelGrammar,
        field: &str,
        thought_end: Option<&'static str>,
    ) -> Result<Constraint, Fault> {
        let factory = self.factory()?;
        let make = AssertUnwindSafe(|| factory.create_parser(grammar));
        let mut matcher = Matcher::new(panic_utils::catch_unwind(make));
        // What nothing keeps to shows at the first mask at the latest.
        match matcher.compute_mask() {
            Ok(_) => {}
            // llguidance's word for it, and all that it says.
            Err(error) if error.to_string().contains("NoExtensionBias") => {
                return Err(wrong(field, "no answer keeps to it"));
            }
            Err(error) => return Err(wrong(field, &error.to_string())),
        }
        let anything = factory.tok_env().tok_trie().eos_token_set().negated();
        Ok(Constraint { matcher, anything, thought_end, thought: Vec::new() })
    }
}

/// Refuses a schema that is too long, or has a keyword that would not be held to.
fn check_schema(field: &str, schema: &Value) -> Result<(), Fault> {
    let bytes = schema.to_string().len();
    if bytes > LONGEST_SCHEMA {
        return Err(wrong(field, &format!("{bytes} bytes, expected {LONGEST_SCHEMA} or fewer")));
    }
    keywords::check(schema).map_err(|error| wrong(field, &error))
}

/// JSON on one line, with a space after commas and colons: no model gets lost in white space.
fn json_schema(schema: &Value) -> TopLevelGrammar {
    TopLevelGrammar::from_json_schema(on_one_line(schema))
}

fn on_one_line(schema: &Value) -> Value {
    let mut schema = match schema {
        // `false` stays, to be refused.
        Value::Bool(true) => json!({}),
        schema => schema.clone(),
    };
    if let Some(fields) = schema.as_object_mut() {
        let options = json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
        fields.insert("x-guidance".into(), options);
    }
    schema
}

fn wrong(field: &str, reason: &str) -> Fault {
    Fault::invalid(format!("`{field}`: {}", told(reason)))
}

/// What llguidance says, without the mark that it could say more, and not longer than an answer has room for.
fn told(reason: &str) -> String {
    reason.trim_end_matches("<non-verbose/>").trim().chars().take(LONGEST_REASON).collect()
}

/// Holds one answer to a form.
pub(crate) struct Constraint {
    matcher: Matcher,
    /// Every token that does not end the answer.
    anything: SimpleVob,
    /// While the model thinks, it may think anything until this.
    thought_end: Option<&'static str>,
    /// The end of its thoughts so far.
    thought: Vec<u8>,
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Constraint").field("thought_end", &self.thought_end).finish_non_exhaustive()
    }
}

/// Tokens that may come next.
pub(crate) struct Allowed(SimpleVob);

impl Allowed {
    /// Those of them that a vocabulary of this size has.
    pub(crate) fn tokens(&self, vocabulary: usize) -> impl Iterator<Item = usize> {
        self.0.iter().map(|token| token as usize).take_while(move |&token| token < vocabulary)
    }
}

impl Constraint {
    /// Which tokens may come next. An answer does not end in the midst of thoughts: it would have no form.
    ///
    /// # Errors
    /// `invalid_request` if the form takes too much work.
    pub(crate) fn allowed(&mut self) -> Result<Allowed, Fault> {
        if self.thought_end.is_some() {
            return Ok(Allowed(self.anything.clone()));
        }
        self.matcher.compute_mask().map(Allowed).map_err(too_complex)
    }

    /// Notes which token came, and its text. True if the answer is complete: nothing can follow.
    ///
    /// # Errors
    /// `invalid_request` if the form takes too much work.
    pub(crate) fn accept(&mut self, token: LlamaToken, text: &[u8]) -> Result<bool, Fault> {
        if let Some(end) = self.thought_end {
            self.thought.extend_from_slice(text);
            if self.thought.windows(end.len()).any(|window| window == end.as_bytes()) {
                self.thought_end = None;
            }
            self.thought.drain(..self.thought.len().saturating_sub(end.len()));
            return Ok(false);
        }
        self.matcher.consume_token(token.0.cast_unsigned()).map_err(too_complex)?;
        Ok(self.matcher.is_stopped())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn too_complex(error: impl fmt::Display) -> Fault {
    Fault::invalid(format!("an answer cannot be held to this form: {}", told(&error.to_string())))
}

fn factory(model: &LlamaModel) -> Result<ParserFactory, Fault> {
    let slices = llguidance::earley::SlicedBiasComputer::general_slices();
    // It asserts what it expects of a vocabulary.
    let make = AssertUnwindSafe(|| ParserFactory::new(&vocabulary(model), InferenceCapabilities::default(), &slices));
    let mut factory = panic_utils::catch_unwind(make).map_err(|error| {
        let reason = told(&error.to_string());
        Fault::engine(format!("with the model's vocabulary, no answer can be held to a form: {reason}"))
    })?;
    factory.quiet();
    let limits = factory.limits_mut();
    limits.initial_lexer_fuel = COMPILE_FUEL;
    limits.max_grammar_size = LARGEST;
    limits.verbose_errors = false;
    Ok(factory)
}

/// The vocabulary as a tree. What has no text but is a token, such as the end of a turn, is marked as such.
fn vocabulary(model: &LlamaModel) -> TokEnv {
    let vocabulary = model.vocab();
    let end = if vocabulary.eot().0 < 0 { vocabulary.eos() } else { vocabulary.eot() };
    let mut ends = vec![end.0.cast_unsigned()];
    let mut words = Vec::new();
    for token in (0..model.n_vocab()).map(LlamaToken) {
        if vocabulary.is_eog(token) && token != end {
            ends.push(token.0.cast_unsigned());
        }
        let text = vocabulary.token_to_piece(token, false, None);
        words.push(if text.is_empty() {
            let text = vocabulary.token_to_piece(token, true, None);
            if text.is_empty() { text } else { [&[TokTrie::SPECIAL_TOKEN_MARKER], text.as_slice()].concat() }
        } else {
            text
        });
    }
    let info = TokRxInfo::new(u32::try_from(words.len()).unwrap_or(u32::MAX), end.0.cast_unsigned());
    let tree = TokTrie::from(&info, &words).with_eos_tokens(&ends);
    Arc::new(ApproximateTokEnv::new(tree))
}

#[cfg(test)]
mod tests;
