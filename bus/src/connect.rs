//! How does one get on the bus, and how does one learn that it is away?

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{ConnectErrorKind, ConnectOptions, Event};
use bytes::Bytes;
use megabrain_schemas::{Fault, FaultKind, Name};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use ulid::Ulid;

use crate::inbox::Inbox;

/// How long a connection that is being closed may take to send what is left.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Who is asking to be let on.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nobody in particular, or whoever the URL names.
    #[default]
    None,
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// The path of a NATS credentials file.
    File(std::path::PathBuf),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password { user, .. } => write!(f, "Password({user}, …)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// Server address: `nats://127.0.0.1:4222`.
    pub url: String,
    /// Who is asking.
    pub credentials: Credentials,
    /// The connection's name, as `nats server report connections` shows it.
    pub name: String,
    /// First token of this connection's inboxes. A role that may not read other inboxes has one of its own.
    pub inbox_prefix: &'static str,
    /// Messages that one subscription holds for a slow reader before it drops.
    pub subscription_capacity: usize,
    /// True: return at once and keep trying when the server is not there yet.
    pub wait_for_server: bool,
}

impl Options {
    /// A plain client of this server.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: Credentials::None,
            name: name.into(),
            inbox_prefix: "_INBOX",
            subscription_capacity: 65_536,
            wait_for_server: false,
        }
    }

    /// Says who is asking.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }
}

/// The bus cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server, or it refused.
    #[error("cannot connect to the bus at {url}: {source}")]
    Connect {
        /// Where.
        url: String,
        /// Why.
        source: async_nats::ConnectError,
    },
    /// A credentials file cannot be read.
    #[error("cannot read the credentials file {path}: {source}")]
    Credentials {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The server would not take the first subscription.
    #[error("cannot listen on the bus: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
}

impl ConnectError {
    /// True if the server is away, so that it makes sense to wait for it.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind(), Some(ConnectErrorKind::Dns | ConnectErrorKind::Io | ConnectErrorKind::TimedOut))
    }

    /// True if the server does not let us on.
    pub fn is_refusal(&self) -> bool {
        matches!(self.kind(), Some(ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication))
    }

    fn kind(&self) -> Option<ConnectErrorKind> {
        match self {
            Self::Connect { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

/// Whether the server can be reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It can.
    Up,
    /// It cannot; the client is trying.
    Down,
}

/// A connection. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Bus(Arc<Connection>);

/// What all clones of a [`Bus`] share.
struct Connection {
    client: async_nats::Client,
    inbox: Arc<Inbox>,
    link: watch::Receiver<Link>,
    refusal: Arc<Mutex<Option<String>>>,
    runtime: tokio::runtime::Handle,
    listener: AbortHandle,
}

impl Drop for Connection {
    /// Closes the connection. What was sent last, a cancel for instance, still leaves: the client by itself ends without it.
    fn drop(&mut self) {
        self.listener.abort();
        let client = self.client.clone();
        self.runtime.spawn(async move {
            let _ = tokio::time::timeout(LAST_WORDS, client.flush()).await;
        });
    }
}

impl Bus {
    /// Connects, and from then on reconnects for ever by itself.
    ///
    /// # Errors
    /// The server is not there (unless `wait_for_server`), or refuses the credentials.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let (link_sender, link) = watch::channel(if options.wait_for_server { Link::Down } else { Link::Up });
        let inbox = Arc::new(Inbox::new(format!("{}.{}", options.inbox_prefix, Ulid::new())));
        let refusal = Arc::default();
        let client = connect_options(&options, link_sender, inbox.clone(), Arc::clone(&refusal))
            .await?
            .connect(&options.url)
            .await
            .map_err(|source| ConnectError::Connect { url: options.url.clone(), source })?;
        let listener = inbox.clone().listen(client.subscribe(inbox.wildcard()).await?);
        let runtime = tokio::runtime::Handle::current();
        let connection = Connection { client, inbox, link, refusal, runtime, listener };
        Ok(Self(Arc::new(connection)))
    }

    /// The largest message that the server in reach takes, in bytes, headers included.
    pub fn max_payload(&self) -> usize {
        self.0.client.max_payload()
    }

    /// Waits until the server can be reached. Cancel-safe.
    pub async fn connected(&self) {
        // The client that tells the link lives as long as this.
        let _ = self.0.link.clone().wait_for(|link| *link == Link::Up).await;
    }

    /// Tells each change of the link from now on.
    pub fn watch_link(&self) -> watch::Receiver<Link> {
        let mut link = self.0.link.clone();
        link.mark_unchanged();
        link
    }

    /// Waits until everything sent so far is written to the connection; the server reads it in this order.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn flush(&self) -> Result<(), Fault> {
        self.0.client.flush().await.map_err(|error| away(&error))
    }

    /// What the server last refused of all that was sent so far, if it ever did: a subject that our role may not publish
    /// or subscribe to. Takes a round trip.
    pub async fn refusal(&self) -> Option<String> {
        // A request that nobody serves is answered by the server itself, after all that it had to say before.
        let nobody = format!("$SRV.PING.{}", Ulid::new());
        let _ = self.request_plain(&nobody, Bytes::new(), Duration::from_secs(2)).await;
        // The task that reads the server's words is ready by now.
        tokio::task::yield_now().await;
        self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Terminal answers that came for calls that had one already, or that nobody waited for any more.
    pub fn late_terminals(&self) -> u64 {
        self.0.inbox.late_terminals()
    }

    pub(crate) fn client(&self) -> &async_nats::Client {
        &self.0.client
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.0.inbox
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.0.runtime
    }
}

pub(crate) fn away(error: &dyn std::fmt::Display) -> Fault {
    Fault::unavailable(format!("the bus is away: {error}"), 1000)
}

/// A new work id: a ULID, so that ids sort by time.
pub(crate) fn new_work() -> Name {
    Name::sanitized(Ulid::new().array_to_str(&mut [0; ulid::ULID_LEN]))
}

/// Tells a change of the link; the connection that [`Bus::connect`] itself makes is none.
fn turn(link: &watch::Sender<Link>, now: Link) {
    link.send_if_modified(|before| std::mem::replace(before, now) != now);
}

async fn connect_options(
    options: &Options,
    link: watch::Sender<Link>,
    inbox: Arc<Inbox>,
    refusal: Arc<Mutex<Option<String>>>,
) -> Result<ConnectOptions, ConnectError> {
    let base = match &options.credentials {
        Credentials::None => ConnectOptions::new(),
        Credentials::Password { user, password } => {
            ConnectOptions::with_user_and_password(user.clone(), password.clone())
        }
        Credentials::File(path) => ConnectOptions::with_credentials_file(path)
            .await
            .map_err(|source| ConnectError::Credentials { path: path.display().to_string(), source })?,
    };
    let base = base
        .name(&options.name)
        .custom_inbox_prefix(options.inbox_prefix)
        .subscription_capacity(options.subscription_capacity)
        .ping_interval(Duration::from_secs(5))
        .reconnect_delay_callback(|attempt| Duration::from_millis(50 << attempt.min(5)).min(Duration::from_secs(1)))
        .event_callback(move |event| {
            match event {
                Event::Connected => turn(&link, Link::Up),
                Event::Disconnected | Event::Closed => {
                    turn(&link, Link::Down);
                    inbox.fail_all(&Fault::new(
                        FaultKind::Unavailable,
                        "the bus went away while the answer was awaited",
                    ));
                }
                Event::SlowConsumer(subscription) => {
                    tracing::warn!(subscription, "messages dropped: this process reads too slowly");
                }
                Event::ServerError(error) => {
                    tracing::warn!(%error, "the server refused something");
                    *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                }
                Event::ClientError(error) => tracing::debug!(%error, "the client stumbled"),
                Event::LameDuckMode | Event::Draining => {}
            }
            std::future::ready(())
        });
    Ok(if options.wait_for_server { base.retry_on_initial_connect() } else { base })
}
