//! Does every request get exactly one answer, whatever dies?

use std::collections::HashMap;
use std::time::{Duration, Instant};

use megabrain_bus::{Call, Target};
use megabrain_schemas::{EchoReply, EchoRequest, Fault, FaultKind};
use megabrain_tests::{Brain, children_of, is_running, name, signal};
use rustix::process::Signal;

const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";
const LIMIT: Duration = Duration::from_secs(30);

fn echo(text: &str, delay_ms: u64) -> EchoRequest {
    EchoRequest { text: Some(text.into()), delay_ms, ..EchoRequest::default() }
}

fn target() -> Target {
    Target::Model(name("echo"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_are_each_answered_once_while_processes_are_killed() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    // Half go straight to the model, half through the router; half from our client, half from a plain one.
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..500_u64 {
        let bus = bus.clone();
        let target = if number % 2 == 0 { target() } else { Target::Router };
        calls.spawn(async move {
            tokio::time::sleep(Duration::from_millis(number * 4)).await;
            bus.call(&target, &echo("x", number % 400), Call::within(Duration::from_secs(20))).await
        });
    }
    let plain = brain.client().await;
    let mut inbox = plain.subscribe("_INBOX.plain.*", None).await.unwrap();
    plain.flush().await.unwrap();
    let publisher = {
        let plain = plain.clone();
        tokio::spawn(async move {
            for number in 0..500_u64 {
                let subject = if number % 2 == 0 { "mb.v1.echo.echo" } else { "mb.v1.echo" };
                let body = format!("{{\"text\":\"x\",\"delay_ms\":{}}}", number % 400);
                plain.publish(subject, Some(&format!("_INBOX.plain.{number}")), body.into()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
        })
    };
    let mut killed = 0;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(450)).await;
        for process in brain.children("megabrain-echo") {
            signal(process, Signal::KILL);
            killed += 1;
        }
    }
    publisher.await.unwrap();
    let mut kinds: HashMap<String, usize> = HashMap::new();
    while let Some(outcome) =
        tokio::time::timeout(Duration::from_secs(25), calls.join_next()).await.expect("a call hangs")
    {
        *kinds.entry(kind_of(&outcome.unwrap())).or_default() += 1;
    }
    let mut answers: HashMap<String, usize> = HashMap::new();
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_secs(3), inbox.next()).await {
        *answers.entry(message.subject).or_default() += 1;
    }
    let doubles = answers.values().filter(|count| **count > 1).count() as u64 + bus.late_terminals();
    println!("processes killed: {killed}; outcomes of our client: {kinds:?}; second terminals: {doubles}");
    assert!(killed >= 2, "no process was killed");
    assert_eq!(answers.len(), 500, "a plain request was not answered");
    assert_eq!(kinds.values().sum::<usize>(), 500);
    assert!(kinds.keys().all(|kind| ["ok", "worker_lost", "unavailable"].contains(&kind.as_str())), "{kinds:?}");
    assert!(kinds.contains_key("ok") && kinds.contains_key("worker_lost"), "{kinds:?}");
    // The one known race (died between reply and report) may give a second terminal now and then.
    assert!(doubles <= 10, "{doubles} second terminals");
    assert!(brain.is_alive());
    brain.ready(&["echo"], LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_still_for_a_while_answers_once_when_it_goes_on() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let mut inbox = bus.subscribe("_INBOX.still.*", None).await.unwrap();
    bus.flush().await.unwrap();
    let processes = brain.children("megabrain-echo");
    processes.iter().for_each(|process| signal(*process, Signal::STOP));
    for subject in ["mb.v1.echo.echo", "mb.v1.echo"] {
        let reply = format!("_INBOX.still.{}", subject.len());
        bus.publish(subject, Some(&reply), r#"{"text":"x"}"#.into()).await.unwrap();
    }
    // Longer than it takes to be taken for silent.
    tokio::time::sleep(Duration::from_millis(4300)).await;
    let fault = bus.call(&Target::Router, &echo("y", 0), Call::within(LIMIT)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable, "it may come back: {fault}");
    processes.iter().for_each(|process| signal(*process, Signal::CONT));
    let mut answers = Vec::new();
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_secs(3), inbox.next()).await {
        let body = String::from_utf8_lossy(&message.payload).into_owned();
        assert!(body.contains(r#""text":"x""#), "{body}");
        answers.push(message.subject);
    }
    answers.sort();
    assert_eq!(answers, ["_INBOX.still.10", "_INBOX.still.15"]);
}

fn kind_of(outcome: &Result<EchoReply, Fault>) -> String {
    match outcome {
        Ok(_) => "ok".into(),
        Err(fault) => {
            if fault.kind == FaultKind::Unavailable {
                assert!(fault.retry_after_ms.is_some(), "{fault:?}");
            }
            fault.kind.as_str().into()
        }
    }
}

#[tokio::test]
async fn what_was_open_is_lost_within_half_a_second_and_what_comes_then_is_told_to_come_again() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let open = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.call(&target(), &echo("x", 10_000), Call::default()).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    for process in brain.children("megabrain-echo") {
        signal(process, Signal::KILL);
    }
    let fault = open.await.unwrap().unwrap_err();
    assert_eq!(fault.kind, FaultKind::WorkerLost, "{fault}");
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    let mut told = false;
    for _ in 0..50 {
        match bus.call(&target(), &echo("x", 0), Call::default()).await {
            Ok(_) => break,
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
                assert!(fault.retry_after_ms.is_some());
                told = true;
            }
        }
    }
    assert!(told, "nobody was told that the model is down");
}

#[tokio::test]
async fn nothing_is_left_running_after_kill_9_of_the_node() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let children = children_of(brain.node());
    assert!(children.len() >= 2, "nats-server and echo");
    signal(brain.node(), Signal::KILL);
    let end = Instant::now() + Duration::from_secs(5);
    while children.iter().any(|child| is_running(*child)) {
        assert!(Instant::now() < end, "left running: {children:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn sigterm_finishes_what_runs_and_stops_everything() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let open = tokio::spawn(async move { bus.call(&target(), &echo("kept", 700), Call::default()).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    let children = children_of(brain.node());
    let status = brain.stop();
    assert!(status.success(), "{status}\n{}", brain.log());
    assert_eq!(open.await.unwrap().unwrap().text.as_deref(), Some("kept"));
    assert!(!children.iter().any(|child| is_running(*child)));
}

#[tokio::test]
async fn the_bus_may_go_and_come_back() {
    let mut brain = Brain::start(ECHO).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let open = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.call(&target(), &echo("x", 20_000), Call::default()).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    for process in brain.children("nats-server") {
        signal(process, Signal::KILL);
    }
    let fault = tokio::time::timeout(Duration::from_secs(5), open).await.expect("the call hangs").unwrap().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let again = bus.call(&target(), &echo("back", 0), Call::within(Duration::from_secs(2))).await;
        if again.is_ok_and(|reply| reply.text.as_deref() == Some("back")) {
            break;
        }
        assert!(Instant::now() < end, "the bus did not come back\n{}", brain.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    brain.ready(&["echo"], LIMIT).await;
    let idle = megabrain_tests::presence(&bus, "echo").await.expect("presence");
    assert_eq!((idle.in_flight, idle.queued), (0, 0), "a slot is stuck");
}
