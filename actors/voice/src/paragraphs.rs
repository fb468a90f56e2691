//! What of a text is read out? Its paragraphs, without what only machines see.

/// The paragraphs of a text, each on one line and none empty.
///
/// A line break is a space, as in wrapped text, unless an empty line or an item of a list follows.
pub(crate) fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in text.replace("\r\n", "\n").split(is_line_break) {
        let line = readable(line);
        if line.is_empty() || is_item(&line) {
            paragraphs.push(String::new());
        }
        if let Some(paragraph) = paragraphs.last_mut().filter(|_| !line.is_empty()) {
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(&line);
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A line with single spaces and without control characters.
fn readable(line: &str) -> String {
    let mut readable = String::with_capacity(line.len());
    for c in line.chars().filter(|c| !is_invisible(*c)) {
        match c {
            c if c.is_whitespace() || c.is_control() => {
                if !readable.is_empty() && !readable.ends_with(' ') {
                    readable.push(' ');
                }
            }
            // espeak-ng takes what is between double brackets for phonemes.
            '[' => readable.push('('),
            ']' => readable.push(')'),
            c => readable.push(c),
        }
    }
    readable.truncate(readable.trim_end().len());
    readable
}

/// Soft hyphens, directional marks, byte order marks and tags. (Joiners stay: scripts and emoji need them.)
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// An item of a list or a heading: `- one`, `* one`, `1. one`, `# One`.
fn is_item(line: &str) -> bool {
    let Some((mark, _)) = line.split_once(' ') else { return false };
    let is_number = || {
        let digits = mark.trim_end_matches(['.', ')']);
        digits.len() < mark.len() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    matches!(mark, "-" | "*" | "+" | "•" | "–") || mark.bytes().all(|byte| byte == b'#') || is_number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_are_one_paragraph_and_empty_lines_end_it() {
        assert_eq!(paragraphs("one\ntwo\r\nthree\n\n \nfour"), ["one two three", "four"]);
        assert_eq!(paragraphs("  one \t two  "), ["one two"]);
        assert!(paragraphs(" \n\t\r\n ").is_empty());
    }

    #[test]
    fn items_of_a_list_are_paragraphs() {
        assert_eq!(
            paragraphs("# Fruit\n- apples\n- pears\n2. plums\n10) figs"),
            ["# Fruit", "- apples", "- pears", "2. plums", "10) figs"]
        );
        assert_eq!(paragraphs("I have\n3 apples and\n-2 degrees"), ["I have 3 apples and -2 degrees"]);
    }

    #[test]
    fn control_characters_and_phoneme_brackets_do_not_get_through() {
        assert_eq!(paragraphs("a\0b\u{1b}[2Jc\u{1}d"), ["a b (2Jc d"]);
        assert_eq!(paragraphs("[[h@l@U]]"), ["((h@l@U))"]);
        assert_eq!(paragraphs("\u{feff}in\u{ad}visible\u{202e}"), ["invisible"]);
    }
}
