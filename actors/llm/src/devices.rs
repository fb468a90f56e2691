//! What can this machine compute on, and where does a model go?
//!
//! The processor's backend comes in a dozen builds of which the best one is loaded; those of graphics cards are loaded
//! where they are found: beside the executable, in the folders of `MEGABRAIN_BACKENDS` (separated by colons), and in
//! `~/.cache/megabrain/backends`, where `models/backends/build.sh` puts them.

#![allow(unsafe_code, reason = "llama-cpp-2 loads whole folders only, and silently")]

use std::env;
use std::ffi::CString;
use std::path::{Path, PathBuf};

use llama_cpp_2::LlamaBackendDeviceType;
use llama_cpp_2::llama_backend::load_backends_from_path;
use llama_cpp_sys_2 as sys;
use megabrain_runtime::LoadError;
use serde::Serialize;

use crate::native;

/// Backends of graphics cards: part of the file name, and ggml's name once it is loaded.
const CARDS: [(&str, &str); 3] = [("cuda", "CUDA"), ("hip", "ROCm"), ("vulkan", "Vulkan")];

/// The name of the processor and its memory in a brain file.
pub(crate) const RAM: &str = "ram";

/// Something that a model can live on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Device {
    /// As in a brain file: `ram`, `cuda0`, `vulkan0`.
    pub(crate) name: String,
    /// What its maker calls it.
    pub(crate) description: String,
    /// ggml's name of the backend.
    pub(crate) backend: String,
    /// Memory in all, in bytes.
    pub(crate) memory_total_bytes: u64,
    /// Memory that is free now, in bytes.
    pub(crate) memory_free_bytes: u64,
    /// ggml's number of it.
    #[serde(skip)]
    pub(crate) index: usize,
}

impl Device {
    /// True for the processor.
    pub(crate) fn is_ram(&self) -> bool {
        self.name == RAM
    }
}

/// A backend that was found and cannot be used.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Unusable {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Why, as far as ggml tells.
    pub(crate) reason: String,
}

/// Whether the backends of graphics cards are loaded. One that is takes some hundred megabytes of its card, even if
/// nothing is computed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cards {
    /// Those that this machine can use.
    Load,
    /// None: the model lives in RAM.
    LeaveAlone,
}

/// Loads every backend that this machine can use, and returns those that it cannot. Call once, before anything else
/// of llama.cpp.
///
/// # Errors
/// There is no backend for the processor, or not the one that `cpu_variant` or `MEGABRAIN_CPU_VARIANT` asks for.
pub(crate) fn load_backends(cpu_variant: Option<&str>, cards: Cards) -> Result<Vec<Unusable>, LoadError> {
    let beside = folders_beside_the_executable();
    let variant = cpu_variant.map(str::to_owned).or_else(|| env::var("MEGABRAIN_CPU_VARIANT").ok());
    match variant.filter(|variant| !variant.is_empty()) {
        Some(variant) => load_processor(&beside, &variant)?,
        None => beside.iter().filter(|folder| folder.is_dir()).for_each(|folder| load_backends_from_path(folder)),
    }
    if !is_loaded("CPU") {
        return Err(LoadError::Config(format!(
            "no processor backend (libggml-cpu-*.so) in {}: copy the folder lib/megabrain together with the executable",
            list(&beside)
        )));
    }
    let mut unusable = Vec::new();
    if cards == Cards::LeaveAlone {
        return Ok(unusable);
    }
    for folder in beside.into_iter().chain(folders_of_the_user()) {
        for (file, backend) in CARDS {
            let path = folder.join(format!("libggml-{file}.so"));
            if is_loaded(backend) || !path.is_file() {
                continue;
            }
            native::forget();
            if !load(&path) {
                unusable.push(Unusable { path, reason: native::complaint() });
            }
        }
    }
    Ok(unusable)
}

fn load_processor(folders: &[PathBuf], variant: &str) -> Result<(), LoadError> {
    let file = format!("libggml-cpu-{variant}.so");
    if folders.iter().map(|folder| folder.join(&file)).any(|path| path.is_file() && load(&path)) {
        return Ok(());
    }
    let mut variants: Vec<String> = folders.iter().flat_map(|folder| variants_in(folder)).collect();
    variants.sort();
    variants.dedup();
    Err(LoadError::Config(format!(
        "the processor variant {variant} is not here or does not run here; there are: {}",
        variants.join(", ")
    )))
}

fn variants_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let variant = |name: &str| Some(name.strip_prefix("libggml-cpu-")?.strip_suffix(".so")?.to_owned());
    entries.flatten().filter_map(|entry| variant(entry.file_name().to_str()?)).collect()
}

fn load(path: &Path) -> bool {
    let Some(path) = path.to_str().and_then(|path| CString::new(path).ok()) else { return false };
    // SAFETY: the path ends with a zero; null comes back for a library that cannot be used.
    !unsafe { sys::ggml_backend_load(path.as_ptr()) }.is_null()
}

fn is_loaded(backend: &str) -> bool {
    let Ok(name) = CString::new(backend) else { return false };
    // SAFETY: the name ends with a zero.
    !unsafe { sys::ggml_backend_reg_by_name(name.as_ptr()) }.is_null()
}

/// The backends of graphics cards that are loaded: `cuda`, `hip`, `vulkan`. Such a one may still have found no card.
pub(crate) fn loaded_cards() -> Vec<&'static str> {
    CARDS.into_iter().filter(|(_, backend)| is_loaded(backend)).map(|(file, _)| file).collect()
}

/// The same places as the run paths in `build.rs`.
fn folders_beside_the_executable() -> Vec<PathBuf> {
    let executable = env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
    let Some(folder) = executable.parent() else { return Vec::new() };
    vec![folder.to_path_buf(), folder.join("lib/megabrain"), folder.join("../lib/megabrain")]
}

fn folders_of_the_user() -> Vec<PathBuf> {
    let named = env::var_os("MEGABRAIN_BACKENDS").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).collect();
    folders.push(cache_folder().join("backends"));
    folders
}

/// `$XDG_CACHE_HOME/megabrain`, else `~/.cache/megabrain`.
pub(crate) fn cache_folder() -> PathBuf {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(env::temp_dir).join("megabrain")
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Everything that a model can live on: graphics cards first, RAM last.
pub(crate) fn devices() -> Vec<Device> {
    let mut devices: Vec<Device> = llama_cpp_2::list_llama_ggml_backend_devices()
        .into_iter()
        .filter_map(|device| {
            let name = match device.device_type {
                LlamaBackendDeviceType::Cpu => RAM.to_owned(),
                LlamaBackendDeviceType::Gpu | LlamaBackendDeviceType::IntegratedGpu => device.name.to_lowercase(),
                LlamaBackendDeviceType::Accelerator | LlamaBackendDeviceType::Unknown => return None,
            };
            Some(Device {
                name,
                description: device.description,
                backend: device.backend,
                memory_total_bytes: device.memory_total as u64,
                memory_free_bytes: free_memory(device.device_type).unwrap_or(device.memory_free as u64),
                index: device.index,
            })
        })
        .collect();
    devices.sort_by_key(Device::is_ram);
    devices
}

/// What the processor can still have, which ggml takes for all of it.
fn free_memory(kind: LlamaBackendDeviceType) -> Option<u64> {
    if kind != LlamaBackendDeviceType::Cpu {
        return None;
    }
    let memory = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Chooses the device that a model asks for; for `auto` the first graphics card on which `fits` says yes, else RAM.
///
/// # Errors
/// There is no such device; the message lists those that there are.
pub(crate) fn choose(
    wanted: &str,
    devices: &[Device],
    mut fits: impl FnMut(&Device) -> Result<bool, LoadError>,
) -> Result<Device, LoadError> {
    if wanted == "auto" {
        for device in devices {
            if device.is_ram() || fits(device)? {
                return Ok(device.clone());
            }
        }
    }
    devices.iter().find(|device| device.name == wanted.to_lowercase()).cloned().ok_or_else(|| {
        let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
        LoadError::Config(format!(
            "there is no device {wanted} here; there are: {} (see `megabrain devices`, and the README for building the \
             backend of a graphics card)",
            names.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, free: u64) -> Device {
        Device {
            name: name.to_owned(),
            description: String::new(),
            backend: String::new(),
            memory_total_bytes: free,
            memory_free_bytes: free,
            index: 0,
        }
    }

    fn chosen(wanted: &str, devices: &[Device]) -> Result<String, LoadError> {
        choose(wanted, devices, |device| Ok(device.memory_free_bytes >= 10)).map(|device| device.name)
    }

    #[test]
    fn auto_takes_the_first_card_that_fits() {
        let devices = [device("cuda0", 5), device("vulkan0", 20), device(RAM, 1)];
        assert_eq!(chosen("auto", &devices).unwrap(), "vulkan0");
        assert_eq!(chosen("auto", &devices[..1]).ok(), None);
        assert_eq!(chosen("auto", &[device("cuda0", 5), device(RAM, 1)]).unwrap(), RAM);
    }

    #[test]
    fn a_device_that_is_asked_for_is_taken_even_if_it_is_full() {
        assert_eq!(chosen("CUDA0", &[device("cuda0", 5), device(RAM, 1)]).unwrap(), "cuda0");
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_that_lists_what_there_is() {
        let error = chosen("rocm0", &[device("cuda0", 5), device(RAM, 1)]).unwrap_err();
        assert!(matches!(&error, LoadError::Config(text) if text.contains("cuda0, ram")), "{error}");
    }
}
