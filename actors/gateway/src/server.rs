//! How are connections taken, bounded and let go?

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use megabrain_bus::Bus;
use megabrain_schemas::Fault;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_io_timeout::TimeoutStream;

use crate::access::Access;
use crate::console::Watch;
use crate::doors::Doors;
use crate::jobs::Jobs;
use crate::present::Present;
use crate::{Config, routes};

/// Whoever has not sent the head of a request by then is let go. It is also how long an idle connection is kept.
const HEAD: Duration = Duration::from_secs(30);

/// The doors of one node, open. Dropping it closes them at once.
pub struct Gateway {
    address: SocketAddr,
    console: Watch,
    stop: Option<oneshot::Sender<Duration>>,
    serving: JoinHandle<()>,
    /// Jobs are done as long as the doors are open.
    working: JoinHandle<()>,
}

/// The doors cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings contradict each other, or are none.
    #[error("{0}")]
    Config(String),
    /// The address is taken, or is none of this machine's.
    #[error("cannot listen on {address}: {source}; give another with `listen` in [gateway]")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The bus is closed.
    #[error(transparent)]
    Bus(#[from] Fault),
}

impl Gateway {
    /// Opens the doors: from then on requests are taken. `bus` needs a client's rights only; `keeper`, which durable jobs are
    /// kept with, a node's.
    ///
    /// # Errors
    /// The settings, the address, the bus.
    pub async fn start(bus: Bus, keeper: Bus, config: Config) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        let access = Access::new(&config).map_err(StartError::Config)?;
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let places = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        let present = Present::listen(&bus).await?;
        let console = Watch::listen(&bus).await?;
        let write_timeout = config.write_timeout;
        let jobs = Jobs::new(keeper, config.jobs.clone());
        let doors = Arc::new(Doors::new(bus, jobs.clone(), config, access, present, console.clone()));
        let working = tokio::spawn(jobs.work(doors.outbound.clone(), doors.present.clone()));
        let app = routes::routes(doors);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, Served { app, write_timeout }, places, stopped));
        Ok(Self { address, console, stop: Some(stop), serving, working })
    }

    /// Whether doors could be opened with these settings.
    ///
    /// # Errors
    /// The settings.
    pub fn check(config: &Config) -> Result<(), StartError> {
        config.check().map_err(StartError::Config)?;
        Access::new(config).map(drop).map_err(StartError::Config)
    }

    /// Whether their address could be had now. Opens none.
    ///
    /// # Errors
    /// The address.
    pub fn check_address(config: &Config) -> Result<(), StartError> {
        let listen = |source| StartError::Listen { address: config.listen, source };
        std::net::TcpListener::bind(config.listen).map(drop).map_err(listen)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes nobody new, and lets whoever is here finish for at most `limit`.
    pub async fn stop(mut self, limit: Duration) {
        // What a model still answers is found in the journal by whoever goes on.
        self.working.abort();
        // A feed has no end of its own to wait for.
        self.console.close();
        if let Some(stop) = self.stop.take() {
            // It has ended already if nobody hears that.
            let _ = stop.send(limit);
        }
        if let Err(error) = (&mut self.serving).await {
            tracing::warn!(%error, "the doors did not close in good order");
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.serving.abort();
        self.working.abort();
    }
}

/// What every connection has, and how.
#[derive(Clone)]
struct Served {
    app: Router,
    write_timeout: Duration,
}

async fn serve(
    mut listener: TcpListener,
    served: Served,
    places: Arc<Semaphore>,
    mut stop: oneshot::Receiver<Duration>,
) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let limit = loop {
        tokio::select! {
            biased;
            limit = &mut stop => break limit.unwrap_or_default(),
            Some(_) = connections.join_next() => {}
            (stream, place) = accept(&mut listener, &places) => {
                connections.spawn(attend(stream, place, served.clone(), graceful.watcher()));
            }
        }
    };
    drop(listener);
    if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::info!(connections = connections.len(), "requests were still open and are let go");
    }
    connections.shutdown().await;
}

/// The next connection. A place comes first: who finds none waits where the system keeps those not taken yet.
async fn accept(listener: &mut TcpListener, places: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Nobody closes this semaphore.
    let place = places.clone().acquire_owned().await.ok();
    // axum's goes on after errors, and waits when there are no descriptors left.
    let (stream, _) = axum::serve::Listener::accept(listener).await;
    (stream, place)
}

async fn attend(stream: TcpStream, place: Option<OwnedSemaphorePermit>, served: Served, watcher: Watcher) {
    // A stream of small frames: each goes out when it comes.
    let _ = stream.set_nodelay(true);
    // Whoever takes nothing holds place and work for no longer than this.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(served.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(served.app));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(place);
}
