//! How does large media travel? By the name of its bytes, in a JetStream object store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::object_store::{
    GetError, GetErrorKind, InfoErrorKind, Object, ObjectMetadata, ObjectStore, PutError, PutErrorKind,
};
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use megabrain_schemas::{BLOB_BUCKET, BlobRef, Fault, FaultKind};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::Bus;

/// The stream under the bucket [`BLOB_BUCKET`].
const STREAM: &str = "OBJ_mb_blobs";
/// The server sends the pieces of an object one after the other without being asked; when none comes for this long, none
/// will.
const STALL: Duration = Duration::from_secs(3);

/// The bucket that holds media. Cheap to clone.
#[derive(Clone)]
pub struct BlobStore {
    store: ObjectStore,
    context: jetstream::Context,
    life: Duration,
}

impl Bus {
    /// Opens the bucket; makes it first if it is not there. One that is there gets this life and size.
    ///
    /// # Errors
    /// `unavailable` if JetStream is off or away, or this role may not make or change the bucket.
    pub async fn create_blob_store(&self, life: Duration, max_bytes: i64) -> Result<BlobStore, Fault> {
        let context = jetstream::new(self.client().clone());
        match context.get_stream(STREAM).await {
            Ok(stream) => adapt(&context, &stream.cached_info().config, life, max_bytes).await?,
            Err(_) => create(&context, life, max_bytes).await?,
        }
        let store = context.get_object_store(BLOB_BUCKET).await.map_err(|error| no_store(&error))?;
        Ok(BlobStore { store, context, life })
    }

    /// Opens the bucket that the brain has made.
    ///
    /// # Errors
    /// `unavailable` if there is none, or JetStream is away.
    pub async fn blob_store(&self) -> Result<BlobStore, Fault> {
        let context = jetstream::new(self.client().clone());
        let store = context.get_object_store(BLOB_BUCKET).await.map_err(|error| no_store(&error))?;
        let stream = context.get_stream(STREAM).await.map_err(|error| no_store(&error))?;
        let life = stream.cached_info().config.max_age;
        Ok(BlobStore { store, context, life })
    }
}

impl BlobStore {
    /// Stores bytes and gives their name. Bytes that are there already, and in the first half of their life, are not
    /// stored again: a second put would purge the chunks under whoever reads them. Others under their name are replaced.
    ///
    /// # Errors
    /// `overloaded` with used and cap if the bucket is full, `unavailable` if the bus is away.
    pub async fn put(&self, bytes: &[u8]) -> Result<BlobRef, Fault> {
        let blob = BlobRef::of(bytes);
        if let Ok(info) = self.store.info(blob.object_name()).await
            && info.size == bytes.len()
            && info.digest.is_some_and(|digest| digest == blob.object_digest())
            && info.modified.is_some_and(|modified| self.is_young(modified.unix_timestamp()))
        {
            return Ok(blob);
        }
        let meta = ObjectMetadata { name: blob.object_name().into(), ..ObjectMetadata::default() };
        let mut reader = bytes;
        match self.store.put(meta, &mut reader).await {
            Ok(_) => Ok(blob),
            // Stored; old chunks of the same bytes, which only some roles may purge, stay to the end of their life.
            Err(error) if error.kind() == PutErrorKind::PurgeOldChunks => Ok(blob),
            Err(error) => Err(self.put_fault(bytes.len(), &error).await),
        }
    }

    /// Reads bytes by name and checks that they are what the name says.
    ///
    /// # Errors
    /// `not_found` if they are gone, `engine` if the stored bytes are not what the name says, `too_large` past `limit`,
    /// `unavailable` if the bus is away.
    pub async fn get(&self, blob: &BlobRef, limit: usize) -> Result<Bytes, Fault> {
        let object = self.open(blob).await?;
        let size = object.info().size;
        if size > limit {
            return Err(too_large(blob, &size, limit));
        }
        let mut bytes = Vec::with_capacity(size);
        // Whoever put it wrote its size, too: it is not relied upon.
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        read(blob, object.take(most), &mut bytes).await?;
        if bytes.len() > limit {
            return Err(too_large(blob, &format!("more than {size}"), limit));
        }
        if blob.names(&bytes) {
            Ok(bytes.into())
        } else {
            Err(Fault::engine(format!("the bytes stored as {blob} are not what their name says: put them again")))
        }
    }

    /// The first 8 KiB, unchecked: enough to tell what kind of media it is.
    ///
    /// # Errors
    /// `not_found` if the blob is gone, `unavailable` if the bus is away.
    pub async fn head(&self, blob: &BlobRef) -> Result<Vec<u8>, Fault> {
        let object = self.open(blob).await?;
        let mut head = Vec::with_capacity(8192);
        read(blob, object.take(8192), &mut head).await?;
        Ok(head)
    }

    /// Checks that the bytes are there, without reading them.
    ///
    /// # Errors
    /// `not_found`; `unavailable` if the bus is away.
    pub async fn check(&self, blob: &BlobRef) -> Result<(), Fault> {
        match self.store.info(blob.object_name()).await {
            Ok(info) if info.deleted => Err(missing(blob)),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == InfoErrorKind::NotFound => Err(missing(blob)),
            Err(error) => Err(not_read(blob, &error)),
        }
    }

    /// Opens an object, which is no link: one that leads to itself would be followed until the stack ends.
    async fn open(&self, blob: &BlobRef) -> Result<Object, Fault> {
        let opened = async {
            match self.store.info(blob.object_name()).await {
                Ok(info) if info.options.as_ref().is_some_and(|options| options.link.is_some()) => Err(missing(blob)),
                Ok(_) => self.store.get(blob.object_name()).await.map_err(|error| get_fault(blob, &error)),
                Err(error) if error.kind() == InfoErrorKind::NotFound => Err(missing(blob)),
                Err(error) => Err(not_read(blob, &error)),
            }
        };
        let object = tokio::time::timeout(STALL, opened).await.map_err(|_| stalled(blob))??;
        // It became a link in between.
        if object.info().name == blob.object_name() { Ok(object) } else { Err(missing(blob)) }
    }

    fn is_young(&self, modified: i64) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let age = Duration::from_secs(now.saturating_sub(modified.try_into().unwrap_or(0)));
        self.life.is_zero() || age < self.life / 2
    }

    async fn put_fault(&self, size: usize, error: &PutError) -> Fault {
        let usage = match self.context.get_stream(STREAM).await {
            Ok(mut stream) => stream.info().await.ok().map(|info| (info.state.bytes, info.config.max_bytes)),
            Err(_) => None,
        };
        match usage {
            Some((used, cap)) if cap > 0 && used.saturating_add(size as u64) > cap.unsigned_abs() => Fault::new(
                FaultKind::Overloaded,
                format!("the blob bucket is full: {used} of {cap} bytes used, {size} more wanted"),
            )
            .retry_after(60_000),
            _ => Fault::unavailable(format!("could not store {size} bytes: {error}"), 1000),
        }
    }
}

/// Makes the bucket: an object store as every client knows it, but for direct gets. With those, the server would publish
/// stored bytes to any reply subject that a caller names, past the caller's rights.
async fn create(context: &jetstream::Context, life: Duration, max_bytes: i64) -> Result<(), Fault> {
    let config = stream::Config {
        name: STREAM.into(),
        subjects: vec![format!("$O.{BLOB_BUCKET}.C.>"), format!("$O.{BLOB_BUCKET}.M.>")],
        max_age: life,
        max_bytes,
        storage: stream::StorageType::File,
        discard: stream::DiscardPolicy::New,
        allow_rollup: true,
        allow_direct: false,
        ..stream::Config::default()
    };
    context.create_stream(config).await.map(drop).map_err(|error| no_store(&error))
}

/// Gives a bucket that is there the settings that are ours; whoever made it may have chosen the others, its replicas say.
async fn adapt(
    context: &jetstream::Context,
    found: &stream::Config,
    life: Duration,
    max_bytes: i64,
) -> Result<(), Fault> {
    let wanted = stream::Config { max_age: life, max_bytes, allow_direct: false, ..found.clone() };
    if wanted == *found {
        return Ok(());
    }
    tracing::info!(?life, max_bytes, "the blob bucket gets other settings");
    context.update_stream(&wanted).await.map(drop).map_err(|error| no_store(&error))
}

/// Reads to the end, or until nothing comes any more: the pieces of an object may be gone before its name is.
async fn read(blob: &BlobRef, mut object: impl AsyncRead + Unpin, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    loop {
        match tokio::time::timeout(STALL, object.read_buf(bytes)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(not_read(blob, &error)),
            Err(_) => return Err(stalled(blob)),
        }
    }
}

fn stalled(blob: &BlobRef) -> Fault {
    Fault::unavailable(format!("{blob} is not whole, or the bus is away: nothing came of it for {STALL:?}"), 1000)
}

fn missing(blob: &BlobRef) -> Fault {
    Fault::new(FaultKind::NotFound, format!("{blob} is not in the blob store"))
}

fn not_read(blob: &BlobRef, error: &dyn std::fmt::Display) -> Fault {
    Fault::unavailable(format!("{blob} could not be read: {error}"), 1000)
}

fn get_fault(blob: &BlobRef, error: &GetError) -> Fault {
    if error.kind() == GetErrorKind::NotFound { missing(blob) } else { not_read(blob, error) }
}

fn too_large(blob: &BlobRef, size: &dyn std::fmt::Display, limit: usize) -> Fault {
    Fault::new(FaultKind::TooLarge, format!("{blob} has {size} bytes, the limit is {limit}"))
}

fn no_store(error: &dyn std::fmt::Display) -> Fault {
    Fault::unavailable(format!("the blob store cannot be opened: {error}"), 1000)
}
