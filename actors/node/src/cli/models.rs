//! `megabrain models`: which models are there, where, and how do they do?

use std::process::ExitCode;

use clap::Args;
use megabrain_bus::Bus;
use megabrain_schemas::Presence;

use crate::cli::survey::Survey;
use crate::cli::{Globals, output, session};

/// Clears a terminal and goes to its top left.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Show every model: state, device, memory, load.
///
/// Asks whoever is on the bus and listens for a second: so it works from any machine, and shows models that nobody
/// configured here.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain models\n  \
    megabrain models --watch\n  \
    megabrain models --json | jq -r '.[] | select(.state == \"ready\") | .model'")]
pub struct ModelsArgs {
    /// Go on, until Ctrl-C; with --json one line a second
    #[arg(short, long)]
    watch: bool,
}

pub(crate) async fn run(args: ModelsArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let bus = session::connect(globals).await?;
    session::until_interrupted(&bus, show(&bus, args.watch, globals.json)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn show(bus: &Bus, again: bool, is_json: bool) -> anyhow::Result<()> {
    loop {
        let survey = Survey::take(bus).await?;
        if again && !is_json && output::terminal().is_some() {
            output::part(CLEAR)?;
        }
        output::line(if is_json { as_json(&survey)? } else { as_table(&survey) })?;
        if !again {
            return Ok(());
        }
    }
}

fn as_json(survey: &Survey) -> serde_json::Result<String> {
    serde_json::to_string(&survey.models.values().collect::<Vec<&Presence>>())
}

fn as_table(survey: &Survey) -> String {
    let table = survey.table();
    if table.is_empty() { "no model is on this bus".to_owned() } else { table.render(output::width()) }
}
