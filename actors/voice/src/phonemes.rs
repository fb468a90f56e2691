//! How does a sentence become what the model reads? Clause by clause, each with the mark that ends it.

use unicode_normalization::UnicodeNormalization as _;

use crate::clauses::clauses;
use crate::espeak::Espeak;
use crate::stop::{IsDue, Stop};
use crate::voice::Voice;

/// A voice, and what makes its phonemes.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) voice: Voice,
    /// None if the voice reads letters.
    pub(crate) espeak: Option<Espeak>,
}

impl Reader {
    /// The sentence as numbers of phonemes; none if there is nothing in it that this voice can say.
    ///
    /// # Errors
    /// As [`Espeak::phonemes`].
    pub(crate) fn read(&self, sentence: &str, is_due: IsDue<'_>) -> Result<Option<Vec<i64>>, Stop> {
        let phonemes = match &self.espeak {
            Some(espeak) => phonemes(sentence, |clause| espeak.phonemes(clause, is_due))?,
            None => letters(sentence),
        };
        let renamed: Vec<char> = phonemes.chars().flat_map(|phoneme| self.voice.alphabet.renamed(phoneme)).collect();
        // Marks and accents alone are not speech.
        let is_said = renamed.iter().any(|phoneme| self.voice.alphabet.knows(*phoneme) && is_sound(*phoneme));
        Ok(is_said.then(|| self.voice.alphabet.numbers(&renamed)))
    }
}

/// What espeak-ng makes of each clause, with the marks that it leaves out. Decomposed, as Piper's voices have learned
/// it: an accent is a phoneme of its own.
fn phonemes(sentence: &str, mut say: impl FnMut(&str) -> Result<String, Stop>) -> Result<String, Stop> {
    let mut phonemes = String::new();
    for clause in clauses(sentence) {
        let said = without_languages(&say(clause.text)?);
        if said.is_empty() {
            continue;
        }
        if !phonemes.is_empty() {
            phonemes.push(' ');
        }
        phonemes.extend(said.nfd());
        phonemes.extend(clause.mark);
    }
    Ok(phonemes)
}

/// For voices that learned from letters.
fn letters(sentence: &str) -> String {
    sentence.to_lowercase().nfd().collect()
}

/// Leaves out what espeak-ng says of foreign words, as in `(en)hˈaʊs(de)`.
fn without_languages(phonemes: &str) -> String {
    let mut kept = String::with_capacity(phonemes.len());
    let mut rest = phonemes;
    while let Some((before, after)) = rest.split_once('(') {
        kept.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept.trim().to_owned()
}

fn is_sound(phoneme: char) -> bool {
    phoneme.is_alphanumeric() && !matches!(phoneme, 'ˈ' | 'ˌ' | 'ː' | 'ˑ')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says the words themselves.
    fn parrot(clause: &str) -> Result<String, Stop> {
        Ok(clause.chars().filter(|c| c.is_alphanumeric() || *c == ' ').collect::<String>().trim().to_owned())
    }

    #[test]
    fn marks_are_kept_between_the_clauses() {
        let read = |sentence| phonemes(sentence, parrot).unwrap();
        assert_eq!(read("Hello world, how are you?"), "Hello world, how are you?");
        assert_eq!(read("One — two…"), "One; two.");
        assert_eq!(read("no end"), "no end");
        assert_eq!(read(", , one"), "one");
        assert_eq!(read("..."), "");
    }

    #[test]
    fn an_accent_is_a_phoneme_of_its_own() {
        assert_eq!(phonemes("ç", parrot).unwrap(), "c\u{327}");
        assert_eq!(letters("ÀB"), "a\u{300}b");
    }

    #[test]
    fn words_of_other_languages_are_said_and_not_announced() {
        assert_eq!(without_languages("das (en)hˈaʊs(de) ɪst"), "das hˈaʊs ɪst");
        assert_eq!(without_languages("(en)"), "");
        assert_eq!(without_languages("a (open"), "a");
    }
}
