//! `megabrain transcribe`: what is said in a file, and when?

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_schemas::{Capability, Codec, Name, Segment, TextFormat, TranscribeReply, TranscribeRequest};

use crate::cli::ask::ended_early;
use crate::cli::media::{self, Source};
use crate::cli::render::{self, BytesAs};
use crate::cli::{Globals, format, output, session};

/// Write down what is said in a file.
///
/// Segments are printed with their times as soon as they are ready. Takes wav, mp3, m4a, flac, ogg and webm, any rate,
/// any number of channels; large files travel by reference.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain transcribe talk.mp3\n  \
    megabrain transcribe interview.m4a --language de --model whisper\n  \
    megabrain transcribe talk.mp3 --format srt > talk.srt\n  \
    megabrain transcribe talk.mp3 --no-stream --json | jq -r .text")]
pub struct TranscribeArgs {
    /// The sound. TYPE=FILE where the extension does not tell
    #[arg(value_name = "[TYPE=]FILE")]
    file: Source,
    /// Who listens [default: whom the router picks]
    #[arg(short, long, value_name = "NAME")]
    model: Option<Name>,
    /// The language spoken, as `en` [default: the model finds out, if it can]
    #[arg(short, long, value_name = "CODE")]
    language: Option<String>,
    /// Write it down in English, whatever is spoken; takes a multilingual model
    #[arg(long)]
    translate: bool,
    /// A line a word instead of a line a segment; in JSON, each segment's words
    #[arg(long)]
    words: bool,
    /// The whole at the end, as this [default: each segment with its times as soon as it is ready]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Time for everything: 30s, 2m [default: the brain's]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// A work id of your own, to cancel by
    #[arg(long, value_name = "ID")]
    work: Option<Name>,
    /// Wait for the whole text
    #[arg(long)]
    no_stream: bool,
}

/// What a transcript is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What is said and nothing else
    Text,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// The whole answer, as --no-stream --json
    Json,
}

impl Format {
    fn of_text(self) -> TextFormat {
        match self {
            Self::Srt => TextFormat::Srt,
            Self::Vtt => TextFormat::Vtt,
            Self::Text | Self::Json => TextFormat::Text,
        }
    }
}

pub(crate) async fn run(args: TranscribeArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let bus = session::connect(globals).await?;
    let is_json = globals.json || args.format == Some(Format::Json);
    session::until_interrupted(&bus, transcribe(&bus, &args, is_json)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn transcribe(bus: &Bus, args: &TranscribeArgs, is_json: bool) -> anyhow::Result<()> {
    let loaded = media::load(bus, std::slice::from_ref(&args.file)).await?;
    let Some(audio) = loaded.into_iter().next() else { return Ok(()) };
    let target = args.model.clone().map_or(Target::Router, Target::Model);
    let request = TranscribeRequest {
        audio,
        language: args.language.clone(),
        translate: args.translate,
        words: args.words,
        format: args.format.map(Format::of_text).unwrap_or_default(),
        stream: !args.no_stream && args.format.is_none(),
        ..TranscribeRequest::default()
    };
    let call = session::call(args.work.clone(), args.deadline);
    let began = Instant::now();
    let reply = match (request.stream, is_json) {
        (true, _) => stream(bus, &target, &request, call, is_json).await?,
        (false, true) => {
            let subject = target.subject(&Capability::of::<TranscribeRequest>());
            let body = bus.call_raw(&subject, Codec::MessagePack.encode(&request)?.into(), &call.meta).await?;
            return Ok(output::line(render::body(&body, BytesAs::Base64))?);
        }
        (false, false) => {
            let reply = bus.call(&target, &request, call).await?;
            match args.format {
                Some(_) => output::line(reply.text.trim_end())?,
                None => reply.segments.iter().try_for_each(|segment| output::line(lines(segment)))?,
            }
            reply
        }
    };
    if !is_json {
        let took = format::took(began.elapsed().as_secs_f64() * 1000.0);
        let TranscribeReply { language, duration_ms, .. } = &reply;
        eprintln!("{} of sound ({language}) heard in {took}", format::took(*duration_ms));
    }
    Ok(())
}

async fn stream(
    bus: &Bus,
    target: &Target,
    request: &TranscribeRequest,
    call: Call,
    is_json: bool,
) -> anyhow::Result<TranscribeReply> {
    let mut stream = bus.stream(target, request, call).await?;
    while let Some(frame) = stream.next::<TranscribeRequest>().await {
        match frame? {
            Frame::Part(stamp, part) if is_json => output::line(render::stamped(&stamp, &part))?,
            Frame::Part(_, part) => part.segment.iter().try_for_each(|segment| output::line(lines(segment)))?,
            Frame::End(stamp, reply) => {
                if is_json {
                    output::line(render::stamped(&stamp, &reply))?;
                }
                return Ok(reply);
            }
        }
    }
    Err(ended_early().into())
}

/// A stretch of speech with its times on one line, or if it has its words, those.
fn lines(segment: &Segment) -> String {
    if segment.words.is_empty() {
        return segment_line(segment);
    }
    let words = segment.words.iter().map(|word| line(word.t0_ms, word.t1_ms, &word.text));
    words.collect::<Vec<_>>().join("\n")
}

/// A stretch of speech with its times, on one line.
pub(crate) fn segment_line(segment: &Segment) -> String {
    line(segment.t0_ms, segment.t1_ms, &segment.text)
}

fn line(t0_ms: f64, t1_ms: f64, text: &str) -> String {
    format!("[{}] {}", format::span(Some(t0_ms), Some(t1_ms)), format::harmless(text.trim()))
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::Word;

    use super::*;

    #[test]
    fn a_segment_is_one_line_with_its_times() {
        let segment = Segment { t1_ms: 3200.0, text: " And so.".into(), ..Segment::default() };
        assert_eq!(lines(&segment), "[00:00.0-00:03.2] And so.");
    }

    #[test]
    fn a_segment_with_its_words_is_a_line_a_word() {
        let word = |t0_ms, t1_ms, text: &str| Word { t0_ms, t1_ms, text: text.into(), confidence: 0.9 };
        let words = vec![word(0.0, 400.0, "And"), word(400.0, 3200.0, "so.")];
        let segment = Segment { t1_ms: 3200.0, text: "And so.".into(), words, ..Segment::default() };
        assert_eq!(lines(&segment), "[00:00.0-00:00.4] And\n[00:00.4-00:03.2] so.");
    }
}
