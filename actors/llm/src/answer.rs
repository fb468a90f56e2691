//! What is in the text that a model writes? Thoughts, words, and calls of tools, told apart while it is written.

use megabrain_schemas::{FunctionCall, Tool};

mod calls;
mod family;
mod notation;
mod python;
mod tagged;
mod thinking;

use calls::CallReader;
pub(crate) use family::Family;
pub(crate) use thinking::{THOUGHTS, ThoughtReader, open_thought};

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// What the model thinks before it answers.
    Thought(String),
    /// What it says.
    Text(String),
    /// A call that it asks for.
    Call(FunctionCall),
}

/// Reads an answer while it is written.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    thoughts: ThoughtReader,
    calls: Option<CallReader>,
}

impl AnswerReader {
    /// A reader of the answer to this prompt, which may have opened a block of thoughts.
    pub(crate) fn new(prompt: &str) -> Self {
        Self { thoughts: ThoughtReader::new(open_thought(prompt)), calls: None }
    }

    /// A reader of an answer without thoughts.
    pub(crate) fn answering() -> Self {
        Self { thoughts: ThoughtReader::over(), calls: None }
    }

    /// Looks for calls of these tools too. `begun` is what the prompt has of the answer already.
    pub(crate) fn with_calls(mut self, family: Family, tools: &[Tool], begun: &str) -> Self {
        let names = tools.iter().map(|tool| tool.function.name.clone()).collect();
        let mut calls = CallReader::new(family, names);
        calls.push(begun);
        self.calls = Some(calls);
        self
    }

    /// Takes the next text and returns what is certain now, often nothing.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Part> {
        let (thought, text) = self.thoughts.push(text);
        let parts = self.read(&text);
        with_thought(thought, parts)
    }

    /// Ends the answer: what was held back.
    pub(crate) fn finish(&mut self) -> Vec<Part> {
        let (thought, text) = self.thoughts.finish();
        let mut parts = self.read(&text);
        if let Some(calls) = &mut self.calls {
            parts.extend(calls.finish());
        }
        with_thought(thought, parts)
    }

    fn read(&mut self, text: &str) -> Vec<Part> {
        match &mut self.calls {
            _ if text.is_empty() => Vec::new(),
            Some(calls) => calls.push(text),
            None => vec![Part::Text(text.to_owned())],
        }
    }
}

fn with_thought(thought: String, mut parts: Vec<Part>) -> Vec<Part> {
    if !thought.is_empty() {
        parts.insert(0, Part::Thought(thought));
    }
    parts
}

#[cfg(test)]
mod tests;
