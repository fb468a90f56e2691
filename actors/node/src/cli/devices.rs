//! `megabrain devices`: what can models live on?

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use megabrain_schemas::Name;

use crate::cli::Globals;
use crate::node::actor_program;

/// The actor that knows: it is the one that holds ggml's backends.
const ACTOR: &str = "llm";

/// Show what models can live on: memory and graphics cards.
///
/// Needs no running brain. Cards show if their backend is there: `make backend-cuda`, `backend-vulkan`, `backend-hip`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain devices\n  \
    megabrain devices --json | jq -r '.devices[].name'")]
pub struct DevicesArgs {}

pub(crate) async fn run(_: DevicesArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let path = actor_program(&Name::sanitized(ACTOR))?;
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
