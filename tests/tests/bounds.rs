//! Is everything bounded: queues, time, sizes?

use std::time::{Duration, Instant};

use megabrain_bus::{Call, Meta, Target};
use megabrain_schemas::{Ask, Codec, ECHO_MIME, EchoRequest, FaultKind, Media};
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
async fn works_that_let_others_go_first_leave_them_a_slot_and_half_of_the_queue() {
    let mut brain = Brain::start("[models.echo]\nactor = \"echo\"\nslots = 3\nqueue = 4\n").await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let patient = |delay_ms| {
        let bus = bus.clone();
        let call = Call { meta: Meta { priority: -1, ..Meta::new() }, ..Call::default() };
        async move { bus.call(&target(), &echo(delay_ms), call).await }
    };
    let (mut calls, spawned) = (tokio::task::JoinSet::new(), Instant::now());
    for _ in 0..5 {
        calls.spawn(patient(1500));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Three slots and half of the queue are theirs at most; one more has to come again.
    let fault = patient(0).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Overloaded, "{fault}");
    let began = Instant::now();
    bus.call(&target(), &echo(0), Call::default()).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(500), "it waited for them: {:?}", began.elapsed());
    // They had two slots of the three: with all of them, it would be over after 3 seconds.
    while let Some(outcome) = calls.join_next().await {
        outcome.unwrap().unwrap();
    }
    assert!(spawned.elapsed() > Duration::from_secs(4), "{:?}", spawned.elapsed());
}

#[tokio::test]
async fn a_question_has_so_many_legs_at_most_and_a_brain_so_many_at_a_time() {
    let router = "[models.echo]\nactor = \"echo\"\n[router]\nmax_legs = 4\nmax_legs_in_flight = 2\n";
    let mut brain = Brain::start(router).await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let ask = |count: usize| {
        let body = Codec::MessagePack.encode(&echo(400)).unwrap();
        let attachments = (0..count).map(|_| Media::inline(ECHO_MIME, body.clone())).collect();
        Ask { attachments, models: Some(Vec::new()), ..Ask::default() }
    };
    let fault = bus.call(&Target::Router, &ask(5), Call::default()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::TooLarge, "{fault}");
    assert!(fault.message.contains('5') && fault.message.contains('4'), "{fault}");
    let two = bus.call(&Target::Router, &ask(2), Call::default()).await.unwrap();
    assert!((400.0..790.0).contains(&two.took_ms), "two legs at the same time took {} ms", two.took_ms);
    let four = bus.call(&Target::Router, &ask(4), Call::default()).await.unwrap();
    assert!((800.0..1550.0).contains(&four.took_ms), "four legs, two at a time, took {} ms", four.took_ms);
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
