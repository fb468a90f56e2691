//! What is a brain made of? Its file: models, where they live, how the cores are shared, who answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use megabrain_runtime::supervision::Cores;
use megabrain_schemas::{Capability, Name};
use serde::Deserialize;

use crate::weights::Weights;

/// The brain that `megabrain up` runs where there is no `megabrain.toml`.
const STARTER: &str = include_str!("../../../megabrain.toml");

/// A brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brain {
    /// The brain as a whole.
    #[serde(default)]
    pub brain: BrainTable,
    /// The machine.
    #[serde(default)]
    pub host: HostTable,
    /// The bus.
    #[serde(default)]
    pub bus: BusTable,
    /// The router.
    #[serde(default)]
    pub router: megabrain_router::Config,
    /// The doors.
    #[serde(default)]
    pub gateway: megabrain_gateway::Config,
    /// The models, by name.
    #[serde(default)]
    pub models: BTreeMap<Name, ModelTable>,
    /// The folder that relative paths start from: the file's own.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// `[brain]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrainTable {
    /// The brain's name, and that of its node. Default `home`.
    pub name: Name,
    /// Time for a request that names none. Default 10 min.
    #[serde(with = "humantime_serde")]
    pub default_deadline: Duration,
    /// Longest answer of a request that names none, in tokens. Default 512.
    pub default_max_tokens: u32,
    /// Time to finish what runs when the brain is told to stop. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

impl Default for BrainTable {
    fn default() -> Self {
        Self {
            name: Name::sanitized("home"),
            default_deadline: Duration::from_secs(600),
            default_max_tokens: 512,
            drain: Duration::from_secs(10),
        }
    }
}

/// `[host]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostTable {
    /// Threads that the models share. Default: all cores.
    pub threads: Option<u32>,
}

impl HostTable {
    /// Threads that the models share.
    pub fn threads(&self) -> u32 {
        let all = std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
        self.threads.unwrap_or(all).max(1)
    }
}

/// `[bus]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusTable {
    /// Server address. `NATS_URL` wins. Default: a server of our own, on the loopback.
    pub url: Option<String>,
    /// Configuration of our own server; a relative path starts at the brain file's folder. Default: the `nats.conf` that
    /// the program carries.
    pub config: Option<PathBuf>,
    /// Port of our own server. Default 4222, or a free one if that is taken.
    pub port: Option<u16>,
    /// Where our own server keeps its streams; a relative path starts at the brain file's folder. Default: `bus/<brain>`
    /// in the cache folder.
    pub store: Option<PathBuf>,
    /// How long media stays in the blob bucket. Default 24 h.
    #[serde(with = "humantime_serde")]
    pub blob_life: Duration,
    /// Size of the blob bucket. Default 4 GiB.
    pub blob_max: ByteSize,
}

impl Default for BusTable {
    fn default() -> Self {
        Self {
            url: None,
            config: None,
            port: None,
            store: None,
            blob_life: Duration::from_secs(24 * 3600),
            blob_max: ByteSize::gib(4),
        }
    }
}

/// `[models.<name>]`: the keys that every actor has; the others are the actor's own.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelTable {
    /// The kind of actor: the executable is `megabrain-<actor>`.
    pub actor: Name,
    /// A name of the manifest, `hub:owner/repository/file`, or a path; a table of them where an actor needs several
    /// files. Absent where it needs none.
    #[serde(default)]
    pub weights: Option<Weights>,
    /// Weight in the sharing of cores; 0 takes no part. Default 1; for an actor without weights 0.
    #[serde(default)]
    pub share: Option<f64>,
    /// Works that wait at most. Default 64.
    #[serde(default)]
    pub queue: Option<usize>,
    /// How many processes serve this model. Default 1.
    #[serde(default)]
    pub instances: Option<u32>,
    /// Everything else: the actor's own settings, which its program checks.
    #[serde(flatten)]
    pub settings: toml::Table,
}

/// The brain file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrainError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what a brain file should be.
    #[error("{path}: {message}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// What and where.
        message: String,
    },
}

impl Brain {
    /// Reads a brain file; without a path `megabrain.toml` here, or else the starter brain that the program carries.
    ///
    /// # Errors
    /// The file cannot be read, or says what it may not; the message names place and reason.
    pub fn load(path: Option<&Path>) -> Result<Self, BrainError> {
        let here = Path::new("megabrain.toml");
        let path = path.or_else(|| here.exists().then_some(here));
        let (text, path) = match path {
            Some(path) => {
                let read = |source| BrainError::Read { path: path.to_owned(), source };
                (std::fs::read_to_string(path).map_err(read)?, path)
            }
            None => (STARTER.to_owned(), Path::new("the starter brain")),
        };
        let mut brain: Self = toml::from_str(&text).map_err(|error| BrainError::Parse {
            path: path.to_owned(),
            message: error.to_string().trim_end().into(),
        })?;
        brain.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        for relative in [&mut brain.bus.config, &mut brain.bus.store].into_iter().flatten() {
            *relative = brain.folder.join(&*relative);
        }
        brain.router.default_deadline = brain.brain.default_deadline;
        brain.router.default_max_tokens = brain.brain.default_max_tokens;
        brain.gateway.default_deadline = brain.brain.default_deadline;
        brain.gateway.ready.get_or_insert_with(|| match brain.router.answer.as_slice() {
            [] => brain.models.keys().cloned().collect(),
            answer => answer.to_vec(),
        });
        brain.check().map_err(|message| BrainError::Parse { path: path.to_owned(), message })?;
        Ok(brain)
    }

    fn check(&self) -> Result<(), String> {
        for (name, model) in &self.models {
            if Capability::new(name).is_ok_and(|word| word.is_reserved()) {
                return Err(format!("[models.{name}]: this name is reserved by the contract"));
            }
            let longest = self.instance(name, model.instances());
            if longest.len() > Name::MAX_BYTES {
                return Err(format!(
                    "[models.{name}]: its instance {longest} would have a name of {} bytes, at most {} fit: shorten the \
                     model's name or the brain's",
                    longest.len(),
                    Name::MAX_BYTES
                ));
            }
        }
        let named = self.router.answer.iter().chain(self.router.prefer.values().flatten());
        for model in named.filter(|_| !self.models.is_empty()) {
            if !self.models.contains_key(model) {
                let there = self.models.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
                tracing::warn!(%model, there, "[router] names a model that this file does not have; another node must");
            }
        }
        Ok(())
    }

    /// What an instance of a model is called, counted from 1: with a name that [`Brain::load`] has let pass, a [`Name`].
    pub fn instance(&self, model: &Name, number: u32) -> String {
        format!("{}-{model}-{number}", self.brain.name)
    }

    /// How the cores are shared among this file's models.
    pub fn cores(&self) -> Cores {
        Cores::new(self.host.threads(), self.models.iter().map(|(name, model)| (name.clone(), model.share())))
    }
}

impl BusTable {
    /// Where our own server keeps the streams of the brain of this name.
    pub fn store(&self, brain: &Name) -> PathBuf {
        self.store.clone().unwrap_or_else(|| crate::data::data_dir().join("bus").join(brain.as_str()))
    }
}

impl ModelTable {
    /// Weight in the sharing of cores.
    pub fn share(&self) -> f64 {
        self.share.unwrap_or(if self.weights.is_some() { 1.0 } else { 0.0 })
    }

    /// How many processes serve this model.
    pub fn instances(&self) -> u32 {
        self.instances.unwrap_or(1).max(1)
    }

    /// One of the actor's own settings, as text.
    pub fn setting(&self, key: &str) -> Option<String> {
        self.settings.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The actor's own settings as the JSON object that its program reads.
    ///
    /// # Errors
    /// A value that JSON does not have.
    pub fn settings(
        &self,
        weights: Option<&Weights<PathBuf>>,
        default_max_tokens: u32,
    ) -> Result<String, serde_json::Error> {
        let mut settings = serde_json::to_value(&self.settings)?;
        if let Some(map) = settings.as_object_mut() {
            if let Some(weights) = weights {
                map.insert("weights".into(), serde_json::to_value(weights)?);
            }
            if *self.actor.as_str() == *"llm" {
                map.entry("max_tokens").or_insert_with(|| default_max_tokens.into());
            }
        }
        serde_json::to_string(&settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_brain_and_the_workstation_parse() {
        let starter: Brain = toml::from_str(STARTER).unwrap();
        let names: Vec<&str> = starter.models.keys().map(Name::as_str).collect();
        assert!(["deep", "fast", "whisper"].iter().all(|name| names.contains(name)), "{names:?}");
        let workstation = concat!(env!("CARGO_MANIFEST_DIR"), "/../../brains/workstation.toml");
        Brain::load(Some(Path::new(workstation))).unwrap();
    }

    #[test]
    fn paths_of_the_bus_start_at_the_brain_files_folder_unless_they_are_absolute() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("brain.toml");
        std::fs::write(&file, "[bus]\nconfig = \"own.conf\"\nstore = \"/streams\"").unwrap();
        let bus = Brain::load(Some(&file)).unwrap().bus;
        assert_eq!(bus.config, Some(folder.path().join("own.conf")));
        assert_eq!(bus.store, Some(PathBuf::from("/streams")));
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place() {
        let error = toml::from_str::<Brain>("[bus]\nprot = 4222").unwrap_err().to_string();
        assert!(error.contains("prot") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn an_actors_own_settings_reach_it() {
        let brain: Brain = toml::from_str("[models.x]\nactor = \"llm\"\nweights = \"w\"\ncontext = 4096").unwrap();
        let model = &brain.models["x"];
        let settings: serde_json::Value =
            serde_json::from_str(&model.settings(Some(&Weights::One("/w.gguf".into())), 99).unwrap()).unwrap();
        assert_eq!(settings, serde_json::json!({"context": 4096, "weights": "/w.gguf", "max_tokens": 99}));
    }

    #[test]
    fn a_model_whose_instances_would_have_too_long_a_name_is_refused() {
        let brain = |model: usize| -> Brain {
            let model = "m".repeat(model);
            toml::from_str(&format!("[models.{model}]\nactor = \"echo\"\ninstances = 10")).unwrap()
        };
        assert_eq!(brain(56).check(), Ok(()));
        let refused = brain(57).check().unwrap_err();
        assert!(refused.contains("home-m") && refused.contains("65 bytes") && refused.contains("64"), "{refused}");
    }
}
