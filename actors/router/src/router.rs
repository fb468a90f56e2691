//! Who takes questions off the bus? The router actor owns the subscriptions; each request runs in a task of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use megabrain_bus::{BlobStore, Bus, Incoming, trace};
use megabrain_runtime::supervision::SharedRoster;
use megabrain_schemas::subject::{self, Address};
use megabrain_schemas::{Ask, Capability, Codec, Fault, FaultKind, Media, Name};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use crate::Config;
use crate::ask::{Asking, Frames};
use crate::fallback::relay;
use crate::forward::{Peek, forward};
use crate::open_asks::OpenAsks;
use crate::probe::Probe;

/// Every subject of the router: `mb.v1.ask` and `mb.v1.<capability>`.
const SUBJECTS: &str = "mb.v1.*";
/// Bodies up to this size are read on the runtime's own thread: well under half a millisecond.
const READ_IN_PLACE: usize = 64 * 1024;

/// The router of one node.
pub struct Router {
    /// The bus that it serves.
    pub bus: Bus,
    /// Who is there.
    pub roster: SharedRoster,
    /// Its settings.
    pub config: Config,
    /// A name of its own on the bus: the node's.
    pub node: Name,
    /// The questions that are open, for whoever wants to know how many.
    pub asks: OpenAsks,
}

/// What a router is told.
pub enum RouterMessage {
    /// One of its subscriptions has ended: it cannot go on.
    Deaf,
}

/// What a request needs; shared by all of them.
pub(crate) struct Shared {
    pub(crate) bus: Bus,
    pub(crate) roster: SharedRoster,
    pub(crate) config: Config,
    asks: OpenAsks,
    probes: String,
    blobs: OnceCell<BlobStore>,
    legs: Semaphore,
}

/// The tasks of a router, ended with it.
pub struct Listening(Vec<AbortHandle>);

impl Actor for Router {
    type Msg = RouterMessage;
    type State = Listening;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<RouterMessage>, (): ()) -> Result<Listening, ActorProcessingErr> {
        let probes = format!("_INBOX_NODE.{}-{}-gone", self.node, std::process::id());
        let shared = Arc::new(Shared {
            bus: self.bus.clone(),
            roster: self.roster.clone(),
            config: self.config.clone(),
            asks: self.asks.clone(),
            probes,
            blobs: OnceCell::new(),
            legs: Semaphore::new(self.config.max_legs_in_flight.max(1)),
        });
        let group = Name::new("router")?;
        let mut requests = self.bus.serve(SUBJECTS, Some(&group)).await?;
        let mut cancels = self.bus.watch(subject::EVERY_CANCEL).await?;
        let mut gone = self.bus.subscribe(&format!("{}.*", shared.probes), None).await?;
        let on_requests = {
            let shared = shared.clone();
            let myself = myself.clone();
            tokio::spawn(async move {
                while let Some(incoming) = requests.next().await {
                    take(&shared, incoming);
                }
                let _ = myself.cast(RouterMessage::Deaf);
            })
        };
        let on_cancels = {
            let shared = shared.clone();
            tokio::spawn(async move {
                while let Some(sighting) = cancels.next().await {
                    if let Some(Address::Cancel(work)) = Address::parse(&sighting.subject) {
                        shared.asks.cancel(work.as_str());
                    }
                }
            })
        };
        let on_gone = tokio::spawn(async move {
            while let Some(message) = gone.next().await {
                let work = message.subject.rsplit('.').next().and_then(|token| Name::new(token).ok());
                if let (true, Some(work)) = (message.no_responders, work) {
                    // Whoever works on it hears that, the questions of this router among them.
                    shared.bus.cancel(&work);
                }
            }
        });
        Ok(Listening([&on_requests, &on_cancels, &on_gone].map(tokio::task::JoinHandle::abort_handle).into()))
    }

    async fn handle(
        &self,
        _: ActorRef<RouterMessage>,
        message: RouterMessage,
        _: &mut Listening,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RouterMessage::Deaf => Err("the router's subscription has ended".into()),
        }
    }

    async fn post_stop(&self, _: ActorRef<RouterMessage>, listening: &mut Listening) -> Result<(), ActorProcessingErr> {
        for task in &listening.0 {
            task.abort();
        }
        Ok(())
    }
}

fn take(shared: &Arc<Shared>, incoming: Incoming) {
    let is_small = incoming.payload.len() <= READ_IN_PLACE;
    match Address::parse(&incoming.subject) {
        Some(Address::Ask) => drop(tokio::spawn(answer(shared.clone(), incoming))),
        Some(Address::Capability(capability)) if is_small => route(shared, capability, incoming),
        Some(Address::Capability(capability)) => {
            // A large body is read on a thread that may take its time.
            let shared = shared.clone();
            tokio::task::spawn_blocking(move || route(&shared, capability, incoming));
        }
        _ => {
            incoming.responder.fail(&Fault::new(FaultKind::NotFound, format!("{} is no capability", incoming.subject)))
        }
    }
}

/// Passes a request for a capability on.
fn route(shared: &Arc<Shared>, capability: Capability, incoming: Incoming) {
    let peek: Peek = match incoming.responder.codec().decode(&incoming.payload) {
        Ok(peek) => peek,
        Err(error) => {
            incoming.responder.fail(&error.into());
            return;
        }
    };
    match shared.config.prefer.get(&capability) {
        Some(models) if peek.model.is_none() => {
            let probe = Probe::new(&shared.probes, &incoming.meta.work);
            let models = peek.suiting(&shared.roster.lock(), models);
            tokio::spawn(relay(shared.bus.clone(), capability, models, incoming, probe));
        }
        _ => forward(&shared.bus, &shared.roster, &capability, incoming, &peek),
    }
}

/// Answers one question.
async fn answer(shared: Arc<Shared>, incoming: Incoming) {
    let began = Instant::now();
    let Incoming { payload, mut meta, responder, .. } = incoming;
    let open = match shared.asks.open(&meta.work) {
        Ok(open) => open,
        Err(fault) => return responder.fail(&fault),
    };
    let ask = match read_ask(responder.codec(), &payload).await {
        Ok(ask) => ask,
        Err(fault) => return responder.fail(&fault),
    };
    drop(payload);
    let span = if trace::is_exporting() {
        let span = tracing::info_span!("ask", work = %meta.work, attachments = ask.attachments.len());
        trace::adopt(&span, &meta);
        trace::carry(&span, &mut meta);
        span
    } else {
        tracing::Span::none()
    };
    let deadline = meta.deadline.unwrap_or(began + shared.config.default_deadline);
    let work = meta.work.clone();
    let probe = Probe::new(&shared.probes, &work);
    let is_stream = ask.stream;
    let (for_frames, for_answer) = if is_stream { (Some(responder), None) } else { (None, Some(responder)) };
    let mut frames = Frames::new(for_frames, probe);
    let asking = Asking::new(&shared, ask, meta, began, deadline);
    let outcome = tokio::select! {
        outcome = asking.answer(&mut frames).instrument(span) => outcome,
        () = open.cancelled.cancelled() => {
            shared.bus.cancel(&work);
            Err(Fault::new(FaultKind::Cancelled, "cancelled by the caller"))
        }
        () = tokio::time::sleep_until(deadline.into()) => {
            shared.bus.cancel(&work);
            Err(Fault::new(FaultKind::DeadlineExceeded, "the question was not answered before its deadline"))
        }
    };
    let Some(responder) = frames.into_responder().or(for_answer) else { return };
    match outcome {
        Ok(reply) => responder.answer(&reply),
        Err(fault) => responder.fail(&fault),
    }
    drop(open);
}

async fn read_ask(codec: Codec, payload: &bytes::Bytes) -> Result<Ask, Fault> {
    if payload.len() <= READ_IN_PLACE {
        return Ok(codec.decode(payload)?);
    }
    let payload = payload.clone();
    let read = tokio::task::spawn_blocking(move || codec.decode(&payload)).await;
    read.map_err(|error| Fault::engine(format!("reading the question failed: {error}")))?.map_err(Fault::from)
}

impl Shared {
    /// A place among the legs that are under way; it is given back when it is dropped.
    ///
    /// # Errors
    /// `deadline_exceeded` if there is none in time.
    pub(crate) async fn place_for_leg(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Fault> {
        match tokio::time::timeout_at(deadline.into(), self.legs.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Fault::new(FaultKind::DeadlineExceeded, "too many legs were under way for this one to be sent")),
        }
    }

    /// The media type of an attachment: the one given, or what its first bytes say. A blob must be there.
    pub(crate) async fn media_type(&self, index: usize, media: &Media) -> Result<String, Fault> {
        let given =
            media.mime.as_deref().map(|mime| mime.split(';').next().unwrap_or(mime).trim().to_ascii_lowercase());
        let head = match (&media.blob, &given) {
            (Some(blob), Some(_)) => {
                self.blobs().await?.check(blob).await?;
                return Ok(given.unwrap_or_default());
            }
            (Some(blob), None) => self.blobs().await?.head(blob).await?,
            (None, Some(_)) => return Ok(given.unwrap_or_default()),
            (None, None) => {
                media.data.as_ref().map(|data| data.0.iter().copied().take(8192).collect()).unwrap_or_default()
            }
        };
        infer::get(&head).map(|kind| kind.mime_type().to_owned()).ok_or_else(|| {
            Fault::invalid(format!("attachment {index}: its media type cannot be told from its bytes; give `mime`"))
        })
    }

    async fn blobs(&self) -> Result<&BlobStore, Fault> {
        // Bounded: a bus without JetStream must not hold a question up.
        let opened = self.blobs.get_or_try_init(|| async {
            tokio::time::timeout(Duration::from_secs(5), self.bus.blob_store())
                .await
                .unwrap_or_else(|_| Err(Fault::unavailable("the blob store does not answer", 1000)))
        });
        opened.await
    }
}
