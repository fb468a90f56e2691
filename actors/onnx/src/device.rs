//! Where may a model compute? `device = "…"` of a brain file, and what this ONNX Runtime has for it.

use std::fmt;

use ort::ep::{self, ExecutionProvider as _, ExecutionProviderDispatch};

use crate::{Error, Runtime};

/// Where a model computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device(Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the CPU, from RAM.
    Ram,
    /// On an NVIDIA card, by its number.
    Cuda(i32),
    /// On a Radeon, by its number: MIGraphX, the successor of ONNX Runtime's ROCm provider.
    Rocm(i32),
}

impl Device {
    /// Understands a name: `auto` and `ram` are the CPU; `cuda0`, `rocm1` and so on are cards, if the library that is
    /// loaded was built for them.
    ///
    /// # Errors
    /// [`Error::Device`], which says what there is.
    pub fn named(text: &str, _runtime: &Runtime) -> Result<Self, Error> {
        if matches!(text, "auto" | "ram") {
            return Ok(Self(Place::Ram));
        }
        let kind = text.trim_end_matches(|sign: char| sign.is_ascii_digit());
        let number = text.get(kind.len()..).and_then(|digits| digits.parse().ok());
        match (kind, number) {
            ("cuda", Some(number)) if ep::CUDA::is_available().unwrap_or(false) => Ok(Self(Place::Cuda(number))),
            ("rocm", Some(number)) if ep::MIGraphX::is_available().unwrap_or(false) => Ok(Self(Place::Rocm(number))),
            _ => Err(Error::Device(format!("device is `{text}`: the ONNX Runtime here has {}", there_is()))),
        }
    }

    /// As ONNX Runtime is told of it; a card that cannot be used is an error, not a CPU in its stead.
    pub(crate) fn provider(&self) -> ExecutionProviderDispatch {
        match self.0 {
            // The arena is faster than the system's allocator and takes less; `Stop` has it shrink after each run.
            Place::Ram => ep::CPU::default().with_arena_allocator(true).build(),
            Place::Cuda(number) => ep::CUDA::default().with_device_id(number).build(),
            Place::Rocm(number) => ep::MIGraphX::default().with_device_id(number).build(),
        }
        .error_on_failure()
    }
}

impl fmt::Display for Device {
    /// The name, with `auto` resolved.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Ram => f.write_str("ram"),
            Place::Cuda(number) => write!(f, "cuda{number}"),
            Place::Rocm(number) => write!(f, "rocm{number}"),
        }
    }
}

/// The devices that the loaded library was built for, for a person.
fn there_is() -> String {
    let cards = [("cuda0, cuda1 …", ep::CUDA::is_available()), ("rocm0, rocm1 …", ep::MIGraphX::is_available())];
    let cards = cards.into_iter().filter(|(_, available)| *available.as_ref().unwrap_or(&false)).map(|(name, _)| name);
    ["auto", "ram"].into_iter().chain(cards).collect::<Vec<_>>().join(", ")
}
