//! `megabrain key`: how does somebody get a key to the doors?

use std::process::ExitCode;

use clap::Args;
use megabrain_schemas::Name;

use crate::cli::{Globals, output};

/// Make a key for HTTP, and the lines that the brain file needs for it.
///
/// The key itself is kept nowhere and shown this once; the brain file has its hash. As soon as there is one key, nobody
/// comes in without.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain key n8n\n  \
    megabrain key n8n --json | jq -r .key")]
pub struct KeyArgs {
    /// Whose key it is
    #[arg(value_name = "NAME", default_value = "client")]
    name: Name,
}

pub(crate) fn run(args: &KeyArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let KeyArgs { name } = args;
    let (key, hash) = megabrain_gateway::new_key();
    if globals.json {
        output::line(serde_json::json!({ "name": name, "key": key, "hash": hash }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!("# The client sends: Authorization: Bearer {key}"))?;
    output::line("# The brain file knows it by its hash; scopes and limits are in megabrain.toml:")?;
    output::line(format!("[[gateway.keys]]\nname = \"{name}\"\nhash = \"{hash}\""))?;
    Ok(ExitCode::SUCCESS)
}
