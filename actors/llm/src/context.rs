//! How is llama.cpp's context driven without a lifetime, a panic or a copy?
//!
//! `llama-cpp-2`'s own context borrows its model, panics where there are no logits, and cannot change its number of
//! threads; an engine must own both, never panic, and give up cores when others need them.

#![allow(unsafe_code, reason = "the safe wrapper lacks owning, threads between steps and the number of outputs")]

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_sys_2 as sys;

use crate::piece::View;
use crate::purpose::{Pooling, Purpose};

/// Numbers that tell the place of a row, for models that see a grid.
const AXES: usize = 4;
/// Our own code, beside llama.cpp's, of rows that are not what the model reads.
const MISSHAPEN: i32 = i32::MIN;

/// The size of a context, and what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// What a step shall give: what comes after a token, or numbers for each sequence.
    pub(crate) purpose: Purpose,
    /// Tokens of one sequence.
    pub(crate) tokens: u32,
    /// Sequences at the same time.
    pub(crate) sequences: u32,
    /// Prompt tokens of one step; beside them there is room for a token of every sequence. Where it reads only, a step
    /// takes one whole sequence even if it is longer.
    pub(crate) batch: u32,
    /// Threads of the processor.
    pub(crate) threads: usize,
}

/// A model with the memory (KV cache) of its sequences. Dropping it frees both.
#[derive(Debug)]
pub(crate) struct Context {
    raw: NonNull<sys::llama_context>,
    model: Arc<LlamaModel>,
    purpose: Purpose,
    tokens_per_sequence: usize,
    vocabulary: usize,
    dimensions: usize,
    inputs: usize,
}

/// Why a step was not computed. What the sequences in it remember is then undefined until they are forgotten.
#[derive(Debug, thiserror::Error)]
#[error("llama.cpp could not compute a step: {}", match .0 {
    1 => "no room in the KV cache".to_owned(),
    2 => "aborted".to_owned(),
    &MISSHAPEN => "a picture's rows are not what the model reads".to_owned(),
    code => format!("code {code}"),
})]
pub(crate) struct DecodeError(i32);

impl Context {
    /// Makes room for the sequences. None if llama.cpp refuses, and then its log has the reason.
    pub(crate) fn new(model: Arc<LlamaModel>, shape: Shape) -> Option<Self> {
        // SAFETY: returns a plain structure.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_seq_max = shape.sequences;
        match shape.purpose {
            Purpose::Chat => {
                params.n_ctx = shape.tokens.saturating_mul(shape.sequences);
                // A step takes both; llama.cpp ends the process over one that is longer.
                params.n_batch = shape.batch.saturating_add(shape.sequences);
                // Without this, logits have room for every token of a batch: 300 MB for a vocabulary of 150,000.
                params.n_outputs_max = shape.sequences;
            }
            Purpose::Embed(_) | Purpose::Rerank => {
                params.embeddings = true;
                if shape.purpose == Purpose::Embed(Pooling::Mean) {
                    params.pooling_type = sys::LLAMA_POOLING_TYPE_MEAN;
                }
                // Nothing is remembered from step to step: one step's tokens are all that there is room for.
                params.n_batch = shape.batch.max(shape.tokens);
                params.n_ctx = params.n_batch;
                params.kv_unified = true;
            }
        }
        params.n_ubatch = params.n_batch;
        params.n_threads = threads(shape.threads);
        params.n_threads_batch = threads(shape.threads);
        params.no_perf = true;
        // SAFETY: the model outlives the context, which holds an `Arc` of it.
        let raw = NonNull::new(unsafe { sys::llama_init_from_model(raw_model(&model), params) })?;
        let tokens = match shape.purpose {
            // SAFETY: `raw` is a live context.
            Purpose::Chat => unsafe { sys::llama_n_ctx_seq(raw.as_ptr()) },
            Purpose::Embed(_) | Purpose::Rerank => shape.tokens,
        };
        let dimensions = match shape.purpose {
            // SAFETY: the model is live.
            Purpose::Rerank => i32::try_from(unsafe { sys::llama_model_n_cls_out(raw_model(&model)) }).ok()?,
            Purpose::Chat | Purpose::Embed(_) => model.n_embd_out(),
        };
        Some(Self {
            raw,
            purpose: shape.purpose,
            tokens_per_sequence: tokens as usize,
            vocabulary: usize::try_from(model.n_vocab()).ok()?,
            dimensions: usize::try_from(dimensions).ok()?,
            // SAFETY: the model is live.
            inputs: usize::try_from(unsafe { sys::llama_model_n_embd_inp(raw_model(&model)) }).ok()?,
            model,
        })
    }

    /// The model.
    pub(crate) fn model(&self) -> &LlamaModel {
        &self.model
    }

    /// The model, for somebody who needs it for as long.
    pub(crate) fn share_model(&self) -> Arc<LlamaModel> {
        self.model.clone()
    }

    /// What it is for.
    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Tokens that one sequence may have.
    pub(crate) fn tokens_per_sequence(&self) -> usize {
        self.tokens_per_sequence
    }

    /// Tokens that the model knows.
    pub(crate) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Numbers that come of a sequence: those of a vector, or the one of a verdict.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Computes a step and waits for it.
    pub(crate) fn decode(&mut self, batch: &mut Batch) -> Result<(), DecodeError> {
        // SAFETY: `raw` is a live context; the batch's pointers are good until the call returns, and only read.
        let code = unsafe {
            let code = sys::llama_decode(self.raw.as_ptr(), batch.as_raw());
            sys::llama_synchronize(self.raw.as_ptr());
            code
        };
        if code == 0 { Ok(()) } else { Err(DecodeError(code)) }
    }

    /// Computes some rows of a picture that begins at `position` of a sequence, and waits for it. Nothing comes out.
    pub(crate) fn decode_view(
        &mut self,
        view: &View,
        rows: Range<usize>,
        position: i32,
        sequence: i32,
    ) -> Result<(), DecodeError> {
        let count = rows.len();
        let mut numbers = view.numbers(&rows).to_vec();
        let mut positions = positions(view, rows, position);
        let axes = if view.places.is_empty() { 1 } else { AXES };
        if numbers.len() != count * self.inputs || positions.len() != count * axes {
            return Err(DecodeError(MISSHAPEN));
        }
        let mut sequences = vec![sequence; count];
        let mut pointers: Vec<*mut sys::llama_seq_id> = sequences.iter_mut().map(std::ptr::from_mut).collect();
        let (mut counts, mut wanted) = (vec![1; count], vec![0; count]);
        let batch = sys::llama_batch {
            n_tokens: i32::try_from(count).unwrap_or(0),
            token: std::ptr::null_mut(),
            embd: numbers.as_mut_ptr(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: pointers.as_mut_ptr(),
            logits: wanted.as_mut_ptr(),
        };
        // SAFETY: `raw` is a live context; the pointers are good until the call returns, and what they point at is as long
        // as llama.cpp reads: a model that sees a grid reads a place from every axis, others from the first.
        let code = unsafe {
            let raw = self.raw.as_ptr();
            sys::llama_set_causal_attn(raw, !view.is_whole);
            let code = sys::llama_decode(raw, batch);
            sys::llama_synchronize(raw);
            sys::llama_set_causal_attn(raw, true);
            code
        };
        if code == 0 { Ok(()) } else { Err(DecodeError(code)) }
    }

    /// What the last step says of the token after the one at `row` of its batch, one number for each token of the
    /// vocabulary. None if that row did not ask for it.
    pub(crate) fn logits(&self, row: i32) -> Option<&[f32]> {
        // SAFETY: llama.cpp checks `row` and returns null or a row as long as the vocabulary, which is overwritten by
        // the next decode only, and that borrows `self` mutably.
        unsafe {
            let logits = NonNull::new(sys::llama_get_logits_ith(self.raw.as_ptr(), row))?;
            Some(std::slice::from_raw_parts(logits.as_ptr(), self.vocabulary))
        }
    }

    /// The numbers that came of a sequence in the last step. None if it read none, or the context goes on with texts.
    pub(crate) fn row(&self, sequence: i32) -> Option<&[f32]> {
        if !self.purpose.is_reading() {
            return None;
        }
        // SAFETY: llama.cpp returns null, or as many numbers as its model gives, which live until the next decode, and that
        // borrows `self` mutably.
        unsafe {
            let row = NonNull::new(sys::llama_get_embeddings_seq(self.raw.as_ptr(), sequence))?;
            Some(std::slice::from_raw_parts(row.as_ptr(), self.dimensions))
        }
    }

    /// Forgets everything of a sequence.
    pub(crate) fn forget(&mut self, sequence: i32) {
        // SAFETY: `raw` is a live context; -1 stands for "from the beginning" and "to the end".
        unsafe {
            sys::llama_memory_seq_rm(sys::llama_get_memory(self.raw.as_ptr()), sequence, -1, -1);
        }
    }

    /// Computes on so many threads from the next step on.
    pub(crate) fn set_threads(&mut self, count: usize) {
        // SAFETY: `raw` is a live context, and no step is under way.
        unsafe { sys::llama_set_n_threads(self.raw.as_ptr(), threads(count), threads(count)) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: `raw` was made by `llama_init_from_model`, and is freed here only.
        unsafe { sys::llama_free(self.raw.as_ptr()) }
    }
}

fn threads(count: usize) -> i32 {
    i32::try_from(count.max(1)).unwrap_or(i32::MAX)
}

const _: () = assert!(size_of::<LlamaModel>() == size_of::<*mut sys::llama_model>());

/// What llama-cpp-2 wraps.
pub(crate) fn raw_model(model: &LlamaModel) -> *mut sys::llama_model {
    // SAFETY: `LlamaModel` is `repr(transparent)` over the pointer in the version that Cargo.toml pins.
    unsafe { *std::ptr::from_ref(model).cast::<*mut sys::llama_model>() }
}

/// Where rows of a picture are: one number a row, or, in a grid, of all rows the first axis, then the second, and so on.
fn positions(view: &View, rows: Range<usize>, position: i32) -> Vec<i32> {
    if view.places.is_empty() {
        return rows.map(|row| position.saturating_add(i32::try_from(row).unwrap_or(i32::MAX))).collect();
    }
    let places = view.places.get(rows).unwrap_or_default();
    (0..AXES).flat_map(|axis| places.iter().filter_map(move |place| place.get(axis).copied())).collect()
}

/// The tokens of one step, of any number of sequences. Reused from step to step.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    tokens: Vec<sys::llama_token>,
    positions: Vec<sys::llama_pos>,
    sequences: Vec<sys::llama_seq_id>,
    sequence_counts: Vec<i32>,
    sequence_pointers: Vec<*mut sys::llama_seq_id>,
    wanted: Vec<i8>,
}

impl Batch {
    /// Empties the batch.
    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.sequences.clear();
        self.sequence_counts.clear();
        self.wanted.clear();
    }

    /// Tokens in it.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Adds a token of a sequence; `wanted` if the step shall say what comes after it. Returns its row.
    pub(crate) fn add(&mut self, token: LlamaToken, position: i32, sequence: i32, wanted: bool) -> i32 {
        let row = self.tokens.len();
        self.tokens.push(token.0);
        self.positions.push(position);
        self.sequences.push(sequence);
        self.sequence_counts.push(1);
        self.wanted.push(i8::from(wanted));
        i32::try_from(row).unwrap_or(i32::MAX)
    }

    fn as_raw(&mut self) -> sys::llama_batch {
        self.sequence_pointers.clear();
        self.sequence_pointers.extend(self.sequences.iter_mut().map(std::ptr::from_mut));
        sys::llama_batch {
            n_tokens: i32::try_from(self.tokens.len()).unwrap_or(0),
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.sequence_counts.as_mut_ptr(),
            seq_id: self.sequence_pointers.as_mut_ptr(),
            logits: self.wanted.as_mut_ptr(),
        }
    }
}
