//! How does llama.cpp serve who has texts read, and not written: `embed` and `rerank`?

use std::time::Instant;

use megabrain_runtime::{Gauges, Job, Profile, Step};
use megabrain_schemas::{Capability, Codec, Fault, FaultKind, Request};

use crate::config::Config;
use crate::load::{Loaded, Native};
use crate::passages::{Passages, Read};
use crate::rate::Rate;
use crate::reader::Reader;

/// A request that has texts read.
pub(crate) trait Reading: Request {
    /// Refuses, before anything is computed, what one answer of `room` bytes would not hold; `numbers` come of a text.
    fn check_room(&self, numbers: usize, codec: Codec, room: usize) -> Result<(), Fault>;
    /// Takes the texts out.
    fn passages(&mut self) -> Passages;
    /// The answer, made of the numbers that came of each text.
    fn reply(&self, read: Read) -> Result<Self::Reply, Fault>;
}

/// A model that reads for requests of one kind.
#[derive(Debug)]
pub(crate) struct Desk<R> {
    jobs: Vec<Option<(Job, R)>>,
    pub(crate) reader: Reader,
    profile: Profile,
    rate: Rate,
    counted: Gauges,
    // Last, because llama.cpp must outlive what it made.
    _native: Native,
}

impl<R: Reading> Desk<R> {
    /// Makes a loaded model read.
    pub(crate) fn new(native: Native, loaded: Loaded, config: &Config) -> Self {
        let slots = config.slots as usize;
        let profile = loaded.profile(Capability::of::<R>(), slots);
        let reader = Reader::new(loaded.context, slots, config.batch as usize);
        Self {
            jobs: (0..slots).map(|_| None).collect(),
            reader,
            profile,
            rate: Rate::default(),
            counted: Gauges::default(),
            _native: native,
        }
    }

    /// What it is, for the brain.
    pub(crate) fn profile(&self) -> Profile {
        self.profile.clone()
    }

    /// Begins a job, or ends it with what is wrong with it.
    pub(crate) fn start(&mut self, job: Job) {
        let request = job.request::<R>().and_then(|request| {
            let numbers = self.reader.context().dimensions();
            request.check_room(numbers, job.codec(), job.room()).map(|()| request)
        });
        let mut request = match request {
            Ok(request) => request,
            Err(fault) => return job.fail(fault),
        };
        match self.reader.admit(request.passages()).and_then(|id| self.jobs.get_mut(id)) {
            Some(place) => *place = Some((job, request)),
            None => job.fail(Fault::new(FaultKind::Overloaded, "all slots of the model are taken")),
        }
    }

    /// Computes one step for everybody.
    pub(crate) fn step(&mut self) -> Step {
        self.end_interrupted();
        let began = Instant::now();
        let read = self.reader.step();
        for (id, result) in read.results {
            let Some((job, request)) = self.jobs.get_mut(id).and_then(Option::take) else { continue };
            match result.and_then(|read| request.reply(read)) {
                Ok(reply) => job.answer(&reply),
                Err(fault) => job.fail(fault),
            }
        }
        self.rate.measured(read.tokens, began.elapsed());
        self.counted.prompt_tokens += u64::from(read.tokens);
        if self.reader.is_idle() { Step::Idle } else { Step::Busy }
    }

    /// Computes on so many threads from the next step on.
    pub(crate) fn set_threads(&mut self, threads: usize) {
        self.reader.context().set_threads(threads);
    }

    /// How fast it read lately, and what in all.
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges { tokens_per_second: self.rate.per_second(), ..self.counted }
    }

    fn end_interrupted(&mut self) {
        for (id, place) in self.jobs.iter_mut().enumerate() {
            let Some(fault) = place.as_ref().and_then(|(job, _)| job.interruption()) else { continue };
            self.reader.dismiss(id);
            if let Some((job, _)) = place.take() {
                job.fail(fault);
            }
        }
    }
}
