//! How does a command fail? With one line, a hint what to do, and an exit code.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use megabrain_schemas::{Fault, FaultKind};

use crate::connection::ConnectionError;
use crate::node::NodeError;

/// The command line makes no sense, in a way that its parser cannot see. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Somebody pressed Ctrl-C. Exit code 130.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Tells on standard error what failed and what to do, and gives the exit code for it. For programs it is the last line,
/// in JSON.
pub fn report(error: &anyhow::Error, is_json: bool) -> ExitCode {
    if error.is::<Interrupted>() {
        return ExitCode::from(130);
    }
    if is_broken_pipe(error) {
        // Whoever read our output has had enough: `megabrain models | head -1`.
        return ExitCode::SUCCESS;
    }
    eprintln!("{}", if is_json { as_json(error) } else { describe(error) });
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// `{"error": …}` in one line, as a fault is on the bus; what failed before there was a bus has only a message.
fn as_json(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Fault>() {
        Some(fault) => serde_json::json!({ "error": fault }),
        None => serde_json::json!({ "error": { "message": chain(error) } }),
    }
    .to_string()
}

fn describe(error: &anyhow::Error) -> String {
    let (line, hint) = match error.downcast_ref::<Fault>() {
        Some(fault) => (fault.to_string(), hint(fault)),
        None => (format!("error: {}", chain(error)), connection_hint(error)),
    };
    match hint {
        Some(hint) => format!("{line}\n  hint: {hint}"),
        None => line,
    }
}

/// The error and its causes. Many a library tells its cause itself: what has been said is not said again.
fn chain(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.contains(&cause) {
            continue;
        }
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&cause);
    }
    told
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn connection_hint(error: &anyhow::Error) -> Option<String> {
    let of_node = || match error.downcast_ref::<NodeError>() {
        Some(NodeError::Connection(error)) => Some(error),
        _ => None,
    };
    let ConnectionError::Bus(error) = error.downcast_ref::<ConnectionError>().or_else(of_node)? else { return None };
    if error.is_refusal() {
        return Some(
            "do user and password fit this bus? `megabrain env` prints those of a brain that runs here; for another, see \
             nats.conf"
                .into(),
        );
    }
    let away =
        "is NATS_URL right, and does a server run there? Without NATS_URL, the brain that runs here is found by itself";
    error.may_pass().then(|| away.into())
}

/// What a person can do about a fault.
fn hint(fault: &Fault) -> Option<String> {
    let again = match fault.retry_after_ms {
        Some(milliseconds) => {
            format!("try again in {}", humantime::format_duration(Duration::from_millis(milliseconds)))
        }
        None => "try again".to_owned(),
    };
    match fault.kind {
        // What is wrong with a file, help cannot cure.
        FaultKind::InvalidRequest => {
            fault.message.contains('`').then(|| "--help after the command shows what it takes".into())
        }
        FaultKind::NotFound => {
            let of_blob =
                fault.message.contains("blob").then_some("what is stored as a blob is gone when its life is over");
            Some(of_blob.unwrap_or("`megabrain models` lists the models").into())
        }
        FaultKind::TooLarge if fault.message.contains("by reference") => Some(
            "`megabrain ask --attach FILE` sends large files by reference; the limit is max_payload in nats.conf"
                .into(),
        ),
        FaultKind::TooLarge => Some("give less at once, or raise the limit in the brain file".into()),
        FaultKind::Overloaded => Some(format!("nothing was done: {again}")),
        FaultKind::DeadlineExceeded => {
            Some("give it more time, with --deadline (--timeout for `req`), or ask for less".into())
        }
        FaultKind::Cancelled => None,
        FaultKind::WorkerLost => Some(format!(
            "its process is started again by itself: {again}; the log of `megabrain up` says why it ended"
        )),
        FaultKind::Engine => Some("the log of `megabrain up` may say more".into()),
        FaultKind::Unavailable => Some(format!("{again}; `megabrain status` shows who is up")),
        FaultKind::Unauthorized => Some("the client role may not do this: see nats.conf".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_kind_message_and_hint() {
        let error = anyhow::Error::from(Fault::unavailable("model deep is loading", 1500));
        let told = describe(&error);
        assert_eq!(
            told,
            "unavailable: model deep is loading\n  hint: try again in 1s 500ms; `megabrain status` shows who is up"
        );
    }

    #[test]
    fn programs_get_a_fault_as_it_is_on_the_bus() {
        let fault = Fault::unavailable("model deep is loading", 1500);
        let told: serde_json::Value = serde_json::from_str(&as_json(&fault.clone().into())).unwrap();
        assert_eq!(serde_json::from_value::<Fault>(told["error"].clone()).unwrap(), fault);
        let told: serde_json::Value = serde_json::from_str(&as_json(&Usage("nothing to ask".into()).into())).unwrap();
        assert_eq!(told, serde_json::json!({ "error": { "message": "nothing to ask" } }));
    }

    #[test]
    fn every_kind_that_a_person_can_act_on_has_a_hint() {
        for kind in FaultKind::ALL {
            assert_eq!(hint(&Fault::new(kind, "`x`")).is_none(), kind == FaultKind::Cancelled, "{kind}");
        }
    }

    #[test]
    fn a_cause_that_has_been_told_is_not_told_again() {
        let error = anyhow::anyhow!("refused").context("cannot connect: refused").context("talk.mp3");
        assert_eq!(describe(&error), "error: talk.mp3: cannot connect: refused");
    }

    #[test]
    fn usage_and_broken_pipes_are_known() {
        assert_eq!(describe(&Usage("nothing to ask".into()).into()), "error: nothing to ask");
        assert!(is_broken_pipe(&std::io::Error::from(ErrorKind::BrokenPipe).into()));
    }
}
