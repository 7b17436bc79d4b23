//! Target URLs: `zk://host:port,host:port/chroot`, and `zks://` over TLS; `etcd://`, `etcds://`, `consul://`, `consuls://`
//! likewise.
//!
//! | in the URL | is |
//! |---|---|
//! | `name`, `name:port` | a member at each of the name's addresses |
//! | `192.0.2.1`, `192.0.2.1:port` | a member |
//! | `[2001:db8::1]`, `[2001:db8::1]:port` | a member reached by IPv6 |
//!
//! Without a port it is the system's own: ZooKeeper's 2181, over TLS 2281; etcd's 2379; Consul's 8500, over TLS 8501. A server that is reached at two addresses, as at one of IPv4 and one of
//! IPv6, counts as two members: name it by the one at which clients are to reach it.

use std::fmt;
use std::str::FromStr;

use crate::tls::TlsOptions;

/// A kind of system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum System {
    /// ZooKeeper, or anything that speaks its protocol.
    ZooKeeper,
    /// etcd.
    Etcd,
    /// Consul.
    Consul,
}

impl System {
    /// Every system, with its URL scheme.
    pub const ALL: [System; 3] = [System::ZooKeeper, System::Etcd, System::Consul];

    /// The scheme of its URLs.
    pub fn scheme(self) -> &'static str {
        match self {
            System::ZooKeeper => "zk",
            System::Etcd => "etcd",
            System::Consul => "consul",
        }
    }

    /// The scheme of its URLs over TLS.
    pub fn secure_scheme(self) -> &'static str {
        match self {
            System::ZooKeeper => "zks",
            System::Etcd => "etcds",
            System::Consul => "consuls",
        }
    }

    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            System::ZooKeeper => "zookeeper",
            System::Etcd => "etcd",
            System::Consul => "consul",
        }
    }

    /// ZooKeeper has no default of its own for the secure one: without `secureClientPort` there is none. 2281 is what
    /// the project's SSL user guide shows (`secureClientPort=2281`); Kafka's documentation and Cloudera's ensembles use
    /// 2182, which then has to be given.
    fn default_port(self, secured: bool) -> u16 {
        match (self, secured) {
            (System::ZooKeeper, false) => 2181,
            (System::ZooKeeper, true) => 2281,
            (System::Etcd, _) => 2379,
            (System::Consul, false) => 8500,
            (System::Consul, true) => 8501,
        }
    }
}

/// What is to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    /// What kind of system it is.
    pub system: System,
    /// Its members, as given.
    pub members: Vec<HostPort>,
    /// The path below which everything happens; empty when none was given.
    pub chroot: String,
    /// How its members are reached over TLS, if they are.
    pub tls: Option<TlsOptions>,
}

impl TargetUrl {
    /// The scheme.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { self.system.secure_scheme() } else { self.system.scheme() }
    }
}

/// A host (name or address) and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Why a text is no target URL. Nothing of the text's user part is ever repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// There is no `scheme://`.
    #[error("a target is a URL such as zk://127.0.0.1:2181,127.0.0.2:2181/chroot, and this has no scheme")]
    NoScheme,
    /// The scheme is none that is known.
    #[error("there is no kind of system {0:?}; known: {known}", known = known_schemes())]
    Scheme(String),
    /// There is no member.
    #[error("the target names no member; write {0}://HOST:PORT,HOST:PORT")]
    NoMember(&'static str),
    /// A member is not HOST:PORT.
    #[error("{0:?} is no member; write HOST, HOST:PORT or [IPV6]:PORT")]
    Member(String),
    /// An IPv6 address has a zone, which means something on this machine alone.
    #[error(
        "{0:?} has a zone (from the % on), and a target's addresses have none; give the member's name, or an address that \
         is not link-local"
    )]
    Zone(String),
    /// The URL holds a user or password.
    #[error("a target URL holds no user or password; give credentials in the workload's [client] auth")]
    UserInfo,
    /// The chroot is no path.
    #[error("{path:?} is no chroot: {cause}")]
    Chroot {
        /// What was given.
        path: String,
        /// Why it will not do.
        cause: String,
    },
}

fn known_schemes() -> String {
    System::ALL.map(|s| format!("{}://, {}://", s.scheme(), s.secure_scheme())).join(", ")
}

impl FromStr for TargetUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        let system = System::ALL
            .into_iter()
            .find(|s| [s.scheme(), s.secure_scheme()].contains(&scheme))
            .ok_or_else(|| UrlError::Scheme(scheme.chars().take(20).collect()))?;
        let secured = scheme == system.secure_scheme();
        let (members, chroot) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        if members.contains('@') {
            return Err(UrlError::UserInfo);
        }
        if members.is_empty() {
            let scheme = if secured { system.secure_scheme() } else { system.scheme() };
            return Err(UrlError::NoMember(scheme));
        }
        let port = system.default_port(secured);
        let members = members.split(',').map(|m| HostPort::read(m, port)).collect::<Result<_, _>>()?;
        let chroot = if chroot == "/" { "" } else { chroot };
        if !chroot.is_empty() {
            quorumeter_zk::path::validate(chroot)
                .map_err(|e| UrlError::Chroot { path: chroot.to_owned(), cause: e.to_string() })?;
        }
        let tls = secured.then(TlsOptions::default);
        Ok(TargetUrl { system, members, chroot: chroot.to_owned(), tls })
    }
}

impl HostPort {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
    pub fn read(text: &str, default_port: u16) -> Result<HostPort, UrlError> {
        let bad = || UrlError::Member(text.to_owned());
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(bad)?;
                if host.contains('%') {
                    return Err(UrlError::Zone(text.to_owned()));
                }
                host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(bad)?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || (!text.starts_with('[') && host.contains([':', ' ', '[', ']', '?', '#'])) {
            return Err(bad());
        }
        let port = match port {
            None => default_port,
            Some(port) => port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?,
        };
        Ok(HostPort { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<_> = self.members.iter().map(HostPort::to_string).collect();
        write!(f, "{}://{}{}", self.scheme(), members.join(","), self.chroot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written() {
        for (text, written) in [
            ("zk://a", "zk://a:2181"),
            ("zk://a:1,b:2/c/d", "zk://a:1,b:2/c/d"),
            ("zk://[::1]:2182/", "zk://[::1]:2182"),
            ("zks://a,b:1/c", "zks://a:2281,b:1/c"),
            ("zk://127.0.0.1,[::1]/x", "zk://127.0.0.1:2181,[::1]:2181/x"),
            ("zk://[::1]:2181,[2001:db8::7]:2182/c", "zk://[::1]:2181,[2001:db8::7]:2182/c"),
            ("etcd://a,b:1", "etcd://a:2379,b:1"),
            ("etcds://a", "etcds://a:2379"),
            ("consul://[::1]", "consul://[::1]:8500"),
            ("consuls://a", "consuls://a:8501"),
            ("zks://[::ffff:192.0.2.1]", "zks://[::ffff:192.0.2.1]:2281"),
        ] {
            let url: TargetUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), written);
            assert_eq!(written.parse(), Ok(url));
        }
    }

    #[test]
    fn what_is_no_url_is_told_why() {
        for (text, error) in [
            ("localhost:2181", UrlError::NoScheme),
            ("http://a", UrlError::Scheme("http".into())),
            ("zk://", UrlError::NoMember("zk")),
            ("zks://", UrlError::NoMember("zks")),
            ("zk:///chroot", UrlError::NoMember("zk")),
            ("zk://a:b", UrlError::Member("a:b".into())),
            ("zk://a:0", UrlError::Member("a:0".into())),
            ("zk://a:99999", UrlError::Member("a:99999".into())),
            ("zk://a,,b", UrlError::Member("".into())),
            ("zk://::1", UrlError::Member("::1".into())),
            ("zk://[::1", UrlError::Member("[::1".into())),
            ("zk://[::1]2181", UrlError::Member("[::1]2181".into())),
            ("zk://[::1]:", UrlError::Member("[::1]:".into())),
            ("zk://[]:2181", UrlError::Member("[]:2181".into())),
            ("zk://[::g]:2181", UrlError::Member("[::g]:2181".into())),
            ("zk://[1::2::3]", UrlError::Member("[1::2::3]".into())),
            ("zk://[127.0.0.1]", UrlError::Member("[127.0.0.1]".into())),
            ("zk://a,[fe80::1%eth0]:2181", UrlError::Zone("[fe80::1%eth0]:2181".into())),
            ("zk://[fe80::1%252]", UrlError::Zone("[fe80::1%252]".into())),
            ("zk://me:secret@a", UrlError::UserInfo),
        ] {
            assert_eq!(text.parse::<TargetUrl>(), Err(error), "{text}");
        }
        assert!(matches!("zk://a/b/".parse::<TargetUrl>(), Err(UrlError::Chroot { .. })));
    }
}
