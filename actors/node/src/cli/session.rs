//! How does a command get on the bus, and off it when somebody presses Ctrl-C?

use std::time::Duration;

use megabrain_bus::{Bus, Call, trace};
use megabrain_schemas::Name;

use crate::cli::{Globals, Interrupted, Usage};
use crate::connection::{Connection, Role};

/// After Ctrl-C the cancel is given this long to get out.
const FAREWELL: Duration = Duration::from_secs(1);

/// Connects, as a client, to `NATS_URL` or the brain that runs here.
///
/// # Errors
/// There is none, or it refuses.
pub(crate) async fn connect(globals: &Globals) -> anyhow::Result<Bus> {
    let connection = Connection::find(globals.brain.as_ref())?;
    Ok(connection.connect(Role::Client, "megabrain-cli", false).await?)
}

/// What goes with a request: its work id, its deadline, its trace.
pub(crate) fn call(work: Option<Name>, deadline: Option<Duration>) -> Call {
    let mut call = deadline.map_or_else(Call::default, Call::within);
    if let Some(work) = work {
        call.meta.work = work;
    }
    if trace::is_exporting() {
        trace::carry(&tracing::Span::current(), &mut call.meta);
    }
    call
}

/// Does `work` until it is done or somebody presses Ctrl-C; then it is dropped, which cancels it on the bus.
///
/// # Errors
/// As `work`; [`Interrupted`].
pub(crate) async fn until_interrupted<T>(
    bus: &Bus,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        result = work => return result,
        _ = tokio::signal::ctrl_c() => {}
    }
    // The bus may be away: then nobody is there to be told.
    let _ = tokio::time::timeout(FAREWELL, bus.flush()).await;
    Err(Interrupted.into())
}

/// The text of an argument; `-` stands for standard input.
///
/// # Errors
/// Standard input cannot be read, or is no UTF-8.
pub(crate) async fn text_or_stdin(text: String) -> anyhow::Result<String> {
    if text != "-" {
        return Ok(text);
    }
    String::from_utf8(stdin().await?).map_err(|_| Usage("standard input is not UTF-8".into()).into())
}

/// Everything that comes in on standard input.
///
/// # Errors
/// It cannot be read.
pub(crate) async fn stdin() -> anyhow::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = Vec::new();
    tokio::io::stdin().read_to_end(&mut bytes).await?;
    Ok(bytes)
}
