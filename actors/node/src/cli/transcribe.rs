//! `megabrain transcribe`: what is said in a file, and when?

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_schemas::{Capability, Codec, Name, Segment, TranscribeReply, TranscribeRequest};

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

pub(crate) async fn run(args: TranscribeArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let bus = session::connect(globals).await?;
    session::until_interrupted(&bus, transcribe(&bus, &args, globals.json)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn transcribe(bus: &Bus, args: &TranscribeArgs, is_json: bool) -> anyhow::Result<()> {
    let loaded = media::load(bus, std::slice::from_ref(&args.file)).await?;
    let Some(audio) = loaded.into_iter().next() else { return Ok(()) };
    let target = args.model.clone().map_or(Target::Router, Target::Model);
    let request = TranscribeRequest {
        model: None,
        audio,
        language: args.language.clone(),
        stream: !args.no_stream,
        deadline_ms: None,
        work: None,
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
            reply.segments.iter().try_for_each(|segment| output::line(segment_line(segment)))?;
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
            Frame::Part(_, part) => output::line(segment_line(&part.segment))?,
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

/// A stretch of speech with its times, on one line.
pub(crate) fn segment_line(segment: &Segment) -> String {
    let span = format::span(Some(segment.t0_ms), Some(segment.t1_ms));
    format!("[{span}] {}", format::harmless(segment.text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_one_line_with_its_times() {
        let segment = Segment { t0_ms: 0.0, t1_ms: 3200.0, text: " And so.".into(), confidence: None };
        assert_eq!(segment_line(&segment), "[00:00.0-00:03.2] And so.");
    }
}
