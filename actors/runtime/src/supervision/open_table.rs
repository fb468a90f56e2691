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
    /// How many requests share this reply subject: some clients use one inbox for all.
    pub(super) count: u32,
}

/// Open requests by the key of their reply subject.
#[derive(Default)]
pub(super) struct OpenTable {
    open: HashMap<u64, OpenRequest>,
    fresh: VecDeque<(Instant, u64)>,
    early: HashMap<u64, Instant>,
    per_model: HashMap<Name, usize>,
}

impl OpenTable {
    /// Notes a request that goes by.
    pub(super) fn saw(&mut self, sighting: Sighting, capability: Capability, model: Name, instance: Option<Name>) {
        // Without an inbox nobody answers, so nobody has to be answered for.
        let Some(reply) = sighting.reply else { return };
        let key = work_key(&reply);
        if self.early.remove(&key).is_some() {
            return;
        }
        let arrived = Instant::now();
        *self.per_model.entry(model.clone()).or_default() += 1;
        self.fresh.push_back((arrived, key));
        self.open
            .entry(key)
            .and_modify(|open| {
                open.count += 1;
                open.arrived = arrived;
                open.taken_by = None;
            })
            .or_insert(OpenRequest {
                reply,
                codec: sighting.codec,
                work: sighting.work,
                capability,
                model,
                instance,
                arrived,
                taken_by: None,
                count: 1,
            });
    }

    /// Notes what an instance took and finished.
    pub(super) fn heard(&mut self, instance: &Name, report: &WorkReport) {
        for key in &report.taken {
            if let Some(open) = self.open.get_mut(key) {
                open.taken_by = Some(instance.clone());
            }
        }
        for key in &report.finished {
            self.close_one(*key);
        }
    }

    fn close_one(&mut self, key: u64) {
        let Some(open) = self.open.get_mut(&key) else {
            self.early.insert(key, Instant::now());
            return;
        };
        open.count -= 1;
        if let Some(count) = self.per_model.get_mut(&open.model) {
            *count = count.saturating_sub(1);
        }
        if open.count == 0 {
            self.open.remove(&key);
        }
    }

    /// Takes out every request that `chosen` says.
    pub(super) fn take(&mut self, mut chosen: impl FnMut(&OpenRequest) -> bool) -> Vec<OpenRequest> {
        let taken: Vec<OpenRequest> = self.open.extract_if(|_, open| chosen(open)).map(|(_, open)| open).collect();
        for open in &taken {
            if let Some(count) = self.per_model.get_mut(&open.model) {
                *count = count.saturating_sub(open.count as usize);
            }
        }
        taken
    }

    /// Keys of requests that are no longer on their way and that nobody has reported to have taken.
    pub(super) fn untaken(&mut self) -> Vec<u64> {
        let mut untaken = Vec::new();
        while let Some((arrived, key)) = self.fresh.front().copied() {
            if arrived.elapsed() < ON_ITS_WAY {
                break;
            }
            self.fresh.pop_front();
            if self.open.get(&key).is_some_and(|open| open.taken_by.is_none()) {
                untaken.push(key);
            }
        }
        untaken
    }

    /// Asks again about a request later.
    pub(super) fn ask_again(&mut self, key: u64) {
        self.fresh.push_back((Instant::now(), key));
    }

    pub(super) fn get(&self, key: u64) -> Option<&OpenRequest> {
        self.open.get(&key)
    }

    pub(super) fn take_key(&mut self, key: u64) -> Option<OpenRequest> {
        let open = self.open.remove(&key)?;
        if let Some(count) = self.per_model.get_mut(&open.model) {
            *count = count.saturating_sub(open.count as usize);
        }
        Some(open)
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
        self.early.retain(|_, heard| heard.elapsed() < OUT_OF_ORDER);
        self.per_model.retain(|_, count| *count > 0);
    }
}
