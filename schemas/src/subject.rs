//! Where does a message go? Every subject is built and read here and nowhere else.

use std::fmt::Display;

use crate::{Capability, Name};

/// Everything of this version of the contract lies under this prefix.
pub const PREFIX: &str = "mb.v1";
/// A question with any mix of media; the router answers.
pub const ASK: &str = "mb.v1.ask";
/// Every cancel.
pub const EVERY_CANCEL: &str = "mb.v1.cancel.*";
/// Every request that names a model (and every cancel, which has as many tokens).
pub const EVERY_MODEL: &str = "mb.v1.*.*";
/// Every request that names an instance (and every event, which has as many tokens).
pub const EVERY_INSTANCE: &str = "mb.v1.*.*.*";
/// The second token of subjects that are no capability.
pub const RESERVED: [&str; 5] = ["ask", "cancel", "event", "job", "live"];

/// The kinds of event: the fourth token of `mb.v1.event.<kind>.<who>`.
pub mod event {
    /// What an instance is and does, once a second.
    pub const PRESENCE: &str = "presence";
    /// An instance has begun to serve.
    pub const READY: &str = "ready";
    /// An instance has stopped serving.
    pub const DOWN: &str = "down";
    /// An instance finishes what it has and takes nothing new.
    pub const DRAINING: &str = "draining";
    /// What an instance took and finished, in batches.
    pub const WORK: &str = "work";
    /// How many threads each model of a node may use now.
    pub const CORES: &str = "cores";
    /// What a node is and has, once a second.
    pub const NODE: &str = "node";
}

/// `mb.v1.<capability>`: the router picks model and instance.
pub fn capability(capability: &Capability) -> String {
    format!("{PREFIX}.{capability}")
}

/// `mb.v1.<capability>.<model>`: one capability of one model.
pub fn model(capability: &Capability, model: &Name) -> String {
    format!("{PREFIX}.{capability}.{model}")
}

/// `mb.v1.<capability>.<model>.<instance>`: one instance.
pub fn instance(capability: &Capability, model: &Name, instance: &Name) -> String {
    format!("{PREFIX}.{capability}.{model}.{instance}")
}

/// `mb.v1.cancel.<work>`: broadcast.
pub fn cancel(work: &Name) -> String {
    format!("{PREFIX}.cancel.{work}")
}

/// `mb.v1.live.<work>`: what the caller of a work publishes while it runs, for whoever works on it.
pub fn live(work: &Name) -> String {
    format!("{PREFIX}.live.{work}")
}

/// `mb.v1.event.<kind>.<who>`; `who` may be `*`.
pub fn event(kind: &str, who: impl Display) -> String {
    format!("{PREFIX}.event.{kind}.{who}")
}

/// `mb.v1.job.<id>.frames`: the reply subject of a durable job, kept by JetStream, so that replay and live are the same.
/// Here and below, `id` may be `*`.
pub fn job_frames(id: impl Display) -> String {
    job(id, "frames")
}

/// `mb.v1.job.<id>.status`: how the status of a job changed, kept beside its frames.
pub fn job_status(id: impl Display) -> String {
    job(id, "status")
}

/// `mb.v1.job.<id>.task.<line>`: a job that is to be done, until it is, in one line of those that wait. `line` may be several
/// tokens, or `>`.
pub fn job_task(id: impl Display, line: impl Display) -> String {
    format!("{PREFIX}.job.{id}.task.{line}")
}

/// The line of a task's subject.
pub fn line_of_task(subject: &str) -> Option<&str> {
    Some(subject.strip_prefix(PREFIX)?.strip_prefix(".job.")?.split_once(".task.")?.1)
}

/// Whose task a subject is.
pub fn job_of_task(subject: &str) -> Option<Name> {
    let (id, _) = subject.strip_prefix(PREFIX)?.strip_prefix(".job.")?.split_once(".task.")?;
    Name::new(id).ok()
}

/// `mb.v1.job.<id>.callback`: a caller who is to be told, until that is done.
pub fn job_callback(id: impl Display) -> String {
    job(id, "callback")
}

/// Everything that a job tells.
pub fn job_any(id: impl Display) -> String {
    job(id, "*")
}

fn job(id: impl Display, what: &str) -> String {
    format!("{PREFIX}.job.{id}.{what}")
}

/// What a subject under [`PREFIX`] means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `mb.v1.ask`
    Ask,
    /// `mb.v1.<capability>`
    Capability(Capability),
    /// `mb.v1.<capability>.<model>`
    Model(Capability, Name),
    /// `mb.v1.<capability>.<model>.<instance>`
    Instance(Capability, Name, Name),
    /// `mb.v1.cancel.<work>`
    Cancel(Name),
    /// `mb.v1.event.<kind>.<who>`
    Event(String, Name),
}

impl Address {
    /// Reads a subject; `None` if it is not one of the contract's.
    pub fn parse(subject: &str) -> Option<Self> {
        let mut tokens = subject.strip_prefix(PREFIX)?.strip_prefix('.')?.split('.');
        let first = tokens.next()?;
        let rest = (tokens.next(), tokens.next(), tokens.next());
        match (first, rest) {
            ("ask", (None, ..)) => Some(Self::Ask),
            ("cancel", (Some(work), None, _)) => Some(Self::Cancel(Name::new(work).ok()?)),
            ("event", (Some(kind), Some(who), None)) => {
                Some(Self::Event(Name::new(kind).ok()?.to_string(), Name::new(who).ok()?))
            }
            ("ask" | "cancel" | "event" | "job" | "live", _) => None,
            (token, rest) => {
                let capability = Capability::new(token).ok()?;
                match rest {
                    (None, ..) => Some(Self::Capability(capability)),
                    (Some(model), None, _) => Some(Self::Model(capability, Name::new(model).ok()?)),
                    (Some(model), Some(instance), None) => {
                        Some(Self::Instance(capability, Name::new(model).ok()?, Name::new(instance).ok()?))
                    }
                    _ => None,
                }
            }
        }
    }
}

/// True of the subjects that nobody answers on: cancels, events, and what jobs tell.
pub fn is_for_all(subject: &str) -> bool {
    let rest = subject.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('.'));
    rest.and_then(|rest| rest.split('.').next()).is_some_and(|token| ["cancel", "event", "job"].contains(&token))
}

/// True if a responder may publish to this reply subject.
///
/// A reply subject is the caller's word, and a server grants a responder the right to publish to any: so whoever
/// answers checks first that it is an inbox and not, say, somebody else's request subject.
pub fn is_inbox(reply: &str) -> bool {
    let is_of_client = ["_INBOX.", "_INBOX_MODEL.", "_INBOX_NODE."]
        .iter()
        .any(|prefix| reply.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()));
    let is_of_job = reply.starts_with("mb.v1.job.") && reply.ends_with(".frames");
    (is_of_client || is_of_job) && !reply.bytes().any(|byte| byte == b'*' || byte == b'>' || byte.is_ascii_whitespace())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_reads_back() {
        let (chat, fast, one) =
            (Capability::new("chat").unwrap(), Name::new("fast").unwrap(), Name::new("fast-1").unwrap());
        assert_eq!(Address::parse(&capability(&chat)), Some(Address::Capability(chat.clone())));
        assert_eq!(Address::parse(&model(&chat, &fast)), Some(Address::Model(chat.clone(), fast.clone())));
        assert_eq!(
            Address::parse(&instance(&chat, &fast, &one)),
            Some(Address::Instance(chat, fast.clone(), one.clone()))
        );
        assert_eq!(Address::parse(&cancel(&fast)), Some(Address::Cancel(fast)));
        assert_eq!(Address::parse(&event(event::WORK, &one)), Some(Address::Event("work".into(), one)));
        assert_eq!(Address::parse(ASK), Some(Address::Ask));
        for bad in
            ["mb.v1", "mb.v1.", "mb.v2.ask", "mb.v1.ask.x", "mb.v1.a.b.c.d", "mb.v1.event.x", "mb.v1.event..x", "x"]
        {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_an_inbox_is_answered() {
        assert!(is_inbox("_INBOX.abc.1"));
        assert!(is_inbox("_INBOX_NODE.home.1"));
        assert!(is_inbox(&job_frames("j1")));
        assert!(!is_inbox(&job_task("j1", "-.fast")) && !is_inbox(&job_status("j1")));
        for forged in ["mb.v1.chat.fast", "$JS.API.STREAM.DELETE.x", "_INBOX.", "_INBOX.>", "user.x", ""] {
            assert!(!is_inbox(forged), "{forged}");
        }
    }
}
