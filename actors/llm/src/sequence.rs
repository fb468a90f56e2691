//! What does one conversation still have to compute, and when is it done?

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use megabrain_schemas::{Fault, FinishReason};

use crate::constraint::Constraint;
use crate::context::{Batch, Context, DecodeError};
use crate::piece::Prompt;
use crate::sampler::{Sampler, Sampling};
use crate::text::TextStream;

/// What is to be computed.
#[derive(Debug)]
pub(crate) struct Task {
    /// The prompt, at least one token and no more than the context.
    pub(crate) prompt: Prompt,
    /// The longest answer, in tokens, at least 1.
    pub(crate) max_tokens: usize,
    /// How tokens are chosen.
    pub(crate) sampling: Sampling,
    /// Texts that end the answer.
    pub(crate) stops: Vec<String>,
    /// The form that the answer is held to.
    pub(crate) constraint: Option<Constraint>,
    /// Tokens that stand for no text, and whose names are given out all the same: they tell what the answer is.
    pub(crate) shown: Vec<LlamaToken>,
}

/// What a step gave for one sequence.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Output {
    /// Text that is certain now, often none.
    pub(crate) text: String,
    /// Tokens that came out, 0 or 1.
    pub(crate) tokens: u32,
    /// Set with the last output.
    pub(crate) finish: Option<FinishReason>,
}

/// One sequence on its way: first its prompt is read in chunks, then a token comes out of every step.
#[derive(Debug)]
pub(crate) struct Sequence {
    prompt: Prompt,
    /// Tokens in memory.
    remembered: usize,
    /// Where the next token is; a picture may have more tokens than places, or fewer.
    position: i32,
    next: Option<LlamaToken>,
    row: Option<i32>,
    produced: usize,
    max_tokens: usize,
    capacity: usize,
    sampler: Sampler,
    constraint: Option<Constraint>,
    shown: Vec<LlamaToken>,
    text: TextStream,
    piece: Vec<u8>,
}

impl Sequence {
    /// A sequence that may fill `capacity` tokens of memory, of a model that knows `vocabulary` tokens.
    pub(crate) fn new(task: Task, capacity: usize, vocabulary: usize) -> Self {
        Self {
            prompt: task.prompt,
            remembered: 0,
            position: 0,
            next: None,
            row: None,
            produced: 0,
            max_tokens: task.max_tokens,
            capacity,
            sampler: Sampler::new(&task.sampling, vocabulary),
            constraint: task.constraint,
            shown: task.shown,
            text: TextStream::new(task.stops),
            piece: Vec::new(),
        }
    }

    /// True until the whole prompt is read.
    pub(crate) fn is_reading(&self) -> bool {
        self.next.is_none()
    }

    /// True if the next of its prompt is a picture.
    pub(crate) fn is_at_picture(&self) -> bool {
        self.prompt.view().is_some()
    }

    /// Adds what this sequence computes next: its newest token, or up to `room` tokens of its prompt. Returns how many.
    pub(crate) fn feed(&mut self, id: i32, room: usize, batch: &mut Batch) -> usize {
        self.row = None;
        if let Some(token) = self.next {
            self.row = Some(self.add(token, id, true, batch));
            return 1;
        }
        let chunk = self.prompt.take_text(room);
        for (index, token) in chunk.iter().enumerate() {
            let is_last = self.prompt.is_read() && index + 1 == chunk.len();
            let row = self.add(*token, id, is_last, batch);
            self.row = is_last.then_some(row);
        }
        chunk.len()
    }

    fn add(&mut self, token: LlamaToken, id: i32, wanted: bool, batch: &mut Batch) -> i32 {
        let position = self.position;
        self.position += 1;
        self.remembered += 1;
        batch.add(token, position, id, wanted)
    }

    /// Computes up to `room` rows of the picture that comes next, or all where they look at each other. Returns how many;
    /// none if no picture comes next.
    ///
    /// # Errors
    /// As [`Context::decode`].
    pub(crate) fn look(&mut self, id: i32, room: usize, context: &mut Context) -> Result<usize, DecodeError> {
        let Some((view, read)) = self.prompt.view() else { return Ok(0) };
        let left = view.len() - read;
        let rows = if view.is_whole { left } else { left.min(room) };
        context.decode_view(view, read..read + rows, self.position, id)?;
        self.remembered += rows;
        self.position += self.prompt.viewed(rows).unwrap_or(0);
        Ok(rows)
    }

    /// The row of the last batch whose logits this sequence needs, if any.
    pub(crate) fn row(&self) -> Option<i32> {
        self.row
    }

    /// Chooses the next token by the logits of [`Sequence::row`].
    ///
    /// # Errors
    /// `engine` if the model computed nothing that can be chosen from, or the form of the answer takes too much work.
    pub(crate) fn advance(&mut self, logits: &[f32], model: &LlamaModel) -> Result<Output, Fault> {
        let allowed = self.constraint.as_mut().map(Constraint::allowed).transpose()?;
        let token = self
            .sampler
            .choose(logits, allowed.as_ref())
            .ok_or_else(|| Fault::engine("the model computed no usable numbers"))?;
        if model.vocab().is_eog(token) {
            return Ok(Output { text: self.text.finish(), tokens: 0, finish: Some(FinishReason::Stop) });
        }
        self.next = Some(token);
        self.produced += 1;
        self.piece.clear();
        model.vocab().token_to_piece_into(token, &mut self.piece, self.shown.contains(&token), None);
        let is_complete = match &mut self.constraint {
            Some(constraint) => constraint.accept(token, &self.piece)?,
            None => false,
        };
        let mut text = self.text.push(&self.piece);
        let finish = if self.text.is_stopped() {
            Some(FinishReason::Stop)
        } else if is_complete {
            text.push_str(&self.text.finish());
            Some(FinishReason::Stop)
        } else if self.produced >= self.max_tokens || self.remembered >= self.capacity {
            text.push_str(&self.text.finish());
            Some(FinishReason::Length)
        } else {
            None
        };
        Ok(Output { text, tokens: 1, finish })
    }
}
