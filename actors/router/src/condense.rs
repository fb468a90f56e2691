//! What of the evidence is put to a model whose context is too short for all of it?

use megabrain_schemas::{Evidence, Modality};

use crate::evidence::WRITING;

/// What the line of one piece of evidence has beside its text, in ASCII.
const LINE: usize = 56;
/// What a chat template and our own words around the evidence take, in tokens.
const FRAME: usize = 128;

/// The numbers of those pieces that do not fit beside a question and an answer of `max_tokens` into `context` tokens: the
/// least telling ones. An answer has no more than half of the context kept for it. What is heard tells most, then what is read or described, then labels; of
/// one kind, the surer and then the earlier.
pub(crate) fn left_out(evidence: &[Evidence], question: &str, max_tokens: usize, context: usize) -> Vec<usize> {
    let room = context.saturating_sub(max_tokens.min(context / 2)).saturating_sub(FRAME);
    let mut room = (room * THIRDS).saturating_sub(thirds_of_tokens(question));
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
    use megabrain_schemas::{LegStatus, Name};

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
        assert!(left_out(&all, question, 64, 4096).is_empty());
        // Room for two lines.
        assert_eq!(left_out(&all, question, 64, 64 + 128 + 60), [0, 3]);
        assert_eq!(left_out(&all, question, 64, 100), [0, 1, 2, 3]);
        assert!(left_out(&all, question, 512, 512).is_empty(), "an answer may be long and need not be");
        assert_eq!(left_out(&all, "猫はどこにいますか", 64, 64 + 128 + 60), [0, 2, 3], "it has more tokens");
    }
}
