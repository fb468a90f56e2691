//! What of one request is still to be read, and how do its texts become tokens?

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use megabrain_schemas::{Fault, Usage};

use crate::context::Context;

/// More bytes than a token has in most texts.
const BYTES_A_TOKEN: usize = 16;
/// Where a model's file says at which token the pieces of the text begin, if they are others than those of the query:
/// `models/convert_reranker.py` writes it.
const SECOND_TEXT: &str = "megabrain.second_text_offset";

/// The texts of one request on their way through the model. Each becomes tokens when its turn comes: megabytes of them
/// at once would keep everybody waiting.
#[derive(Debug)]
pub(crate) struct Passages {
    /// What the caller calls the texts.
    field: &'static str,
    texts: Vec<String>,
    truncate: bool,
    query: Option<String>,
    /// The query in tokens, once it is read.
    head: Option<Head>,
    begun: usize,
    next: Option<Vec<LlamaToken>>,
    rows: Vec<Vec<f32>>,
    tokens: u32,
}

/// What was read of a request.
#[derive(Debug)]
pub(crate) struct Read {
    /// The numbers that came of each text, in their order.
    pub(crate) rows: Vec<Vec<f32>>,
    tokens: u32,
}

impl Read {
    #[cfg(test)]
    pub(crate) fn of(rows: Vec<Vec<f32>>) -> Self {
        Self { rows, tokens: 0 }
    }

    /// What it cost.
    pub(crate) fn usage(&self) -> Usage {
        Usage { prompt_tokens: self.tokens, completion_tokens: 0 }
    }
}

impl Passages {
    /// All the texts of a request. One that is longer than the context is cut, or refused by what the caller calls it.
    pub(crate) fn new(field: &'static str, texts: Vec<String>, truncate: bool) -> Self {
        let (query, head, next) = (None, None, None);
        Self { field, texts, truncate, query, head, begun: 0, next, rows: Vec::new(), tokens: 0 }
    }

    /// Each text is read after a query.
    pub(crate) fn after(self, query: String) -> Self {
        Self { query: Some(query), ..self }
    }

    /// How many tokens the next text has, its query included; None if there is none left.
    ///
    /// # Errors
    /// `invalid_request` if it has none, or more than the context and the request does not ask to cut it.
    pub(crate) fn next_length(&mut self, context: &Context) -> Result<Option<usize>, Fault> {
        if self.next.is_none() {
            let Some(text) = self.texts.get(self.begun) else { return Ok(None) };
            let (model, capacity) = (context.model(), context.tokens_per_sequence());
            if let Some(query) = self.query.take() {
                self.head = Some(Head::of(model, &query, capacity)?);
            }
            self.next = Some(match &self.head {
                None => self.fit(model, Marks::Added, text, capacity)?,
                Some(head) => head.before(self.fit(model, Marks::None, text, head.room)?),
            });
        }
        Ok(self.next.as_ref().map(Vec::len))
    }

    /// The tokens of the next text, which counts as begun. Empty without [`Passages::next_length`] before.
    pub(crate) fn take_next(&mut self) -> Vec<LlamaToken> {
        let tokens = self.next.take().unwrap_or_default();
        self.begun += 1;
        self.tokens = self.tokens.saturating_add(u32::try_from(tokens.len()).unwrap_or(u32::MAX));
        tokens
    }

    /// Takes what came of the oldest text that was begun and has nothing yet. All there is, once that was the last.
    pub(crate) fn add_row(&mut self, row: &[f32]) -> Option<Read> {
        self.rows.push(row.to_vec());
        let is_done = self.rows.len() == self.texts.len();
        is_done.then(|| Read { rows: std::mem::take(&mut self.rows), tokens: self.tokens })
    }

    /// The tokens of the text whose turn it is, at most `room`.
    fn fit(&self, model: &LlamaModel, marks: Marks, text: &str, room: usize) -> Result<Vec<LlamaToken>, Fault> {
        let name = format!("{}[{}]", self.field, self.begun);
        let (mut tokens, is_whole) = tokens(model, marks, text, room);
        if tokens.is_empty() {
            return Err(Fault::invalid(format!("{name} gives the model nothing to read")));
        }
        if tokens.len() > room && !self.truncate {
            let at_least = if is_whole { "" } else { "at least " };
            let beside = if self.head.is_some() { ", beside the query" } else { "" };
            let length = tokens.len();
            return Err(Fault::invalid(format!(
                "{name} has {at_least}{length} tokens, the model's context has {room}{beside}"
            )));
        }
        match marks {
            Marks::Added => cut(model, &mut tokens, room),
            Marks::None => tokens.truncate(room),
        }
        Ok(tokens)
    }
}

/// A query, as it stands before every text: in what the model expects around two texts.
#[derive(Debug)]
struct Head {
    tokens: Vec<LlamaToken>,
    end: Option<LlamaToken>,
    /// What is added to each token of the text.
    second: i32,
    /// Tokens that there are left for a text.
    room: usize,
}

impl Head {
    fn of(model: &LlamaModel, query: &str, capacity: usize) -> Result<Self, Fault> {
        let vocabulary = model.vocab();
        let (mut tokens, _) = tokens(model, Marks::Added, query, capacity);
        let end = tokens.last().copied().filter(|_| has_end(model));
        // RoBERTa and its like have two marks between the texts, BERT one.
        if vocabulary.should_add_eos() && vocabulary.should_add_sep() {
            tokens.push(vocabulary.sep());
        }
        let room = capacity.saturating_sub(tokens.len() + usize::from(end.is_some()));
        if tokens.is_empty() || room == 0 {
            let message = format!("`query` leaves no room for a text in the model's context of {capacity} tokens");
            return Err(Fault::invalid(message));
        }
        let second = second_text(model).unwrap_or(0);
        Ok(Self { tokens, end, second, room })
    }

    fn before(&self, text: Vec<LlamaToken>) -> Vec<LlamaToken> {
        let second = text.into_iter().chain(self.end).map(|token| LlamaToken(token.0.saturating_add(self.second)));
        self.tokens.iter().copied().chain(second).collect()
    }
}

/// What is to be added to the tokens of a second text; none if they are those of the first.
///
/// # Errors
/// The model's file says something else.
pub(crate) fn second_text(model: &LlamaModel) -> Result<i32, String> {
    let Ok(told) = model.meta_val_str(SECOND_TEXT) else { return Ok(0) };
    let offset = told.parse().ok().filter(|offset| (0..model.n_vocab()).contains(offset));
    offset.ok_or_else(|| format!("its {SECOND_TEXT} is {told:?}: expected a number below that of its tokens"))
}

/// What a model expects before and after a text.
#[derive(Clone, Copy, Debug)]
enum Marks {
    Added,
    None,
}

/// Tokens of a text, and whether they are all: megabytes need not be read to know that they are too many. What looks
/// like a mark of the model's own is text.
fn tokens(model: &LlamaModel, marks: Marks, text: &str, capacity: usize) -> (Vec<LlamaToken>, bool) {
    let mut bytes = capacity.saturating_mul(BYTES_A_TOKEN);
    loop {
        let beginning = beginning(text, bytes);
        let tokens = model.vocab().tokenize(beginning.as_bytes(), matches!(marks, Marks::Added), false);
        let is_whole = beginning.len() == text.len();
        if is_whole || tokens.len() > capacity {
            return (tokens, is_whole);
        }
        bytes = bytes.saturating_mul(2);
    }
}

/// About so many bytes of a text, in whole words where it has some.
fn beginning(text: &str, bytes: usize) -> &str {
    if bytes >= text.len() {
        return text;
    }
    let head = text.get(..text.floor_char_boundary(bytes)).unwrap_or(text);
    let words = head.rfind(char::is_whitespace).and_then(|end| head.get(..end));
    words.filter(|words| !words.is_empty()).unwrap_or(head)
}

/// As many tokens as there is room for. What the model expects at the end of a text stays there.
fn cut(model: &LlamaModel, tokens: &mut Vec<LlamaToken>, room: usize) {
    if tokens.len() > room {
        let end = tokens.last().copied().filter(|_| has_end(model));
        tokens.truncate(room - usize::from(end.is_some()));
        tokens.extend(end);
    }
}

/// True if the last token of a text is a mark.
fn has_end(model: &LlamaModel) -> bool {
    let vocabulary = model.vocab();
    vocabulary.should_add_sep() || vocabulary.should_add_eos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_ends_between_words_or_else_between_characters() {
        assert_eq!(beginning("one two three", 99), "one two three");
        assert_eq!(beginning("one two three", 9), "one two");
        assert_eq!(beginning("  three", 4), " ");
        assert_eq!(beginning("港口星期五", 7), "港口");
        assert_eq!(beginning(" 港口", 3), " ");
    }
}
