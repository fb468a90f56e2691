//! What does a chat request make of the model? The text that it reads, what it may write, and how that is read.

use std::collections::HashMap;
use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use megabrain_runtime::LoadError;
use megabrain_schemas::{ChatRequest, Fault, Message};

use crate::answer::{AnswerReader, Family, THOUGHTS, open_thought};
use crate::constraint::{Constraint, Constraints, forced_calls};
use crate::prompt::ChatTemplate;
use crate::sampler::{Sampling, Shifts};

/// Makes plans for a model.
#[derive(Debug)]
pub(crate) struct Planner {
    template: ChatTemplate,
    constraints: Constraints,
    /// Tokens without a text whose names tell what an answer is, by their names.
    marks: HashMap<&'static str, LlamaToken>,
    vocabulary: usize,
}

/// What a request makes of the model.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What the model reads.
    pub(crate) text: String,
    /// What its answer is held to.
    pub(crate) constraint: Option<Constraint>,
    /// Tokens that stand for no text, and whose names are given out all the same.
    pub(crate) shown: Vec<LlamaToken>,
    /// Reads the answer.
    pub(crate) answer: Answering,
}

/// How an answer is read and handed on.
#[derive(Debug)]
pub(crate) struct Answering {
    /// Reads it.
    pub(crate) reader: AnswerReader,
    /// How the ids of calls are made.
    pub(crate) family: Family,
    /// False: one call ends the answer.
    pub(crate) may_call_again: bool,
}

impl Planner {
    /// Reads template and vocabulary of a model. `instead` is a template to be taken instead.
    ///
    /// # Errors
    /// The template cannot be read.
    pub(crate) fn of(model: Arc<LlamaModel>, instead: Option<String>) -> Result<Self, LoadError> {
        let template = ChatTemplate::of(&model, instead)?;
        let marks = marks(&model, template.family());
        let vocabulary = usize::try_from(model.n_vocab()).unwrap_or(0);
        Ok(Self { template, constraints: Constraints::of(model), marks, vocabulary })
    }

    /// The model's chat template.
    pub(crate) fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The plan of a request, which has been checked. `messages` are its messages, with marks for pictures.
    ///
    /// # Errors
    /// `invalid_request`: the template refuses the conversation, or the form of the answer is wrong.
    pub(crate) fn plan(&self, request: &ChatRequest, messages: &[Message]) -> Result<Plan, Fault> {
        let may_call = request.may_call();
        let tools = if may_call { request.tools.as_slice() } else { &[] };
        let mut text = self.template.render(messages, tools)?;
        let family = self.template.family();
        let mut reader = AnswerReader::new(&text);
        let constraint;
        if may_call {
            let forced = forced_calls(&self.constraints, request, family)?;
            let begun = forced.as_ref().map_or("", |(begun, _)| begun);
            if forced.is_some() {
                // Thoughts would come before the call, and the call must come first.
                text.push_str(&open_thought(&text).map(|end| format!("{end}\n\n")).unwrap_or_default());
                reader = AnswerReader::answering();
            }
            reader = reader.with_calls(family, tools, begun);
            text.push_str(begun);
            constraint = forced.map(|(_, constraint)| constraint);
        } else {
            constraint = self.constraints.of_request(request, open_thought(&text))?;
        }
        let answer = Answering { reader, family, may_call_again: request.parallel_tool_calls != Some(false) };
        Ok(Plan { text, constraint, shown: self.shown(may_call, family), answer })
    }

    /// How a request wants its tokens chosen; what it does not say is as in `defaults`.
    ///
    /// # Errors
    /// `invalid_request` if it shifts a token that the model does not know.
    pub(crate) fn sampling(&self, request: &ChatRequest, defaults: Sampling) -> Result<Sampling, Fault> {
        let bias = |(token, bias): (&String, &f32)| {
            let known = token.parse::<i32>().ok().filter(|token| (0..self.vocabulary).contains(&(*token as usize)));
            known.map(|known| (LlamaToken(known), *bias)).ok_or_else(|| {
                Fault::invalid(format!(
                    "`logit_bias.{token}`: the model's tokens are 0 to {}",
                    self.vocabulary.saturating_sub(1)
                ))
            })
        };
        Ok(Sampling {
            temperature: request.temperature.unwrap_or(defaults.temperature),
            top_p: request.top_p.unwrap_or(defaults.top_p),
            top_k: request.top_k.unwrap_or(defaults.top_k),
            min_p: request.min_p.unwrap_or(defaults.min_p),
            seed: request.seed.unwrap_or(defaults.seed),
            shifts: Shifts {
                biases: request.logit_bias.iter().map(bias).collect::<Result<_, _>>()?,
                presence: request.presence_penalty.unwrap_or(0.0),
                frequency: request.frequency_penalty.unwrap_or(0.0),
                repeat: request.repeat_penalty,
            },
        })
    }

    fn shown(&self, may_call: bool, family: Family) -> Vec<LlamaToken> {
        let of_calls = family.tokens().filter(|_| may_call);
        thought_marks().chain(of_calls).filter_map(|name| self.marks.get(name).copied()).collect()
    }
}

fn thought_marks() -> impl Iterator<Item = &'static str> {
    THOUGHTS.iter().flat_map(|(begin, end)| [*begin, *end])
}

/// Those of the names that tell what an answer is which the model has as tokens without a text.
fn marks(model: &LlamaModel, family: Family) -> HashMap<&'static str, LlamaToken> {
    let names: Vec<&'static str> = thought_marks().chain(family.tokens()).filter(|name| !name.is_empty()).collect();
    let vocabulary = model.vocab();
    let controls = (0..model.n_vocab()).map(LlamaToken).filter(|token| vocabulary.is_control(*token));
    let mut marks = HashMap::new();
    for token in controls {
        let text = vocabulary.token_to_piece(token, true, None);
        if let Some(name) = names.iter().find(|name| name.as_bytes() == text) {
            marks.insert(*name, token);
        }
    }
    marks
}
