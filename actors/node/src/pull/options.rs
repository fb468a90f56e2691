//! Which settings does fetching have, and what do the environment's variables say?

use std::path::PathBuf;
use std::time::Duration;

use super::manifest;

/// Where files lie and come from.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cache folder: `$MEGABRAIN_CACHE`, else `$XDG_CACHE_HOME/megabrain`, else `~/.cache/megabrain`. Finished files
    /// lie in `models` in it.
    pub cache: PathBuf,
    /// Only what is cached: `MEGABRAIN_OFFLINE=1`. Default false.
    pub offline: bool,
    /// The hub's address: `HF_ENDPOINT`; the public hub by default.
    pub endpoint: Option<String>,
    /// A token for the hub's restricted repositories: `HF_TOKEN`. None by default.
    pub token: Option<String>,
    /// A transfer from the hub that brings no byte for so long is given up. Default 30 s.
    pub stall_limit: Duration,
    /// The Python that runs the registry's script. Default `python3`.
    pub python: PathBuf,
    /// The text of the manifest. Default: the one this program was built with.
    pub manifest: String,
}

impl Options {
    /// The options that the environment's variables give.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The options that `variable` gives; an empty one counts as absent.
    #[must_use]
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let cache = variable("MEGABRAIN_CACHE").map(PathBuf::from);
        let user_cache = || match variable("XDG_CACHE_HOME") {
            Some(folder) => PathBuf::from(folder),
            None => std::env::home_dir().unwrap_or_default().join(".cache"),
        };
        Self {
            cache: cache.unwrap_or_else(|| user_cache().join("megabrain")),
            offline: variable("MEGABRAIN_OFFLINE").is_some_and(|value| value != "0"),
            endpoint: variable("HF_ENDPOINT"),
            token: variable("HF_TOKEN"),
            stall_limit: Duration::from_secs(30),
            python: PathBuf::from("python3"),
            manifest: manifest::EMBEDDED.to_owned(),
        }
    }
}

/// The cache folder of this user; see [`Options::cache`].
#[must_use]
pub fn cache_dir() -> PathBuf {
    Options::from_env().cache
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn options(variables: &[(&str, &str)]) -> Options {
        Options::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_folder_is_the_users_unless_told_otherwise() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(options(&[]).cache, home.join(".cache/megabrain"));
        assert_eq!(options(&[("XDG_CACHE_HOME", "/x")]).cache, PathBuf::from("/x/megabrain"));
        let both = [("XDG_CACHE_HOME", "/x"), ("MEGABRAIN_CACHE", "/y")];
        assert_eq!(options(&both).cache, PathBuf::from("/y"));
    }

    #[test]
    fn the_hub_and_offline_are_set_by_variables() {
        let set = options(&[("HF_ENDPOINT", "http://localhost:1"), ("HF_TOKEN", "t"), ("MEGABRAIN_OFFLINE", "1")]);
        assert_eq!(set.endpoint.as_deref(), Some("http://localhost:1"));
        assert_eq!(set.token.as_deref(), Some("t"));
        assert!(set.offline);
        let unset = options(&[("HF_ENDPOINT", ""), ("MEGABRAIN_OFFLINE", "0")]);
        assert!(unset.endpoint.is_none() && !unset.offline);
    }
}
