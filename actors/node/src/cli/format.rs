//! How are times, sizes and texts written for a person?

use std::time::Duration;

/// `870 ms`, `2.31 s`, `1m 5s`.
pub(crate) fn took(milliseconds: f64) -> String {
    if milliseconds < 10.0 {
        format!("{milliseconds:.1} ms")
    } else if milliseconds < 1000.0 {
        format!("{milliseconds:.0} ms")
    } else if milliseconds < 60_000.0 {
        format!("{:.2} s", milliseconds / 1000.0)
    } else {
        humantime::format_duration(Duration::from_secs((milliseconds / 1000.0) as u64)).to_string()
    }
}

/// `01:01.5`: minutes, seconds and tenths since the beginning of a sound or film.
pub(crate) fn clock(milliseconds: f64) -> String {
    let tenths = (milliseconds.max(0.0) / 100.0).round() as u64;
    let (minutes, seconds) = (tenths / 600, tenths % 600);
    format!("{minutes:02}:{:02}.{}", seconds / 10, seconds % 10)
}

/// `01:01.5-01:02.0`, or nothing where there is no clock.
pub(crate) fn span(from: Option<f64>, to: Option<f64>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("{}-{}", clock(from), clock(to)),
        (Some(at), None) | (None, Some(at)) => clock(at),
        (None, None) => String::new(),
    }
}

/// `93.8 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).to_string()
}

/// Text that does nothing to a terminal but appear on it: a model may write anything, escape sequences included.
pub(crate) fn harmless(text: &str) -> String {
    let keep = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().filter(|c| *c != '\r').map(keep).collect()
}

/// Breaks text into lines of at most `width` characters, between words where it can.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    harmless(text).replace('\t', "    ").lines().flat_map(|line| wrap_line(line, width.max(1))).collect()
}

fn wrap_line(line: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest: Vec<char> = line.chars().collect();
    while rest.len() > width {
        let window = rest.get(..=width).unwrap_or_default();
        // A break inside the indent would make an empty line.
        let indent = rest.iter().take_while(|c| **c == ' ').count();
        let space = window.iter().rposition(|c| *c == ' ').filter(|at| *at > indent);
        let (at, skip) = space.map_or((width, 0), |at| (at, 1));
        let tail = rest.split_off((at + skip).min(rest.len()));
        let head: String = rest.iter().take(at).collect();
        lines.push(head.trim_end().to_owned());
        rest = tail;
    }
    lines.push(rest.into_iter().collect::<String>().trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_that_matter() {
        assert_eq!([took(1.25), took(870.4), took(2310.0), took(65_000.0)], ["1.2 ms", "870 ms", "2.31 s", "1m 5s"]);
        assert_eq!([clock(0.0), clock(61_500.0), clock(59_960.0)], ["00:00.0", "01:01.5", "01:00.0"]);
        assert_eq!(span(Some(0.0), Some(3200.0)), "00:00.0-00:03.2");
        assert_eq!(span(None, None), "");
    }

    #[test]
    fn long_lines_break_between_words_and_long_words_anywhere() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("one\n\ntwo", 10), ["one", "", "two"]);
        assert!(wrap("", 10).is_empty());
        assert_eq!(wrap("  - an item", 6), ["  - an", "item"]);
    }

    #[test]
    fn a_model_cannot_write_escape_sequences() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\n"), "a\u{fffd}[2Jb\n");
    }
}
