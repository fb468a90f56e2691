//! Which legs does a question need? From the table of who announced what, never from a hard-wired list.

use std::collections::BTreeMap;

use bytes::Bytes;
use megabrain_bus::Roster;
use megabrain_schemas::{
    Ask, AttachmentRequest, Capability, Codec, Fault, Media, ModelState, Name, Presence, Request as _, SeeRequest,
    SeeTask, SplitRequest, TranscribeRequest, subject,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::choose::{Wish, choose, most_able};
use crate::forward::not_there;

/// One leg that is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct PlannedLeg {
    /// The leg's path within its work.
    pub(crate) path: String,
    /// The attachment that it is about, counted from 0.
    pub(crate) attachment: usize,
    /// For a part of a film: where it is on the film's clock, in milliseconds.
    pub(crate) at_ms: Option<f64>,
    /// Models to try, in order, where this one fails.
    pub(crate) others: Vec<Name>,
    pub(crate) subject: String,
    pub(crate) capability: Capability,
    pub(crate) model: Name,
    pub(crate) payload: Bytes,
}

impl PlannedLeg {
    /// Reads what was answered to this leg, in whichever codec.
    ///
    /// # Errors
    /// `engine`, since whoever answered is to blame and not the caller.
    pub(crate) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Fault> {
        Codec::detect(None, body)
            .and_then(|codec| codec.decode(body))
            .map_err(|error| Fault::engine(format!("the answer from {} cannot be read: {error}", self.subject)))
    }
}

/// The subject of a leg to the instance that was chosen for it, which counts as sent there: else all legs of a second would
/// go to the one that was the least busy at its beginning. Where there is no choice it is the model's, at which whoever
/// guards the model answers while that is not ready.
pub(crate) fn address(roster: &mut Roster, capability: &Capability, chosen: &Presence) -> String {
    roster.count_sent(&chosen.instance);
    if chosen.state != ModelState::Ready || roster.of_model(&chosen.model).nth(1).is_none() {
        return subject::model(capability, &chosen.model);
    }
    subject::instance(capability, &chosen.model, &chosen.instance)
}

/// What to look for, and how much to look at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look<'a> {
    /// The question.
    pub(crate) prompt: Option<&'a str>,
    /// Pictures to take of a film at most.
    pub(crate) frames: Option<u32>,
}

impl<'a> Look<'a> {
    pub(crate) fn of(ask: &'a Ask) -> Self {
        Self { prompt: ask.text.as_deref(), frames: ask.frames }
    }
}

/// The leg that finds out what is in an attachment.
///
/// # Errors
/// `invalid_request` if nobody takes this media type, naming what is taken.
pub(crate) fn attachment_leg(
    roster: &mut Roster,
    index: usize,
    mime: &str,
    media: &Media,
    look: Look<'_>,
    wish: Wish<'_>,
    prefer: &BTreeMap<Capability, Vec<Name>>,
) -> Result<PlannedLeg, Fault> {
    let accepting = accepting(roster, mime);
    let ready: Vec<&Presence> =
        accepting.iter().copied().filter(|presence| presence.state == ModelState::Ready).collect();
    let ready = most_able(ready, None);
    // With nobody ready the leg still goes out: whoever guards the model answers that it is down, and when to try again.
    let least_busy = choose(&ready, wish).or_else(|| accepting.first().copied());
    let Some(least_busy) = least_busy else { return Err(nobody_takes(roster, index, mime)) };
    let preferred = capability_for(mime, &least_busy.capabilities).and_then(|capability| prefer.get(&capability));
    let mut in_order = preferred.into_iter().flatten().filter_map(|model| {
        let (ready, others): (Vec<&Presence>, Vec<&Presence>) = accepting
            .iter()
            .filter(|presence| presence.model == *model)
            .partition(|presence| presence.state == ModelState::Ready);
        choose(&ready, wish).or_else(|| others.first().copied())
    });
    let presence = in_order.next().unwrap_or(least_busy).clone();
    let others = in_order.map(|presence| presence.model.clone()).collect();
    let capability = capability_for(mime, &presence.capabilities)
        .ok_or_else(|| Fault::engine(format!("model {} accepts {mime} and serves nothing", presence.model)))?;
    let media = Media { mime: Some(mime.to_owned()), ..media.clone() };
    Ok(PlannedLeg {
        path: index.to_string(),
        attachment: index,
        at_ms: None,
        others,
        subject: address(roster, &capability, &presence),
        payload: payload_for(&capability, media, look)?,
        capability,
        model: presence.model,
    })
}

/// Those that take a media type: of them, if there are any, those that do what is usual for its kind. What hears the
/// sound of a WebM is not what takes a film apart.
fn accepting<'r>(roster: &'r Roster, mime: &str) -> Vec<&'r Presence> {
    let takes = |presence: &&Presence| presence.accepts.iter().any(|pattern| accepts(pattern, mime));
    let accepting: Vec<&Presence> = roster.all().filter(takes).collect();
    let is_usual = |presence: &&&Presence| presence.capabilities.iter().any(|one| one.as_str() == usual(mime));
    let usual: Vec<&Presence> = accepting.iter().filter(is_usual).copied().collect();
    if usual.is_empty() { accepting } else { usual }
}

/// A second leg about a picture, where `leg` goes to a model that cannot put it into words, and another one can.
///
/// # Errors
/// `internal` if the request cannot be written.
pub(crate) fn describing_leg(
    roster: &mut Roster,
    leg: &PlannedLeg,
    mime: &str,
    media: &Media,
    look: Look<'_>,
    wish: Wish<'_>,
) -> Result<Option<PlannedLeg>, Fault> {
    let see = Capability::of::<SeeRequest>();
    let describes = |presence: &Presence| presence.tasks.contains(&SeeTask::Describe);
    if leg.capability != see || roster.of_model(&leg.model).any(describes) {
        return Ok(None);
    }
    let describing: Vec<&Presence> = roster.ready().filter(|presence| describes(presence)).collect();
    let Some(presence) = choose(&describing, wish).cloned() else { return Ok(None) };
    let request = SeeRequest {
        images: vec![Media { mime: Some(mime.to_owned()), ..media.clone() }],
        tasks: Some(vec![SeeTask::Describe]),
        prompt: look.prompt.map(str::to_owned),
        top_k: None,
    };
    Ok(Some(PlannedLeg {
        path: format!("{}.describe", leg.path),
        others: Vec::new(),
        subject: address(roster, &see, &presence),
        payload: pack(&request)?,
        model: presence.model,
        ..leg.clone()
    }))
}

/// True if a pattern such as `audio/*` or `application/pdf` takes this media type.
fn accepts(pattern: &str, mime: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(kind) => mime.split('/').next().is_some_and(|given| given.eq_ignore_ascii_case(kind)),
        None => pattern.eq_ignore_ascii_case(mime),
    }
}

/// The capability that suits a kind of media; for a kind of an actor's own, the first that the actor serves.
fn capability_for(mime: &str, served: &[Capability]) -> Option<Capability> {
    served.iter().find(|capability| capability.as_str() == usual(mime)).or_else(|| served.first()).cloned()
}

/// What is usually done with a kind of media; empty for a kind of an actor's own.
fn usual(mime: &str) -> &'static str {
    match mime.split('/').next() {
        Some("audio") => TranscribeRequest::CAPABILITY,
        Some("image") => SeeRequest::CAPABILITY,
        Some("video") => SplitRequest::CAPABILITY,
        _ => "",
    }
}

fn pack<T: Serialize>(request: &T) -> Result<Bytes, Fault> {
    Codec::MessagePack.encode(request).map(Bytes::from)
}

fn payload_for(capability: &Capability, media: Media, look: Look<'_>) -> Result<Bytes, Fault> {
    let prompt = look.prompt.map(str::to_owned);
    match capability.as_str() {
        "transcribe" => pack(&TranscribeRequest { audio: media, stream: true, ..TranscribeRequest::default() }),
        "see" => pack(&SeeRequest { images: vec![media], tasks: None, prompt, top_k: None }),
        "split" => pack(&SplitRequest { video: media, frames: look.frames, fps: None, stream: None }),
        _ => pack(&AttachmentRequest { attachment: media, prompt }),
    }
}

fn nobody_takes(roster: &Roster, index: usize, mime: &str) -> Fault {
    let mut taken: Vec<&str> = roster.all().flat_map(|presence| presence.accepts.iter().map(String::as_str)).collect();
    taken.sort_unstable();
    taken.dedup();
    // Who has not been ready yet has not said what it takes; who fell silent may come back.
    let may_be_ready = |state| !matches!(state, ModelState::Ready | ModelState::Failed);
    let is_unknown = |presence: &&Presence| may_be_ready(presence.state) && presence.capabilities.is_empty();
    let takes = |presence: &&Presence| presence.accepts.iter().any(|pattern| accepts(pattern, mime));
    let missed = roster.missed().filter(|presence| is_unknown(presence) || takes(presence));
    let mut unheard: Vec<&str> =
        roster.all().filter(is_unknown).chain(missed).map(|presence| presence.model.as_str()).collect();
    unheard.sort_unstable();
    unheard.dedup();
    if !unheard.is_empty() {
        let who = unheard.join(", ");
        let message = format!("attachment {index}: no model takes {mime} now; not ready, and perhaps for that: {who}");
        return Fault::unavailable(message, 1000);
    }
    let taken = if taken.is_empty() { "nothing".to_owned() } else { taken.join(", ") };
    Fault::invalid(format!("attachment {index}: no model of this brain takes {mime}; taken are {taken}"))
}

/// The models that are to answer: those asked for, or the brain's order, or every one that chats.
///
/// # Errors
/// `not_found` if a model that was asked for is not there or does not chat; `unavailable` if there is none at all.
pub(crate) fn answering(roster: &Roster, asked: Option<&[Name]>, configured: &[Name]) -> Result<Vec<Name>, Fault> {
    let chat = Capability::of::<megabrain_schemas::ChatRequest>();
    if let Some(asked) = asked {
        for model in asked {
            check_chats(roster, model, &chat)?;
        }
        return Ok(asked.to_vec());
    }
    if !configured.is_empty() {
        return Ok(configured.to_vec());
    }
    let mut chatting: Vec<Name> = roster
        .all()
        .filter(|presence| presence.capabilities.contains(&chat))
        .map(|presence| presence.model.clone())
        .collect();
    chatting.sort();
    chatting.dedup();
    if chatting.is_empty() {
        return Err(Fault::unavailable("no model of this brain answers questions now", 1000));
    }
    Ok(chatting)
}

fn check_chats(roster: &Roster, model: &Name, chat: &Capability) -> Result<(), Fault> {
    let mut instances = roster.of_model(model).peekable();
    if instances.peek().is_none() {
        return Err(not_there(roster, model));
    }
    // One that is loading has not said yet what it serves: its leg will tell.
    match instances.find(|presence| presence.state == ModelState::Ready) {
        Some(presence) if !presence.capabilities.contains(chat) => {
            Err(Fault::wrong_capability(model, chat, &presence.capabilities))
        }
        _ => Ok(()),
    }
}

/// Evidence as plain text: the answer where no model is asked.
pub(crate) fn plain_text(evidence: &[megabrain_schemas::Evidence]) -> String {
    evidence.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_its_kind_and_nothing_else() {
        assert!(accepts("audio/*", "audio/wav"));
        assert!(accepts("application/pdf", "Application/PDF"));
        assert!(!accepts("audio/*", "video/webm"));
        assert!(!accepts("audio/wav", "audio/mpeg"));
    }

    #[test]
    fn an_actor_that_announces_a_kind_of_its_own_is_planned_for() {
        let mut roster = Roster::default();
        let name = Name::new("papers").unwrap();
        roster.note(Presence {
            accepts: vec!["application/pdf".into()],
            capabilities: vec![Capability::new("digest").unwrap()],
            state: ModelState::Ready,
            ..Presence::unknown(&name, &name)
        });
        let (media, prefer) = (Media::inline("application/pdf", vec![1]), BTreeMap::new());
        let mut leg =
            |index, mime| attachment_leg(&mut roster, index, mime, &media, Look::default(), Wish::default(), &prefer);
        assert_eq!(leg(0, "application/pdf").unwrap().subject, "mb.v1.digest.papers");
        let fault = leg(3, "video/mp4").unwrap_err();
        assert!(fault.message.contains("attachment 3") && fault.message.contains("application/pdf"), "{fault}");
    }

    #[test]
    fn a_kind_that_a_model_may_take_that_is_not_ready_yet_is_waited_for() {
        let mut roster = brain(&[("writer", "chat", "text/plain", 1)]);
        let (media, prefer) = (Media::inline("audio/wav", vec![1]), BTreeMap::new());
        let fault = |roster: &mut Roster| {
            attachment_leg(roster, 0, "audio/wav", &media, Look::default(), Wish::default(), &prefer).unwrap_err()
        };
        assert_eq!(fault(&mut roster).kind, megabrain_schemas::FaultKind::InvalidRequest);
        let ears = Name::new("ears").unwrap();
        roster.note(Presence { state: ModelState::Loading, ..Presence::unknown(&ears, &ears) });
        let fault = fault(&mut roster);
        assert_eq!(fault.kind, megabrain_schemas::FaultKind::Unavailable);
        assert!(fault.message.contains("ears") && fault.retry_after_ms.is_some(), "{fault}");
    }

    #[test]
    fn a_preferred_model_has_its_works_spread_over_its_instances() {
        let mut roster = Roster::default();
        let (capability, model) = (Capability::new("transcribe").unwrap(), Name::new("whisper").unwrap());
        for (instance, state) in [("w-1", ModelState::Backoff), ("w-2", ModelState::Ready), ("w-3", ModelState::Ready)]
        {
            roster.note(Presence {
                accepts: vec!["audio/*".into()],
                capabilities: vec![capability.clone()],
                state,
                slots: 2,
                ..Presence::unknown(&Name::new(instance).unwrap(), &model)
            });
        }
        let media = Media::inline("audio/wav", vec![1]);
        let prefer = BTreeMap::from([(capability, vec![model])]);
        let mut leg =
            || attachment_leg(&mut roster, 0, "audio/wav", &media, Look::default(), Wish::default(), &prefer).unwrap();
        let sent: Vec<String> = (0..4).map(|_| leg().subject).collect();
        let to = |instance: &str| sent.iter().filter(|subject| subject.ends_with(instance)).count();
        assert_eq!((to("w-1"), to("w-2"), to("w-3")), (0, 2, 2), "{sent:?}");
    }

    fn brain(models: &[(&str, &str, &str, u32)]) -> Roster {
        let mut roster = Roster::default();
        for (instance, capability, accepts, slots) in models {
            let name = Name::new(*instance).unwrap();
            roster.note(Presence {
                accepts: accepts.split(' ').map(str::to_owned).collect(),
                capabilities: vec![Capability::new(*capability).unwrap()],
                state: ModelState::Ready,
                slots: *slots,
                ..Presence::unknown(&name, &name)
            });
        }
        roster
    }

    #[test]
    fn a_film_in_webm_is_taken_apart_however_busy_that_is_and_heard_only_where_nobody_can() {
        let media = Media::inline("video/webm", vec![1]);
        let leg = |roster: &mut Roster| {
            let (wish, prefer) = (Wish::default(), BTreeMap::new());
            attachment_leg(roster, 0, "video/webm", &media, Look::default(), wish, &prefer).unwrap().capability
        };
        let whisper = ("whisper", "transcribe", "audio/* video/webm", 8);
        let mut all = brain(&[whisper, ("video", "split", "video/*", 1)]);
        for _ in 0..4 {
            assert_eq!(leg(&mut all).as_str(), "split");
        }
        assert_eq!(leg(&mut brain(&[whisper])).as_str(), "transcribe");
    }

    #[test]
    fn pictures_of_one_moment_are_spread_over_the_instances() {
        let mut roster = brain(&[("a", "see", "image/*", 1), ("b", "see", "image/*", 3)]);
        let (media, prefer) = (Media::inline("image/png", vec![1]), BTreeMap::new());
        let mut leg = || attachment_leg(&mut roster, 0, "image/png", &media, Look::default(), Wish::default(), &prefer);
        let sent: Vec<Name> = (0..8).map(|_| leg().unwrap().model).collect();
        assert_eq!(
            sent.iter().filter(|model| model.as_str() == "a").count(),
            2,
            "each according to its slots: {sent:?}"
        );
    }

    #[test]
    fn a_picture_is_put_into_words_by_whoever_can_beside_what_else_is_found_in_it() {
        let mut roster = brain(&[("eyes", "see", "image/*", 1), ("writer", "see", "image/*", 1)]);
        let with_tasks = |roster: &mut Roster, name: &str, tasks: &[SeeTask]| {
            let known = roster.get(&Name::new(name).unwrap()).unwrap().clone();
            roster.note(Presence { tasks: tasks.to_vec(), ..known });
        };
        with_tasks(&mut roster, "eyes", &[SeeTask::Classify, SeeTask::Read]);
        let (media, look, wish) = (Media::inline("image/png", vec![1]), Look::default(), Wish::default());
        let legs = |roster: &mut Roster| {
            let leg = attachment_leg(roster, 2, "image/png", &media, look, wish, &BTreeMap::new()).unwrap();
            let second = describing_leg(roster, &leg, "image/png", &media, look, wish).unwrap();
            (leg.model.to_string(), second.map(|leg| (leg.model.to_string(), leg.path)))
        };
        assert_eq!(legs(&mut roster), ("eyes".into(), None), "nobody says that it can");
        with_tasks(&mut roster, "writer", &[SeeTask::Describe]);
        assert_eq!(legs(&mut roster), ("eyes".into(), Some(("writer".into(), "2.describe".into()))));
    }
}
