//! How does a part of the brain use the bus? By a few verbs: call, stream, serve, cancel, blob, presence, trace, and what outlives them all.
//!
//! This is the only crate that names `async-nats`. It knows no model and no actor.

mod blob;
mod call;
mod cancel;
mod connect;
mod durable;
mod inbox;
mod meta;
mod presence;
mod publish;
mod raw;
mod serve;
mod service;
mod stream;
pub mod trace;
mod watch;

pub use blob::BlobStore;
pub use call::{Call, Target};
pub use connect::{Bus, ConnectError, Credentials, Link, Options};
pub use durable::{Follower, Journal, JournalEntry, Keeping, Queue, QueueWorker, Records, Task};
pub use meta::Meta;
pub use presence::{Event, EventStream, Roster};
pub use raw::{RawMessage, RawSubscription};
pub use serve::{Incoming, Refused, Requests, Responder};
pub use service::{ServiceDescription, ServiceInfo, ServiceStats};
pub use stream::{Frame, FrameStream};
pub use watch::{Sighting, Sightings};

pub use async_nats::Subject;
