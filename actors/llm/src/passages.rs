//! What of one request for vectors is still to be read, and how does a text become tokens?

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use megabrain_schemas::{EmbedReply, EmbedRequest, Fault, Usage};

use crate::context::Context;

/// More bytes than a token has in most texts.
const BYTES_A_TOKEN: usize = 16;

/// The texts of one request on their way to vectors. Each becomes tokens when its turn comes: megabytes of them at once
/// would keep everybody waiting.
#[derive(Debug)]
pub(crate) struct Passages {
    texts: Vec<String>,
    truncate: bool,
    begun: usize,
    next: Option<Vec<LlamaToken>>,
    vectors: Vec<Vec<f32>>,
    tokens: u32,
}

impl Passages {
    /// All the texts of a request.
    pub(crate) fn new(request: EmbedRequest) -> Self {
        let EmbedRequest { input: texts, truncate, .. } = request;
        Self { texts, truncate, begun: 0, next: None, vectors: Vec::new(), tokens: 0 }
    }

    /// How many tokens the next text has; None if there is none left.
    ///
    /// # Errors
    /// `invalid_request` if it has none, or more than the context and the request does not ask to cut it.
    pub(crate) fn next_length(&mut self, context: &Context) -> Result<Option<usize>, Fault> {
        if self.next.is_none() {
            let Some(text) = self.texts.get(self.begun) else { return Ok(None) };
            let capacity = context.tokens_per_sequence();
            self.next = Some(read(context.model(), text, self.begun, capacity, self.truncate)?);
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

    /// Takes the vector of the oldest text that was begun and has none yet.
    ///
    /// # Errors
    /// `engine` if it has no direction.
    pub(crate) fn add_vector(&mut self, vector: &[f32]) -> Result<(), Fault> {
        let norm = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        if !norm.is_normal() {
            return Err(Fault::engine("the model computed no usable numbers"));
        }
        self.vectors.push(vector.iter().map(|number| (f64::from(*number) / norm) as f32).collect());
        Ok(())
    }

    /// The answer, once every text has its vector.
    pub(crate) fn finish(&mut self) -> Option<EmbedReply> {
        let is_done = self.vectors.len() == self.texts.len();
        is_done.then(|| EmbedReply {
            embeddings: std::mem::take(&mut self.vectors),
            usage: Usage { prompt_tokens: self.tokens, completion_tokens: 0 },
        })
    }
}

fn read(
    model: &LlamaModel,
    text: &str,
    index: usize,
    capacity: usize,
    truncate: bool,
) -> Result<Vec<LlamaToken>, Fault> {
    let (tokens, is_whole) = tokens(model, text, capacity);
    if tokens.is_empty() {
        return Err(Fault::invalid(format!("input[{index}] gives the model nothing to read")));
    }
    if tokens.len() <= capacity {
        return Ok(tokens);
    }
    if truncate {
        return Ok(cut(model, tokens, capacity));
    }
    let at_least = if is_whole { "" } else { "at least " };
    Err(Fault::invalid(format!(
        "input[{index}] has {at_least}{} tokens, the model's context has {capacity}",
        tokens.len()
    )))
}

/// Tokens of a text, and whether they are all: megabytes need not be read to know that they are too many. What looks
/// like a mark of the model's own is text.
fn tokens(model: &LlamaModel, text: &str, capacity: usize) -> (Vec<LlamaToken>, bool) {
    let mut bytes = capacity.saturating_mul(BYTES_A_TOKEN);
    loop {
        let beginning = beginning(text, bytes);
        let tokens = model.vocab().tokenize(beginning.as_bytes(), true, false);
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

/// As many tokens as the context has. What the model expects at the end of a text stays there.
fn cut(model: &LlamaModel, mut tokens: Vec<LlamaToken>, capacity: usize) -> Vec<LlamaToken> {
    let vocabulary = model.vocab();
    let has_end = vocabulary.should_add_sep() || vocabulary.should_add_eos();
    let end = tokens.last().copied().filter(|_| has_end);
    tokens.truncate(capacity - usize::from(end.is_some()));
    tokens.extend(end);
    tokens
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

    #[test]
    fn vectors_are_of_length_one_and_one_without_direction_is_refused() {
        let mut passages = Passages::new(EmbedRequest { input: vec!["a".into()], ..EmbedRequest::default() });
        assert_eq!(passages.finish(), None);
        passages.add_vector(&[3.0, -4.0]).unwrap();
        assert_eq!(passages.finish().unwrap().embeddings, [[0.6, -0.8]]);
        for useless in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
            assert!(passages.add_vector(&useless).is_err());
        }
    }
}
