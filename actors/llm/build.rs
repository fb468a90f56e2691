//! Where does `megabrain-llm` find llama.cpp at run time?
//!
//! llama.cpp is a handful of shared libraries, so that the processor's best variant and the graphics card's backend can
//! be chosen when the program runs. They are put into `lib/megabrain` beside the executable, and the executable looks
//! there: in the build folder, in a folder that somebody copied, and in an installation (`bin` and `lib/megabrain`).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where the libraries may be, seen from the executable; `devices.rs` looks for backends in the same places.
const RUN_PATHS: [&str; 3] = ["$ORIGIN", "$ORIGIN/lib/megabrain", "$ORIGIN/../lib/megabrain"];

/// What the executable asks for when it starts. The others of llama.cpp's libraries are not used.
const AT_START: [&str; 4] = ["libggml-base.so.0", "libggml.so.0", "libllama.so.0", "libmtmd.so.0"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    for path in RUN_PATHS {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{path}");
    }
    let backends = PathBuf::from(env::var("DEP_LLAMA_BACKENDS_DIR")?);
    let build = backends.parent().ok_or("the backends folder has no parent")?;
    let profile_folder = PathBuf::from(env::var("OUT_DIR")?)
        .ancestors()
        .nth(3)
        .ok_or("OUT_DIR is not inside a target folder")?
        .to_path_buf();
    let native = profile_folder.join("lib/megabrain");
    fs::create_dir_all(&native)?;
    for library in shared_libraries(&build.join("lib"))?.into_iter().chain(shared_libraries(&backends)?) {
        place(&library, &native)?;
    }
    for folder in [profile_folder.clone(), profile_folder.join("deps"), profile_folder.join("examples")] {
        remove_dangling_links(&folder)?;
    }
    Ok(())
}

/// The libraries of a folder that are needed at run time.
fn shared_libraries(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let is_backend = name.starts_with("libggml-cpu-") && name.ends_with(".so");
        if is_backend || AT_START.contains(&name) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Links the file into the folder, or copies it where the folder is on another disk.
fn place(library: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let source = library.canonicalize()?;
    let target = folder.join(library.file_name().ok_or("a library without a name")?);
    println!("cargo:rerun-if-changed={}", target.display());
    if target.exists() {
        fs::remove_file(&target)?;
    }
    if fs::hard_link(&source, &target).is_err() {
        fs::copy(&source, &target)?;
    }
    Ok(())
}

/// Removes the links to nowhere (`libllama.so` -> `libllama.so.0`) that llama-cpp-sys-2 leaves beside the executables:
/// when it is built once more, with other features, it stumbles over them.
fn remove_dangling_links(folder: &Path) -> Result<(), Box<dyn Error>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let is_library = path.extension().is_some_and(|extension| extension == "so");
        if is_library && path.is_symlink() && !path.exists() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
