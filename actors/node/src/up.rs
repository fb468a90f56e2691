//! `megabrain up`: how does a brain run in the foreground?

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use bytesize::ByteSize;
use clap::Args;
use megabrain_schemas::{ModelState, Presence};
use tokio::signal::unix::{SignalKind, signal};

use crate::brain::Brain;
use crate::check::{self, PlanArgs};
use crate::cli::Globals;
use crate::node::Node;
use crate::pull::{Options, Puller, Reporter};

/// A model that fails so often at the start is not waited for any more.
const TRIES: u32 = 3;

/// Start a brain: its bus, its router, its doors and all its models; stay until Ctrl-C.
///
/// What is missing (nats-server, models) is fetched first, with progress. Without NATS_URL the brain starts a bus of its
/// own on the loopback; other commands find it by themselves, other programs with `eval "$(megabrain env)"`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  megabrain up                          the brain of ./megabrain.toml, or else the starter brain\n  \
    megabrain up other.toml --check       what would it need? As `megabrain plan` shows\n  \
    NATS_URL=nats://10.0.0.2:4222 megabrain up second.toml\n                                        join the bus of another machine"
)]
pub struct UpArgs {
    /// The brain file [default: ./megabrain.toml, or else the starter brain].
    #[arg(value_name = "FILE")]
    brain_file: Option<PathBuf>,
    /// Start nothing: say what the brain would need, and whether this machine has it, as `megabrain plan` does.
    #[arg(long)]
    check: bool,
    /// Log lines as JSON.
    #[arg(long, env = "MEGABRAIN_LOG_JSON")]
    pub log_json: bool,
}

/// Runs the brain until SIGINT or SIGTERM, then drains and stops it. A second signal stops at once.
///
/// # Errors
/// The brain file, the bus.
pub async fn run(args: &UpArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    if args.check {
        let plan = PlanArgs { brain_file: args.brain_file.clone() };
        return check::run(&plan, globals).await;
    }
    let brain = Brain::load(args.brain_file.as_deref())?;
    let puller = Arc::new(Puller::new(Options::from_env(), Reporter::auto())?);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let began = Instant::now();
    let drain = brain.brain.drain;
    let node = tokio::select! {
        node = Node::start(&brain, puller) => node?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };
    println!("bus      {} ({})", node.connection.url, whose(&node));
    println!("node     {} (process {})", brain.brain.name, std::process::id());
    match node.http() {
        Some(Ok(address)) => println!("http     http://{address}"),
        Some(Err(error)) => println!("http     none: {error}"),
        None => {}
    }
    tokio::select! {
        () = tell_coming_up(&node, began) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    println!("stopping: what runs is finished first (Ctrl-C again: at once)");
    tokio::select! {
        () = node.stop(drain) => {}
        // Every child dies with this process.
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    }
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Prints how the models come up, until each of them serves or has been given up on for now; never returns.
async fn tell_coming_up(node: &Node, began: Instant) {
    let mut told = BTreeSet::new();
    // What is tried again in vain says the same each time: once is enough.
    let tell = |presence: &Presence| {
        let line = line(presence);
        if told.insert(line.clone()) {
            println!("{line}");
        }
    };
    let down = node.settled(TRIES, tell).await;
    let ready = node.instances().len() - down.len();
    println!("ready    {ready} models in {:.1} s; Ctrl-C stops", began.elapsed().as_secs_f64());
    if !down.is_empty() {
        let names: Vec<&str> = down.iter().map(|presence| presence.model.as_str()).collect();
        println!("down     {}: tried again with growing delay", names.join(", "));
    }
    std::future::pending().await
}

fn whose(node: &Node) -> String {
    match node.published() {
        Some(path) => format!("our own; address and passwords in {}", path.display()),
        None => "joined: NATS_URL, or `url` in [bus], names it".to_owned(),
    }
}

/// One line about one instance: what, where, with what memory.
pub fn line(presence: &Presence) -> String {
    let Presence { model, actor, .. } = presence;
    match presence.state {
        ModelState::Ready => {
            let device = presence.device.as_deref().map(|device| format!(" on {device}")).unwrap_or_default();
            let slots = presence.slots;
            let memory = ByteSize::b(presence.memory_bytes).display().iec();
            format!("ready    {model}: {actor}{device}, {memory} resident, {slots} slots, process {}", presence.pid)
        }
        ModelState::Starting => format!("starting {model}: {actor}"),
        ModelState::Loading => format!("loading  {model}: {actor}"),
        ModelState::Draining => format!("draining {model}"),
        ModelState::Backoff | ModelState::Failed => {
            format!("down     {model}: {}", presence.reason.as_deref().unwrap_or("no reason known"))
        }
    }
}
