//! `megabrain devices`: what can models live on?

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::cli::Globals;

/// The actor that knows: it is the one that holds ggml's backends.
const ACTOR: &str = "megabrain-llm";

/// Show what models can live on: memory and graphics cards.
///
/// Needs no running brain. Cards show if their backend is there: `make backend-cuda`, `backend-vulkan`, `backend-hip`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain devices\n  \
    megabrain devices --json | jq -r '.devices[].name'")]
pub struct DevicesArgs {}

pub(crate) async fn run(_: DevicesArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let own = std::env::current_exe().context("where this program lies is not known")?;
    let path = own.with_file_name(ACTOR);
    if !path.exists() {
        anyhow::bail!(
            "{} is not there: it belongs beside {} (`make build` builds both)",
            path.display(),
            own.display()
        );
    }
    let status = tokio::process::Command::new(&path)
        .arg("--devices")
        .args(globals.json.then_some("--json"))
        .status()
        .await
        .with_context(|| path.display().to_string())?;
    match status.code() {
        Some(0) => Ok(ExitCode::SUCCESS),
        Some(_) => Ok(ExitCode::FAILURE),
        None => anyhow::bail!("{} was ended: {status}", path.display()),
    }
}
