//! Where does output go, and how wide is it?

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::Path;

use crate::cli::Usage;

/// Width and height of the terminal that standard output is; `None` if it is none.
pub(crate) fn terminal() -> Option<(usize, usize)> {
    if !stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    Some(size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into())))
}

/// Width of the terminal; `None` if standard output is none.
pub(crate) fn width() -> Option<usize> {
    terminal().map(|(width, _)| width)
}

/// Looks before the work whether a file can be written after it.
///
/// # Errors
/// Its folder is not there.
pub(crate) fn check_folder_of(file: &Path) -> Result<(), Usage> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(Usage(format!("{} cannot be written: there is no folder {}", file.display(), folder.display())))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard output.
///
/// # Errors
/// Whoever reads has gone: unlike `println!`, which panics then.
pub(crate) fn line(text: impl Display) -> std::io::Result<()> {
    writeln!(stdout().lock(), "{text}")
}

/// Writes text to standard output, at once.
///
/// # Errors
/// As [`line`].
pub(crate) fn part(text: impl Display) -> std::io::Result<()> {
    let mut out = stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}
