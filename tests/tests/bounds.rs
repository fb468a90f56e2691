//! Is everything bounded: queues, time, sizes?

use std::time::{Duration, Instant};

use megabrain_bus::{Call, Target};
use megabrain_schemas::{EchoRequest, FaultKind};
use megabrain_tests::{Brain, name, presence};

const SMALL: &str = "[models.echo]\nactor = \"echo\"\nslots = 2\nqueue = 2\n";
const LIMIT: Duration = Duration::from_secs(30);

fn echo(delay_ms: u64) -> EchoRequest {
    EchoRequest { text: Some("x".into()), delay_ms, ..EchoRequest::default() }
}

fn target() -> Target {
    Target::Model(name("echo"))
}

#[tokio::test]
async fn a_full_queue_answers_overloaded_at_once() {
    let mut brain = Brain::start(SMALL).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let bus = bus.clone();
        calls.spawn(async move { bus.call(&target(), &echo(600), Call::default()).await });
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    let began = Instant::now();
    let fault = bus.call(&target(), &echo(0), Call::default()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Overloaded, "{fault}");
    assert!(fault.retryable && fault.retry_after_ms.is_some());
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    while let Some(outcome) = calls.join_next().await {
        outcome.unwrap().unwrap();
    }
}

#[tokio::test]
async fn expired_work_is_never_started() {
    let mut brain = Brain::start("[models.echo]\nactor = \"echo\"\nslots = 1\nqueue = 4\n").await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let first = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.call(&target(), &echo(900), Call::default()).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    let fault = bus.call(&target(), &echo(0), Call::within(Duration::from_millis(200))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::DeadlineExceeded, "{fault}");
    assert!(fault.message.contains("never started"), "{fault}");
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_deadline_and_a_dropped_call_stop_what_runs_and_free_the_slot() {
    let mut brain = Brain::start(SMALL).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let began = Instant::now();
    let fault = bus.call(&target(), &echo(30_000), Call::within(Duration::from_millis(300))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::DeadlineExceeded, "{fault}");
    assert!(fault.message.contains("while running"), "{fault}");
    assert!(began.elapsed() < Duration::from_millis(450), "{:?}", began.elapsed());
    // A caller that gives up cancels.
    let dropped =
        tokio::time::timeout(Duration::from_millis(200), bus.call(&target(), &echo(30_000), Call::default())).await;
    assert!(dropped.is_err());
    let end = Instant::now() + Duration::from_secs(4);
    while presence(&bus, "echo").await.is_none_or(|presence| presence.in_flight > 0) {
        assert!(Instant::now() < end, "the slot is not free");
    }
}

#[tokio::test]
async fn a_work_that_is_open_is_not_opened_again() {
    let mut brain = Brain::start(SMALL).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let call = Call::default();
    let first = {
        let (bus, call) = (bus.clone(), call.clone());
        tokio::spawn(async move { bus.call(&target(), &echo(500), call).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let fault = bus.call(&target(), &echo(0), call).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{fault}");
    // The refused call must not have cancelled the one that runs.
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_message_over_the_servers_limit_is_refused_with_both_sizes_before_it_is_sent() {
    let mut brain = Brain::start(SMALL).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let request = EchoRequest { data: Some(vec![0; 9_000_000].into()), ..EchoRequest::default() };
    let fault = bus.call(&target(), &request, Call::default()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::TooLarge);
    assert!(fault.message.contains("9000") && fault.message.contains(&bus.max_payload().to_string()), "{fault}");
    bus.call(&target(), &echo(0), Call::default()).await.unwrap();
}
