//! What may an engine ask of the process that it lives in?

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use megabrain_bus::{BlobStore, Bus};
use megabrain_schemas::{BlobRef, Fault, Name, subject};

use crate::Listening;
use crate::driver::Event;
use crate::open::OpenWork;

/// Blobs past this size are refused: 1 GiB.
const MAX_BLOB: usize = 1 << 30;
/// While a blob is on its way, this often it is asked whether the work still wants it.
const LOOK_UP: Duration = Duration::from_millis(20);

/// The engine's view of its process. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    name: Name,
    threads: AtomicU32,
    progress: AtomicU32,
    bus: Bus,
    blobs: Mutex<Option<BlobStore>>,
    runtime: tokio::runtime::Handle,
    waker: Waker,
}

impl Host {
    pub(crate) fn new(name: Name, threads: u32, bus: Bus, waker: Waker) -> Self {
        Self(Arc::new(Inner {
            name,
            threads: AtomicU32::new(threads),
            progress: AtomicU32::new(0),
            bus,
            blobs: Mutex::new(None),
            runtime: tokio::runtime::Handle::current(),
            waker,
        }))
    }

    /// The model's name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// Threads that the engine may compute on now.
    pub fn threads(&self) -> usize {
        self.0.threads.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn set_threads(&self, threads: u32) {
        self.0.threads.store(threads, Ordering::Relaxed);
    }

    /// Tells how much of the model is loaded, 0 to 1.
    pub fn progress(&self, fraction: f32) {
        self.0.progress.store(fraction.clamp(0.0, 1.0).to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn progress_so_far(&self) -> f32 {
        f32::from_bits(self.0.progress.load(Ordering::Relaxed))
    }

    /// Wakes the engine's thread, so that `step` is called.
    pub fn waker(&self) -> Waker {
        self.0.waker.clone()
    }

    /// Fetches a blob for a work, blocking the calling thread; gives up when the work is interrupted.
    pub(crate) fn blob(&self, blob: &BlobRef, work: &OpenWork) -> Result<Bytes, Fault> {
        self.wait_for(work, async { self.store().await?.get(blob, MAX_BLOB).await })
    }

    /// Stores bytes for a work, blocking the calling thread; gives up when the work is interrupted.
    pub(crate) fn put_blob(&self, bytes: &[u8], work: &OpenWork) -> Result<BlobRef, Fault> {
        self.wait_for(work, async { self.store().await?.put(bytes).await })
    }

    /// Hears what is published for a work, blocking the calling thread until the server knows.
    pub(crate) fn listen(
        &self,
        work: &OpenWork,
        heard: impl FnMut(Bytes) + Send + 'static,
    ) -> Result<Listening, Fault> {
        let subject = subject::live(&work.work);
        let messages = self.wait_for(work, async {
            let messages = self.0.bus.subscribe(&subject, None).await?;
            self.0.bus.flush().await?;
            Ok(messages)
        })?;
        Ok(Listening::begin(&self.0.runtime, subject, messages, heard))
    }

    fn wait_for<T>(&self, work: &OpenWork, done: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let interrupted = async {
            loop {
                if let Some(fault) = work.interruption() {
                    return fault;
                }
                tokio::time::sleep(LOOK_UP).await;
            }
        };
        self.0.runtime.block_on(async {
            tokio::select! {
                biased;
                done = done => done,
                fault = interrupted => Err(fault),
            }
        })
    }

    /// True if a message has room for so many bytes of media beside everything else, in either codec.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.room() / 2
    }

    /// The largest message that the bus takes, in bytes.
    pub(crate) fn room(&self) -> usize {
        self.0.bus.max_payload()
    }

    async fn store(&self) -> Result<BlobStore, Fault> {
        let cached = self.0.blobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(store) = cached {
            return Ok(store);
        }
        let store = self.0.bus.blob_store().await?;
        *self.0.blobs.lock().unwrap_or_else(PoisonError::into_inner) = Some(store.clone());
        Ok(store)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// Wakes the engine's thread. Many wakes before it runs are one.
#[derive(Clone)]
pub struct Waker {
    pending: Arc<AtomicBool>,
    events: Sender<Event>,
}

impl Waker {
    pub(crate) fn new(events: Sender<Event>) -> Self {
        Self { pending: Arc::new(AtomicBool::new(false)), events }
    }

    /// Makes the runtime call `step` soon.
    pub fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // After the engine's end there is nobody to wake.
            let _ = self.events.send(Event::Wake);
        }
    }

    pub(crate) fn woken(&self) {
        self.pending.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}
