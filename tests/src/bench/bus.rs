//! What does a hop cost over a bare round trip on the same server? What a join over its slowest leg?

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use hdrhistogram::Histogram;
use megabrain_bus::{Bus, Call, Target};
use megabrain_node::connection::Role;
use megabrain_schemas::{Ask, Codec, ECHO_MIME, EchoReply, EchoRequest, LegStatus, Media};
use megabrain_tests::{Brain, name};

use crate::bare::Bare;
use crate::memory::megabytes;
use crate::report::{Bound, Report, median, median_ratio};

/// Bytes of text that go out and come back.
const BYTES: usize = 512;
/// Requests at the same time, where throughput is measured.
const IN_FLIGHT: usize = 64;
/// Requests at the same time, where the router's capacity is.
const CROWD: usize = 10_000;
/// The longest that any request here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ways that the same bytes go out and come back.
#[derive(Clone, Copy)]
enum Way {
    Bare,
    Direct,
    Routed,
}

const WAYS: [Way; 3] = [Way::Bare, Way::Direct, Way::Routed];

struct Traveller {
    bare: Bare,
    bus: Bus,
    payload: Bytes,
    request: EchoRequest,
    echo: Target,
}

/// What the rounds of one way measured: microseconds, and answers a second.
#[derive(Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
    rate: Vec<f64>,
}

/// Measures everything about hops.
pub(crate) async fn measure(brain: &Brain, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let connection = brain.connection();
    let traveller = Traveller {
        bare: Bare::start(&connection).await?,
        bus: connection.connect(Role::Client, "bench", false).await?,
        payload: Bytes::from(vec![b'x'; BYTES]),
        request: EchoRequest { text: Some("x".repeat(BYTES)), ..EchoRequest::default() },
        echo: Target::Model(name("echo")),
    };
    round_trips(&traveller, quick, report).await?;
    joins(&traveller.bus, if quick { 100 } else { 500 }, report).await?;
    crowd(&traveller.bus, brain.node(), report).await?;
    traveller.bare.stop().await
}

async fn round_trips(traveller: &Traveller, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, requests, flood) = if quick { (3, 1000, 1) } else { (9, 3000, 2) };
    let mut measured = [Rounds::default(), Rounds::default(), Rounds::default()];
    for way in WAYS {
        traveller.latencies(way, 200).await?;
    }
    for _ in 0..rounds {
        for (way, rounds) in WAYS.into_iter().zip(&mut measured) {
            let latencies = traveller.latencies(way, requests).await?;
            rounds.p50.push(latencies.value_at_quantile(0.5) as f64 / 1e3);
            rounds.p99.push(latencies.value_at_quantile(0.99) as f64 / 1e3);
        }
        for (way, rounds) in WAYS.into_iter().zip(&mut measured) {
            rounds.rate.push(traveller.throughput(way, Duration::from_secs(flood)).await?);
        }
    }
    let [bare, direct, routed] = &measured;
    let mut row = |what: &str, bound, unit, pick: fn(&Rounds) -> &Vec<f64>, ours: &Rounds| {
        let (ours, bare) = (pick(ours), pick(bare));
        let from = format!("{:.0} against {:.0} {unit}", median(ours.clone()), median(bare.clone()));
        report.row(what, bound, median_ratio(ours, bare), "×", &from);
    };
    row("echo of a model, 512 B, p50, against bare", Bound::AtMost(1.3), "µs", |rounds| &rounds.p50, direct);
    row("echo of a model, 512 B, p99, against bare", Bound::AtMost(1.6), "µs", |rounds| &rounds.p99, direct);
    row("echo by the router, p50, against bare", Bound::AtMost(1.9), "µs", |rounds| &rounds.p50, routed);
    row("64 in flight, a model, against bare", Bound::AtLeast(0.55), "a second", |rounds| &rounds.rate, direct);
    row("64 in flight, by the router, against bare", Bound::AtLeast(0.4), "a second", |rounds| &rounds.rate, routed);
    Ok(())
}

impl Traveller {
    async fn ask(&self, way: Way) -> anyhow::Result<()> {
        let target = match way {
            Way::Bare => return self.bare.ask(&self.payload).await,
            Way::Direct => &self.echo,
            Way::Routed => &Target::Router,
        };
        let reply = self.bus.call(target, &self.request, Call::within(PATIENCE)).await?;
        ensure!(reply.text == self.request.text, "the answer is not what was sent");
        Ok(())
    }

    /// Nanoseconds of one request after the other.
    async fn latencies(&self, way: Way, requests: usize) -> anyhow::Result<Histogram<u64>> {
        let mut latencies = Histogram::new(3)?;
        for _ in 0..requests {
            let began = Instant::now();
            self.ask(way).await?;
            latencies.record(nanoseconds(began))?;
        }
        Ok(latencies)
    }

    /// Answers a second, with always as many requests under way.
    async fn throughput(&self, way: Way, time: Duration) -> anyhow::Result<f64> {
        let began = Instant::now();
        let answers = try_join_all((0..IN_FLIGHT).map(|_| async {
            let mut answers = 0_u32;
            while began.elapsed() < time {
                self.ask(way).await?;
                answers += 1;
            }
            anyhow::Ok(answers)
        }));
        let answers: u32 = answers.await?.into_iter().sum();
        Ok(f64::from(answers) / began.elapsed().as_secs_f64())
    }
}

/// Fan-out and join: what the router's own clock says beyond the slowest leg.
async fn joins(bus: &Bus, asks: usize, report: &mut Report) -> anyhow::Result<()> {
    let echo = EchoRequest { text: Some("what was found".into()), ..EchoRequest::default() };
    let ask = Ask {
        attachments: vec![Media::inline(ECHO_MIME, Codec::MessagePack.encode(&echo)?); 8],
        models: Some(Vec::new()),
        ..Ask::default()
    };
    let (mut over, mut whole) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?);
    for _ in 0..asks {
        let reply = bus.call(&Target::Router, &ask, Call::within(PATIENCE)).await?;
        let all_ok = reply.legs.len() == 8 && reply.legs.iter().all(|leg| leg.status == Some(LegStatus::Ok));
        ensure!(all_ok, "a leg of an ask failed: {:?}", reply.legs);
        let slowest = reply.legs.iter().map(|leg| leg.took_ms).fold(0.0, f64::max);
        over.record(microseconds(reply.took_ms - slowest))?;
        whole.record(microseconds(reply.took_ms))?;
    }
    let p50 = |times: &Histogram<u64>| times.value_at_quantile(0.5) as f64 / 1e3;
    let from = format!("ask {:.2} ms", p50(&whole));
    report.row("ask of 8 attachments over its slowest leg, p50", Bound::AtMost(1.0), p50(&over), " ms", &from);
    Ok(())
}

/// Ten thousand requests that all wait at the same time, each with a text of its own.
async fn crowd(bus: &Bus, node: u32, report: &mut Report) -> anyhow::Result<()> {
    let before = megabytes(node, "status", "VmRSS:")?;
    let (open, most) = (Cell::new(0), Cell::new(0));
    let began = Instant::now();
    let one = async |number: usize| {
        open.set(open.get() + 1);
        most.set(most.get().max(open.get()));
        let request = EchoRequest { text: Some(format!("{number}")), delay_ms: 2000, ..EchoRequest::default() };
        let reply = bus.call(&Target::Router, &request, Call::within(PATIENCE)).await;
        open.set(open.get() - 1);
        reply.map(|EchoReply { text, .. }| text == request.text)
    };
    let replies = join_all((0..CROWD).map(one)).await;
    let took = began.elapsed();
    let right = replies.iter().filter(|reply| matches!(reply, Ok(true))).count();
    let resident = megabytes(node, "status", "VmRSS:")?;
    let peak = megabytes(node, "status", "VmHWM:")?;
    let fault = replies.iter().find_map(|reply| reply.as_ref().err());
    let from = format!(
        "{} at the same time, all in {:.1} s; node's resident memory {before:.0} MB before, {resident:.0} MB after, {peak:.0} MB at most{}",
        most.get(),
        took.as_secs_f64(),
        fault.map(|fault| format!("; {fault}")).unwrap_or_default()
    );
    report.row(
        "right answers of 10,000 in flight by the router",
        Bound::AtLeast(CROWD as f64),
        right as f64,
        "",
        &from,
    );
    Ok(())
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn microseconds(milliseconds: f64) -> u64 {
    (milliseconds * 1e3).round().max(0.0) as u64
}
