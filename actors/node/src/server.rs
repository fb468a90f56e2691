//! How does `megabrain up` run a nats-server of its own?

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use megabrain_schemas::Name;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::brain::BusTable;
use crate::connection::{Connection, Role};

/// The rights of every role, as the program carries them.
const CONFIG: &str = include_str!("../../../nats.conf");
/// The port of NATS.
const USUAL_PORT: u16 = 4222;
/// How long a server may take to listen.
const START: Duration = Duration::from_secs(10);
/// The first delay before the server is started again; it doubles with every death, up to the longest.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// After a life of so long, the next death counts as the first again.
const HEALTHY: Duration = Duration::from_secs(30);

/// A nats-server of our own. It is started again when it dies; dropping this stops it.
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<()>>,
}

/// The server cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file or a folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another server keeps its streams there: two in one store would damage it.
    #[error("the bus of another brain keeps its streams in {0}: stop that brain, or name another `store` in [bus]")]
    StoreTaken(PathBuf),
    /// Somebody else listens on the port of the brain file, or may not listen there.
    #[error("port {port}, which [bus] names, cannot be had: {source}; without `port` a free one is taken")]
    Port {
        /// Which.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The program does not start.
    #[error("cannot start {program}: {source}")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It starts and does not listen.
    #[error("{program} does not listen on port {port}: see {log}")]
    Silent {
        /// Which.
        program: PathBuf,
        /// Where it should.
        port: u16,
        /// What it says.
        log: PathBuf,
    },
}

/// The nats-server that `MEGABRAIN_NATS_SERVER` names.
pub fn named_program() -> Option<PathBuf> {
    std::env::var_os("MEGABRAIN_NATS_SERVER").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The address that our own server will have: the port of the file, or the usual one, or a free one.
///
/// # Errors
/// The port of the file is taken.
pub fn address(table: &BusTable) -> Result<String, ServerError> {
    let at = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let port = match table.port {
        Some(port) => at(port).map(|_| port).map_err(|source| ServerError::Port { port, source })?,
        None => at(USUAL_PORT)
            .or_else(|_| at(0))
            .and_then(|listener| listener.local_addr())
            .map_or(USUAL_PORT, |address| address.port()),
    };
    Ok(format!("nats://127.0.0.1:{port}"))
}

impl Server {
    /// Starts `program` at the connection's address and waits until it listens.
    ///
    /// # Errors
    /// Its store is in use; it cannot be started, or does not listen in time.
    pub async fn start(
        program: &Path,
        connection: &Connection,
        table: &BusTable,
        brain: &Name,
    ) -> Result<Self, ServerError> {
        let port = connection.url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(USUAL_PORT);
        let store = table.store(brain);
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| ServerError::File { path, source }
        };
        std::fs::create_dir_all(&store).map_err(file(&store))?;
        let lock = lock(&store)?;
        let config = match &table.config {
            Some(config) => config.clone(),
            None => {
                let config = store.join("nats.conf");
                crate::connection::write_private(&config, CONFIG.as_bytes()).map_err(file(&config))?;
                config
            }
        };
        let log = store.join("nats.log");
        let passwords = Role::ALL
            .iter()
            .filter_map(|role| Some((role.password_variable(), connection.passwords.get(role)?.clone())));
        let passwords: Vec<(&str, String)> = passwords.collect();
        let launcher = crate::child::launcher().map_err(file(program))?;
        let spawn = {
            let (program, log) = (program.to_owned(), log.clone());
            move || {
                let mut words = launcher.iter();
                Command::new(words.next().map_or("", String::as_str))
                    .args(words)
                    .arg(&program)
                    .args(["-c".as_ref(), config.as_os_str()])
                    .args(["-a", "127.0.0.1", "-p", &port.to_string()])
                    .args(["-sd".as_ref(), store.as_os_str()])
                    .args(["-l".as_ref(), log.as_os_str()])
                    .envs(passwords.iter().map(|(name, value)| (name, value)))
                    // A terminal's Ctrl-C is not for the bus: what drains still needs it.
                    .process_group(0)
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
            }
        };
        let child = spawn().map_err(|source| ServerError::Start { program: program.to_owned(), source })?;
        let (stop, stopped) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        tokio::spawn(keep_alive(child, spawn, stopped, (ending, lock)));
        let server = Self { stop: Some(stop), ended: Some(ended) };
        if !listens(port).await {
            return Err(ServerError::Silent { program: program.to_owned(), port, log });
        }
        Ok(server)
    }

    /// Stops the server and waits for its end.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(ended) = self.ended.take() {
            let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
        }
    }
}

/// Makes the store ours until the returned file is closed, or this process ends.
fn lock(store: &Path) -> Result<File, ServerError> {
    let path = store.join(".lock");
    let file = |source| ServerError::File { path: path.clone(), source };
    let lock = File::create(&path).map_err(file)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(ServerError::StoreTaken(store.to_owned())),
        Err(TryLockError::Error(source)) => Err(file(source)),
    }
}

async fn listens(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let heard = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(START, heard).await.is_ok()
}

/// Starts the server again when it dies, until told to stop. What is `held` is dropped once it has ended for good.
async fn keep_alive(
    mut child: tokio::process::Child,
    spawn: impl Fn() -> std::io::Result<tokio::process::Child>,
    mut stopped: oneshot::Receiver<()>,
    _held: (oneshot::Sender<()>, File),
) {
    let mut delay = FIRST_DELAY;
    loop {
        let started = Instant::now();
        tokio::select! {
            status = child.wait() => {
                if started.elapsed() >= HEALTHY {
                    delay = FIRST_DELAY;
                }
                tracing::error!(?status, restart_in = ?delay, "nats-server ended");
            }
            _ = &mut stopped => {
                if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::TERM);
                }
                let _ = tokio::time::timeout(Duration::from_secs(4), child.wait()).await;
                return;
            }
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = &mut stopped => return,
            }
            delay = (delay * 2).min(LONGEST_DELAY);
            match spawn() {
                Ok(started) => {
                    child = started;
                    break;
                }
                Err(error) => tracing::error!(%error, "nats-server cannot be started"),
            }
        }
    }
}
