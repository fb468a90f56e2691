//! How does one request become one answer?

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use megabrain_runtime::{Interrupt, Job};
use megabrain_schemas::{Fault, FaultKind, LiveSound, TextFormat, TranscribeFrame, TranscribeReply, TranscribeRequest};

use crate::abort::Stop;
use crate::condense::Condensed;
use crate::decode::decode;
use crate::desk::Desk;
use crate::ears::Ears;
use crate::engine::Shared;
use crate::hear::Wish;
use crate::inbox::Inbox;
use crate::live::{LiveTask, follow};
use crate::transcribe::{Task, Transcript, transcribe};

/// Fetches, decodes and transcribes, one job at a time.
pub(crate) struct Worker {
    desk: Arc<Desk>,
    shared: Arc<Shared>,
}

/// What a job wants.
struct Order {
    wish: Wish,
    format: TextFormat,
    sound: Sound,
}

/// Where its sound is.
enum Sound {
    /// Here; segments are sent as they are ready if `is_stream`.
    Whole { sound: Condensed, is_stream: bool, is_patient: bool },
    /// It is to come.
    Live(LiveSound),
}

impl Worker {
    pub(crate) fn new(desk: Arc<Desk>, shared: Arc<Shared>) -> Self {
        Self { desk, shared }
    }

    /// Works on a job until it is answered.
    pub(crate) fn work(&mut self, job: Job) {
        let interrupt = job.interrupt_handle();
        let order = match self.read(&job, &interrupt) {
            Ok(order) => order,
            Err(stop) => return end(job, stop),
        };
        let outcome = match &order.sound {
            Sound::Whole { sound, is_stream, is_patient } => {
                self.desk.put(job);
                self.transcribe(sound, order.wish, *is_stream, *is_patient, &interrupt)
            }
            Sound::Live(live) => self.follow(job, live, order.wish, &interrupt),
        };
        // Gone from the desk, it is answered already.
        let Some(job) = self.desk.take() else { return };
        match outcome {
            Ok((transcript, length)) => {
                let language = transcript.language.or(self.shared.languages.only()).unwrap_or("en");
                let text = transcript.text.trim().to_owned();
                let queued_ms = job.queued_ms();
                job.answer(&TranscribeReply {
                    text: order.format.render(text, &transcript.segments),
                    language: language.to_owned(),
                    duration_ms: milliseconds(length),
                    segments: transcript.segments,
                    queued_ms,
                });
            }
            Err(stop) => end(job, stop),
        }
    }

    /// Everything but the model's part.
    fn read(&self, job: &Job, interrupt: &Interrupt) -> Result<Order, Stop> {
        let request = job.request::<TranscribeRequest>()?;
        // What can be refused is refused before anything is fetched.
        let asked = self.shared.languages.choose(request.language.as_deref())?;
        self.shared.languages.check_translate(request.translate)?;
        let language = asked.or(self.shared.language);
        // Subtitles are cut between words.
        let has_words = request.words || request.format != TextFormat::Text;
        let wish = Wish { language, translate: request.translate, words: has_words };
        let sound = match request.live {
            Some(live) => Sound::Live(live),
            None => {
                let bytes = job.media(&request.audio, "audio")?;
                let samples = decode(&bytes, &self.shared.limits, &|| interrupt.is_due())?;
                let sound = if self.shared.skips_silence {
                    Condensed::of(samples, &|| interrupt.is_due())?
                } else {
                    Condensed::whole(samples)
                };
                Sound::Whole { sound, is_stream: request.stream, is_patient: job.is_patient() }
            }
        };
        Ok(Order { wish, format: request.format, sound })
    }

    fn transcribe(
        &self,
        sound: &Condensed,
        wish: Wish,
        is_stream: bool,
        is_patient: bool,
        interrupt: &Interrupt,
    ) -> Result<(Transcript, Duration), Stop> {
        let task = Task {
            sound,
            wish,
            limits: &self.shared.limits,
            pool: &self.shared.pool,
            cores: &self.shared.cores,
            is_due: &|| interrupt.is_due(),
            is_patient,
        };
        let transcript = transcribe(&task, &mut |segment| {
            if is_stream {
                self.desk.with(|job| job.frame(&TranscribeFrame::of(segment.clone())));
            }
        })?;
        self.note_rate(&transcript);
        Ok((transcript, sound.length()))
    }

    /// Leaves the job on the desk, however it ends.
    fn follow(
        &self,
        job: Job,
        live: &LiveSound,
        wish: Wish,
        interrupt: &Interrupt,
    ) -> Result<(Transcript, Duration), Stop> {
        let inbox = Arc::new(Inbox::new(live.rate));
        let heard = inbox.clone();
        let listening = job.listen(move |message| heard.put(message));
        self.desk.put(job);
        let listening = listening?;
        let ears = Ears::new(live, inbox, &self.shared.limits)?;
        let publish_to = Some(listening.subject().to_owned());
        self.desk.with(|job| job.frame(&TranscribeFrame { publish_to, ..TranscribeFrame::default() }));
        let task =
            LiveTask { wish, pool: &self.shared.pool, cores: &self.shared.cores, is_due: &|| interrupt.is_due() };
        let (transcript, length) = follow(&task, ears, &mut |frame| self.desk.with(|job| job.frame(&frame)))?;
        self.note_rate(&transcript);
        Ok((transcript, length))
    }

    fn note_rate(&self, transcript: &Transcript) {
        let rate = transcript.tokens as f32 / transcript.took.as_secs_f32().max(f32::EPSILON);
        self.shared.tokens_per_second.store(rate.to_bits(), Ordering::Relaxed);
        self.shared.tokens.fetch_add(transcript.tokens as u64, Ordering::Relaxed);
        self.shared.waker.wake();
    }
}

/// Answers a job that comes to no text.
fn end(job: Job, stop: Stop) {
    let fault = match stop {
        Stop::Fault(fault) => fault,
        Stop::Interrupted => job.interruption().unwrap_or_else(|| Fault::new(FaultKind::Cancelled, "cancelled")),
    };
    job.fail(fault);
}

/// As results are written: with a fraction, to the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
