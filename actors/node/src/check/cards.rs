//! Why is a card that a brain names not there, and what would bring it?

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where Linux lists what is plugged in.
const PCI: &str = "/sys/bus/pci/devices";
/// PCI's class of graphics cards, display or not.
const GRAPHICS: &str = "0x03";

/// A kind of card, as ggml's backends divide them.
struct Kind {
    /// What a device's name begins with.
    prefix: &'static str,
    /// The backend, in its file name and in that of the make target.
    backend: &'static str,
    /// What it computes on.
    card: &'static str,
    /// PCI's numbers of the makers.
    makers: &'static [&'static str],
    /// What is there where a card is, though PCI does not show it: in a container, in WSL.
    signs: &'static [&'static str],
}

const KINDS: [Kind; 3] = [
    Kind {
        prefix: "cuda",
        backend: "cuda",
        card: "NVIDIA card",
        makers: &["0x10de"],
        signs: &["/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1"],
    },
    Kind { prefix: "rocm", backend: "hip", card: "Radeon", makers: &["0x1002"], signs: &["/dev/kfd"] },
    Kind {
        prefix: "vulkan",
        backend: "vulkan",
        card: "graphics card",
        makers: &["0x10de", "0x1002", "0x8086"],
        signs: &["/dev/nvidiactl", "/dev/kfd"],
    },
];

/// A backend that was found and cannot be used.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Unusable {
    /// Its file.
    pub(super) path: PathBuf,
    /// Why.
    pub(super) reason: String,
}

/// What is known of the cards besides those that can be used.
#[derive(Clone, Debug, Default)]
pub(super) struct Cards {
    /// The makers of what is plugged in, as PCI numbers them.
    pub(super) makers: Vec<String>,
    /// Backends that are loaded: `cuda`, `hip`, `vulkan`.
    pub(super) backends: Vec<String>,
    /// Backends that are here and do not work.
    pub(super) unusable: Vec<Unusable>,
}

impl Cards {
    /// Looks at what is plugged in.
    pub(super) fn plugged_in() -> Self {
        Self { makers: makers_in(Path::new(PCI)), ..Self::default() }
    }

    /// Says why there is no device of this name, and what would bring it; `there` are the names of those that there are.
    pub(super) fn why_missing(&self, name: &str, there: &[&str]) -> String {
        let Some(kind) = KINDS.iter().find(|kind| is_of(kind, name)) else {
            return "it is no device: `ram`, `auto`, or a card, as `megabrain devices` calls it".to_owned();
        };
        let Kind { backend, card, .. } = kind;
        let others: Vec<&str> = there.iter().copied().filter(|other| is_of(kind, other)).collect();
        if !others.is_empty() {
            return format!("no such card is here; of its kind there is {}", others.join(", "));
        }
        let file = format!("libggml-{backend}.so");
        if let Some(unusable) = self.unusable.iter().find(|unusable| unusable.path.ends_with(&file)) {
            return format!("its backend {} cannot be used: {}", unusable.path.display(), unusable.reason);
        }
        match (self.backends.iter().any(|loaded| loaded == backend), self.is_there(kind)) {
            (true, true) => format!("its backend is here and finds no card: is the driver of the {card} installed?"),
            (true, false) => format!("its backend is here, and no {card} is in this machine"),
            (false, true) => format!("a {card} is here; `make backend-{backend}` builds what models need to use it"),
            (false, false) => {
                format!("no {card} is in this machine; for one, `make backend-{backend}` builds its backend")
            }
        }
    }

    fn is_there(&self, kind: &Kind) -> bool {
        self.makers.iter().any(|maker| kind.makers.contains(&maker.as_str()))
            || kind.signs.iter().any(|path| Path::new(path).exists())
    }
}

fn is_of(kind: &Kind, name: &str) -> bool {
    name.strip_prefix(kind.prefix).is_some_and(|number| number.parse::<u32>().is_ok())
}

fn makers_in(folder: &Path) -> Vec<String> {
    let read = |path: PathBuf| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let devices = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    devices
        .filter(|device| read(device.join("class")).starts_with(GRAPHICS))
        .map(|device| read(device.join("vendor")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine without the files that are the signs of a card: as far as the machine that tests is one.
    fn cards(makers: &[&str], backends: &[&str]) -> Cards {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Cards { makers: owned(makers), backends: owned(backends), unusable: Vec::new() }
    }

    #[test]
    fn only_graphics_cards_count_of_what_is_plugged_in() {
        let folder = tempfile::TempDir::new().unwrap();
        for (slot, class, vendor) in
            [("0", "0x030000\n", "0x10de\n"), ("1", "0x020000\n", "0x8086\n"), ("2", "0x038000\n", "0x1002\n")]
        {
            let device = folder.path().join(slot);
            std::fs::create_dir(&device).unwrap();
            std::fs::write(device.join("class"), class).unwrap();
            std::fs::write(device.join("vendor"), vendor).unwrap();
        }
        let mut makers = makers_in(folder.path());
        makers.sort();
        assert_eq!(makers, ["0x1002", "0x10de"]);
        assert!(makers_in(Path::new("/nonexistent")).is_empty());
    }

    #[test]
    fn a_card_without_its_backend_is_told_what_to_build() {
        let told = cards(&["0x10de"], &[]).why_missing("cuda0", &["ram"]);
        assert!(told.starts_with("a NVIDIA card is here; `make backend-cuda`"), "{told}");
        let told = cards(&["0x1002"], &[]).why_missing("rocm0", &["ram"]);
        assert!(told.contains("`make backend-hip`"), "{told}");
    }

    #[test]
    fn a_machine_without_the_card_is_told_so() {
        let told = cards(&[], &["vulkan"]).why_missing("vulkan3", &["ram", "vulkan0"]);
        assert_eq!(told, "no such card is here; of its kind there is vulkan0");
        if !Path::new("/dev/kfd").exists() {
            let told = cards(&["0x8086"], &[]).why_missing("rocm0", &["ram"]);
            assert!(told.starts_with("no Radeon is in this machine; for one, `make backend-hip`"), "{told}");
        }
    }

    #[test]
    fn a_backend_that_does_not_work_and_a_name_that_is_none_are_told() {
        let mut cards = cards(&["0x10de"], &["cuda"]);
        assert!(cards.why_missing("cuda0", &[]).contains("driver"), "{}", cards.why_missing("cuda0", &[]));
        cards.unusable.push(Unusable { path: "/b/libggml-cuda.so".into(), reason: "no libcuda.so.1".into() });
        assert_eq!(cards.why_missing("cuda0", &[]), "its backend /b/libggml-cuda.so cannot be used: no libcuda.so.1");
        assert!(cards.why_missing("gpu", &[]).contains("megabrain devices"));
    }
}
