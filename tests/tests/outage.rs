//! May the bus be late, go away under load, and come back?

use std::collections::HashMap;
use std::time::{Duration, Instant};

use megabrain_bus::{Bus, Call, Target};
use megabrain_schemas::{ChatRequest, EchoRequest, FaultKind, Message, ModelState};
use megabrain_tests::{Brain, Server, Works, name, presence};

const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";
const LIMIT: Duration = Duration::from_secs(30);

fn echo(delay_ms: u64) -> EchoRequest {
    EchoRequest { text: Some("x".into()), delay_ms, ..EchoRequest::default() }
}

#[tokio::test]
async fn a_brain_waits_for_a_bus_that_is_not_there_yet_and_says_so() {
    let mut server = Server::new().await;
    let mut brain = Brain::start_on(&server, ECHO);
    let told = format!("waiting for the bus: cannot connect to the bus at {}", server.connection().url);
    brain.until(LIMIT, "word of the wait", |brain| brain.log().contains(&told)).await;
    assert!(!brain.log().contains("the bus is there"));
    server.start().await;
    brain.until(LIMIT, "word of the end of the wait", |brain| brain.log().contains("the bus is there")).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    bus.call(&Target::Router, &echo(0), Call::within(LIMIT)).await.unwrap();
    assert!(brain.stop().success());
}

/// Keeps a hundred calls going until it is told to stop; gives how many ended in which way.
async fn load(bus: Bus, mut stop: tokio::sync::watch::Receiver<bool>) -> HashMap<String, usize> {
    let mut kinds: HashMap<String, usize> = HashMap::new();
    let mut calls = tokio::task::JoinSet::new();
    let mut number = 0_u64;
    loop {
        while calls.len() < 100 && !*stop.borrow_and_update() {
            number += 1;
            let (bus, target) =
                (bus.clone(), [Target::Model(name("echo")), Target::Router][number as usize % 2].clone());
            calls.spawn(async move { bus.call(&target, &echo(number % 200), Call::within(LIMIT)).await });
        }
        let Some(outcome) = calls.join_next().await else { return kinds };
        let kind = outcome.unwrap().map_or_else(|fault| fault.kind.as_str(), |_| "ok");
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
}

#[tokio::test]
async fn under_load_the_bus_goes_away_and_everything_is_as_before_when_it_is_back() {
    let mut server = Server::new().await;
    server.start().await;
    let models = format!(
        "{ECHO}share = 1\n[models.writer]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ncontext = 2048\nslots = 1\nqueue = 0\n"
    );
    let mut brain = Brain::start_on(&server, &models);
    brain.until(LIMIT, "the bus", |brain| brain.log().contains("node     ")).await;
    brain.ready(&["echo", "writer"], LIMIT).await;
    let bus = brain.client().await;
    let mut works = Works::of(&brain).await;
    let before = [presence(&bus, "echo").await.unwrap(), presence(&bus, "writer").await.unwrap()];

    let (tell, stop) = tokio::sync::watch::channel(false);
    let loads = [tokio::spawn(load(bus.clone(), stop.clone())), tokio::spawn(load(brain.client().await, stop))];
    let mut waiting = tokio::task::JoinSet::new();
    for target in [Target::Model(name("echo")), Target::Router] {
        let bus = bus.clone();
        waiting.spawn(async move { bus.call(&target, &echo(60_000), Call::default()).await.unwrap_err() });
    }
    let chat = ChatRequest {
        messages: vec![Message::user("Write a very long story about the sea.")],
        max_tokens: Some(1500),
        stream: true,
        ..ChatRequest::default()
    };
    let mut stream = bus.stream(&Target::Model(name("writer")), &chat, Call::default()).await.unwrap();
    stream.next::<ChatRequest>().await.expect("a first frame").unwrap();
    works.until(LIMIT, "load", |works| works.count() > 20).await;

    server.stop();
    let gone = Instant::now();
    while let Some(fault) = waiting.join_next().await {
        assert_eq!(fault.unwrap().kind, FaultKind::Unavailable);
    }
    let fault = loop {
        match stream.next::<ChatRequest>().await.expect("an end") {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
    assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
    // What is asked while the bus is away is answered when it is back, or told that it is away; it does not hang.
    let meanwhile = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.call(&Target::Router, &echo(0), Call::within(LIMIT)).await })
    };

    server.start().await;
    let back = Instant::now();
    brain.ready(&["echo", "writer"], LIMIT).await;
    println!("every model is heard {:?} after the server is back", back.elapsed());
    if let Err(fault) = meanwhile.await.unwrap() {
        assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
    }
    // Both clients work on, and the slot of the stream is free although its answer had not ended.
    let short = ChatRequest { max_tokens: Some(4), stream: false, ..chat };
    bus.call(&Target::Model(name("writer")), &short, Call::within(LIMIT)).await.unwrap();
    for target in [Target::Model(name("echo")), Target::Router] {
        bus.call(&target, &echo(0), Call::within(LIMIT)).await.unwrap();
    }
    tell.send_replace(true);
    let mut kinds: HashMap<String, usize> = HashMap::new();
    for load in loads {
        let ended = tokio::time::timeout(LIMIT, load).await.expect("a call hangs").unwrap();
        ended.into_iter().for_each(|(kind, count)| *kinds.entry(kind).or_default() += count);
    }
    println!("calls under load ended so: {kinds:?}");
    assert!(kinds.keys().all(|kind| ["ok", "unavailable"].contains(&kind.as_str())), "{kinds:?}");
    assert!(kinds["ok"] > 100 && kinds["unavailable"] > 20, "{kinds:?}");
    for before in before {
        let now = presence(&bus, before.model.as_str()).await.unwrap();
        assert_eq!((now.state, now.pid, now.restarts), (ModelState::Ready, before.pid, 0), "nobody was started again");
        assert_eq!((now.in_flight, now.queued), (0, 0), "a slot is stuck");
        // Nobody is taken for busy for ever: the cores are everybody's again.
        let end = Instant::now() + Duration::from_secs(6);
        while presence(&bus, before.model.as_str()).await.unwrap().threads != before.threads {
            assert!(Instant::now() < end, "{} still shares its cores", before.model);
        }
    }
    assert!(brain.is_alive());
}
