//! What can be set about the doors?

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use megabrain_schemas::Name;
use serde::Deserialize;

use crate::access::KeyConfig;
use crate::jobs::JobsConfig;

/// The `[gateway]` table of the brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// False: no HTTP. Default true.
    pub enabled: bool,
    /// Address and port; port 0 is a free one. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// True: on other addresses than this machine's own, too, nobody needs a key. Default false.
    pub open: bool,
    /// Who may come in. Without any: whoever is on this machine.
    pub keys: Vec<KeyConfig>,
    /// Web pages that may call, by origin: `https://example.org`; `*` is every page. Default: none.
    pub origins: Vec<String>,
    /// What this machine is called in URLs, beside its addresses, `localhost` and names without a dot. Default: nothing.
    pub hosts: Vec<String>,
    /// Models by other ids, for clients that insist on theirs: `"gpt-4o" = "deep"`.
    pub aliases: BTreeMap<String, Name>,
    /// Models that `/readyz` waits for. Default: those of `[router] answer`, or all of
    /// the brain file where that is empty; the node fills it in.
    pub ready: Option<Vec<Name>>,
    /// The largest body of a request. Default 64 MiB.
    pub max_body: ByteSize,
    /// What large bodies of all requests together may take, from their first byte until what is in them has gone to the
    /// bus, or is answered; one more is refused with status 503. Default 512 MiB.
    pub max_bodies: ByteSize,
    /// Time for a body to come, all of it; then its request is refused with status 408. Default 2 minutes.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// A client that takes nothing of what it is sent for this long is let go. Default 1 minute.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// Connections at the same time; one more waits to be taken. Default 4,096.
    pub max_connections: usize,
    /// Hosts, `name` or `name:port`, that callbacks may go to, and pictures be fetched from, although
    /// their addresses are private. Default: none.
    pub allow: Vec<String>,
    /// Durable jobs.
    pub jobs: JobsConfig,
    /// Time for a request that names none. Default: the brain's `default_deadline`, which the node fills in.
    #[serde(skip)]
    pub default_deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            open: false,
            keys: Vec::new(),
            origins: Vec::new(),
            hosts: Vec::new(),
            aliases: BTreeMap::new(),
            ready: None,
            max_body: ByteSize::mib(64),
            max_bodies: ByteSize::mib(512),
            body_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(60),
            max_connections: 4096,
            allow: Vec::new(),
            jobs: JobsConfig::default(),
            default_deadline: Duration::from_secs(600),
        }
    }
}

impl Config {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// Doors that anybody could open without it being said that this is meant.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.listen.ip().is_loopback() || self.open || !self.keys.is_empty() {
            return Ok(());
        }
        Err(format!(
            "[gateway] listen is {}, which other machines reach, and there are no keys: add one (`megabrain key` makes it), \
             or say `open = true` if everybody there may use this brain",
            self.listen
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_are_let_in_only_when_that_is_said() {
        let listen = "0.0.0.0:8080".parse().unwrap();
        assert!(Config::default().check().is_ok());
        assert!(Config { listen, ..Config::default() }.check().unwrap_err().contains("megabrain key"));
        assert!(Config { listen, open: true, ..Config::default() }.check().is_ok());
    }
}
