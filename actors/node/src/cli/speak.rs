//! `megabrain speak`: how does a text sound?

use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_schemas::{AudioFormat, Capability, Codec, Media, Name, SpeakReply, SpeakRequest};

use crate::cli::ask::ended_early;
use crate::cli::render::{self, BytesAs};
use crate::cli::transcribe::segment_line;
use crate::cli::{Globals, Usage, format, output, session};

/// The largest speech that is fetched by reference: some hours.
const MAX_SPEECH: usize = 1 << 30;

/// Read a text out, into a file.
///
/// Sentences are printed with their times as soon as they are spoken; the file is written at the end. Without --out the
/// sound goes to standard output, for a player or another program.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain speak \"Berth 42 is yours on Friday.\" --out berth.wav\n  \
    megabrain speak - --out story.opus < story.txt\n  \
    megabrain speak \"Slowly, please.\" --speed 0.7 --format flac > slowly.flac\n  \
    megabrain speak \"Hello\" | aplay\n\n\
A voice with several speakers takes the name of one: --voice p225. A wrong name is answered with those there are.")]
pub struct SpeakArgs {
    /// The text; `-` reads standard input
    text: String,
    /// Where the sound goes [default: standard output, if it is no terminal]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Which model speaks [default: whom the router picks]
    #[arg(short, long, value_name = "NAME")]
    model: Option<Name>,
    /// Which of the model's voices [default: its own]
    #[arg(long, value_name = "NAME")]
    voice: Option<String>,
    /// 2 is twice as fast; 0.25 to 4 [default: the voice's own]
    #[arg(long, value_name = "TIMES")]
    speed: Option<f32>,
    /// What is written [default: as FILE is called, else wav]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Time for everything: 30s, 2m [default: the brain's]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// A work id of your own, to cancel by
    #[arg(long, value_name = "ID")]
    work: Option<Name>,
}

/// What speech is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// 16-bit PCM
    Wav,
    /// Half as large, nothing lost
    Flac,
    /// In Ogg: a tenth as large
    #[value(alias = "ogg")]
    Opus,
}

pub(crate) async fn run(args: SpeakArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    if args.out.is_none() && !globals.json && stdout().is_terminal() {
        return Err(Usage("a terminal shows no sound: name a file with --out, or pipe it into a player".into()).into());
    }
    args.out.as_deref().map_or(Ok(()), output::check_folder_of)?;
    let request = SpeakRequest {
        text: session::text_or_stdin(args.text.clone()).await?,
        voice: args.voice.clone(),
        speed: args.speed,
        format: audio_format(args.format, args.out.as_deref())?,
        // Nobody would see the sentences come.
        stream: args.out.is_some(),
    };
    let bus = session::connect(globals).await?;
    session::until_interrupted(&bus, speak(&bus, &args, &request, globals.json)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn speak(bus: &Bus, args: &SpeakArgs, request: &SpeakRequest, is_json: bool) -> anyhow::Result<()> {
    let target = args.model.clone().map_or(Target::Router, Target::Model);
    let call = session::call(args.work.clone(), args.deadline);
    let began = Instant::now();
    let Some(out) = &args.out else {
        if is_json {
            let subject = target.subject(&Capability::of::<SpeakRequest>());
            let body = bus.call_raw(&subject, Codec::MessagePack.encode(request)?.into(), &call.meta).await?;
            return Ok(output::line(render::body(&body, BytesAs::Base64))?);
        }
        let reply = bus.call(&target, request, call).await?;
        stdout().lock().write_all(&sound(bus, &reply.audio).await?)?;
        return Ok(stdout().lock().flush()?);
    };
    let reply = stream(bus, &target, request, call, is_json).await?;
    let bytes = sound(bus, &reply.audio).await?;
    tokio::fs::write(out, &bytes).await.with_context(|| out.display().to_string())?;
    if !is_json {
        let took = format::took(began.elapsed().as_secs_f64() * 1000.0);
        let (length, size) = (format::took(reply.duration_ms), format::size(bytes.len() as u64));
        eprintln!("{length} of speech in {took}: {}, {size}", out.display());
    }
    Ok(())
}

/// Tells sentences as they come. In JSON the sound itself is left out: it goes into the file.
async fn stream(
    bus: &Bus,
    target: &Target,
    request: &SpeakRequest,
    call: Call,
    is_json: bool,
) -> anyhow::Result<SpeakReply> {
    let mut stream = bus.stream(target, request, call).await?;
    while let Some(frame) = stream.next::<SpeakRequest>().await {
        let (stamp, reply) = match frame? {
            Frame::Part(stamp, reply) | Frame::End(stamp, reply) => (stamp, reply),
        };
        if is_json {
            output::line(render::stamped(&stamp, &without_sound(&reply)))?;
        } else if !stamp.done {
            reply.segments.iter().try_for_each(|segment| output::line(segment_line(segment)))?;
        }
        if stamp.done {
            return Ok(reply);
        }
    }
    Err(ended_early().into())
}

fn without_sound(reply: &SpeakReply) -> SpeakReply {
    SpeakReply { audio: Media { data: None, ..reply.audio.clone() }, ..reply.clone() }
}

async fn sound(bus: &Bus, audio: &Media) -> anyhow::Result<Bytes> {
    match (&audio.data, &audio.blob) {
        (Some(data), _) => Ok(data.0.clone().into()),
        (None, Some(blob)) => Ok(bus.blob_store().await?.get(blob, MAX_SPEECH).await?),
        (None, None) => Err(anyhow::anyhow!("the answer has no sound in it")),
    }
}

/// The format that is asked for, else the one that the file is called after.
///
/// # Errors
/// The file is called after a format that speech is not written in.
fn audio_format(asked: Option<Format>, out: Option<&Path>) -> Result<AudioFormat, Usage> {
    let extension = out.and_then(Path::extension).and_then(|extension| extension.to_str());
    let of_file = |extension| {
        let unknown =
            |_| Usage(format!("speech is written as wav, flac or opus, not as {extension}: --format chooses one"));
        Format::from_str(extension, true).map_err(unknown)
    };
    let format = asked.map(Ok).or_else(|| extension.map(of_file)).transpose()?;
    Ok(match format {
        Some(Format::Flac) => AudioFormat::Flac,
        Some(Format::Opus) => AudioFormat::Opus,
        Some(Format::Wav) | None => AudioFormat::Wav,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_told_by_the_files_name_unless_it_is_asked_for() {
        let told = |asked, out: &str| audio_format(asked, Some(Path::new(out))).unwrap();
        assert_eq!(told(None, "a.FLAC"), AudioFormat::Flac);
        assert_eq!(told(None, "a.ogg"), AudioFormat::Opus);
        assert_eq!(told(None, "a.opus"), AudioFormat::Opus);
        assert_eq!(told(None, "a"), AudioFormat::Wav);
        assert_eq!(told(Some(Format::Wav), "a.flac"), AudioFormat::Wav);
        assert_eq!(told(Some(Format::Flac), "a.mp3"), AudioFormat::Flac);
        assert_eq!(audio_format(None, None).unwrap(), AudioFormat::Wav);
    }

    #[test]
    fn a_file_is_not_called_after_a_format_that_it_does_not_have() {
        let refused = audio_format(None, Some(Path::new("a.mp3"))).unwrap_err();
        assert!(refused.to_string().contains("not as mp3"), "{refused}");
    }

    #[test]
    fn a_line_of_json_does_not_hold_the_sound() {
        let reply = SpeakReply { audio: Media::inline("audio/wav", vec![1]), duration_ms: 1.0, segments: vec![] };
        let told = without_sound(&reply);
        assert_eq!((told.audio.mime.as_deref(), told.audio.data), (Some("audio/wav"), None));
    }
}
