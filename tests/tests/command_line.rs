//! What does somebody see who does something wrong, or looks whether all is well?

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use megabrain_bus::{Call, Target};
use megabrain_schemas::{Ask, ECHO_MIME, EchoRequest, Media};
use megabrain_tests::{Brain, artefact, megabrain, said};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";
const LIMIT: Duration = Duration::from_secs(30);
/// Passwords that a test knows, for a bus that two nodes share.
const PASSWORDS: [(&str, &str); 4] = [
    ("MEGABRAIN_CLIENT_PASSWORD", "pclient"),
    ("MEGABRAIN_MODEL_PASSWORD", "pmodel"),
    ("MEGABRAIN_NODE_PASSWORD", "pnode"),
    ("MEGABRAIN_ADMIN_PASSWORD", "padmin"),
];

/// Runs a command that must fail, and gives what it says about that.
fn fails(folder: &TempDir, arguments: &[&str], code: i32) -> String {
    let (status, output, errors) = said(&mut megabrain(folder.path(), arguments));
    assert_eq!(status, code, "{arguments:?}: {output}{errors}");
    assert!(errors.starts_with("error: "), "{arguments:?}: {errors}");
    errors
}

#[test]
fn a_brain_file_that_cannot_be_used_is_named_with_the_place_of_the_mistake() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let torn = file("torn.toml", "[models.fast\nactor = 1");
    let typo = file("typo.toml", "[bus]\nprot = 4222\n");
    let word = file("word.toml", "[models.ask]\nactor = \"echo\"\n");
    for command in [&["up"][..], &["plan"], &["up", "--check"], &["pull", "--for"]] {
        let told = |file: &str| fails(&folder, &[command, &[file]].concat(), 1);
        assert!(told("nosuch.toml").contains("nosuch.toml: No such file"));
        assert!(told(&torn).contains("torn.toml: ") && told(&torn).contains("line 1"), "{}", told(&torn));
        assert!(told(&typo).contains("line 2") && told(&typo).contains("unknown field `prot`"), "{}", told(&typo));
        assert!(told(&word).contains("[models.ask]") && told(&word).contains("reserved"), "{}", told(&word));
    }
}

#[test]
fn without_a_brain_or_a_bus_it_says_how_to_get_one() {
    let folder = TempDir::new().unwrap();
    for command in [&["ask", "x"][..], &["models"], &["status"], &["env"], &["pub", "user.x"]] {
        let told = fails(&folder, command, 1);
        assert!(told.contains("`megabrain up`") && told.contains("NATS_URL"), "{told}");
    }
    assert!(fails(&folder, &["ask"], 2).contains("nothing to ask"));
    let mut away = megabrain(folder.path(), &["models"]);
    let (code, _, told) = said(away.env("NATS_URL", "nats://127.0.0.1:1"));
    assert_eq!(code, 1);
    assert!(told.contains("nats://127.0.0.1:1") && told.contains("refused") && told.contains("hint: "), "{told}");
}

#[tokio::test]
async fn a_second_brain_of_the_name_a_taken_port_or_store_and_a_wrong_password_are_told_at_once() {
    let mut brain = Brain::start_with(ECHO, &PASSWORDS).await;
    brain.ready(&["echo"], LIMIT).await;
    let again = brain.folder().join("brain.toml").display().to_string();
    let (code, _, told) = said(&mut megabrain(brain.folder(), &["up", &again]));
    let node = brain.node().to_string();
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("is running here already") && told.contains(&node), "{told}");
    let (code, _, told) = said(&mut megabrain(brain.folder(), &["models", "--brain", "other"]));
    assert_eq!(code, 1);
    assert!(told.contains("no brain other is running here; there is test"), "{told}");

    let url = brain.connection().url;
    let port = url.rsplit(':').next().unwrap();
    let second = brain.folder().join("second.toml");
    std::fs::write(&second, format!("[brain]\nname = \"second\"\n[bus]\nport = {port}\n{ECHO}")).unwrap();
    let second = second.display().to_string();
    let (code, _, told) = said(&mut megabrain(brain.folder(), &["up", &second]));
    assert_eq!(code, 1);
    assert!(told.contains(&format!("port {port}")) && told.contains("in use"), "{told}");

    let third = brain.folder().join("third.toml");
    std::fs::write(&third, format!("[brain]\nname = \"third\"\n[bus]\nstore = \"bus\"\n{ECHO}")).unwrap();
    let (code, _, told) = said(&mut megabrain(brain.folder(), &["up", &third.display().to_string()]));
    assert_eq!(code, 1, "{told}");
    let store = brain.folder().join("bus").display().to_string();
    assert!(told.contains(&store) && told.contains("another brain") && told.contains("`store`"), "{told}");

    for (arguments, variable) in
        [(&["up", second.as_str()], "MEGABRAIN_NODE_PASSWORD"), (&["req", "a"], "NATS_PASSWORD")]
    {
        let mut refused = megabrain(brain.folder(), arguments);
        refused.envs([("NATS_URL", url.as_str()), ("NATS_USER", "client"), (variable, "wrong")]);
        let began = Instant::now();
        let (code, _, told) = said(&mut refused);
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("authorization violation") && told.contains("hint: "), "{told}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_model_that_comes_up_late_is_told_though_another_is_broken() {
    let folder = TempDir::new().unwrap();
    let (broken, late) = (folder.path().join("broken.gguf"), folder.path().join("late.gguf"));
    std::fs::write(&broken, b"this is no model").unwrap();
    let model = |name: &str, path: &Path| {
        format!("[models.{name}]\nactor = \"llm\"\nweights = \"{}\"\ndevice = \"ram\"\n", path.display())
    };
    let mut brain = Brain::start(&format!("{}{}", model("broken", &broken), model("late", &late))).await;
    let failures = |brain: &Brain| brain.log().lines().filter(|line| line.contains("model down model=broken")).count();
    brain.until(LIMIT, "third failure", |brain| failures(brain) >= 3).await;
    std::os::unix::fs::symlink(artefact("smollm2-135m").await, &late).unwrap();
    brain.until(LIMIT, "late model", |brain| brain.log().contains("ready    late: llm on ram")).await;
    let summary = |brain: &Brain| {
        brain.log().contains("ready    1 models in") && brain.log().contains("\ndown     broken: tried")
    };
    brain.until(LIMIT, "summary", summary).await;
    let told = brain.log().lines().filter(|line| line.starts_with("down     broken: /")).count();
    assert_eq!(told, 1, "a reason that stays the same is told once");
}

#[tokio::test]
async fn what_the_bus_does_not_allow_is_an_error() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let (code, _, told) = said(&mut megabrain(brain.folder(), &["pub", "mb.v1.event.ready.echo", "{}"]));
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("unauthorized: ") && told.contains("mb.v1.event.ready.echo"), "{told}");
    let (code, _, told) = said(&mut megabrain(brain.folder(), &["pub", "user.door", "{}"]));
    assert_eq!((code, told.as_str()), (0, ""));
    // A request is refused at once too, however long it would wait; programs get the fault as it is on the bus.
    let began = Instant::now();
    let forbidden = ["req", "mb.v1.event.ready.echo", "{}", "--timeout", "5m", "--json"];
    let (code, _, told) = said(&mut megabrain(brain.folder(), &forbidden));
    // Log lines come before it.
    let fault: serde_json::Value = serde_json::from_str(told.trim_end().lines().last().unwrap()).unwrap();
    assert_eq!((code, fault["error"]["kind"].as_str()), (1, Some("unauthorized")), "{told}");
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
}

#[test]
fn a_demonstration_without_its_models_ends() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("brain.toml");
    let store = folder.path().join("bus").display().to_string();
    let text = format!(
        "[bus]\nstore = \"{store}\"\nblob_max = \"1 MiB\"\n[models.fast]\nactor = \"llm\"\nweights = \"lost.gguf\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/media/question.wav");
    let (code, _, told) = said(&mut megabrain(folder.path(), &["demo", &file.display().to_string(), "--clip", clip]));
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("model fast does not come up: there is no file") && told.contains("lost.gguf"), "{told}");
}

#[tokio::test]
async fn a_node_waits_for_a_bus_that_is_not_there_yet() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = TempDir::new().unwrap();
    let (file, log) = (folder.path().join("brain.toml"), folder.path().join("log"));
    std::fs::write(&file, "[brain]\nname = \"early\"\n[router]\nenabled = false\n[models.other]\nactor = \"echo\"\n")
        .unwrap();
    let mut early = megabrain(folder.path(), &["up", &file.display().to_string()]);
    early.envs(PASSWORDS).env("NATS_URL", format!("nats://127.0.0.1:{port}"));
    let said = File::create(&log).unwrap();
    let mut early = early.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
    let log = || std::fs::read_to_string(&log).unwrap();
    let end = Instant::now() + LIMIT;
    while !log().contains("waiting for the bus") {
        assert!(Instant::now() < end, "{}", log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The harness' text goes on after the [bus] table.
    let mut brain = Brain::start_with(&format!("port = {port}\n{ECHO}"), &PASSWORDS).await;
    brain.ready(&["echo", "other"], LIMIT).await;
    assert!(log().contains("the bus is there"), "{}", log());
    megabrain_tests::signal(early.id(), Signal::TERM);
    assert!(early.wait().unwrap().success(), "{}", log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_the_questions_that_are_open() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let slow = EchoRequest { text: Some("x".into()), delay_ms: 4000, ..EchoRequest::default() };
    let attachment = Media::inline(ECHO_MIME, serde_json::to_vec(&slow).unwrap());
    let ask = Ask { attachments: vec![attachment], models: Some(Vec::new()), ..Ask::default() };
    let asking = tokio::spawn(async move { bus.call(&Target::Router, &ask, Call::within(LIMIT)).await });
    let open = || {
        let (code, status, errors) = said(&mut megabrain(brain.folder(), &["status", "--json"]));
        assert_eq!(code, 0, "{errors}");
        let status: Value = serde_json::from_str(&status).unwrap();
        let nodes = status["nodes"].as_object().unwrap();
        nodes.values().map(|node| node["asks_in_flight"].as_u64().unwrap()).sum::<u64>()
    };
    // A beat that was told before the question came may be the last that is heard: then the next look has it.
    let during: Vec<u64> = (0..2).map(|_| tokio::task::block_in_place(open)).collect();
    assert_eq!(during.last(), Some(&1), "{during:?}");
    asking.await.unwrap().unwrap();
    let after: Vec<u64> = (0..2).map(|_| tokio::task::block_in_place(open)).collect();
    assert_eq!(after.last(), Some(&0), "{after:?}");
}
