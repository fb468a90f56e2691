//! Where is the bus, and who are we on it?
//!
//! `NATS_URL` (with `NATS_USER` and `NATS_PASSWORD`, or `NATS_CREDS`) says so. Without it, `megabrain up` has written
//! address and passwords to a file that only its owner can read, and every other command finds them there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use megabrain_bus::{Bus, Credentials, Options};
use megabrain_schemas::Name;
use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Serialize};

/// Who somebody is on the bus: a user of `nats.conf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Whoever asks.
    Client,
    /// A model's process.
    Model,
    /// The node.
    Node,
    /// A person who repairs things.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Client, Self::Model, Self::Node, Self::Admin];

    /// The user's name in `nats.conf`.
    pub fn user(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Model => "model",
            Self::Node => "node",
            Self::Admin => "admin",
        }
    }

    /// The environment variable that `nats.conf` reads the password from.
    pub fn password_variable(self) -> &'static str {
        match self {
            Self::Client => "MEGABRAIN_CLIENT_PASSWORD",
            Self::Model => "MEGABRAIN_MODEL_PASSWORD",
            Self::Node => "MEGABRAIN_NODE_PASSWORD",
            Self::Admin => "MEGABRAIN_ADMIN_PASSWORD",
        }
    }
}

/// Address and passwords of one brain's bus.
#[derive(Clone, Serialize, Deserialize)]
pub struct Connection {
    /// Server address.
    pub url: String,
    /// Password by role. Without one for a role, `NATS_USER` and `NATS_PASSWORD` are used, or nobody in particular.
    #[serde(default)]
    pub passwords: BTreeMap<Role, String>,
    /// The process that runs the server; the file is stale when it has ended. None if it is not ours, and then there is
    /// no file.
    #[serde(default)]
    pub process: Option<Process>,
}

/// A process, known from others that had its number before and after: in a container that is started again, the first
/// one always has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in ticks of the kernel's clock since the machine started.
    started: u64,
}

impl Process {
    /// This one.
    fn this() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// The one that has this number now; none if it has ended, and waits only for somebody to take notice.
    fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
        // proc_pid_stat(5): number, name in brackets, which may hold anything, state, …; the 22nd is when it began.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, started })
    }

    fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// The bus cannot be found or reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// No `NATS_URL` and no running brain.
    #[error("no brain is running here: start one with `megabrain up`, or name its bus with NATS_URL")]
    NoBrain,
    /// Brains run, but not this one.
    #[error("no brain {brain} is running here; there is {there}")]
    NotRunning {
        /// Which was named.
        brain: Name,
        /// Those that run.
        there: String,
    },
    /// Several brains run, and none was named.
    #[error("several brains are running here ({0}): choose one with --brain NAME")]
    Several(String),
    /// A brain of this name runs here already.
    #[error("brain {brain} is running here already (process {pid}): stop it, or give this one another [brain] name")]
    Running {
        /// Which.
        brain: Name,
        /// Its node.
        pid: u32,
    },
    /// A node would join a bus as somebody who may not do what a node does.
    #[error(
        "NATS_URL is set, so that this brain joins that bus, and as {user}, who may not run models: `unset NATS_URL` for a \
         bus of its own, or set MEGABRAIN_NODE_PASSWORD"
    )]
    NoNode {
        /// Whom `NATS_USER` names.
        user: String,
    },
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bus refused or is away.
    #[error(transparent)]
    Bus(#[from] megabrain_bus::ConnectError),
}

impl Connection {
    /// The connection that `NATS_URL` names, if it is set.
    pub fn from_environment() -> Option<Self> {
        let url = std::env::var("NATS_URL").ok().filter(|url| !url.is_empty())?;
        Some(Self { url, passwords: passwords_from_environment(), process: None })
    }

    /// Makes sure that a node is not to join as `user`, one of our own users for something else.
    ///
    /// # Errors
    /// It is.
    pub fn check_node(&self, user: Option<String>) -> Result<(), ConnectionError> {
        let is_other = |user: &String| [Role::Client, Role::Model].iter().any(|role| role.user() == user);
        match user.filter(is_other) {
            Some(user) if !self.passwords.contains_key(&Role::Node) => Err(ConnectionError::NoNode { user }),
            _ => Ok(()),
        }
    }

    /// A connection to a server that has yet to be named, with the passwords that the environment knows.
    pub fn with_passwords_from_environment() -> Self {
        Self { url: String::new(), passwords: passwords_from_environment(), process: None }
    }

    /// A connection to a server of our own: passwords from the environment, the others made up.
    pub fn with_new_passwords(url: String) -> Self {
        let mut passwords = passwords_from_environment();
        for role in Role::ALL {
            passwords.entry(role).or_insert_with(new_password);
        }
        Self { url, passwords, process: Process::this() }
    }

    /// The connection of the brain that runs here: the one named, or the only one.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn of_running_brain(brain: Option<&Name>) -> Result<Self, ConnectionError> {
        let mut running = running_in(&runtime_folder());
        let there = running.keys().cloned().collect::<Vec<_>>().join(", ");
        match (brain, running.len()) {
            (_, 0) => Err(ConnectionError::NoBrain),
            (Some(brain), _) => {
                running.remove(brain.as_str()).ok_or(ConnectionError::NotRunning { brain: brain.clone(), there })
            }
            (None, 1) => running.into_values().next().ok_or(ConnectionError::NoBrain),
            (None, _) => Err(ConnectionError::Several(there)),
        }
    }

    /// Makes sure that no brain of this name runs here.
    ///
    /// # Errors
    /// One does.
    pub fn check_not_running(brain: &Name) -> Result<(), ConnectionError> {
        match Self::of_running_brain(Some(brain)) {
            Ok(other) => Err(ConnectionError::Running {
                brain: brain.clone(),
                pid: other.process.map_or(0, |process| process.pid),
            }),
            Err(_) => Ok(()),
        }
    }

    /// `NATS_URL`, or the brain that runs here.
    ///
    /// # Errors
    /// There is neither.
    pub fn find(brain: Option<&Name>) -> Result<Self, ConnectionError> {
        Self::from_environment().map_or_else(|| Self::of_running_brain(brain), Ok)
    }

    /// Connects as this role.
    ///
    /// # Errors
    /// The bus is away or refuses.
    pub async fn connect(&self, role: Role, name: &str, wait_for_server: bool) -> Result<Bus, ConnectionError> {
        Ok(Bus::connect(self.options(role, name, wait_for_server)).await?)
    }

    /// How a connection of this role is made.
    pub fn options(&self, role: Role, name: &str, wait_for_server: bool) -> Options {
        let inbox_prefix = match role {
            Role::Client | Role::Admin => "_INBOX",
            Role::Model => "_INBOX_MODEL",
            Role::Node => "_INBOX_NODE",
        };
        let options = Options { inbox_prefix, wait_for_server, ..Options::new(&self.url, name) };
        options.credentials(self.credentials(role))
    }

    /// What this role shows the server.
    pub fn credentials(&self, role: Role) -> Credentials {
        match self.passwords.get(&role) {
            Some(password) => Credentials::Password { user: role.user().into(), password: password.clone() },
            None => megabrain_runtime::bus_credentials(),
        }
    }

    /// The variables by which a program of this role finds the bus.
    pub fn environment(&self, role: Role) -> Vec<(String, String)> {
        let mut variables = vec![("NATS_URL".to_owned(), self.url.clone())];
        if let Some(password) = self.passwords.get(&role) {
            variables.push(("NATS_USER".into(), role.user().into()));
            variables.push(("NATS_PASSWORD".into(), password.clone()));
        }
        variables
    }

    /// Writes the file that other commands find this brain by, readable by its owner only.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn publish(&self, brain: &Name) -> Result<PublishedConnection, ConnectionError> {
        let path = runtime_folder().join(format!("{brain}.json"));
        Self::check_not_running(brain)?;
        let written = || {
            if let Some(folder) = path.parent() {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            write_private(&path, &serde_json::to_vec_pretty(self)?)
        };
        written().map_err(|source| ConnectionError::File { path: path.clone(), source })?;
        Ok(PublishedConnection(path))
    }

    fn is_alive(&self) -> bool {
        self.process.is_some_and(Process::is_alive)
    }
}

/// The brains whose files lie in this folder and whose processes live, by name.
fn running_in(folder: &Path) -> BTreeMap<String, Connection> {
    let mut running = BTreeMap::new();
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let is_ours = path.extension().is_some_and(|extension| extension == "json");
        let bytes = if is_ours { std::fs::read(&path).ok() } else { None };
        let connection = bytes.and_then(|bytes| serde_json::from_slice::<Connection>(&bytes).ok());
        running.extend(connection.filter(Connection::is_alive).map(|connection| (name, connection)));
    }
    running
}

/// The file that other commands find a brain by; dropping it removes the file.
pub struct PublishedConnection(PathBuf);

impl PublishedConnection {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PublishedConnection {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes a file that only its owner can read, whole or not at all.
///
/// # Errors
/// As the file system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}

/// `$XDG_RUNTIME_DIR/megabrain`, else the cache folder's `run`.
pub fn runtime_folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder).join("megabrain"),
        None => crate::pull::cache_dir().join("run"),
    }
}

fn passwords_from_environment() -> BTreeMap<Role, String> {
    Role::ALL
        .into_iter()
        .filter_map(|role| Some((role, std::env::var(role.password_variable()).ok().filter(|text| !text.is_empty())?)))
        .collect()
}

/// Letters and digits, 190 bits; begins with a letter, since `nats.conf`'s parser takes `123` for a number.
fn new_password() -> String {
    format!("p{}", Alphanumeric.sample_string(&mut rand::rng(), 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_does_not_join_as_a_client() {
        let mut there = Connection { url: "nats://there".into(), passwords: BTreeMap::new(), process: None };
        let told = there.check_node(Some("client".into())).unwrap_err().to_string();
        assert!(told.contains("as client") && told.contains("unset NATS_URL"), "{told}");
        for user in [None, Some("node"), Some("admin"), Some("somebody")] {
            there.check_node(user.map(str::to_owned)).unwrap();
        }
        there.passwords.insert(Role::Node, "secret".into());
        there.check_node(Some("client".into())).unwrap();
    }

    #[test]
    fn only_brains_whose_node_lives_count_as_running() {
        let folder = tempfile::TempDir::new().unwrap();
        let put = |name: &str, process: Option<Process>| {
            let connection = Connection { url: format!("nats://{name}"), passwords: BTreeMap::new(), process };
            std::fs::write(folder.path().join(name), serde_json::to_vec(&connection).unwrap()).unwrap();
        };
        put("nobodys.json", None);
        let this = Process::this().unwrap();
        put("this.json", Some(this));
        put("before.json", Some(Process { started: this.started - 1, ..this }));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = Process::of(child.id());
        // Nobody has taken notice of its end yet.
        while Process::of(child.id()).is_some() {}
        put("dead.json", Some(ended.unwrap_or(Process { pid: child.id(), started: 0 })));
        put("note.txt", None);
        std::fs::write(folder.path().join("torn.json"), "{").unwrap();
        let running = running_in(folder.path());
        assert_eq!(running.keys().collect::<Vec<_>>(), ["this"]);
        assert!(child.wait().unwrap().success());
        assert!(running_in(Path::new("/nonexistent")).is_empty());
    }
}
