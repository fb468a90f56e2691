//! What does one model need? Its program, its weights, and memory in each place that it could live in.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use megabrain_schemas::Name;
use serde::{Deserialize, Serialize};

use super::actor;
use super::machine::{Machine, RAM};
use crate::brain::{Brain, ModelTable};
use crate::node::{actor_program, is_onnx_runtime_named};
use crate::pull::{Extent, HubError, PullError, Puller, Source};
use crate::weights::{ONNX_RUNTIME, Weights};

/// The actor that can tell what a model would take.
const LLM: &str = "llm";

/// What one model needs.
#[derive(Clone, Debug)]
pub(super) struct Need {
    /// The model.
    pub(super) model: Name,
    /// The kind of actor.
    pub(super) actor: Name,
    /// Where its weights come from, as the brain file says; none for a model without.
    pub(super) source: Option<Weights>,
    /// How large they are together, where that is known.
    pub(super) extent: Option<Extent>,
    /// What is to come of the ONNX Runtime that it shares with other models, in bytes.
    pub(super) runtime_to_fetch: u64,
    /// Where it is to live, as the brain file says.
    pub(super) device: String,
    /// Where it could live, best first: one place, or for `auto` several. None for a model without weights.
    pub(super) choices: Vec<Choice>,
    /// True if its weights are on the hub, and the hub does not answer.
    pub(super) is_out_of_reach: bool,
    /// What keeps it from coming up, however much room there is.
    pub(super) faults: Vec<String>,
}

/// One way to place a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Choice {
    /// Where it lives.
    pub(super) device: String,
    /// What it takes there, and beside that in RAM.
    pub(super) shares: Vec<Share>,
    /// False where the weights alone are counted, as far as their size is known.
    pub(super) is_whole: bool,
}

/// Memory in one place, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(super) struct Share {
    /// `ram`, `cuda0` …
    pub(super) place: String,
    /// Weights.
    pub(super) weights_bytes: u64,
    /// The memory of the conversations.
    pub(super) kv_bytes: u64,
    /// Buffers to compute in.
    pub(super) compute_bytes: u64,
}

impl Share {
    /// All together.
    pub(super) fn total(&self) -> u64 {
        self.weights_bytes + self.kv_bytes + self.compute_bytes
    }
}

impl Need {
    /// Finds out what a model of the brain needs.
    pub(super) async fn of(brain: &Brain, puller: &Puller, machine: &Machine, name: &Name) -> Option<Self> {
        let model = brain.models.get(name)?;
        let mut need = Self {
            model: name.clone(),
            actor: model.actor.clone(),
            source: model.weights.clone(),
            extent: None,
            runtime_to_fetch: 0,
            device: model.setting("device").unwrap_or_else(|| "auto".to_owned()).to_lowercase(),
            choices: Vec::new(),
            is_out_of_reach: false,
            faults: Vec::new(),
        };
        let program = match actor_program(&model.actor) {
            Ok(program) => Some(program),
            Err(error) => {
                need.faults.push(error.to_string());
                None
            }
        };
        let mut weights = None;
        if let Some(names) = &model.weights {
            match names.sources(&brain.folder, puller.manifest()) {
                Ok(sources) => {
                    weights = sources.try_map(|source| puller.cached(source).ok_or(())).ok();
                    need.measure(puller, &sources).await;
                    need.measure_runtime(puller, &sources).await;
                }
                Err(error) => need.faults.push(error.to_string()),
            }
        }
        if let Some(program) = &program {
            let paths = weights.clone().or_else(|| model.weights.as_ref().map(unfetched));
            let settings = settings(brain, model, paths.as_ref(), None);
            if let Err(error) = actor::check(program, name.as_str(), &settings).await {
                need.faults.push(format!("{error:#}"));
            }
        }
        if model.weights.is_some() && need.faults.is_empty() {
            let program = program.filter(|_| model.actor.as_str() == LLM);
            need.place(brain, machine, model, program.as_deref().zip(weights.as_ref())).await;
        }
        Some(need)
    }

    /// Every file is needed: the size is known once that of each is.
    async fn measure(&mut self, puller: &Puller, sources: &Weights<Source>) {
        let mut together = Some(Extent::default());
        for source in sources.iter() {
            let extent = self.extent_of(puller, source).await;
            together = together.zip(extent).map(|(together, extent)| Extent {
                bytes: together.bytes + extent.bytes,
                to_fetch: together.to_fetch + extent.to_fetch,
            });
            if self.is_out_of_reach {
                break;
            }
        }
        self.extent = together;
    }

    async fn measure_runtime(&mut self, puller: &Puller, sources: &Weights<Source>) {
        if !is_onnx_runtime_named() && sources.are_onnx(puller.manifest()) {
            let extent = self.extent_of(puller, &Source::Artefact(ONNX_RUNTIME.into())).await;
            self.runtime_to_fetch = extent.map_or(0, |extent| extent.to_fetch);
        }
    }

    async fn extent_of(&mut self, puller: &Puller, source: &Source) -> Option<Extent> {
        match puller.extent(source).await {
            Ok(extent) => return Some(extent),
            Err(PullError::Hub {
                source: HubError::Unreachable | HubError::Stalled(_) | HubError::Transfer(_),
                ..
            }) => {
                self.is_out_of_reach = true;
            }
            Err(error) => self.faults.push(error.to_string()),
        }
        None
    }

    /// Says where the model could live and what it would take: all of it by the word of its program, if that can look at
    /// the weights; else the weights alone.
    async fn place(
        &mut self,
        brain: &Brain,
        machine: &Machine,
        model: &ModelTable,
        known: Option<(&Path, &Weights<PathBuf>)>,
    ) {
        let is_mixture_in_ram = model.setting("experts").is_some_and(|experts| experts == RAM);
        let candidates = match self.device.as_str() {
            // What is not a language model takes a card only by its name.
            "auto" if self.actor.as_str() == LLM => machine.names(),
            "auto" => vec![RAM],
            named => vec![named],
        };
        let mut choices = Vec::new();
        for device in candidates {
            let is_here = machine.device(device).is_some();
            let shares = match known {
                Some((program, weights)) => {
                    // On a card that is not here it takes about what it would take in RAM.
                    let there = if is_here { device } else { RAM };
                    actor::estimate(program, &settings(brain, model, Some(weights), Some(there))).await
                }
                None => {
                    let weights_bytes = self.extent.map_or(0, |extent| extent.bytes);
                    let place = if is_mixture_in_ram { RAM } else { device }.to_owned();
                    Ok(vec![Share { place, weights_bytes, ..Share::default() }])
                }
            };
            match shares {
                Ok(mut shares) => {
                    for share in &mut shares {
                        if !is_here && !is_mixture_in_ram {
                            share.place = device.to_owned();
                        }
                        for_instances(share, model);
                    }
                    choices.push(Choice { device: device.to_owned(), shares, is_whole: known.is_some() });
                }
                Err(error) => self.faults.push(format!("{error:#}")),
            }
        }
        self.choices = choices;
    }
}

/// Several processes share the weights that they map from a file into RAM, and nothing else.
fn for_instances(share: &mut Share, model: &ModelTable) {
    let instances = u64::from(model.instances());
    let is_mapped = model.actor.as_str() == LLM && model.setting("mmap").is_none_or(|mmap| mmap != "false");
    if share.place != RAM || !is_mapped {
        share.weights_bytes *= instances;
    }
    share.kv_bytes *= instances;
    share.compute_bytes *= instances;
}

/// The settings as the model's program would get them, on this device if one is given.
fn settings(brain: &Brain, model: &ModelTable, weights: Option<&Weights<PathBuf>>, device: Option<&str>) -> String {
    let mut model = model.clone();
    if let Some(device) = device {
        model.settings.insert("device".to_owned(), device.into());
    }
    // What JSON cannot express, the program misses and says so.
    model.settings(weights, brain.brain.default_max_tokens).unwrap_or_default()
}

/// Names in the place of paths, for a program to look at the settings before the weights are here.
fn unfetched(names: &Weights) -> Weights<PathBuf> {
    let Ok(paths) = names.try_map(|name| Ok::<_, Infallible>(PathBuf::from(name)));
    paths
}
