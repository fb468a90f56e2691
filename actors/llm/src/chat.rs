//! How does llama.cpp serve `chat`?

use std::time::Instant;

use llama_cpp_2::token::LlamaToken;
use megabrain_runtime::{Gauges, Job, LoadError, Profile, Step};
use megabrain_schemas::{Capability, ChatRequest, Fault, FaultKind, FinishReason, Name, SeeRequest, SeeTask};

use crate::batcher::Batcher;
use crate::config::Config;
use crate::load::{Loaded, Native};
use crate::looker::{Bounds, Looker};
use crate::piece::{Piece, Prompt};
use crate::plan::{Answering, Plan, Planner};
use crate::projector::Room;
use crate::rate::Rate;
use crate::sampler::Sampling;
use crate::sequence::{Output, Task};
use crate::showing::{Showing, check_tasks};
use crate::slot::Slot;

/// A model that goes on with conversations, and looks at pictures if it has eyes.
#[derive(Debug)]
pub(crate) struct Chat {
    config: Config,
    name: Name,
    planner: Planner,
    slots: Vec<Option<Occupant>>,
    // Before the batcher, whose model the looker looks with.
    looker: Option<Looker>,
    batcher: Batcher,
    profile: Profile,
    rate: Rate,
    counted: Gauges,
    longest_token: usize,
    capacity: usize,
    // Last, because llama.cpp must outlive what it made.
    _native: Native,
}

/// Whose sequence is computed.
#[derive(Debug)]
enum Occupant {
    Chat(Box<Slot>),
    See(Box<Showing>),
}

impl Chat {
    /// Makes a loaded model answer. `name` is what it is called; `wake` has [`Chat::step`] called soon, from any thread.
    ///
    /// # Errors
    /// Its chat template cannot be read.
    pub(crate) fn new(
        native: Native,
        mut loaded: Loaded,
        config: Config,
        name: Name,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, LoadError> {
        let instead = config
            .chat_template
            .as_ref()
            .map(std::fs::read_to_string)
            .transpose()
            .map_err(|error| LoadError::Config(format!("the file of `chat_template` cannot be read: {error}")))?;
        let model = loaded.context.model();
        let planner = Planner::of(loaded.context.share_model(), instead)?;
        let longest_token = model.tokens(true).map(|(_, bytes)| bytes.len()).max().unwrap_or(1);
        let capacity = loaded.context.tokens_per_sequence();
        let slots = config.slots as usize;
        let mut profile = loaded.profile(Capability::of::<ChatRequest>(), slots);
        let room = Room { prompt: capacity, whole: config.batch as usize };
        let bounds = Bounds { pixels: config.max_pixels, room };
        let start = |projector| Looker::start(projector, bounds, wake);
        let looker = loaded.projector.take().map(start).transpose()?;
        if looker.is_some() {
            profile.capabilities.push(Capability::of::<SeeRequest>());
            profile.accepts.push("image/*".to_owned());
            profile.tasks.push(SeeTask::Describe);
        }
        let batcher = Batcher::new(loaded.context, slots, config.batch as usize);
        Ok(Self {
            planner,
            name,
            slots: (0..slots).map(|_| None).collect(),
            looker,
            batcher,
            profile,
            rate: Rate::default(),
            counted: Gauges::default(),
            longest_token,
            capacity,
            config,
            _native: native,
        })
    }

    /// What it is, for the brain.
    pub(crate) fn profile(&self) -> Profile {
        self.profile.clone()
    }

    /// Begins a job, or ends it with what is wrong with it.
    pub(crate) fn start(&mut self, job: Job) {
        if *job.capability() == Capability::of::<SeeRequest>() {
            return match job.request::<SeeRequest>().and_then(|request| check_tasks(&request).map(|()| request)) {
                Ok(request) => self.describe_next(Box::new(Showing::new(job, request))),
                Err(fault) => job.fail(fault),
            };
        }
        let request = match job.request::<ChatRequest>() {
            Ok(request) => request,
            Err(fault) => return job.fail(fault),
        };
        if request.messages.iter().any(|message| !message.images.is_empty()) {
            return self.look_for(job, request);
        }
        match self.task(&request) {
            Ok((task, answer)) => {
                self.admit(task, |prompt_tokens| Occupant::chat(job, request.stream, answer, prompt_tokens))
            }
            Err(fault) => job.fail(fault),
        }
    }

    /// Computes one step for everybody.
    pub(crate) fn step(&mut self) -> Step {
        self.end_interrupted();
        self.begin_looked();
        let began = Instant::now();
        let results = self.batcher.step();
        let tokens = results.iter().flat_map(|(_, result)| result).map(|output| output.tokens).sum();
        for (id, result) in results {
            let Some(occupant) = self.slots.get_mut(id).and_then(Option::take) else { continue };
            self.settle(id, occupant, result);
        }
        self.rate.measured(tokens, began.elapsed());
        self.counted.completion_tokens += u64::from(tokens);
        if self.batcher.is_idle() { Step::Idle } else { Step::Busy }
    }

    /// Computes on so many threads from the next step on.
    pub(crate) fn set_threads(&mut self, threads: usize) {
        self.batcher.context().set_threads(threads);
    }

    /// How fast it was lately, and what it read and wrote in all.
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges { tokens_per_second: self.rate.per_second(), ..self.counted }
    }

    /// Gives a task a sequence, and the slot of that sequence its occupant.
    fn admit(&mut self, task: Task, occupant: impl FnOnce(usize) -> Occupant) {
        let prompt_tokens = task.prompt.len();
        let occupant = occupant(prompt_tokens);
        match self.batcher.admit(task).and_then(|id| self.slots.get_mut(id)) {
            Some(slot) => {
                *slot = Some(occupant);
                self.counted.prompt_tokens += prompt_tokens as u64;
            }
            None => occupant.fail(Fault::new(FaultKind::Overloaded, "all slots of the model are taken")),
        }
    }

    /// Hands on what a step gave, and frees the slot with the last of it.
    fn settle(&mut self, id: usize, mut occupant: Occupant, result: Result<Output, Fault>) {
        let output = match result {
            Ok(output) => output,
            Err(fault) => return occupant.fail(fault),
        };
        match &mut occupant {
            Occupant::Chat(slot) => slot.deliver(&output),
            Occupant::See(showing) => showing.deliver(&output),
        }
        let finish = match &occupant {
            Occupant::Chat(slot) if output.finish.is_none() && slot.is_complete() => {
                self.batcher.dismiss(id);
                Some(FinishReason::Stop)
            }
            _ => output.finish,
        };
        match (finish, occupant) {
            (None, occupant) => {
                if let Some(place) = self.slots.get_mut(id) {
                    *place = Some(occupant);
                }
            }
            (Some(reason), Occupant::Chat(slot)) => slot.answer(reason),
            (Some(_), Occupant::See(mut showing)) => {
                showing.described(&self.name);
                self.describe_next(showing);
            }
        }
    }

    /// Makes a request, which has been checked, the task of a sequence, and tells how to read its answer.
    fn task(&mut self, request: &ChatRequest) -> Result<(Task, Answering), Fault> {
        let plan = self.planner.plan(request, &request.messages)?;
        let tokens = self.prompt(&plan.text)?;
        self.task_of(request, Prompt::new(vec![Piece::Text(tokens)]), plan)
    }

    fn sampling(&self, request: &ChatRequest) -> Result<Sampling, Fault> {
        let defaults = Sampling {
            temperature: self.config.temperature,
            top_p: self.config.top_p,
            seed: self.config.seed.unwrap_or_else(rand::random),
            ..Sampling::default()
        };
        self.planner.sampling(request, defaults)
    }

    fn task_of(&self, request: &ChatRequest, prompt: Prompt, plan: Plan) -> Result<(Task, Answering), Fault> {
        let task = Task {
            prompt,
            max_tokens: request.max_tokens.unwrap_or(self.config.max_tokens) as usize,
            sampling: self.sampling(request)?,
            stops: request.stop.clone(),
            constraint: plan.constraint,
            shown: plan.shown,
        };
        Ok((task, plan.answer))
    }

    /// Refuses megabytes of text, which need not be read to know that they are too many.
    fn check_length(&self, text: &str) -> Result<(), Fault> {
        let at_least = text.len() / self.longest_token.max(1);
        if at_least > self.capacity {
            return Err(too_long(&format!("at least {at_least}"), self.capacity));
        }
        Ok(())
    }

    fn prompt(&mut self, text: &str) -> Result<Vec<LlamaToken>, Fault> {
        self.check_length(text)?;
        let tokens = self.planner.template().tokens(self.batcher.context().model(), text);
        if tokens.len() > self.capacity {
            return Err(too_long(&tokens.len().to_string(), self.capacity));
        }
        if tokens.is_empty() {
            return Err(Fault::invalid("`messages` give the model nothing to read"));
        }
        Ok(tokens)
    }

    fn end_interrupted(&mut self) {
        if let Some(looker) = &self.looker {
            looker.end_interrupted();
        }
        for (id, slot) in self.slots.iter_mut().enumerate() {
            let Some(fault) = slot.as_ref().and_then(Occupant::interruption) else { continue };
            self.batcher.dismiss(id);
            if let Some(occupant) = slot.take() {
                occupant.fail(fault);
            }
        }
    }
}

impl Occupant {
    /// A conversation whose prompt has so many tokens.
    fn chat(job: Job, is_stream: bool, answer: Answering, prompt_tokens: usize) -> Self {
        Self::Chat(Box::new(Slot::new(job, is_stream, answer, prompt_tokens)))
    }

    /// Why the job should end now, if it should.
    fn interruption(&self) -> Option<Fault> {
        match self {
            Self::Chat(slot) => slot.interruption(),
            Self::See(showing) => showing.job().interruption(),
        }
    }

    /// Answers with a fault.
    fn fail(self, fault: Fault) {
        match self {
            Self::Chat(slot) => slot.fail(fault),
            Self::See(showing) => showing.fail(fault),
        }
    }
}

fn too_long(tokens: &str, capacity: usize) -> Fault {
    Fault::invalid(format!("`messages` have {tokens} tokens, the model's context has {capacity}"))
}

mod pictures;
#[cfg(test)]
mod tests;
