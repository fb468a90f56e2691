//! Who is there? What everybody on the bus says of himself within a second; no list is kept anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use megabrain_bus::{Bus, ServiceInfo};
use megabrain_schemas::subject::event;
use megabrain_schemas::{Capability, Fault, ModelState, Name, NodePresence, Presence};
use tokio::time::Instant;

use crate::cli::format;
use crate::cli::table::Table;

/// Presence is told once a second.
const LISTEN: Duration = Duration::from_millis(1200);

/// What was heard.
#[derive(Default)]
pub(crate) struct Survey {
    /// By instance.
    pub(crate) models: BTreeMap<Name, Presence>,
    /// By node.
    pub(crate) nodes: BTreeMap<Name, NodePresence>,
}

impl Survey {
    /// Asks (`$SRV.INFO`) and listens (presence) for 1.2 s.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(crate) async fn take(bus: &Bus) -> Result<Self, Fault> {
        let mut survey = Self::default();
        let (services, heard) = tokio::join!(bus.discover(LISTEN), survey.listen(bus));
        heard?;
        for presence in services?.iter().filter_map(from_service) {
            survey.models.entry(presence.instance.clone()).or_insert(presence);
        }
        Ok(survey)
    }

    async fn listen(&mut self, bus: &Bus) -> Result<(), Fault> {
        let mut beats = bus.events::<Presence>(event::PRESENCE, None).await?;
        let mut ready = bus.events::<Presence>(event::READY, None).await?;
        let mut down = bus.events::<Presence>(event::DOWN, None).await?;
        let mut nodes = bus.events::<NodePresence>(event::NODE, None).await?;
        let end = tokio::time::sleep_until(Instant::now() + LISTEN);
        tokio::pin!(end);
        loop {
            let presence = tokio::select! {
                () = &mut end => return Ok(()),
                Some(node) = nodes.next() => {
                    self.nodes.insert(node.who, node.body);
                    continue;
                }
                Some(heard) = beats.next() => heard.body,
                Some(heard) = ready.next() => heard.body,
                Some(heard) = down.next() => heard.body,
                else => return Err(Fault::unavailable("the connection to the bus was closed", 1000)),
            };
            self.models.insert(presence.instance.clone(), presence);
        }
    }

    /// The models of which no instance is ready.
    pub(crate) fn not_ready(&self) -> BTreeSet<&Name> {
        let ready: BTreeSet<&Name> = self.instances_in(ModelState::Ready).map(|presence| &presence.model).collect();
        self.models.values().map(|presence| &presence.model).filter(|model| !ready.contains(model)).collect()
    }

    pub(crate) fn instances_in(&self, state: ModelState) -> impl Iterator<Item = &Presence> {
        self.models.values().filter(move |presence| presence.state == state)
    }

    /// Every instance, one a row, sorted by model.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&[
            "model",
            "instance",
            "actor",
            "state",
            "device",
            "#context",
            "#slots",
            "#in flight",
            "#queued",
            "#tok/s",
            "#memory",
            "#on device",
            "#restarts",
            "node",
            "reason",
        ]);
        let mut instances: Vec<&Presence> = self.models.values().collect();
        instances.sort_by(|one, other| (&one.model, &one.instance).cmp(&(&other.model, &other.instance)));
        for presence in instances {
            table.row(row(presence));
        }
        table
    }
}

fn row(presence: &Presence) -> [String; 15] {
    let Presence { queued, queue_limit, .. } = presence;
    let optional = |name: &Option<Name>| name.as_ref().map(Name::to_string).unwrap_or_default();
    let nonzero = |number: u64, text: String| if number > 0 { text } else { String::new() };
    [
        presence.model.to_string(),
        presence.instance.to_string(),
        presence.actor.to_string(),
        state(presence),
        presence.device.clone().unwrap_or_default(),
        presence.context.map(|tokens| tokens.to_string()).unwrap_or_default(),
        nonzero(presence.slots.into(), presence.slots.to_string()),
        presence.in_flight.to_string(),
        if *queue_limit > 0 { format!("{queued}/{queue_limit}") } else { queued.to_string() },
        if presence.tokens_per_second > 0.0 { format!("{:.1}", presence.tokens_per_second) } else { String::new() },
        nonzero(presence.memory_bytes, format::size(presence.memory_bytes)),
        presence.device_memory_bytes.map(format::size).unwrap_or_default(),
        presence.restarts.to_string(),
        optional(&presence.node),
        reason(presence),
    ]
}

fn state(presence: &Presence) -> String {
    let word = presence.state.as_str();
    match presence.progress {
        Some(share) if presence.state == ModelState::Loading => format!("{word} {:.0}%", share * 100.0),
        _ => word.to_owned(),
    }
}

fn reason(presence: &Presence) -> String {
    let reason = presence.reason.clone().unwrap_or_default();
    match presence.retry_after_ms {
        Some(wait) if presence.state == ModelState::Backoff => {
            #[allow(clippy::cast_precision_loss, reason = "a delay of some seconds")]
            let next = format!("next start in {}", format::took(wait as f64));
            if reason.is_empty() { next } else { format!("{reason}; {next}") }
        }
        _ => reason,
    }
}

/// An instance of which no presence came: what its answer to `$SRV.INFO` says. `None` for services that are no models.
fn from_service(info: &ServiceInfo) -> Option<Presence> {
    let (instance, model) = (Name::new(&info.id).ok()?, Name::new(&info.name).ok()?);
    let told = |key: &str| info.metadata.get(key).filter(|text| !text.is_empty());
    let capabilities: Vec<Capability> =
        told("capabilities")?.split(',').filter_map(|capability| Capability::new(capability).ok()).collect();
    Some(Presence {
        actor: Name::new(told("actor")?).ok()?,
        node: told("node").and_then(|node| Name::new(node).ok()),
        state: ModelState::Ready,
        capabilities,
        accepts: told("accepts").map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        device: told("device").cloned(),
        slots: told("slots").and_then(|slots| slots.parse().ok()).unwrap_or(0),
        context: told("context").and_then(|tokens| tokens.parse().ok()),
        ..Presence::unknown(&instance, &model)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(instance: &str, model: &str, state: ModelState) -> Presence {
        let (instance, model) = (Name::new(instance).unwrap(), Name::new(model).unwrap());
        Presence { state, ..Presence::unknown(&instance, &model) }
    }

    fn survey(all: Vec<Presence>) -> Survey {
        Survey { models: all.into_iter().map(|one| (one.instance.clone(), one)).collect(), ..Survey::default() }
    }

    #[test]
    fn a_model_is_ready_while_one_of_its_instances_is() {
        let survey = survey(vec![
            presence("fast-1", "fast", ModelState::Backoff),
            presence("fast-2", "fast", ModelState::Ready),
            presence("deep-1", "deep", ModelState::Loading),
        ]);
        assert_eq!(survey.not_ready(), BTreeSet::from([&Name::new("deep").unwrap()]));
    }

    #[test]
    fn what_is_not_known_takes_no_column() {
        let mut fast = presence("fast-1", "fast", ModelState::Ready);
        fast.memory_bytes = 98_362_432;
        let mut deep = presence("deep-1", "deep", ModelState::Loading);
        deep.progress = Some(0.42);
        let expected = "model  instance  actor  state        in flight  queued    memory  restarts\n\
                        deep   deep-1    deep   loading 42%          0       0                   0\n\
                        fast   fast-1    fast   ready                0       0  93.8 MiB         0";
        assert_eq!(survey(vec![fast, deep]).table().render(None), expected);
    }

    #[test]
    fn a_model_in_backoff_says_why_and_until_when() {
        let mut deep = presence("deep-1", "deep", ModelState::Backoff);
        deep.reason = Some("killed by signal 9".into());
        deep.retry_after_ms = Some(1500);
        assert_eq!(reason(&deep), "killed by signal 9; next start in 1.50 s");
    }
}
