//! How does something outlive every process that knows of it? In JetStream: tasks in a queue, records by key, a journal.

mod journal;
mod queue;
mod records;

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use megabrain_schemas::Fault;

pub use journal::{Follower, Journal, JournalEntry};
pub use queue::{Queue, QueueWorker, Task};
pub use records::Records;

/// What a stream on disk may take, and for how long it keeps what it has.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// The age at which a message goes.
    pub life: Duration,
    /// Bytes in all.
    pub max_bytes: u64,
}

impl Keeping {
    /// A stream of this kind on these subjects.
    fn stream(&self, name: &str, subjects: Vec<String>) -> stream::Config {
        stream::Config {
            name: name.to_owned(),
            subjects,
            max_age: self.life,
            max_bytes: self.bytes(),
            storage: stream::StorageType::File,
            ..stream::Config::default()
        }
    }

    fn bytes(&self) -> i64 {
        i64::try_from(self.max_bytes).unwrap_or(i64::MAX)
    }
}

/// Makes a stream, or gives one that is there these settings.
async fn open(context: &jetstream::Context, config: stream::Config) -> Result<stream::Stream, Fault> {
    let name = config.name.clone();
    context.create_or_update_stream(config).await.map_err(|error| not_kept(&error))?;
    context.get_stream(name).await.map_err(|error| not_kept(&error))
}

fn not_kept(error: &dyn std::fmt::Display) -> Fault {
    Fault::unavailable(format!("the bus keeps nothing now (JetStream): {error}"), 1000)
}
