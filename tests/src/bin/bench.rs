//! `make bench`: how much does a brain cost over its bare parts, and is it fair?
//!
//! Every figure is a ratio measured in one run on one machine: bare and ours in turns, and the median of the rounds. A
//! bound that is missed is printed as such and fails nothing, so that all figures stay visible.

#[path = "../bench/bare.rs"]
mod bare;
#[path = "../bench/bare_doors.rs"]
mod bare_doors;
#[path = "../bench/bus.rs"]
mod bus;
#[path = "../bench/doors.rs"]
mod doors;
#[path = "../bench/durable.rs"]
mod durable;
#[path = "../bench/fair.rs"]
mod fair;
#[path = "../bench/film.rs"]
mod film;
#[path = "../bench/memory.rs"]
mod memory;
#[path = "../bench/models.rs"]
mod models;
#[path = "../bench/report.rs"]
mod report;
#[path = "../bench/speech.rs"]
mod speech;
#[path = "../bench/vision.rs"]
mod vision;

use clap::{Parser, ValueEnum};
use megabrain_tests::Brain;

use report::Report;

/// Measures a brain of its own against its bare parts, and prints each figure beside its bound.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    section: Section,
    /// Fewer and shorter rounds: a glance, not a verdict.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Hops: latency, throughput, join, 10,000 in flight.
    Bus,
    /// Memory of node and echo at rest.
    Memory,
    /// Language models and Whisper against their bare loops, and the time to come up.
    Models,
    /// How busy models share the cores.
    Fair,
    /// HTTP: first text, many streams, and answers a second against bare axum, by `wrk`. Not part of `all`.
    Doors,
    /// Durable jobs while everything is killed.
    Durable,
    /// Films: fan-out and join. Part of `senses`.
    Film,
    /// Speech, against whisper.cpp called by Python. Part of `senses`.
    Speech,
    /// Pictures, against Python. Part of `senses`.
    Vision,
    /// All senses. Not part of `all`: it needs packages that `make bench-senses` installs.
    Senses,
    /// Everything but the senses.
    All,
}

impl Section {
    fn includes(self, other: Self) -> bool {
        let is_sense = matches!(other, Self::Film | Self::Speech | Self::Vision);
        self == other || (self == Self::All && !is_sense && other != Self::Doors) || (self == Self::Senses && is_sense)
    }
}

/// One thread, as the node and the command line have: what is compared shares it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some(bare::RESPONDER) => return bare::respond().await,
        Some(bare_doors::DOORS) => return bare_doors::serve().await,
        _ => {}
    }
    let arguments = Arguments::parse();
    // A brain is dropped, and by that ended, on whichever way out.
    tokio::select! {
        outcome = run(&arguments) => outcome,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { section, quick } = *arguments;
    let mut report = Report::begin(quick);
    if section.includes(Section::Memory) || section.includes(Section::Bus) {
        let mut brain = Brain::start("[models.echo]\nactor = \"echo\"\n").await;
        models::all_ready(&mut brain).await;
        if section.includes(Section::Memory) {
            memory::measure(&brain, &mut report).await?;
        }
        if section.includes(Section::Bus) {
            bus::measure(&brain, quick, &mut report).await?;
        }
        brain.stop();
    }
    if section.includes(Section::Models) {
        models::measure(quick, &mut report).await?;
    }
    if section.includes(Section::Fair) {
        fair::measure(quick, &mut report).await?;
    }
    if section.includes(Section::Doors) {
        doors::measure(quick, &mut report).await?;
    }
    if section.includes(Section::Durable) {
        durable::measure(quick, &mut report).await;
    }
    if section.includes(Section::Film) {
        film::measure(quick, &mut report).await?;
    }
    if section.includes(Section::Vision) {
        vision::measure(quick, &mut report).await?;
    }
    if section.includes(Section::Speech) {
        speech::measure(quick, &mut report).await?;
    }
    report.end();
    Ok(())
}
