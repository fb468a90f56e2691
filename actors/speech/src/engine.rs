//! What is Whisper to the runtime? One set of weights, some states to compute with, and a worker for each slot.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use megabrain_runtime::{Engine, Gauges, Host, Job, LoadError, Profile, Step, Waker, exit_on_panic, spawn_worker};
use megabrain_schemas::{Capability, TranscribeRequest};
use whisper_rs::{WhisperContext, WhisperContextParameters};

use crate::collect::Limits;
use crate::config::Config;
use crate::cores::Cores;
use crate::desk::Desk;
use crate::hear::Transcriber;
use crate::language::Languages;
use crate::log;
use crate::pool::Pool;
use crate::weights;
use crate::worker::Worker;

/// A loaded Whisper model.
pub(crate) struct Speech {
    /// To the workers. Holds as many jobs as there are workers, which is as many as the runtime has open.
    jobs: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
    desks: Vec<Arc<Desk>>,
    shared: Arc<Shared>,
    device: String,
}

/// What the workers share.
pub(crate) struct Shared {
    pub(crate) pool: Pool<Transcriber>,
    pub(crate) limits: Limits,
    /// False: long silences are heard as well.
    pub(crate) skips_silence: bool,
    pub(crate) languages: Languages,
    /// Language of sounds whose request names none.
    pub(crate) language: Option<&'static str>,
    pub(crate) cores: Cores,
    /// Tokens a second of the last transcription, as the bits of an `f32`.
    pub(crate) tokens_per_second: AtomicU32,
    /// Tokens of all transcriptions.
    pub(crate) tokens: AtomicU64,
    /// Has the two looked at.
    pub(crate) waker: Waker,
}

/// Loads weights. whisper.cpp's messages go into `tracing` from here on.
///
/// # Errors
/// `Weights`, if the file is missing or not a whole Whisper model.
pub(crate) fn load(path: &Path, parameters: WhisperContextParameters<'_>) -> Result<WhisperContext, LoadError> {
    log::install();
    let refused = |why: &dyn std::fmt::Display| {
        LoadError::Weights(format!(
            "cannot load the weights {}: {why}; `make setup` fetches the starter models, `megabrain pull` any other",
            path.display()
        ))
    };
    weights::check(path).map_err(|damage| refused(&damage))?;
    WhisperContext::new_with_params(path, parameters).map_err(|error| refused(&error))
}

impl Engine for Speech {
    const ACTOR: &'static str = "speech";

    type Config = Config;

    fn check(config: &Config) -> Result<(), LoadError> {
        config.check()?;
        config.device().map(drop)
    }

    fn load(config: Config, host: &Host) -> Result<Self, LoadError> {
        config.check()?;
        let (device, parameters) = config.device()?;
        let context = load(&config.weights, parameters)?;
        let languages = Languages::of(&context);
        let language = match &config.language {
            Some(asked) => languages.choose(Some(asked)).map_err(|fault| LoadError::Config(fault.message))?,
            None => languages.only(),
        };
        let mut states = Vec::with_capacity(config.states);
        for count in 1..=config.states {
            states.push(Transcriber::new(&context).map_err(LoadError::Engine)?);
            host.progress(count as f32 / config.states as f32);
        }
        let shared = Arc::new(Shared {
            pool: Pool::new(states),
            skips_silence: config.skip_silence,
            limits: config.limits(),
            languages,
            language,
            cores: Cores::new(host.threads()),
            tokens_per_second: AtomicU32::new(0),
            tokens: AtomicU64::new(0),
            waker: host.waker(),
        });
        let (jobs, inbox) = sync_channel(config.slots);
        let inbox = Arc::new(Mutex::new(inbox));
        let mut workers = Vec::with_capacity(config.slots);
        let desks: Vec<Arc<Desk>> = (0..config.slots).map(|_| Arc::default()).collect();
        for (slot, desk) in desks.iter().enumerate() {
            let (worker, inbox) = (Worker::new(desk.clone(), shared.clone()), inbox.clone());
            workers.push(spawn_worker(format!("whisper-{slot}"), move || serve(worker, &inbox))?);
        }
        Ok(Self { jobs: Some(jobs), workers, desks, shared, device })
    }

    fn profile(&self) -> Profile {
        Profile {
            capabilities: vec![Capability::of::<TranscribeRequest>()],
            // The last two are containers that browsers and recorders name so although they hold sound alone.
            accepts: ["audio/*", "application/ogg", "video/webm"].map(str::to_owned).to_vec(),
            slots: self.workers.len(),
            device: Some(self.device.clone()),
            ..Profile::default()
        }
    }

    fn start(&mut self, job: Job) {
        // A worker is free, or about to be: it may still have to look up from an interrupted job. Were all gone, the job
        // would be dropped, which answers `worker_lost`.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send(job);
        }
    }

    /// Nothing: the workers compute.
    fn step(&mut self) -> Step {
        Step::Idle
    }

    fn interrupted(&mut self) {
        self.desks.iter().for_each(|desk| desk.clear_interrupted());
    }

    fn set_threads(&mut self, threads: usize) {
        self.shared.cores.set(threads);
    }

    fn gauges(&self) -> Gauges {
        let rate = f32::from_bits(self.shared.tokens_per_second.load(Ordering::Relaxed));
        let completion_tokens = self.shared.tokens.load(Ordering::Relaxed);
        Gauges { tokens_per_second: f64::from(rate), completion_tokens, ..Gauges::default() }
    }
}

impl Drop for Speech {
    /// Waits for what runs.
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// A worker's thread: takes jobs until the engine is dropped.
fn serve(mut worker: Worker, inbox: &Mutex<Receiver<Job>>) {
    loop {
        // One idle worker waits for a job, the others for the lock; which of them gets the next does not matter.
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // On a thread of its own for each job: with it ends the team of threads that OpenMP gave it. libgomp counts the
        // threads of all teams, idle ones too, and once they outnumber the cores none of them spins for more than an
        // instant: a transcription alone then took a tenth longer.
        thread::scope(|scope| {
            let name = thread::current().name().unwrap_or_default().to_owned();
            let work = || exit_on_panic(|| worker.work(job));
            // If it cannot be started, the job is dropped, which answers `worker_lost`.
            thread::Builder::new().name(name).spawn_scoped(scope, work).map(|working| working.join())
        })
        .map_or_else(|error| tracing::warn!(%error, "cannot start a thread"), drop);
    }
}
