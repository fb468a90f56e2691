//! What of the evidence is put to a model whose context is too short for all of it?

use megabrain_schemas::{Evidence, Modality};

/// Text that makes up a token, in bytes: 4 is usual in English, 3 keeps a margin for names, numbers and other languages.
const BYTES_A_TOKEN: usize = 3;
/// What the line of one piece of evidence has beside its text, in bytes.
const LINE: usize = 56;
/// What a chat template and our own words around the evidence take, in tokens.
const FRAME: usize = 128;

/// The numbers of those pieces that do not fit beside a question of this many bytes and an answer of `max_tokens` into
/// `context` tokens: the least telling ones. What is heard tells most, then what is read or described, then labels; of
/// one kind, the surer and then the earlier.
pub(crate) fn left_out(evidence: &[Evidence], question: usize, max_tokens: usize, context: usize) -> Vec<usize> {
    let mut room = (context.saturating_sub(max_tokens).saturating_sub(FRAME) * BYTES_A_TOKEN).saturating_sub(question);
    let mut by_rank: Vec<(usize, &Evidence)> = evidence.iter().enumerate().collect();
    by_rank.sort_by(|(_, one), (_, other)| rank(other).total_cmp(&rank(one)));
    let mut left_out = Vec::new();
    for (index, item) in by_rank {
        match room.checked_sub(item.text.len() + LINE) {
            Some(rest) => room = rest,
            None => left_out.push(index),
        }
    }
    left_out.sort_unstable();
    left_out
}

fn rank(item: &Evidence) -> f32 {
    let kind = match item.modality {
        Modality::Audio => 3.0,
        Modality::Text => 2.0,
        Modality::Image if item.confidence.is_none() || item.text.starts_with("text: ") => 2.0,
        Modality::Image => 1.0,
    };
    kind + item.confidence.unwrap_or(0.5).clamp(0.0, 1.0) * 0.99
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::Name;

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
        assert!(left_out(&all, 20, 64, 4096).is_empty());
        // Room for two lines.
        assert_eq!(left_out(&all, 20, 64, 64 + 128 + 60), [0, 3]);
        assert_eq!(left_out(&all, 20, 64, 100), [0, 1, 2, 3]);
    }
}
