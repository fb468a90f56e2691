//! Where is that which must not be lost? Not in the cache, which may be deleted.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What callbacks are signed with, if the environment names it: `whsec_` and base64.
const SECRET_VARIABLE: &str = "MEGABRAIN_CALLBACK_SECRET";

/// `$XDG_DATA_HOME/megabrain`, else `~/.local/share/megabrain`.
pub(crate) fn data_dir() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    data.unwrap_or_else(std::env::temp_dir).join("megabrain")
}

/// The secret that callbacks are signed with: the environment's, else the one in this folder, made at first.
///
/// # Errors
/// What was found is no secret; the folder cannot be written to.
pub(crate) fn callback_secret(folder: &Path) -> Result<String, std::io::Error> {
    if let Some(secret) = std::env::var(SECRET_VARIABLE).ok().filter(|secret| !secret.is_empty()) {
        return checked(secret, SECRET_VARIABLE);
    }
    let path = folder.join("callback.secret");
    match std::fs::read_to_string(&path) {
        Ok(secret) => checked(secret.trim().to_owned(), &path.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(folder)?;
            let secret = new_secret();
            crate::connection::write_private(&path, secret.as_bytes())?;
            Ok(secret)
        }
        Err(error) => Err(std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// 256 bits that nobody guesses.
pub(crate) fn new_secret() -> String {
    format!("whsec_{}", BASE64_STANDARD.encode(rand::random::<[u8; 32]>()))
}

/// 24 to 64 bytes, as standardwebhooks.com has it.
fn checked(secret: String, whence: &str) -> Result<String, std::io::Error> {
    let bytes = secret.strip_prefix("whsec_").and_then(|base64| BASE64_STANDARD.decode(base64).ok());
    if bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len())) {
        return Ok(secret);
    }
    let what = "is no secret for callbacks: it is whsec_ and 24 to 64 bytes in base64";
    Err(std::io::Error::new(ErrorKind::InvalidData, format!("{whence} {what}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_read_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let secret = callback_secret(folder.path()).unwrap();
        assert_eq!(callback_secret(folder.path()).unwrap(), secret);
        let mode = std::fs::metadata(folder.path().join("callback.secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(folder.path().join("callback.secret"), "hunter2").unwrap();
        assert!(callback_secret(folder.path()).unwrap_err().to_string().contains("whsec_"));
    }
}
