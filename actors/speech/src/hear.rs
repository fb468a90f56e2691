//! How do thirty seconds of sound become text? One call of the model.

use std::collections::BTreeMap;
use std::time::Duration;

use megabrain_schemas::{Fault, Segment, Word};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperSegment, WhisperState, WhisperToken};

use crate::abort::{self, Overseer, Stop};
use crate::language::Languages;
use crate::part::Part;
use crate::resample::SAMPLE_RATE;
use crate::words::{self, Spoken, Token};

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
    /// Where the last segment ends, in samples of the stretch.
    pub(crate) end: usize,
    /// Tokens of text, and the time that the model took.
    pub(crate) tokens: usize,
    pub(crate) took: Duration,
}

/// When in the whole sound is what was heard in a stretch of it?
pub(crate) trait Clock {
    /// When some samples of the stretch are, from the first to past the last, in milliseconds.
    fn span_ms(&self, begin: usize, end: usize) -> (f64, f64);

    /// When a segment of these samples is.
    fn segment_ms(&self, begin: usize, end: usize) -> (f64, f64) {
        self.span_ms(begin, end)
    }

    /// Where in the stretch something was left out, in samples, in order: what was said before and what was said after
    /// are two segments.
    fn joints(&self) -> Vec<usize> {
        Vec::new()
    }
}

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
        clock: &dyn Clock,
    ) -> Result<Heard, Stop> {
        let mut parameters = self.parameters(wish.language);
        parameters.set_translate(wish.translate);
        let joints: Vec<i64> = clock.joints().into_iter().map(hundredths).collect();
        parameters.set_token_timestamps(wish.words || !joints.is_empty());
        abort::full(&mut self.state, parameters, samples, overseer)?;
        let language = wish.language.or_else(|| self.languages.by_id(self.state.full_lang_id_from_state()));
        let mut heard = Heard { language, ..Heard::default() };
        // What is written is English if it was translated.
        let written = if wish.translate { "en" } else { language.unwrap_or("en") };
        let place = Place { length: samples.len(), clock };
        for segment in self.state.as_iter() {
            let text = segment.to_str_lossy().map_err(|error| Fault::engine(error.to_string()))?;
            heard.end = place.sample(segment.end_timestamp());
            let (tokens, confidence) = self.probability(&segment);
            heard.tokens += tokens;
            if text.trim().is_empty() || text.trim() == NOTHING_SAID {
                continue;
            }
            heard.text.push_str(&text);
            let whole = Part {
                begin: segment.start_timestamp(),
                end: segment.end_timestamp(),
                text: text.trim().to_owned(),
                confidence,
                words: self.words(&segment, written),
            };
            let parts = whole.at_joints(&joints, written);
            heard.segments.extend(parts.into_iter().map(|part| place.segment(part, wish.words)));
        }
        one_after_another(&mut heard.segments);
        Ok(heard)
    }

    /// How many tokens of text a segment has, and their mean probability.
    fn probability(&self, segment: &WhisperSegment<'_>) -> (usize, Option<f32>) {
        let probabilities: Vec<f32> = self.tokens(segment).map(|token| token.token_probability()).collect();
        let count = probabilities.len();
        (count, (count > 0).then(|| probabilities.iter().sum::<f32>() / count as f32))
    }

    fn words(&self, segment: &WhisperSegment<'_>, written: &str) -> Vec<Spoken> {
        let tokens = self.tokens(segment).filter_map(|token| {
            let data = token.token_data();
            let bytes = token.to_bytes().ok()?;
            Some(Token { bytes, begin: data.t0, end: data.t1, probability: data.p })
        });
        words::group(tokens, written)
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

/// Ends each segment no later than the next begins.
fn one_after_another(segments: &mut [Segment]) {
    let mut next = f64::INFINITY;
    for segment in segments.iter_mut().rev() {
        segment.t1_ms = segment.t1_ms.min(next).max(segment.t0_ms);
        next = segment.t0_ms;
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
    clock: &'a dyn Clock,
}

impl Place<'_> {
    /// Samples of the stretch. Whisper counts hundredths from its start, and past its end, as it hears every stretch filled
    /// up with silence.
    fn sample(&self, hundredths: i64) -> usize {
        let hundredths = usize::try_from(hundredths).unwrap_or_default();
        hundredths.saturating_mul(SAMPLE_RATE / 100).min(self.length)
    }

    fn segment(&self, part: Part, with_words: bool) -> Segment {
        let (t0_ms, t1_ms) = self.clock.segment_ms(self.sample(part.begin), self.sample(part.end.max(part.begin)));
        let word = |spoken: Spoken| {
            let (begin, end) = (self.sample(spoken.begin), self.sample(spoken.end.max(spoken.begin)));
            let (t0_ms, t1_ms) = self.clock.span_ms(begin, end);
            Word { t0_ms, t1_ms, text: spoken.text, confidence: spoken.confidence }
        };
        let words = if with_words { part.words.into_iter().map(word).collect() } else { Vec::new() };
        let mut segment = Segment { t0_ms, t1_ms, text: part.text, confidence: part.confidence, words };
        keep_within(&mut segment);
        segment
    }
}

/// As Whisper counts.
fn hundredths(sample: usize) -> i64 {
    i64::try_from(sample / (SAMPLE_RATE / 100)).unwrap_or(i64::MAX)
}
