//! What is worth a word in the life of a brain? What changed between two looks at an instance.

use megabrain_schemas::{FaultKind, ModelState, Name, Presence};
use serde::Serialize;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Happened {
    /// When, in Unix milliseconds, by this node's clock.
    pub(super) at_ms: u64,
    /// What.
    pub(super) what: What,
    /// Whom it happened to: a model or a node. Absent of the bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) who: Option<Name>,
    /// The instance, where it is one of a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<Name>,
    /// Why, where something is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Of what kind the last fault was, where that happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<FaultKind>,
    /// Until it is tried again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after_ms: Option<u64>,
    /// How many, where it is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
}

/// What can happen. A closed set, which the page has words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// An instance has begun to serve.
    Ready,
    /// Its process ended; it will be started again.
    Down,
    /// It is being started again.
    Restarting,
    /// It will not be started again.
    Failed,
    /// It takes nothing new.
    Draining,
    /// It answered works with a fault.
    Faults,
    /// It was not heard for some seconds.
    Silent,
    /// A node was not heard for some seconds.
    NodeSilent,
    /// A node is there that was not there before.
    NodeHere,
    /// The server of the bus cannot be reached.
    BusAway,
    /// It can be reached again.
    BusBack,
}

impl Happened {
    /// Happens now.
    pub(super) fn now(what: What) -> Self {
        let (who, instance, reason, fault, retry_after_ms, count) = Default::default();
        Self { at_ms: now_ms(), what, who, instance, reason, fault, retry_after_ms, count }
    }

    pub(super) fn to(self, who: &Name) -> Self {
        Self { who: Some(who.clone()), ..self }
    }

    pub(super) fn to_instance(what: What, presence: &Presence) -> Self {
        Self { instance: Some(presence.instance.clone()), ..Self::now(what).to(&presence.model) }
    }
}

/// What changed at an instance. One that is seen for the first time was like that before.
pub(super) fn between(before: Option<&Presence>, now: &Presence) -> Vec<Happened> {
    let Some(before) = before else {
        return match now.state {
            ModelState::Backoff | ModelState::Failed => state(now).into_iter().collect(),
            _ => Vec::new(),
        };
    };
    let mut happened = Vec::new();
    if before.pid == now.pid && now.faults > before.faults {
        let count = Some(now.faults - before.faults);
        happened.push(Happened { count, fault: now.last_fault, ..Happened::to_instance(What::Faults, now) });
    }
    // An instance that dies again before it was seen to start is down anew.
    if before.state != now.state || (before.restarts != now.restarts && now.state == ModelState::Backoff) {
        happened.extend(state(now));
    }
    happened
}

/// What its state is worth a word.
fn state(now: &Presence) -> Option<Happened> {
    let what = match now.state {
        ModelState::Ready => What::Ready,
        ModelState::Backoff => What::Down,
        ModelState::Failed => What::Failed,
        ModelState::Draining => What::Draining,
        ModelState::Starting if now.restarts > 0 => What::Restarting,
        ModelState::Starting | ModelState::Loading => return None,
    };
    let (reason, retry_after_ms) = (now.reason.clone(), now.retry_after_ms);
    Some(Happened { reason, retry_after_ms, ..Happened::to_instance(what, now) })
}

/// Unix milliseconds.
pub(super) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(state: ModelState, restarts: u32) -> Presence {
        let name = Name::sanitized("fast");
        Presence { state, restarts, pid: 7, ..Presence::unknown(&name, &name) }
    }

    fn whats(before: Option<&Presence>, now: &Presence) -> Vec<What> {
        between(before, now).into_iter().map(|happened| happened.what).collect()
    }

    #[test]
    fn a_death_and_a_restart_are_told_step_by_step_and_each_once() {
        let life = [
            presence(ModelState::Ready, 0),
            presence(ModelState::Backoff, 1),
            presence(ModelState::Backoff, 1),
            presence(ModelState::Starting, 1),
            presence(ModelState::Loading, 1),
            presence(ModelState::Ready, 1),
            presence(ModelState::Ready, 1),
        ];
        let told: Vec<What> = life.windows(2).flat_map(|two| whats(Some(&two[0]), &two[1])).collect();
        assert_eq!(told, [What::Down, What::Restarting, What::Ready]);
    }

    #[test]
    fn what_is_seen_first_is_news_only_if_it_is_bad() {
        assert_eq!(whats(None, &presence(ModelState::Ready, 0)), []);
        assert_eq!(whats(None, &presence(ModelState::Failed, 3)), [What::Failed]);
    }

    #[test]
    fn faults_are_counted_within_one_process() {
        let ready = presence(ModelState::Ready, 0);
        let faulty = Presence { faults: 2, last_fault: Some(FaultKind::Overloaded), ..ready.clone() };
        let told = &between(Some(&ready), &faulty)[0];
        assert_eq!((told.count, told.fault), (Some(2), Some(FaultKind::Overloaded)));
        let another = Presence { faults: 5, pid: 8, ..ready };
        assert_eq!(whats(Some(&faulty), &another), []);
    }
}
