//! Is there room for everything? What the models need in each place, against what is free there.

use std::collections::BTreeMap;

use megabrain_schemas::Name;
use serde::Serialize;

use super::machine::{Machine, RAM};
use super::need::{Choice, Need, Share};
use crate::cli::format::size;

/// Memory of a card that `auto` leaves free, as `megabrain-llm` does: 256 MiB.
const MARGIN: u64 = 256 << 20;

/// Where everything goes, and what is missing for that.
#[derive(Clone, Debug)]
pub(super) struct Balance {
    /// Where each model goes, in the order of the needs; none for a model that takes nothing or cannot come up.
    pub(super) placed: Vec<Option<Choice>>,
    /// Every place that this machine has or a model names.
    pub(super) places: Vec<Place>,
    /// What is still to be fetched, in bytes.
    pub(super) to_fetch_bytes: u64,
    /// What is missing, a line each.
    pub(super) missing: Vec<String>,
}

/// One place, in bytes.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Place {
    /// `cuda0`, `ram`.
    pub(super) name: String,
    /// What the models take there.
    pub(super) needed_bytes: u64,
    /// True if it is more than that: of some models the weights alone are counted.
    pub(super) is_at_least: bool,
    /// What is free there now; none if there is no such place here.
    pub(super) free_bytes: Option<u64>,
    /// Its memory in all, likewise.
    pub(super) total_bytes: Option<u64>,
    /// The models that take memory there.
    pub(super) models: Vec<Name>,
    /// What its maker calls it.
    pub(super) description: String,
}

impl Balance {
    /// Places every model: first those that say where, then the others, each on the first card with room for it. So many
    /// bytes are to be fetched besides the models.
    pub(super) fn of(needs: &[Need], machine: &Machine, besides: u64) -> Self {
        let mut free: BTreeMap<&str, u64> =
            machine.devices.iter().map(|device| (device.name.as_str(), device.memory_free_bytes)).collect();
        let mut placed: Vec<Option<Choice>> = vec![None; needs.len()];
        for is_auto in [false, true] {
            for (need, place) in needs.iter().zip(&mut placed).filter(|(need, _)| (need.device == "auto") == is_auto) {
                let fits = |choice: &&Choice| choice.device == RAM || has_room(choice, &free);
                let chosen = if is_auto { need.choices.iter().find(fits) } else { need.choices.first() };
                for share in chosen.iter().flat_map(|choice| &choice.shares) {
                    if let Some(left) = free.get_mut(share.place.as_str()) {
                        *left = left.saturating_sub(share.total());
                    }
                }
                *place = chosen.cloned();
            }
        }
        let places = places(needs, &placed, machine);
        let mut missing = lacks(needs, machine);
        missing.extend(places.iter().filter_map(|place| place.shortage(machine)));
        let of_models = needs.iter().filter_map(|need| need.extent).map(|extent| extent.to_fetch).sum::<u64>();
        // One for all of them.
        let runtime = needs.iter().map(|need| need.runtime_to_fetch).max().unwrap_or(0);
        let to_fetch_bytes = besides + of_models + runtime;
        missing.extend(disk_shortage(to_fetch_bytes, machine));
        Self { placed, places, to_fetch_bytes, missing }
    }
}

fn has_room(choice: &Choice, free: &BTreeMap<&str, u64>) -> bool {
    let on_card =
        choice.shares.iter().filter(|share| share.place == choice.device).map(|share| share.total()).sum::<u64>();
    free.get(choice.device.as_str()).is_some_and(|free| on_card.saturating_add(MARGIN) <= *free)
}

fn places(needs: &[Need], placed: &[Option<Choice>], machine: &Machine) -> Vec<Place> {
    let mut names = machine.names();
    for name in placed.iter().flatten().map(|choice| choice.device.as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let place = |name: &str| {
        let device = machine.device(name);
        let mut place = Place {
            name: name.to_owned(),
            needed_bytes: 0,
            is_at_least: false,
            free_bytes: device.map(|device| device.memory_free_bytes),
            total_bytes: device.map(|device| device.memory_total_bytes),
            models: Vec::new(),
            description: device.map(|device| device.description.clone()).unwrap_or_default(),
        };
        for (need, choice) in needs.iter().zip(placed) {
            let Some(choice) = choice else { continue };
            let shares: Vec<&Share> = choice.shares.iter().filter(|share| share.place == name).collect();
            if choice.device == name || !shares.is_empty() {
                place.needed_bytes += shares.iter().map(|share| share.total()).sum::<u64>();
                place.is_at_least |= !choice.is_whole;
                place.models.push(need.model.clone());
            }
        }
        place
    };
    names.into_iter().map(place).collect()
}

impl Place {
    /// Says that there is no such place, or that it has not enough memory.
    fn shortage(&self, machine: &Machine) -> Option<String> {
        let Self { name, needed_bytes, models, .. } = self;
        let models = list(models);
        let (Some(free), Some(total)) = (self.free_bytes, self.total_bytes) else {
            return Some(format!("{name}, for {models}: {}", machine.cards.why_missing(name, &machine.names())));
        };
        if *needed_bytes <= free {
            return None;
        }
        let least = if self.is_at_least { "at least " } else { "" };
        let needed = format!("{name}: {models} need {least}{}", size(*needed_bytes));
        Some(if *needed_bytes > total {
            format!("{needed}, and there is {} in all", size(total))
        } else {
            format!("{needed}, and only {} of {} are free now: the rest is in use", size(free), size(total))
        })
    }
}

/// What is missing besides room.
fn lacks(needs: &[Need], machine: &Machine) -> Vec<String> {
    let faults = needs.iter().flat_map(|need| need.faults.iter().map(|fault| format!("{}: {fault}", need.model)));
    let mut lacks: Vec<String> = faults.collect();
    if needs.iter().any(|need| need.source.is_some() && need.device != RAM) {
        lacks.extend(machine.unlisted.clone());
    }
    let away: Vec<Name> = needs.iter().filter(|need| need.is_out_of_reach).map(|need| need.model.clone()).collect();
    if !away.is_empty() {
        lacks.push(format!("the hub, from which the weights of {} come: it cannot be reached from here", list(&away)));
    }
    lacks
}

fn disk_shortage(to_fetch: u64, machine: &Machine) -> Option<String> {
    (to_fetch > machine.disk_free_bytes).then(|| {
        let (folder, free) = (machine.cache.display(), size(machine.disk_free_bytes));
        format!("disk: {} are still to come to {folder}, and {free} are free there", size(to_fetch))
    })
}

fn list(models: &[Name]) -> String {
    models.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::machine::Device;
    use super::*;
    use crate::pull::Extent;
    use crate::weights::Weights;

    const GIB: u64 = 1 << 30;

    /// A machine of these devices, free and total in GiB, and 100 GiB of disk.
    fn machine(devices: &[(&str, u64, u64)]) -> Machine {
        let device = |(name, free, total): &(&str, u64, u64)| Device {
            name: (*name).to_owned(),
            description: String::new(),
            memory_total_bytes: total * GIB,
            memory_free_bytes: free * GIB,
        };
        let devices = devices.iter().map(device).collect();
        Machine { devices, cache: "/cache".into(), disk_free_bytes: 100 * GIB, ..Machine::default() }
    }

    /// A model that takes so many GiB wherever it lives.
    fn need(model: &str, device: &str, choices: &[&str], gib: u64) -> Need {
        let choice = |place: &&str| {
            let share = Share { place: (*place).to_owned(), kv_bytes: gib * GIB, ..Share::default() };
            Choice { device: (*place).to_owned(), shares: vec![share], is_whole: true }
        };
        Need {
            model: Name::sanitized(model),
            actor: Name::sanitized("llm"),
            source: Some(Weights::One("w.gguf".to_owned())),
            extent: Some(Extent { bytes: gib * GIB, to_fetch: 0 }),
            runtime_to_fetch: 0,
            device: device.to_owned(),
            choices: choices.iter().map(choice).collect(),
            is_out_of_reach: false,
            faults: Vec::new(),
        }
    }

    fn missing(needs: &[Need], machine: &Machine) -> Vec<String> {
        Balance::of(needs, machine, 0).missing
    }

    #[test]
    fn two_models_that_fit_on_a_card_alone_and_not_together_are_told() {
        let machine = machine(&[("cuda0", 24, 24), ("ram", 60, 64)]);
        let needs = [need("deep", "cuda0", &["cuda0"], 14), need("fast", "cuda0", &["cuda0"], 12)];
        assert_eq!(missing(&needs[..1], &machine), Vec::<String>::new());
        assert_eq!(missing(&needs, &machine), ["cuda0: deep, fast need 26.0 GiB, and there is 24.0 GiB in all"]);
    }

    #[test]
    fn memory_that_others_use_is_told_apart_from_memory_that_is_not_there() {
        let machine = machine(&[("ram", 8, 64)]);
        let told = missing(&[need("deep", "ram", &["ram"], 12)], &machine);
        assert_eq!(told, ["ram: deep need 12.0 GiB, and only 8.0 GiB of 64.0 GiB are free now: the rest is in use"]);
    }

    #[test]
    fn auto_takes_the_first_card_that_the_others_leave_room_on() {
        let machine = machine(&[("cuda0", 24, 24), ("vulkan0", 16, 16), ("ram", 60, 64)]);
        let everywhere = ["cuda0", "vulkan0", "ram"];
        let needs = [
            need("a", "auto", &everywhere, 20),
            need("b", "auto", &everywhere, 10),
            need("c", "auto", &everywhere, 10),
            need("named", "cuda0", &["cuda0"], 12),
        ];
        let balance = Balance::of(&needs, &machine, 0);
        let placed: Vec<&str> = balance.placed.iter().flatten().map(|choice| choice.device.as_str()).collect();
        assert_eq!(placed, ["ram", "cuda0", "vulkan0", "cuda0"]);
        assert_eq!(balance.missing, Vec::<String>::new());
    }

    #[test]
    fn a_card_that_is_not_here_is_told_once_with_its_models() {
        let machine = machine(&[("ram", 60, 64)]);
        let needs = [need("deep", "cuda7", &["cuda7"], 1), need("fast", "cuda7", &["cuda7"], 1)];
        let told = missing(&needs, &machine);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("cuda7, for deep, fast: ") && told[0].contains("make backend-cuda"), "{told:?}");
        // Even if all that can be told of its memory is in RAM: the experts.
        let mut mixture = need("deep", "cuda7", &["cuda7"], 1);
        mixture.choices[0].shares[0].place = RAM.to_owned();
        let told = missing(&[mixture], &machine);
        assert!(told[0].starts_with("cuda7, for deep: "), "{told:?}");
    }

    #[test]
    fn the_disk_a_silent_hub_and_a_fault_are_told() {
        let machine = machine(&[("ram", 60, 64)]);
        let mut large = need("large", "ram", &["ram"], 1);
        large.extent = Some(Extent { bytes: 90 * GIB, to_fetch: 90 * GIB });
        let mut away = need("away", "ram", &[], 1);
        (away.extent, away.is_out_of_reach) = (None, true);
        let mut broken = need("broken", "ram", &[], 1);
        broken.faults.push("unknown field `slot`".to_owned());
        let balance = Balance::of(&[large, away, broken], &machine, 11 * GIB);
        assert_eq!(balance.to_fetch_bytes, 101 * GIB);
        assert_eq!(balance.missing[0], "broken: unknown field `slot`");
        assert!(balance.missing[1].contains("away") && balance.missing[1].contains("hub"), "{:?}", balance.missing);
        assert!(balance.missing[2].starts_with("disk: 101.0 GiB"), "{:?}", balance.missing);
    }
}
