//! What does fetching promise? Tested against a hub of our own; a shell script stands in for Python where the registry is
//! meant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod hub;
mod place;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hub::{Break, COMMIT, Hub};
use megabrain_node::pull::manifest::{EMBEDDED, Manifest};
use megabrain_node::pull::{Extent, HubError, Options, PullError, Reporter, Source, Stage};
use place::{BRINGS_IT, Events, HUB_AND_REGISTRY, HUB_ONLY, Place, content, fetch, pull, sha256};
use tempfile::TempDir;

/// Where the hub has the artefact `small`.
const FILE: &str = "org/repo/small.gguf";

fn source(text: &str) -> Source {
    Source::parse(text, Path::new(""), &Manifest::parse(EMBEDDED).unwrap()).unwrap()
}

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
async fn a_hub_that_was_out_of_reach_is_asked_again() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new(&format!("http://{address}"), HUB_ONLY);
    let puller = place.puller();
    let error = fetch(&puller, "small", Path::new("")).await.unwrap_err();
    assert!(matches!(error, PullError::Hub { source: HubError::Unreachable, .. }), "{error}");
    let hub = Hub::start_on(TcpListener::bind(address).unwrap());
    hub.put(FILE, &content());
    let path = fetch(&puller, "small", Path::new("")).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
}

#[tokio::test]
async fn any_hub_file_is_fetched_with_all_its_parts_at_one_commit() {
    let hub = Hub::start();
    for part in 1..=3_u8 {
        hub.put(&format!("org/big/q4/k2-0000{part}-of-00003.gguf"), &vec![part; 1000]);
    }
    let mut place = Place::new(&hub.url(), HUB_ONLY);
    place.options.token = Some("secret".to_owned());
    let source = source("hub:org/big/q4/k2-00001-of-00003.gguf");
    let puller = place.puller();
    assert_eq!(puller.cached(&source), None);
    let first = puller.fetch(&source).await.unwrap();
    assert!(first.ends_with("hub/org/big/main/q4/k2-00001-of-00003.gguf"), "{}", first.display());
    for part in 1..=3_u8 {
        let path = first.with_file_name(format!("k2-0000{part}-of-00003.gguf"));
        assert_eq!(fs::read(path).unwrap(), vec![part; 1000]);
    }
    let requests = hub.requests();
    assert!(requests.iter().any(|request| request.path.contains(&format!("/resolve/{COMMIT}/q4/k2-00003"))));
    assert!(requests.iter().any(|request| request.authorization == "Bearer secret"));

    place.options.offline = true;
    let offline = place.puller();
    assert_eq!(offline.cached(&source).as_ref(), Some(&first));
    assert_eq!(offline.fetch(&source).await.unwrap(), first);
}

#[tokio::test]
async fn what_is_still_to_come_is_known_before_it_is_fetched() {
    let hub = Hub::start();
    hub.put(FILE, &content());
    for part in 1..=2_u8 {
        hub.put(&format!("org/big/k2-0000{part}-of-00002.gguf"), &[part; 1000]);
    }
    let place = Place::new(&hub.url(), HUB_ONLY);
    let puller = place.puller();
    let extent = |bytes, to_fetch| Extent { bytes, to_fetch };
    let [small, made] = ["small", "made"].map(|name| Source::Artefact(name.to_owned()));
    assert_eq!(puller.extent(&small).await.unwrap(), extent(1_000_000, 1_000_000));
    place.leave_part(&content()[..400_000]);
    assert_eq!(puller.extent(&small).await.unwrap(), extent(1_000_000, 600_000));
    assert_eq!(puller.extent(&made).await.unwrap(), extent(1, 600_001), "what it is made from counts");
    assert!(hub.requests().is_empty(), "the manifest knows");
    puller.fetch(&small).await.unwrap();
    assert_eq!(puller.extent(&small).await.unwrap(), extent(1_000_000, 0));

    let big = source("hub:org/big/k2-00002-of-00002.gguf");
    assert_eq!(puller.extent(&big).await.unwrap(), extent(2000, 2000));
    let path = puller.fetch(&big).await.unwrap();
    assert_eq!(puller.extent(&big).await.unwrap(), extent(2000, 0));
    assert_eq!(puller.extent(&Source::Path(path)).await.unwrap(), extent(2000, 0), "with all its parts");
}

#[tokio::test]
async fn a_file_that_cannot_be_had_has_no_size() {
    let hub = Hub::start();
    let place = Place::new(&hub.url(), HUB_ONLY);
    let error = place.puller().extent(&source("hub:org/repo/no.gguf")).await.unwrap_err();
    assert!(matches!(error, PullError::Hub { source: HubError::Status(404), .. }), "{error}");
    let mut place = Place::new("http://127.0.0.1:1", HUB_ONLY);
    let error = place.puller().extent(&source("hub:org/repo/no.gguf")).await.unwrap_err();
    assert!(matches!(error, PullError::Hub { source: HubError::Unreachable, .. }), "{error}");
    place.options.offline = true;
    for source in [source("hub:org/repo/no.gguf"), Source::Artefact("small".to_owned())] {
        let error = place.puller().extent(&source).await.unwrap_err();
        assert!(matches!(error, PullError::Offline { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_the_hub_refuses_is_told() {
    let hub = Hub::start();
    let place = Place::new(&hub.url(), HUB_ONLY);
    let puller = place.puller();
    let error = puller.fetch(&source("hub:org/repo/no.gguf")).await.unwrap_err();
    assert!(matches!(error, PullError::Hub { source: HubError::Status(404), .. }), "{error}");
    let error = puller.fetch(&source("hub:gated/repo/x.gguf")).await.unwrap_err();
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
    let folder = TempDir::new().unwrap();
    let answer = Command::new(env!("CARGO_BIN_EXE_megabrain"))
        .args(["pull", "smollm2-135m", "smol"])
        .env("HF_ENDPOINT", hub.url())
        .env("MEGABRAIN_CACHE", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing is called \"smol\""), "{said}");
    assert!(hub.requests().is_empty());
}

#[tokio::test]
async fn a_path_is_taken_as_it_is_if_all_its_parts_are_there() {
    let place = Place::new("http://127.0.0.1:1", HUB_ONLY);
    let folder = place.folder.path();
    fs::write(folder.join("own.gguf"), b"GGUF").unwrap();
    fs::write(folder.join("own-00001-of-00002.gguf"), b"GGUF").unwrap();
    let puller = place.puller();
    assert_eq!(fetch(&puller, "own.gguf", folder).await.unwrap(), folder.join("own.gguf"));
    let error = fetch(&puller, "./own-00001-of-00002.gguf", folder).await.unwrap_err();
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
    let error = place.puller().fetch(&Source::Artefact("made".to_owned())).await.unwrap_err();
    let PullError::Registry { message, .. } = &error else { panic!("{error}") };
    assert!(message.starts_with("upcycle.py failed: "), "{message}");
    assert!(place.models().join("small.gguf").exists());
}
