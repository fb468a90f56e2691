//! What is ffmpeg to the runtime? Programs that each job starts for itself, and a thread that listens to them for each
//! slot.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use megabrain_runtime::{Engine, Host, Job, LoadError, Profile, Step, spawn_worker};
use megabrain_schemas::{Capability, SplitRequest};

use crate::config::Config;
use crate::scratch;
use crate::split::Setup;
use crate::tools::{self, Tools};
use crate::worker::work;

/// ffmpeg, found and tried out.
pub(crate) struct Video {
    /// To the workers. Holds as many jobs as there are workers, which is as many as the runtime has open.
    jobs: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
    setup: Arc<Setup>,
}

impl Engine for Video {
    const ACTOR: &'static str = "video";

    type Config = Config;

    fn load(config: Config, host: &Host) -> Result<Self, LoadError> {
        config.check()?;
        let tools = Tools::find(config.ffmpeg.as_deref())?;
        let setup = Arc::new(Setup::new(config, tools, host.threads()));
        let left = scratch::sweep(&setup.base);
        if left > 0 {
            tracing::info!(folders = left, base = %setup.base.display(), "swept what a killed actor left");
        }
        tools::try_out(&setup)?;
        let slots = setup.config.slots;
        let (jobs, inbox) = sync_channel(slots);
        let inbox = Arc::new(Mutex::new(inbox));
        let mut workers = Vec::with_capacity(slots);
        for slot in 0..slots {
            let (setup, inbox) = (setup.clone(), inbox.clone());
            workers.push(spawn_worker(format!("video-{slot}"), move || serve(&setup, &inbox))?);
        }
        Ok(Self { jobs: Some(jobs), workers, setup })
    }

    fn profile(&self) -> Profile {
        Profile {
            capabilities: vec![Capability::of::<SplitRequest>()],
            accepts: vec!["video/*".to_owned()],
            slots: self.workers.len(),
            ..Profile::default()
        }
    }

    fn start(&mut self, job: Job) {
        // A worker is free, or about to be. Were all gone, the job would be dropped, which answers `worker_lost`.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send(job);
        }
    }

    /// Nothing: the workers see for themselves that a job was interrupted.
    fn step(&mut self) -> Step {
        Step::Idle
    }

    fn set_threads(&mut self, threads: usize) {
        self.setup.set_threads(threads);
    }
}

impl Drop for Video {
    /// Waits for what runs.
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// A worker's thread: takes jobs until the engine is dropped. Its children die when it ends, so it ends last.
fn serve(setup: &Arc<Setup>, inbox: &Mutex<Receiver<Job>>) {
    loop {
        // One idle worker waits for a job, the others for the lock; which of them gets the next does not matter.
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => work(setup, job),
            Err(_) => return,
        }
    }
}
