//! What can a person say to a brain? One file per command; what they share is in `session`, `output` and `format`.
//!
//! This is the one place besides `main` where errors are `anyhow`: here they end, as a line on standard error, a hint
//! and an exit code: 1 for a fault, 2 for wrong usage, 130 for Ctrl-C.

mod ask;
mod ask_live;
mod ask_plain;
mod ask_summary;
mod chat;
mod devices;
mod embed;
mod env;
mod fault;
pub(crate) mod format;
mod key;
mod media;
mod models;
mod nats;
pub(crate) mod output;
mod render;
mod see;
mod session;
mod speak;
mod status;
mod survey;
pub(crate) mod table;
pub(crate) mod timeline;
mod transcribe;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use megabrain_schemas::Name;
use tracing::Instrument as _;

pub use ask::{AskArgs, ask_and_show};
pub use chat::ChatArgs;
pub use devices::DevicesArgs;
pub use embed::EmbedArgs;
pub use env::EnvArgs;
pub use fault::{Interrupted, Usage, report};
pub use key::KeyArgs;
pub use models::ModelsArgs;
pub use nats::{PubArgs, ReqArgs, SubArgs};
pub use see::SeeArgs;
pub use speak::SpeakArgs;
pub use status::StatusArgs;
pub use transcribe::TranscribeArgs;

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Globals {
    /// Which of the brains that run here; needed only if there are several
    // The id is not `brain`: commands have arguments of that name, and global ids are one namespace.
    #[arg(id = "brain_name", long = "brain", global = true, value_name = "NAME", help_heading = "Global options")]
    pub brain: Option<Name>,
    /// Print JSON, for programs
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
}

/// The commands that talk to a running brain, or say how one is talked to.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what is written here, clap would show instead of what stands at the arguments")]
pub enum Command {
    Ask(AskArgs),
    Chat(ChatArgs),
    Transcribe(TranscribeArgs),
    See(SeeArgs),
    Speak(SpeakArgs),
    Embed(EmbedArgs),
    Models(ModelsArgs),
    Status(StatusArgs),
    Devices(DevicesArgs),
    Env(EnvArgs),
    Key(KeyArgs),
    Req(ReqArgs),
    Pub(PubArgs),
    Sub(SubArgs),
}

/// Runs a command. What fails is told on standard error, and shows in the exit code.
///
/// # Errors
/// None: they end here. The type is that of `main`'s other commands.
pub async fn run(command: Command, globals: Globals) -> anyhow::Result<ExitCode> {
    let span = tracing::info_span!("command", name = command.name());
    let outcome = command.dispatch(&globals).instrument(span).await;
    Ok(outcome.unwrap_or_else(|error| report(&error, globals.json)))
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Ask(_) => "ask",
            Self::Chat(_) => "chat",
            Self::Transcribe(_) => "transcribe",
            Self::See(_) => "see",
            Self::Speak(_) => "speak",
            Self::Embed(_) => "embed",
            Self::Models(_) => "models",
            Self::Status(_) => "status",
            Self::Devices(_) => "devices",
            Self::Env(_) => "env",
            Self::Key(_) => "key",
            Self::Req(_) => "req",
            Self::Pub(_) => "pub",
            Self::Sub(_) => "sub",
        }
    }

    async fn dispatch(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self {
            Self::Ask(args) => ask::run(args, globals).await,
            Self::Chat(args) => chat::run(args, globals).await,
            Self::Transcribe(args) => transcribe::run(args, globals).await,
            Self::See(args) => see::run(args, globals).await,
            Self::Speak(args) => speak::run(args, globals).await,
            Self::Embed(args) => embed::run(args, globals).await,
            Self::Models(args) => models::run(args, globals).await,
            Self::Status(args) => status::run(args, globals).await,
            Self::Devices(args) => devices::run(args, globals).await,
            Self::Env(args) => env::run(args, globals).await,
            Self::Key(args) => key::run(&args, globals),
            Self::Req(args) => nats::request(args, globals).await,
            Self::Pub(args) => nats::publish(args, globals).await,
            Self::Sub(args) => nats::subscribe(args, globals).await,
        }
    }
}
