//! What can be fetched by name? The types of `models/manifest.toml`, which explains every field for those who edit it.

use serde::Deserialize;

use super::PullError;

/// The manifest this program was built with.
pub const EMBEDDED: &str = include_str!("../../../../models/manifest.toml");

/// The version of the format that this program reads.
const VERSION: u32 = 1;

/// Every file that megabrain fetches by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format's version, 1.
    pub version: u32,
    /// The files, of all platforms.
    #[serde(rename = "artefact")]
    pub artefacts: Vec<Artefact>,
}

/// One file of the cache folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// What people and brain files call it; unique for a platform.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// One line for a person.
    pub about: String,
    /// SPDX identifier of the content's licence.
    pub licence: String,
    /// Its name in the cache folder.
    pub file: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the content, lower-case hex, the same from whichever source.
    pub sha256: String,
    /// Whether it belongs to the set that is pulled when nothing is named.
    pub starter: bool,
    /// The one operating system and processor it is for (`linux-x86_64`); all, when absent.
    pub platform: Option<String>,
    /// Where the Hugging Face hub has it.
    pub hub: Option<HubFile>,
    /// Which packages of the Python registry carry it.
    pub registry: Option<Registry>,
    /// From which other artefact it is made.
    pub derived: Option<Derived>,
}

/// What an artefact is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Weights, or a file that belongs to them.
    Model,
    /// A program; made executable.
    Tool,
    /// A shared library that a program loads.
    Library,
}

/// A file of a public repository on the Hugging Face hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubFile {
    /// `organisation/name`.
    pub repo: String,
    /// The file's path in the repository.
    pub file: String,
    /// A commit, branch or tag.
    pub revision: String,
}

/// Pinned packages of the Python registry; `pull.py` reads the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// `name==version`, in order.
    pub packages: Vec<String>,
    /// Files in the packages, in order.
    pub members: Vec<String>,
    /// The script that makes the artefact out of the members; they are concatenated without one.
    pub prepare: Option<String>,
}

/// How an artefact is made from another; `pull.py` does it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    /// The other artefact's name.
    pub from: String,
    /// The script.
    pub prepare: String,
}

impl Manifest {
    /// Reads a manifest and keeps what suits this machine.
    ///
    /// # Errors
    /// [`PullError::Manifest`] if it is not TOML, has a field that is not known, or another version.
    pub fn parse(text: &str) -> Result<Self, PullError> {
        let mut manifest: Self = toml::from_str(text).map_err(|error| PullError::Manifest(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(PullError::Manifest(format!(
                "it has version {}, this program reads {VERSION}",
                manifest.version
            )));
        }
        let here = platform();
        manifest.artefacts.retain(|artefact| artefact.platform.as_ref().is_none_or(|only| *only == here));
        Ok(manifest)
    }

    /// Looks an artefact up by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Artefact> {
        self.artefacts.iter().find(|artefact| artefact.name == name)
    }

    /// Every name, for a message.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.artefacts.iter().map(|artefact| artefact.name.as_str()).collect();
        names.join(", ")
    }
}

/// This operating system and processor, as the manifest writes it.
fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn the_embedded_manifest_names_each_file_once_on_this_machine() {
        let manifest = Manifest::parse(EMBEDDED).unwrap();
        let mut names: Vec<_> = manifest.artefacts.iter().map(|artefact| &artefact.name).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(manifest.find("smollm2-135m").unwrap().hub.is_some());
        assert!(manifest.find("whisper-tiny.en").unwrap().starter);
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let text = EMBEDDED.replacen("starter = true", "starter = true\ncolour = \"red\"", 1);
        let error = Manifest::parse(&text).unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
    }

    #[test]
    fn another_version_is_refused() {
        let text = EMBEDDED.replacen("version = 1", "version = 2", 1);
        assert!(matches!(Manifest::parse(&text), Err(PullError::Manifest(_))));
    }
}
