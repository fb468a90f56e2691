//! Is this a model file, is it whole, and how large are its parts?

#![allow(unsafe_code, reason = "llama-cpp-2 does not list the tensors of a file")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;
use megabrain_runtime::LoadError;

/// One tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    /// Its name: `blk.3.ffn_up_exps.weight`.
    pub(crate) name: String,
    /// Its size in the file, and in memory.
    pub(crate) bytes: u64,
}

/// Checks every part of a model without loading it, and lists its tensors.
///
/// # Errors
/// Says which file is missing, not a GGUF file, or cut short.
pub(crate) fn tensors(weights: &Path) -> Result<Vec<Tensor>, LoadError> {
    let mut tensors = Vec::new();
    for part in parts(weights) {
        tensors.extend(tensors_of_part(&part)?);
    }
    Ok(tensors)
}

/// The tensors' size together.
///
/// # Errors
/// As [`tensors`].
pub(crate) fn bytes(weights: &Path) -> Result<u64, LoadError> {
    Ok(tensors(weights)?.iter().map(|tensor| tensor.bytes).sum())
}

/// The files of a model: `…-00001-of-00003.gguf` stands for three.
fn parts(weights: &Path) -> Vec<PathBuf> {
    let split = || {
        let stem = weights.file_stem()?.to_str()?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (base, number) = rest.rsplit_once('-')?;
        let is_first = number.parse() == Ok(1u32);
        let count: u32 = count.parse().ok()?;
        is_first.then(|| {
            (1..=count).map(|part| weights.with_file_name(format!("{base}-{part:05}-of-{count:05}.gguf"))).collect()
        })
    };
    split().unwrap_or_else(|| vec![weights.to_path_buf()])
}

fn tensors_of_part(path: &Path) -> Result<Vec<Tensor>, LoadError> {
    let shown = path.display();
    let length = check_beginning(path)?;
    let header = Header::read(path).ok_or_else(|| {
        LoadError::Weights(format!("{shown} has a damaged GGUF header: fetch it again with `megabrain pull`"))
    })?;
    let (tensors, needed) = header.tensors();
    if needed > length {
        return Err(LoadError::Weights(format!(
            "{shown} is cut short: it has {length} bytes and needs {needed}; fetch it again with `megabrain pull`"
        )));
    }
    Ok(tensors)
}

/// Returns the file's length if it begins as a GGUF file does.
fn check_beginning(path: &Path) -> Result<u64, LoadError> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::NotFound => "; `megabrain pull` fetches models",
            _ => "",
        };
        LoadError::Weights(format!("{shown} cannot be read: {error}{remedy}"))
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic).map_err(unreadable)?;
    if magic != b"GGUF" {
        return Err(LoadError::Weights(format!(
            "{shown} is not a GGUF file: llama.cpp needs that format; many models are published in it"
        )));
    }
    Ok(length)
}

/// A file's header, as ggml reads it.
struct Header(NonNull<sys::gguf_context>);

impl Header {
    fn read(path: &Path) -> Option<Self> {
        let path = CString::new(path.to_str()?).ok()?;
        let params = sys::gguf_init_params { no_alloc: true, ctx: std::ptr::null_mut() };
        // SAFETY: the path ends with a zero; null comes back for a file that cannot be parsed.
        NonNull::new(unsafe { sys::gguf_init_from_file(path.as_ptr(), params) }).map(Self)
    }

    /// The tensors, and the length that the file must have for them.
    fn tensors(&self) -> (Vec<Tensor>, u64) {
        let header = self.0.as_ptr();
        let mut tensors = Vec::new();
        let mut needed = 0;
        // SAFETY: `header` is live, the indices are below the count, and names live as long as the header.
        unsafe {
            let data = sys::gguf_get_data_offset(header) as u64;
            for index in 0..sys::gguf_get_n_tensors(header) {
                let name = CStr::from_ptr(sys::gguf_get_tensor_name(header, index)).to_string_lossy().into_owned();
                let bytes = sys::gguf_get_tensor_size(header, index) as u64;
                let end = data.saturating_add(sys::gguf_get_tensor_offset(header, index) as u64).saturating_add(bytes);
                needed = needed.max(end);
                tensors.push(Tensor { name, bytes });
            }
        }
        (tensors, needed)
    }
}

impl Drop for Header {
    fn drop(&mut self) {
        // SAFETY: made by `gguf_init_from_file`, and freed here only.
        unsafe { sys::gguf_free(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::smollm2;

    #[test]
    fn the_parts_of_a_model_are_found_by_the_first() {
        let parts = parts(Path::new("/models/k2-00001-of-00003.gguf"));
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[2], Path::new("/models/k2-00003-of-00003.gguf"));
        assert_eq!(super::parts(Path::new("/models/small.gguf")), [Path::new("/models/small.gguf")]);
    }

    #[test]
    fn a_whole_model_lists_its_tensors() {
        let tensors = tensors(&smollm2()).unwrap();
        let bytes: u64 = tensors.iter().map(|tensor| tensor.bytes).sum();
        assert_eq!(tensors.len(), 272);
        assert!((90_000_000..98_362_432).contains(&bytes), "{bytes}");
    }

    #[test]
    fn missing_foreign_and_cut_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let message = |path: &Path| tensors(path).unwrap_err().to_string();
        assert!(message(&path).contains("No such file"));
        fs::write(&path, "PK\x03\x04 a zip").unwrap();
        assert!(message(&path).contains("not a GGUF file"));
        fs::write(&path, "").unwrap();
        assert!(message(&path).contains("not a GGUF file"));
        let whole = fs::read(smollm2()).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(message(&path).contains("cut short"));
        fs::write(&path, &whole[..2000]).unwrap();
        assert!(message(&path).contains("damaged"));
        assert!(message(folder.path()).contains("cannot be read"));
    }
}
