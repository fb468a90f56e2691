//! How do a model's tokens become text that may be sent?
//!
//! A token is some bytes: perhaps half a character, perhaps the beginning of a stop text. [`TextStream`] gives out only
//! whole characters, and only those that cannot be part of a stop text any more.

/// Turns the bytes of tokens into text, and ends it at the first stop text.
#[derive(Debug, Default)]
pub(crate) struct TextStream {
    stops: Vec<String>,
    bytes: Vec<u8>,
    held: String,
    stopped: bool,
}

impl TextStream {
    /// A stream that ends at the first of these texts. None of them is empty.
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self { stops, ..Self::default() }
    }

    /// Takes one token's bytes and returns the text that is certain now, often none.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        if self.stopped {
            return String::new();
        }
        self.bytes.extend_from_slice(bytes);
        self.take_whole_characters();
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let open = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - open);
        std::mem::replace(&mut self.held, kept)
    }

    /// True once a stop text has come: nothing more will be given out.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Ends the stream: what was held back in case it became a stop text. Half a character is dropped.
    pub(crate) fn finish(&mut self) -> String {
        self.bytes.clear();
        std::mem::take(&mut self.held)
    }

    /// Moves what is whole from `bytes` to `held`; bytes that no character begins with become U+FFFD.
    fn take_whole_characters(&mut self) {
        let mut used = 0;
        for chunk in self.bytes.utf8_chunks() {
            self.held.push_str(chunk.valid());
            used += chunk.valid().len();
            let broken = chunk.invalid();
            let may_go_on = used + broken.len() == self.bytes.len() && is_beginning(broken);
            if broken.is_empty() || may_go_on {
                break;
            }
            self.held.push(char::REPLACEMENT_CHARACTER);
            used += broken.len();
        }
        self.bytes.drain(..used);
    }
}

/// True if more bytes could make these a character.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// How many bytes at the end of `text` are the beginning of `stop`.
pub(crate) fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices()
        .map(|(at, _)| at)
        .filter(|&length| length > 0 && length <= text.len())
        .rev()
        .find(|&length| stop.get(..length).is_some_and(|beginning| text.ends_with(beginning)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(stops: &[&str]) -> TextStream {
        TextStream::new(stops.iter().map(|&stop| stop.to_owned()).collect())
    }

    #[test]
    fn half_a_character_waits_for_its_other_half() {
        let mut text = stream(&[]);
        let bytes = "né🦀".as_bytes();
        let given: Vec<String> = bytes.iter().map(|byte| text.push(&[*byte])).collect();
        assert_eq!(given, ["n", "", "é", "", "", "", "🦀"]);
        assert_eq!(text.finish(), "");
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        let mut text = stream(&[]);
        assert_eq!(text.push(b"a\xffb\xc3"), "a\u{fffd}b");
        assert_eq!(text.push(b"("), "\u{fffd}(");
    }

    #[test]
    fn half_a_character_at_the_end_is_dropped() {
        let mut text = stream(&[]);
        assert_eq!(text.push(b"ok\xf0\x9f"), "ok");
        assert_eq!(text.finish(), "");
    }

    #[test]
    fn a_stop_text_is_found_across_tokens_and_is_not_part_of_the_text() {
        let mut text = stream(&["</end>"]);
        assert_eq!(text.push(b"so</"), "so");
        assert_eq!(text.push(b"en"), "");
        assert_eq!(text.push(b"d> and more"), "");
        assert!(text.is_stopped());
        assert_eq!(text.push(b"more"), "");
        assert_eq!(text.finish(), "");
    }

    #[test]
    fn what_only_looked_like_a_stop_text_is_given_out() {
        let mut text = stream(&["</end>"]);
        assert_eq!(text.push(b"a</e"), "a");
        assert_eq!(text.push(b"m>"), "</em>");
        assert_eq!(text.push(b"</"), "");
        assert!(!text.is_stopped());
        assert_eq!(text.finish(), "</");
    }

    #[test]
    fn the_earliest_of_several_stop_texts_wins() {
        let mut text = stream(&["END", "\n\n"]);
        assert_eq!(text.push(b"one\n\ntwo END"), "one");
        assert!(text.is_stopped());
    }

    #[test]
    fn the_longest_possible_beginning_of_a_stop_text_is_held() {
        let mut text = stream(&["aab"]);
        assert_eq!(text.push(b"aaa"), "a");
        assert_eq!(text.push(b"b"), "");
        assert!(text.is_stopped());
    }
}
