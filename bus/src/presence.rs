//! How do the parts of a brain know of each other? By typed events, and a roster of who was heard lately.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use async_nats::{Subject, Subscriber};
use futures::StreamExt as _;
use megabrain_schemas::subject::{self, Address};
use megabrain_schemas::{Codec, Fault, FaultKind, ModelState, Name, Presence};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Bus;
use crate::publish::Outgoing;

/// An instance that was not heard for this long is taken for dead: three beats of presence.
const SILENCE: Duration = Duration::from_millis(3200);

/// One that fell silent is missed for so long: a machine may be off at night.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// One event: who sent it, and what.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<T> {
    /// The last token of the subject.
    pub who: Name,
    /// The body.
    pub body: T,
}

/// Events of one kind.
pub struct EventStream<T> {
    subscriber: Subscriber,
    body: PhantomData<T>,
}

impl Bus {
    /// Tells everybody `body` on `mb.v1.event.<kind>.<who>`. Does not wait.
    pub fn tell<T: Serialize>(&self, kind: &str, who: &Name, body: &T) {
        let sent = Codec::MessagePack.encode(body).and_then(|payload| {
            self.send_now(Outgoing {
                subject: Subject::from(subject::event(kind, who)),
                reply: None,
                headers: None,
                payload: payload.into(),
            })
        });
        if let Err(fault) = sent {
            tracing::debug!(%fault, kind, %who, "event not sent");
        }
    }

    /// Listens to events of one kind from everybody, or from one.
    ///
    /// # Errors
    /// `unavailable` if the connection is closed.
    pub async fn events<T: DeserializeOwned>(&self, kind: &str, who: Option<&Name>) -> Result<EventStream<T>, Fault> {
        let subject = subject::event(kind, who.map_or("*", Name::as_str));
        let subscriber = self.client().subscribe(subject).await.map_err(|error| crate::connect::away(&error))?;
        Ok(EventStream { subscriber, body: PhantomData })
    }
}

impl<T: DeserializeOwned> EventStream<T> {
    /// The next event that can be read; `None` when the subscription has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event<T>> {
        loop {
            let message = self.subscriber.next().await?;
            let Some(Address::Event(_, who)) = Address::parse(&message.subject) else { continue };
            let body = Codec::detect(None, &message.payload).and_then(|codec| codec.decode(&message.payload));
            match body {
                Ok(body) => return Some(Event { who, body }),
                Err(error) => tracing::debug!(%error, subject = %message.subject, "unreadable event"),
            }
        }
    }
}

/// Who is there: the last presence of every instance that was heard lately.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    seen: BTreeMap<Name, (Presence, Instant)>,
    /// Instances that fell silent, and when.
    silent: BTreeMap<Name, (Presence, Instant)>,
}

impl Roster {
    /// Notes a presence, unless it is the last word of an earlier life of its instance that came late.
    pub fn note(&mut self, mut presence: Presence) {
        if let Some(known) = self.get(&presence.instance) {
            if known.restarts > presence.restarts {
                return;
            }
            // One that is down or loading does not say what it serves: what it served before.
            if presence.state != ModelState::Ready && presence.capabilities.is_empty() {
                presence.capabilities.clone_from(&known.capabilities);
                presence.accepts.clone_from(&known.accepts);
                presence.tasks.clone_from(&known.tasks);
            }
        }
        self.silent.remove(&presence.instance);
        self.seen.insert(presence.instance.clone(), (presence, Instant::now()));
    }

    /// Counts one more work in flight at an instance, until its next presence says how many there are.
    pub fn count_sent(&mut self, instance: &Name) {
        if let Some((presence, _)) = self.seen.get_mut(instance) {
            presence.in_flight = presence.in_flight.saturating_add(1);
        }
    }

    /// Takes nobody for ready until it is heard again: after the bus was away, who is back?
    pub fn doubt_all(&mut self) {
        for (presence, _) in self.seen.values_mut().filter(|(presence, _)| presence.state == ModelState::Ready) {
            presence.state = ModelState::Loading;
            presence.reason = Some("the bus was away, and it was not heard since".into());
        }
    }

    /// Drops and gives those who were not heard lately.
    pub fn take_silent(&mut self) -> Vec<Presence> {
        let silent: Vec<Name> = self
            .seen
            .iter()
            .filter(|(_, (_, heard))| heard.elapsed() > SILENCE)
            .map(|(instance, _)| instance.clone())
            .collect();
        let silent: Vec<Presence> =
            silent.iter().filter_map(|instance| self.seen.remove(instance)).map(|(presence, _)| presence).collect();
        let now = Instant::now();
        self.silent.retain(|_, (_, since)| now - *since < FORGOTTEN);
        self.silent.extend(silent.iter().map(|presence| (presence.instance.clone(), (presence.clone(), now))));
        silent
    }

    /// The fault about a model that is not there: one that fell silent may come back.
    pub fn not_there(&self, what: &str, model: &Name) -> Fault {
        if self.missed().any(|presence| presence.model == *model) {
            let message = format!("{what} was not heard for some seconds: its process is stopped or gone");
            return Fault::unavailable(message, 1000);
        }
        Fault::new(FaultKind::NotFound, format!("{what} is not there; {}", self.there()))
    }

    /// Those that fell silent and were not heard since.
    pub fn missed(&self) -> impl Iterator<Item = &Presence> {
        self.silent.values().map(|(presence, _)| presence)
    }

    /// Which models there are, in words: the end of a fault about one that is not.
    pub fn there(&self) -> String {
        let models: BTreeSet<&str> = self.all().map(|presence| presence.model.as_str()).collect();
        if models.is_empty() {
            return "there are no models".to_owned();
        }
        format!("there are {}", models.into_iter().collect::<Vec<_>>().join(", "))
    }

    /// Everybody who was heard lately, by instance.
    pub fn all(&self) -> impl Iterator<Item = &Presence> {
        self.seen.values().map(|(presence, _)| presence)
    }

    /// One instance.
    pub fn get(&self, instance: &Name) -> Option<&Presence> {
        self.seen.get(instance).map(|(presence, _)| presence)
    }

    /// Every instance of a model, in any state.
    pub fn of_model<'a>(&'a self, model: &'a Name) -> impl Iterator<Item = &'a Presence> {
        self.all().filter(move |presence| presence.model == *model)
    }

    /// The instances that serve now.
    pub fn ready(&self) -> impl Iterator<Item = &Presence> {
        self.all().filter(|presence| presence.state == ModelState::Ready)
    }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{Capability, SeeRequest, SeeTask};

    use super::*;

    #[test]
    fn a_model_that_restarts_still_serves_what_it_served() {
        let name = Name::sanitized("eyes");
        let ready = Presence {
            state: ModelState::Ready,
            capabilities: vec![Capability::of::<SeeRequest>()],
            accepts: vec!["image/*".to_owned()],
            tasks: vec![SeeTask::Read],
            ..Presence::unknown(&name, &name)
        };
        let mut roster = Roster::default();
        roster.note(ready.clone());
        roster.note(Presence { state: ModelState::Loading, restarts: 1, ..Presence::unknown(&name, &name) });
        let known = roster.get(&name).unwrap();
        assert_eq!(known.state, ModelState::Loading);
        assert_eq!(
            (&known.capabilities, &known.accepts, &known.tasks),
            (&ready.capabilities, &ready.accepts, &ready.tasks)
        );
    }
}
