//! What was said before a long silence, and what after it?
//!
//! Whisper hears stretches of speech between which silence was left out, and may put the end of one and the beginning of
//! the next into one segment. On the clock of the whole that segment would last from the one to the other.

use crate::words::{self, Spoken};

/// A segment, or a part of one. Times are in hundredths of a second of the stretch that was heard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) begin: i64,
    pub(crate) end: i64,
    pub(crate) text: String,
    /// Mean probability of the tokens.
    pub(crate) confidence: Option<f32>,
    pub(crate) words: Vec<Spoken>,
}

/// Whisper's times reach over a joint by so much, where nothing is said on its other side.
const REACH: i64 = 70;
/// Who is silent for long has most likely ended a sentence: its end is taken for the place of a joint that is nearer, by
/// this, to another word's.
const SENTENCE: i64 = 100;

impl Part {
    /// Parts a segment where the stretch has joints. Times of words are guesses: the joint's is taken.
    pub(crate) fn at_joints(self, joints: &[i64], language: &str) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut rest = self;
        for joint in joints {
            if joint - rest.begin <= REACH || rest.end - joint <= REACH {
                continue;
            }
            let Some(first) = rest.split_off(*joint, language) else { continue };
            parts.push(first);
        }
        parts.push(rest);
        parts
    }

    /// Takes away what was said before the joint; `None` if that is all or nothing.
    fn split_off(&mut self, joint: i64, language: &str) -> Option<Self> {
        let pairs = self.words.iter().zip(self.words.iter().skip(1)).enumerate();
        let (index, _) = pairs
            .map(|(index, (before, after))| {
                let distance = ((before.end + after.begin) / 2 - joint).abs();
                let is_end = before.text.ends_with(['.', '?', '!', '。', '？', '！']);
                (index, if is_end { distance - SENTENCE } else { distance })
            })
            .min_by_key(|(_, distance)| *distance)?;
        let after = self.words.split_off(index + 1);
        let before = std::mem::replace(&mut self.words, after);
        let first = Self::of(self.begin, joint, before, language);
        *self = Self::of(joint, self.end, std::mem::take(&mut self.words), language);
        Some(first)
    }

    fn of(begin: i64, end: i64, words: Vec<Spoken>, language: &str) -> Self {
        let confidence = words.iter().map(|word| word.confidence).sum::<f32>() / words.len().max(1) as f32;
        Self { begin, end, text: words::text(&words, language), confidence: Some(confidence), words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(words: &[(&str, i64, i64)], end: i64) -> Part {
        let spoken = |(text, begin, end): &(&str, i64, i64)| Spoken {
            text: (*text).to_owned(),
            begin: *begin,
            end: *end,
            confidence: 0.5,
        };
        Part::of(0, end, words.iter().map(spoken).collect(), "en")
    }

    fn told(parts: &[Part]) -> Vec<(i64, i64, &str)> {
        parts.iter().map(|part| (part.begin, part.end, part.text.as_str())).collect()
    }

    #[test]
    fn a_segment_is_parted_between_the_words_at_a_joint() {
        let whole = segment(&[("Good", 0, 40), ("morning.", 40, 120), ("My", 200, 230), ("brother", 230, 300)], 300);
        let parts = whole.at_joints(&[150], "en");
        assert_eq!(told(&parts), [(0, 150, "Good morning."), (150, 300, "My brother")]);
        assert_eq!(parts[1].words.len(), 2);
    }

    #[test]
    fn the_end_of_a_sentence_is_the_likelier_place() {
        let whole = segment(&[("One", 0, 80), ("two.", 80, 110), ("Three", 110, 150), ("four", 150, 300)], 300);
        assert_eq!(told(&whole.at_joints(&[152], "en")), [(0, 152, "One two."), (152, 300, "Three four")]);
    }

    #[test]
    fn three_stretches_are_three_parts_and_what_only_reaches_over_is_whole() {
        let whole = segment(&[("One.", 0, 80), ("Two.", 100, 190), ("Three.", 210, 290)], 300);
        assert_eq!(told(&whole.clone().at_joints(&[95, 200], "en")).len(), 3);
        assert_eq!(whole.clone().at_joints(&[50, 260], "en"), std::slice::from_ref(&whole));
        let one = segment(&[("Well", 0, 300)], 300);
        assert_eq!(one.clone().at_joints(&[150], "en"), [one]);
    }
}
