//! Which files does a model consist of? `weights = …` of a brain file, from the names that it gives to paths.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::pull::manifest::Manifest;
use crate::pull::{PullError, Puller, Source};

/// What ONNX models need beside their weights: a name of the manifest.
pub const ONNX_RUNTIME: &str = "onnxruntime";

/// A model's files: one, or several by what they are to the actor. First names, then where they come from, then where
/// they lie.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "`weights` is a name, or a table of names")]
pub enum Weights<T = String> {
    /// `weights = "smollm2-135m"`
    One(T),
    /// `weights = { classify = "efficientnet-lite0", … }`
    Several(BTreeMap<String, T>),
}

impl<T> Weights<T> {
    /// Every file.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, several) = match self {
            Self::One(file) => (Some(file), None),
            Self::Several(files) => (None, Some(files.values())),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    /// The same for something else of each file; the first error, if there is one.
    pub(crate) fn try_map<U, E>(&self, mut to: impl FnMut(&T) -> Result<U, E>) -> Result<Weights<U>, E> {
        Ok(match self {
            Self::One(file) => Weights::One(to(file)?),
            Self::Several(files) => {
                let mapped = files.iter().map(|(key, file)| Ok((key.clone(), to(file)?)));
                Weights::Several(mapped.collect::<Result<_, E>>()?)
            }
        })
    }
}

impl Weights {
    /// Where the files come from; relative paths are meant from `base`.
    ///
    /// # Errors
    /// The first name that means nothing.
    pub fn sources(&self, base: &Path, manifest: &Manifest) -> Result<Weights<Source>, PullError> {
        self.try_map(|name| Source::parse(name, base, manifest))
    }

    /// Every name, and that of ONNX Runtime if one of the files needs it.
    pub fn needs(&self, base: &Path, manifest: &Manifest) -> Vec<String> {
        let mut names: Vec<String> = self.iter().cloned().collect();
        if self.sources(base, manifest).is_ok_and(|sources| sources.are_onnx(manifest)) {
            names.push(ONNX_RUNTIME.to_owned());
        }
        names
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}

impl Weights<Source> {
    /// Brings every file and tells where they lie.
    ///
    /// # Errors
    /// The first that cannot be had.
    pub async fn fetch(&self, puller: &Puller) -> Result<Weights<PathBuf>, PullError> {
        let mut paths = BTreeMap::new();
        match self {
            Self::One(source) => return puller.fetch(source).await.map(Weights::One),
            Self::Several(sources) => {
                for (key, source) in sources {
                    paths.insert(key.clone(), puller.fetch(source).await?);
                }
            }
        }
        Ok(Weights::Several(paths))
    }

    /// True if the model needs ONNX Runtime: one of its files is in that format, by its name.
    pub fn are_onnx(&self, manifest: &Manifest) -> bool {
        self.iter().any(|source| source.file(manifest).extension().is_some_and(|extension| extension == "onnx"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::manifest::EMBEDDED;

    fn weights(toml: &str) -> Result<Weights, toml::de::Error> {
        #[derive(Deserialize)]
        struct Table {
            weights: Weights,
        }
        toml::from_str::<Table>(toml).map(|table| table.weights)
    }

    #[test]
    fn a_model_has_one_file_or_several() {
        assert_eq!(weights("weights = \"a\"").unwrap(), Weights::One("a".to_owned()));
        let several = weights("weights = { read = \"b\", classify = \"a\" }").unwrap();
        assert_eq!(several.iter().collect::<Vec<_>>(), ["a", "b"]);
        let error = weights("weights = 3").unwrap_err().to_string();
        assert!(error.contains("a name, or a table of names"), "{error}");
    }

    #[test]
    fn models_in_onnx_format_are_told_by_their_files() {
        let manifest = Manifest::parse(EMBEDDED).unwrap();
        let are_onnx = |toml| weights(toml).unwrap().sources(Path::new("/b"), &manifest).unwrap().are_onnx(&manifest);
        assert!(are_onnx("weights = \"voice-joe\""));
        assert!(are_onnx("weights = { a = \"x.json\", b = \"./mine.onnx\" }"));
        assert!(are_onnx("weights = \"hub:org/repo/onnx/model.onnx\""));
        assert!(!are_onnx("weights = \"smollm2-135m\""));
    }

    #[test]
    fn what_is_fetched_ahead_has_onnx_runtime_where_a_model_needs_it() {
        let manifest = Manifest::parse(EMBEDDED).unwrap();
        let needs = |toml| weights(toml).unwrap().needs(Path::new("/b"), &manifest);
        assert_eq!(needs("weights = { a = \"voice-joe\" }"), ["voice-joe", ONNX_RUNTIME]);
        assert_eq!(needs("weights = \"smollm2-135m\""), ["smollm2-135m"]);
        assert_eq!(needs("weights = \"nothing-like-it\""), ["nothing-like-it"]);
    }
}
