//! How do several conversations share every step?
//!
//! Continuous batching: a step carries the newest token of every sequence that answers, and beside them a chunk of the
//! prompts that are still read. So nobody waits for a whole prompt or answer of somebody else, and the weights are read
//! once for all. The chunk is split evenly: a short prompt does not wait behind a long one. Pictures in prompts count as
//! one of them, and take turns.

use std::time::{Duration, Instant};

use megabrain_schemas::Fault;

use crate::context::{Batch, Context};
use crate::pace::Pace;
use crate::sequence::{Output, Sequence, Task};

/// Sequences computed together. A sequence is known by its number, below the number of slots.
#[derive(Debug)]
pub(crate) struct Batcher {
    context: Context,
    sequences: Vec<Option<Sequence>>,
    batch: Batch,
    pace: Pace,
    /// Whose picture has the next look.
    turn: usize,
}

/// What came of a step for the sequence with this number. After a finish or a fault it is gone.
pub(crate) type StepResult = (usize, Result<Output, Fault>);

impl Batcher {
    /// Room for `slots` sequences; a step reads at most `most` prompt tokens.
    pub(crate) fn new(context: Context, slots: usize, most: usize) -> Self {
        Self {
            context,
            sequences: (0..slots).map(|_| None).collect(),
            batch: Batch::default(),
            pace: Pace::new(most),
            turn: 0,
        }
    }

    /// The context that computes.
    pub(crate) fn context(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Begins a sequence and returns its number. None if all slots are taken.
    pub(crate) fn admit(&mut self, task: Task) -> Option<usize> {
        let capacity = self.context.tokens_per_sequence();
        let (id, free) = self.sequences.iter_mut().enumerate().find(|(_, sequence)| sequence.is_none())?;
        *free = Some(Sequence::new(task, capacity, self.context.vocabulary()));
        Some(id)
    }

    /// Ends a sequence and forgets what it computed.
    pub(crate) fn dismiss(&mut self, id: usize) {
        if let Some(sequence) = self.sequences.get_mut(id) {
            *sequence = None;
            self.context.forget(number(id));
        }
    }

    /// True if there is nothing to compute.
    pub(crate) fn is_idle(&self) -> bool {
        self.sequences.iter().all(Option::is_none)
    }

    /// Computes one step for everybody.
    pub(crate) fn step(&mut self) -> Vec<StepResult> {
        let began = Instant::now();
        let share = self.share();
        let mut results = Vec::new();
        let mut prompt_tokens = 0;
        match self.look(share) {
            Ok(rows) => prompt_tokens += rows,
            Err((id, fault)) => {
                self.dismiss(id);
                results.push((id, Err(fault)));
            }
        }
        prompt_tokens += self.fill(share);
        if self.batch.len() > 0 {
            let decoded = self.context.decode(&mut self.batch);
            results.extend(match decoded {
                Ok(()) => self.collect(),
                Err(error) => self.fail_all(&error.to_string()),
            });
        }
        self.learn(prompt_tokens, began.elapsed());
        for (id, result) in &results {
            if result.as_ref().map_or(true, |output| output.finish.is_some()) {
                self.dismiss(*id);
            }
        }
        results
    }

    /// Prompt tokens that each of those who read may have of the next step.
    fn share(&self) -> usize {
        let reading = self.sequences.iter().flatten().filter(|sequence| sequence.is_reading());
        let (pictures, texts): (Vec<_>, Vec<_>) = reading.partition(|sequence| sequence.is_at_picture());
        let readers = texts.len() + pictures.len().min(1);
        (self.pace.chunk() / readers.max(1)).max(1)
    }

    /// Computes up to `room` rows of one picture, if somebody's prompt has one next: numbers and tokens do not go into
    /// one batch. Returns how many, or whose failed.
    fn look(&mut self, room: usize) -> Result<usize, (usize, Fault)> {
        let count = self.sequences.len();
        for id in (self.turn..count).chain(0..self.turn) {
            let Some(sequence) = self.sequences.get_mut(id).and_then(Option::as_mut) else { continue };
            if !sequence.is_at_picture() {
                continue;
            }
            self.turn = (id + 1) % count;
            let looked = sequence.look(number(id), room, &mut self.context);
            return looked.map_err(|error| (id, Fault::engine(error.to_string())));
        }
        Ok(0)
    }

    /// Fills the batch, with up to `share` tokens of every prompt, and returns how many prompt tokens are in it.
    fn fill(&mut self, share: usize) -> usize {
        self.batch.clear();
        let batch = &mut self.batch;
        let mut prompt_tokens = 0;
        for (id, sequence) in self.sequences.iter_mut().enumerate() {
            let Some(sequence) = sequence else { continue };
            let is_reading = sequence.is_reading();
            let fed = sequence.feed(number(id), share, batch);
            prompt_tokens += if is_reading { fed } else { 0 };
        }
        prompt_tokens
    }

    fn collect(&mut self) -> Vec<StepResult> {
        let context = &self.context;
        let mut results = Vec::new();
        for (id, sequence) in self.sequences.iter_mut().enumerate() {
            let Some(sequence) = sequence else { continue };
            let Some(row) = sequence.row() else { continue };
            let result = context
                .logits(row)
                .ok_or_else(|| Fault::engine("llama.cpp kept no logits for this sequence"))
                .and_then(|logits| sequence.advance(logits, context.model()));
            results.push((id, result));
        }
        results
    }

    fn fail_all(&self, reason: &str) -> Vec<StepResult> {
        tracing::error!(reason, "a step failed");
        let open = self.sequences.iter().enumerate().filter(|(_, sequence)| sequence.is_some());
        open.map(|(id, _)| (id, Err(Fault::engine(reason)))).collect()
    }

    fn learn(&mut self, prompt_tokens: usize, took: Duration) {
        self.pace.measured(prompt_tokens, took);
        tracing::trace!(tokens = self.batch.len(), prompt_tokens, took_ms = took.as_secs_f64() * 1e3, "step");
    }
}

fn number(id: usize) -> i32 {
    i32::try_from(id).unwrap_or(i32::MAX)
}
