//! Where does a sentence end? Unicode says (UAX #29), but for abbreviations; what is too long is cut at a clause.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::clauses::clause_ends;
use crate::paragraphs::paragraphs;

/// The longest piece, in characters: some ten seconds of speech. Longer ones would hold up the first sound of a stream.
const LONGEST: usize = 160;

/// Words whose full stop ends no sentence although a capital letter follows. Lower case, without the last stop.
const ABBREVIATIONS: [&str; 44] = [
    "mr", "mrs", "ms", "mx", "dr", "prof", "st", "rev", "hon", "gen", "col", "maj", "capt", "cmdr", "lt", "sgt", "gov",
    "sen", "rep", "pres", "messrs", "mme", "mlle", "sra", "vs", "fig", "figs", "vol", "approx", "e.g", "i.e", "cf",
    "hr", "fr", "z.b", "d.h", "u.a", "bzw", "ca", "nr", "evtl", "ggf", "ph.d", "viz",
];

/// A text as it is spoken: sentences, long ones in parts. None is empty.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    for paragraph in paragraphs(text) {
        for sentence in sentences(&paragraph) {
            pieces.extend(parts(sentence, LONGEST).into_iter().map(str::to_owned));
        }
    }
    pieces
}

fn sentences(paragraph: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut begin = 0;
    for (start, bound) in paragraph.split_sentence_bound_indices() {
        let end = start + bound.len();
        let sentence = paragraph.get(begin..end).unwrap_or_default().trim();
        if end < paragraph.len() && ends_in_abbreviation(sentence) {
            continue;
        }
        begin = end;
        if !sentence.is_empty() {
            sentences.push(sentence);
        }
    }
    sentences
}

/// `Dr.`, `e.g.`, or an initial. `I.` ends a sentence.
fn ends_in_abbreviation(sentence: &str) -> bool {
    let Some(word) = sentence.strip_suffix('.') else { return false };
    let word = word.rsplit(|c: char| c.is_whitespace() || "(\"'“‘".contains(c)).next().unwrap_or(word);
    let mut letters = word.chars();
    let is_initial = matches!((letters.next(), letters.next()), (Some(c), None) if c.is_uppercase() && c != 'I');
    is_initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// Cuts at the last clause that fits, else between words, else anywhere.
fn parts(sentence: &str, longest: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = sentence;
    while let Some((fits, next)) = rest.char_indices().nth(longest) {
        let window = rest.get(..fits + next.len_utf8()).unwrap_or_default();
        // A clause of a word or two is not worth a breath.
        let clause = clause_ends(rest).take_while(|end| *end <= fits).last().filter(|end| *end > fits / 4);
        let cut = clause.or_else(|| window.rfind(char::is_whitespace).filter(|at| *at > 0)).unwrap_or(fits);
        let (part, more) = rest.split_at_checked(cut).unwrap_or((rest, ""));
        parts.push(part.trim());
        rest = more.trim_start();
    }
    parts.push(rest);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_spoken_sentence_by_sentence() {
        assert_eq!(
            pieces("Hello there. How are you? Fine!\n\nA new paragraph"),
            ["Hello there.", "How are you?", "Fine!", "A new paragraph"]
        );
        assert_eq!(pieces("你好。世界！"), ["你好。", "世界！"]);
        assert!(pieces("").is_empty());
    }

    #[test]
    fn an_abbreviation_ends_no_sentence() {
        for sentence in [
            "Mr. Smith and Dr. J. R. Brown met.",
            "Bring fruit, e.g. Apples.",
            "Version 2.0.1 costs $3.14 at 10:30 a.m. today.",
            "He (Prof. X) left.",
        ] {
            assert_eq!(pieces(sentence), [sentence]);
        }
        assert_eq!(pieces("It was I. Then he came."), ["It was I.", "Then he came."]);
        assert_eq!(pieces("He said no. Then he came."), ["He said no.", "Then he came."]);
        assert_eq!(pieces("I saw the Dr."), ["I saw the Dr."]);
    }

    #[test]
    fn a_long_sentence_is_cut_at_a_clause_then_between_words_then_anywhere() {
        assert_eq!(parts("one two, three four five", 15), ["one two,", "three four five"]);
        assert_eq!(parts("one two three four five", 10), ["one two", "three four", "five"]);
        assert_eq!(parts("a, b c d e f g h i", 10), ["a, b c d e", "f g h i"]);
        assert_eq!(parts("ÄÖÜÄÖÜÄÖÜ", 4), ["ÄÖÜÄ", "ÖÜÄÖ", "Ü"]);
        assert_eq!(parts("fits", 4), ["fits"]);
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_too_long() {
        let words = "Word after word, and no end; ".repeat(400);
        let pieces = pieces(&words);
        assert!(pieces.iter().all(|piece| piece.chars().count() <= LONGEST));
        assert_eq!(pieces.join(" "), words.trim());
    }
}
