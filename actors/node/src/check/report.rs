//! How is it told what a brain needs? As tables for a person, as JSON for a program.

use std::path::PathBuf;

use megabrain_schemas::Name;
use serde::Serialize;

use super::balance::{Balance, Place};
use super::machine::Machine;
use super::need::{Choice, Need, Share};
use crate::brain::Brain;
use crate::cli::format::size;
use crate::cli::table::Table;
use crate::weights::Weights;

/// What a brain needs, and whether this machine has it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    brain: Name,
    /// True if nothing is missing.
    pub(super) fits: bool,
    threads: u32,
    models: Vec<ModelReport>,
    places: Vec<Place>,
    disk: Disk,
    missing: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ModelReport {
    model: Name,
    actor: Name,
    /// As in the brain file; absent for a model without.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<Weights>,
    /// Absent where nobody knows it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_fetch_bytes: Option<u64>,
    /// Where it will live, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// False where `places` counts the weights alone.
    is_whole: bool,
    places: Vec<Share>,
}

#[derive(Clone, Debug, Serialize)]
struct Disk {
    folder: PathBuf,
    to_fetch_bytes: u64,
    free_bytes: u64,
}

impl Report {
    /// Puts together what was found out.
    pub(super) fn new(brain: &Brain, machine: &Machine, needs: &[Need], balance: Balance) -> Self {
        let Balance { placed, places, to_fetch_bytes, missing } = balance;
        Self {
            brain: brain.brain.name.clone(),
            fits: missing.is_empty(),
            threads: brain.host.threads(),
            models: needs.iter().zip(placed).map(|(need, choice)| ModelReport::new(need, choice)).collect(),
            places,
            disk: Disk { folder: machine.cache.clone(), to_fetch_bytes, free_bytes: machine.disk_free_bytes },
            missing,
        }
    }

    /// The report as lines of at most `width` characters, if it can.
    pub(super) fn text(&self, width: Option<usize>) -> String {
        let mut parts = vec![
            format!("brain {}: {} models, {} threads to share", self.brain, self.models.len(), self.threads),
            self.model_table().render(width),
            self.place_table().render(width),
        ];
        if self.places.iter().any(|place| place.is_at_least) {
            parts.push(
                "?, ≥: not known of every model; what a language model takes, only once its weights are here"
                    .to_owned(),
            );
        }
        let fetch = match self.disk.to_fetch_bytes {
            0 => String::new(),
            bytes => format!(", once {} are fetched", size(bytes)),
        };
        parts.push(match self.missing.as_slice() {
            [] => format!("this machine has what this brain needs{fetch}"),
            missing => format!("missing here:\n  {}", missing.join("\n  ")),
        });
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }

    fn model_table(&self) -> Table {
        let mut table = Table::new(&["model", "actor", "device", "#weights", "#kv cache", "#buffers", "weights from"]);
        for model in &self.models {
            let mut names = [model.model.to_string(), model.actor.to_string()];
            let mut from = model.origin();
            if model.places.is_empty() {
                let [name, actor] = names;
                table.row([name, actor, String::new(), String::new(), String::new(), String::new(), from]);
                continue;
            }
            for share in &model.places {
                let [name, actor] = std::mem::take(&mut names);
                let known = |bytes: u64| if model.is_whole { size(bytes) } else { "?".to_owned() };
                let weights = if model.weights_bytes.is_some() { size(share.weights_bytes) } else { "?".to_owned() };
                let (kv, compute) = (known(share.kv_bytes), known(share.compute_bytes));
                table.row([name, actor, share.place.clone(), weights, kv, compute, std::mem::take(&mut from)]);
            }
        }
        table
    }

    fn place_table(&self) -> Table {
        let mut table = Table::new(&["place", "#needed", "#free", "#left", "#in all", "models", "what it is"]);
        for place in &self.places {
            let bytes = |bytes: Option<u64>| bytes.map_or("not here".to_owned(), size);
            let needed = match (place.is_at_least, place.needed_bytes) {
                (true, 0) => "?".to_owned(),
                (true, bytes) => format!("≥ {}", size(bytes)),
                (false, bytes) => size(bytes),
            };
            let left = place.free_bytes.map(|free| free.saturating_sub(place.needed_bytes));
            table.row([
                place.name.clone(),
                needed,
                bytes(place.free_bytes),
                left.map(size).unwrap_or_default(),
                place.total_bytes.map(size).unwrap_or_default(),
                place.models.iter().map(Name::as_str).collect::<Vec<_>>().join(", "),
                place.description.clone(),
            ]);
        }
        let Disk { folder, to_fetch_bytes, free_bytes } = &self.disk;
        table.row([
            "disk".to_owned(),
            size(*to_fetch_bytes),
            size(*free_bytes),
            size(free_bytes.saturating_sub(*to_fetch_bytes)),
            String::new(),
            String::new(),
            folder.display().to_string(),
        ]);
        table
    }
}

impl ModelReport {
    fn new(need: &Need, choice: Option<Choice>) -> Self {
        let choice = choice.unwrap_or_default();
        Self {
            model: need.model.clone(),
            actor: need.actor.clone(),
            weights: need.source.clone(),
            weights_bytes: need.extent.map(|extent| extent.bytes),
            to_fetch_bytes: need.extent.map(|extent| extent.to_fetch),
            device: Some(choice.device).filter(|device| !device.is_empty()),
            is_whole: choice.is_whole,
            places: choice.shares,
        }
    }

    /// Where the weights come from, and what of them is here.
    fn origin(&self) -> String {
        let Some(weights) = &self.weights else { return "none needed".to_owned() };
        let state = match (self.weights_bytes, self.to_fetch_bytes) {
            (Some(_), Some(0)) => "here".to_owned(),
            (Some(_), Some(bytes)) => format!("{} to fetch", size(bytes)),
            _ => "size unknown until fetched".to_owned(),
        };
        format!("{weights}: {state}")
    }
}
