//! What does a voice's own file say of it? The JSON beside a Piper model.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::ops::RangeInclusive;
use std::path::Path;

use megabrain_runtime::LoadError;
use serde::Deserialize;

use crate::alphabet::Alphabet;
use crate::speakers::Speakers;

/// Such a file has some kilobytes, with a thousand speakers some more.
const LARGEST: u64 = 4 << 20;
/// Sample rates that voices have, with room on both sides.
const RATES: RangeInclusive<u32> = 8_000..=48_000;

/// What is known of a voice. Unknown fields are other programs' affair.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Voice {
    audio: Audio,
    #[serde(default)]
    espeak: Option<EspeakVoice>,
    /// How it was trained to speak.
    #[serde(default)]
    pub(crate) inference: Inference,
    #[serde(default)]
    phoneme_type: PhonemeType,
    /// Its phonemes.
    #[serde(flatten)]
    pub(crate) alphabet: Alphabet,
    /// Who speaks.
    #[serde(flatten)]
    pub(crate) speakers: Speakers,
}

#[derive(Clone, Debug, Deserialize)]
struct Audio {
    sample_rate: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct EspeakVoice {
    voice: String,
}

/// How a voice speaks where nobody says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Inference {
    /// How much the sound varies.
    pub(crate) noise_scale: f32,
    /// How long it takes: 2 is half as fast.
    pub(crate) length_scale: f32,
    /// How much the length of phonemes varies.
    pub(crate) noise_w: f32,
}

impl Default for Inference {
    /// Piper's own.
    fn default() -> Self {
        Self { noise_scale: 0.667, length_scale: 1.0, noise_w: 0.8 }
    }
}

/// What a voice's phonemes are made by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PhonemeType {
    #[default]
    Espeak,
    /// The letters themselves.
    Text,
    #[serde(untagged)]
    Other(String),
}

impl Voice {
    /// Reads the file.
    ///
    /// # Errors
    /// `Weights`: it is missing, or not what a voice's file says; the message names it.
    pub(crate) fn read(path: &Path) -> Result<Self, LoadError> {
        let refused = |why: String| LoadError::Weights(format!("{}: {why}", path.display()));
        let file = File::open(path).map_err(|error| {
            refused(format!("{error}; a Piper voice is two files, and this one says what its phonemes are"))
        })?;
        let voice: Self = serde_json::from_reader(BufReader::new(file.take(LARGEST)))
            .map_err(|error| refused(format!("this does not describe a Piper voice: {error}")))?;
        voice.check().map_err(refused)?;
        Ok(voice)
    }

    fn check(&self) -> Result<(), String> {
        let Inference { noise_scale, length_scale, noise_w } = self.inference;
        if !RATES.contains(&self.audio.sample_rate) {
            return Err(format!(
                "sample_rate is {}: {} to {} Hz can be",
                self.audio.sample_rate,
                RATES.start(),
                RATES.end()
            ));
        }
        if !(0.1..=10.0).contains(&length_scale)
            || [noise_scale, noise_w].iter().any(|noise| !(0.0..=10.0).contains(noise))
        {
            return Err("`inference` is out of all bounds".to_owned());
        }
        if let PhonemeType::Other(kind) = &self.phoneme_type {
            return Err(format!("its phonemes are made by `{kind}`; here `espeak` and `text` can be"));
        }
        if self.phoneme_type == PhonemeType::Espeak && self.espeak.is_none() {
            return Err("missing field `espeak`".to_owned());
        }
        self.alphabet.check()?;
        self.speakers.check()
    }

    /// Samples a second.
    pub(crate) fn sample_rate(&self) -> u32 {
        self.audio.sample_rate
    }

    /// The voice of espeak-ng that makes its phonemes; none if its phonemes are letters.
    pub(crate) fn espeak(&self) -> Option<&str> {
        self.espeak.as_ref().map(|espeak| espeak.voice.as_str()).filter(|_| self.phoneme_type == PhonemeType::Espeak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(more: &str) -> Result<Voice, String> {
        let text = format!(
            r#"{{"audio":{{"sample_rate":22050}},"espeak":{{"voice":"en-us"}},
                "phoneme_id_map":{{"_":[0],"^":[1],"$":[2]}}{more}}}"#
        );
        let voice: Voice = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        voice.check().map(|()| voice)
    }

    #[test]
    fn a_voice_says_how_it_is_read() {
        assert_eq!(voice("").unwrap().espeak(), Some("en-us"));
        assert_eq!(voice(r#","phoneme_type":"text""#).unwrap().espeak(), None);
        assert_eq!(voice("").unwrap().inference, Inference::default());
    }

    #[test]
    fn a_file_that_describes_no_voice_is_refused() {
        for (more, word) in [
            (r#","phoneme_type":"pinyin""#, "pinyin"),
            (r#","inference":{"length_scale":0.0}"#, "inference"),
            (r#","speaker_id_map":{"a":7}"#, "speakers"),
            (r#","num_speakers":"two""#, "u32"),
        ] {
            let error = voice(more).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let error = Voice::read(Path::new("/nowhere/voice.json")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/voice.json") && error.contains("two files"), "{error}");
    }
}
