//! `megabrain chat`: how does a person talk with one model?

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use megabrain_bus::{Bus, Frame, Target};
use megabrain_schemas::{ChatReply, ChatRequest, Codec, Message, Name, Role};
use tokio::sync::mpsc;

use crate::cli::ask::ended_early;
use crate::cli::render::{self, BytesAs};
use crate::cli::{Globals, Interrupted, Usage, fault, format, output, session};

/// Talk with one model.
///
/// Without TEXT, line by line, with what was said before; Ctrl-C ends an answer, Ctrl-D the talk. Without MODEL the
/// router picks one. Tokens per second are printed to standard error at the end.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain chat fast\n  \
    megabrain chat fast \"Write a haiku about memory.\" --max-tokens 64\n  \
    cat report.txt | megabrain chat deep - --system \"Summarise in three sentences.\"")]
pub struct ChatArgs {
    /// Whom to talk with [default: whom the router picks]
    #[arg(value_parser = model)]
    model: Option<Name>,
    /// What to say; `-` reads standard input
    text: Option<String>,
    /// Instructions that stand above the talk
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The longest answer, in tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// Randomness, 0 to 2; 0 always takes the likeliest word
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Keep only the likeliest words whose chances add up to this, 0 to 1
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// Seed of the randomness
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// Text that ends an answer; repeat for several
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Talks of one session go to the same instance where that helps
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Time for one answer: 30s, 2m [default: the brain's]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// Wait for the whole answer
    #[arg(long)]
    no_stream: bool,
}

/// One talk: whom with, and what was said so far.
struct Talk<'a> {
    bus: &'a Bus,
    args: &'a ChatArgs,
    is_json: bool,
    messages: Vec<Message>,
}

pub(crate) async fn run(args: ChatArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let text = match args.text.clone() {
        Some(text) => Some(session::text_or_stdin(text).await?),
        None => None,
    };
    let bus = session::connect(globals).await?;
    let system = args.system.clone().map(|content| Message { role: Role::System, content });
    let mut talk = Talk { bus: &bus, args: &args, is_json: globals.json, messages: system.into_iter().collect() };
    match text {
        Some(text) => talk.say(text).await?,
        None => talk.line_by_line().await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Talk<'_> {
    async fn line_by_line(&mut self) -> anyhow::Result<()> {
        let mut lines = lines_of_stdin();
        loop {
            if output::terminal().is_some() && !self.is_json {
                output::part("> ")?;
            }
            let line = tokio::select! {
                line = lines.recv() => line,
                _ = tokio::signal::ctrl_c() => return Err(Interrupted.into()),
            };
            let Some(line) = line else { return Ok(()) };
            if line.trim().is_empty() {
                continue;
            }
            let before = self.messages.len();
            if let Err(error) = self.say(line).await {
                // The talk goes on without what failed.
                self.messages.truncate(before);
                fault::report(&error, self.is_json);
            }
        }
    }

    /// Says one thing and shows the answer.
    async fn say(&mut self, text: String) -> anyhow::Result<()> {
        self.messages.push(Message::user(text));
        let answer = session::until_interrupted(self.bus, self.answer()).await;
        if answer.as_ref().is_err_and(anyhow::Error::is::<Interrupted>) && !self.is_json {
            output::line("")?;
        }
        self.messages.push(Message::assistant(answer?));
        Ok(())
    }

    async fn answer(&self) -> anyhow::Result<String> {
        let target = self.args.model.clone().map_or(Target::Router, Target::Model);
        let request = self.request();
        let call = session::call(None, self.args.deadline);
        if !request.stream {
            let subject = target.subject(&megabrain_schemas::Capability::of::<ChatRequest>());
            let body = self.bus.call_raw(&subject, Codec::MessagePack.encode(&request)?.into(), &call.meta).await?;
            let reply: ChatReply = Codec::MessagePack.decode(&body).map_err(unreadable)?;
            let text = reply.message.as_ref().map(|message| message.content.clone()).unwrap_or_default();
            output::line(if self.is_json { render::body(&body, BytesAs::Base64) } else { format::harmless(&text) })?;
            self.tell_speed(&reply);
            return Ok(text);
        }
        let mut stream = self.bus.stream(&target, &request, call).await?;
        let mut text = String::new();
        while let Some(frame) = stream.next::<ChatRequest>().await {
            let frame = frame.inspect_err(|_| self.end_line(&text))?;
            match frame {
                Frame::Part(stamp, part) => {
                    if self.is_json {
                        output::line(render::stamped(&stamp, &part))?;
                    } else {
                        output::part(format::harmless(&part.delta))?;
                    }
                    text.push_str(&part.delta);
                }
                Frame::End(stamp, reply) => {
                    output::line(if self.is_json { render::stamped(&stamp, &reply) } else { String::new() })?;
                    self.tell_speed(&reply);
                    return Ok(text);
                }
            }
        }
        self.end_line(&text);
        Err(ended_early().into())
    }

    /// An answer that breaks off leaves its line open: what is told next begins a new one.
    fn end_line(&self, text: &str) {
        if !self.is_json && !text.is_empty() {
            // Whoever reads may have gone, and the fault is told all the same.
            let _ = output::line("");
        }
    }

    fn request(&self) -> ChatRequest {
        ChatRequest {
            model: None,
            messages: self.messages.clone(),
            max_tokens: self.args.max_tokens,
            temperature: self.args.temperature,
            top_p: self.args.top_p,
            seed: self.args.seed,
            stop: self.args.stop.clone(),
            stream: !self.args.no_stream,
            session: self.args.session.clone(),
            ..ChatRequest::default()
        }
    }

    fn tell_speed(&self, reply: &ChatReply) {
        if !self.is_json {
            eprintln!("{}", speed(reply));
        }
    }
}

/// The name of a model; what is none was most likely meant to be said.
fn model(text: &str) -> Result<Name, Usage> {
    let first =
        |_| Usage(format!("this is no model's name, which comes before the text: megabrain chat fast {text:?}"));
    Name::new(text).map_err(first)
}

/// Tokens per second of writing: reading the prompt is told apart, as the time to the first token.
fn speed(reply: &ChatReply) -> String {
    let ChatReply { usage, timings, .. } = reply;
    let tokens = usage.completion_tokens;
    let writing = (timings.total_ms - timings.first_token_ms) / 1000.0;
    let rate = match tokens.checked_sub(1) {
        Some(after_first @ 1..) if writing > 0.0 => format!(", {:.1} tok/s", f64::from(after_first) / writing),
        _ => String::new(),
    };
    format!(
        "{tokens} tokens in {}{rate}, the first after {}",
        format::took(timings.total_ms),
        format::took(timings.first_token_ms)
    )
}

fn unreadable(error: megabrain_schemas::DecodeError) -> megabrain_schemas::Fault {
    megabrain_schemas::Fault::engine(format!("the answer cannot be read: {error}"))
}

/// Lines of standard input, read on a thread that ends with the process: a runtime waits for its own blocked threads.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{FinishReason, Timings, Usage};

    use super::*;

    #[test]
    fn a_text_without_a_model_is_told_where_the_model_goes() {
        assert_eq!(model("fast").unwrap(), Name::new("fast").unwrap());
        assert!(model("Hello there").unwrap_err().to_string().contains("megabrain chat fast \"Hello there\""));
    }

    #[test]
    fn speed_is_what_the_tokens_after_the_first_took() {
        let mut reply = ChatReply {
            message: None,
            finish_reason: FinishReason::Stop,
            usage: Usage { prompt_tokens: 5, completion_tokens: 65 },
            timings: Timings { queued_ms: 0.0, prompt_ms: 80.0, first_token_ms: 85.0, total_ms: 725.0 },
        };
        assert_eq!(speed(&reply), "65 tokens in 725 ms, 100.0 tok/s, the first after 85 ms");
        reply.usage.completion_tokens = 1;
        assert_eq!(speed(&reply), "1 tokens in 725 ms, the first after 85 ms");
    }
}
