//! How are phonemes numbered? As the voice's own file says.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The phonemes that stand around and between the others: begin, end, and what goes between each two.
const BEGIN: &str = "^";
const END: &str = "$";
const BETWEEN: &str = "_";

/// The phonemes that a voice has learned.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Alphabet {
    phoneme_id_map: BTreeMap<String, Vec<i64>>,
    /// Phonemes that this voice knows under other names.
    #[serde(default)]
    phoneme_map: BTreeMap<String, Vec<String>>,
    /// Vowels that are one phoneme together, letter by letter.
    #[serde(default)]
    vowel_clusters: Vec<Vec<String>>,
}

impl Alphabet {
    /// Checks what the types do not say.
    pub(crate) fn check(&self) -> Result<(), String> {
        match [BEGIN, END, BETWEEN].into_iter().find(|phoneme| self.ids(phoneme).is_empty()) {
            Some(phoneme) => Err(format!("phoneme_id_map has no `{phoneme}`")),
            None => Ok(()),
        }
    }

    /// True if the model has learned this phoneme.
    pub(crate) fn knows(&self, phoneme: char) -> bool {
        !self.ids(phoneme.encode_utf8(&mut [0; 4])).is_empty()
    }

    /// Phonemes as the model takes them, each followed by what goes between; those that it has not learned are left out.
    pub(crate) fn numbers(&self, phonemes: &[char]) -> Vec<i64> {
        let mut numbers = [self.ids(BEGIN), self.ids(BETWEEN)].concat();
        let mut rest = phonemes;
        while let Some((first, tail)) = rest.split_first() {
            let cluster = self.cluster(rest);
            let (ids, left) = match cluster {
                Some(cluster) => (self.ids(&cluster.concat()), rest.get(cluster.len()..).unwrap_or_default()),
                None => (self.ids(first.encode_utf8(&mut [0; 4])), tail),
            };
            if !ids.is_empty() {
                numbers.extend_from_slice(ids);
                numbers.extend_from_slice(self.ids(BETWEEN));
            }
            rest = left;
        }
        numbers.extend_from_slice(self.ids(END));
        numbers
    }

    /// The phonemes under the names that this voice has for them.
    pub(crate) fn renamed(&self, phoneme: char) -> Vec<char> {
        match self.phoneme_map.get(phoneme.encode_utf8(&mut [0; 4])) {
            Some(names) => names.iter().flat_map(|name| name.chars()).collect(),
            None => vec![phoneme],
        }
    }

    /// The longest of its vowel clusters that these phonemes begin with.
    fn cluster(&self, phonemes: &[char]) -> Option<&Vec<String>> {
        let begins = |cluster: &&Vec<String>| {
            let letters: String = cluster.concat();
            !letters.is_empty()
                && letters.chars().count() == cluster.len()
                && phonemes.iter().take(cluster.len()).copied().eq(letters.chars())
        };
        self.vowel_clusters.iter().filter(begins).max_by_key(|cluster| cluster.len())
    }

    fn ids(&self, phoneme: &str) -> &[i64] {
        self.phoneme_id_map.get(phoneme).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alphabet(more: &str) -> Alphabet {
        let ids = r#""phoneme_id_map":{"_":[0],"^":[1],"$":[2],"a":[14],"b":[15],"ɪ":[74],"aɪ":[161]}"#;
        serde_json::from_str(&format!("{{{ids}{more}}}")).unwrap()
    }

    #[test]
    fn phonemes_have_pads_between_and_unknown_ones_are_left_out() {
        let alphabet = alphabet("");
        alphabet.check().unwrap();
        assert_eq!(alphabet.numbers(&['a', 'x', 'b']), [1, 0, 14, 0, 15, 0, 2]);
        assert_eq!(alphabet.numbers(&['x']), [1, 0, 2]);
        assert!(alphabet.knows('a') && !alphabet.knows('x'));
    }

    #[test]
    fn vowel_clusters_are_one_phoneme_where_the_voice_has_them() {
        assert_eq!(alphabet("").numbers(&['a', 'ɪ']), [1, 0, 14, 0, 74, 0, 2]);
        let clusters = alphabet(r#","vowel_clusters":[["a","ɪ"]]"#);
        assert_eq!(clusters.numbers(&['b', 'a', 'ɪ', 'a']), [1, 0, 15, 0, 161, 0, 14, 0, 2]);
    }

    #[test]
    fn a_phoneme_may_have_another_name() {
        let renamed = alphabet(r#","phoneme_map":{"x":["a","b"]}"#);
        assert_eq!(renamed.renamed('x'), ['a', 'b']);
        assert_eq!(renamed.renamed('y'), ['y']);
    }

    #[test]
    fn an_alphabet_has_a_begin_an_end_and_a_pad() {
        let poor: Alphabet = serde_json::from_str(r#"{"phoneme_id_map":{"_":[0],"^":[1]}}"#).unwrap();
        assert_eq!(poor.check().unwrap_err(), "phoneme_id_map has no `$`");
    }
}
