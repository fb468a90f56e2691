//! How do thirty seconds of sound become text? One call of the model.

use std::collections::BTreeMap;
use std::time::Duration;

use megabrain_schemas::{Fault, Segment, Word};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperSegment, WhisperState, WhisperToken};

use crate::abort::{self, Overseer, Stop};
use crate::language::Languages;
use crate::resample::SAMPLE_RATE;
use crate::words::{self, Token};

/// What Whisper writes where nobody speaks.
const NOTHING_SAID: &str = "[BLANK_AUDIO]";

/// One state of the model: it hears one stretch of sound at a time.
pub(crate) struct Transcriber {
    state: WhisperState,
    languages: Languages,
    /// The first token that is not text.
    end_of_text: i32,
    /// Parameters by language (`None`: find out). `set_language` leaks its argument, so it is called once for each.
    parameters: BTreeMap<Option<&'static str>, FullParams<'static, 'static>>,
}

/// How sound is to be written down.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// The language spoken; `None` if the model has to find out.
    pub(crate) language: Option<&'static str>,
    /// In English, whatever is spoken.
    pub(crate) translate: bool,
    /// With the words of each segment.
    pub(crate) words: bool,
}

/// What was heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// All of it, as the model spaces it.
    pub(crate) text: String,
    pub(crate) language: Option<&'static str>,
    pub(crate) segments: Vec<Segment>,
    /// Tokens of text, and the time that the model took.
    pub(crate) tokens: usize,
    pub(crate) took: Duration,
}

/// Tells when in the whole sound some samples of the stretch are, from the first to past the last, in milliseconds.
pub(crate) type Clock<'a> = &'a dyn Fn(usize, usize) -> (f64, f64);

impl Transcriber {
    /// Takes memory for one state of a loaded model.
    pub(crate) fn new(context: &WhisperContext) -> Result<Self, String> {
        Ok(Self {
            state: context.create_state().map_err(|error| error.to_string())?,
            languages: Languages::of(context),
            end_of_text: context.token_eot(),
            parameters: BTreeMap::new(),
        })
    }

    /// Hears a stretch of mono sound at 16 kHz, which is best up to thirty seconds long.
    pub(crate) fn hear(
        &mut self,
        samples: &[f32],
        wish: Wish,
        overseer: &Overseer<'_>,
        clock: Clock<'_>,
    ) -> Result<Heard, Stop> {
        let mut parameters = self.parameters(wish.language);
        parameters.set_translate(wish.translate);
        parameters.set_token_timestamps(wish.words);
        abort::full(&mut self.state, parameters, samples, overseer)?;
        let language = wish.language.or_else(|| self.languages.by_id(self.state.full_lang_id_from_state()));
        let mut heard = Heard { language, ..Heard::default() };
        // What is written is English if it was translated.
        let written = if wish.translate { "en" } else { language.unwrap_or("en") };
        let place = Place { length: samples.len(), clock };
        for segment in self.state.as_iter() {
            let text = segment.to_str_lossy().map_err(|error| Fault::engine(error.to_string()))?;
            let (tokens, confidence) = self.probability(&segment);
            heard.tokens += tokens;
            if text.trim().is_empty() || text.trim() == NOTHING_SAID {
                continue;
            }
            heard.text.push_str(&text);
            let (t0_ms, t1_ms) = place.span(segment.start_timestamp(), segment.end_timestamp());
            let mut whole = Segment { t0_ms, t1_ms, text: text.trim().to_owned(), confidence, words: Vec::new() };
            if wish.words {
                whole.words = self.words(&segment, written, &place);
                keep_within(&mut whole);
            }
            heard.segments.push(whole);
        }
        Ok(heard)
    }

    /// How many tokens of text a segment has, and their mean probability.
    fn probability(&self, segment: &WhisperSegment<'_>) -> (usize, Option<f32>) {
        let probabilities: Vec<f32> = self.tokens(segment).map(|token| token.token_probability()).collect();
        let count = probabilities.len();
        (count, (count > 0).then(|| probabilities.iter().sum::<f32>() / count as f32))
    }

    fn words(&self, segment: &WhisperSegment<'_>, written: &str, place: &Place<'_>) -> Vec<Word> {
        let tokens = self.tokens(segment).filter_map(|token| {
            let data = token.token_data();
            let bytes = token.to_bytes().ok()?;
            Some(Token { bytes, begin: data.t0, end: data.t1, probability: data.p })
        });
        let word = |spoken: words::Spoken| {
            let (t0_ms, t1_ms) = place.span(spoken.begin, spoken.end);
            Word { t0_ms, t1_ms, text: spoken.text, confidence: spoken.confidence }
        };
        words::group(tokens, written).into_iter().map(word).collect()
    }

    /// Those that are text.
    fn tokens<'a>(&self, segment: &'a WhisperSegment<'a>) -> impl Iterator<Item = WhisperToken<'a, 'a>> {
        let end_of_text = self.end_of_text;
        let tokens = (0..segment.n_tokens()).filter_map(move |index| segment.get_token(index));
        tokens.filter(move |token| token.token_id() < end_of_text)
    }

    fn parameters(&mut self, language: Option<&'static str>) -> FullParams<'static, 'static> {
        self.parameters.entry(language).or_insert_with(|| defaults(language)).clone()
    }
}

/// Puts the words of a segment within its times, in order: the model guesses both, each by itself.
fn keep_within(segment: &mut Segment) {
    let mut earliest = segment.t0_ms;
    for word in &mut segment.words {
        word.t0_ms = word.t0_ms.clamp(earliest, segment.t1_ms);
        word.t1_ms = word.t1_ms.clamp(word.t0_ms, segment.t1_ms);
        earliest = word.t0_ms;
    }
}

/// whisper.cpp's own defaults, for sound that is not continued, with nothing printed.
pub(crate) fn defaults(language: Option<&str>) -> FullParams<'_, 'static> {
    let mut parameters = FullParams::new(SamplingStrategy::Greedy { best_of: 5 });
    parameters.set_language(language);
    parameters.set_no_context(true);
    parameters.set_print_progress(false);
    parameters.set_print_realtime(false);
    parameters.set_print_special(false);
    parameters.set_print_timestamps(false);
    parameters
}

/// Puts Whisper's times on the clock of the whole sound.
struct Place<'a> {
    /// Of the stretch, in samples.
    length: usize,
    clock: Clock<'a>,
}

impl Place<'_> {
    /// Milliseconds of the whole sound. Whisper counts hundredths from the start of the stretch, and past its end, as it
    /// hears every stretch filled up with silence.
    fn span(&self, begin: i64, end: i64) -> (f64, f64) {
        let sample = |hundredths: i64| {
            let hundredths = usize::try_from(hundredths).unwrap_or_default();
            hundredths.saturating_mul(SAMPLE_RATE / 100).min(self.length)
        };
        (self.clock)(sample(begin), sample(end.max(begin)))
    }
}
