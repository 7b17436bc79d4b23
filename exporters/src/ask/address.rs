//! Where a member is asked over HTTP.

use std::fmt;
use std::str::FromStr;

use quorumeter_targets::url::HostPort;
use schemars::JsonSchema;
use serde::Deserialize;

/// How HTTP is spoken there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl FromStr for Scheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Scheme, String> {
        let known = [Scheme::Http, Scheme::Https].into_iter().find(|scheme| scheme.name() == text);
        known.ok_or_else(|| "a scheme is http or https".to_owned())
    }
}

/// A port of every member where it is asked over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpPort {
    /// How.
    pub scheme: Scheme,
    /// The port.
    pub port: u16,
}

impl HttpPort {
    /// That of a member.
    pub fn of(self, member: &HostPort) -> HttpAddress {
        let address = HostPort { host: member.host.clone(), port: self.port };
        HttpAddress { scheme: self.scheme, address }
    }
}

/// Where a member is asked over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAddress {
    /// How.
    pub scheme: Scheme,
    /// Where.
    pub address: HostPort,
}

impl From<HostPort> for HttpAddress {
    fn from(address: HostPort) -> HttpAddress {
        HttpAddress { scheme: Scheme::Http, address }
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.address)
    }
}

/// `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`, and nothing behind it.
impl FromStr for HttpAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<HttpAddress, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.parse()?, rest),
            None => (Scheme::Http, text),
        };
        match HostPort::read(rest, 0) {
            Ok(address) if address.port != 0 => Ok(HttpAddress { scheme, address }),
            _ => Err("write HOST:PORT or https://HOST:PORT".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_clear_unless_it_says_otherwise() {
        for (text, told) in [
            ("zk1:8080", Some("http://zk1:8080")),
            ("http://zk1:8080", Some("http://zk1:8080")),
            ("https://zk1:8443", Some("https://zk1:8443")),
            ("https://[2001:db8::1]:8443", Some("https://[2001:db8::1]:8443")),
            ("https://zk1", None),
            ("https://zk1:8443/commands", None),
            ("https://me:hunter2@zk1:8443", None),
            ("HTTPS://zk1:8443", None),
            ("ftp://zk1:21", None),
            ("://zk1:8443", None),
            ("", None),
        ] {
            let read = text.parse::<HttpAddress>();
            assert_eq!(read.as_ref().ok().map(ToString::to_string).as_deref(), told, "{text}");
            assert!(!read.is_err_and(|error| error.contains("hunter2")), "{text}");
        }
    }
}
