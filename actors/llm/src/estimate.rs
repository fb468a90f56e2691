//! How much memory would a model take, and where?
//!
//! Weights are counted in the file; for the KV cache and the compute buffers llama.cpp builds everything without
//! allocating, and its log has the sizes.

use megabrain_runtime::LoadError;
use serde::Serialize;

use crate::config::{Config, Experts};
use crate::devices::{Device, RAM};
use crate::gguf::{self, Tensor};
use crate::load::Native;
use crate::native;

/// Memory of a model by place.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Estimate {
    /// Where the model lives.
    pub(crate) device: String,
    /// Tokens of one conversation.
    pub(crate) context: usize,
    /// Conversations at the same time.
    pub(crate) slots: u32,
    /// What it takes in each place: the device, and RAM.
    pub(crate) places: Vec<Share>,
}

/// Memory in one place, in bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Share {
    /// `ram`, `cuda0` …
    pub(crate) place: String,
    /// Weights.
    pub(crate) weights_bytes: u64,
    /// The memory of the conversations.
    pub(crate) kv_bytes: u64,
    /// Buffers to compute in.
    pub(crate) compute_bytes: u64,
    /// All together.
    pub(crate) total_bytes: u64,
    /// What is free there now.
    pub(crate) free_bytes: u64,
}

impl Estimate {
    /// Estimates without loading the weights.
    ///
    /// # Errors
    /// The file is no model, or llama.cpp does not know this kind.
    pub(crate) fn of(native: &Native, config: &Config, device: &Device) -> Result<Self, LoadError> {
        let tensors = gguf::tensors(&config.weights.model)?;
        let projector = config.weights.mmproj.as_deref().map(gguf::bytes).transpose()?.unwrap_or(0);
        native::forget();
        let context = native.load_without_memory(config, device)?;
        let heard = native::heard();

        let layers = context.model().n_layer();
        let first_on_device = layers.saturating_sub(config.gpu_layers.unwrap_or(layers));
        let is_on_device =
            |tensor: &&Tensor| !device.is_ram() && goes_to_device(tensor, config.experts, first_on_device);
        let weights: u64 = tensors.iter().map(|tensor| tensor.bytes).sum();
        let mut weights_on_device: u64 = tensors.iter().filter(is_on_device).map(|tensor| tensor.bytes).sum();
        let mut weights_in_ram = weights - weights_on_device;
        match device.is_ram() {
            true => weights_in_ram += projector,
            false => weights_on_device += projector,
        }
        if !device.is_ram() && !context.purpose().is_reading() {
            weights_on_device += tied_output(&tensors);
        }
        let layers_on_device = if device.is_ram() { 0 } else { u64::from(layers - first_on_device) };
        let kv_on_device = heard.cache_bytes * layers_on_device / u64::from(layers.max(1));
        let compute = |on_device: bool| -> u64 {
            let buffers = heard.buffers.iter().filter(|buffer| buffer.purpose == "compute");
            buffers
                .filter(|buffer| (buffer.place.to_lowercase() == device.name) == on_device)
                .map(|buffer| buffer.bytes)
                .sum()
        };

        let ram = Share::new(RAM, weights_in_ram, heard.cache_bytes - kv_on_device, compute(false));
        let mut places = vec![ram.free(crate::devices::devices().iter().find(|device| device.is_ram()))];
        if !device.is_ram() {
            places
                .insert(0, Share::new(&device.name, weights_on_device, kv_on_device, compute(true)).free(Some(device)));
        }
        Ok(Self { device: device.name.clone(), context: context.tokens_per_sequence(), slots: config.slots, places })
    }

    /// Bytes on the device itself.
    pub(crate) fn on_device(&self) -> u64 {
        self.places.iter().filter(|share| share.place == self.device).map(|share| share.total_bytes).sum()
    }
}

impl Share {
    fn new(place: &str, weights_bytes: u64, kv_bytes: u64, compute_bytes: u64) -> Self {
        let total_bytes = weights_bytes + kv_bytes + compute_bytes;
        Self { place: place.to_owned(), weights_bytes, kv_bytes, compute_bytes, total_bytes, free_bytes: 0 }
    }

    fn free(mut self, device: Option<&Device>) -> Self {
        self.free_bytes = device.map_or(0, |device| device.memory_free_bytes);
        self
    }
}

/// llama.cpp's own rule: token embeddings stay with the processor, the last layers go to the card first.
fn goes_to_device(tensor: &Tensor, experts: Experts, first_layer: u32) -> bool {
    let name = tensor.name.as_str();
    if name.starts_with("token_embd") {
        return false;
    }
    let is_expert = name.contains("_exps.") || name.contains("_chexps.");
    if is_expert && experts == Experts::Ram {
        return false;
    }
    let layer =
        name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()).and_then(|number| number.parse().ok());
    layer.is_none_or(|layer: u32| layer >= first_layer)
}

/// Models without an output matrix use the embeddings for it, and the card gets a copy of them.
fn tied_output(tensors: &[Tensor]) -> u64 {
    if tensors.iter().any(|tensor| tensor.name == "output.weight") {
        return 0;
    }
    tensors.iter().filter(|tensor| tensor.name == "token_embd.weight").map(|tensor| tensor.bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experts_may_stay_in_ram_while_the_rest_goes_to_the_card() {
        let tensor = |name: &str| Tensor { name: name.to_owned(), bytes: 1 };
        let on_card = |name: &str, experts, first| goes_to_device(&tensor(name), experts, first);
        assert!(on_card("blk.3.ffn_up_exps.weight", Experts::Device, 0));
        assert!(!on_card("blk.3.ffn_up_exps.weight", Experts::Ram, 0));
        assert!(on_card("blk.3.attn_q.weight", Experts::Ram, 0));
        assert!(!on_card("blk.3.attn_q.weight", Experts::Ram, 4));
        assert!(on_card("output.weight", Experts::Ram, 4));
        assert!(!on_card("token_embd.weight", Experts::Device, 0));
    }
}
