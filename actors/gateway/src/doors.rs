//! What do all requests share?

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use megabrain_bus::{BlobStore, Bus, Link};
use megabrain_schemas::{BlobRef, Fault};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore, watch};

use crate::Config;
use crate::access::Access;
use crate::console::Watch;
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::present::Present;

/// Opening the blob store is given up after this long: a bus without JetStream must not hold a request up.
const OPENING: Duration = Duration::from_secs(5);

/// What a request needs; shared by all of them.
pub(crate) type Shared = Arc<Doors>;

/// The bus, who is on it, who may come in, and how much fits.
pub(crate) struct Doors {
    pub(crate) bus: Bus,
    pub(crate) present: Present,
    pub(crate) console: Watch,
    pub(crate) config: Config,
    pub(crate) access: Access,
    pub(crate) metrics: Metrics,
    pub(crate) jobs: Jobs,
    pub(crate) outbound: Outbound,
    /// Room for large bodies that are being read, in KiB.
    pub(crate) room: Arc<Semaphore>,
    /// What programs are told of the doors, once it was asked for.
    pub(crate) document: OnceLock<Bytes>,
    link: watch::Receiver<Link>,
    blobs: OnceCell<BlobStore>,
}

impl Doors {
    pub(crate) fn new(bus: Bus, jobs: Jobs, config: Config, access: Access, present: Present, console: Watch) -> Self {
        let room = config.max_bodies.max(config.max_body).as_u64().div_ceil(1024);
        Self {
            link: bus.watch_link(),
            bus,
            metrics: Metrics::new(present.clone(), jobs.counted()),
            outbound: Outbound::new(&config.allow),
            jobs,
            present,
            console,
            access,
            room: Arc::new(Semaphore::new(usize::try_from(room).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS))),
            config,
            document: OnceLock::new(),
            blobs: OnceCell::new(),
        }
    }

    /// True if the server of the bus can be reached now.
    pub(crate) fn is_on_bus(&self) -> bool {
        *self.link.borrow() == Link::Up
    }

    /// The bucket that large media goes into.
    ///
    /// # Errors
    /// `unavailable` if there is none, or the bus is away.
    async fn blobs(&self) -> Result<&BlobStore, Fault> {
        let opened = self.blobs.get_or_try_init(|| async {
            tokio::time::timeout(OPENING, self.bus.blob_store())
                .await
                .unwrap_or_else(|_| Err(Fault::unavailable("the blob store does not answer", 1000)))
        });
        opened.await
    }

    /// Puts bytes into that bucket. They are hashed beside the node's one thread: megabytes take their time.
    ///
    /// # Errors
    /// As [`BlobStore::put`].
    pub(crate) async fn put_blob(&self, bytes: Vec<u8>) -> Result<BlobRef, Fault> {
        let store = self.blobs().await?.clone();
        aside(async move { store.put(&bytes).await }).await
    }

    /// Reads bytes from that bucket, likewise.
    ///
    /// # Errors
    /// As [`BlobStore::get`].
    pub(crate) async fn get_blob(&self, blob: BlobRef) -> Result<Bytes, Fault> {
        let store = self.blobs().await?.clone();
        aside(async move { store.get(&blob, usize::MAX).await }).await
    }
}

async fn aside<T: Send + 'static>(work: impl Future<Output = Result<T, Fault>> + Send + 'static) -> Result<T, Fault> {
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(work)).await;
    done.unwrap_or_else(|error| Err(Fault::engine(format!("the blob store stumbled: {error}"))))
}
