//! How do samples become text? Piece by piece, on one state of the model.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use megabrain_schemas::{Fault, Segment};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperSegment, WhisperState};

use crate::abort::{self, IsDue, Stop};
use crate::collect::{Limits, duration};
use crate::cores::Busy;
use crate::cut::pieces;
use crate::language::Languages;

/// What Whisper writes where nobody speaks.
const NOTHING_SAID: &str = "[BLANK_AUDIO]";

/// One state of the model: it transcribes one sound at a time.
pub(crate) struct Transcriber {
    state: WhisperState,
    languages: Languages,
    /// The first token that is not text.
    end_of_text: i32,
    /// Parameters by language (`None`: find out). `set_language` leaks its argument, so it is called once for each.
    parameters: BTreeMap<Option<&'static str>, FullParams<'static, 'static>>,
}

/// What is asked of one transcription.
pub(crate) struct Task<'a> {
    /// Mono, 16 kHz.
    pub(crate) samples: &'a [f32],
    /// The language spoken; `None` if the model has to find out.
    pub(crate) language: Option<&'static str>,
    /// Says what is silence.
    pub(crate) limits: &'a Limits,
    /// Says how many threads to compute on; asked before each piece.
    pub(crate) cores: &'a Busy<'a>,
    /// Says whether to end.
    pub(crate) is_due: IsDue<'a>,
}

/// What was said.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) text: String,
    pub(crate) language: &'static str,
    pub(crate) segments: Vec<Segment>,
    /// Tokens of text, and the time that the model took.
    pub(crate) tokens: usize,
    pub(crate) took: Duration,
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

    /// Transcribes; `emit` is called with each segment as soon as its piece is heard.
    pub(crate) fn transcribe(&mut self, task: &Task<'_>, emit: &mut dyn FnMut(&Segment)) -> Result<Transcript, Stop> {
        let began = Instant::now();
        let mut language = task.language;
        let mut transcript = Transcript {
            text: String::new(),
            language: self.languages.only().unwrap_or("en"),
            segments: Vec::new(),
            tokens: 0,
            took: Duration::ZERO,
        };
        for piece in pieces(task.samples) {
            let samples = task.samples.get(piece.clone()).unwrap_or_default();
            // In silence Whisper hears what is not there.
            if task.limits.is_silent(samples) {
                continue;
            }
            let mut parameters = self.parameters(language);
            parameters.set_n_threads(i32::try_from(task.cores.threads()).unwrap_or(i32::MAX));
            abort::full(&mut self.state, parameters, samples, task.is_due)?;
            language = language.or_else(|| self.languages.by_id(self.state.full_lang_id_from_state()));
            for heard in self.state.as_iter() {
                let text = heard.to_str_lossy().map_err(|error| Fault::engine(error.to_string()))?;
                let (tokens, confidence) = self.probability(&heard);
                transcript.tokens += tokens;
                if text.trim().is_empty() || text.trim() == NOTHING_SAID {
                    continue;
                }
                transcript.text.push_str(&text);
                let segment = Segment {
                    t0_ms: on_the_clock(piece.start, piece.end, heard.start_timestamp()),
                    t1_ms: on_the_clock(piece.start, piece.end, heard.end_timestamp()),
                    text: text.trim().to_owned(),
                    confidence,
                };
                emit(&segment);
                transcript.segments.push(segment);
            }
        }
        transcript.text = transcript.text.trim().to_owned();
        transcript.language = language.unwrap_or(transcript.language);
        transcript.took = began.elapsed();
        Ok(transcript)
    }

    /// How many tokens of text a segment has, and their mean probability.
    fn probability(&self, segment: &WhisperSegment<'_>) -> (usize, Option<f32>) {
        let probabilities: Vec<f32> = (0..segment.n_tokens())
            .filter_map(|index| segment.get_token(index))
            .filter(|token| token.token_id() < self.end_of_text)
            .map(|token| token.token_probability())
            .collect();
        let count = probabilities.len();
        (count, (count > 0).then(|| probabilities.iter().sum::<f32>() / count as f32))
    }

    fn parameters(&mut self, language: Option<&'static str>) -> FullParams<'static, 'static> {
        self.parameters.entry(language).or_insert_with(|| defaults(language)).clone()
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

/// Milliseconds from the start of the whole sound. Whisper counts hundredths from the start of the piece, and past its
/// end, as it hears every piece filled up with silence.
fn on_the_clock(start: usize, end: usize, hundredths: i64) -> f64 {
    let offset = Duration::from_millis(u64::try_from(hundredths).unwrap_or_default().saturating_mul(10));
    let time = (duration(start) + offset).min(duration(end));
    (time.as_secs_f64() * 1000.0).round()
}
