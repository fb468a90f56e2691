//! What can a child reach, should a film make ffmpeg do as the film likes? Its own program and libraries, and the film.
//!
//! The kernel sees to it (Landlock: files from Linux 5.13 on, TCP from 6.7 on). On an older one, and for UDP, the lists
//! in [`crate::allow`] stand alone.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope, path_beneath_rules};

/// What of Landlock is used where the kernel has it.
const WANTED: ABI = ABI::V6;

/// Where programs and libraries lie on the systems there are.
const LIBRARIES: [&str; 9] =
    ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/gnu/store", "/etc/ld.so.cache"];

/// From now on this process opens no file but what `program` needs to run and those in `folder` to read, and no TCP
/// connection, as far as the kernel can see to it.
///
/// # Errors
/// The kernel has this protection and refuses to give it.
pub(crate) fn confine(program: &Path, folder: &Path) -> io::Result<()> {
    let read_and_run = path_beneath_rules(places_of(program), AccessFs::from_read(WANTED));
    let film = path_beneath_rules([folder], AccessFs::ReadFile);
    let confined = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(WANTED))?
            .handle_access(AccessNet::from_all(WANTED))?
            .scope(Scope::from_all(WANTED))?
            .create()?
            .add_rules(read_and_run)?
            .add_rules(film)?
            .restrict_self()
    };
    confined().map(drop).map_err(|error: landlock::RulesetError| io::Error::other(error))
}

/// Where the libraries of a program may lie: in the system's places, beside it, and where its environment says.
fn places_of(program: &Path) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = LIBRARIES.map(PathBuf::from).to_vec();
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let folders = [program.parent(), real.parent()];
    places.extend(folders.iter().flatten().flat_map(|folder| [folder.to_path_buf(), folder.join("../lib")]));
    places.extend(std::env::var_os("LD_LIBRARY_PATH").iter().flat_map(std::env::split_paths));
    places
}
