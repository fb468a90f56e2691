//! What is the least that a round trip costs? async-nats request/reply between two processes, nothing else.
//!
//! Its processes have one thread each, as ours have. Its responder is the role `admin`, whose rights the server need
//! not check: a yardstick that is, if anything, too good.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use megabrain_node::connection::{Connection, Role};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The word by which this program becomes the responder.
pub(crate) const RESPONDER: &str = "responder";
/// A subject that clients may ask on and that nobody of the brain listens to.
const SUBJECT: &str = "user.bench";

/// A bare requester, and the process that answers it, which ends with it.
pub(crate) struct Bare {
    client: async_nats::Client,
    responder: Child,
}

impl Bare {
    /// Connects and starts the responder.
    pub(crate) async fn start(connection: &Connection) -> anyhow::Result<Self> {
        let mut responder = Command::new(std::env::current_exe()?)
            .arg(RESPONDER)
            .envs(connection.environment(Role::Admin))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = responder.stdout.take().context("no output of the responder")?;
        let line = BufReader::new(said).lines().next_line().await?;
        ensure!(line.is_some(), "the bare responder did not start");
        Ok(Self { client: connect(&connection.environment(Role::Client)).await?, responder })
    }

    /// Ends the responder.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.responder.kill().await?)
    }

    /// One round trip.
    pub(crate) async fn ask(&self, payload: &Bytes) -> anyhow::Result<()> {
        let reply = self.client.request(SUBJECT, payload.clone()).await?;
        ensure!(reply.payload == *payload, "the bare answer is not what was sent");
        Ok(())
    }
}

/// The responder's whole life: until its input is closed, so that it outlives nobody.
pub(crate) async fn respond() -> anyhow::Result<()> {
    let client = connect(&std::env::vars().collect::<Vec<_>>()).await?;
    let mut requests = client.subscribe(SUBJECT).await?;
    client.flush().await?;
    println!("listening");
    let answer = async {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                client.publish(reply, request.payload).await?;
            }
        }
        anyhow::Ok(())
    };
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    tokio::select! {
        outcome = answer => outcome,
        _ = input.next_line() => Ok(()),
    }
}

pub(crate) async fn connect(environment: &[(String, String)]) -> anyhow::Result<async_nats::Client> {
    let variable = |wanted: &str| {
        let found = environment.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone()).with_context(|| format!("no {wanted}"))
    };
    let options =
        async_nats::ConnectOptions::with_user_and_password(variable("NATS_USER")?, variable("NATS_PASSWORD")?);
    Ok(options.connect(variable("NATS_URL")?).await?)
}
