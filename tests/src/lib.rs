//! How does a test run a whole brain? The real program, a real nats-server, real actors; all gone when it is dropped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness fails by panicking"
)]

mod doors;
mod ordeal;
mod receiver;
mod server;
mod words;
mod works;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use megabrain_bus::Bus;
use megabrain_node::connection::{Connection, Role};
use megabrain_node::pull::{Options, Puller, Reporter, Source};
use megabrain_schemas::{ModelState, Name, Presence, subject};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use doors::{Doors, conversation, error, text_of};
pub use ordeal::{AT_ONCE, Outcome, ordeal};
pub use receiver::{Called, Receiver};
pub use server::Server;
pub use words::{words, wrong};
pub use works::Works;

/// The models of the starter brain.
pub const STARTER: &str = r#"
[models.fast]
actor = "llm"
weights = "smollm2-135m"
[models.deep]
actor = "llm"
weights = "qwen2.5-coder-0.5b"
device = "ram"
[models.whisper]
actor = "speech"
weights = "whisper-tiny.en"
[models.echo]
actor = "echo"
[router]
answer = ["deep", "fast"]
"#;

/// Tables of a brain file for the starter brain's eyes.
pub const EYES: &str = r#"
[models.vision]
actor = "vision"
[models.vision.weights]
classify = "efficientnet-lite0"
detect = "pp-ocr-v4-detect"
angle = "pp-ocr-v4-angle"
read = "pp-ocr-v4-read"
"#;

/// A table of a brain file for the starter brain's vectors of texts.
pub const VECTORS: &str = r#"
[models.embed]
actor = "llm"
weights = "minilm-l6"
device = "ram"
"#;

/// A table of a brain file for a model that ranks texts.
pub const RANKER: &str = r#"
[models.rerank]
actor = "llm"
weights = "ms-marco-minilm-l12"
device = "ram"
"#;

/// A table of a brain file for a language model with eyes, those of a toy that names eight colours.
pub const SEEING: &str = r#"
[models.writer]
actor = "llm"
weights = { model = "smollm2-135m", mmproj = "smollm2-135m-colours" }
device = "ram"
context = 512
max_pixels = 1_000_000
"#;

/// A table of a brain file for the starter brain's ears.
pub const EARS: &str = r#"
[models.whisper]
actor = "speech"
weights = "whisper-tiny.en"
"#;

/// How many bytes of media the bus of a brain keeps, where a test does not say.
const BLOB_MAX: &str = "2 MiB";

/// A running brain.
pub struct Brain {
    node: Child,
    folder: TempDir,
    name: Name,
    environment: Vec<(String, String)>,
    /// Of the bus that it was given; it writes that of its own to a file.
    given: Option<Connection>,
}

/// Starts `megabrain up` with the brain file of this folder; what it says goes to a file there.
fn up(folder: &Path, environment: &[(String, String)]) -> Child {
    let log = std::fs::File::create(folder.join("up.log")).expect("log");
    megabrain(folder, &["up", &folder.join("brain.toml").display().to_string()])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("megabrain up: {error}: run `make build`"))
}

/// The folder of the built programs.
pub fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let folder = own.parent().expect("folder");
    if folder.ends_with("deps") { folder.parent().expect("target folder").to_owned() } else { folder.to_owned() }
}

/// A name as the contract has it.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// The program `megabrain` as somebody calls it who runs no brain and has named no bus; what a brain needs to be found
/// lies in `folder`.
pub fn megabrain(folder: &Path, arguments: &[&str]) -> Command {
    let program = programs().join("megabrain");
    assert!(program.exists(), "{} is not there: run `make build`", program.display());
    let mut command = Command::new(program);
    for variable in ["NATS_URL", "NATS_USER", "NATS_PASSWORD", "NATS_CREDS"] {
        command.env_remove(variable);
    }
    command.args(arguments).env("XDG_RUNTIME_DIR", folder).stdin(Stdio::null());
    command
}

/// What a program said before it ended: its exit code, its standard output, its standard error.
pub fn said(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// The file of something in the manifest, fetched if it is not there.
pub async fn artefact(name: &str) -> PathBuf {
    let puller = Puller::new(Options::from_env(), Reporter::silent()).expect("a puller");
    puller.fetch(&Source::Artefact(name.to_owned())).await.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// One of the committed sounds, pictures and films.
pub fn media(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("media").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The committed film, so many times over: it takes seconds to split. Needs ffmpeg.
pub fn long_film(times: u32) -> Vec<u8> {
    let folder = TempDir::new().expect("a folder");
    let (source, target) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("media/film.mp4"), folder.path().join("long.mp4"));
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-stream_loop", &(times - 1).to_string(), "-i"]).arg(source);
    let status = command.args(["-c", "copy"]).arg(&target).status().expect("ffmpeg: `make setup` installs it");
    assert!(status.success(), "ffmpeg: {status}");
    std::fs::read(target).expect("the film")
}

impl Brain {
    /// Starts `megabrain up` with these models and waits for its bus. Logs go to `up.log` in its folder.
    pub async fn start(models: &str) -> Self {
        Self::start_with(models, &[]).await
    }

    /// As [`Brain::start`], with variables for the processes of the brain.
    pub async fn start_with(models: &str, environment: &[(&str, &str)]) -> Self {
        Self::spawn("", models, environment, BLOB_MAX).with_bus().await
    }

    /// As [`Brain::start_with`], with so much room for blobs.
    pub async fn start_with_room(models: &str, environment: &[(&str, &str)], blob_max: &str) -> Self {
        Self::spawn("", models, environment, blob_max).with_bus().await
    }

    /// As [`Brain::start`], with more lines for the `[brain]` table.
    pub async fn start_as(settings: &str, models: &str) -> Self {
        Self::spawn(settings, models, &[], BLOB_MAX).with_bus().await
    }

    /// Starts `megabrain up` on a bus of the test's own, which need not be there yet. Waits for nothing.
    pub fn start_on(server: &Server, models: &str) -> Self {
        let variables = server.environment();
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut brain = Self::spawn("", models, &variables, BLOB_MAX);
        brain.given = Some(server.connection().clone());
        brain
    }

    fn spawn(settings: &str, models: &str, environment: &[(&str, &str)], blob_max: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let name = name(&format!("test{}", std::process::id()));
        let store = folder.path().join("bus").display().to_string();
        let file = folder.path().join("brain.toml");
        // A port of its own, unless the test says otherwise.
        let doors = if models.contains("[gateway]") { "" } else { "[gateway]\nlisten = \"127.0.0.1:0\"\n" };
        let text = format!(
            "[brain]\nname = \"{name}\"\ndrain = \"2s\"\n{settings}\n{doors}[bus]\nstore = \"{store}\"\nblob_max = \"{blob_max}\"\n{models}"
        );
        std::fs::write(&file, text).expect("brain file");
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let node = up(folder.path(), &environment);
        Self { node, folder, name, environment, given: None }
    }

    /// Starts the node again, which was killed or has ended, with the same file, and waits for its bus.
    pub async fn start_again(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
        let _ = std::fs::remove_file(self.file());
        self.node = up(self.folder.path(), &self.environment);
        if self.given.is_none() {
            self.until(Duration::from_secs(60), "the bus", |brain| brain.file().exists()).await;
        }
    }

    async fn with_bus(mut self) -> Self {
        self.until(Duration::from_secs(60), "the bus", |brain| brain.file().exists()).await;
        self
    }

    /// Waits until every one of these models serves.
    pub async fn ready(&mut self, models: &[&str], limit: Duration) -> &mut Self {
        let bus = self.client().await;
        for model in models {
            let end = Instant::now() + limit;
            loop {
                let state = presence(&bus, model).await.map(|presence| presence.state);
                if state == Some(ModelState::Ready) {
                    break;
                }
                assert!(Instant::now() < end, "{model} is {state:?} after {limit:?}\n{}", self.log());
            }
        }
        self
    }

    /// A connection with a client's rights.
    pub async fn client(&self) -> Bus {
        self.connect(Role::Client).await
    }

    /// A connection in this role.
    pub async fn connect(&self, role: Role) -> Bus {
        self.connection().connect(role, "test", false).await.expect("connect")
    }

    /// Address and passwords.
    pub fn connection(&self) -> Connection {
        if let Some(given) = &self.given {
            return given.clone();
        }
        let bytes = std::fs::read(self.file()).expect("connection file");
        serde_json::from_slice(&bytes).expect("connection file")
    }

    /// Where its doors are: `http://127.0.0.1:…`.
    pub async fn http(&mut self) -> String {
        let address = |brain: &Self| {
            let log = brain.log();
            let line = log.lines().find_map(|line| line.strip_prefix("http     "))?;
            line.starts_with("http://").then(|| line.to_owned())
        };
        self.until(Duration::from_secs(30), "doors", |brain| address(brain).is_some()).await;
        address(self).expect("just seen")
    }

    /// The node's process.
    pub fn node(&self) -> u32 {
        self.node.id()
    }

    /// The children of the node whose command line contains `text`.
    pub fn children(&self, text: &str) -> Vec<u32> {
        children_of(self.node.id()).into_iter().filter(|pid| command_line(*pid).contains(text)).collect()
    }

    /// What the brain has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    /// A folder of this test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// True while the node lives.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.node.try_wait(), Ok(None))
    }

    /// Waits for something.
    pub async fn until(&mut self, limit: Duration, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + limit;
        while !is_so(self) {
            assert!(self.is_alive(), "the node ended while waiting for {what}\n{}", self.log());
            assert!(Instant::now() < end, "no {what} after {limit:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Tells the node to stop in good order and waits for its end.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        signal(self.node.id(), Signal::TERM);
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.node.try_wait().expect("wait") {
                return status;
            }
            assert!(Instant::now() < end, "the node does not stop\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("megabrain").join(format!("{}.json", self.name))
    }
}

impl Drop for Brain {
    fn drop(&mut self) {
        if self.is_alive() {
            let children = children_of(self.node.id());
            let _ = self.node.kill();
            let _ = self.node.wait();
            let end = Instant::now() + Duration::from_secs(5);
            while children.iter().any(|pid| is_running(*pid)) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The next presence of a model, within a little more than its beat.
pub async fn presence(bus: &Bus, model: &str) -> Option<Presence> {
    let mut events = bus.events::<Presence>(subject::event::PRESENCE, None).await.expect("events");
    let heard = async {
        loop {
            let event = events.next().await?;
            if event.body.model.as_str() == model {
                return Some(event.body);
            }
        }
    };
    tokio::time::timeout(Duration::from_millis(1500), heard).await.ok().flatten()
}

/// Sends a signal to a process that a test started.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("pid")).expect("pid");
    let _ = kill_process(pid, signal);
}

/// True while there is such a process and it is no zombie.
pub fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

/// The processes whose parent is `pid`.
pub fn children_of(pid: u32) -> Vec<u32> {
    let parent = |child: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|child| parent(*child) == Some(pid))
        .collect()
}

fn command_line(pid: u32) -> String {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .unwrap_or_default()
}
