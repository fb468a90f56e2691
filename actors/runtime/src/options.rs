//! What is an actor's program told on its command line?

use clap::Parser;
use megabrain_bus::Credentials;
use megabrain_schemas::Name;

/// One model as an actor on the bus.
///
/// A brain's node starts this program for each model of its brain file. Started by hand, on any machine that reaches
/// the bus, it joins the same brain: nothing is registered.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Options {
    /// The model's name: the last token of its subjects.
    #[arg(long)]
    pub name: Name,
    /// This instance's name, unique in the brain [default: NAME-PID].
    #[arg(long)]
    pub instance: Option<Name>,
    /// The model's settings as a JSON object: its table of the brain file.
    #[arg(long, default_value = "{}", value_name = "JSON")]
    pub config: String,
    /// Load and serve nothing: only say what is wrong with the settings.
    #[arg(long)]
    pub check: bool,
    /// Works that wait for a slot; one more is refused as `overloaded`.
    #[arg(long, default_value_t = 64)]
    pub queue: usize,
    /// Threads to compute on [default: all cores].
    #[arg(long)]
    pub threads: Option<u32>,
    /// Time for a request that names none, in milliseconds.
    #[arg(long, default_value_t = 600_000)]
    pub default_deadline_ms: u64,
    /// Time to finish what runs when told to stop, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    pub drain_ms: u64,
    /// The node that supervises this process; set by the node.
    #[arg(long, hide = true)]
    pub node: Option<Name>,
    /// How often this instance was started before; set by the node.
    #[arg(long, default_value_t = 0, hide = true)]
    pub restarts: u32,
    /// Server address.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    pub nats_url: String,
    /// Log lines as JSON.
    #[arg(long, env = "MEGABRAIN_LOG_JSON")]
    pub log_json: bool,
}

impl Options {
    /// This instance's name.
    pub fn instance(&self) -> Name {
        self.instance.clone().unwrap_or_else(|| Name::sanitized(&format!("{}-{}", self.name, std::process::id())))
    }

    /// Threads to compute on.
    pub fn threads(&self) -> u32 {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u32))
    }
}

/// Who this program is on the bus: `NATS_CREDS`, or `NATS_USER` and `NATS_PASSWORD`, or nobody in particular.
pub fn bus_credentials() -> Credentials {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    if let Some(path) = variable("NATS_CREDS") {
        return Credentials::File(path.into());
    }
    match (variable("NATS_USER"), variable("NATS_PASSWORD")) {
        (Some(user), Some(password)) => Credentials::Password { user, password },
        _ => Credentials::None,
    }
}
