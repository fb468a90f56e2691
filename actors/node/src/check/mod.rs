//! `megabrain plan`, and `up --check`: what would a brain need, and does this machine have it?

mod actor;
mod balance;
mod bus;
mod cards;
mod doors;
mod machine;
mod need;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::brain::Brain;
use crate::cli::{Globals, output};
use crate::pull::{Options, Puller, Reporter};
use balance::Balance;
use bus::BusNeed;
use machine::Machine;
pub(crate) use machine::cards;
use need::Need;
use report::Report;

/// A hub that says nothing for so long is taken for out of reach: this is a look, not a download.
const PATIENCE: Duration = Duration::from_secs(5);

/// Show what a brain would need, and whether this machine has it; starts and fetches nothing.
///
/// Where each model would live, what it would take there, how much is still to be fetched, and what is missing. The exit
/// code is 0 if nothing is, else 1.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  megabrain plan                        the brain of ./megabrain.toml, or else the starter brain\n  \
    megabrain plan brains/workstation.toml\n  megabrain plan --json | jq -r '.missing[]'"
)]
pub struct PlanArgs {
    /// The brain file [default: ./megabrain.toml, or else the starter brain].
    #[arg(value_name = "FILE")]
    pub brain_file: Option<PathBuf>,
}

/// Prints what the brain would need, and what of that this machine does not have.
///
/// # Errors
/// The brain file; standard output cannot be written.
pub async fn run(args: &PlanArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let brain = Brain::load(args.brain_file.as_deref())?;
    let puller = Puller::new(Options { stall_limit: PATIENCE, ..Options::from_env() }, Reporter::silent())?;
    let machine = Machine::look(puller.folder()).await;
    let bus = BusNeed::of(&brain, &puller).await;
    let mut needs = Vec::new();
    for name in brain.models.keys() {
        needs.extend(Need::of(&brain, &puller, &machine, name).await);
    }
    let mut balance = Balance::of(&needs, &machine, bus.server.to_fetch);
    balance.missing.extend(bus.missing);
    balance.missing.extend(doors::missing(&brain));
    let report = Report::new(&brain, &machine, &needs, balance);
    if globals.json {
        output::line(serde_json::to_string(&report)?)?;
    } else {
        output::line(report.text(output::width()))?;
    }
    Ok(if report.fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
