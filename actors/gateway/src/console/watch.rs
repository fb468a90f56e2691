//! Who looks at the brain, and how do they hear of changes? One listener for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use megabrain_bus::{Bus, Link};
use megabrain_schemas::subject::event;
use megabrain_schemas::{Fault, NodePresence, Presence};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::task::AbortHandle;

use super::seen::Seen;
use crate::access::Owner;
use crate::error::ApiError;
use crate::share::{Share, Shares};

/// Pages that look at the same time; one more is refused.
const WATCHERS: usize = 64;

/// Of them with one key, so that no key shuts the others out.
const SHARE: usize = 16;

/// Lines that a page may be behind. Further behind, it is told everything anew instead.
const BEHIND: usize = 512;

/// What is seen of the brain, and who wants to know. Cheap to clone; the last clone stops listening.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Watching>);

struct Watching {
    board: Arc<Mutex<Board>>,
    places: Places,
    task: AbortHandle,
}

/// What is seen, and where changes are told; nowhere any more once the doors close.
struct Board {
    seen: Seen,
    told: Option<broadcast::Sender<Bytes>>,
}

/// One page that looks.
pub(super) struct Watcher {
    /// The first line: everything.
    pub(super) state: Bytes,
    /// The lines that follow it.
    pub(super) changes: broadcast::Receiver<Bytes>,
    _place: Option<Place>,
}

/// Places for pages: all there are, and what each key has of them.
struct Places {
    all: Arc<Semaphore>,
    shares: Shares,
}

/// The place of one page; dropping it gives it back.
struct Place {
    _any: OwnedSemaphorePermit,
    _share: Option<Share>,
}

impl Watch {
    /// Listens from now on.
    ///
    /// # Errors
    /// `unavailable` if the connection is closed.
    pub(crate) async fn listen(bus: &Bus) -> Result<Self, Fault> {
        let seen = Seen::new(*bus.watch_link().borrow());
        let board = Arc::new(Mutex::new(Board { seen, told: Some(broadcast::channel(BEHIND).0) }));
        let task = listen(bus, board.clone()).await?;
        Ok(Self(Arc::new(Watching { board, places: Places::new(), task })))
    }

    /// Everything that is so now, and whatever changes from then on.
    ///
    /// # Errors
    /// Status 503 if too many look already, of all or with this key, or the doors close.
    pub(super) fn watch(&self, owner: &Owner) -> Result<Watcher, ApiError> {
        let place = self.0.places.take(owner)?;
        let watcher = self.look().ok_or_else(|| busy("the doors are closing".to_owned()))?;
        Ok(Watcher { _place: Some(place), ..watcher })
    }

    /// The same for whoever has a place already; `None` if the doors close.
    pub(super) fn look(&self) -> Option<Watcher> {
        // Both under one lock: no change falls between them.
        let board = lock(&self.0.board);
        let changes = board.told.as_ref()?.subscribe();
        Some(Watcher { state: board.seen.state(), changes, _place: None })
    }

    /// Ends every feed: the doors close, and a feed would go on for ever.
    pub(crate) fn close(&self) {
        lock(&self.0.board).told = None;
    }
}

impl Places {
    fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(WATCHERS)), shares: Shares::new(SHARE) }
    }

    /// A place for a page of this owner's. Where no keys are asked for, all are everybody's.
    fn take(&self, owner: &Owner) -> Result<Place, ApiError> {
        let share = owner.0.as_ref().map(|key| {
            let full = || busy(format!("{SHARE} pages look at this brain with the key {key} already"));
            self.shares.take(key.to_string()).ok_or_else(full)
        });
        let share = share.transpose()?;
        let any = self.all.clone().try_acquire_owned();
        let any = any.map_err(|_| busy(format!("{WATCHERS} pages look at this brain already")))?;
        Ok(Place { _any: any, _share: share })
    }
}

impl Watcher {
    /// Goes on with what another look gave.
    pub(super) fn again(&mut self, look: Self) -> Bytes {
        self.changes = look.changes;
        look.state
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(bus: &Bus, board: Arc<Mutex<Board>>) -> Result<AbortHandle, Fault> {
    let mut beats = bus.events::<Presence>(event::PRESENCE, None).await?;
    let mut ready = bus.events::<Presence>(event::READY, None).await?;
    let mut down = bus.events::<Presence>(event::DOWN, None).await?;
    let mut draining = bus.events::<Presence>(event::DRAINING, None).await?;
    let mut nodes = bus.events::<NodePresence>(event::NODE, None).await?;
    let mut link = bus.watch_link();
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let listening = async move {
        loop {
            let presence = tokio::select! {
                Some(event) = beats.next() => event.body,
                Some(event) = ready.next() => event.body,
                Some(event) = down.next() => event.body,
                Some(event) = draining.next() => event.body,
                Some(event) = nodes.next() => {
                    note(&board, |seen| seen.node(event.who, event.body));
                    continue;
                }
                Ok(()) = link.changed() => {
                    let now: Link = *link.borrow_and_update();
                    note(&board, |seen| seen.link(now));
                    continue;
                }
                _ = beat.tick() => {
                    note(&board, Seen::beat);
                    continue;
                }
            };
            note(&board, |seen| seen.model(presence));
        }
    };
    Ok(tokio::spawn(listening).abort_handle())
}

/// Notes something, and tells what it changes.
fn note(board: &Mutex<Board>, what: impl FnOnce(&mut Seen) -> Vec<Bytes>) {
    let mut board = lock(board);
    let lines = what(&mut board.seen);
    let Some(told) = &board.told else { return };
    for line in lines {
        // Nobody may be looking.
        let _ = told.send(line);
    }
}

fn busy(message: String) -> ApiError {
    ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message, 5000)
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
