//! Does a job wait for whoever is to do it, in a line that keeps no other waiting, and is what waits and is kept bounded?

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use megabrain_node::connection::Role;
use megabrain_tests::{Brain, Doors, EARS, Receiver, Server, error, media, programs, signal};
use rustix::process::Signal;
use serde_json::json;

use crate::jobs::{ECHO, LIMIT, echo, hand_in, look, settings_for, until};

#[tokio::test]
async fn a_job_waits_for_whoever_is_to_do_it() {
    let mut server = Server::new().await;
    server.start().await;
    let hand = || {
        std::process::Command::new(programs().join("megabrain-echo"))
            .args(["--name", "hand"])
            .envs(server.connection().environment(Role::Model))
            .spawn()
            .unwrap()
    };
    let mut model = hand();
    let mut doors = Doors::of(Brain::start_on(&server, ""), &["hand"], LIMIT).await;
    model.kill().unwrap();
    model.wait().unwrap();
    // As a machine that is off: it is not heard any more.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let job = json!({ "capability": "echo", "model": "hand", "body": { "text": "late" } });
    let id = hand_in(&doors, &job).await;
    // And then by nobody who would remember it. Its task comes again ten seconds after the death of who had it.
    signal(doors.brain.node(), Signal::KILL);
    doors.start_again(&[], LIMIT).await;
    let end = Instant::now() + LIMIT;
    loop {
        let page = doors.get("/metrics").send().await.unwrap().text().await.unwrap();
        let attempts = page.lines().find_map(|line| line.strip_prefix("megabrain_job_attempts_total "));
        if attempts.is_some_and(|count| count.parse::<u64>().unwrap() >= 2) {
            break;
        }
        assert!(Instant::now() < end, "it is not tried: {}", look(&doors, &id).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let waits = look(&doors, &id).await;
    assert!(["queued", "running"].iter().any(|status| waits["status"] == *status), "{waits}");
    let mut model = hand();
    let done = until(&doors, &id, "succeeded").await;
    assert_eq!(done["result"]["text"], "late", "{done}");
    model.kill().unwrap();
    model.wait().unwrap();
}

#[tokio::test]
async fn a_question_with_sound_waits_for_ears_that_are_not_there_yet() {
    let mut doors = Doors::of(Brain::start(&[ECHO, EARS].concat()).await, &["echo"], LIMIT).await;
    // However fast it loads: it does not go on.
    let ears = |doors: &Doors| doors.brain.children("megabrain-speech");
    doors.brain.until(LIMIT, "ears", |brain| !brain.children("megabrain-speech").is_empty()).await;
    ears(&doors).into_iter().for_each(|process| signal(process, Signal::STOP));
    let sound = BASE64_STANDARD.encode(media("question.wav"));
    let ask = json!({ "attachments": [{ "mime": "audio/wav", "data": sound }], "models": [] });
    let id = hand_in(&doors, &json!({ "capability": "ask", "body": ask })).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let waits = look(&doors, &id).await;
    assert!(["queued", "running"].iter().any(|status| waits["status"] == *status), "{waits}");
    ears(&doors).into_iter().for_each(|process| signal(process, Signal::CONT));
    let done = until(&doors, &id, "succeeded").await;
    assert!(done["result"]["text"].as_str().is_some_and(|text| text.len() > 10), "{done}");
}

#[tokio::test]
async fn the_jobs_of_one_model_leave_places_to_those_of_another() {
    let receiver = Receiver::start(&[]).await;
    let settings =
        format!("{}[models.slow]\nactor = \"echo\"\n[gateway.jobs]\nconcurrent = 2\n", settings_for(&receiver));
    let doors = Doors::open(&settings, &["echo", "slow"], LIMIT).await;
    let slow = json!({ "capability": "echo", "model": "slow", "body": { "text": "x", "delay_ms": 30_000 } });
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(hand_in(&doors, &slow).await);
    }
    until(&doors, &ids[0], "running").await;
    let began = Instant::now();
    let id = hand_in(&doors, &echo(&json!({ "text": "quick" }))).await;
    until(&doors, &id, "succeeded").await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let mut running = 0;
    for id in &ids {
        running += usize::from(look(&doors, id).await["status"] == "running");
    }
    assert_eq!(running, 2, "the others wait in their line");
}

#[tokio::test]
async fn the_oldest_answer_makes_room_for_newer_ones_and_its_job_says_so() {
    let receiver = Receiver::start(&[]).await;
    let settings = format!("{}[gateway.jobs]\nmax_bytes = \"1 MiB\"\n", settings_for(&receiver));
    let doors = Doors::open(&settings, &["echo"], LIMIT).await;
    let text = "x".repeat(400 << 10);
    let mut ids = Vec::new();
    for _ in 0..4 {
        let id = hand_in(&doors, &echo(&json!({ "text": text }))).await;
        until(&doors, &id, "succeeded").await;
        ids.push(id);
    }
    let (first, last) = (look(&doors, &ids[0]).await, look(&doors, &ids[3]).await);
    assert_eq!((&first["status"], &first["result_expired"]), (&json!("succeeded"), &json!(true)), "{first}");
    assert!(first.get("result").is_none() && last.get("result_expired").is_none());
    assert_eq!(last["result"]["text"], text.as_str());
}

#[tokio::test]
async fn a_brain_that_keeps_as_many_jobs_as_it_may_still_ends_those_that_it_has() {
    let receiver = Receiver::start(&[]).await;
    // An eighth of it is for what is true of the jobs.
    let settings = format!("{}[gateway.jobs]\nmax_bytes = \"1 MiB\"\n", settings_for(&receiver));
    let doors = Doors::open(&settings, &["echo"], LIMIT).await;
    let mut slow = echo(&json!({ "text": "late", "delay_ms": 4000 }));
    slow["callback_url"] = receiver.url().into();
    let slow = hand_in(&doors, &slow).await;
    let mut job = echo(&json!({ "text": "x" }));
    job["callback_url"] = format!("{}?{}", receiver.url(), "x".repeat(1900)).into();
    let mut taken = 0;
    let refused = loop {
        let answer = doors.post("/v1/jobs", &job).await;
        if answer.status() != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 100, "there is no end of room");
    };
    assert_eq!(refused.headers()["retry-after"], "30");
    let (status, code, message) = error(refused).await;
    assert_eq!((status, code.as_str()), (429, "rate_limit_exceeded"), "{message}");
    assert!(taken > 20 && message.contains("max_bytes"), "{taken}: {message}");
    assert_eq!(until(&doors, &slow, "succeeded").await["result"]["text"], "late");
    let of_slow =
        |calls: Vec<megabrain_tests::Called>| calls.into_iter().any(|call| call.body()["id"] == slow.as_str());
    assert!(of_slow(receiver.until(taken + 1, LIMIT).await), "its caller is not told");
}

#[tokio::test]
async fn a_full_queue_takes_no_more_and_says_when_to_come_again() {
    let receiver = Receiver::start(&[]).await;
    let settings = format!("{}[gateway.jobs]\nconcurrent = 1\nmax_bytes = \"1 MiB\"\n", settings_for(&receiver));
    let doors = Doors::open(&settings, &["echo"], LIMIT).await;
    let large = echo(&json!({ "text": "x".repeat(300 << 10), "delay_ms": 60_000 }));
    let mut taken = 0;
    let refused = loop {
        let answer = doors.post("/v1/jobs", &large).await;
        if answer.status() != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 5, "there is no end of room");
    };
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(error(refused).await.0, 429);
    assert!(taken > 1, "{taken}");
}
