//! Which instance should work on this? One pure function: the seam for load, affinity and prefix-aware routing.

use megabrain_schemas::{Name, Presence, SeeTask};
use xxhash_rust::xxh3::xxh3_64;

/// What a request wishes for in an instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// Requests of one session go to the same instance, as long as it is there and not full.
    pub session: Option<&'a str>,
}

/// The instance that should work on a request, of those that can: `None` only if there are none.
///
/// With a session: the highest random weight of (session, instance), so that a session moves only when its own instance
/// goes or is full. Without: the one with the smallest load for its slots; of equals the first by name.
pub fn choose<'a>(candidates: &[&'a Presence], wish: Wish<'_>) -> Option<&'a Presence> {
    if let Some(session) = wish.session {
        let weight = |instance: &Name| xxh3_64(format!("{session}\0{instance}").as_bytes());
        let open = candidates.iter().filter(|presence| presence.queued < presence.queue_limit.max(1));
        if let Some(kept) = open.max_by_key(|presence| weight(&presence.instance)) {
            return Some(kept);
        }
    }
    candidates
        .iter()
        .copied()
        .min_by(|one, other| load(one).total_cmp(&load(other)).then_with(|| one.instance.cmp(&other.instance)))
}

/// Of those that serve `see`, the ones that can do most of what is asked by themselves: a description by a model that
/// puts pictures into words rather than by one that composes it, and everything by whoever knows the most.
pub(crate) fn most_able<'a>(candidates: Vec<&'a Presence>, asked: Option<&[SeeTask]>) -> Vec<&'a Presence> {
    let Some(asked) = asked else {
        let most = candidates.iter().map(|presence| presence.tasks.len()).max().unwrap_or(0);
        return candidates.into_iter().filter(|presence| presence.tasks.len() == most).collect();
    };
    let doing = |is_needed: &dyn Fn(&SeeTask) -> bool| -> Vec<&'a Presence> {
        let does = |presence: &&&Presence| {
            asked.iter().filter(|task| is_needed(task)).all(|task| presence.tasks.contains(task))
        };
        candidates.iter().filter(does).copied().collect()
    };
    let all = doing(&|_| true);
    if !all.is_empty() {
        return all;
    }
    let composing = doing(&|task| *task != SeeTask::Describe);
    if composing.is_empty() { candidates } else { composing }
}

/// Works open for each slot.
fn load(presence: &Presence) -> f64 {
    f64::from(presence.in_flight + presence.queued) / f64::from(presence.slots.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(name: &str, in_flight: u32, slots: u32) -> Presence {
        let name = Name::new(name).unwrap();
        Presence { in_flight, slots, queue_limit: 8, ..Presence::unknown(&name, &name) }
    }

    #[test]
    fn the_least_busy_for_its_size_is_chosen() {
        let (a, b) = (instance("a", 2, 2), instance("b", 4, 8));
        assert_eq!(choose(&[&a, &b], Wish::default()).unwrap().instance, b.instance);
        assert!(choose(&[], Wish::default()).is_none());
    }

    #[test]
    fn a_picture_goes_to_whoever_does_by_itself_what_is_asked() {
        use SeeTask::{Classify, Describe, Read};
        let with = |name: &str, tasks: &[SeeTask]| Presence { tasks: tasks.to_vec(), ..instance(name, 0, 1) };
        let (eyes, writer, old) = (with("eyes", &[Classify, Read]), with("writer", &[Describe]), with("old", &[]));
        let able = |asked: Option<&[SeeTask]>| {
            let able = most_able(vec![&eyes, &writer, &old], asked);
            able.into_iter().map(|presence| presence.instance.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(able(None), ["eyes"]);
        assert_eq!(able(Some(&[Describe])), ["writer"]);
        assert_eq!(able(Some(&[Read])), ["eyes"]);
        assert_eq!(able(Some(&[Read, Describe])), ["eyes"], "which composes the description");
        let alone = most_able(vec![&eyes], Some(&[Describe]));
        assert_eq!(alone.len(), 1, "nobody else is there");
        assert_eq!(most_able(vec![&old], Some(&[Read])).len(), 1, "it may know more than it says");
    }

    #[test]
    fn a_session_stays_where_it_is_when_another_instance_goes() {
        let all: Vec<Presence> = ["a", "b", "c", "d"].map(|name| instance(name, 0, 1)).into();
        let refs: Vec<&Presence> = all.iter().collect();
        for session in ["one", "two", "three", "four"] {
            let wish = Wish { session: Some(session) };
            let home = choose(&refs, wish).unwrap();
            let without_another: Vec<&Presence> = refs
                .iter()
                .copied()
                .filter(|one| one.instance == home.instance || one.instance.as_str() != "a")
                .collect();
            assert_eq!(choose(&without_another, wish).unwrap().instance, home.instance);
        }
    }
}
