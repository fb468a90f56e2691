//! `megabrain req|pub|sub`: what goes over the bus, without any contract?

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use megabrain_bus::{Bus, RawMessage};
use megabrain_schemas::{Codec, Fault, FaultKind, Name, Stamp};
use tokio::time::Instant;

use crate::cli::render::{self, BytesAs};
use crate::cli::{Globals, Usage, format, output, session};

/// Send a plain NATS request.
///
/// The body goes out as it is; a reply in MessagePack is shown as JSON. A fault goes to standard error, and the exit
/// code is 1.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain req mb.v1.ask '{\"text\":\"Name a colour.\"}'\n  \
    megabrain req mb.v1.chat.fast '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true}' --all\n  \
    megabrain req '$SRV.INFO' --all --timeout 1s")]
pub struct ReqArgs {
    /// Where to
    #[arg(value_parser = subject)]
    subject: String,
    /// What; `-` reads standard input [default: nothing]
    body: Option<String>,
    /// A header; repeat for several
    #[arg(short = 'H', long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// How long to wait for the next message
    #[arg(short, long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Print every message, up to the one that says `"done":true`, or until the time is up
    #[arg(short, long)]
    all: bool,
}

/// Publish a plain NATS message.
///
/// Nobody answers: for events of your own (`user.…`) and for cancels.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain pub user.door '{\"open\":true}'\n  \
    megabrain pub mb.v1.cancel.my-work-id '{}'")]
pub struct PubArgs {
    /// Where to
    #[arg(value_parser = subject)]
    subject: String,
    /// What; `-` reads standard input [default: nothing]
    body: Option<String>,
    /// A header; repeat for several
    #[arg(short = 'H', long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
}

/// Listen to plain NATS messages.
///
/// One line each: its number, its subject, its body. With --json: subject, reply, headers and body.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain sub 'mb.v1.event.presence.*' --count 3\n  \
    megabrain sub 'user.>' --json\n  \
    megabrain sub user.jobs --queue workers")]
pub struct SubArgs {
    /// What to listen to; `*` stands for one token, `>` for the rest
    #[arg(value_parser = pattern)]
    subject: String,
    /// Share the messages with everybody else in this group
    #[arg(short, long, value_name = "GROUP")]
    queue: Option<Name>,
    /// End after so many messages
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

pub(crate) async fn request(args: ReqArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let body = bytes_of(args.body.clone()).await?;
    let bus = session::connect(globals).await?;
    session::until_interrupted(&bus, exchange(&bus, &args, body, bytes_as(globals))).await?;
    Ok(ExitCode::SUCCESS)
}

async fn exchange(bus: &Bus, args: &ReqArgs, body: Bytes, bytes_as: BytesAs) -> anyhow::Result<()> {
    let mut answers = bus.open_plain(&args.subject, &args.header, body).await?;
    check_allowed(bus, &args.subject).await?;
    let mut count = 0_u64;
    // Without an end that is told, the time is up once for all; with frames, between one and the next.
    let mut end = Instant::now() + args.timeout;
    loop {
        let message = match tokio::time::timeout_at(end, answers.next()).await {
            Ok(Some(message)) => message,
            Ok(None) => return Err(Fault::unavailable("the connection to the bus was closed", 1000).into()),
            Err(_) if count > 0 => return Ok(()),
            Err(_) => {
                let wait = humantime::format_duration(args.timeout);
                return Err(Fault::new(
                    FaultKind::DeadlineExceeded,
                    format!("no answer from {} in {wait}", args.subject),
                )
                .into());
            }
        };
        if let Some(fault) = message.fault() {
            return Err(fault.into());
        }
        output::line(render::body(&message.payload, bytes_as))?;
        count += 1;
        let stamp = stamp(&message);
        if !args.all || stamp.done {
            return Ok(());
        }
        if stamp.seq.is_some() {
            end = Instant::now() + args.timeout;
        }
    }
}

pub(crate) async fn publish(args: PubArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let body = bytes_of(args.body).await?;
    let bus = session::connect(globals).await?;
    bus.publish_with_headers(&args.subject, None, &args.header, body).await?;
    check_allowed(&bus, &args.subject).await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn subscribe(args: SubArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let bus = session::connect(globals).await?;
    let listening = async {
        let mut messages = bus.subscribe(&args.subject, args.queue.as_ref()).await?;
        check_allowed(&bus, &args.subject).await?;
        let mut number = 0_u64;
        while let Some(message) = messages.next().await {
            number += 1;
            output::line(if globals.json { as_json(&message) } else { as_line(number, &message) })?;
            if args.count == Some(number) {
                break;
            }
        }
        Ok(())
    };
    session::until_interrupted(&bus, listening).await?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the server whether it refused what was just sent on this subject, which it tells beside the answers.
async fn check_allowed(bus: &Bus, subject: &str) -> Result<(), Fault> {
    match bus.refusal().await {
        Some(refusal) if refusal.contains(subject) => Err(Fault::new(FaultKind::Unauthorized, refusal)),
        _ => Ok(()),
    }
}

fn as_line(number: u64, message: &RawMessage) -> String {
    let body = format::harmless(&render::body(&message.payload, BytesAs::Size));
    let headers: String = message.headers.iter().map(|(name, value)| format!("\n    {name}: {value}")).collect();
    format!("#{number} {} {body}{}", message.subject, format::harmless(&headers))
}

fn as_json(message: &RawMessage) -> String {
    let headers: Vec<[&str; 2]> = message.headers.iter().map(|(name, value)| [name.as_str(), value.as_str()]).collect();
    let body = render::value(&message.payload, BytesAs::Base64);
    serde_json::json!({ "subject": message.subject, "reply": message.reply, "headers": headers, "body": body })
        .to_string()
}

fn stamp(message: &RawMessage) -> Stamp {
    Codec::detect(None, &message.payload).and_then(|codec| codec.decode(&message.payload)).unwrap_or_default()
}

fn bytes_as(globals: &Globals) -> BytesAs {
    if globals.json { BytesAs::Base64 } else { BytesAs::Size }
}

async fn bytes_of(body: Option<String>) -> anyhow::Result<Bytes> {
    match body.as_deref() {
        Some("-") => Ok(session::stdin().await?.into()),
        _ => Ok(body.unwrap_or_default().into()),
    }
}

/// A subject to send to.
fn subject(text: &str) -> Result<String, Usage> {
    match pattern(text)? {
        text if text.split('.').any(|token| token == "*" || token == ">") => {
            Err(Usage("`*` and `>` are for listening: name one subject".into()))
        }
        text => Ok(text),
    }
}

/// A subject to listen to.
fn pattern(text: &str) -> Result<String, Usage> {
    let is_odd = |token: &str| token.is_empty() || token.chars().any(|c| c.is_whitespace() || c.is_control());
    if text.split('.').any(is_odd) {
        return Err(Usage("a subject is tokens with dots between, without blanks: mb.v1.ask".into()));
    }
    Ok(text.to_owned())
}

/// `name=value`, or `name:value` as the `nats` tool has it.
fn header(text: &str) -> Result<(String, String), Usage> {
    match text.split_once(['=', ':']) {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err(Usage("a header is NAME=VALUE".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_with_equals_or_colon() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(header("Megabrain-Work=w1").unwrap(), pair("Megabrain-Work", "w1"));
        assert_eq!(header("traceparent: 00-a=b").unwrap(), pair("traceparent", "00-a=b"));
        assert!(header("nothing").is_err() && header("=x").is_err());
    }

    #[test]
    fn wildcards_are_for_listening() {
        assert!(subject("mb.v1.ask").is_ok() && pattern("user.>").is_ok());
        assert!(subject("user.>").is_err() && subject("a..b").is_err() && pattern("a b").is_err());
    }

    #[test]
    fn a_message_is_one_line_and_its_headers_follow() {
        let message = RawMessage {
            subject: "user.x".into(),
            reply: None,
            headers: vec![("A".into(), "b".into())],
            payload: Bytes::from_static(br#"{"text":"hi"}"#),
            no_responders: false,
        };
        assert_eq!(as_line(1, &message), "#1 user.x {\"text\":\"hi\"}\n    A: b");
        let json: serde_json::Value = serde_json::from_str(&as_json(&message)).unwrap();
        assert_eq!(json["body"]["text"], "hi");
    }
}
