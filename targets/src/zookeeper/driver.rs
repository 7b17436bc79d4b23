//! The pieces put together: how load sessions reach an ensemble.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorumeter_zk::ErrorCode;

use super::admin;
use super::connection::{Templates, ZooKeeperConnection};
use super::dial::{self, DialSettings};
use super::layout::Layout;
use super::outcome;
use crate::clock::Clock;
use crate::operation::OpKind;
use crate::session::{ConnectError, Dialled, Driver, Identity, Member, Outcome, Timeouts};
use crate::tls::Tls;
use crate::url::HostPort;

/// How long a member may take to tell its role.
const ROLE_TIMEOUT: Duration = Duration::from_secs(2);

/// A ZooKeeper ensemble as the load generator sees it.
#[derive(Clone)]
pub struct ZooKeeper {
    members: Arc<[Member]>,
    settings: Arc<DialSettings>,
    layout: Arc<Layout>,
    values: Arc<[u8]>,
    /// One per stream, made by the thread that uses them.
    templates: Vec<Arc<Templates>>,
}

impl ZooKeeper {
    /// The ensemble of these members. `values` is the pool from which values are cut.
    pub fn new(members: Vec<Member>, settings: DialSettings, layout: Layout, values: Arc<[u8]>) -> ZooKeeper {
        let acl = settings.acl();
        let templates =
            (0..layout.streams.len()).map(|s| Arc::new(Templates::new(&layout, s, &acl))).collect();
        ZooKeeper {
            members: members.into(),
            settings: Arc::new(settings),
            layout: Arc::new(layout),
            values,
            templates,
        }
    }

    /// Where the run's nodes are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl Driver for ZooKeeper {
    type Connection<T: Copy + 'static> = ZooKeeperConnection<T>;

    fn members(&self) -> &[Member] {
        &self.members
    }

    async fn connect<T: Copy + 'static>(
        &self,
        stream_number: usize,
        session: u32,
        member: usize,
        identity: &Identity,
        timeouts: Timeouts,
        clock: Clock,
    ) -> Result<Dialled<ZooKeeperConnection<T>>, ConnectError> {
        let (Dialled { attached, connection, stages }, identity) =
            dial::dial(&self.members[member], identity, timeouts, &self.settings, &clock).await?;
        let templates = &self.templates[stream_number];
        let connection = connection.map(|stream| {
            ZooKeeperConnection::new(
                stream,
                Arc::clone(templates),
                Arc::clone(&self.values),
                session,
                identity,
                timeouts.read_share,
                stages.attached_ns,
            )
        });
        Ok(Dialled { attached, connection, stages })
    }

    fn outcome_of(error: &ConnectError) -> Outcome {
        outcome::of_connecting(error)
    }

    const EXPIRED: Outcome = Outcome::Failed(ErrorCode::SESSION_EXPIRED.0);

    const NO_NODE: Outcome = Outcome::Failed(ErrorCode::NO_NODE.0);

    const CONNECTION_LOST: Outcome = Outcome::Failed(ErrorCode::CONNECTION_LOSS.0);

    async fn role(&self, member: usize) -> Option<String> {
        let srvr = admin::srvr(&self.members[member], ROLE_TIMEOUT).await.ok()?;
        Some(srvr.mode.name().to_owned())
    }

    fn error_name(code: i32) -> Cow<'static, str> {
        ErrorCode(code).name()
    }

    fn consistency(kind: OpKind) -> &'static str {
        match kind {
            // A member answers from what it has; a session sees its own writes and never goes back.
            OpKind::Read | OpKind::Exists | OpKind::List => "session",
            // sync + read: not linearizable across a leader change, because sync is no quorum operation.
            OpKind::ReadFresh | OpKind::ReadStrongest | OpKind::Sync => "fresh",
            OpKind::Write
            | OpKind::WriteCas
            | OpKind::Create
            | OpKind::CreateSequential
            | OpKind::CreateEphemeral
            | OpKind::CreateChild
            | OpKind::Delete
            | OpKind::Multi(_) => "linearizable",
        }
    }

    fn requests_per_op(kind: OpKind) -> u32 {
        match kind {
            OpKind::ReadFresh | OpKind::ReadStrongest | OpKind::WriteCas => 2,
            _ => 1,
        }
    }
}

/// What the workload's ops and watches are on the wire of ZooKeeper. Versions are those of Apache ZooKeeper from which a
/// server knows the requests; 3.4 is the oldest of which this tool knows anything.
impl ZooKeeper {
    /// The watches: name, requests, and since when there are such. They are set, not drawn from a mix.
    pub const WATCHES: [(&str, &str, &str); 7] = [
        ("one-shot", "getData with a watch", "3.4"),
        ("one-shot on exists", "exists with a watch", "3.4"),
        ("one-shot on children", "getChildren2 with a watch", "3.4"),
        ("persistent", "addWatch, getData", "3.6"),
        ("persistent on children", "addWatch, exists", "3.6"),
        ("recursive", "addWatch, getData of each child", "3.6"),
        ("recursive on children", "addWatch, exists", "3.6"),
    ];

    /// The version since which servers know watches of this name, one of [`ZooKeeper::WATCHES`].
    pub fn watches_since(name: &str) -> Option<&'static str> {
        Self::WATCHES.iter().find(|(known, ..)| *known == name).map(|(_, _, since)| *since)
    }

    /// The requests of an op.
    pub fn requests(kind: OpKind) -> &'static str {
        match kind {
            OpKind::Read => "getData",
            OpKind::ReadFresh | OpKind::ReadStrongest => "sync, getData (pipelined)",
            OpKind::Exists => "exists",
            OpKind::List => "getChildren2",
            OpKind::Write => "setData, any version",
            OpKind::WriteCas => "getData, then setData of that version",
            OpKind::Create => "create",
            OpKind::CreateSequential => "create, sequential",
            OpKind::CreateEphemeral => "create, ephemeral",
            OpKind::CreateChild => "create, below a node of the dataset",
            OpKind::Delete => "delete, any version",
            OpKind::Multi(_) => "multi of n setData",
            OpKind::Sync => "sync",
        }
    }

    /// The version since which servers know those requests.
    pub fn since(_: OpKind) -> &'static str {
        "3.4"
    }
}

/// The members behind the names of a target: every address of a name is one, and an address that several names have is
/// one by the first of them. They are in the order of the names.
///
/// With `tls`, their certificates have to be for these names.
pub async fn resolve(members: &[HostPort], tls: Option<&Tls>) -> Result<Vec<Member>, String> {
    let look_up = async |host: &str, port| Ok(tokio::net::lookup_host((host, port)).await?.collect());
    resolve_with(members, tls, look_up).await
}

/// The same with addresses from `look_up`, which is given a host and a port.
async fn resolve_with(
    members: &[HostPort],
    tls: Option<&Tls>,
    look_up: impl AsyncFn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> Result<Vec<Member>, String> {
    let mut resolved: Vec<Member> = Vec::new();
    for member in members {
        let secured = tls.map(|tls| tls.for_host(&member.host)).transpose().map_err(|e| e.to_string())?;
        let addresses = look_up(&member.host, member.port)
            .await
            .map_err(|e| format!("cannot find an address for {member}: {e}"))?;
        if addresses.is_empty() {
            return Err(format!("cannot find an address for {member}"));
        }
        for address in addresses {
            if resolved.iter().all(|m| m.address != address) {
                resolved.push(Member { name: member.to_string(), address, tls: secured.clone() });
            }
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TargetUrl;

    /// What a made-up network knows: `a` and `b` have an address in common, and `none` has none.
    async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses: &[&str] = match host {
            "a" => &["192.0.2.1", "2001:db8::1", "192.0.2.1"],
            "b" => &["192.0.2.2", "192.0.2.1"],
            "none" => &[],
            literal if literal.parse::<std::net::IpAddr>().is_ok() => &[literal],
            _ => return Err(io::Error::other("no such host")),
        };
        Ok(addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect())
    }

    async fn resolved(url: &str) -> Result<Vec<(String, String)>, String> {
        let url: TargetUrl = url.parse().unwrap();
        let members = resolve_with(&url.members, None, look_up).await?;
        Ok(members.into_iter().map(|member| (member.name, member.address.to_string())).collect())
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_a_member_once() {
        for (url, members) in [
            ("zk://a:1", &[("a:1", "192.0.2.1:1"), ("a:1", "[2001:db8::1]:1")][..]),
            ("zk://b:1,a:1", &[("b:1", "192.0.2.2:1"), ("b:1", "192.0.2.1:1"), ("a:1", "[2001:db8::1]:1")]),
            // By the first name that it has, also where that is the address itself.
            ("zk://192.0.2.1:1,b:1", &[("192.0.2.1:1", "192.0.2.1:1"), ("b:1", "192.0.2.2:1")]),
            ("zk://[2001:db8:0::1]:1,[2001:db8::1]:1", &[("[2001:db8:0::1]:1", "[2001:db8::1]:1")]),
            // Another port is another member.
            (
                "zk://b:1,192.0.2.2:2",
                &[("b:1", "192.0.2.2:1"), ("b:1", "192.0.2.1:1"), ("192.0.2.2:2", "192.0.2.2:2")],
            ),
        ] {
            let expected = members.iter().map(|&(name, address)| (name.to_owned(), address.to_owned()));
            assert_eq!(resolved(url).await, Ok(expected.collect()), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_told() {
        for (url, error) in [
            ("zk://a:1,none:2", "cannot find an address for none:2"),
            ("zk://a:1,c:2", "cannot find an address for c:2: no such host"),
        ] {
            assert_eq!(resolved(url).await, Err(error.to_owned()), "{url}");
        }
    }
}
