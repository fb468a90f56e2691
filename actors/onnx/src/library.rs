//! Where is ONNX Runtime?

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::Error;

/// The variable that names the library. A node sets it for models in ONNX format; set by hand, it wins.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// One environment a process, which lives as long: what ONNX Runtime allows.
static LOADED: Mutex<Option<Environment>> = Mutex::new(None);

/// ONNX Runtime, loaded into this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(crate) environment: Environment,
}

impl Runtime {
    /// Loads the library, or takes the one that was loaded before: the one that [`LIBRARY_VARIABLE`] names, else one
    /// that lies beside `model`, as it does in the cache folder, else one that the system has.
    ///
    /// # Errors
    /// [`Error::Library`], which says what was tried and what each was.
    pub fn load(model: &Path) -> Result<Self, Error> {
        let named = std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty());
        let candidates = match named {
            Some(path) => vec![path.into()],
            None => beside(model).into_iter().chain([library_name().into()]).collect(),
        };
        Self::load_first(&candidates)
    }

    pub(crate) fn load_first(candidates: &[PathBuf]) -> Result<Self, Error> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(environment) = &*loaded {
            return Ok(Self { environment: environment.clone() });
        }
        let mut tried = Vec::new();
        for path in candidates {
            match ort::init_from(path) {
                Ok(builder) => {
                    let environment = builder.with_name("megabrain").with_telemetry(false).build();
                    let environment = environment.map_err(|error| Error::Library(format!("ONNX Runtime: {error}")))?;
                    // What fails is returned; ONNX Runtime would write it to standard error besides.
                    environment.set_log_level(LogLevel::Fatal);
                    *loaded = Some(environment.clone());
                    return Ok(Self { environment });
                }
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(Error::Library(format!(
            "ONNX Runtime cannot be loaded: {}; `megabrain pull onnxruntime` fetches it, {LIBRARY_VARIABLE} names another",
            tried.join("; ")
        )))
    }
}

fn library_name() -> String {
    format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}")
}

/// The libraries in a model's folder: `libonnxruntime.so`, and with a version behind it; the highest first.
pub(crate) fn beside(model: &Path) -> Vec<PathBuf> {
    let (name, folder) = (library_name(), model.parent().unwrap_or(Path::new("")));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_library = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let version = file.strip_prefix(&name);
        version.is_some_and(|version| version.chars().all(|sign| sign == '.' || sign.is_ascii_digit()))
    };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_library).collect();
    found.sort_by(|one, other| other.cmp(one));
    // Without a folder in its path the system would look elsewhere.
    found.into_iter().filter_map(|path| std::path::absolute(path).ok()).collect()
}
