//! What does an actor's own program say? What there is to live on, whether settings can be used, what a model would take.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::cards::Unusable;
use super::machine::Device;
use super::need::Share;

/// The answer of `megabrain-llm --devices --json`.
#[derive(Deserialize)]
pub(super) struct Listing {
    pub(super) devices: Vec<Device>,
    pub(super) backends: Vec<String>,
    pub(super) unusable: Vec<Unusable>,
}

/// The answer of `megabrain-llm --estimate --json`.
#[derive(Deserialize)]
struct Estimate {
    places: Vec<Share>,
}

/// Everything that models can live on.
pub(super) async fn devices(program: &Path) -> anyhow::Result<Listing> {
    said(program, ["--devices", "--json"]).await
}

/// What a language model with these settings would take, where.
pub(super) async fn estimate(program: &Path, settings: &str) -> anyhow::Result<Vec<Share>> {
    let estimate: Estimate = said(program, ["--estimate", "--json", "--config", settings]).await?;
    Ok(estimate.places)
}

/// Fails, with the actor's own words, for settings that it cannot use.
pub(super) async fn check(program: &Path, model: &str, settings: &str) -> anyhow::Result<()> {
    run(program, ["--check", "--name", model, "--config", settings]).await.map(drop)
}

async fn said<T: DeserializeOwned>(program: &Path, arguments: impl IntoIterator<Item = &str>) -> anyhow::Result<T> {
    let output = run(program, arguments).await?;
    serde_json::from_slice(&output.stdout).with_context(|| program.display().to_string())
}

async fn run(program: &Path, arguments: impl IntoIterator<Item = &str>) -> anyhow::Result<Output> {
    let output = Command::new(program).args(arguments.into_iter().map(OsStr::new)).kill_on_drop(true).output().await;
    let output = output.with_context(|| program.display().to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    match told.trim().lines().last() {
        Some(line) => bail!("{line}"),
        None => bail!("{}: {}", program.display(), output.status),
    }
}
