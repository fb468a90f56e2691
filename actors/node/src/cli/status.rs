//! `megabrain status`: is the brain well?

use std::process::ExitCode;

use clap::Args;
use megabrain_schemas::{ModelState, Name};

use crate::cli::survey::Survey;
use crate::cli::table::Table;
use crate::cli::{Globals, format, output, session};

/// Show nodes and models; fails if a model is not ready.
///
/// The exit code is 0 if every model has an instance that is ready, else 1: fit for scripts and health checks.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain status\n  \
    until megabrain status >/dev/null; do sleep 1; done    wait until everything is ready\n  \
    megabrain status --json | jq .nodes")]
pub struct StatusArgs {}

pub(crate) async fn run(_: StatusArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let bus = session::connect(globals).await?;
    let survey = session::until_interrupted(&bus, async { Ok(Survey::take(&bus).await?) }).await?;
    let is_well = survey.not_ready().is_empty() && !survey.models.is_empty();
    if globals.json {
        let status = serde_json::json!({
            "ready": is_well,
            "nodes": survey.nodes.iter().map(|(name, node)| (name.to_string(), node)).collect::<std::collections::BTreeMap<_, _>>(),
            "models": survey.models.values().collect::<Vec<_>>(),
        });
        output::line(status)?;
    } else {
        print(&survey)?;
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(survey: &Survey) -> std::io::Result<()> {
    let width = output::width();
    for table in [node_table(survey), survey.table()].iter().filter(|table| !table.is_empty()) {
        output::line(format!("{}\n", table.render(width)))?;
    }
    output::line(verdict(survey))
}

fn node_table(survey: &Survey) -> Table {
    let mut table = Table::new(&["node", "role", "#asks", "#cores", "#memory", "#free", "#own memory", "#up"]);
    for (name, node) in &survey.nodes {
        #[allow(clippy::cast_precision_loss, reason = "shown in whole seconds")]
        let up = format::took(node.up_ms as f64);
        table.row([
            name.to_string(),
            if node.router { "router" } else { "models only" }.to_owned(),
            node.asks_in_flight.to_string(),
            node.cores.to_string(),
            format::size(node.memory_bytes),
            format::size(node.memory_available_bytes),
            format::size(node.resident_bytes),
            up,
        ]);
    }
    table
}

/// One line: is it well, and what runs in all?
fn verdict(survey: &Survey) -> String {
    if survey.models.is_empty() {
        return "no model is on this bus".to_owned();
    }
    let instances = survey.models.len();
    let ready = survey.instances_in(ModelState::Ready).count();
    let sum = |number: fn(&megabrain_schemas::Presence) -> u64| survey.models.values().map(number).sum::<u64>();
    let speed: f64 = survey.models.values().map(|presence| presence.tokens_per_second).sum();
    let totals = format!(
        "{ready} of {instances} instances ready, {} in flight, {} queued, {speed:.1} tok/s, {}",
        sum(|presence| presence.in_flight.into()),
        sum(|presence| presence.queued.into()),
        format::size(sum(|presence| presence.memory_bytes)),
    );
    let missing: Vec<&str> = survey.not_ready().into_iter().map(Name::as_str).collect();
    if missing.is_empty() { totals } else { format!("{totals}; not ready: {}", missing.join(", ")) }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::Presence;

    use super::*;

    #[test]
    fn the_verdict_names_what_is_not_ready() {
        let name = |text: &str| Name::new(text).unwrap();
        let mut survey = Survey::default();
        assert_eq!(verdict(&survey), "no model is on this bus");
        for (instance, state) in [("fast", ModelState::Ready), ("deep", ModelState::Failed)] {
            let one = Presence { state, in_flight: 2, ..Presence::unknown(&name(instance), &name(instance)) };
            survey.models.insert(name(instance), one);
        }
        assert_eq!(verdict(&survey), "1 of 2 instances ready, 4 in flight, 0 queued, 0.0 tok/s, 0 B; not ready: deep");
    }
}
