//! `megabrain up --check`: what would a brain need, and does this machine have it?

use std::process::ExitCode;

use bytesize::ByteSize;

use crate::brain::{Brain, ModelTable};
use crate::node::actor_program;
use crate::pull::{Puller, Source};
use crate::weights::Weights;

/// Prints, for each model, where its weights come from, how large they are, where they are to live, and what of that is
/// missing here. Starts and fetches nothing.
///
/// # Errors
/// Standard output cannot be written.
pub async fn run(brain: &Brain, puller: &Puller) -> anyhow::Result<ExitCode> {
    println!("brain {}: {} models, {} threads to share", brain.brain.name, brain.models.len(), brain.host.threads());
    let mut missing = Vec::new();
    for (name, model) in &brain.models {
        println!("\n{name}");
        println!("  actor    {}", model.actor);
        if let Err(error) = actor_program(&model.actor) {
            missing.push(format!("{name}: {error}"));
        }
        let device = setting(model, "device").unwrap_or_else(|| "auto".into());
        match &model.weights {
            None => println!("  weights  none needed"),
            Some(weights) => {
                for text in weights.needs(&brain.folder, puller.manifest()) {
                    check_weights(brain, puller, name.as_str(), &text, &mut missing);
                }
            }
        }
        if model.weights.is_some() {
            println!(
                "  device   {device}{}",
                setting(model, "experts").map(|experts| format!(", experts in {experts}")).unwrap_or_default()
            );
            for line in estimate(brain, puller, model, &device).await {
                println!("  {line}");
            }
        }
    }
    if missing.is_empty() {
        println!("\nthis machine has what this brain needs, or can fetch it");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nmissing here:");
    for line in missing {
        println!("  {line}");
    }
    Ok(ExitCode::FAILURE)
}

fn check_weights(brain: &Brain, puller: &Puller, name: &str, text: &str, missing: &mut Vec<String>) {
    let source = match Source::parse(text, &brain.folder, puller.manifest()) {
        Ok(source) => source,
        Err(error) => {
            println!("  weights  {text}");
            missing.push(format!("{name}: {error}"));
            return;
        }
    };
    let found = puller.cached(&source);
    let size = found.as_ref().and_then(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.len());
    let known = match &source {
        Source::Artefact(artefact) => puller.manifest().find(artefact).map(|artefact| artefact.size),
        _ => None,
    };
    let bytes = size.or(known).map(|bytes| format!(", {}", ByteSize::b(bytes).display().iec())).unwrap_or_default();
    match (&found, &source) {
        (Some(path), _) => println!("  weights  {text}: here{bytes} ({})", path.display()),
        (None, Source::Path(path)) => {
            println!("  weights  {text}: not here");
            missing.push(format!("{name}: there is no file {}", path.display()));
        }
        (None, _) => println!("  weights  {text}: will be fetched{bytes}"),
    }
}

/// What the actor's own program says the model would take, if the weights are here for it to look at.
async fn estimate(brain: &Brain, puller: &Puller, model: &ModelTable, device: &str) -> Vec<String> {
    let weights = match &model.weights {
        Some(Weights::One(text)) => Source::parse(text, &brain.folder, puller.manifest()).ok(),
        _ => None,
    };
    let weights = weights.and_then(|source| puller.cached(&source));
    let (Some(weights), true, Ok(program)) = (weights, *model.actor.as_str() == *"llm", actor_program(&model.actor))
    else {
        return Vec::new();
    };
    let mut command = tokio::process::Command::new(program);
    command.arg("--estimate").arg("--weights").arg(weights).args(["--device", device]);
    for key in ["context", "slots", "experts"] {
        if let Some(value) = setting(model, key) {
            command.args([format!("--{key}"), value]);
        }
    }
    match command.output().await {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
        }
        Ok(output) => vec![format!("estimate: {}", String::from_utf8_lossy(&output.stderr).trim())],
        Err(error) => vec![format!("estimate: {error}")],
    }
}

fn setting(model: &ModelTable, key: &str) -> Option<String> {
    model.settings.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
