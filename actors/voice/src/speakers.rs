//! Who speaks? A voice has one speaker or many, by name and by number.

use std::collections::BTreeMap;

use megabrain_schemas::Fault;
use serde::Deserialize;

/// The speakers that a voice has learned.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Speakers {
    #[serde(default = "one")]
    num_speakers: u32,
    #[serde(default)]
    speaker_id_map: BTreeMap<String, i64>,
    #[serde(default)]
    default_speaker_id: i64,
    /// The name of a voice with one speaker.
    #[serde(default)]
    dataset: Option<String>,
}

fn one() -> u32 {
    1
}

impl Speakers {
    /// Checks what the types do not say.
    pub(crate) fn check(&self) -> Result<(), String> {
        let speakers = i64::from(self.num_speakers.max(1));
        match self.speaker_id_map.values().chain([&self.default_speaker_id]).any(|id| !(0..speakers).contains(id)) {
            true => Err(format!("it has {speakers} speakers, and names one beyond")),
            false => Ok(()),
        }
    }

    /// True if the model is told who speaks.
    pub(crate) fn are_several(&self) -> bool {
        self.num_speakers > 1
    }

    /// The speaker that is asked for, as the model numbers them.
    ///
    /// # Errors
    /// `invalid_request`, which names those there are.
    pub(crate) fn choose(&self, asked: Option<&str>) -> Result<i64, Fault> {
        let Some(asked) = asked.map(str::trim).filter(|asked| !asked.is_empty()) else {
            return Ok(self.default_speaker_id);
        };
        if let Some(id) = self.speaker_id_map.get(asked) {
            return Ok(*id);
        }
        if self.dataset.as_deref() == Some(asked) {
            return Ok(self.default_speaker_id);
        }
        let number =
            asked.parse().ok().filter(|id| self.are_several() && (0..i64::from(self.num_speakers)).contains(id));
        number.ok_or_else(|| {
            let asked: String = asked.chars().take(64).collect();
            Fault::invalid(format!("`voice` is {asked:?}: this model speaks as {}", self.names()))
        })
    }

    /// Who there is, for a person.
    fn names(&self) -> String {
        if !self.are_several() {
            return self.dataset.clone().unwrap_or_else(|| "one voice, which has no name".to_owned());
        }
        let mut names: Vec<&str> = self.speaker_id_map.keys().take(20).map(String::as_str).collect();
        if names.len() < self.speaker_id_map.len() {
            names.push("…");
        }
        let numbers = format!("0 to {}", self.num_speakers - 1);
        if names.is_empty() { numbers } else { format!("{}, or by number {numbers}", names.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speakers(text: &str) -> Speakers {
        let speakers: Speakers = serde_json::from_str(text).unwrap();
        speakers.check().unwrap();
        speakers
    }

    #[test]
    fn a_voice_with_one_speaker_goes_by_its_name() {
        let single = speakers(r#"{"dataset":"joe"}"#);
        assert_eq!(single.choose(None).unwrap(), 0);
        assert_eq!(single.choose(Some("joe")).unwrap(), 0);
        assert!(single.choose(Some("amy")).unwrap_err().message.contains("speaks as joe"));
        assert!(single.choose(Some("0")).is_err());
    }

    #[test]
    fn a_speaker_is_chosen_by_name_or_number_and_an_unknown_one_is_refused_with_those_there_are() {
        let many = speakers(r#"{"num_speakers":3,"speaker_id_map":{"p1":0,"p2":2},"default_speaker_id":1}"#);
        assert_eq!(many.choose(None).unwrap(), 1);
        assert_eq!(many.choose(Some("p2")).unwrap(), 2);
        assert_eq!(many.choose(Some("2")).unwrap(), 2);
        for unknown in ["3", "-1", "p3", "\0\u{1b}", &"x".repeat(100_000)] {
            let fault = many.choose(Some(unknown)).unwrap_err();
            assert!(fault.message.contains("p1, p2, or by number 0 to 2") && fault.message.len() < 400, "{fault}");
        }
    }

    #[test]
    fn a_speaker_beyond_the_last_is_refused() {
        let beyond: Speakers = serde_json::from_str(r#"{"speaker_id_map":{"a":7}}"#).unwrap();
        assert!(beyond.check().unwrap_err().contains("1 speakers"));
    }
}
