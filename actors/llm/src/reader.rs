//! How do the texts of several requests share every step?
//!
//! A text is read whole in one step, for its tokens look at each other; so a step carries as many texts as can be read
//! in its time, each a sequence of its own, of every open request in turn. Nobody waits for all the texts of somebody
//! else, and the weights are read once for all.

use std::time::Instant;

use megabrain_schemas::Fault;

use crate::context::{Batch, Context};
use crate::pace::Pace;
use crate::passages::{Passages, Read};

/// Texts in one step, at most; llama.cpp itself knows no more than 256 sequences.
pub(crate) const TEXTS_A_STEP: u32 = 64;

/// Requests read together. A request is known by its number, below the number of slots.
#[derive(Debug)]
pub(crate) struct Reader {
    context: Context,
    open: Vec<Option<Passages>>,
    batch: Batch,
    /// Whose text each sequence of the step is.
    readers: Vec<usize>,
    /// Who has the first text of the next step.
    turn: usize,
    pace: Pace,
}

/// What came of a step.
#[derive(Debug, Default)]
pub(crate) struct StepRead {
    /// The requests that ended, by their numbers.
    pub(crate) results: Vec<(usize, Result<Read, Fault>)>,
    /// Tokens that were read.
    pub(crate) tokens: u32,
}

impl Reader {
    /// Room for `slots` requests; a step reads at most `most` tokens, or one text.
    pub(crate) fn new(context: Context, slots: usize, most: usize) -> Self {
        Self {
            context,
            open: (0..slots).map(|_| None).collect(),
            batch: Batch::default(),
            readers: Vec::new(),
            turn: 0,
            pace: Pace::new(most),
        }
    }

    /// The context that computes.
    pub(crate) fn context(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Begins a request and returns its number. None if all slots are taken.
    pub(crate) fn admit(&mut self, passages: Passages) -> Option<usize> {
        let (id, free) = self.open.iter_mut().enumerate().find(|(_, open)| open.is_none())?;
        *free = Some(passages);
        Some(id)
    }

    /// Ends a request.
    pub(crate) fn dismiss(&mut self, id: usize) {
        if let Some(open) = self.open.get_mut(id) {
            *open = None;
        }
    }

    /// True if there is nothing to read.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.iter().all(Option::is_none)
    }

    /// Reads one step for everybody.
    pub(crate) fn step(&mut self) -> StepRead {
        let mut results = self.fill();
        if self.batch.len() > 0 {
            let began = Instant::now();
            match self.context.decode(&mut self.batch) {
                Ok(()) => results.extend(self.collect()),
                Err(error) => results.extend(self.fail_readers(&error.to_string())),
            }
            self.pace.measured(self.batch.len(), began.elapsed());
            tracing::trace!(texts = self.readers.len(), tokens = self.batch.len(), "step");
            (0..self.readers.len()).for_each(|sequence| self.context.forget(number(sequence)));
        }
        for (id, _) in &results {
            self.dismiss(*id);
        }
        StepRead { results, tokens: u32::try_from(self.batch.len()).unwrap_or(u32::MAX) }
    }

    /// Fills the batch, and returns the requests with a text that cannot be read.
    fn fill(&mut self) -> Vec<(usize, Result<Read, Fault>)> {
        self.batch.clear();
        self.readers.clear();
        let mut unreadable = Vec::new();
        loop {
            let before = self.readers.len();
            for offset in 0..self.open.len() {
                let id = (self.turn + offset) % self.open.len();
                if let Err(fault) = self.add_text_of(id) {
                    self.dismiss(id);
                    unreadable.push((id, Err(fault)));
                }
            }
            if self.readers.len() == before {
                break;
            }
        }
        // A long text may find no room beside others: once it is the first, it has room.
        self.turn = (self.turn + 1) % self.open.len().max(1);
        unreadable
    }

    /// Adds the next text of a request if it has one and there is room.
    fn add_text_of(&mut self, id: usize) -> Result<(), Fault> {
        let Some(passages) = self.open.get_mut(id).and_then(Option::as_mut) else { return Ok(()) };
        if self.readers.len() >= TEXTS_A_STEP as usize {
            return Ok(());
        }
        let Some(length) = passages.next_length(&self.context)? else { return Ok(()) };
        let is_first = self.batch.len() == 0;
        if !is_first && self.batch.len() + length > self.pace.chunk() {
            return Ok(());
        }
        let sequence = number(self.readers.len());
        for (position, token) in passages.take_next().into_iter().enumerate() {
            self.batch.add(token, number(position), sequence, true);
        }
        self.readers.push(id);
        Ok(())
    }

    /// Hands what came of every text to the request that it is for.
    fn collect(&mut self) -> Vec<(usize, Result<Read, Fault>)> {
        let mut results = Vec::new();
        for (sequence, id) in self.readers.iter().enumerate() {
            // It may be gone: another text of it could not be read.
            let Some(place) = self.open.get_mut(*id) else { continue };
            let Some(passages) = place.as_mut() else { continue };
            let ended = match self.context.row(number(sequence)) {
                Some(row) => passages.add_row(row).map(Ok),
                None => Some(Err(Fault::engine("llama.cpp kept nothing of this text"))),
            };
            if let Some(ended) = ended {
                *place = None;
                results.push((*id, ended));
            }
        }
        results
    }

    fn fail_readers(&mut self, reason: &str) -> Vec<(usize, Result<Read, Fault>)> {
        tracing::error!(reason, "a step failed");
        let mut ids = self.readers.clone();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| self.open.get(*id).is_some_and(Option::is_some));
        ids.into_iter().map(|id| (id, Err(Fault::engine(reason)))).collect()
    }
}

fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
