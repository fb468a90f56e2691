//! Where does a film lie while it is split? In a folder of its own, which is gone afterwards, whatever happens.
//!
//! The folder is locked by whoever uses it. The system frees the lock when the process ends, however it ends; so a folder
//! that can be locked is one that nobody removed, and the next actor that starts does.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use megabrain_schemas::Fault;
use tempfile::TempDir;

use crate::film::NAME;
use crate::split::{IsDue, Stop};

/// How every such folder's name begins.
pub(crate) const PREFIX: &str = "megabrain-video-";
/// Bytes written before it is asked again whether somebody wants to end.
const BLOCK: usize = 4 << 20;
/// Somebody may sweep a folder away between its making and its locking.
const ATTEMPTS: usize = 5;

/// A private folder, removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// A new folder under `base` that nobody else may look into, with this film in it.
    ///
    /// # Errors
    /// `engine`, if the disk is full or may not be written to; [`Stop::Interrupted`].
    pub(crate) fn with(film: &[u8], base: &Path, is_due: IsDue<'_>) -> Result<Self, Stop> {
        let failed =
            |error: io::Error| Fault::engine(format!("the film cannot be put down in {}: {error}", base.display()));
        let scratch = Self::new(base).map_err(failed)?;
        let mut file = File::create_new(scratch.path().join(NAME)).map_err(failed)?;
        for block in film.chunks(BLOCK) {
            if is_due() {
                return Err(Stop::Interrupted);
            }
            file.write_all(block).map_err(failed)?;
        }
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn new(base: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let folder =
                tempfile::Builder::new().prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir_in(base)?;
            let lock = File::open(folder.path())?;
            let is_ours = lock.try_lock().is_ok()
                && fs::metadata(folder.path())
                    .is_ok_and(|there| lock.metadata().is_ok_and(|own| own.ino() == there.ino()));
            if is_ours {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(io::Error::other("its folder is taken away again and again"))
    }
}

/// Removes the folders under `base` that a killed actor left behind; gives how many.
pub(crate) fn sweep(base: &Path) -> usize {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(PREFIX) && entry.file_type().is_ok_and(|kind| kind.is_dir())
    });
    ours.filter(|entry| {
        // Locked until it is gone: whoever has just made it must not take it for its own meanwhile.
        let folder = File::open(entry.path());
        folder.is_ok_and(|folder| folder.try_lock().is_ok() && fs::remove_dir_all(entry.path()).is_ok())
    })
    .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_private_and_gone_when_dropped() {
        let base = tempfile::tempdir().unwrap();
        let scratch = Scratch::with(b"film", base.path(), &|| false).unwrap();
        assert_eq!(fs::read(scratch.path().join(NAME)).unwrap(), b"film");
        assert_eq!(fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(scratch);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_interruption_ends_writing_and_leaves_nothing() {
        let base = tempfile::tempdir().unwrap();
        assert!(matches!(Scratch::with(b"film", base.path(), &|| true), Err(Stop::Interrupted)));
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_process_left_is_swept_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let alive = Scratch::with(b"film", base.path(), &|| false).unwrap();
        let left = base.path().join(format!("{PREFIX}left"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join(NAME), b"old film").unwrap();
        let other = base.path().join("somebody-elses");
        fs::create_dir(&other).unwrap();
        assert_eq!(sweep(base.path()), 1);
        assert!(!left.exists() && other.exists() && alive.path().join(NAME).exists());
        assert_eq!(sweep(&base.path().join("nowhere")), 0);
    }
}
