//! How does a file come from the Hugging Face hub? With `hf-hub`, which resumes from what lies in `downloads/hub`.
//!
//! `hf-hub` blocks and knows no time limits, so each call runs on a thread of its own, which is left behind if it stalls
//! (a thread of the runtime could not be: the runtime's end would wait for it).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Repo, RepoType};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::manifest::HubFile;
use super::progress::Meter;
use super::store::size_of;

/// How long the hub has to say anything at all before it counts as out of reach.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Failures in a row without a byte of progress.
const ATTEMPTS: u32 = 6;

/// What went wrong between the hub and this machine.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    /// No answer from the hub within three seconds.
    #[error("the hub cannot be reached")]
    Unreachable,
    /// The hub answered with an HTTP status that trying again does not change.
    #[error("the hub answers {0}{hint}", hint = match .0 { 401 | 403 => "; HF_TOKEN must be a token that may read it", _ => "" })]
    Status(u16),
    /// The hub's file is not the one that the manifest or the hub itself promises.
    #[error("{0}")]
    Mismatch(String),
    /// No byte for as long as [`super::Options::stall_limit`].
    #[error("the hub sent nothing for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The transfer failed again and again.
    #[error("{0}")]
    Transfer(String),
}

impl HubError {
    fn is_final(&self) -> bool {
        !matches!(self, Self::Transfer(_))
    }
}

impl From<ApiError> for HubError {
    fn from(error: ApiError) -> Self {
        let status = match &error {
            ApiError::RequestError(request) => match **request {
                ureq::Error::StatusCode(status) => Some(status),
                _ => None,
            },
            _ => None,
        };
        match status {
            Some(status) if status < 500 && status != 408 && status != 429 => Self::Status(status),
            _ => Self::Transfer(error.to_string()),
        }
    }
}

/// What the hub says about a file before it sends it.
#[derive(Debug, Clone)]
pub(super) struct Description {
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) commit: String,
}

impl Description {
    /// The content's SHA-256, where the hub tells it: for every large file, not for small texts.
    pub(super) fn sha256(&self) -> Option<&str> {
        let is_digest = self.etag.len() == 64 && self.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then_some(self.etag.as_str())
    }
}

/// A hub and the folder where its downloads grow.
#[derive(Debug, Clone)]
pub(super) struct Hub {
    pub(super) endpoint: Option<String>,
    pub(super) token: Option<String>,
    pub(super) folder: PathBuf,
    pub(super) stall_limit: Duration,
}

impl Hub {
    /// Tells whether anything answers for `file`, whatever it answers.
    pub(super) async fn is_reachable(&self, file: &HubFile) -> bool {
        let Ok(api) = self.api() else { return false };
        let url = api.repo(repo(file)).url(&file.file);
        let probe = background(move || {
            let config = ureq::Agent::config_builder()
                .timeout_global(Some(PROBE_LIMIT))
                .max_redirects(0)
                .http_status_as_error(false)
                .build();
            ureq::Agent::from(config).head(&url).call().is_ok()
        });
        matches!(timeout(PROBE_LIMIT, probe).await, Ok(Ok(true)))
    }

    /// Asks for size, etag and commit of a file.
    pub(super) async fn describe(&self, file: &HubFile) -> Result<Description, HubError> {
        let api = self.api()?;
        let repo = api.repo(repo(file));
        let url = repo.url(&file.file);
        let ask = background(move || api.metadata(&url));
        let answer = timeout(self.stall_limit, ask).await.map_err(|_| HubError::Stalled(self.stall_limit))?;
        let metadata = answer.map_err(|error| HubError::Transfer(error.to_string()))??;
        let description = Description {
            size: metadata.size() as u64,
            etag: metadata.etag().to_owned(),
            commit: metadata.commit_hash().to_owned(),
        };
        // both become file names in hf-hub's cache
        let sound =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !sound(description.etag.trim_start_matches("W/")) || !sound(&description.commit) {
            return Err(HubError::Mismatch(format!(
                "the hub describes {} with an etag or commit that is none",
                file.file
            )));
        }
        Ok(description)
    }

    /// Tells whether an earlier run left a part of the file.
    pub(super) fn has_part(&self, file: &HubFile, about: &Description) -> bool {
        let blob = self.blob(file, &about.etag);
        blob.exists() || blob.with_extension("part").exists()
    }

    /// How many bytes of the file an earlier run left.
    pub(super) fn kept(&self, file: &HubFile, etag: &str) -> u64 {
        let blob = self.blob(file, etag);
        size_of(&blob).or_else(|| size_of(&blob.with_extension("part"))).unwrap_or(0)
    }

    /// Brings a file, going on where an earlier run stopped, and gives its place in `folder`. The caller checks it, moves
    /// it away, and calls [`Hub::forget`]. Dropping the future leaves the transfer running until the process ends.
    pub(super) async fn download(
        &self,
        file: &HubFile,
        about: &Description,
        meter: Arc<Meter>,
    ) -> Result<PathBuf, HubError> {
        let blob = self.blob(file, &about.etag);
        let part = blob.with_extension("part");
        let mut failures = 0;
        loop {
            // stopped between the last byte and the file's place: hf-hub would ask for a range of nothing
            if let Some(whole) = [&blob, &part].into_iter().find(|path| size_of(path) == Some(about.size)) {
                return Ok(whole.clone());
            }
            if size_of(&part) > Some(about.size) {
                self.forget(file, about);
            }
            let before = size_of(&part);
            let Err(error) = self.attempt(file, &meter).await else { return Ok(blob) };
            if error.is_final() {
                return Err(error);
            }
            failures = if size_of(&part) > before { 1 } else { failures + 1 };
            if failures == ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(file = file.file, %error, "the transfer broke, resuming");
            sleep(Duration::from_secs(1 << (failures - 1)).min(Duration::from_secs(15))).await;
        }
    }

    /// One request for all that is missing, given up when no byte came for the stall limit.
    async fn attempt(&self, file: &HubFile, meter: &Arc<Meter>) -> Result<(), HubError> {
        let api = self.api()?;
        let (repo, name) = (repo(file), file.file.clone());
        let moved = Arc::new(AtomicU64::new(0));
        let progress = Advance { done: 0, begun: false, moved: Arc::clone(&moved), meter: Arc::clone(meter) };
        let transfer = background(move || api.repo(repo).download_with_progress(&name, progress).map(drop));
        tokio::pin!(transfer);
        loop {
            let seen = moved.load(Ordering::Relaxed);
            match timeout(self.stall_limit, &mut transfer).await {
                Ok(Ok(result)) => return result.map_err(HubError::from),
                Ok(Err(error)) => return Err(HubError::Transfer(error.to_string())),
                Err(_) if moved.load(Ordering::Relaxed) == seen => return Err(HubError::Stalled(self.stall_limit)),
                Err(_) => {}
            }
        }
    }

    /// Deletes what is kept of a file, and the repository's folder if nothing else grows there.
    pub(super) fn forget(&self, file: &HubFile, about: &Description) {
        let (blob, repository) = (self.blob(file, &about.etag), self.repository(file));
        for extension in ["", "part", "lock"] {
            let _ = fs::remove_file(blob.with_extension(extension));
        }
        // hf-hub's links to the blob: it refuses to make them twice
        let _ = fs::remove_dir_all(repository.join("snapshots"));
        let _ = fs::remove_dir_all(repository.join("refs"));
        for folder in [&repository.join("blobs"), &repository, &self.folder] {
            let _ = fs::remove_dir(folder);
        }
    }

    fn repository(&self, file: &HubFile) -> PathBuf {
        self.folder.join(repo(file).folder_name())
    }

    fn blob(&self, file: &HubFile, etag: &str) -> PathBuf {
        self.repository(file).join("blobs").join(etag)
    }

    fn api(&self) -> Result<Api, HubError> {
        let mut builder = ApiBuilder::from_cache(hf_hub::Cache::new(self.folder.clone()))
            .with_token(self.token.clone())
            .with_progress(false)
            .with_retries(0) // its own retries append from the start when the first request fails; ours do not
            .with_user_agent("megabrain", env!("CARGO_PKG_VERSION"));
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        builder.build().map_err(HubError::from)
    }
}

fn repo(file: &HubFile) -> Repo {
    Repo::with_revision(file.repo.clone(), RepoType::Model, file.revision.clone())
}

/// What `hf-hub` calls as bytes arrive.
struct Advance {
    done: u64,
    begun: bool,
    moved: Arc<AtomicU64>,
    meter: Arc<Meter>,
}

impl Progress for Advance {
    fn init(&mut self, _: usize, _: &str) {
        self.begun = false;
    }

    /// The first call after `init` has what was there before.
    fn update(&mut self, size: usize) {
        self.done = if self.begun { self.done + size as u64 } else { size as u64 };
        self.begun = true;
        self.moved.fetch_add(1, Ordering::Relaxed);
        self.meter.at(self.done);
    }

    fn finish(&mut self) {}
}

/// Runs blocking work on a thread of its own.
pub(super) async fn background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("pull".to_owned()).spawn(move || sender.send(work()).ok())?;
    receiver.await.map_err(|_| io::Error::other("the thread that worked on it died"))
}
