//! What of the evidence is put to a model whose context is too short for all of it?

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
/// tells most, then what is read or described, then labels; of one kind, the surer and then the earlier.
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
    let mut by_rank: Vec<(usize, &Evidence)> = evidence.iter().enumerate().collect();
    by_rank.sort_by(|(_, one), (_, other)| rank(other).total_cmp(&rank(one)));
    let mut left_out = Vec::new();
    for (index, item) in by_rank {
        match room.checked_sub(thirds_of_tokens(&item.text) + LINE) {
            Some(rest) => room = rest,
            None => left_out.push(index),
        }
    }
    left_out.sort_unstable();
    left_out
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

fn rank(item: &Evidence) -> f32 {
    let kind = match item.modality {
        Modality::Audio => 3.0,
        Modality::Text => 2.0,
        Modality::Image if item.confidence.is_none() || item.text.starts_with(WRITING) => 2.0,
        Modality::Image => 1.0,
    };
    kind + item.confidence.unwrap_or(0.5).clamp(0.0, 1.0) * 0.99
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
