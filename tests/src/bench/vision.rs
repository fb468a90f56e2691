//! Are pictures seen as fast as in Python, with the same models?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use megabrain_bus::{Bus, Call, Target};
use megabrain_node::pull::{Options, Puller, Reporter, Source, cache_dir};
use megabrain_schemas::{Media, SeeRequest, SeeTask};
use megabrain_tests::{Brain, EYES, media, name};
use serde::Deserialize;
use tokio::process::Command;

use crate::models::all_ready;
use crate::report::{Bound, Report, median, median_ratio};

/// Photographs and drawn text.
const PICTURES: [&str; 5] = ["cat.jpg", "coffee.jpg", "menu.jpg", "sign.png", "note-tilted.png"];
/// The longest that one picture may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `see_bare.py` says.
#[derive(Deserialize)]
struct Bare {
    seconds: Vec<Vec<f64>>,
}

/// Measures one picture after the other, in turns with Python, to which ONNX Runtime belongs as it is installed.
pub(crate) async fn measure(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let rounds = if quick { 1 } else { 5 };
    let puller = Puller::new(Options::from_env(), Reporter::auto())?;
    let model = puller.fetch(&Source::Artefact("efficientnet-lite0".into())).await?;
    let mut brain = Brain::start(EYES).await;
    all_ready(&mut brain).await;
    let bus = brain.client().await;
    see(&bus).await?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(python(&model).await?);
        ours.push(see(&bus).await?);
    }
    let from = format!("{:.3} against {:.3} s a picture", median(ours.clone()), median(bare.clone()));
    // Speeds: the inverse of times.
    let speed = median_ratio(&bare, &ours);
    report.row("vision: classify + read, against Python", Bound::AtLeast(1.0), speed, "×", &from);
    brain.stop();
    Ok(())
}

/// Seconds a picture, by the caller's clock.
async fn see(bus: &Bus) -> anyhow::Result<f64> {
    let began = Instant::now();
    for picture in PICTURES {
        let request = SeeRequest {
            images: vec![Media::inline("image/*", media(picture))],
            tasks: Some(vec![SeeTask::Classify, SeeTask::Read]),
            prompt: None,
            top_k: None,
        };
        let reply = bus.call(&Target::Model(name("vision")), &request, Call::within(PATIENCE)).await?;
        ensure!(reply.results.len() == 1, "{picture}: {} results", reply.results.len());
    }
    Ok(began.elapsed().as_secs_f64() / PICTURES.len() as f64)
}

/// The same in Python: the second time, since by then its buffers are there, as ours are.
async fn python(model: &Path) -> anyhow::Result<f64> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = cache_dir().join("bench-venv/bin/python");
    ensure!(python.exists(), "there is no {}: `make bench-senses` installs it", python.display());
    let pictures: Vec<PathBuf> = PICTURES.iter().map(|picture| tests.join("media").join(picture)).collect();
    let mut command = Command::new(&python);
    command.arg(tests.join("python/see_bare.py")).arg("--model").arg(model).args(["--repeat", "2"]).args(pictures);
    let output = command.kill_on_drop(true).output().await.with_context(|| format!("{command:?}"))?;
    let bare: Bare = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let last = bare.seconds.last().context("Python measured nothing")?;
    Ok(last.iter().sum::<f64>() / last.len() as f64)
}
