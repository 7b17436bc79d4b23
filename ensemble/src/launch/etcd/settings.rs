//! A member's flags, and which of them a user may set.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::{Fsync, LaunchError, program};
use super::VERSION;

/// Upstream's defaults, given to every member, so that what is recorded is what is in force.
const DEFAULTS: [(&str, &str); 9] = [
    ("heartbeat-interval", "100"),
    ("election-timeout", "1000"),
    ("snapshot-count", "10000"),
    ("quota-backend-bytes", "2147483648"),
    ("max-request-bytes", "1572864"),
    ("auto-compaction-mode", "periodic"),
    ("auto-compaction-retention", "0"),
    ("unsafe-no-fsync", "false"),
    ("metrics", "basic"),
];

/// Flags that the launcher writes itself, or that its members cannot have.
const OWNED: [(&str, &str); 13] = [
    ("name", MEMBERS_REASON),
    ("initial-cluster", MEMBERS_REASON),
    ("initial-cluster-state", MEMBERS_REASON),
    ("force-new-cluster", MEMBERS_REASON),
    ("data-dir", DIR_REASON),
    ("wal-dir", DIR_REASON),
    ("config-file", "each flag is a setting of its own; give them instead"),
    ("listen-client-urls", PORT_REASON),
    ("listen-peer-urls", PORT_REASON),
    ("listen-metrics-urls", PORT_REASON),
    ("listen-client-http-urls", PORT_REASON),
    ("advertise-client-urls", PORT_REASON),
    ("initial-advertise-peer-urls", PORT_REASON),
];

const DIR_REASON: &str = "each member has a folder of its own; give the data folder of the ensemble instead";
const PORT_REASON: &str = "each member has ports of its own on loopback, chosen when it is started";
const MEMBERS_REASON: &str = "the members follow from the number of them that was asked for";

/// What the user and the defaults say, the same for every member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Flags without their dashes.
    values: BTreeMap<String, String>,
}

impl Settings {
    /// The defaults with the user's settings over them. A flag that etcd does not know makes it end, with a word on it in
    /// its log.
    pub(super) fn new(user: &BTreeMap<String, String>) -> Result<Settings, LaunchError> {
        let values = program::settings(VERSION, &DEFAULTS, user, refusal)?;
        Ok(Settings { values })
    }

    /// Whether members force an entry to the device before they acknowledge it.
    pub(super) fn fsync(&self) -> Fsync {
        // What Go's strconv.ParseBool takes as true.
        let is_off = self
            .values
            .get("unsafe-no-fsync")
            .is_some_and(|value| ["1", "t", "T", "TRUE", "true", "True"].contains(&value.as_str()));
        if is_off { Fsync::NoFsync } else { Fsync::Fsync }
    }

    /// All that is in force and the same on every member, under the names a user would set them by.
    pub(super) fn in_force(&self) -> BTreeMap<String, String> {
        let mut values = self.values.clone();
        values.insert("version".to_owned(), VERSION.to_owned());
        values
    }

    /// The flags of the member with number `index` of `ports`, from 0: each has one for clients and one for peers.
    pub(super) fn flags(&self, index: usize, ports: &[[u16; 2]], data: &Path) -> Vec<String> {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let name = |place: usize| format!("etcd-{}", place + 1);
        let cluster: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(place, [_, peer])| format!("{}={}", name(place), url(*peer)))
            .collect();
        let [client, peer] = ports[index];
        let owned = [
            ("name", name(index)),
            ("data-dir", data.display().to_string()),
            ("listen-client-urls", url(client)),
            ("advertise-client-urls", url(client)),
            ("listen-peer-urls", url(peer)),
            ("initial-advertise-peer-urls", url(peer)),
            ("initial-cluster", cluster.join(",")),
            ("initial-cluster-state", "new".to_owned()),
        ];
        let given = self.values.iter().map(|(key, value)| format!("--{key}={value}"));
        given.chain(owned.into_iter().map(|(key, value)| format!("--{key}={value}"))).collect()
    }
}

/// Why a setting of this key cannot be used.
fn refusal(key: &str) -> Option<String> {
    if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == key) {
        return Some((*reason).to_owned());
    }
    if key.starts_with("peer-") || key.starts_with("client-") || ["cert-file", "key-file"].contains(&key) {
        return Some("members that are started here speak plain HTTP, on loopback".to_owned());
    }
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if key.starts_with('-') || key.is_empty() || !key.chars().all(is_name) {
        return Some("a key is a flag of etcd without its dashes, as in heartbeat-interval".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(user: &[(&str, &str)]) -> Result<Settings, LaunchError> {
        Settings::new(&user.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn members_know_each_other_and_listen_on_loopback() {
        let ports = [[1, 2], [3, 4]];
        let flags = settings(&[("heartbeat-interval", "50")]).unwrap().flags(1, &ports, "/d".as_ref());
        for flag in [
            "--heartbeat-interval=50",
            "--election-timeout=1000",
            "--name=etcd-2",
            "--data-dir=/d",
            "--listen-client-urls=http://127.0.0.1:3",
            "--advertise-client-urls=http://127.0.0.1:3",
            "--listen-peer-urls=http://127.0.0.1:4",
            "--initial-advertise-peer-urls=http://127.0.0.1:4",
            "--initial-cluster=etcd-1=http://127.0.0.1:2,etcd-2=http://127.0.0.1:4",
            "--initial-cluster-state=new",
        ] {
            assert!(flags.iter().any(|given| given == flag), "{flag}: {flags:?}");
        }
        assert!(!flags.iter().any(|flag| flag == "--heartbeat-interval=100"), "{flags:?}");
    }

    #[test]
    fn what_is_in_force_is_told_with_upstreams_defaults() {
        let in_force = settings(&[("election-timeout", "500"), ("max-wals", "3")]).unwrap().in_force();
        for (key, value) in [
            ("heartbeat-interval", "100"),
            ("election-timeout", "500"),
            ("max-wals", "3"),
            ("unsafe-no-fsync", "false"),
            ("version", VERSION),
        ] {
            assert_eq!(in_force.get(key).map(String::as_str), Some(value), "{key}");
        }
    }

    #[test]
    fn fsync_is_off_when_etcd_takes_it_as_off() {
        for (value, expected) in
            [("true", Fsync::NoFsync), ("1", Fsync::NoFsync), ("T", Fsync::NoFsync), ("false", Fsync::Fsync)]
        {
            assert_eq!(settings(&[("unsafe-no-fsync", value)]).unwrap().fsync(), expected, "{value}");
        }
        assert_eq!(settings(&[]).unwrap().fsync(), Fsync::Fsync);
    }

    #[test]
    fn what_the_launcher_owns_or_etcd_would_not_read_is_refused() {
        for (key, value, reason) in [
            ("data-dir", "/x", "folder of its own"),
            ("listen-client-urls", "http://127.0.0.1:1", "ports of its own"),
            ("initial-cluster", "a=b", "number of them"),
            ("config-file", "/x", "each flag"),
            ("version", "3.6.0", VERSION),
            ("peer-cert-file", "/x", "plain HTTP"),
            ("--heartbeat-interval", "1", "without its dashes"),
            ("Heartbeat", "1", "without its dashes"),
            ("", "1", "without its dashes"),
            ("heartbeat-interval", " ", "not empty"),
            ("heartbeat-interval", "1\n2", "control"),
        ] {
            let error = settings(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(reason), "{key}: {error}");
        }
    }
}
