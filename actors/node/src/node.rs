//! How does a brain come up, stay up and go down?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use megabrain_bus::Bus;
use megabrain_gateway::{Gateway, StartError};
use megabrain_router::OpenAsks;
use megabrain_runtime::supervision::{GuardConfig, GuardError, ModelSpec, SharedRoster, guard};
use megabrain_schemas::subject::event;
use megabrain_schemas::{Fault, ModelState, Name, NodePresence, Presence};
use ractor::{Actor, ActorRef};

use crate::brain::{Brain, ModelTable};
use crate::connection::{Connection, ConnectionError, PublishedConnection, Role};
use crate::data::{callback_secret, new_secret};
use crate::memory::Ram;
use crate::pull::{PullError, Puller, Source};
use crate::server::{Server, ServerError};
use crate::supervisor::{Supervisor, SupervisorMessage};
use crate::weights::{ONNX_RUNTIME, Weights};

/// Tells an actor where ONNX Runtime is; `megabrain-onnx` reads it, which this program must not link.
const ONNX_RUNTIME_VARIABLE: &str = "ORT_DYLIB_PATH";

/// True if the environment names an ONNX Runtime of its own: then none is fetched.
pub(crate) fn is_onnx_runtime_named() -> bool {
    std::env::var_os(ONNX_RUNTIME_VARIABLE).is_some_and(|path| !path.is_empty())
}

/// A running node.
pub struct Node {
    /// Address and passwords of its bus.
    pub connection: Connection,
    /// Its own connection, as the role `node`.
    pub bus: Bus,
    /// Who is there.
    pub roster: SharedRoster,
    server: Option<Server>,
    published: Option<PublishedConnection>,
    supervisor: ActorRef<SupervisorMessage>,
    gateway: Option<Result<Gateway, DoorsError>>,
    instances: Vec<Name>,
}

/// The brain has no HTTP although its file wants it. The rest of it works.
#[derive(Debug, thiserror::Error)]
pub enum DoorsError {
    /// The doors cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Their own connection to the bus.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// The node cannot come up.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its own nats-server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The bus.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A file that must be fetched first.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The bus refused something.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The guard did not start.
    #[error("the guard did not start: {0}")]
    Guard(#[from] GuardError),
    /// An actor of the node did not start.
    #[error("an actor of the node did not start: {0}")]
    Actor(#[from] ractor::SpawnErr),
    /// This program's folder cannot be told.
    #[error("cannot find the actors' programs: {0}")]
    Programs(#[from] std::io::Error),
}

impl Node {
    /// Brings a brain up: bus, guard, router, and every model as soon as its weights are there. Does not wait for them.
    ///
    /// # Errors
    /// What keeps the node itself from living. A model that cannot be fetched or loaded is reported by its presence.
    pub async fn start(brain: &Brain, puller: Arc<Puller>) -> Result<Self, NodeError> {
        let (connection, server, published) = open_bus(brain, &puller).await?;
        let node_name = brain.brain.name.clone();
        let bus = get_on_bus(&connection, &format!("node {node_name}")).await?;
        // The bucket of blobs; a bus without JetStream does without.
        let blob_max = i64::try_from(brain.bus.blob_max.as_u64()).unwrap_or(i64::MAX);
        if let Err(fault) = bus.create_blob_store(brain.bus.blob_life, blob_max).await {
            tracing::warn!(%fault, "no blob store: media must travel inline");
        }
        let roster = SharedRoster::default();
        let guard = guard(
            connection.options(Role::Node, &format!("guard {node_name}"), true),
            GuardConfig { node: node_name.clone(), is_router: brain.router.enabled, cores: brain.cores() },
            roster.clone(),
        )
        .await?;
        let asks = OpenAsks::new(brain.router.max_asks);
        let supervisor = Supervisor { bus: bus.clone(), guard, roster: roster.clone(), asks: asks.clone() };
        let (supervisor, _) = Actor::spawn(None, supervisor, ()).await?;
        let preparations: Vec<Preparation> = Preparation::of_all(brain, &connection, &puller).collect();
        // Before anybody can ask for one: it is not there yet, and that is not the same as never.
        preparations.iter().for_each(|preparation| roster.lock().note(preparation.fetching(0)));
        if brain.router.enabled {
            supervisor.cast(SupervisorMessage::Route(Box::new(brain.router.clone()), node_name.clone())).ok();
        }
        let about =
            NodePresence { router: brain.router.enabled, cores: brain.host.threads(), ..NodePresence::default() };
        tokio::spawn(tell_presence(bus.clone(), node_name, about, asks));
        let instances = preparations.iter().map(|preparation| preparation.instance.clone()).collect();
        for preparation in preparations {
            tokio::spawn(preparation.run(supervisor.clone()));
        }
        let gateway = match brain.gateway.enabled {
            true => Some(open_doors(brain, &connection, &bus).await),
            false => None,
        };
        Ok(Self { connection, bus, roster, server, published, supervisor, gateway, instances })
    }

    /// Where its doors are, or why they are shut; `None` if nobody wants any.
    pub fn http(&self) -> Option<Result<SocketAddr, &DoorsError>> {
        self.gateway.as_ref().map(|gateway| gateway.as_ref().map(Gateway::address))
    }

    /// The file that other commands find this brain by, if it has its own bus.
    pub fn published(&self) -> Option<&Path> {
        self.published.as_ref().map(PublishedConnection::path)
    }

    /// Every instance that this node supervises.
    pub fn instances(&self) -> &[Name] {
        &self.instances
    }

    /// Waits until every model of this node serves or lies down after it was tried `tries` times, and gives those that
    /// do not serve; tells each change of state to `on_change`.
    pub async fn settled(&self, tries: u32, mut on_change: impl FnMut(&Presence)) -> Vec<Presence> {
        let mut last: BTreeMap<Name, (ModelState, u32)> = BTreeMap::new();
        loop {
            // From here on no change is missed, though the look at the roster takes a while.
            let changed = self.roster.changed();
            let mut ready = 0;
            let mut down = Vec::new();
            for instance in &self.instances {
                let Some(presence) = self.roster.lock().get(instance).cloned() else { continue };
                let now = (presence.state, presence.restarts);
                if last.insert(instance.clone(), now) != Some(now) {
                    on_change(&presence);
                }
                match presence.state {
                    ModelState::Ready => ready += 1,
                    ModelState::Backoff | ModelState::Failed if presence.restarts >= tries => down.push(presence),
                    _ => {}
                }
            }
            if ready + down.len() == self.instances.len() {
                return down;
            }
            changed.await;
        }
    }

    /// Drains and stops everything: first doors and models, then the router, last the bus.
    pub async fn stop(mut self, drain: Duration) {
        let limit = drain + Duration::from_secs(5);
        let doors = self.gateway.take();
        let (stopped, ()) = tokio::join!(
            async {
                ractor::call_t!(
                    self.supervisor,
                    SupervisorMessage::StopAll,
                    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
                )
            },
            // Whoever is in hears the end of what the models finish.
            async {
                if let Some(Ok(gateway)) = doors {
                    gateway.stop(drain).await;
                }
            }
        );
        if let Err(error) = stopped {
            tracing::warn!(%error, "not everything stopped in time");
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), self.bus.flush()).await;
        self.supervisor.stop(None);
        if let Some(server) = self.server {
            server.stop().await;
        }
    }
}

/// The bus that the environment or the file names, or a server of our own.
async fn open_bus(
    brain: &Brain,
    puller: &Puller,
) -> Result<(Connection, Option<Server>, Option<PublishedConnection>), NodeError> {
    if let Some(connection) = Connection::from_environment() {
        connection.check_node(std::env::var("NATS_USER").ok())?;
        return Ok((connection, None, None));
    }
    if let Some(url) = &brain.bus.url {
        let connection = Connection { url: url.clone(), ..Connection::with_passwords_from_environment() };
        return Ok((connection, None, None));
    }
    // Before anything starts: two servers in one store would damage it.
    Connection::check_not_running(&brain.brain.name)?;
    let program = nats_server(puller).await?;
    let connection = Connection::with_new_passwords(crate::server::address(&brain.bus)?);
    let server = Server::start(&program, &connection, &brain.bus, &brain.brain.name).await?;
    let published = connection.publish(&brain.brain.name)?;
    Ok((connection, Some(server), Some(published)))
}

/// The nats-server that `MEGABRAIN_NATS_SERVER` names, or the one of the manifest.
async fn nats_server(puller: &Puller) -> Result<PathBuf, PullError> {
    if let Some(path) = crate::server::named_program() {
        return Ok(path);
    }
    puller.fetch(&Source::Artefact("nats-server".into())).await
}

/// Connects. A bus that is not there yet is waited for, and that is said; one that does not let us on is an error.
async fn get_on_bus(connection: &Connection, name: &str) -> Result<Bus, ConnectionError> {
    match connection.connect(Role::Node, name, false).await {
        Err(ConnectionError::Bus(error)) if error.may_pass() => {
            eprintln!("waiting for the bus: {error} …");
            let bus = connection.connect(Role::Node, name, true).await?;
            bus.connected().await;
            eprintln!("the bus is there");
            Ok(bus)
        }
        outcome => outcome,
    }
}

/// Opens the doors. They have a client's rights on the bus, where there is a client to be; jobs are kept with the node's.
async fn open_doors(brain: &Brain, connection: &Connection, keeper: &Bus) -> Result<Gateway, DoorsError> {
    let role = if connection.passwords.contains_key(&Role::Client) { Role::Client } else { Role::Node };
    let bus = connection.connect(role, &format!("gateway {}", brain.brain.name), false).await?;
    let mut config = brain.gateway.clone();
    config.jobs.secret = callback_secret(&brain.bus.store(&brain.brain.name)).unwrap_or_else(|error| {
        tracing::warn!(%error, "callbacks are signed with a secret that nobody knows: set MEGABRAIN_CALLBACK_SECRET");
        new_secret()
    });
    Ok(Gateway::start(bus, keeper.clone(), config).await?)
}

/// What is needed to start one instance of a model.
struct Preparation {
    brain: Brain,
    connection: Connection,
    puller: Arc<Puller>,
    name: Name,
    model: ModelTable,
    instance: Name,
}

impl Preparation {
    /// Of every instance of every model of a brain.
    fn of_all(brain: &Brain, connection: &Connection, puller: &Arc<Puller>) -> impl Iterator<Item = Self> {
        brain.models.iter().flat_map(move |(name, model)| {
            (1..=model.instances()).map(move |number| Self {
                brain: brain.clone(),
                connection: connection.clone(),
                puller: puller.clone(),
                name: name.clone(),
                model: model.clone(),
                instance: Name::sanitized(&brain.instance(name, number)),
            })
        })
    }

    /// Fetches the model's weights and has its process started; tries again with growing delay.
    async fn run(self, supervisor: ActorRef<SupervisorMessage>) {
        let mut delay = Duration::from_secs(5);
        let mut failures = 0;
        loop {
            let reason = match self.specify_and_tell(failures, &supervisor).await {
                Ok(spec) => {
                    let _ = supervisor.cast(SupervisorMessage::Start(Box::new(spec)));
                    return;
                }
                Err(reason) => reason,
            };
            failures += 1;
            tracing::error!(model = %self.name, %reason, retry_in = ?delay, "the model cannot be prepared");
            let next = Instant::now() + delay;
            while let Some(left) = next.checked_duration_since(Instant::now()) {
                let presence = self.unprepared(reason.clone(), failures, left);
                let _ = supervisor.cast(SupervisorMessage::Tell(Box::new(presence)));
                tokio::time::sleep(left.min(Duration::from_secs(1))).await;
            }
            delay = (delay * 2).min(Duration::from_secs(300));
        }
    }

    /// Fetches the weights, and tells once a second that it does.
    async fn specify_and_tell(
        &self,
        failures: u32,
        supervisor: &ActorRef<SupervisorMessage>,
    ) -> Result<ModelSpec, String> {
        let mut fetching = pin!(self.specify(failures));
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                outcome = &mut fetching => return outcome,
                _ = beat.tick() => drop(supervisor.cast(SupervisorMessage::Tell(Box::new(self.fetching(failures))))),
            }
        }
    }

    fn fetching(&self, restarts: u32) -> Presence {
        let reason = Some("its weights are being fetched".to_owned());
        Presence { state: ModelState::Starting, reason, ..self.presence(restarts) }
    }

    fn unprepared(&self, reason: String, restarts: u32, delay: Duration) -> Presence {
        let retry_after_ms = Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        Presence { state: ModelState::Backoff, reason: Some(reason), retry_after_ms, ..self.presence(restarts) }
    }

    /// While it has no process.
    fn presence(&self, restarts: u32) -> Presence {
        Presence {
            actor: self.model.actor.clone(),
            node: Some(self.brain.brain.name.clone()),
            restarts,
            ..Presence::unknown(&self.instance, &self.name)
        }
    }

    async fn specify(&self, restarts: u32) -> Result<ModelSpec, String> {
        let Self { brain, name, model, instance, .. } = self;
        let sources = self.sources().map_err(|error| error.to_string())?;
        let weights = match &sources {
            Some(sources) => Some(sources.fetch(&self.puller).await.map_err(|error| error.to_string())?),
            None => None,
        };
        let is_onnx = sources.as_ref().is_some_and(|sources| sources.are_onnx(self.puller.manifest()));
        let library = match is_onnx && !is_onnx_runtime_named() {
            true => Some(self.onnx_runtime().await.map_err(|error| error.to_string())?),
            false => None,
        };
        let program = actor_program(&model.actor).map_err(|error| error.to_string())?;
        let settings = model
            .settings(weights.as_ref(), brain.brain.default_max_tokens)
            .map_err(|error| format!("its settings cannot be passed on: {error}"))?;
        let millis = |duration: Duration| duration.as_millis().to_string();
        let arguments = [
            ("--name", name.to_string()),
            ("--instance", instance.to_string()),
            ("--node", brain.brain.name.to_string()),
            ("--config", settings),
            ("--queue", model.queue.unwrap_or(64).to_string()),
            ("--threads", brain.host.threads().to_string()),
            ("--default-deadline-ms", millis(brain.brain.default_deadline)),
            ("--drain-ms", millis(brain.brain.drain)),
        ];
        Ok(ModelSpec {
            model: name.clone(),
            instance: instance.clone(),
            actor: model.actor.clone(),
            node: brain.brain.name.clone(),
            launcher: crate::child::launcher().map_err(|error| error.to_string())?,
            program,
            arguments: arguments.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect(),
            environment: self.environment(is_onnx, library),
            drain: brain.brain.drain,
            restarts,
        })
    }

    fn environment(&self, is_onnx: bool, onnx_runtime: Option<PathBuf>) -> Vec<(String, String)> {
        let mut variables = self.connection.environment(Role::Model);
        let is_set = |name: &str| std::env::var_os(name).is_some();
        if !is_set("GOMP_SPINCOUNT") && !is_set("OMP_WAIT_POLICY") {
            // libgomp's threads spin while they wait for each other, and collapse when the cores are shared with other
            // busy processes. A short spin costs a language model little where it is alone; Whisper's threads wait for each
            // other less often and longer.
            let rounds = if self.model.actor.as_str() == "speech" { 3000 } else { 300 };
            variables.push(("GOMP_SPINCOUNT".into(), rounds.to_string()));
        }
        // Nothing that a brain does is told to anybody: builds of ONNX Runtime by its makers tell them what is run, and ours
        // is told not to only after it has begun.
        variables.push(("ORT_DISABLE_TELEMETRY".into(), "1".into()));
        if is_onnx {
            // glibc keeps what was freed in ever larger pieces: a model that saw large pictures, some 100 MB. Pieces from
            // 256 KiB on go back at once.
            variables.push(("MALLOC_MMAP_THRESHOLD_".into(), (256 << 10).to_string()));
        }
        if let Some(library) = onnx_runtime {
            variables.push((ONNX_RUNTIME_VARIABLE.into(), library.display().to_string()));
        }
        variables
    }

    fn sources(&self) -> Result<Option<Weights<Source>>, PullError> {
        let weights = self.model.weights.as_ref();
        weights.map(|weights| weights.sources(&self.brain.folder, self.puller.manifest())).transpose()
    }

    /// The manifest's ONNX Runtime.
    async fn onnx_runtime(&self) -> Result<PathBuf, PullError> {
        self.puller.fetch(&Source::Artefact(ONNX_RUNTIME.into())).await
    }
}

/// The program of a kind of actor: beside this one.
///
/// # Errors
/// This program's own path cannot be told, or there is no such program beside it.
pub fn actor_program(actor: &Name) -> Result<PathBuf, std::io::Error> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name(format!("megabrain-{actor}"));
    if program.exists() {
        Ok(program)
    } else {
        let message = format!("there is no actor {actor}: its program would be {}", program.display());
        Err(std::io::Error::other(message))
    }
}

/// Tells the node's presence once a second: `about`, and what changes.
async fn tell_presence(bus: Bus, node: Name, about: NodePresence, asks: OpenAsks) {
    let began = Instant::now();
    // A card's driver may take seconds to wake up.
    let cards = Arc::new(OnceLock::new());
    let listing = cards.clone();
    tokio::spawn(async move { listing.set(crate::check::cards().await) });
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        beat.tick().await;
        let ram = Ram::now();
        let presence = NodePresence {
            asks_in_flight: u32::try_from(asks.count()).unwrap_or(u32::MAX),
            memory_bytes: ram.total,
            memory_available_bytes: ram.available,
            resident_bytes: megabrain_runtime::resident_bytes(),
            up_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            cards: cards.get().cloned().unwrap_or_default(),
            ..about.clone()
        };
        bus.tell(event::NODE, &node, &presence);
    }
}
