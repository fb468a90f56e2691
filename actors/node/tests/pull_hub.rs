//! What does fetching promise? Tested against a local server that speaks the hub's API as far as `hf-hub` uses it, since
//! no machine that runs these tests reaches the hub; a shell script stands in for Python where the registry is meant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use megabrain_node::pull::{Event, HubError, HubFile, Options, PullError, Puller, Reporter, Source, Stage};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const FILE: &str = "org/repo/small.gguf";

// ---- the promises ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_file_comes_from_the_hub_and_the_second_call_is_instant() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    let place = Place::new(&hub.url(), HUB_ONLY);
    let path = place.pull().await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(path, place.models().join("small.gguf"));
    assert_eq!(fs::read_to_string(place.models().join("small.gguf.ok")).unwrap().trim(), sha256(&content()));
    assert!(!place.models().join("downloads/hub").exists(), "nothing of the download is left");

    let asked = hub.requests().len();
    let started = Instant::now();
    assert_eq!(place.pull().await.unwrap(), path);
    assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
    assert_eq!(hub.requests().len(), asked, "the cache is not asked for at the hub");
    let mut offline = place.options.clone();
    offline.offline = true;
    assert_eq!(pull(&offline, Reporter::silent()).await.unwrap(), path);
}

#[tokio::test]
async fn a_file_that_lies_there_unstamped_is_checked_and_not_fetched() {
    let hub = Hub::start();
    let place = Place::new(&hub.url(), HUB_ONLY);
    fs::create_dir_all(place.models()).unwrap();
    fs::write(place.models().join("small.gguf"), content()).unwrap();
    let offline = Options { offline: true, ..place.options.clone() };
    pull(&offline, Reporter::silent()).await.unwrap();
    assert!(place.models().join("small.gguf.ok").exists());
    assert!(hub.requests().is_empty());
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_broke() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    hub.break_next(Break::Close { after: 300_000 });
    let place = Place::new(&hub.url(), HUB_ONLY);
    let path = place.pull().await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert_eq!(hub.ranges(), ["bytes=0-", "bytes=300000-"]);
}

#[tokio::test]
async fn a_later_run_goes_on_where_an_earlier_one_gave_up() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    hub.break_next(Break::Stall { after: 400_000 });
    let mut place = Place::new(&hub.url(), HUB_ONLY);
    place.options.stall_limit = Duration::from_millis(300);
    let error = place.pull().await.unwrap_err();
    assert!(matches!(error, PullError::Hub { source: HubError::Stalled(_), .. }), "{error}");
    hub.end_stall();

    place.options.stall_limit = Duration::from_secs(30);
    let events = Events::default();
    let path = pull(&place.options, events.reporter()).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert_eq!(hub.ranges(), ["bytes=0-", "bytes=400000-"]);
    assert_eq!(events.first(Stage::Download).done, 400_000, "progress counts what was there");
}

#[tokio::test]
async fn a_download_that_was_killed_before_its_last_step_is_not_asked_for_again() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    let place = Place::new(&hub.url(), HUB_ONLY);
    place.leave_part(&content());
    assert_eq!(fs::read(place.pull().await.unwrap()).unwrap(), content());
    assert!(hub.ranges().is_empty());
}

#[tokio::test]
async fn a_damaged_partial_download_is_started_over() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    let place = Place::new(&hub.url(), HUB_ONLY);
    place.leave_part(&[7; 1000]);
    assert_eq!(fs::read(place.pull().await.unwrap()).unwrap(), content());
    assert_eq!(hub.ranges(), ["bytes=1000-", "bytes=0-"]);
}

#[tokio::test]
async fn a_wrong_sha256_is_refused_and_the_registry_asked() {
    let hub = Hub::start();
    hub.put_lying(FILE, &vec![7; content().len()], &sha256(&content()));
    let place = Place::new(&hub.url(), HUB_AND_REGISTRY);
    let events = Events::default();
    let options = place.with_python(BRINGS_IT);
    let path = pull(&options, events.reporter()).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert_eq!(hub.ranges(), ["bytes=0-"], "it was fetched once, and refused");
    assert_eq!(events.first(Stage::Prepare).total, 4242, "the script's progress is shown");
}

#[tokio::test]
async fn a_wrong_file_without_another_source_is_an_error_and_leaves_nothing() {
    let hub = Hub::start();
    hub.put_lying(FILE, &vec![7; content().len()], &sha256(&content()));
    let place = Place::new(&hub.url(), HUB_ONLY);
    let error = place.pull().await.unwrap_err();
    assert!(matches!(error, PullError::Hub { source: HubError::Mismatch(_), .. }), "{error}");
    assert!(!place.models().join("small.gguf").exists());
    assert!(!place.models().join("downloads/hub").exists());
}

#[tokio::test]
async fn a_file_that_the_hub_itself_describes_otherwise_is_not_even_fetched() {
    let hub = Hub::start();
    hub.put(FILE, b"something else");
    let place = Place::new(&hub.url(), HUB_AND_REGISTRY);
    let path = pull(&place.with_python(BRINGS_IT), Reporter::silent()).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert!(hub.ranges().is_empty());
}

#[tokio::test]
async fn a_hub_out_of_reach_costs_no_more_than_its_probe() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // connects, by the kernel, and never answers
    for address in [closed, silent.local_addr().unwrap()] {
        let place = Place::new(&format!("http://{address}"), HUB_AND_REGISTRY);
        let started = Instant::now();
        pull(&place.with_python(BRINGS_IT), Reporter::silent()).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

        let place = Place::new(&format!("http://{address}"), HUB_ONLY);
        let error = place.pull().await.unwrap_err();
        assert!(matches!(error, PullError::Hub { source: HubError::Unreachable, .. }), "{error}");
    }
}

#[tokio::test]
async fn any_hub_file_is_fetched_with_all_its_parts_at_one_commit() {
    let hub = Hub::start();
    for part in 1..=3_u8 {
        hub.put(&format!("org/big/q4/k2-0000{part}-of-00003.gguf"), &vec![part; 1000]);
    }
    let mut place = Place::new(&hub.url(), HUB_ONLY);
    place.options.token = Some("secret".to_owned());
    let name = "hub:org/big/q4/k2-00001-of-00003.gguf".to_owned();
    let source = Source::Hub(HubFile {
        repo: "org/big".to_owned(),
        file: "q4/k2-00001-of-00003.gguf".to_owned(),
        revision: "main".to_owned(),
    });
    let puller = Puller::new(place.options.clone(), Reporter::silent()).unwrap();
    assert_eq!(puller.cached(&source), None);
    let paths = puller.ensure(std::slice::from_ref(&name), Path::new("")).await.unwrap();
    let first = &paths[&name];
    assert!(first.ends_with("hub/org/big/main/q4/k2-00001-of-00003.gguf"), "{}", first.display());
    for part in 1..=3_u8 {
        let path = first.with_file_name(format!("k2-0000{part}-of-00003.gguf"));
        assert_eq!(fs::read(path).unwrap(), vec![part; 1000]);
    }
    let requests = hub.requests();
    assert!(requests.iter().any(|request| request.path.contains(&format!("/resolve/{COMMIT}/q4/k2-00003"))));
    assert!(requests.iter().any(|request| request.authorization == "Bearer secret"));

    place.options.offline = true;
    let offline = Puller::new(place.options, Reporter::silent()).unwrap();
    assert_eq!(offline.cached(&source).as_ref(), Some(first));
    assert_eq!(offline.ensure(std::slice::from_ref(&name), Path::new("")).await.unwrap()[&name], *first);
}

#[tokio::test]
async fn what_the_hub_refuses_is_told() {
    let hub = Hub::start();
    let place = Place::new(&hub.url(), HUB_ONLY);
    let puller = Puller::new(place.options, Reporter::silent()).unwrap();
    let error = puller.ensure(&["hub:org/repo/no.gguf".to_owned()], Path::new("")).await.unwrap_err();
    assert!(matches!(error, PullError::Hub { source: HubError::Status(404), .. }), "{error}");
    let error = puller.ensure(&["hub:gated/repo/x.gguf".to_owned()], Path::new("")).await.unwrap_err();
    assert!(matches!(error, PullError::Hub { source: HubError::Status(401), .. }), "{error}");
    assert!(error.to_string().contains("HF_TOKEN"), "{error}");
}

#[tokio::test]
async fn two_pulls_at_once_fetch_once() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    let place = Place::new(&hub.url(), HUB_ONLY);
    let (one, other) = tokio::join!(place.pull(), place.pull());
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(hub.ranges(), ["bytes=0-"]);
}

#[tokio::test]
async fn offline_is_said_and_nothing_is_asked() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    let mut place = Place::new(&hub.url(), HUB_AND_REGISTRY);
    place.options.offline = true;
    let error = place.pull().await.unwrap_err();
    assert!(matches!(error, PullError::Offline { .. }), "{error}");
    assert!(error.to_string().contains("MEGABRAIN_OFFLINE"), "{error}");
    assert!(hub.requests().is_empty());
}

#[tokio::test]
async fn an_unknown_name_fetches_nothing_of_the_others() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    let place = Place::new(&hub.url(), HUB_ONLY);
    let puller = Puller::new(place.options, Reporter::silent()).unwrap();
    let error = puller.ensure(&["small".to_owned(), "smal".to_owned()], Path::new("")).await.unwrap_err();
    assert!(matches!(error, PullError::Unknown { .. }), "{error}");
    assert!(hub.requests().is_empty());
}

#[tokio::test]
async fn a_path_is_taken_as_it_is_if_all_its_parts_are_there() {
    let place = Place::new("http://127.0.0.1:1", HUB_ONLY);
    let folder = place.folder.path();
    fs::write(folder.join("own.gguf"), b"GGUF").unwrap();
    fs::write(folder.join("own-00001-of-00002.gguf"), b"GGUF").unwrap();
    let puller = Puller::new(place.options.clone(), Reporter::silent()).unwrap();
    let paths = puller.ensure(&["own.gguf".to_owned()], folder).await.unwrap();
    assert_eq!(paths["own.gguf"], folder.join("own.gguf"));
    let error = puller.ensure(&["./own-00001-of-00002.gguf".to_owned()], folder).await.unwrap_err();
    let PullError::Missing(path) = &error else { panic!("{error}") };
    assert!(path.ends_with("own-00002-of-00002.gguf"), "{error}");
}

#[tokio::test]
async fn without_python_it_says_what_to_install() {
    let hub = Hub::start();
    let mut place = Place::new(&hub.url(), HUB_AND_REGISTRY);
    place.options.python = place.folder.path().join("no-python");
    let error = place.pull().await.unwrap_err();
    assert!(matches!(error, PullError::NoPython), "{error}");
    assert!(error.to_string().contains("apt-get install python3"), "{error}");
}

#[tokio::test]
async fn the_last_line_of_the_script_is_the_reason() {
    let hub = Hub::start();
    let place = Place::new(&hub.url(), HUB_AND_REGISTRY);
    let options = place.with_python("echo 'retrying' >&2; echo 'error: the disk is full' >&2; exit 1");
    let error = pull(&options, Reporter::silent()).await.unwrap_err();
    let PullError::Registry { message, .. } = &error else { panic!("{error}") };
    assert_eq!(message, "the disk is full");
}

/// With the real Python and the real scripts: the origin comes from the hub, and what is made of it fails as its content
/// (no GGUF) must. That it succeeds with real models, `make demo` shows.
#[tokio::test]
async fn the_scripts_inside_this_program_run() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    let place = Place::new(&hub.url(), HUB_ONLY);
    let puller = Puller::new(place.options.clone(), Reporter::silent()).unwrap();
    let error = puller.fetch(&Source::Artefact("made".to_owned())).await.unwrap_err();
    let PullError::Registry { message, .. } = &error else { panic!("{error}") };
    assert!(message.starts_with("upcycle.py failed: "), "{message}");
    assert!(place.models().join("small.gguf").exists());
}

// ---- a place to pull to ----------------------------------------------------------------------------------------------

const HUB_ONLY: &str = "";
const HUB_AND_REGISTRY: &str = "registry = { packages = [\"none==0.0.0\"], members = [\"none\"] }";

/// Stands in for `python3 pull.py NAME --cache DIR --progress json`.
const BRINGS_IT: &str = r#"
mkdir -p "$4"
cp "$(dirname "$0")/right" "$4/small.gguf"
cp "$(dirname "$0")/right.ok" "$4/small.gguf.ok"
echo '{"name": "small", "stage": "prepare", "done": 0, "total": 4242}'
echo '{"name": "small", "stage": "prepare", "done": 4242, "total": 4242}'
"#;

fn content() -> Vec<u8> {
    (0..1_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn sha256(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}

struct Place {
    folder: TempDir,
    options: Options,
}

impl Place {
    /// A fresh cache, and a manifest of an artefact `small`, which the hub has and `other_source` too, and `made` of it.
    fn new(hub: &str, other_source: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut options = Options::from_variables(|_| None);
        options.cache = folder.path().join("cache");
        options.endpoint = Some(hub.to_owned());
        let common = "kind = \"model\"\nabout = \"\"\nlicence = \"MIT\"\nstarter = false\n";
        options.manifest = format!(
            "version = 1\n[[artefact]]\nname = \"small\"\nfile = \"small.gguf\"\nsize = {}\nsha256 = \"{sha256}\"\n{common}\
             hub = {{ repo = \"org/repo\", file = \"small.gguf\", revision = \"{COMMIT}\" }}\n{other_source}\n\
             [[artefact]]\nname = \"made\"\nfile = \"made.gguf\"\nsize = 1\nsha256 = \"{sha256}\"\n{common}\
             derived = {{ from = \"small\", prepare = \"upcycle.py\" }}\n",
            content().len(),
            sha256 = sha256(&content()),
        );
        Self { folder, options }
    }

    fn models(&self) -> PathBuf {
        self.options.cache.join("models")
    }

    async fn pull(&self) -> Result<PathBuf, PullError> {
        pull(&self.options, Reporter::silent()).await
    }

    /// The options with a shell script for Python.
    fn with_python(&self, script: &str) -> Options {
        let python = self.folder.path().join("python3");
        fs::write(self.folder.path().join("right"), content()).unwrap();
        fs::write(self.folder.path().join("right.ok"), sha256(&content())).unwrap();
        fs::write(&python, format!("#!/bin/sh\nset -e\n{script}")).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        Options { python, ..self.options.clone() }
    }

    /// Puts what an earlier run would have left of a download.
    fn leave_part(&self, part: &[u8]) {
        let blobs = self.models().join("downloads/hub/models--org--repo/blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{}.part", sha256(&content()))), part).unwrap();
    }
}

async fn pull(options: &Options, reporter: Reporter) -> Result<PathBuf, PullError> {
    let name = "small".to_owned();
    let puller = Puller::new(options.clone(), reporter).unwrap();
    let mut paths = puller.ensure(std::slice::from_ref(&name), Path::new("")).await?;
    Ok(paths.remove(&name).unwrap())
}

#[derive(Default)]
struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    fn reporter(&self) -> Reporter {
        let seen = Arc::clone(&self.0);
        Reporter::events(move |event| seen.lock().unwrap().push(event.clone()))
    }

    fn first(&self, stage: Stage) -> Event {
        self.0.lock().unwrap().iter().find(|event| event.stage == stage).unwrap().clone()
    }
}

// ---- a hub -----------------------------------------------------------------------------------------------------------

/// Answers `/<org>/<repo>/resolve/<revision>/<file>` with a redirect to `/cdn/…` and the headers that describe the file,
/// and `/cdn/…` with the range asked for, as the hub and its content network do.
struct Hub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<HashMap<String, (Vec<u8>, String)>>,
    requests: Mutex<Vec<Request>>,
    next_break: Mutex<Option<Break>>,
    ended: Mutex<bool>,
    end: Condvar,
}

/// What happens to the next transfer after so many bytes.
enum Break {
    Close { after: usize },
    Stall { after: usize },
}

#[derive(Debug, Clone, Default)]
struct Request {
    method: String,
    path: String,
    range: String,
    authorization: String,
}

impl Hub {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if Arc::strong_count(&served) == 1 {
                    return; // the test is over
                }
                let shared = Arc::clone(&served);
                thread::spawn(move || shared.answer(stream, address));
            }
        });
        Self { address, shared }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn put(&self, file: &str, content: &[u8]) {
        self.put_lying(file, content, &sha256(content));
    }

    fn put_lying(&self, file: &str, content: &[u8], etag: &str) {
        self.shared.files.lock().unwrap().insert(file.to_owned(), (content.to_vec(), etag.to_owned()));
    }

    fn break_next(&self, what: Break) {
        *self.shared.next_break.lock().unwrap() = Some(what);
    }

    fn end_stall(&self) {
        *self.shared.ended.lock().unwrap() = true;
        self.shared.end.notify_all();
    }

    fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The ranges that were asked of the content network, but for the single byte that tells the size.
    fn ranges(&self) -> Vec<String> {
        let requests = self.requests();
        let transfers = requests.iter().filter(|request| request.method == "GET" && request.path.starts_with("/cdn/"));
        transfers.map(|request| request.range.clone()).filter(|range| range != "bytes=0-0").collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.end_stall();
        self.shared = Arc::default();
        let _ = TcpStream::connect(self.address); // wakes the accepting thread
    }
}

impl Shared {
    fn answer(&self, stream: TcpStream, address: SocketAddr) {
        let Some(request) = read_request(&stream) else { return };
        self.requests.lock().unwrap().push(request.clone());
        let mut stream = &stream;
        if let Some(file) = request.path.strip_prefix("/cdn/") {
            return self.send(&mut stream, file, &request);
        }
        let file = request.path.trim_start_matches('/').replace("/resolve/main/", "/");
        let file = file.replace(&format!("/resolve/{COMMIT}/"), "/");
        let head = match self.files.lock().unwrap().get(&file) {
            Some((content, etag)) => format!(
                "302 Found\r\nLocation: http://{address}/cdn/{file}\r\nX-Repo-Commit: {COMMIT}\r\n\
                 X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\nETag: \"of the redirect\"",
                content.len()
            ),
            None if file.starts_with("gated/") => "401 Unauthorized".to_owned(),
            None => "404 Not Found".to_owned(),
        };
        let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    fn send(&self, stream: &mut impl Write, file: &str, request: &Request) {
        let content = self.files.lock().unwrap()[file].0.clone();
        let (from, to) = request.range.trim_start_matches("bytes=").split_once('-').unwrap();
        let from: usize = from.parse().unwrap();
        let to = to.parse().map_or(content.len(), |last: usize| (last + 1).min(content.len()));
        if from >= content.len() {
            let _ =
                write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        let body = &content[from..to];
        let _ = write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            to - 1,
            content.len(),
            body.len(),
        );
        let next_break = if body.len() > 1 { self.next_break.lock().unwrap().take() } else { None };
        match next_break {
            None => drop(stream.write_all(body)),
            Some(Break::Close { after }) => drop(stream.write_all(&body[..after])),
            Some(Break::Stall { after }) => {
                let _ = stream.write_all(&body[..after]);
                let _ = stream.flush();
                let ended = self.ended.lock().unwrap();
                drop(self.end.wait_while(ended, |ended| !*ended).unwrap());
            }
        }
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let mut request =
        Request { method: words.next()?.to_owned(), path: words.next()?.to_owned(), ..Request::default() };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = value.to_owned(),
            "authorization" => request.authorization = value.to_owned(),
            _ => {}
        }
    }
    Some(request)
}
