//! What are eyes to the runtime? A worker for each slot, with the models to itself.
//!
//! ONNX Runtime does not let two threads into one session. Its threads sleep while they wait for each other, so workers
//! side by side, and models of other kinds on the same cores, are shared out by the operating system.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use megabrain_onnx::{Device, Runtime};
use megabrain_runtime::{Engine, Host, Job, LoadError, Profile, Step, spawn_worker};
use megabrain_schemas::{Capability, SeeRequest, SeeTask};

use crate::config::Config;
use crate::eyes::Eyes;
use crate::running::Running;
use crate::worker::Worker;

/// Loaded vision models.
pub(crate) struct Vision {
    /// To the workers. Holds as many jobs as there are workers, which is as many as the runtime has open.
    jobs: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
    running: Arc<Running>,
    device: Device,
    tasks: Vec<SeeTask>,
}

impl Engine for Vision {
    const ACTOR: &'static str = "vision";

    type Config = Config;

    fn load(config: Config, host: &Host) -> Result<Self, LoadError> {
        config.check()?;
        let runtime = Runtime::load(&config.any_weights())?;
        let device = Device::named(&config.device, &runtime)?;
        let running = Arc::new(Running::new(config.slots));
        let (jobs, inbox) = sync_channel(config.slots);
        let inbox = Arc::new(Mutex::new(inbox));
        let tasks = config.tasks();
        let mut workers = Vec::with_capacity(config.slots);
        for slot in 0..config.slots {
            let eyes = Eyes::open(&runtime, &config, &device, host.threads())?;
            let worker = Worker::new(slot, runtime.clone(), running.clone(), eyes);
            let inbox = inbox.clone();
            workers.push(spawn_worker(format!("vision-{slot}"), move || serve(worker, &inbox))?);
            host.progress((slot + 1) as f32 / config.slots as f32);
        }
        Ok(Self { jobs: Some(jobs), workers, running, device, tasks })
    }

    fn profile(&self) -> Profile {
        Profile {
            capabilities: vec![Capability::of::<SeeRequest>()],
            accepts: vec!["image/*".to_owned()],
            // A description is composed, not made: that is for others, where there are any.
            tasks: self.tasks.clone(),
            slots: self.workers.len(),
            device: Some(self.device.to_string()),
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
        self.running.interrupt();
    }
}

impl Drop for Vision {
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
