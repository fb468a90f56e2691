//! Where do a model's weights come from? The three forms of `weights = "…"` in a brain file.

use std::path::{Component, Path, PathBuf};

use super::PullError;
use super::manifest::{HubFile, Manifest};

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A name of the manifest: `qwen2.5-coder-0.5b`.
    Artefact(String),
    /// Any file of the hub: `hub:org/repo/file.gguf`, with `@revision` at the end for another than `main`.
    Hub(HubFile),
    /// A file of this machine.
    Path(PathBuf),
}

impl Source {
    /// Tells which form `text` has. A name of the manifest goes before a file that is called so. A path is what has a
    /// `/`, begins with `~`, or ends as model files do; a relative one is meant from `base`, the brain file's folder.
    /// Nothing is read or fetched.
    ///
    /// # Errors
    /// [`PullError::Unknown`] for a word that is none of this, [`PullError::HubSyntax`] for a bad `hub:`.
    pub fn parse(text: &str, base: &Path, manifest: &Manifest) -> Result<Self, PullError> {
        if let Some(rest) = text.strip_prefix("hub:") {
            return hub_file(rest).map(Self::Hub).ok_or_else(|| PullError::HubSyntax(text.to_owned()));
        }
        if manifest.find(text).is_some() {
            return Ok(Self::Artefact(text.to_owned()));
        }
        if !looks_like_path(text) {
            return Err(PullError::Unknown { name: text.to_owned(), known: manifest.names() });
        }
        Ok(Self::Path(base.join(expand_home(text))))
    }

    /// The file's name, with folders before it or without; empty for a name that is not in `manifest`.
    #[must_use]
    pub fn file<'a>(&'a self, manifest: &'a Manifest) -> &'a Path {
        match self {
            Self::Artefact(name) => Path::new(manifest.find(name).map_or("", |artefact| &artefact.file)),
            Self::Hub(hub) => Path::new(&hub.file),
            Self::Path(path) => path,
        }
    }
}

fn looks_like_path(text: &str) -> bool {
    let extension = Path::new(text).extension().unwrap_or_default().to_ascii_lowercase();
    let of_a_model = ["gguf", "bin", "onnx", "json"].iter().any(|known| extension == *known);
    text.contains('/') || text.starts_with('~') || of_a_model
}

/// Puts the home folder for a leading `~`. `~other/…` is left alone: only the shell knows other people's homes.
fn expand_home(text: &str) -> PathBuf {
    let rest = if text == "~" { Some("") } else { text.strip_prefix("~/") };
    match (rest, std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

/// Reads `org/repo/path/to/file[@revision]`. Parts that would leave the cache folder make it invalid.
fn hub_file(text: &str) -> Option<HubFile> {
    let (path, revision) = text.rsplit_once('@').unwrap_or((text, "main"));
    let mut parts = path.splitn(3, '/');
    let (organisation, name, file) = (parts.next()?, parts.next()?, parts.next()?);
    let sound = [organisation, name, file, revision].iter().all(|part| stays_inside(part));
    sound.then(|| HubFile {
        repo: format!("{organisation}/{name}"),
        file: file.to_owned(),
        revision: revision.to_owned(),
    })
}

fn stays_inside(part: &str) -> bool {
    let plain = |component| matches!(component, Component::Normal(_));
    !part.is_empty() && !part.ends_with('/') && Path::new(part).components().all(plain)
}

/// The files a GGUF consists of: `…-00001-of-00003.gguf` stands for all three, first to last, whichever is named; any
/// other name for itself. Engines are given the first and find the others beside it.
#[must_use]
pub fn parts(file: &str) -> Vec<String> {
    split_name(file).unwrap_or_else(|| vec![file.to_owned()])
}

fn split_name(file: &str) -> Option<Vec<String>> {
    let (rest, total) = file.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, index) = rest.rsplit_once('-')?;
    let five_digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !five_digits(index) || !five_digits(total) {
        return None;
    }
    let (index, count): (u32, u32) = (index.parse().ok()?, total.parse().ok()?);
    let sound = (1..=count).contains(&index);
    sound.then(|| (1..=count).map(|part| format!("{stem}-{part:05}-of-{total}.gguf")).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::pull::manifest::EMBEDDED;

    fn parse(text: &str) -> Result<Source, PullError> {
        Source::parse(text, Path::new("/brains"), &Manifest::parse(EMBEDDED).unwrap())
    }

    fn hub(repo: &str, file: &str, revision: &str) -> Source {
        Source::Hub(HubFile { repo: repo.into(), file: file.into(), revision: revision.into() })
    }

    #[test]
    fn the_three_forms_are_told_apart() {
        assert_eq!(parse("smollm2-135m").unwrap(), Source::Artefact("smollm2-135m".into()));
        assert_eq!(parse("hub:org/repo/a.gguf").unwrap(), hub("org/repo", "a.gguf", "main"));
        assert_eq!(parse("hub:org/repo/q4/a.gguf@v2").unwrap(), hub("org/repo", "q4/a.gguf", "v2"));
        assert_eq!(parse("a.gguf").unwrap(), Source::Path("/brains/a.gguf".into()));
        assert_eq!(parse("../x/a").unwrap(), Source::Path("/brains/../x/a".into()));
        assert_eq!(parse("/data/a.gguf").unwrap(), Source::Path("/data/a.gguf".into()));
        let home = std::env::home_dir().unwrap();
        assert_eq!(parse("~/a.gguf").unwrap(), Source::Path(home.join("a.gguf")));
    }

    #[test]
    fn an_unknown_name_lists_what_there_is_and_the_other_forms() {
        let message = parse("smollm").unwrap_err().to_string();
        assert!(["smollm2-135m", "hub:", "path"].iter().all(|word| message.contains(word)), "{message}");
    }

    #[test]
    fn a_hub_file_never_leaves_the_cache_folder() {
        for text in
            ["", "org", "org/repo", "org/repo/", "org/repo/../../x", "../repo/x", "org/repo/x@", "org/repo/x@../y"]
        {
            let error = parse(&format!("hub:{text}")).unwrap_err();
            assert!(matches!(error, PullError::HubSyntax(_)), "{text}: {error}");
        }
    }

    #[test]
    fn a_gguf_in_parts_means_all_of_them() {
        let all = ["q/k2-00001-of-00003.gguf", "q/k2-00002-of-00003.gguf", "q/k2-00003-of-00003.gguf"];
        assert_eq!(parts(all[0]), all);
        assert_eq!(parts(all[1]), all);
        for single in ["k2.gguf", "k2-1-of-2.gguf", "k2-00001-of-00000.gguf", "k2-00001-of-00002.bin"] {
            assert_eq!(parts(single), [single]);
        }
    }
}
