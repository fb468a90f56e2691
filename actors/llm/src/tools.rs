//! What else can this program do, without a bus?

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use serde::Serialize;

use crate::bare::{self, Plan};
use crate::config::{Config, Experts};
use crate::devices;
use crate::estimate::Estimate;
use crate::load::Native;

/// Tools of a language model's program: what it would take, what there is, how fast it is. Without one of `--bare`,
/// `--devices`, `--estimate` the program is a model actor.
#[derive(Debug, Parser)]
#[command(name = "megabrain-llm", version)]
struct Arguments {
    /// Lists what a model can live on.
    #[arg(long, group = "tool")]
    devices: bool,
    /// Tells how much memory a model would take, and where, without loading it.
    #[arg(long, group = "tool", requires = "model")]
    estimate: bool,
    /// Measures the model in a plain loop, without a bus and without our engine.
    #[arg(long, group = "tool", requires = "model")]
    bare: bool,
    /// The GGUF file.
    #[arg(long, value_name = "FILE", group = "model")]
    weights: Option<PathBuf>,
    /// Everything about the model as a JSON object, its table of the brain file; the flags about it do not count then.
    #[arg(long, value_name = "JSON", group = "model")]
    config: Option<String>,
    /// Where it lives: auto, ram, cuda0 …
    #[arg(long, default_value = "auto")]
    device: String,
    /// Where the experts of a mixture-of-experts model live.
    #[arg(long, default_value = "device")]
    experts: Experts,
    /// Layers on the card [default: all].
    #[arg(long)]
    gpu_layers: Option<u32>,
    /// Tokens of a conversation [default: the model's, at most 4096].
    #[arg(long)]
    context: Option<u32>,
    /// Conversations at the same time, for the estimate [default: 4].
    #[arg(long)]
    slots: Option<u32>,
    /// Tokens to write, with --bare.
    #[arg(long, default_value_t = 256)]
    tokens: usize,
    /// Sequences at the same time, with --bare.
    #[arg(long, default_value_t = 1)]
    sequences: usize,
    /// Threads to compute on [default: all cores].
    #[arg(long)]
    threads: Option<usize>,
    /// The text to continue, with --bare.
    #[arg(long, default_value = "Once upon a time there was")]
    prompt: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the tool that the command line asks for. None if it asks for none: then this process is a model.
pub(crate) fn run() -> Option<ExitCode> {
    let is_tool = |argument: String| ["--bare", "--devices", "--estimate"].contains(&argument.as_str());
    if !std::env::args().any(is_tool) {
        return None;
    }
    let arguments = Arguments::parse();
    match print(&arguments) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("megabrain-llm: {error:#}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn print(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.devices {
        return print_devices(arguments.json);
    }
    let config = arguments.config()?;
    if arguments.estimate {
        return print_estimate(&config, arguments.json);
    }
    print_bare(arguments, config)
}

impl Arguments {
    fn config(&self) -> anyhow::Result<Config> {
        if let Some(json) = &self.config {
            return serde_json::from_str(json).context("--config");
        }
        let weights = self.weights.clone().context("give --weights or --config")?;
        let defaults = Config::of_weights(weights);
        Ok(Config {
            device: self.device.clone(),
            experts: self.experts,
            gpu_layers: self.gpu_layers,
            context: self.context,
            slots: self.slots.unwrap_or(defaults.slots),
            ..defaults
        })
    }
}

/// The answer of `--devices --json`.
#[derive(Serialize)]
struct Devices {
    devices: Vec<devices::Device>,
    backends: Vec<&'static str>,
    unusable: Vec<devices::Unusable>,
}

fn print_devices(json: bool) -> anyhow::Result<()> {
    let native = Native::start(None, devices::Cards::Load)?;
    let found = Devices {
        devices: devices::devices(),
        backends: devices::loaded_cards(),
        unusable: native.unusable().to_vec(),
    };
    if json {
        return print_json(&found);
    }
    println!("{:<10} {:<10} {:>9} {:>9}  description", "device", "backend", "free", "total");
    for device in &found.devices {
        let (free, total) = (size(device.memory_free_bytes), size(device.memory_total_bytes));
        println!("{:<10} {:<10} {free:>9} {total:>9}  {}", device.name, device.backend, device.description);
    }
    for backend in &found.unusable {
        println!("not usable: {}: {}", backend.path.display(), backend.reason);
    }
    Ok(())
}

fn print_estimate(config: &Config, json: bool) -> anyhow::Result<()> {
    let native = Native::start_for(config)?;
    let device = native.place(config)?;
    let estimate = Estimate::of(&native, config, &device)?;
    if json {
        return print_json(&estimate);
    }
    println!("{} slots of {} tokens", estimate.slots, estimate.context);
    println!("{:<10} {:>9} {:>9} {:>9} {:>9} {:>9}", "place", "weights", "kv", "compute", "total", "free");
    for share in &estimate.places {
        println!(
            "{:<10} {:>9} {:>9} {:>9} {:>9} {:>9}",
            share.place,
            size(share.weights_bytes),
            size(share.kv_bytes),
            size(share.compute_bytes),
            size(share.total_bytes),
            size(share.free_bytes)
        );
    }
    Ok(())
}

fn print_bare(arguments: &Arguments, config: Config) -> anyhow::Result<()> {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let report = bare::run(&Plan {
        config,
        prompt: arguments.prompt.clone(),
        tokens: arguments.tokens,
        sequences: arguments.sequences,
        threads: arguments.threads.unwrap_or_else(cores),
    })?;
    if arguments.json {
        return print_json(&report);
    }
    println!("{report}");
    Ok(())
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

fn size(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 10_240.0 { format!("{mebibytes:.0} MiB") } else { format!("{:.1} GiB", mebibytes / 1024.0) }
}
