//! What lies in the cache folder, and how does a file get there? The rules are those of `models/pull.py`, so that both
//! work in one folder: a file appears whole, after it was checked; a stamp beside it (`<file>.ok`) tells that it was.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::manifest::{Artefact, Kind};
use super::progress::Meter;

/// The folder of finished files.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where downloads grow: on the same file system, so that finished ones are renamed, not copied.
    pub(super) fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    pub(super) fn path(&self, artefact: &Artefact) -> PathBuf {
        self.root.join(&artefact.file)
    }

    /// Tells whether the artefact was checked before and still has its size; reads no more than the stamp.
    pub(super) fn has(&self, artefact: &Artefact) -> bool {
        let path = self.path(artefact);
        size_of(&path) == Some(artefact.size)
            && fs::read_to_string(stamp(&path)).is_ok_and(|stamped| stamped.trim() == artefact.sha256)
    }

    /// Tells whether a file without a manifest entry was checked before and still has the size of then.
    pub(super) fn has_stamped(path: &Path) -> bool {
        let stamped = fs::read_to_string(stamp(path)).ok();
        let size = stamped.as_deref().and_then(|text| text.split_whitespace().nth(1));
        size.and_then(|size| size.parse().ok()) == size_of(path) && size.is_some()
    }

    /// Moves a checked artefact to its place and stamps it, each in one step.
    pub(super) fn accept(&self, artefact: &Artefact, file: &Path) -> io::Result<()> {
        if artefact.kind == Kind::Tool {
            fs::set_permissions(file, fs::Permissions::from_mode(0o755))?;
        }
        self.place(file, &self.path(artefact), &format!("{}\n", artefact.sha256))
    }

    /// Moves a checked file without a manifest entry to its place; the stamp keeps its size and the hub's words on it.
    pub(super) fn accept_from_hub(&self, file: &Path, path: &Path, etag: &str, commit: &str) -> io::Result<()> {
        let size = fs::metadata(file)?.len();
        self.place(file, path, &format!("{etag} {size} {commit}\n"))
    }

    /// The file is on the disk before its stamp, so that no stamp outlives a power cut that its file did not.
    fn place(&self, file: &Path, path: &Path, stamped: &str) -> io::Result<()> {
        File::open(file)?.sync_all()?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::create_dir_all(self.downloads())?;
        let fresh = self.downloads().join("stamp.ok");
        fs::write(&fresh, stamped)?;
        if file != path {
            fs::rename(file, path)?;
        }
        fs::rename(&fresh, stamp(path))
    }

    /// Opens the file whose lock one pull at a time holds; `pull.py` takes the same.
    pub(super) fn lock_file(&self) -> io::Result<File> {
        fs::create_dir_all(self.downloads())?;
        File::create(self.root.join(".lock"))
    }
}

fn stamp(path: &Path) -> PathBuf {
    let mut stamp = path.as_os_str().to_owned();
    stamp.push(".ok");
    stamp.into()
}

/// Bytes of a file; none if there is none.
pub(super) fn size_of(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// The SHA-256 of a file, lower-case hex.
pub(super) fn sha256(path: &Path, meter: &Meter) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(format!("{:x}", digest.finalize()));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
        done += read as u64;
        meter.at(done);
    }
}
