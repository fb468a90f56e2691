//! `megabrain demo`: what does a brain do, in one minute?

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use megabrain_bus::Bus;
use megabrain_schemas::{Ask, Media, Name, Policy};

use crate::brain::Brain;
use crate::cli::{self, timeline};
use crate::connection::Role;
use crate::node::Node;
use crate::pull::{Options, Puller, Reporter, cache_dir};

/// Start the brain, ask it a spoken question, then about a film, show who works on what, stop.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// The brain file [default: ./megabrain.toml, or else the starter brain].
    #[arg(value_name = "FILE")]
    brain_file: Option<PathBuf>,
    /// What is asked: a sound file with a spoken question.
    #[arg(long, value_name = "SOUND", default_value = "tests/media/question.wav")]
    clip: PathBuf,
    /// What is watched.
    #[arg(long, value_name = "FILM", default_value = "tests/media/film.mp4")]
    film: PathBuf,
    /// What is asked about the film.
    #[arg(long, value_name = "TEXT", default_value = "What is shown while she says that her brother wants to sleep?")]
    question: String,
    /// Where the timeline of the film is drawn [default: timeline.svg in the cache folder].
    #[arg(long, value_name = "FILE.svg")]
    timeline: Option<PathBuf>,
}

/// Runs the demonstration.
///
/// # Errors
/// The brain does not come up, or a question is not answered.
pub async fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let clip = read("--clip", &args.clip)?;
    let film = read("--film", &args.film)?;
    let brain = Brain::load(args.brain_file.as_deref())?;
    let puller = Arc::new(Puller::new(Options::from_env(), Reporter::auto())?);
    let node = Node::start(&brain, puller).await?;
    let shown = show(&node, args, clip, film).await;
    node.stop(Duration::from_secs(2)).await;
    shown.map(|()| ExitCode::SUCCESS)
}

fn read(option: &str, path: &Path) -> anyhow::Result<Media> {
    let bytes = std::fs::read(path).with_context(|| format!("{option} {}", path.display()))?;
    let mime = infer::get(&bytes).map_or("application/octet-stream", |kind| kind.mime_type());
    Ok(Media::inline(mime, bytes))
}

async fn show(node: &Node, args: &DemoArgs, clip: Media, film: Media) -> anyhow::Result<()> {
    let down = node.settled(2, |presence| println!("{}", crate::up::line(presence))).await;
    if let Some(presence) = down.into_iter().next() {
        anyhow::bail!("model {} does not come up: {}", presence.model, presence.reason.unwrap_or_default());
    }
    let bus = node.connection.connect(Role::Client, "demo", false).await?;
    hear(&bus, &args.clip, clip).await?;
    watch(&bus, args, film).await
}

async fn hear(bus: &Bus, path: &Path, clip: Media) -> anyhow::Result<()> {
    println!("\nasking about {}: Whisper hears it, both language models answer side by side\n", path.display());
    let ask =
        Ask { models: Some(vec![Name::new("deep")?, Name::new("fast")?]), policy: Policy::All, ..question(None, clip) };
    cli::ask_and_show(bus, ask, &titles(path)).await.map(drop)
}

async fn watch(bus: &Bus, args: &DemoArgs, film: Media) -> anyhow::Result<()> {
    let (path, text) = (&args.film, &args.question);
    println!("\nasking about {}: its pictures are seen while its sound is heard. {text}\n", path.display());
    let ask = Ask { models: Some(vec![Name::new("deep")?]), ..question(Some(text), film) };
    let titles = titles(path);
    let reply = cli::ask_and_show(bus, ask, &titles).await?;
    let drawn = args.timeline.clone().unwrap_or_else(|| cache_dir().join("timeline.svg"));
    timeline::write(&drawn, &reply.evidence, &titles)
}

fn question(text: Option<&str>, attachment: Media) -> Ask {
    Ask {
        text: text.map(str::to_owned),
        attachments: vec![attachment],
        stream: true,
        max_tokens: Some(96),
        temperature: Some(0.0),
        ..Ask::default()
    }
}

fn titles(path: &Path) -> Vec<String> {
    let name = path.file_name().unwrap_or(path.as_os_str());
    vec![name.to_string_lossy().into_owned()]
}
