//! How fast is the model without a bus, and without our engine?
//!
//! The plainest loop over llama.cpp that there is, in the same executable: what `make bench` compares the brain with.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Instant;

use anyhow::{Context as _, bail};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use serde::Serialize;

use crate::config::Config;
use crate::load::Native;

/// What the loop shall do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The model, and where it lives.
    pub(crate) config: Config,
    /// The text that is continued.
    pub(crate) prompt: String,
    /// Tokens of every sequence.
    pub(crate) tokens: usize,
    /// Sequences at the same time.
    pub(crate) sequences: usize,
    /// Threads of the processor.
    pub(crate) threads: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    device: String,
    threads: usize,
    sequences: usize,
    load_ms: f64,
    prompt_tokens: usize,
    prompt_ms: f64,
    /// Of all sequences together.
    tokens: usize,
    decode_ms: f64,
    tokens_per_second: f64,
    /// What the first sequence says.
    text: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text.trim())?;
        writeln!(f, "loaded in {:.0} ms onto {}", self.load_ms, self.device)?;
        writeln!(f, "read {} tokens in {:.1} ms", self.prompt_tokens, self.prompt_ms)?;
        write!(
            f,
            "wrote {} tokens with {} sequences and {} threads: {:.1} tokens a second",
            self.tokens, self.sequences, self.threads, self.tokens_per_second
        )
    }
}

/// Loads the model and lets it write, whatever it says; the end of an answer is not heeded.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Report> {
    let began = Instant::now();
    let native = Native::start_for(&plan.config)?;
    let (model, device) = native.load_model(&plan.config)?;
    let load_ms = milliseconds(began);

    let prompt = model.vocab().tokenize(plan.prompt.as_bytes(), true, true);
    if prompt.is_empty() || plan.sequences == 0 {
        bail!("give a prompt, and at least one sequence");
    }
    let mut context = context(&native, &model, plan, prompt.len())?;
    let mut batch = LlamaBatch::new(prompt.len().max(plan.sequences), 1);

    let began = Instant::now();
    let mut newest = read(&mut context, &mut batch, &prompt, plan.sequences)?;
    let prompt_ms = milliseconds(began);

    let mut greedy = LlamaSampler::greedy();
    let mut text = Vec::new();
    let began = Instant::now();
    for step in 0..plan.tokens {
        let position = i32::try_from(prompt.len() + step)?;
        batch.clear();
        for (sequence, token) in (0..).zip(&newest) {
            batch.add(*token, position, &[sequence], true)?;
        }
        text.extend(newest.first().map(|token| model.vocab().token_to_piece(*token, false, None)).unwrap_or_default());
        context.decode(&mut batch)?;
        for (row, token) in (0..).zip(&mut newest) {
            *token = greedy.sample(&context, row);
        }
    }
    let decode_ms = milliseconds(began);
    let tokens = plan.tokens * plan.sequences;
    Ok(Report {
        device: device.name,
        threads: plan.threads,
        sequences: plan.sequences,
        load_ms,
        prompt_tokens: prompt.len() * plan.sequences,
        prompt_ms,
        tokens,
        decode_ms,
        tokens_per_second: tokens as f64 * 1e3 / decode_ms,
        text: String::from_utf8_lossy(&text).into_owned(),
    })
}

fn context<'model>(
    native: &Native,
    model: &'model LlamaModel,
    plan: &Plan,
    prompt: usize,
) -> anyhow::Result<LlamaContext<'model>> {
    let size = u32::try_from((prompt + plan.tokens).next_multiple_of(256) * plan.sequences)?;
    let threads = i32::try_from(plan.threads)?;
    let batch = u32::try_from(prompt.max(plan.sequences).max(512))?;
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(size))
        .with_n_seq_max(u32::try_from(plan.sequences)?)
        .with_n_batch(batch)
        .with_n_ubatch(batch)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    model.new_context(native.backend(), params).context("no memory for the context")
}

/// Reads the prompt once for every sequence, and returns what comes after it.
fn read(
    context: &mut LlamaContext<'_>,
    batch: &mut LlamaBatch<'_>,
    prompt: &[LlamaToken],
    sequences: usize,
) -> anyhow::Result<Vec<LlamaToken>> {
    let mut newest = Vec::new();
    for sequence in 0..i32::try_from(sequences)? {
        batch.clear();
        batch.add_sequence(prompt, sequence, false)?;
        context.decode(batch)?;
        newest.push(LlamaSampler::greedy().sample(context, -1));
    }
    Ok(newest)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
