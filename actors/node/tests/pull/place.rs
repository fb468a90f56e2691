//! Where does a test pull to? A cache folder, a manifest and a Python of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use megabrain_node::pull::{Event, Options, PullError, Puller, Reporter, Source, Stage};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::hub::COMMIT;

/// A hub that has the artefact `small`, and no other source of it.
pub(crate) const HUB_ONLY: &str = "";
/// A hub and, behind it, a registry.
pub(crate) const HUB_AND_REGISTRY: &str = "registry = { packages = [\"none==0.0.0\"], members = [\"none\"] }";

/// Stands in for `python3 pull.py NAME --cache DIR --progress json`.
pub(crate) const BRINGS_IT: &str = r#"
mkdir -p "$4"
cp "$(dirname "$0")/right" "$4/small.gguf"
cp "$(dirname "$0")/right.ok" "$4/small.gguf.ok"
echo '{"name": "small", "stage": "prepare", "done": 0, "total": 4242}'
echo '{"name": "small", "stage": "prepare", "done": 4242, "total": 4242}'
"#;

/// What `small` is.
pub(crate) fn content() -> Vec<u8> {
    (0..1_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

pub(crate) fn sha256(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}

pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) options: Options,
}

impl Place {
    /// A fresh cache, and a manifest of an artefact `small`, which the hub has and `other_source` too, and `made` of it.
    pub(crate) fn new(hub: &str, other_source: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut options = Options::from_variables(|_| None);
        options.cache = folder.path().join("cache");
        options.endpoint = Some(hub.to_owned());
        let common = "kind = \"model\"\nabout = \"\"\nlicence = \"MIT\"\nstarter = false\n";
        options.manifest = format!(
            "version = 1\n[[artefact]]\nname = \"small\"\nfile = \"small.gguf\"\nsize = {}\nsha256 = \"{sha256}\"\n{common}\
             hub = {{ repo = \"org/repo\", file = \"small.gguf\", revision = \"{COMMIT}\" }}\n{other_source}\n\
             [[artefact]]\nname = \"made\"\nfile = \"made.gguf\"\nsize = 1\nsha256 = \"{sha256}\"\n{common}\
             derived = {{ from = \"small\", prepare = \"upcycle.py\" }}\n",
            content().len(),
            sha256 = sha256(&content()),
        );
        Self { folder, options }
    }

    pub(crate) fn models(&self) -> PathBuf {
        self.options.cache.join("models")
    }

    pub(crate) fn puller(&self) -> Puller {
        Puller::new(self.options.clone(), Reporter::silent()).unwrap()
    }

    pub(crate) async fn pull(&self) -> Result<PathBuf, PullError> {
        pull(&self.options, Reporter::silent()).await
    }

    /// The options with a shell script for Python.
    pub(crate) fn with_python(&self, script: &str) -> Options {
        let python = self.folder.path().join("python3");
        fs::write(self.folder.path().join("right"), content()).unwrap();
        fs::write(self.folder.path().join("right.ok"), sha256(&content())).unwrap();
        fs::write(&python, format!("#!/bin/sh\nset -e\n{script}")).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        Options { python, ..self.options.clone() }
    }

    /// Puts what an earlier run would have left of a download.
    pub(crate) fn leave_part(&self, part: &[u8]) {
        let blobs = self.models().join("downloads/hub/models--org--repo/blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{}.part", sha256(&content()))), part).unwrap();
    }
}

/// Brings the artefact `small`.
pub(crate) async fn pull(options: &Options, reporter: Reporter) -> Result<PathBuf, PullError> {
    fetch(&Puller::new(options.clone(), reporter).unwrap(), "small", Path::new("")).await
}

/// Brings what a brain file in the folder `base` calls so.
pub(crate) async fn fetch(puller: &Puller, name: &str, base: &Path) -> Result<PathBuf, PullError> {
    puller.fetch(&Source::parse(name, base, puller.manifest())?).await
}

#[derive(Default)]
pub(crate) struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    pub(crate) fn reporter(&self) -> Reporter {
        let seen = Arc::clone(&self.0);
        Reporter::events(move |event| seen.lock().unwrap().push(event.clone()))
    }

    pub(crate) fn first(&self, stage: Stage) -> Event {
        self.0.lock().unwrap().iter().find(|event| event.stage == stage).unwrap().clone()
    }
}
