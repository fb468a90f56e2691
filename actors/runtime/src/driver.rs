//! Who calls the engine? One thread, in a loop: take work, drop what is overdue, start what fits, step.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::deadlines::Deadlines;
use crate::host::Waker;
use crate::open::Open;
use crate::{Engine, Gauges, Host, Job, LoadError, Profile, Step, exit_on_panic};

/// What the engine's thread is told.
pub(crate) enum Event {
    /// A job was admitted.
    Job(Box<Job>),
    /// Something was interrupted, or a worker of the engine has news.
    Wake,
    /// Compute on so many threads.
    Threads(usize),
    /// The process ends: leave the loop.
    Quit,
}

/// Jobs that wait for a slot: the higher priority first, then the older.
type Queue = BTreeMap<(Reverse<i32>, u64), Box<Job>>;

/// The thread that loads the engine and then drives it, seen from the process' other side.
pub(crate) struct EngineThread {
    loaded: Option<oneshot::Receiver<Result<Profile, LoadError>>>,
    begin: Option<oneshot::Sender<Arc<Open>>>,
    gauges: Arc<Mutex<Gauges>>,
}

impl EngineThread {
    /// Begins to load.
    pub(crate) fn spawn<E: Engine>(config: E::Config, host: &Host, events: Receiver<Event>, waker: Waker) -> Self {
        let (loaded_sender, loaded) = oneshot::channel();
        let (begin_sender, begin) = oneshot::channel::<Arc<Open>>();
        let gauges = Arc::new(Mutex::new(Gauges::default()));
        let (host, gauges_of_driver) = (host.clone(), gauges.clone());
        let live = move || match E::load(config, &host) {
            Ok(engine) => {
                let _ = loaded_sender.send(Ok(engine.profile()));
                if let Ok(open) = begin.blocking_recv() {
                    Driver { engine, events, open, waker, gauges: gauges_of_driver, is_interrupted: false }.run();
                }
            }
            Err(error) => drop(loaded_sender.send(Err(error))),
        };
        let spawned = std::thread::Builder::new().name("engine".into()).spawn(move || {
            // Of this thread, and of those that it starts.
            if let Err(error) = rustix::process::nice(E::NICENESS) {
                tracing::warn!(%error, "the engine does not yield to the bus");
            }
            exit_on_panic(live);
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for the engine");
        }
        Self { loaded: Some(loaded), begin: Some(begin_sender), gauges }
    }

    /// Waits until the model is loaded. Cancel-safe; gives its result once.
    pub(crate) async fn loaded(&mut self) -> Result<Profile, LoadError> {
        let result = match &mut self.loaded {
            Some(loaded) => loaded.await.ok(),
            None => None,
        };
        self.loaded = None;
        result.unwrap_or_else(|| Err(LoadError::Engine("the engine's thread ended while loading".into())))
    }

    /// Lets the loaded engine work on what is admitted to `open`.
    pub(crate) fn begin(&mut self, open: Arc<Open>) {
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(open);
        }
    }

    /// What the engine last measured of itself.
    pub(crate) fn gauges(&self) -> Arc<Mutex<Gauges>> {
        self.gauges.clone()
    }
}

struct Driver<E> {
    engine: E,
    events: Receiver<Event>,
    open: Arc<Open>,
    waker: Waker,
    gauges: Arc<Mutex<Gauges>>,
    /// Something was cancelled or ran out of time since the last step.
    is_interrupted: bool,
}

impl<E: Engine> Driver<E> {
    /// Drives the engine until [`Event::Quit`].
    fn run(mut self) {
        let mut queue = Queue::new();
        let mut deadlines = Deadlines::default();
        let mut next = Step::Idle;
        let mut measured = Instant::now();
        loop {
            let event = self.wait(next, deadlines.next());
            if event.is_some_and(|event| !self.take(event, &mut queue, &mut deadlines)) {
                return;
            }
            while let Ok(event) = self.events.try_recv() {
                if !self.take(event, &mut queue, &mut deadlines) {
                    return;
                }
            }
            self.is_interrupted |= deadlines.pass(Instant::now());
            if std::mem::take(&mut self.is_interrupted) {
                drop_interrupted(&mut queue);
                self.engine.interrupted();
            }
            self.start(&mut queue);
            next = self.engine.step();
            if next == Step::Idle || measured.elapsed() > Duration::from_millis(500) {
                measured = Instant::now();
                *self.gauges.lock().unwrap_or_else(PoisonError::into_inner) = self.engine.gauges();
            }
        }
    }

    /// The next event; `None` when it is time for something else.
    fn wait(&self, next: Step, deadline: Option<Instant>) -> Option<Event> {
        let until = match next {
            Step::Busy => Some(Instant::now()),
            Step::Until(time) => Some(deadline.map_or(time, |deadline| deadline.min(time))),
            Step::Idle => deadline,
        };
        let Some(until) = until else { return Some(self.events.recv().unwrap_or(Event::Quit)) };
        match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Event::Quit),
        }
    }

    fn take(&mut self, event: Event, queue: &mut Queue, deadlines: &mut Deadlines) -> bool {
        match event {
            Event::Job(job) => {
                deadlines.push(&job.open, self.open.admitted_now());
                queue.insert((Reverse(job.open.priority), job.open.id), job);
            }
            Event::Wake => {
                self.waker.woken();
                self.is_interrupted = true;
            }
            Event::Threads(threads) => self.engine.set_threads(threads),
            Event::Quit => return false,
        }
        true
    }

    fn start(&mut self, queue: &mut Queue) {
        let slots = self.open.slots();
        while let free = slots.saturating_sub(self.open.running_now())
            && free > 0
        {
            let Some(first) = queue.first_entry() else { return };
            // Those that let others go first leave them the last of three slots or more.
            if first.get().is_patient() && free == 1 && slots > 2 {
                return;
            }
            let mut job = first.remove();
            job.started = Some(Instant::now());
            self.open.running(&job.open);
            self.engine.start(*job);
        }
    }
}

/// Answers what was cancelled or ran out of time while it waited: it is never started.
fn drop_interrupted(queue: &mut Queue) {
    while let Some(key) = queue.iter().find(|(_, job)| job.open.is_interrupted()).map(|(key, _)| *key) {
        if let Some(job) = queue.remove(&key)
            && let Some(fault) = job.interruption()
        {
            job.fail(fault);
        }
    }
}
