//! `megabrain env`: how does any other program find the bus?

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::{Globals, output};
use crate::connection::{Connection, ConnectionError, Role};

/// Print the bus' address and password for a shell.
///
/// For any program that reads NATS_URL, NATS_USER and NATS_PASSWORD. Names the brain that runs here; where none does,
/// what NATS_URL says already.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    eval \"$(megabrain env)\"\n  \
    eval \"$(megabrain env --role admin)\"     may do everything: to repair things\n  \
    megabrain env --json")]
pub struct EnvArgs {
    /// Who the program is on the bus
    #[arg(long, value_enum, default_value_t)]
    role: Who,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Who {
    /// Whoever asks
    #[default]
    Client,
    /// A model's process
    Model,
    /// A node
    Node,
    /// A person who repairs things
    Admin,
}

impl From<Who> for Role {
    fn from(who: Who) -> Self {
        match who {
            Who::Client => Self::Client,
            Who::Model => Self::Model,
            Who::Node => Self::Node,
            Who::Admin => Self::Admin,
        }
    }
}

pub(crate) async fn run(args: EnvArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let connection = match Connection::of_running_brain(globals.brain.as_ref()) {
        Err(ConnectionError::NoBrain) => Connection::from_environment().ok_or(ConnectionError::NoBrain)?,
        found => found?,
    };
    let variables = connection.environment(args.role.into());
    if globals.json {
        let object: serde_json::Map<String, serde_json::Value> =
            variables.into_iter().map(|(name, value)| (name, value.into())).collect();
        output::line(serde_json::Value::Object(object))?;
    } else {
        variables.iter().try_for_each(|(name, value)| output::line(format!("export {name}={}", quoted(value))))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Text that a POSIX shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_passes_a_shell_unharmed() {
        assert_eq!(quoted("nats://127.0.0.1:4222"), "'nats://127.0.0.1:4222'");
        let nasty = "a'b $(id) \\ \"c\"";
        let shell =
            std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(nasty))]).output().unwrap();
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), nasty);
    }
}
