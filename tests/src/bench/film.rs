//! Is a film answered as soon as it can be? Against what its legs must take, on these cores.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_schemas::{
    Ask, AskReply, Codec, ECHO_MIME, EchoRequest, LegStatus, Media, SeeRequest, SplitRequest, TranscribeRequest,
};
use megabrain_tests::{Brain, EARS, EYES, children_of, long_film, name};

use crate::models::all_ready;
use crate::report::{Bound, Report, median, median_ratio};

/// Twenty pictures of the first thirty seconds of a film.
const MODELS: &str = "
[models.video]
actor = \"video\"
frames = 20
fps = 1.0
max_film = \"30s\"
[models.echo]
actor = \"echo\"
";
/// What each of the legs waits that only wait, in milliseconds.
const WAITS: [u64; 20] =
    [500, 520, 540, 560, 580, 600, 620, 640, 660, 680, 700, 720, 740, 760, 780, 800, 850, 900, 950, 1000];
const PICTURES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures questions about a film, and questions whose legs only wait.
pub(crate) async fn measure(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let rounds = if quick { 1 } else { 5 };
    let mut brain = Brain::start_with_room(&[MODELS, EYES, EARS].concat(), &[], "256 MiB").await;
    all_ready(&mut brain).await;
    let bus = brain.client().await;
    let film = Media::inline("video/mp4", long_film(2));
    watch(&bus, &film).await?;
    let (mut seconds, mut leasts) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        leasts.push(one_by_one(&bus, brain.node(), &film).await?);
        seconds.push(watch(&bus, &film).await?);
    }
    let from =
        format!("{:.2} s; work over cores or critical path {:.2} s", median(seconds.clone()), median(leasts.clone()));
    let over = median_ratio(&seconds, &leasts);
    report.row("film of 20 pictures, over what it must take", Bound::AtMost(1.15), over, "×", &from);

    let mut over = Vec::new();
    for _ in 0..rounds {
        over.push(wait(&bus).await?);
    }
    let from = "20 legs that wait 0.5 to 1 s".to_owned();
    report.row("20 legs that only wait, over the longest", Bound::AtMost(1.05), median(over), "×", &from);
    brain.stop();
    Ok(())
}

/// Seconds from the question about a film to its answer.
async fn watch(bus: &Bus, film: &Media) -> anyhow::Result<f64> {
    let began = Instant::now();
    let reply = ask(bus, vec![film.clone()]).await?;
    ensure!(
        reply.legs.len() == 2 + PICTURES,
        "{} legs instead of film, sound and {PICTURES} pictures",
        reply.legs.len()
    );
    Ok(began.elapsed().as_secs_f64())
}

/// The least that a film must take, in seconds, where nothing is in the way of anything: its critical path, from the film
/// to the end of what is done with one part of it, or all processor time over the cores there are, whichever is more. For
/// this, the film is taken apart, and then one part after the other goes to its model.
async fn one_by_one(bus: &Bus, node: u32, film: &Media) -> anyhow::Result<f64> {
    let before = processor_seconds(node)?;
    let began = Instant::now();
    let request = SplitRequest { video: film.clone(), frames: None, fps: None, stream: Some(true) };
    let mut stream = bus.stream(&Target::Model(name("video")), &request, Call::within(PATIENCE)).await?;
    let mut parts = Vec::new();
    while let Frame::Part(_, part) = stream.next::<SplitRequest>().await.context("an end without an answer")?? {
        parts.push((began.elapsed(), part));
    }
    let mut longest = began.elapsed();
    ensure!(parts.len() == 1 + PICTURES, "{} parts instead of sound and {PICTURES} pictures", parts.len());
    for (came, part) in parts {
        let began = Instant::now();
        if let Some(frame) = part.frame {
            let images = vec![Media::by_reference(Some("image/jpeg".into()), frame.blob)];
            let request = SeeRequest { images, tasks: None, prompt: None, top_k: None };
            bus.call(&Target::Model(name("vision")), &request, Call::within(PATIENCE)).await?;
        } else if let Some(sound) = part.sound {
            let audio = Media::by_reference(Some("audio/wav".into()), sound.blob);
            let request = TranscribeRequest { audio, ..TranscribeRequest::default() };
            bus.call(&Target::Model(name("whisper")), &request, Call::within(PATIENCE)).await?;
        }
        longest = longest.max(came + began.elapsed());
    }
    let work = processor_seconds(node)? - before;
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    Ok(longest.as_secs_f64().max(work / cores))
}

async fn wait(bus: &Bus) -> anyhow::Result<f64> {
    let legs = WAITS.iter().map(|delay_ms| {
        let text = Some(format!("after {delay_ms} ms"));
        let echo = EchoRequest { text, delay_ms: *delay_ms, ..EchoRequest::default() };
        Ok(Media::inline(ECHO_MIME, Codec::MessagePack.encode(&echo)?))
    });
    let legs = legs.collect::<Result<_, megabrain_schemas::Fault>>()?;
    let began = Instant::now();
    ask(bus, legs).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3 / WAITS.iter().copied().max().unwrap_or(1) as f64)
}

async fn ask(bus: &Bus, attachments: Vec<Media>) -> anyhow::Result<AskReply> {
    // Nobody answers: what is found is the answer.
    let ask = Ask { attachments, models: Some(Vec::new()), ..Ask::default() };
    let reply = bus.call(&Target::Router, &ask, Call::within(PATIENCE)).await?;
    let failed = reply.legs.iter().find(|leg| leg.status != Some(LegStatus::Ok));
    ensure!(failed.is_none(), "a leg failed: {failed:?}");
    Ok(reply)
}

/// Processor time of the node, its models and their children, those that have ended included, in seconds.
fn processor_seconds(node: u32) -> anyhow::Result<f64> {
    let mut ticks = 0_u64;
    for pid in children_of(node).into_iter().chain([node]) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit(')').next().context("no stat")?.split_whitespace();
        // proc_pid_stat(5): utime, stime, cutime and cstime are the fields 14 to 17; the third comes first here.
        for field in fields.skip(11).take(4) {
            ticks += field.parse::<u64>()?;
        }
    }
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
