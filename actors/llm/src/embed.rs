//! How does llama.cpp serve `embed`?

use std::time::Instant;

use megabrain_runtime::{Gauges, Job, Profile, Step};
use megabrain_schemas::{Capability, Codec, EmbedRequest, Fault, FaultKind};

use crate::config::Config;
use crate::load::{Loaded, Native};
use crate::rate::Rate;
use crate::reader::Reader;

/// A model that makes vectors of texts.
#[derive(Debug)]
pub(crate) struct Embed {
    jobs: Vec<Option<Job>>,
    reader: Reader,
    profile: Profile,
    rate: Rate,
    // Last, because llama.cpp must outlive what it made.
    _native: Native,
}

impl Embed {
    /// Makes a loaded model read.
    pub(crate) fn new(native: Native, loaded: Loaded, config: &Config) -> Self {
        let slots = config.slots as usize;
        let profile = loaded.profile(Capability::of::<EmbedRequest>(), slots);
        let reader = Reader::new(loaded.context, slots, config.batch as usize);
        Self { jobs: (0..slots).map(|_| None).collect(), reader, profile, rate: Rate::default(), _native: native }
    }

    /// What it is, for the brain.
    pub(crate) fn profile(&self) -> Profile {
        self.profile.clone()
    }

    /// Begins a job, or ends it with what is wrong with it.
    pub(crate) fn start(&mut self, job: Job) {
        let request = job.request::<EmbedRequest>().and_then(|request| {
            let dimensions = self.reader.context().dimensions();
            check_room(request.input.len(), dimensions, job.codec(), job.room()).map(|()| request)
        });
        let request = match request {
            Ok(request) => request,
            Err(fault) => return job.fail(fault),
        };
        match self.reader.admit(request).and_then(|id| self.jobs.get_mut(id)) {
            Some(place) => *place = Some(job),
            None => job.fail(Fault::new(FaultKind::Overloaded, "all slots of the model are taken")),
        }
    }

    /// Computes one step for everybody.
    pub(crate) fn step(&mut self) -> Step {
        self.end_interrupted();
        let began = Instant::now();
        let read = self.reader.step();
        for (id, result) in read.results {
            let Some(job) = self.jobs.get_mut(id).and_then(Option::take) else { continue };
            match result {
                Ok(reply) => job.answer(&reply),
                Err(fault) => job.fail(fault),
            }
        }
        self.rate.measured(read.tokens, began.elapsed());
        if self.reader.is_idle() { Step::Idle } else { Step::Busy }
    }

    /// Computes on so many threads from the next step on.
    pub(crate) fn set_threads(&mut self, threads: usize) {
        self.reader.context().set_threads(threads);
    }

    /// How fast it read lately.
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges { tokens_per_second: self.rate.per_second() }
    }

    fn end_interrupted(&mut self) {
        for (id, place) in self.jobs.iter_mut().enumerate() {
            let Some(fault) = place.as_ref().and_then(Job::interruption) else { continue };
            self.reader.dismiss(id);
            if let Some(job) = place.take() {
                job.fail(fault);
            }
        }
    }
}

/// Refuses, before anything is computed, texts whose vectors would not fit into one answer.
fn check_room(texts: usize, dimensions: usize, codec: Codec, room: usize) -> Result<(), Fault> {
    // MessagePack has a byte before the four of a number; in JSON a number has up to nine digits: `-0.012345678,`.
    let bytes_a_number = match codec {
        Codec::MessagePack => 5,
        Codec::Json => 13,
    };
    let most = room / (bytes_a_number * dimensions.max(1));
    if texts <= most {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::TooLarge,
        format!("`input` has {texts} texts, an answer has room for the vectors of some {most}"),
    ))
}

#[cfg(test)]
mod tests;
