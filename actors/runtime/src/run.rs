//! How does an actor's program live? Connect, load, serve, drain.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use clap::Parser as _;
use megabrain_bus::{Bus, Requests, trace};
use megabrain_schemas::{Capability, Codec, CoreShares, Fault, Name, subject};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::about::About;
use crate::driver::{EngineThread, Event};
use crate::host::Waker;
use crate::intake::Intake;
use crate::open::Open;
use crate::options::bus_credentials;
use crate::report::Reporter;
use crate::{Engine, Host, LoadError, Options, Profile};

/// Decoders and engines log what a hostile file does to them as errors; the caller has been told already.
const LOG_FILTER: &str = "warn,megabrain=info,symphonia=off,whisper_rs=off";

/// Exit status of a program whose model cannot be loaded.
pub(crate) const CANNOT_LOAD: u8 = 3;

/// Runs an actor's program: reads its command line, connects, loads `E`, serves until told to stop.
///
/// SIGTERM, and SIGINT if no node supervises it, drain: what runs is finished, what comes is refused, then it exits.
pub fn run<E: Engine>() -> ExitCode {
    let options = Options::parse();
    let format = if options.log_json { trace::LogFormat::Json } else { trace::LogFormat::Text };
    let _telemetry = trace::init(&format!("megabrain-{}", E::ACTOR), LOG_FILTER, format);
    let config = settings::<E>(&options.config);
    if options.check {
        let Err(error) = config else { return ExitCode::SUCCESS };
        eprintln!("{error}");
        return ExitCode::from(CANNOT_LOAD);
    }
    let spawn = config.map(|config| -> SpawnEngine {
        Box::new(move |host, events, waker| EngineThread::spawn::<E>(config, host, events, waker))
    });
    live_or_tell(&options, E::ACTOR, spawn)
}

/// Starts the engine's thread: all that is different from actor to actor. The rest is compiled once for all of them.
type SpawnEngine = Box<dyn FnOnce(&Host, Receiver<Event>, Waker) -> EngineThread>;

fn live_or_tell(options: &Options, actor: &'static str, spawn: Result<SpawnEngine, LoadError>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("megabrain-{actor}: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(live(options, actor, spawn)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ending::CannotLoad(error)) => {
            tracing::error!(model = %options.name, %error, "the model cannot be loaded");
            ExitCode::from(CANNOT_LOAD)
        }
        Err(error) => {
            eprintln!("megabrain-{actor}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the settings and checks what their types do not say.
fn settings<E: Engine>(json: &str) -> Result<E::Config, LoadError> {
    let read = Codec::Json.decode::<E::Config>(json.as_bytes());
    let config = read.map_err(|error| {
        let error = error.to_string();
        // A place in the JSON that the node made of the brain file tells nobody anything.
        let what = error.split(" at line ").next().unwrap_or(&error);
        LoadError::Config(format!("its settings cannot be used: {what}"))
    })?;
    E::check(&config)?;
    Ok(config)
}

/// Why a program ends other than by being told to.
#[derive(Debug, thiserror::Error)]
enum Ending {
    #[error("{0}")]
    CannotLoad(#[from] LoadError),
    #[error("{0}")]
    Bus(#[from] megabrain_bus::ConnectError),
    #[error("{0}")]
    Fault(#[from] Fault),
    #[error("cannot listen for signals: {0}")]
    Signals(#[from] std::io::Error),
}

async fn live(options: &Options, actor: &str, spawn: Result<SpawnEngine, LoadError>) -> Result<(), Ending> {
    let instance = options.instance();
    let bus = connect(options, &instance).await?;
    let (events, inbound) = channel();
    let waker = Waker::new(events.clone());
    let host = Host::new(options.name.clone(), options.threads(), bus.clone(), waker.clone());
    let about = About::new(actor, options, &instance, host.clone(), bus.clone());
    let mut stop = StopSignals::new(options.node.is_some())?;

    let spawn = match spawn {
        Ok(spawn) => spawn,
        Err(error) => {
            about.cannot_load(&error).await;
            return Err(error.into());
        }
    };
    tokio::spawn(about.clone().beat());
    let mut engine = spawn(&host, inbound, waker.clone());
    let profile = tokio::select! {
        loaded = engine.loaded() => match loaded {
            Ok(profile) => profile,
            Err(error) => {
                about.cannot_load(&error).await;
                return Err(error.into());
            }
        },
        () = stop.wait() => return Ok(()),
    };

    let reporter = Reporter::default();
    tokio::spawn(reporter.clone().run(bus.clone(), instance.clone(), options.name.clone()));
    // The process id keeps a successor of the same name from getting this one's probes.
    let probes = format!("_INBOX_MODEL.{instance}-{}", std::process::id());
    let open = Arc::new(Open::new(profile.slots.max(1), options.queue, reporter.clone(), probes.clone(), waker));
    engine.begin(open.clone());
    let intake = Intake {
        model: options.name.clone(),
        open: open.clone(),
        host: host.clone(),
        engine: events.clone(),
        default_deadline: Duration::from_millis(options.default_deadline_ms),
    };
    tokio::spawn(intake.clone().heed_cancels(bus.watch(subject::EVERY_CANCEL).await?));
    tokio::spawn(intake.clone().heed_probes(bus.subscribe(&format!("{probes}.*"), None).await?));
    tokio::spawn(intake.clone().heed_link(bus.clone()));
    if let Some(node) = &options.node {
        heed_shares(&bus, node, options.name.clone(), host, events.clone()).await?;
    }
    let subscriptions = subscribe(&bus, &profile, &options.name, &instance).await?;
    about.announce(&profile, &open).await?;
    let (unsubscribe, mut takers) = take_requests(&intake, subscriptions);
    // The server knows every subscription before anybody is told that this instance serves.
    bus.flush().await?;
    about.ready(profile, open.clone(), engine.gauges());

    stop.wait().await;
    // First the server stops sending, then the others are told: so nobody answers twice for what comes meanwhile.
    unsubscribe.send_replace(true);
    let _ = tokio::time::timeout(Duration::from_secs(1), async { while takers.join_next().await.is_some() {} }).await;
    about.draining();
    tracing::debug!(open = open.admitted_now(), "draining");
    if tokio::time::timeout(Duration::from_millis(options.drain_ms), open.until_empty()).await.is_err() {
        tracing::warn!(open = open.admitted_now(), "not finished in time: what is left is lost");
    }
    // The engine ends, and with it what it has left: each is answered, and the node hears of that, or it would answer too.
    let _ = events.send(Event::Quit);
    let _ = tokio::time::timeout(Duration::from_secs(1), open.until_empty()).await;
    reporter.flush(&bus, &instance, &options.name);
    // A bus that is away is not waited for.
    let _ = tokio::time::timeout(Duration::from_secs(1), bus.flush()).await;
    Ok(())
}

async fn connect(options: &Options, instance: &Name) -> Result<Bus, Ending> {
    let connection = megabrain_bus::Options {
        inbox_prefix: "_INBOX_MODEL",
        wait_for_server: true,
        ..megabrain_bus::Options::new(&options.nats_url, instance.to_string())
    };
    Ok(Bus::connect(connection.credentials(bus_credentials())).await?)
}

/// Each capability of the model in its queue group, and of this instance alone.
async fn subscribe(
    bus: &Bus,
    profile: &Profile,
    model: &Name,
    instance: &Name,
) -> Result<Vec<(Capability, Requests)>, Fault> {
    let mut subscriptions = Vec::new();
    for capability in profile.capabilities.iter().filter(|capability| !capability.is_reserved()) {
        let of_model = bus.serve(&subject::model(capability, model), Some(model)).await?;
        let of_instance = bus.serve(&subject::instance(capability, model, instance), None).await?;
        subscriptions.extend([of_model, of_instance].map(|requests| (capability.clone(), requests)));
    }
    Ok(subscriptions)
}

/// Takes requests from every subscription until told to unsubscribe; then what has arrived is still taken.
fn take_requests(
    intake: &Intake,
    subscriptions: Vec<(Capability, Requests)>,
) -> (tokio::sync::watch::Sender<bool>, JoinSet<()>) {
    let (sender, receiver) = tokio::sync::watch::channel(false);
    let mut takers = JoinSet::new();
    for (capability, requests) in subscriptions {
        takers.spawn(intake.clone().run(capability, requests, receiver.clone()));
    }
    (sender, takers)
}

/// Sets the engine's threads as the node shares out its cores.
async fn heed_shares(bus: &Bus, node: &Name, model: Name, host: Host, events: Sender<Event>) -> Result<(), Fault> {
    let mut shares = bus.events::<CoreShares>(subject::event::CORES, Some(node)).await?;
    tokio::spawn(async move {
        while let Some(event) = shares.next().await {
            if let Some(threads) = event.body.threads.get(&model).copied().filter(|threads| *threads > 0) {
                host.set_threads(threads);
                let _ = events.send(Event::Threads(threads as usize));
            }
        }
    });
    Ok(())
}

/// What tells this program to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    is_supervised: bool,
}

impl StopSignals {
    fn new(is_supervised: bool) -> Result<Self, std::io::Error> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            is_supervised,
        })
    }

    /// A terminal's Ctrl-C reaches every process of the brain; under a node only the node heeds it, and stops us in order.
    async fn wait(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => if !self.is_supervised { return },
            }
        }
    }
}
