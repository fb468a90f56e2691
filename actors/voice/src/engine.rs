//! What is a voice to the runtime? A worker with a session of its own for each slot.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use megabrain_onnx::{Device, Runtime, Stop as Brake};
use megabrain_runtime::{Engine, Host, Job, LoadError, Profile, Step, spawn_worker};
use megabrain_schemas::{Capability, Fault, FaultKind, SpeakRequest};

use crate::config::Config;
use crate::espeak::Espeak;
use crate::phonemes::Reader;
use crate::running::Running;
use crate::stop::Stop;
use crate::synthesis::{Manner, Synthesizer};
use crate::voice::{Inference, Voice};
use crate::worker::Worker;

/// A loaded voice.
pub(crate) struct Mouth {
    /// To the workers. Holds as many jobs as there are workers, which is as many as the runtime has open.
    jobs: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    device: String,
}

/// What the workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) runtime: Runtime,
    pub(crate) reader: Reader,
    pub(crate) pause: Duration,
    pub(crate) running: Running,
    max_text: usize,
    /// How texts are spoken whose request says nothing.
    manner: Manner,
}

impl Shared {
    /// Refuses a text that is too long.
    pub(crate) fn check_length(&self, text: &str) -> Result<(), Fault> {
        match text.chars().count() {
            length if length > self.max_text => Err(Fault::new(
                FaultKind::TooLarge,
                format!("`text` has {length} characters, at most {} are spoken at once", self.max_text),
            )),
            _ => Ok(()),
        }
    }

    /// Who is to speak, and how.
    pub(crate) fn manner(&self, request: &SpeakRequest) -> Result<Manner, Fault> {
        let speaker = match &request.voice {
            Some(voice) => self.reader.voice.speakers.choose(Some(voice))?,
            None => self.manner.speaker,
        };
        // A request's speed is that of the voice itself: it replaces the configured one.
        let length_scale = match request.speed {
            Some(speed) => self.reader.voice.inference.length_scale / speed,
            None => self.manner.inference.length_scale,
        };
        Ok(Manner { speaker, inference: Inference { length_scale, ..self.manner.inference } })
    }
}

/// Reads a voice's config, and finds what makes its phonemes.
///
/// # Errors
/// `Weights` if the config is missing or says something else; `Config` if espeak-ng is not there.
pub(crate) fn read(config: &Config) -> Result<Reader, LoadError> {
    let voice = Voice::read(&config.weights.config())?;
    let espeak = voice.espeak().map(|name| Espeak::new(config.espeak.clone(), name)).transpose()?;
    Ok(Reader { voice, espeak })
}

/// Opens the weights once, and has them say something: so it shows now whether they are a voice, and the first request
/// is as fast as the next.
///
/// # Errors
/// `Weights` if they are missing, or no Piper voice.
pub(crate) fn open(
    config: &Config,
    reader: &Reader,
    manner: &Manner,
    runtime: &Runtime,
    device: &Device,
    threads: usize,
) -> Result<Synthesizer, LoadError> {
    let session = runtime.open(config.weights.model(), device, threads)?;
    let mut synthesizer = Synthesizer::new(session, reader.voice.speakers.are_several());
    let refused =
        |why: String| LoadError::Weights(format!("{} is no Piper voice: {why}", config.weights.model().display()));
    let phonemes = reader.read("Hello.", &|| false).map_err(|stop| refused(format!("{stop:?}")))?;
    let phonemes = phonemes.unwrap_or_else(|| reader.voice.alphabet.numbers(&[]));
    match synthesizer.speak(&phonemes, manner, &Brake::new(runtime)?) {
        Ok(samples) if !samples.is_empty() => Ok(synthesizer),
        Ok(_) => Err(refused("it says nothing".to_owned())),
        Err(Stop::Fault(fault)) => Err(refused(fault.message)),
        Err(Stop::Interrupted) => Err(refused("it was interrupted".to_owned())),
    }
}

impl Engine for Mouth {
    const ACTOR: &'static str = "voice";

    type Config = Config;

    fn load(config: Config, host: &Host) -> Result<Self, LoadError> {
        config.check()?;
        let reader = read(&config)?;
        let speaker =
            reader.voice.speakers.choose(config.voice.as_deref()).map_err(|fault| LoadError::Config(fault.message))?;
        let manner = Manner { speaker, inference: config.inference(reader.voice.inference) };
        let runtime = Runtime::load(config.weights.model())?;
        let device = Device::named(&config.device, &runtime)?;
        let mut synthesizers = Vec::with_capacity(config.slots);
        for slot in 0..config.slots {
            synthesizers.push(open(&config, &reader, &manner, &runtime, &device, host.threads())?);
            host.progress((slot + 1) as f32 / config.slots as f32);
        }
        let shared = Arc::new(Shared {
            runtime,
            reader,
            pause: config.pause,
            running: Running::default(),
            max_text: config.max_text,
            manner,
        });
        let (jobs, inbox) = sync_channel(config.slots);
        let inbox = Arc::new(Mutex::new(inbox));
        let mut workers = Vec::with_capacity(config.slots);
        for (slot, synthesizer) in synthesizers.into_iter().enumerate() {
            let (worker, inbox) = (Worker::new(slot, synthesizer, shared.clone()), inbox.clone());
            workers.push(spawn_worker(format!("voice-{slot}"), move || serve(worker, &inbox))?);
        }
        Ok(Self { jobs: Some(jobs), workers, shared, device: device.to_string() })
    }

    fn profile(&self) -> Profile {
        Profile {
            capabilities: vec![Capability::of::<SpeakRequest>()],
            slots: self.workers.len(),
            device: Some(self.device.clone()),
            ..Profile::default()
        }
    }

    fn start(&mut self, job: Job) {
        // A worker is free, or about to be. Were all gone, the job would be dropped, which answers `worker_lost`.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send(job);
        }
    }

    /// Nothing: the workers compute.
    fn step(&mut self) -> Step {
        Step::Idle
    }

    fn interrupted(&mut self) {
        self.shared.running.brake_interrupted();
    }
}

impl Drop for Mouth {
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
        match job {
            Ok(job) => worker.work(job),
            Err(_) => return,
        }
    }
}
