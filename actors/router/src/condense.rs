//! What of the evidence is put to a model whose context is too short for all of it?

use std::cmp::Reverse;
use std::collections::BTreeSet;

use megabrain_schemas::{Evidence, Message, Modality};

use crate::evidence::WRITING;

/// What the line of one piece of evidence has beside its text, in ASCII.
const LINE: usize = 56;
/// What a chat template and our own words around the evidence take, in tokens.
const FRAME: usize = 128;
/// What a picture takes, in tokens. Only its model knows; LLaVA 1.5 makes 24 × 24 of it, Gemma 3 makes 256.
const PICTURE: usize = 576;

/// The numbers of those pieces that do not fit beside what was said before, a question and an answer of `max_tokens` into
/// `context` tokens: the least telling ones. An answer has no more than half of the context kept for it. What is heard
/// tells most, then what is read or described, then labels; of one kind, what has more words of the question, then the
/// surer and then the earlier. Half of the room is for what is heard and a quarter for each of the others, so that an hour
/// of talk leaves something of the pictures; what one kind does not need is the others'.
pub(crate) fn left_out(
    evidence: &[Evidence],
    before: &[Message],
    question: &str,
    max_tokens: usize,
    context: usize,
) -> Vec<usize> {
    let room = context.saturating_sub(max_tokens.min(context / 2)).saturating_sub(FRAME);
    let said = before.iter().map(thirds_of_message).sum::<usize>() + thirds_of_tokens(question);
    let mut room = (room * THIRDS).saturating_sub(said);
    let asked = words(question);
    let mut by_rank: Vec<(usize, Kind, &Evidence)> =
        evidence.iter().enumerate().map(|(index, item)| (index, Kind::of(item), item)).collect();
    by_rank.sort_by_cached_key(|(_, kind, item)| (*kind, Reverse(rank(item, &asked))));
    let mut shares = Kind::ALL.map(|kind| (kind, room / kind.part()));
    // First what fits into its kind's share, then whatever fits.
    let mut left: Vec<(usize, Kind, &Evidence)> = Vec::new();
    for (index, kind, item) in by_rank {
        let takes = thirds_of_tokens(&item.text) + LINE;
        let share = shares.iter_mut().find(|(other, share)| *other == kind && takes <= *share);
        match share {
            Some((_, share)) => {
                *share -= takes;
                room -= takes;
            }
            None => left.push((index, kind, item)),
        }
    }
    let mut left_out = Vec::new();
    for (index, _, item) in left {
        match room.checked_sub(thirds_of_tokens(&item.text) + LINE) {
            Some(rest) => room = rest,
            None => left_out.push(index),
        }
    }
    left_out.sort_unstable();
    left_out
}

/// How much a piece of evidence tells, by what it is. In this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Heard,
    Written,
    Label,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Heard, Self::Written, Self::Label];

    fn of(item: &Evidence) -> Self {
        match item.modality {
            Modality::Audio => Self::Heard,
            Modality::Text => Self::Written,
            Modality::Image if item.confidence.is_none() || item.text.starts_with(WRITING) => Self::Written,
            Modality::Image => Self::Label,
        }
    }

    /// What part of the room is kept for it: one half, or one of so many.
    fn part(self) -> usize {
        match self {
            Self::Heard => 2,
            Self::Written | Self::Label => 4,
        }
    }
}

/// Thirds of a token.
const THIRDS: usize = 3;

/// How many tokens a text has at most, in thirds. 4 characters make a token in English; 3 keep a margin for names and
/// numbers. Of other writing, a byte-level vocabulary may take each byte for a token.
fn thirds_of_tokens(text: &str) -> usize {
    text.bytes().map(|byte| if byte.is_ascii() { 1 } else { THIRDS }).sum()
}

fn thirds_of_message(message: &Message) -> usize {
    thirds_of_tokens(&message.content) + message.images.len() * PICTURE * THIRDS
}

/// Of one kind, the higher tells more: words that the question has too, and how sure it is, in thousandths.
fn rank(item: &Evidence, asked: &BTreeSet<String>) -> (usize, u32) {
    let sure = (item.confidence.unwrap_or(0.5).clamp(0.0, 1.0) * 1000.0) as u32;
    (words(&item.text).intersection(asked).count(), sure)
}

/// The words of a text that tell something: of four letters or more.
fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| word.chars().count() >= 4).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{LegStatus, Media, Name};

    use super::*;

    fn item(modality: Modality, text: &str, confidence: Option<f32>) -> Evidence {
        Evidence {
            attachment: 0,
            modality,
            model: Name::sanitized("m"),
            t0_ms: None,
            t1_ms: None,
            text: text.into(),
            confidence,
            status: LegStatus::Ok,
        }
    }

    #[test]
    fn what_tells_least_goes_first_and_nothing_is_cut() {
        let all = [
            item(Modality::Image, "tabby cat", Some(0.9)),
            item(Modality::Audio, "where is the cat", Some(0.4)),
            item(Modality::Image, "text: BERTH 42", Some(0.8)),
            item(Modality::Image, "tiger cat", Some(0.2)),
        ];
        let question = "What does she want?";
        assert!(left_out(&all, &[], question, 64, 4096).is_empty());
        // Room for two lines.
        assert_eq!(left_out(&all, &[], question, 64, 64 + 128 + 60), [0, 3]);
        assert_eq!(left_out(&all, &[], question, 64, 100), [0, 1, 2, 3]);
        assert!(left_out(&all, &[], question, 512, 512).is_empty(), "an answer may be long and need not be");
        assert_eq!(left_out(&all, &[], "猫はどこにいますか", 64, 64 + 128 + 60), [0, 2, 3], "it has more tokens");
    }

    #[test]
    fn much_talk_leaves_something_of_the_pictures_and_what_was_asked_about_stays() {
        let mut all: Vec<Evidence> =
            (0..60).map(|_| item(Modality::Audio, "and so on and so forth", Some(0.9))).collect();
        all.push(item(Modality::Audio, "the captain drops his anchor", Some(0.1)));
        all.push(item(Modality::Image, "lighthouse", Some(0.7)));
        let left = left_out(&all, &[], "Where is the anchor?", 64, 512);
        assert!(!left.contains(&60) && !left.contains(&61), "{left:?}");
        // Labels need less than their part: the talk has the rest.
        let kept = all.len() - left.len();
        let room = 512 - 64 - FRAME;
        let lines = (room * THIRDS - 20 - LINE - 10) / (22 + LINE);
        assert!((lines - 1..=lines + 1).contains(&kept), "{kept} of {lines}");
    }

    #[test]
    fn what_was_said_before_takes_its_room_and_pictures_do_too() {
        let all = [item(Modality::Audio, "where is the cat", Some(0.4))];
        let context = 64 + 128 + 60;
        let asked = |before: &[Message]| left_out(&all, before, "What does she want?", 64, context);
        assert!(asked(&[Message::user("Hello")]).is_empty());
        assert_eq!(asked(&[Message::user("a".repeat(150))]), [0]);
        let images = vec![Media::inline("image/png", vec![0])];
        assert_eq!(asked(&[Message { images, ..Message::user("Hello") }]), [0]);
    }
}
