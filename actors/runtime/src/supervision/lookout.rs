//! How does the guard see every request without being in its way? In bursts, on a thread and a connection of its own.
//!
//! A copy of each request goes to the guard. If each woke it, it would take a core from those who work on the request,
//! just then. It looks up every few milliseconds instead; in between, what went by waits in the kernel's buffer, and is
//! read at one go.

use std::time::Duration;

use futures::FutureExt as _;
use megabrain_bus::{Bus, ConnectError, Link, Options, RawSubscription, Sightings};
use megabrain_schemas::{Fault, Presence, subject};
use tokio::sync::{mpsc, oneshot};

use super::guard::{Guard, GuardConfig, SharedRoster};

/// Where the server tells that a client's connection was closed (imported from the system account by `nats.conf`).
const DISCONNECTS: &str = "$SYS.ACCOUNT.MB.DISCONNECT";
/// While requests go by, the guard looks up this often. At 100,000 requests a second of 1 KB it is 400 KB behind, which
/// a socket's buffer holds.
const LOOK_UP: Duration = Duration::from_millis(4);

/// Tells the guard what its node sees. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GuardHandle(mpsc::UnboundedSender<Presence>);

impl GuardHandle {
    /// The process of this instance has died; the presence says in what state the instance is now.
    pub fn died(&self, presence: Presence) {
        // One message per death of a process: bounded by the supervisor's back-off. A guard that ended needs none.
        let _ = self.0.send(presence);
    }
}

/// The guard cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The bus is away.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The bus refused something.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The system gave no thread.
    #[error("no thread for the guard: {0}")]
    Thread(#[from] std::io::Error),
}

/// Starts to guard, with a connection of its own, until every handle is dropped.
///
/// # Errors
/// The bus is away or refuses, or the system gives no thread.
pub async fn guard(options: Options, config: GuardConfig, roster: SharedRoster) -> Result<GuardHandle, GuardError> {
    let (handle, deaths) = mpsc::unbounded_channel();
    let (began_sender, began) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("guard".into()).spawn(move || {
        runtime.block_on(async {
            match Lookout::open(options, config, roster, deaths).await {
                Ok(lookout) => {
                    let _ = began_sender.send(Ok(()));
                    lookout.run().await;
                }
                Err(error) => drop(began_sender.send(Err(error))),
            }
        });
    })?;
    match began.await {
        Ok(began) => began.map(|()| GuardHandle(handle)),
        Err(_) => Err(GuardError::Thread(std::io::Error::other("it ended at once"))),
    }
}

struct Lookout {
    guard: Guard,
    bus: Bus,
    models: Sightings,
    instances: Sightings,
    disconnects: RawSubscription,
    deaths: mpsc::UnboundedReceiver<Presence>,
}

impl Lookout {
    async fn open(
        options: Options,
        config: GuardConfig,
        roster: SharedRoster,
        deaths: mpsc::UnboundedReceiver<Presence>,
    ) -> Result<Self, GuardError> {
        let bus = Bus::connect(options).await?;
        let models = bus.watch(subject::EVERY_MODEL).await?;
        let instances = bus.watch(subject::EVERY_INSTANCE).await?;
        let disconnects = bus.subscribe(DISCONNECTS, None).await?;
        bus.flush().await?;
        Ok(Self { guard: Guard::new(bus.clone(), config, roster), bus, models, instances, disconnects, deaths })
    }

    async fn run(mut self) {
        let mut link = self.bus.watch_link();
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                Some(message) = self.disconnects.next() => self.guard.closed(&message),
                presence = self.deaths.recv() => match presence {
                    Some(presence) => self.guard.died(presence),
                    None => return,
                },
                _ = tick.tick(), if self.guard.has_something_due() => self.guard.sweep(),
                _ = second.tick() => self.guard.every_second(),
                changed = link.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if *link.borrow_and_update() == Link::Down {
                        // What came before the end was on its way with the rest.
                        self.see_all().await;
                        self.guard.bus_away();
                    } else {
                        self.guard.bus_back();
                    }
                }
                // In this order, so that a request is seen before the report that it was taken.
                Some(sighting) = self.models.next() => {
                    self.guard.see(sighting);
                    self.catch_up().await;
                }
                Some(sighting) = self.instances.next() => {
                    self.guard.see(sighting);
                    self.catch_up().await;
                }
            }
        }
    }

    /// Sees everything that has arrived by now, and then looks away for a while.
    async fn catch_up(&mut self) {
        self.see_all().await;
        // Blocks this thread, which has nothing else to do; as long as it is not asked, the kernel does not wake it.
        std::thread::sleep(LOOK_UP);
    }

    /// Sees everything that has arrived by now.
    async fn see_all(&mut self) {
        loop {
            // The connection, a task on this thread too, reads what the kernel holds.
            tokio::task::yield_now().await;
            let mut more = false;
            while let Some(Some(sighting)) = self.models.next().now_or_never() {
                self.guard.see(sighting);
                more = true;
            }
            while let Some(Some(sighting)) = self.instances.next().now_or_never() {
                self.guard.see(sighting);
                more = true;
            }
            if !more {
                return;
            }
        }
    }
}
