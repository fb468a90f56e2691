//! Which legs does a question need? From the table of who announced what, never from a hard-wired list.

use std::collections::BTreeMap;

use bytes::Bytes;
use megabrain_bus::Roster;
use megabrain_schemas::{
    AttachmentRequest, Capability, Codec, Fault, Media, ModelState, Name, Presence, SeeRequest, SplitRequest,
    TranscribeRequest, subject,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::choose::{Wish, choose};
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

/// The subject of a leg. A session stays with its instance; anything else goes to whichever instance of the model takes
/// it first.
pub(crate) fn address(capability: &Capability, presence: &Presence, wish: Wish<'_>) -> String {
    match wish.session {
        Some(_) => subject::instance(capability, &presence.model, &presence.instance),
        None => subject::model(capability, &presence.model),
    }
}

/// The leg that finds out what is in an attachment.
///
/// # Errors
/// `invalid_request` if nobody takes this media type, naming what is taken.
pub(crate) fn attachment_leg(
    roster: &Roster,
    index: usize,
    mime: &str,
    media: &Media,
    prompt: Option<&str>,
    wish: Wish<'_>,
    prefer: &BTreeMap<Capability, Vec<Name>>,
) -> Result<PlannedLeg, Fault> {
    let accepting: Vec<&Presence> =
        roster.all().filter(|presence| presence.accepts.iter().any(|pattern| accepts(pattern, mime))).collect();
    let ready: Vec<&Presence> =
        accepting.iter().copied().filter(|presence| presence.state == ModelState::Ready).collect();
    // With nobody ready the leg still goes out: whoever guards the model answers that it is down, and when to try again.
    let least_busy = choose(&ready, wish).or_else(|| accepting.first().copied());
    let Some(least_busy) = least_busy else { return Err(nobody_takes(roster, index, mime)) };
    let preferred = capability_for(mime, &least_busy.capabilities).and_then(|capability| prefer.get(&capability));
    let mut in_order = preferred
        .into_iter()
        .flatten()
        .filter_map(|model| accepting.iter().copied().find(|presence| presence.model == *model));
    let presence = in_order.next().unwrap_or(least_busy);
    let others = in_order.map(|presence| presence.model.clone()).collect();
    let capability = capability_for(mime, &presence.capabilities)
        .ok_or_else(|| Fault::engine(format!("model {} accepts {mime} and serves nothing", presence.model)))?;
    let media = Media { mime: Some(mime.to_owned()), ..media.clone() };
    Ok(PlannedLeg {
        path: index.to_string(),
        attachment: index,
        at_ms: None,
        others,
        subject: address(&capability, presence, wish),
        payload: payload_for(&capability, media, prompt)?,
        capability,
        model: presence.model.clone(),
    })
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
    let usual = match mime.split('/').next() {
        Some("audio") => "transcribe",
        Some("image") => "see",
        Some("video") => "split",
        _ => "",
    };
    served.iter().find(|capability| capability.as_str() == usual).or_else(|| served.first()).cloned()
}

fn payload_for(capability: &Capability, media: Media, prompt: Option<&str>) -> Result<Bytes, Fault> {
    fn pack<T: Serialize>(request: &T) -> Result<Bytes, Fault> {
        Codec::MessagePack.encode(request).map(Bytes::from)
    }
    match capability.as_str() {
        "transcribe" => pack(&TranscribeRequest {
            audio: media,
            model: None,
            language: None,
            stream: false,
            deadline_ms: None,
            work: None,
        }),
        "see" => pack(&SeeRequest { images: vec![media], tasks: None, prompt: prompt.map(str::to_owned), top_k: None }),
        "split" => pack(&SplitRequest { video: media, frames: None, fps: None }),
        _ => pack(&AttachmentRequest { attachment: media, prompt: prompt.map(str::to_owned) }),
    }
}

fn nobody_takes(roster: &Roster, index: usize, mime: &str) -> Fault {
    let mut taken: Vec<&str> = roster.all().flat_map(|presence| presence.accepts.iter().map(String::as_str)).collect();
    taken.sort_unstable();
    taken.dedup();
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
        let leg = attachment_leg(&roster, 0, "application/pdf", &media, None, Wish::default(), &prefer).unwrap();
        assert_eq!(leg.subject, "mb.v1.digest.papers");
        let fault = attachment_leg(&roster, 3, "video/mp4", &media, None, Wish::default(), &prefer).unwrap_err();
        assert!(fault.message.contains("attachment 3") && fault.message.contains("application/pdf"), "{fault}");
    }
}
