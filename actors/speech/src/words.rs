//! Which tokens are one word?
//!
//! Whisper's tokens are parts of words, or of letters. One that begins with a space begins a word; languages without
//! spaces have a word a token, as OpenAI's Whisper has it.

/// Languages that are written without spaces between words.
const WITHOUT_SPACES: [&str; 8] = ["zh", "ja", "th", "lo", "my", "yue", "km", "bo"];

/// A token of text as the model gives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    /// UTF-8, which a single token may have a part of.
    pub(crate) bytes: &'a [u8],
    /// When it is said, in hundredths of a second.
    pub(crate) begin: i64,
    pub(crate) end: i64,
    pub(crate) probability: f32,
}

/// A word and when it is said, in hundredths of a second.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spoken {
    pub(crate) text: String,
    pub(crate) begin: i64,
    pub(crate) end: i64,
    pub(crate) confidence: f32,
}

/// A word that is not finished.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    begin: i64,
    end: i64,
    probabilities: f32,
    tokens: usize,
}

/// Joins tokens to words. Marks belong to the word before them.
pub(crate) fn group<'a>(tokens: impl Iterator<Item = Token<'a>>, language: &str) -> Vec<Spoken> {
    let is_spaced = !WITHOUT_SPACES.contains(&language);
    let (mut words, mut pending) = (Vec::new(), Pending::default());
    for token in tokens {
        let is_whole = std::str::from_utf8(&pending.bytes).is_ok();
        let begins = if is_spaced { token.bytes.starts_with(b" ") } else { !is_mark(token.bytes) };
        if pending.tokens > 0 && is_whole && begins {
            words.extend(std::mem::take(&mut pending).finish());
        }
        pending.add(token);
    }
    words.extend(pending.finish());
    words
}

/// True for whole marks without a letter or a digit. Part of a letter is none.
fn is_mark(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_alphanumeric))
}

impl Pending {
    fn add(&mut self, token: Token<'_>) {
        if self.tokens == 0 {
            self.begin = token.begin;
        }
        self.end = token.end.max(self.begin);
        self.bytes.extend_from_slice(token.bytes);
        self.probabilities += token.probability;
        self.tokens += 1;
    }

    /// `None` if there is nothing to be read.
    fn finish(self) -> Option<Spoken> {
        let text = String::from_utf8_lossy(&self.bytes).trim().to_owned();
        let confidence = self.probabilities / self.tokens.max(1) as f32;
        (!text.is_empty()).then_some(Spoken { text, begin: self.begin, end: self.end, confidence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(parts: &[&[u8]], language: &str) -> Vec<(String, i64, i64)> {
        let tokens = parts.iter().zip(0..).map(|(bytes, at)| Token {
            bytes,
            begin: at * 10,
            end: at * 10 + 10,
            probability: 0.5,
        });
        group(tokens, language).into_iter().map(|word| (word.text, word.begin, word.end)).collect()
    }

    #[test]
    fn a_space_begins_a_word_and_marks_belong_to_the_word_before() {
        let words = grouped(&[b" Ber", b"th", b" forty", b"-", b"two", b",", b" is", b" yours", b"."], "en");
        let expected = [("Berth", 0, 20), ("forty-two,", 20, 60), ("is", 60, 70), ("yours.", 70, 90)];
        assert_eq!(words, expected.map(|(text, begin, end)| (text.to_owned(), begin, end)));
    }

    #[test]
    fn a_letter_in_two_tokens_is_one_letter() {
        let words = grouped(&[b" caf", b"\xc3", b"\xa9", b" au"], "fr");
        assert_eq!(words, [("café".to_owned(), 0, 30), ("au".to_owned(), 30, 40)]);
        let words = grouped(&["你".as_bytes(), &[0xe5], &[0xa5, 0xbd], "。".as_bytes(), "吗".as_bytes()], "zh");
        assert_eq!(words, [("你".to_owned(), 0, 10), ("好。".to_owned(), 10, 40), ("吗".to_owned(), 40, 50)]);
    }

    #[test]
    fn nothing_is_no_word() {
        assert!(grouped(&[], "en").is_empty());
        assert!(grouped(&[b" ", b" "], "en").is_empty());
    }
}
