//! What does a brain's own bus need? A nats-server, its port, and room for media.

use super::machine::disk_free;
use crate::brain::Brain;
use crate::cli::format::size;
use crate::connection::Connection;
use crate::pull::{Extent, Puller, Source};

/// What the bus needs, and what of that is missing.
#[derive(Clone, Debug, Default)]
pub(super) struct BusNeed {
    /// The nats-server that is fetched, if it is one of ours.
    pub(super) server: Extent,
    /// What is missing, a line each.
    pub(super) missing: Vec<String>,
}

impl BusNeed {
    /// Finds out what the bus of a brain needs; nothing, if it is somebody else's.
    pub(super) async fn of(brain: &Brain, puller: &Puller) -> Self {
        let mut need = Self::default();
        if Connection::from_environment().is_some() || brain.bus.url.is_some() {
            return need;
        }
        match crate::server::named_program() {
            Some(path) if !path.is_file() => {
                need.missing.push(format!("MEGABRAIN_NATS_SERVER names {}, and there is no such file", path.display()));
            }
            Some(_) => {}
            None => match puller.extent(&Source::Artefact("nats-server".into())).await {
                Ok(extent) => need.server = extent,
                Err(error) => need.missing.push(error.to_string()),
            },
        }
        // A brain of this name that runs has what it needs.
        if Connection::of_running_brain(Some(&brain.brain.name)).is_ok() {
            return need;
        }
        need.missing.extend(crate::server::address(&brain.bus).err().map(|error| error.to_string()));
        need.missing.extend(no_room_for_media(brain));
        need
    }
}

/// JetStream gives a bucket no more than three quarters of what is free.
fn no_room_for_media(brain: &Brain) -> Option<String> {
    let store = brain.bus.store(&brain.brain.name);
    let (wanted, free) = (brain.bus.blob_max.as_u64(), disk_free(&store));
    (wanted > free / 4 * 3).then(|| {
        format!(
            "disk: [bus] blob_max is {}, and the bus takes at most three quarters of the {} that are free in {}",
            size(wanted),
            size(free),
            store.display()
        )
    })
}
