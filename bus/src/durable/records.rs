//! How do many agree on what is true of one thing? Each change names the state that it changes, and the first one wins.

use std::time::Duration;

use async_nats::jetstream::kv::{self, CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{self, stream};
use megabrain_schemas::{Codec, Fault};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Keeping, not_kept};
use crate::Bus;

/// Many change the same record at the same time: so often one that lost looks again.
const TRIES: usize = 20;
/// The server answers within this, or it is away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Records by key, each changed by compare-and-set. Cheap to clone.
#[derive(Clone)]
pub struct Records(Store);

impl Bus {
    /// Opens the bucket of this name; makes it first if it is not there.
    ///
    /// # Errors
    /// `unavailable` if JetStream is off or away, or this role may not.
    pub async fn records(&self, bucket: &str, keeping: Keeping) -> Result<Records, Fault> {
        let mut context = jetstream::new(self.client().clone());
        context.set_timeout(PATIENCE);
        let config = kv::Config {
            bucket: bucket.to_owned(),
            history: 1,
            max_age: keeping.life,
            max_bytes: keeping.bytes(),
            storage: stream::StorageType::File,
            ..kv::Config::default()
        };
        let store = context.create_or_update_key_value(config).await;
        store.map(Records).map_err(|error| not_kept(&error))
    }
}

impl Records {
    /// The record of a key, if there is one, and its revision.
    ///
    /// # Errors
    /// `unavailable` if the bus is away, `engine` if what is there is no such record.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, u64)>, Fault> {
        let entry = self.0.entry(key).await.map_err(|error| not_kept(&error))?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else { return Ok(None) };
        let read = Codec::Json.decode(&entry.value);
        let value = read.map_err(|error| Fault::engine(format!("the record {key} cannot be read: {error}")))?;
        Ok(Some((value, entry.revision)))
    }

    /// True once there would be too little room left if all records together grew by so many bytes: a full bucket takes
    /// no change that makes a record longer.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn is_full(&self, growth: u64) -> Result<bool, Fault> {
        // The bucket's own `status` is of when it was opened.
        let info = self.0.stream.get_info().await.map_err(|error| not_kept(&error))?;
        let room = u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX);
        Ok(info.state.bytes.saturating_add(growth) > room)
    }

    /// Removes a record.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn remove(&self, key: &str) -> Result<(), Fault> {
        self.0.purge(key).await.map_err(|error| not_kept(&error))
    }

    /// Makes a record; false if there is one already. When this returns, it is on disk.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn create<T: Serialize>(&self, key: &str, value: &T) -> Result<bool, Fault> {
        match self.0.create(key, Codec::Json.encode(value)?.into()).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(not_kept(&error)),
        }
    }

    /// Changes a record as `change` says, unless it says `None`; gives the record as it then is, and if it was changed.
    /// Whoever else changes it meanwhile: `change` sees what they made of it.
    ///
    /// # Errors
    /// `not_found` if there is none, `unavailable` if the bus is away.
    pub async fn change<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        mut change: impl FnMut(&T) -> Option<T>,
    ) -> Result<(T, bool), Fault> {
        for _ in 0..TRIES {
            let Some((old, revision)) = self.get::<T>(key).await? else {
                return Err(Fault::new(megabrain_schemas::FaultKind::NotFound, format!("there is no record {key}")));
            };
            let Some(new) = change(&old) else { return Ok((old, false)) };
            match self.0.update(key, Codec::Json.encode(&new)?.into(), revision).await {
                Ok(_) => return Ok((new, true)),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                Err(error) => return Err(not_kept(&error)),
            }
        }
        Err(Fault::unavailable(format!("the record {key} changes all the time"), 1000))
    }
}
