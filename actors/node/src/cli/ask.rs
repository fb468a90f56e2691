//! `megabrain ask`: how does a person put a question to the whole brain, and watch it think?

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_schemas::{Ask, AskReply, Codec, Fault, Name, Need, NeedWord, Policy};

use crate::cli::ask_live::LiveView;
use crate::cli::ask_plain::PlainView;
use crate::cli::media::{self, Source};
use crate::cli::render::{self, BytesAs};
use crate::cli::{Globals, Usage, ask_summary, output, session, timeline};

/// Ask the brain, with sound, pictures, film or whatever else its models take attached.
///
/// Each attachment goes to a model that takes its kind; what these find is put, with the question, to the models that
/// answer. Without TEXT, what is heard in the attachments is the question. Ctrl-C cancels everywhere.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain ask \"What is a mixture of experts?\"\n  \
    megabrain ask \"What does she ask for?\" --attach talk.mp3\n  \
    megabrain ask --attach question.wav --models deep,fast --policy all\n  \
    megabrain ask \"What is shown while she says goodbye?\" --attach film.mp4 --timeline film.svg\n  \
    megabrain ask --attach meeting.m4a --none --json | jq -r .text\n  \
    echo \"Name a colour.\" | megabrain ask - --json --no-stream")]
pub struct AskArgs {
    /// The question; `-` reads standard input
    text: Option<String>,
    /// Sound, picture, film, document; repeat for several. TYPE=FILE where the extension does not tell
    #[arg(short, long, value_name = "[TYPE=]FILE")]
    attach: Vec<Source>,
    /// Who answers, in this order [default: the brain's own]
    #[arg(short, long, value_name = "NAMES", value_delimiter = ',')]
    models: Vec<Name>,
    /// Nobody answers: what is found in the attachments is the answer
    #[arg(long, conflicts_with = "models")]
    none: bool,
    /// One answer, or one of each model
    #[arg(long, value_enum, default_value_t)]
    policy: WhoAnswers,
    /// How many attachments must yield something: all, any or a number
    #[arg(long, value_name = "N", value_parser = need)]
    need: Option<Need>,
    /// Time for everything: 30s, 2m [default: the brain's]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// Pictures to take of each film at most [default: the brain's]
    #[arg(long, value_name = "N")]
    frames: Option<u32>,
    /// The longest answer of one model, in tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// Randomness, 0 to 2; 0 always takes the likeliest word
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Seed of the randomness
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// Questions of one session go to the same instance where that helps
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// A work id of your own, to cancel by: `megabrain pub mb.v1.cancel.ID {}`
    #[arg(long, value_name = "ID")]
    work: Option<Name>,
    /// Draw what was heard and seen when, for a browser
    #[arg(long, value_name = "FILE.svg", conflicts_with = "json")]
    timeline: Option<PathBuf>,
    /// Wait for the whole answer
    #[arg(long)]
    no_stream: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum WhoAnswers {
    /// The first model; the next one where it fails
    #[default]
    First,
    /// Every model, side by side
    All,
}

fn need(text: &str) -> Result<Need, String> {
    match text {
        "all" => Ok(Need::Word(NeedWord::All)),
        "any" => Ok(Need::Word(NeedWord::Any)),
        number => number.parse().map(Need::Count).map_err(|_| "expected all, any or a number".to_owned()),
    }
}

impl AskArgs {
    fn question(&self, text: Option<String>) -> Ask {
        let models =
            if self.none { Some(Vec::new()) } else { Some(self.models.clone()).filter(|names| !names.is_empty()) };
        Ask {
            text,
            models,
            policy: match self.policy {
                WhoAnswers::First => Policy::First,
                WhoAnswers::All => Policy::All,
            },
            need: self.need,
            stream: !self.no_stream,
            frames: self.frames,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            seed: self.seed,
            session: self.session.clone(),
            ..Ask::default()
        }
    }
}

pub(crate) async fn run(args: AskArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    args.timeline.as_deref().map_or(Ok(()), output::check_folder_of)?;
    if args.text.is_none() && args.attach.is_empty() {
        return Err(Usage("nothing to ask: give a question, an attachment, or both".into()).into());
    }
    let text = match args.text.clone() {
        Some(text) => Some(session::text_or_stdin(text).await?),
        None => None,
    };
    let bus = session::connect(globals).await?;
    let asking = async {
        let attachments = media::load(&bus, &args.attach).await?;
        let ask = Ask { attachments, ..args.question(text) };
        let call = session::call(args.work.clone(), args.deadline);
        if globals.json {
            return ask_as_json(&bus, &ask, call).await;
        }
        let titles: Vec<String> = args.attach.iter().map(Source::title).collect();
        let reply = show(&bus, &ask, call, &titles).await.map_err(|error| match error.downcast::<Fault>() {
            Ok(fault) => media::name_files(fault, &args.attach, &["attachments[#]", "attachment #"]).into(),
            Err(error) => error,
        })?;
        args.timeline.as_ref().map_or(Ok(()), |path| timeline::write(path, &reply.evidence, &titles))
    };
    session::until_interrupted(&bus, asking).await?;
    Ok(ExitCode::SUCCESS)
}

/// Asks, shows on standard output who works on what and what they say while they do, then the evidence and what each
/// leg took; gives the whole answer. On a terminal the view is live; elsewhere it is lines. Ctrl-C cancels on the bus.
/// `titles` are what the attachments are called.
///
/// # Errors
/// The fault that the brain answers; [`Interrupted`](crate::cli::Interrupted); standard output cannot be written.
pub async fn ask_and_show(bus: &Bus, ask: Ask, titles: &[String]) -> anyhow::Result<AskReply> {
    session::until_interrupted(bus, show(bus, &ask, session::call(None, None), titles)).await
}

async fn show(bus: &Bus, ask: &Ask, call: Call, titles: &[String]) -> anyhow::Result<AskReply> {
    let is_terminal = output::terminal().is_some();
    let reply = match (ask.stream, is_terminal) {
        (false, _) => bus.call(&Target::Router, ask, call).await?,
        (true, true) => {
            let mut view = LiveView::new(titles);
            watch(bus, ask, call, |event| {
                view.note(&event);
                Ok(())
            })
            .await?
            // Dropping the view clears it: the summary takes its place.
        }
        (true, false) => {
            let mut view = PlainView::new(titles, output::line);
            let reply = watch(bus, ask, call, |event| view.note(&event)).await?;
            view.finish()?;
            reply
        }
    };
    let answers_shown = ask.stream && !is_terminal;
    ask_summary::print(&reply, titles, answers_shown)?;
    Ok(reply)
}

/// Reads a stream to its end, giving every frame to `note`.
async fn watch(
    bus: &Bus,
    ask: &Ask,
    call: Call,
    mut note: impl FnMut(megabrain_schemas::AskFrame) -> std::io::Result<()>,
) -> anyhow::Result<AskReply> {
    let work = call.meta.work.clone();
    let mut stream = bus.stream(&Target::Router, ask, call).await?;
    while let Some(frame) = stream.next::<Ask>().await {
        match frame? {
            Frame::Part(_, frame) => note(frame)?,
            Frame::End(stamp, reply) => {
                return Ok(AskReply { work: reply.work.or(stamp.work).or(Some(work)), ..reply });
            }
        }
    }
    Err(ended_early().into())
}

async fn ask_as_json(bus: &Bus, ask: &Ask, call: Call) -> anyhow::Result<()> {
    let payload = Codec::MessagePack.encode(ask)?.into();
    let subject = megabrain_schemas::subject::ASK;
    if !ask.stream {
        let reply = bus.call_raw(subject, payload, &call.meta).await?;
        return Ok(output::line(render::body(&reply, BytesAs::Base64))?);
    }
    let mut stream = bus.stream_raw(subject, payload, call.meta).await?;
    while let Some(frame) = stream.next_raw().await {
        let (stamp, body) = frame?;
        output::line(render::body(&body, BytesAs::Base64))?;
        if stamp.done {
            return Ok(());
        }
    }
    Err(ended_early().into())
}

pub(crate) fn ended_early() -> Fault {
    Fault::engine("the stream ended without an end")
}
