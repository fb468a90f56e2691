//! Where may the brain call, when somebody else gives the address? To the world, not to this machine or its neighbours.
//!
//! Whoever can have the brain call an address of their choice could otherwise reach what only the brain can: a router's
//! page, a database, the metadata of a cloud. A name is looked up once, what it stands for is checked, and that same
//! address is connected to; redirects are not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use axum::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// From the look-up of the name to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Calls out. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    agent: ureq::Agent,
    guide: Guide,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// The status of HTTP.
    pub(crate) status: u16,
}

impl Outbound {
    /// `allowed` are hosts, `name` or `name:port`, that may be called wherever they are.
    pub(crate) fn new(allowed: &[String]) -> Self {
        let guide = Guide { allowed: allowed.iter().map(|host| host.to_ascii_lowercase()).collect() };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A proxy would look names up by itself.
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("megabrain/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: ureq::Agent::with_parts(config, DefaultConnector::new(), guide.clone()), guide }
    }

    /// Says what is wrong with an address, as far as it can be told now. Blocks while its name is looked up.
    pub(crate) fn check(&self, url: &str) -> Result<(), String> {
        let uri = read(url)?;
        if self.guide.is_allowed(&uri) {
            return Ok(());
        }
        // A name that cannot be looked up now may be later; it is checked again when it is called.
        let Ok(addresses) = look_up(&uri) else { return Ok(()) };
        addresses.iter().try_for_each(|address| check(&uri, *address))
    }

    /// Gets at most so many bytes. Blocks until they begin to come, and as they are read.
    ///
    /// # Errors
    /// Why they do not.
    pub(crate) fn get(&self, url: &str, limit: u64) -> Result<ureq::BodyReader<'static>, String> {
        read(url)?;
        let answer = self.agent.get(url).call().map_err(|error| error.to_string())?;
        match answer.status().as_u16() {
            200 => Ok(answer.into_body().into_with_config().limit(limit).reader()),
            status @ 300..400 => Err(format!("it answered {status}, and redirects are not followed")),
            status => Err(format!("it answered {status}")),
        }
    }

    /// Posts a body. Blocks until the answer has come.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn post(&self, url: &str, headers: &[(&str, String)], body: &[u8]) -> Result<Answered, String> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.send(body).map_err(|error| error.to_string())?;
        Ok(Answered { status: answer.status().as_u16() })
    }
}

/// Looks names up, and refuses what they must not stand for.
#[derive(Clone, Debug)]
struct Guide {
    allowed: Vec<String>,
}

impl Guide {
    fn is_allowed(&self, uri: &Uri) -> bool {
        let Some(host) = uri.host().map(str::to_ascii_lowercase) else { return false };
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let with_port = format!("{host}:{port}");
        self.allowed.iter().any(|allowed| *allowed == host || *allowed == with_port)
    }
}

impl Resolver for Guide {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = DefaultResolver::default().resolve(uri, config, timeout)?;
        if !self.is_allowed(uri) {
            let checked = addresses.iter().try_for_each(|address| check(uri, address.ip()));
            checked.map_err(|message| ureq::Error::Other(message.into()))?;
        }
        Ok(addresses)
    }
}

/// What can be told of an address without looking its name up.
fn read(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    if scheme != "http" && scheme != "https" {
        return Err("it must begin with http:// or https://".into());
    }
    let authority = uri.authority().ok_or("it names no host")?;
    if authority.as_str().contains('@') {
        return Err("it must have no user and no password".into());
    }
    Ok(uri)
}

fn look_up(uri: &Uri) -> Result<Vec<IpAddr>, std::io::Error> {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = std::net::ToSocketAddrs::to_socket_addrs(&(bare, 0))?;
    Ok(found.map(|address| address.ip()).collect())
}

fn check(uri: &Uri, address: IpAddr) -> Result<(), String> {
    if is_public(address) {
        return Ok(());
    }
    let host = uri.host().unwrap_or_default();
    Err(format!("{host} is {address}, which is no public address: `allow` in [gateway] can allow this host"))
}

/// True of addresses that anybody in the world could call. By IANA's registries of special-purpose addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_of_one_network =
        matches!((a, b), (0 | 10 | 127, _) | (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168));
    let is_for_tests =
        matches!((a, b, c), (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113));
    let is_multicast_or_reserved = a >= 224;
    !(is_of_one_network || is_for_tests || is_multicast_or_reserved)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([one, two], [three, four]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(one, two, three, four))
    };
    match (a, b) {
        // An IPv4 address in other clothes: mapped, translated, or tunnelled.
        (0, 0) if (c, d, e) == (0, 0, 0) && f == 0xffff => embedded(g, h),
        (0x64, 0xff9b) => (c, d, e, f) == (0, 0, 0, 0) && embedded(g, h),
        (0x2002, _) => embedded(b, c),
        // What is handed out so far, but for Teredo and other protocols' own, benchmarks, and documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => false,
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_no_public_addresses_in_whatever_clothes() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.20.0.2",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "::127.0.0.1",
            "64:ff9b:1::1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2001:4860:4860::8888"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn an_address_is_checked_before_it_is_called_and_when_it_is() {
        let closed = Outbound::new(&[]);
        for (url, told) in [
            ("http://127.0.0.1:9/x", "no public address"),
            ("http://[::1]/x", "no public address"),
            ("http://localhost:9/x", "no public address"),
            ("http://0x7f.1/x", "no public address"),
            ("http://2130706433/x", "no public address"),
            ("ftp://example.org/x", "http://"),
            ("/x", "http://"),
            ("http://me:secret@example.org/", "no user"),
        ] {
            let error = closed.check(url).unwrap_err();
            assert!(error.contains(told), "{url}: {error}");
        }
        let error = closed.post("http://127.0.0.1:9/x", &[], b"x").unwrap_err();
        assert!(error.contains("no public address"), "{error}");
    }

    #[test]
    fn a_host_that_is_allowed_is_called_on_its_port() {
        let open = Outbound::new(&["127.0.0.1:9".into(), "LOCALHOST".into()]);
        assert_eq!(open.check("http://127.0.0.1:9/x"), Ok(()));
        assert_eq!(open.check("https://localhost/x"), Ok(()));
        assert!(open.check("http://127.0.0.1:10/x").is_err());
    }
}
