//! Do several processes of one model share the work, and does the death of one cost only what it had?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use megabrain_bus::{Bus, Call, RawMessage, RawSubscription, Target};
use megabrain_runtime::work_key;
use megabrain_schemas::{EchoRequest, Name};
use megabrain_tests::{Brain, Works, name, signal};
use rustix::process::Signal;

const TWO: &str = "[models.echo]\nactor = \"echo\"\ninstances = 2\n";
const LIMIT: Duration = Duration::from_secs(30);

/// A brain with both instances ready, and their names.
async fn start() -> (Brain, [Name; 2]) {
    let mut brain = Brain::start(TWO).await;
    brain.until(LIMIT, "two ready instances", |brain| brain.log().contains("ready    2 models")).await;
    let instances = [1, 2].map(|number| name(&format!("test{}-echo-{number}", std::process::id())));
    (brain, instances)
}

fn echo(delay_ms: u64) -> EchoRequest {
    EchoRequest { text: Some("x".into()), delay_ms, ..EchoRequest::default() }
}

/// Publishes so many requests, each with an inbox of its own, and gives the inboxes.
async fn publish(bus: &Bus, subject: &str, series: &str, count: usize, delay_ms: u64) -> Vec<String> {
    let mut inboxes = Vec::new();
    for number in 0..count {
        let inbox = format!("_INBOX.{series}.{number}");
        let body = format!("{{\"text\":\"x\",\"delay_ms\":{delay_ms}}}");
        bus.publish(subject, Some(&inbox), body.into()).await.unwrap();
        inboxes.push(inbox);
    }
    inboxes
}

/// `ok`, or the kind of the fault.
fn kind(message: &RawMessage) -> String {
    message.fault().map_or("ok", |fault| fault.kind.as_str()).to_owned()
}

/// What came for each inbox, until as many answers came as were asked for, and for a while longer.
async fn answers(inbox: &mut RawSubscription, count: usize) -> BTreeMap<String, Vec<String>> {
    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut came, mut patience) = (0, LIMIT);
    while let Ok(Some(message)) = tokio::time::timeout(patience, inbox.next()).await {
        let kind = kind(&message);
        answers.entry(message.subject).or_default().push(kind);
        came += 1;
        if came >= count {
            patience = Duration::from_millis(400);
        }
    }
    answers
}

#[tokio::test]
async fn both_instances_work_however_they_are_asked() {
    let (brain, instances) = start().await;
    let bus = brain.client().await;
    for subject in ["mb.v1.echo.echo", "mb.v1.echo"] {
        let mut works = Works::of(&brain).await;
        let mut inbox = bus.subscribe("_INBOX.both.*", None).await.unwrap();
        // All at once: nobody can have heard from the instances how busy they are by now.
        publish(&bus, subject, "both", 100, 600).await;
        works.until(LIMIT, "hundred requests", |works| works.count() == 100).await;
        let shares = instances.each_ref().map(|instance| works.of_instance(instance).len());
        println!("{subject}: {shares:?}");
        assert!(shares.iter().all(|share| *share >= 25), "{subject}: {shares:?}");
        let answers = answers(&mut inbox, 100).await;
        assert!(answers.len() == 100 && answers.values().all(|kinds| kinds == &["ok"]), "{answers:?}");
    }
}

#[tokio::test]
async fn only_what_the_dead_instance_had_is_lost_and_the_other_takes_what_comes() {
    let (mut brain, [dead, alive]) = start().await;
    let bus = brain.client().await;
    let mut works = Works::of(&brain).await;
    let mut inbox = bus.subscribe("_INBOX.kill.*", None).await.unwrap();
    let inboxes = publish(&bus, "mb.v1.echo.echo", "kill", 100, 1500).await;
    works.until(LIMIT, "hundred requests", |works| works.count() == 100).await;
    let (had, kept) = (works.of_instance(&dead), works.of_instance(&alive));
    assert!(had.len() >= 20 && kept.len() >= 20, "{} and {}", had.len(), kept.len());
    let processes = brain.children(&format!("--instance {dead} "));
    assert_eq!(processes.len(), 1);

    let began = Instant::now();
    signal(processes[0], Signal::KILL);
    let first = inbox.next().await.expect("an answer");
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    // From here on the server knows that the dead one is gone. New requests are all answered by whoever is there.
    let next = {
        let bus = bus.clone();
        tokio::spawn(async move {
            let mut calls = tokio::task::JoinSet::new();
            for number in 0..60 {
                let (bus, target) = (bus.clone(), [Target::Model(name("echo")), Target::Router][number % 2].clone());
                calls.spawn(async move { bus.call(&target, &echo(50), Call::within(LIMIT)).await });
            }
            calls.join_all().await
        })
    };
    let mut answers = answers(&mut inbox, 99).await;
    answers.entry(first.subject.clone()).or_default().push(kind(&first));
    for inbox in &inboxes {
        let expected = if had.contains(&work_key(inbox, None)) { "worker_lost" } else { "ok" };
        assert_eq!(answers.get(inbox).map(Vec::as_slice), Some(&[expected.to_owned()][..]), "{inbox}");
    }
    for outcome in next.await.unwrap() {
        outcome.unwrap();
    }
    assert!(brain.is_alive());
}
