//! How does llama.cpp serve `chat`?

use std::time::{Duration, Instant};

use llama_cpp_2::token::LlamaToken;
use megabrain_runtime::{Engine, Gauges, Host, Job, LoadError, Profile, Step};
use megabrain_schemas::{Capability, ChatRequest, Fault, FaultKind};

use crate::batcher::Batcher;
use crate::config::Config;
use crate::load::Native;
use crate::prompt::ChatTemplate;
use crate::sampler::Sampling;
use crate::sequence::{Output, Task};
use crate::slot::Slot;

/// One language model.
#[derive(Debug)]
pub(crate) struct Llm {
    config: Config,
    template: ChatTemplate,
    slots: Vec<Option<Slot>>,
    batcher: Batcher,
    profile: Profile,
    rate: Rate,
    longest_token: usize,
    capacity: usize,
    // Last, because llama.cpp must outlive what it made.
    _native: Native,
}

impl Engine for Llm {
    const ACTOR: &'static str = "llm";
    type Config = Config;

    fn check(config: &Config) -> Result<(), LoadError> {
        config.check().map_err(LoadError::Config)
    }

    fn load(config: Config, host: &Host) -> Result<Self, LoadError> {
        let native = Native::start_for(&config)?;
        let progress = host.clone();
        Self::with(native, config, host.threads(), move |part| progress.progress(part))
    }

    fn profile(&self) -> Profile {
        self.profile.clone()
    }

    fn start(&mut self, job: Job) {
        let prepared = job.request::<ChatRequest>().and_then(|request| {
            let task = self.task(&request)?;
            Ok((request.stream, task))
        });
        let (is_stream, task) = match prepared {
            Ok(prepared) => prepared,
            Err(fault) => return job.fail(fault),
        };
        let prompt_tokens = task.prompt.len();
        match self.batcher.admit(task).and_then(|id| self.slots.get_mut(id)) {
            Some(slot) => *slot = Some(Slot::new(job, is_stream, prompt_tokens)),
            None => job.fail(Fault::new(FaultKind::Overloaded, "all slots of the model are taken")),
        }
    }

    fn step(&mut self) -> Step {
        self.end_interrupted();
        let began = Instant::now();
        let results = self.batcher.step();
        let tokens = results.iter().flat_map(|(_, result)| result).map(|output| output.tokens).sum();
        for (id, result) in results {
            if let Some(place) = self.slots.get_mut(id) {
                settle(place, result);
            }
        }
        self.rate.measured(tokens, began.elapsed());
        if self.batcher.is_idle() { Step::Idle } else { Step::Busy }
    }

    fn set_threads(&mut self, threads: usize) {
        self.batcher.context().set_threads(threads);
    }

    fn gauges(&self) -> Gauges {
        Gauges { tokens_per_second: self.rate.per_second() }
    }
}

impl Llm {
    /// Loads a model with so many threads.
    fn with(
        native: Native,
        config: Config,
        threads: usize,
        progress: impl Fn(f32) + 'static,
    ) -> Result<Self, LoadError> {
        let loaded = native.load(&config, threads, progress)?;
        let instead = config
            .chat_template
            .as_ref()
            .map(std::fs::read_to_string)
            .transpose()
            .map_err(|error| LoadError::Config(format!("the file of `chat_template` cannot be read: {error}")))?;
        let model = loaded.context.model();
        let template = ChatTemplate::of(model, instead)?;
        let longest_token = model.tokens(true).map(|(_, bytes)| bytes.len()).max().unwrap_or(1);
        let capacity = loaded.context.tokens_per_sequence();
        let slots = config.slots as usize;
        let profile = Profile {
            capabilities: vec![Capability::of::<ChatRequest>()],
            accepts: Vec::new(),
            slots,
            context: u32::try_from(capacity).ok(),
            device: Some(loaded.device.name.clone()),
            device_memory_bytes: Some(loaded.device_bytes),
        };
        tracing::info!(
            device = loaded.device.name,
            device_bytes = loaded.device_bytes,
            slots,
            context = capacity,
            "loaded"
        );
        let batcher = Batcher::new(loaded.context, slots, config.batch as usize);
        Ok(Self {
            template,
            slots: (0..slots).map(|_| None).collect(),
            batcher,
            profile,
            rate: Rate::default(),
            longest_token,
            capacity,
            config,
            _native: native,
        })
    }

    /// Makes a request, which has been checked, the task of a sequence.
    fn task(&mut self, request: &ChatRequest) -> Result<Task, Fault> {
        let sampling = Sampling {
            temperature: request.temperature.unwrap_or(self.config.temperature),
            top_p: request.top_p.unwrap_or(self.config.top_p),
            seed: request.seed.or(self.config.seed).unwrap_or_else(rand::random),
        };
        let max_tokens = request.max_tokens.unwrap_or(self.config.max_tokens);
        let text = self.template.render(&request.messages)?;
        Ok(Task { prompt: self.prompt(&text)?, max_tokens: max_tokens as usize, sampling, stops: request.stop.clone() })
    }

    fn prompt(&mut self, text: &str) -> Result<Vec<LlamaToken>, Fault> {
        // Megabytes need not be read to know that they are too many.
        let at_least = text.len() / self.longest_token.max(1);
        if at_least > self.capacity {
            return Err(too_long(&format!("at least {at_least}"), self.capacity));
        }
        let tokens = self.template.tokens(self.batcher.context().model(), text);
        if tokens.len() > self.capacity {
            return Err(too_long(&tokens.len().to_string(), self.capacity));
        }
        if tokens.is_empty() {
            return Err(Fault::invalid("`messages` give the model nothing to read"));
        }
        Ok(tokens)
    }

    fn end_interrupted(&mut self) {
        for (id, slot) in self.slots.iter_mut().enumerate() {
            let Some(fault) = slot.as_ref().and_then(Slot::interruption) else { continue };
            self.batcher.dismiss(id);
            if let Some(slot) = slot.take() {
                slot.fail(fault);
            }
        }
    }
}

/// Hands on what a step gave, and frees the slot with the last of it.
fn settle(place: &mut Option<Slot>, result: Result<Output, Fault>) {
    let Some(mut slot) = place.take() else { return };
    match result {
        Ok(output) => {
            slot.deliver(&output);
            match output.finish {
                Some(reason) => slot.answer(reason),
                None => *place = Some(slot),
            }
        }
        Err(fault) => slot.fail(fault),
    }
}

fn too_long(tokens: &str, capacity: usize) -> Fault {
    Fault::invalid(format!("`messages` have {tokens} tokens, the model's context has {capacity}"))
}

/// Tokens a second of work; what lies a second of work back counts half.
#[derive(Debug, Default)]
struct Rate {
    tokens: f64,
    worked: Duration,
}

impl Rate {
    fn measured(&mut self, tokens: u32, took: Duration) {
        self.tokens += f64::from(tokens);
        self.worked += took;
        if self.worked >= Duration::from_secs(2) {
            self.tokens /= 2.0;
            self.worked /= 2;
        }
    }

    fn per_second(&self) -> f64 {
        if self.worked.is_zero() { 0.0 } else { self.tokens / self.worked.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests;
