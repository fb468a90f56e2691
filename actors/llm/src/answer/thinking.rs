//! Where does a model stop thinking and begin to answer?

use crate::text::overlap;

/// How blocks of thoughts begin and end, in the models that write some.
pub(crate) const THOUGHTS: [(&str, &str); 3] =
    [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<|START_THINKING|>", "<|END_THINKING|>")];

/// The end of the block of thoughts that a prompt leaves open, if it does.
pub(crate) fn open_thought(prompt: &str) -> Option<&'static str> {
    let prompt = prompt.trim_end();
    THOUGHTS.iter().find(|(begin, _)| prompt.ends_with(begin)).map(|(_, end)| *end)
}

/// Tells thoughts at the beginning of an answer from what follows them.
#[derive(Debug)]
pub(crate) struct ThoughtReader {
    state: State,
    held: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Nothing but white space so far.
    Beginning,
    /// White space before the first thought is left out.
    BeforeThought(&'static str),
    /// Until this text.
    Thinking(&'static str),
    /// White space after the thoughts is left out.
    AfterThought,
    Answering,
}

impl ThoughtReader {
    /// A reader of an answer that begins within a block of thoughts, if `end` says how that ends.
    pub(crate) fn new(end: Option<&'static str>) -> Self {
        Self { state: end.map_or(State::Beginning, State::BeforeThought), held: String::new() }
    }

    /// A reader of an answer without thoughts.
    pub(crate) fn over() -> Self {
        Self { state: State::Answering, held: String::new() }
    }

    /// Takes the next text; returns what is certain now, thoughts and answer.
    pub(crate) fn push(&mut self, text: &str) -> (String, String) {
        if self.state == State::Answering && self.held.is_empty() {
            return (String::new(), text.to_owned());
        }
        self.held.push_str(text);
        let (mut thought, mut answer) = (String::new(), String::new());
        while self.advance(&mut thought, &mut answer) {}
        (thought, answer)
    }

    /// Ends the answer: what was held back.
    pub(crate) fn finish(&mut self) -> (String, String) {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Thinking(_) | State::BeforeThought(_) => (held, String::new()),
            State::Beginning | State::Answering => (String::new(), held),
            State::AfterThought => (String::new(), String::new()),
        }
    }

    /// Moves what is certain out of `held`; false once it waits for more text.
    fn advance(&mut self, thought: &mut String, answer: &mut String) -> bool {
        match self.state {
            State::Beginning => {
                let begun = self.held.trim_start();
                if let Some((begin, end)) = THOUGHTS.iter().find(|(begin, _)| begun.starts_with(begin)) {
                    self.held = begun.get(begin.len()..).unwrap_or_default().to_owned();
                    self.state = State::BeforeThought(end);
                    return true;
                }
                if THOUGHTS.iter().any(|(begin, _)| begin.starts_with(begun)) {
                    return false;
                }
                self.state = State::Answering;
            }
            State::BeforeThought(end) => {
                self.held = self.held.trim_start().to_owned();
                if self.held.is_empty() {
                    return false;
                }
                self.state = State::Thinking(end);
            }
            State::Thinking(end) => {
                let Some(at) = self.held.find(end) else {
                    let kept = self.held.split_off(self.held.len() - overlap(&self.held, end));
                    thought.push_str(&std::mem::replace(&mut self.held, kept));
                    return false;
                };
                thought.push_str(self.held.get(..at).unwrap_or_default());
                self.held.drain(..at + end.len());
                self.state = State::AfterThought;
            }
            State::AfterThought => {
                self.held = self.held.trim_start().to_owned();
                if self.held.is_empty() {
                    return false;
                }
                self.state = State::Answering;
            }
            State::Answering => {
                answer.push_str(&std::mem::take(&mut self.held));
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a text in pieces that end where the bits of `cuts` say.
    fn read(end: Option<&'static str>, text: &str, cuts: u64) -> (String, String) {
        let mut reader = ThoughtReader::new(end);
        let (mut thought, mut answer) = (String::new(), String::new());
        let mut piece = String::new();
        for (index, character) in text.chars().enumerate() {
            piece.push(character);
            if cuts >> (index % 64) & 1 == 1 {
                let (more_thought, more_answer) = reader.push(&std::mem::take(&mut piece));
                thought.push_str(&more_thought);
                answer.push_str(&more_answer);
            }
        }
        for (more_thought, more_answer) in [reader.push(&piece), reader.finish()] {
            thought.push_str(&more_thought);
            answer.push_str(&more_answer);
        }
        (thought, answer)
    }

    #[test]
    fn thoughts_and_answer_are_the_same_however_the_text_is_cut() {
        for (end, text, thought, answer) in [
            (None, "<think>\nFirst < then.\n</think>\n\nYes.", "First < then.\n", "Yes."),
            (None, "\n<think>a</think>b</think>", "a", "b</think>"),
            (None, "[THINK]a[/THINK]b", "a", "b"),
            (Some("</think>"), "\nOf course.</think>No.", "Of course.", "No."),
            (Some("</think>"), "never ends </thin", "never ends </thin", ""),
            (None, "<thing> is no thought", "", "<thing> is no thought"),
            (None, "  plain <think>not at the beginning</think>", "", "  plain <think>not at the beginning</think>"),
            (None, "<thi", "", "<thi"),
            (None, "", "", ""),
        ] {
            for cuts in [0, u64::MAX, 0xAAAA_AAAA_AAAA_AAAA, 0x9249_2492_4924_9249, 0x1111_0F0F_3333_5A5A] {
                assert_eq!(read(end, text, cuts), (thought.to_owned(), answer.to_owned()), "{text:?} {cuts:x}");
            }
        }
    }

    #[test]
    fn a_prompt_that_opens_a_thought_is_known() {
        assert_eq!(open_thought("<|im_start|>assistant\n<think>\n"), Some("</think>"));
        assert_eq!(open_thought("<|im_start|>assistant\n<think>\n\n</think>\n\n"), None);
    }

    #[test]
    fn an_answer_without_thoughts_is_not_held_back() {
        let mut reader = ThoughtReader::new(None);
        assert_eq!(reader.push("H").1, "H");
        assert_eq!(reader.push("<think>").1, "<think>");
    }
}
