//! How does a request that names a capability find its instance? One look at the roster, one message on.

use megabrain_bus::{Bus, Incoming, Roster};
use megabrain_runtime::supervision::SharedRoster;
use megabrain_schemas::{Capability, Fault, FaultKind, ModelState, Name, Presence, SeeRequest, SeeTask, subject};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::choose::{Wish, choose, most_able};

/// What of a request's body matters for where it goes.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Peek {
    #[serde(default)]
    pub(crate) model: Option<String>,
    #[serde(default)]
    pub(crate) session: Option<String>,
    /// Of a request to `see`.
    #[serde(default)]
    pub(crate) tasks: Option<Tasks>,
}

/// What a field `tasks` says.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Tasks {
    /// What to do with pictures.
    OfSee(Vec<SeeTask>),
    /// Another capability's affair, or a mistake that the model will tell.
    Other(IgnoredAny),
}

impl Peek {
    /// What to do with pictures, if it says.
    fn tasks(&self) -> Option<&[SeeTask]> {
        match &self.tasks {
            Some(Tasks::OfSee(tasks)) => Some(tasks),
            _ => None,
        }
    }

    /// Of models in the order of preference, those that suit what is asked; all if nobody is known to.
    pub(crate) fn suiting(&self, roster: &Roster, models: &[Name]) -> Vec<Name> {
        let Some(tasks) = self.tasks() else { return models.to_vec() };
        let known = roster.all().filter(|presence| models.contains(&presence.model)).collect();
        let able = most_able(known, Some(tasks));
        let is_able = |model: &&Name| able.iter().any(|presence| presence.model == **model);
        let suiting: Vec<Name> = models.iter().filter(is_able).cloned().collect();
        if suiting.is_empty() { models.to_vec() } else { suiting }
    }
}

/// Passes a request on to the best instance. Its answer skips the router.
pub(crate) fn forward(bus: &Bus, roster: &SharedRoster, capability: &Capability, incoming: Incoming, peek: &Peek) {
    let subject = subject_for(&mut roster.lock(), capability, peek);
    let sent = subject.and_then(|subject| bus.forward(&subject, &incoming));
    if let Err(fault) = sent {
        incoming.responder.fail(&fault);
    }
}

/// The subject of the instance that should work on this. It counts as sent there: of a second's requests, all would
/// otherwise go to the one that was the least busy at the second's beginning.
fn subject_for(roster: &mut Roster, capability: &Capability, peek: &Peek) -> Result<String, Fault> {
    let Presence { model, instance, .. } = instance_for(roster, capability, peek)?;
    let (subject, instance) = (subject::instance(capability, model, instance), instance.clone());
    roster.count_sent(&instance);
    Ok(subject)
}

/// The instance that should work on this.
fn instance_for<'r>(roster: &'r Roster, capability: &Capability, peek: &Peek) -> Result<&'r Presence, Fault> {
    let named = peek
        .model
        .as_deref()
        .map(Name::new)
        .transpose()
        .map_err(|error| Fault::invalid(format!("`model`: {error}")))?;
    let serving: Vec<&Presence> = roster
        .ready()
        .filter(|presence| presence.capabilities.contains(capability))
        .filter(|presence| named.as_ref().is_none_or(|model| presence.model == *model))
        .collect();
    let serving =
        if *capability == Capability::of::<SeeRequest>() { most_able(serving, peek.tasks()) } else { serving };
    let wish = Wish { session: peek.session.as_deref() };
    choose(&serving, wish).ok_or_else(|| nobody_ready(roster, capability, named.as_ref()))
}

/// Why nobody can work on this now.
pub(crate) fn nobody_ready(roster: &Roster, capability: &Capability, named: Option<&Name>) -> Fault {
    let Some(model) = named else {
        let loading: Vec<&str> = roster
            .all()
            .filter(|presence| presence.state != ModelState::Ready)
            .map(|presence| presence.model.as_str())
            .collect();
        let message = format!("no model serves {capability} now");
        let served =
            |presence: &Presence| presence.capabilities.is_empty() || presence.capabilities.contains(capability);
        return if loading.is_empty() && roster.missed().any(served) {
            Fault::unavailable(format!("{message}; who did was not heard for some seconds"), 1000)
        } else if loading.is_empty() {
            Fault::new(FaultKind::NotFound, message)
        } else {
            Fault::unavailable(format!("{message}; not ready: {}", loading.join(", ")), 1000)
        };
    };
    match roster.of_model(model).next() {
        None => not_there(roster, model),
        Some(presence) if presence.state == ModelState::Ready => {
            Fault::wrong_capability(model, capability, &presence.capabilities)
        }
        Some(presence) => {
            let reason = presence.reason.as_deref().unwrap_or("it is loading");
            Fault::unavailable(format!("model {model} is not ready: {reason}"), presence.retry_after_ms.unwrap_or(1000))
        }
    }
}

/// The fault about a model that nobody has heard of.
pub(crate) fn not_there(roster: &Roster, model: &Name) -> Fault {
    roster.not_there(&format!("model {model}"), model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_second_are_spread_over_the_instances() {
        let (mut roster, capability) = (Roster::default(), Capability::new("echo").unwrap());
        for (instance, slots) in [("a", 4), ("b", 8)] {
            let (instance, model) = (Name::new(instance).unwrap(), Name::new("echo").unwrap());
            roster.note(Presence {
                capabilities: vec![capability.clone()],
                state: ModelState::Ready,
                slots,
                ..Presence::unknown(&instance, &model)
            });
        }
        let sent: Vec<String> =
            (0..12).map(|_| subject_for(&mut roster, &capability, &Peek::default()).unwrap()).collect();
        let to_a = sent.iter().filter(|subject| *subject == "mb.v1.echo.echo.a").count();
        assert_eq!(to_a, 4, "each according to its slots: {sent:?}");
    }

    #[test]
    fn a_model_that_sees_has_no_more_of_the_chats_than_another() {
        let (mut roster, capability) = (Roster::default(), Capability::new("chat").unwrap());
        for (name, tasks) in [("blind", vec![]), ("seeing", vec![SeeTask::Describe])] {
            let name = Name::new(name).unwrap();
            roster.note(Presence {
                capabilities: vec![capability.clone(), Capability::of::<SeeRequest>()],
                state: ModelState::Ready,
                tasks,
                ..Presence::unknown(&name, &name)
            });
        }
        let mut sent = |capability: &Capability| subject_for(&mut roster, capability, &Peek::default()).unwrap();
        assert_eq!(sent(&capability), "mb.v1.chat.blind.blind");
        assert_eq!(sent(&capability), "mb.v1.chat.seeing.seeing");
        assert_eq!(sent(&Capability::of::<SeeRequest>()), "mb.v1.see.seeing.seeing");
    }
}
