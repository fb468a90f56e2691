//! What does this machine have for models to live on?

use std::path::{Path, PathBuf};

use megabrain_schemas::{Card, Name};
use serde::{Deserialize, Serialize};

use super::actor;
use super::cards::Cards;
use crate::memory::Ram;
use crate::node::actor_program;

/// The name of the processor and its memory in a brain file.
pub(super) const RAM: &str = "ram";

/// Something that models can live on.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Device {
    /// As in a brain file.
    pub(super) name: String,
    /// What its maker calls it.
    pub(super) description: String,
    /// Memory in all, in bytes.
    pub(super) memory_total_bytes: u64,
    /// Memory that is free now, in bytes.
    pub(super) memory_free_bytes: u64,
}

/// This machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    /// Cards first, RAM last.
    pub(super) devices: Vec<Device>,
    /// What else is known of its cards.
    pub(super) cards: Cards,
    /// Why the cards cannot be listed, if they cannot.
    pub(super) unlisted: Option<String>,
    /// The folder that fetched files go to.
    pub(super) cache: PathBuf,
    /// What is free there, in bytes.
    pub(super) disk_free_bytes: u64,
}

/// The cards of this machine; none where they cannot be listed.
pub(crate) async fn cards() -> Vec<Card> {
    let devices = listing().await.map(|listing| listing.devices).unwrap_or_else(|error| {
        tracing::debug!(%error, "the graphics cards cannot be listed");
        Vec::new()
    });
    let cards = devices.into_iter().filter(|device| device.name != RAM);
    cards
        .map(|Device { name, description, memory_total_bytes, .. }| Card {
            name,
            description,
            memory_bytes: memory_total_bytes,
        })
        .collect()
}

/// What models can live on. The actor that holds ggml's backends is the one that knows.
async fn listing() -> anyhow::Result<actor::Listing> {
    actor::devices(&actor_program(&Name::sanitized("llm"))?).await
}

impl Machine {
    /// Looks around. `cache` is the folder that fetched files go to.
    pub(super) async fn look(cache: &Path) -> Self {
        let mut machine = Self {
            cards: Cards::plugged_in(),
            cache: cache.to_owned(),
            disk_free_bytes: disk_free(cache),
            ..Self::default()
        };
        match listing().await {
            Ok(listing) => {
                machine.devices = listing.devices;
                machine.cards.backends = listing.backends;
                machine.cards.unusable = listing.unusable;
            }
            Err(error) => machine.unlisted = Some(format!("the graphics cards cannot be listed: {error:#}")),
        }
        if machine.device(RAM).is_none() {
            let ram = Ram::now();
            machine.devices.push(Device {
                name: RAM.to_owned(),
                description: String::new(),
                memory_total_bytes: ram.total,
                memory_free_bytes: ram.available,
            });
        }
        machine
    }

    /// The device of this name.
    pub(super) fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// The names of all devices.
    pub(super) fn names(&self) -> Vec<&str> {
        self.devices.iter().map(|device| device.name.as_str()).collect()
    }
}

/// What is free on the file system that a folder, which may not be there yet, is or will be on, in bytes.
pub(super) fn disk_free(folder: &Path) -> u64 {
    let nearest = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("."));
    rustix::fs::statvfs(nearest).map_or(0, |system| system.f_bavail * system.f_frsize)
}
