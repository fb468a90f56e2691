//! `megabrain demo`: what does a brain do, in one minute?

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use megabrain_schemas::{Ask, Media, Name, Policy};

use crate::brain::Brain;
use crate::cli;
use crate::connection::Role;
use crate::node::Node;
use crate::pull::{Options, Puller, Reporter};

/// Start the brain, ask it about a spoken question, show who works on what, stop.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// The brain file [default: ./megabrain.toml, or else the starter brain].
    #[arg(value_name = "FILE")]
    brain_file: Option<PathBuf>,
    /// What is asked: a sound file with a spoken question.
    #[arg(long, value_name = "SOUND", default_value = "tests/media/question.wav")]
    clip: PathBuf,
}

/// Runs the demonstration.
///
/// # Errors
/// The brain does not come up, or the question is not answered.
pub async fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let clip = std::fs::read(&args.clip).with_context(|| format!("--clip {}", args.clip.display()))?;
    let brain = Brain::load(args.brain_file.as_deref())?;
    let puller = Arc::new(Puller::new(Options::from_env(), Reporter::auto())?);
    let node = Node::start(&brain, puller).await?;
    let shown = show(&node, &args.clip, clip).await;
    node.stop(Duration::from_secs(2)).await;
    shown.map(|()| ExitCode::SUCCESS)
}

async fn show(node: &Node, path: &Path, clip: Vec<u8>) -> anyhow::Result<()> {
    let down = node.settled(2, |presence| println!("{}", crate::up::line(presence))).await;
    if let Some(presence) = down.into_iter().next() {
        anyhow::bail!("model {} does not come up: {}", presence.model, presence.reason.unwrap_or_default());
    }
    println!("\nasking about {}: Whisper hears it, both language models answer side by side\n", path.display());
    let bus = node.connection.connect(Role::Client, "demo", false).await?;
    let mime = infer::get(&clip).map_or("audio/wav", |kind| kind.mime_type()).to_owned();
    let ask = Ask {
        attachments: vec![Media::inline(mime, clip)],
        models: Some(vec![Name::new("deep")?, Name::new("fast")?]),
        policy: Policy::All,
        stream: true,
        max_tokens: Some(96),
        temperature: Some(0.0),
        ..Ask::default()
    };
    cli::ask_and_show(&bus, ask).await?;
    Ok(())
}
