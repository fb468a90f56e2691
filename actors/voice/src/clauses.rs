//! Where does a voice take a breath? At the marks between clauses, which it hears as phonemes of their own.

/// What is said in one breath, and the mark that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clause<'a> {
    /// The words, with the mark.
    pub(crate) text: &'a str,
    /// One of `, ; : . ! ?`, whatever the script writes for it.
    pub(crate) mark: Option<char>,
}

/// The clauses of a sentence.
pub(crate) fn clauses(sentence: &str) -> Vec<Clause<'_>> {
    let mut clauses = Vec::new();
    let mut begin = 0;
    for (end, mark) in breaks(sentence).chain([(sentence.len(), None)]) {
        let text = sentence.get(begin..end).unwrap_or_default().trim();
        begin = end;
        if !text.is_empty() {
            clauses.push(Clause { text, mark });
        }
    }
    clauses
}

/// Where clauses end, in bytes.
pub(crate) fn clause_ends(text: &str) -> impl Iterator<Item = usize> {
    breaks(text).map(|(end, _)| end)
}

/// Where a run of marks ends, closing quotes included, and which mark it stands for.
fn breaks(text: &str) -> impl Iterator<Item = (usize, Option<char>)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(from..)?;
            let start = from + rest.find(|c| mark_of(c).is_some())?;
            let run = text.get(start..)?;
            let marks = run.len() - run.trim_start_matches(|c| mark_of(c).is_some()).len();
            let after = text.get(start + marks..)?;
            let closers = after.len() - after.trim_start_matches(is_closer).len();
            let end = start + marks + closers;
            from = end;
            let (marks, after) = (run.get(..marks)?, text.get(end..)?);
            if is_break(marks, text.get(..start)?, after) {
                return Some((end, strongest(marks, after)));
            }
        }
    })
}

/// `1,000`, `10:30` and `e.g. this` are no breaks: a mark of one byte wants a space after it, a full stop the end.
fn is_break(marks: &str, before: &str, after: &str) -> bool {
    let is_end = after.trim().is_empty();
    let is_spaced = after.starts_with(char::is_whitespace);
    match marks {
        "." => is_end,
        // A range of numbers, as in 10–20.
        "–" => is_spaced && before.ends_with(char::is_whitespace),
        marks if marks.is_ascii() => is_end || is_spaced,
        _ => true,
    }
}

/// A question before an exclamation, both before what is only a pause.
fn strongest(marks: &str, after: &str) -> Option<char> {
    let heard = || marks.chars().filter_map(mark_of);
    ['?', '!'].into_iter().find(|strong| heard().any(|mark| mark == *strong)).or_else(|| match heard().next() {
        // Dots within a sentence: it is not over.
        Some('.') if !after.trim().is_empty() => Some(','),
        mark => mark,
    })
}

/// The mark that Piper's voices have learned, for those that scripts write.
fn mark_of(c: char) -> Option<char> {
    Some(match c {
        ',' | '،' | '、' | '，' => ',',
        ';' | '؛' | '；' | '—' | '–' => ';',
        ':' | '：' => ':',
        '.' | '。' | '｡' | '।' | '…' | '．' => '.',
        '!' | '！' => '!',
        '?' | '؟' | '？' => '?',
        _ => return None,
    })
}

fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | '}' | '”' | '’' | '»' | '」' | '』' | '）')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sentence: &str) -> Vec<(&str, char)> {
        clauses(sentence).iter().map(|clause| (clause.text, clause.mark.unwrap_or(' '))).collect()
    }

    #[test]
    fn a_breath_is_taken_at_marks() {
        assert_eq!(told("Hello world, how are you?"), [("Hello world,", ','), ("how are you?", '?')]);
        assert_eq!(told("One; two: three"), [("One;", ';'), ("two:", ':'), ("three", ' ')]);
        assert_eq!(told("Fine — thanks – bye"), [("Fine —", ';'), ("thanks –", ';'), ("bye", ' ')]);
        assert_eq!(told("He said: \"Go!\""), [("He said:", ':'), ("\"Go!\"", '!')]);
        assert_eq!(told("no… done."), [("no…", ','), ("done.", '.')]);
        assert_eq!(told("Wow..."), [("Wow...", '.')]);
        assert_eq!(told("Really?!"), [("Really?!", '?')]);
    }

    #[test]
    fn a_mark_within_a_word_or_number_is_no_break() {
        for sentence in ["1,000.50 at 10:30 on 3–4 May", "a.b:c,d", "e.g. this", "http://x.y/z?q"] {
            assert_eq!(told(sentence), [(sentence, ' ')]);
        }
    }

    #[test]
    fn other_scripts_write_marks_of_their_own() {
        assert_eq!(told("你好，世界。"), [("你好，", ','), ("世界。", '.')]);
        assert_eq!(told("مرحبا، كيف حالك؟"), [("مرحبا،", ','), ("كيف حالك؟", '?')]);
    }

    #[test]
    fn marks_alone_are_a_clause_without_words() {
        assert_eq!(told("..."), [("...", '.')]);
        assert_eq!(told(", ,"), [(",", ','), (",", ',')]);
        assert!(told("  ").is_empty());
    }
}
