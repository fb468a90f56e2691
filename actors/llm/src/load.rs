//! How does a configuration become a model in memory?

use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use megabrain_runtime::{LoadError, Profile};
use megabrain_schemas::Capability;

use crate::config::{Config, Experts};
use crate::context::{Context, Shape};
use crate::devices::{self, Cards, Device, Unusable};
use crate::estimate::Estimate;
use crate::projector::Projector;
use crate::purpose::Purpose;
use crate::reader::TEXTS_A_STEP;
use crate::{gguf, native, passages};

/// Memory of a card that `auto` leaves free: others use it too. 256 MiB.
const MARGIN: u64 = 256 << 20;
/// The length of a conversation, or of a text to read, where neither the configuration nor the model asks for less, in tokens.
const DEFAULT_CONTEXT: u32 = 4096;

/// A model in memory, ready to compute. Must be dropped before the [`Native`] that loaded it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What looks at pictures, if the model has it.
    pub(crate) projector: Option<Projector>,
    /// The model and the memory of its sequences.
    pub(crate) context: Context,
    /// Where it lives.
    pub(crate) device: Device,
    /// Memory that it took there, in bytes.
    pub(crate) device_bytes: u64,
}

impl Loaded {
    /// What it is, for the brain.
    pub(crate) fn profile(&self, capability: Capability, slots: usize) -> Profile {
        let context = self.context.tokens_per_sequence();
        let (device, device_bytes) = (&self.device.name, self.device_bytes);
        tracing::info!(%capability, device, device_bytes, slots, context, "loaded");
        Profile {
            capabilities: vec![capability],
            accepts: Vec::new(),
            tasks: Vec::new(),
            slots,
            context: u32::try_from(context).ok(),
            device: Some(device.clone()),
            device_memory_bytes: Some(device_bytes),
        }
    }
}

/// llama.cpp with its backends loaded and its log in `tracing`. One a process.
#[derive(Debug)]
pub(crate) struct Native {
    backend: LlamaBackend,
    unusable: Vec<Unusable>,
}

impl Native {
    /// Loads the backends.
    ///
    /// # Errors
    /// There is none for this processor.
    pub(crate) fn start(cpu_variant: Option<&str>, cards: Cards) -> Result<Self, LoadError> {
        native::listen();
        let unusable = devices::load_backends(cpu_variant, cards)?;
        let backend = LlamaBackend::init().map_err(|error| LoadError::Engine(error.to_string()))?;
        Ok(Self { backend, unusable })
    }

    /// llama-cpp-2's proof that all this was done.
    pub(crate) fn backend(&self) -> &LlamaBackend {
        &self.backend
    }

    /// Backends that are here and do not work on this machine.
    pub(crate) fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// Loads the backends that a model with these settings can use.
    ///
    /// # Errors
    /// As [`Native::start`].
    pub(crate) fn start_for(config: &Config) -> Result<Self, LoadError> {
        let cards = if config.device == devices::RAM { Cards::LeaveAlone } else { Cards::Load };
        Self::start(config.cpu_variant.as_deref(), cards)
    }

    /// Chooses the device of a model.
    ///
    /// # Errors
    /// There is no such device, or, for `auto`, no such model.
    pub(crate) fn place(&self, config: &Config) -> Result<Device, LoadError> {
        devices::choose(&config.device, &devices::devices(), |device| self.fits(config, device))
    }

    /// Loads a model onto its device. Tells `progress` how far it is, 0 to 1.
    ///
    /// # Errors
    /// Says what is wrong with file, device or memory, and what to do about it.
    pub(crate) fn load(
        &self,
        config: &Config,
        threads: usize,
        progress: impl Fn(f32) + 'static,
    ) -> Result<Loaded, LoadError> {
        config.check().map_err(LoadError::Config)?;
        gguf::tensors(&config.weights.model)?;
        let eyes = config.weights.mmproj.as_deref();
        eyes.map(gguf::tensors).transpose()?;
        let device = self.place(config)?;
        native::forget();
        let params = model_params(config, &device)?.with_use_mmap(config.mmap).with_progress_callback(move |part| {
            progress(part);
            true
        });
        let model = self.model(config, &device, params)?;
        let context = self.context(config, &device, model, threads)?;
        if eyes.is_some() && context.purpose().is_reading() {
            return Err(LoadError::Config("`weights.mmproj` is for models that chat: leave it out".to_owned()));
        }
        let buffers = native::heard().buffers;
        let mut device_bytes: u64 =
            buffers.iter().filter(|buffer| is_on(&device, &buffer.place)).map(|buffer| buffer.bytes).sum();
        let load = |file| {
            check_room(file, &device)?;
            Projector::load(file, context.share_model(), &device, threads)
        };
        let projector = eyes.map(load).transpose()?;
        device_bytes += eyes.map(gguf::bytes).transpose()?.unwrap_or(0);
        Ok(Loaded { projector, context, device, device_bytes })
    }

    /// A model without a context, and where it lives.
    ///
    /// # Errors
    /// As [`Native::load`].
    pub(crate) fn load_model(&self, config: &Config) -> Result<(LlamaModel, Device), LoadError> {
        gguf::tensors(&config.weights.model)?;
        let device = self.place(config)?;
        let params = model_params(config, &device)?.with_use_mmap(config.mmap);
        Ok((self.model(config, &device, params)?, device))
    }

    /// Everything but the weights themselves, to see what it would take.
    pub(crate) fn load_without_memory(&self, config: &Config, device: &Device) -> Result<Context, LoadError> {
        let model = self.model(config, device, model_params(config, device)?.with_no_alloc(true))?;
        self.context(config, device, model, 1)
    }

    fn fits(&self, config: &Config, device: &Device) -> Result<bool, LoadError> {
        let estimate = Estimate::of(self, config, device)?;
        let fits = estimate.on_device().saturating_add(MARGIN) <= device.memory_free_bytes;
        tracing::info!(
            device = device.name,
            needed = estimate.on_device(),
            free = device.memory_free_bytes,
            fits,
            "auto"
        );
        Ok(fits)
    }

    fn model(&self, config: &Config, device: &Device, params: LlamaModelParams) -> Result<LlamaModel, LoadError> {
        let mut params = pin!(params);
        if config.experts == Experts::Ram {
            Pin::as_mut(&mut params).add_cpu_moe_override();
        }
        LlamaModel::load_from_file(&self.backend, &config.weights.model, &params)
            .map_err(|_| refused(&config.weights.model, device))
    }

    fn context(
        &self,
        config: &Config,
        device: &Device,
        model: LlamaModel,
        threads: usize,
    ) -> Result<Context, LoadError> {
        let purpose = Purpose::of(&model, config.embedding)?;
        let trained = model.n_ctx_train();
        let tokens = config.context.unwrap_or_else(|| trained.min(DEFAULT_CONTEXT));
        // Past its last position such a model reads memory that is not its own, and llama.cpp ends the process.
        if purpose.is_reading() && tokens > trained {
            return Err(LoadError::Config(format!("context is {tokens}: the model reads at most {trained} tokens")));
        }
        let (sequences, what) = match purpose {
            Purpose::Chat => (config.slots, "conversations"),
            Purpose::Embed(_) | Purpose::Rerank => (TEXTS_A_STEP, "texts at once"),
        };
        let shape = Shape { purpose, tokens, sequences, batch: config.batch, threads };
        let context = Context::new(Arc::new(model), shape).ok_or_else(|| {
            LoadError::Engine(format!(
                "no memory on {} for {sequences} {what} of {tokens} tokens: lower `context`, `slots` or `batch` ({})",
                device.name,
                native::complaint()
            ))
        })?;
        if purpose == Purpose::Rerank {
            passages::second_text(context.model()).map_err(LoadError::Weights)?;
        }
        match (purpose, context.dimensions()) {
            (Purpose::Rerank, numbers @ (0 | 2..)) => Err(LoadError::Config(format!(
                "the model gives {numbers} numbers for a query and a text, and `rerank` needs the one that says how well \
                 the text answers: take a reranker with one output"
            ))),
            _ => Ok(context),
        }
    }
}

fn model_params(config: &Config, device: &Device) -> Result<LlamaModelParams, LoadError> {
    let (layers, devices) = if device.is_ram() {
        // An empty list: else llama.cpp would compute long prompts on a card that belongs to another model.
        (0, vec![])
    } else {
        (config.gpu_layers.unwrap_or(u32::MAX), vec![device.index])
    };
    LlamaModelParams::default()
        .with_n_gpu_layers(layers)
        .with_devices(&devices)
        .map_err(|error| LoadError::Engine(format!("{} cannot be used: {error}", device.name)))
}

fn refused(weights: &Path, device: &Device) -> LoadError {
    let complaint = native::complaint();
    let is_memory = complaint.contains("alloc") || complaint.contains("memory");
    if is_memory && !device.is_ram() {
        return LoadError::Engine(format!(
            "{} does not fit on {}: set `gpu_layers` or `experts = \"ram\"`, or another device ({complaint})",
            weights.display(),
            device.name
        ));
    }
    if is_memory {
        return LoadError::Engine(format!("{} does not fit into memory ({complaint})", weights.display()));
    }
    LoadError::Weights(format!("{} cannot be loaded: {complaint}", weights.display()))
}

/// libmtmd ends the process where a card has no room for its file, so that it must not come to that.
fn check_room(projector: &Path, device: &Device) -> Result<(), LoadError> {
    if device.is_ram() {
        return Ok(());
    }
    let bytes = gguf::bytes(projector)?;
    let now = devices::devices().into_iter().find(|other| other.name == device.name);
    let free = now.map_or(0, |device| device.memory_free_bytes);
    if bytes.saturating_add(MARGIN) <= free {
        return Ok(());
    }
    Err(LoadError::Engine(format!(
        "the projector {} does not fit on {} beside its model: it takes {} MiB, of {} MiB that are free, and some to compute in",
        projector.display(),
        device.name,
        bytes >> 20,
        free >> 20
    )))
}

/// True if ggml's name of a place (`CUDA0`, `CPU_Mapped`, `Vulkan_Host`) means this device.
fn is_on(device: &Device, place: &str) -> bool {
    let place = place.to_lowercase();
    let is_host = place.starts_with("cpu") || place.ends_with("_host");
    if device.is_ram() { is_host } else { place == device.name }
}
