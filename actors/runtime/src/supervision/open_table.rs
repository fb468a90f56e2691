//! What has been asked of the models and not been answered yet, as far as a bystander can tell?

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use megabrain_bus::{Sighting, Subject};
use megabrain_schemas::{Capability, Codec, Name, WorkReport};

use crate::work_key;

/// How long a request may be on its way before it is asked whether somebody took it: three batches of reports.
const ON_ITS_WAY: Duration = Duration::from_millis(15);

/// A finish that was heard before its request is remembered this long.
const OUT_OF_ORDER: Duration = Duration::from_secs(1);

/// One open request: enough to answer for it. Never its body.
#[derive(Clone, Debug)]
pub(super) struct OpenRequest {
    pub(super) reply: Subject,
    pub(super) codec: Codec,
    pub(super) work: Option<Name>,
    pub(super) capability: Capability,
    pub(super) model: Name,
    pub(super) instance: Option<Name>,
    pub(super) arrived: Instant,
    pub(super) taken_by: Option<Name>,
    number: u64,
}

impl OpenRequest {
    /// True if this instance of this model may take it.
    fn is_for(&self, instance: &Name, model: &Name) -> bool {
        self.model == *model && self.instance.as_ref().is_none_or(|wanted| wanted == instance)
    }
}

/// Where an open request is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    key: u64,
    number: u64,
}

/// Open requests by their key. Several have the same one where a client has one inbox for all and names no works: they
/// are told apart by their model and by who took them, and otherwise one is as good as the other.
#[derive(Default)]
pub(super) struct OpenTable {
    open: HashMap<u64, Vec<OpenRequest>>,
    seen: u64,
    fresh: VecDeque<(Instant, Place)>,
    early: HashMap<u64, (Instant, u32)>,
    per_model: HashMap<Name, usize>,
}

impl OpenTable {
    /// Notes a request that goes by.
    pub(super) fn saw(&mut self, sighting: Sighting, capability: Capability, model: Name, instance: Option<Name>) {
        // Without an inbox nobody answers, so nobody has to be answered for.
        let Some(reply) = sighting.reply else { return };
        let key = work_key(&reply, sighting.work.as_ref());
        if let Some((_, count)) = self.early.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.early.remove(&key);
            }
            return;
        }
        let arrived = Instant::now();
        self.seen += 1;
        let number = self.seen;
        *self.per_model.entry(model.clone()).or_default() += 1;
        self.fresh.push_back((arrived, Place { key, number }));
        self.open.entry(key).or_default().push(OpenRequest {
            reply,
            codec: sighting.codec,
            work: sighting.work,
            capability,
            model,
            instance,
            arrived,
            taken_by: None,
            number,
        });
    }

    /// Notes what an instance took and finished.
    pub(super) fn heard(&mut self, instance: &Name, report: &WorkReport) {
        for key in &report.taken {
            // The newest first: the older ones of the same key have mostly been taken before.
            let untaken = self.open.get_mut(key).and_then(|same| {
                same.iter_mut().rev().find(|open| open.taken_by.is_none() && open.is_for(instance, &report.model))
            });
            if let Some(open) = untaken {
                open.taken_by = Some(instance.clone());
            }
        }
        for key in &report.finished {
            self.close_one(*key, instance, &report.model);
        }
    }

    fn close_one(&mut self, key: u64, instance: &Name, model: &Name) {
        let same = self.open.get(&key).map(Vec::as_slice).unwrap_or_default();
        // What was taken and finished within one batch, and what was refused, is only told as finished.
        let untaken = same.iter().rev().find(|open| open.taken_by.is_none() && open.is_for(instance, model));
        let finished = untaken.or_else(|| same.iter().find(|open| open.taken_by.as_ref() == Some(instance)));
        match finished.map(|open| Place { key, number: open.number }) {
            Some(place) => drop(self.take_place(place)),
            None => {
                let (heard, count) = self.early.entry(key).or_insert((Instant::now(), 0));
                *heard = Instant::now();
                *count += 1;
            }
        }
    }

    /// Takes out every request that `chosen` says.
    pub(super) fn take(&mut self, mut chosen: impl FnMut(&OpenRequest) -> bool) -> Vec<OpenRequest> {
        let mut taken = Vec::new();
        self.open.retain(|_, same| {
            taken.extend(same.extract_if(.., |open| chosen(open)));
            !same.is_empty()
        });
        for open in &taken {
            self.forget_one_of(&open.model);
        }
        taken
    }

    /// Places of requests that are no longer on their way and that nobody has reported to have taken.
    pub(super) fn untaken(&mut self) -> Vec<Place> {
        let mut untaken = Vec::new();
        while let Some((arrived, place)) = self.fresh.front().copied() {
            if arrived.elapsed() < ON_ITS_WAY {
                break;
            }
            self.fresh.pop_front();
            if self.get(place).is_some_and(|open| open.taken_by.is_none()) {
                untaken.push(place);
            }
        }
        untaken
    }

    /// Asks again about a request later.
    pub(super) fn ask_again(&mut self, place: Place) {
        self.fresh.push_back((Instant::now(), place));
    }

    pub(super) fn get(&self, place: Place) -> Option<&OpenRequest> {
        self.open.get(&place.key)?.iter().find(|open| open.number == place.number)
    }

    pub(super) fn take_place(&mut self, place: Place) -> Option<OpenRequest> {
        let same = self.open.get_mut(&place.key)?;
        let index = same.iter().position(|open| open.number == place.number)?;
        let open = same.swap_remove(index);
        if same.is_empty() {
            self.open.remove(&place.key);
        }
        self.forget_one_of(&open.model);
        Some(open)
    }

    fn forget_one_of(&mut self, model: &Name) {
        if let Some(count) = self.per_model.get_mut(model) {
            *count = count.saturating_sub(1);
        }
    }

    /// True if this model has something open.
    pub(super) fn is_busy(&self, model: &Name) -> bool {
        self.per_model.get(model).is_some_and(|count| *count > 0)
    }

    /// True if there is something to look at soon.
    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Forgets what came out of order long ago.
    pub(super) fn forget_old(&mut self) {
        self.early.retain(|_, (heard, _)| heard.elapsed() < OUT_OF_ORDER);
        self.per_model.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use megabrain_schemas::subject;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn echo() -> Capability {
        Capability::new("echo").unwrap()
    }

    fn see(table: &mut OpenTable, model: &str, reply: &str, work: Option<&str>) -> u64 {
        let sighting = Sighting {
            subject: subject::model(&echo(), &name(model)).into(),
            reply: Some(reply.into()),
            codec: Codec::Json,
            work: work.map(name),
            payload: Bytes::new(),
        };
        let key = work_key(reply, sighting.work.as_ref());
        table.saw(sighting, echo(), name(model), None);
        key
    }

    fn report(table: &mut OpenTable, model: &str, taken: &[u64], finished: &[u64]) {
        let report = WorkReport { model: name(model), taken: taken.to_vec(), finished: finished.to_vec() };
        table.heard(&name(&format!("{model}-1")), &report);
    }

    #[test]
    fn requests_of_one_inbox_are_closed_one_by_one() {
        let mut table = OpenTable::default();
        let key = see(&mut table, "a", "_INBOX.all", None);
        report(&mut table, "a", &[key], &[]);
        // A short one comes and goes, and another model's.
        see(&mut table, "a", "_INBOX.all", None);
        report(&mut table, "a", &[], &[key]);
        see(&mut table, "b", "_INBOX.all", None);
        report(&mut table, "b", &[], &[key]);
        let left = table.take(|_| true);
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].model.as_str(), left[0].taken_by.clone()), ("a", Some(name("a-1"))));
        assert!(!table.is_busy(&name("a")) && !table.is_busy(&name("b")));
    }

    #[test]
    fn what_names_its_work_keeps_its_name() {
        let mut table = OpenTable::default();
        let keys: Vec<u64> = ["w1", "w2", "w3"].map(|work| see(&mut table, "a", "_INBOX.all", Some(work))).into();
        report(&mut table, "a", &keys, &[keys[1]]);
        let mut left: Vec<Name> = table.take(|_| true).into_iter().filter_map(|open| open.work).collect();
        left.sort();
        assert_eq!(left, [name("w1"), name("w3")]);
    }

    #[test]
    fn every_finish_that_comes_before_its_request_is_remembered() {
        let mut table = OpenTable::default();
        let key = work_key("_INBOX.all", None);
        report(&mut table, "a", &[], &[key, key]);
        for _ in 0..2 {
            see(&mut table, "a", "_INBOX.all", None);
        }
        assert!(table.take(|_| true).is_empty());
        see(&mut table, "a", "_INBOX.all", None);
        assert_eq!(table.take(|_| true).len(), 1);
    }
}
