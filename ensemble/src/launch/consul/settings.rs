//! A member's configuration file and flags, and which of it a user may set.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::super::{LaunchError, program};
use super::VERSION;

/// Upstream's defaults, but for these: the multiplier is the one that upstream advises for production, members look for
/// each other again each second, metrics are kept for Prometheus and carry no host name. Given to every member, so that
/// what is recorded is what is in force.
const DEFAULTS: [(&str, &str); 8] = [
    ("performance.raft_multiplier", "1"),
    ("raft_snapshot_interval", "30s"),
    ("raft_snapshot_threshold", "16384"),
    ("raft_trailing_logs", "10240"),
    ("retry_interval", "1s"),
    ("telemetry.prometheus_retention_time", "60s"),
    ("telemetry.disable_hostname", "true"),
    ("disable_update_check", "true"),
];

/// Keys that the launcher writes itself, or that its members cannot have; those below one of them are the same.
const OWNED: [(&str, &str); 15] = [
    ("node_name", MEMBERS_REASON),
    ("node_id", MEMBERS_REASON),
    ("server", MEMBERS_REASON),
    ("bootstrap", MEMBERS_REASON),
    ("bootstrap_expect", MEMBERS_REASON),
    ("retry_join", MEMBERS_REASON),
    ("start_join", MEMBERS_REASON),
    ("data_dir", DIR_REASON),
    ("ports", PORT_REASON),
    ("addresses", PORT_REASON),
    ("bind_addr", PORT_REASON),
    ("client_addr", PORT_REASON),
    ("advertise_addr", PORT_REASON),
    ("serf_lan", PORT_REASON),
    ("serf_wan", PORT_REASON),
];

const DIR_REASON: &str = "each member has a folder of its own; give the data folder of the ensemble instead";
const PORT_REASON: &str = "each member has ports of its own on loopback, chosen when it is started";
const MEMBERS_REASON: &str = "the members follow from the number of them that was asked for";

/// What the user and the defaults say, the same for every member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Keys of the configuration file, dots between the names of nested ones.
    values: BTreeMap<String, String>,
}

impl Settings {
    /// The defaults with the user's settings over them. A key that Consul does not know makes it end, with a word on it in
    /// its log.
    pub(super) fn new(user: &BTreeMap<String, String>) -> Result<Settings, LaunchError> {
        let values = program::settings(VERSION, &DEFAULTS, user, refusal)?;
        for (key, value) in &values {
            let prefix = format!("{key}.");
            if let Some(below) = values.keys().find(|other| other.starts_with(&prefix)) {
                let reason = format!("it would stand in the place of {below}");
                return Err(LaunchError::Setting { key: key.clone(), value: value.clone(), reason });
            }
        }
        Ok(Settings { values })
    }

    /// All that is in force and the same on every member, under the names a user would set them by.
    pub(super) fn in_force(&self) -> BTreeMap<String, String> {
        let mut values = self.values.clone();
        values.insert("version".to_owned(), VERSION.to_owned());
        values
    }

    /// The configuration file.
    pub(super) fn configuration(&self) -> String {
        let mut root = Map::new();
        for (key, value) in &self.values {
            insert(&mut root, key, read(value));
        }
        format!("{:#}\n", Value::Object(root))
    }
}

/// Puts a value where the dots of its key lead to.
fn insert(into: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            into.insert(key.to_owned(), value);
        }
        Some((outer, rest)) => {
            let inner = into.entry(outer).or_insert_with(|| Value::Object(Map::new()));
            // No key is the beginning of another.
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// A value as JSON where it is such (`1`, `true`, `["a"]`), and as text where it is not (`30s`).
fn read(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))
}

/// The flags of the member with number `index` of `ports`, from 0: each has one for HTTP, one for the servers among each
/// other, and one for gossip, over TCP and UDP.
pub(super) fn flags(index: usize, ports: &[[u16; 3]], data: &Path, configuration: &Path) -> Vec<String> {
    let own = ports[index];
    let [http, server, serf] = own;
    let number = index + 1;
    let mut flags = vec![
        "agent".to_owned(),
        "-server".to_owned(),
        format!("-node=consul-{number}"),
        // Without it members of one machine have the same.
        format!("-node-id=00000000-0000-0000-0000-{number:012}"),
        "-bind=127.0.0.1".to_owned(),
        "-client=127.0.0.1".to_owned(),
        format!("-bootstrap-expect={}", ports.len()),
        format!("-data-dir={}", data.display()),
        format!("-config-file={}", configuration.display()),
        format!("-http-port={http}"),
        format!("-server-port={server}"),
        format!("-serf-lan-port={serf}"),
    ];
    flags.extend(["serf-wan", "dns", "grpc", "grpc-tls"].map(|port| format!("-{port}-port=-1")));
    let others = ports.iter().filter(|ports| **ports != own);
    flags.extend(others.map(|[_, _, serf]| format!("-retry-join=127.0.0.1:{serf}")));
    flags
}

/// Why a setting of this key cannot be used.
fn refusal(key: &str) -> Option<String> {
    let outer = key.split('.').next().unwrap_or_default();
    if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == outer) {
        return Some((*reason).to_owned());
    }
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if !key.split('.').all(is_name) {
        return Some(
            "a key is one of Consul's configuration file, as in performance.raft_multiplier".to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(user: &[(&str, &str)]) -> Result<Settings, LaunchError> {
        Settings::new(&user.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn the_configuration_file_nests_and_has_numbers_as_numbers() {
        let user = [
            ("performance.raft_multiplier", "5"),
            ("limits.http_max_conns_per_client", "500"),
            ("log_level", "DEBUG"),
        ];
        let text = settings(&user).unwrap().configuration();
        let expected = json!({
            "performance": { "raft_multiplier": 5 },
            "raft_snapshot_interval": "30s",
            "raft_snapshot_threshold": 16384,
            "raft_trailing_logs": 10240,
            "retry_interval": "1s",
            "telemetry": { "prometheus_retention_time": "60s", "disable_hostname": true },
            "disable_update_check": true,
            "limits": { "http_max_conns_per_client": 500 },
            "log_level": "DEBUG",
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn what_is_in_force_is_told_with_its_defaults() {
        let in_force = settings(&[("raft_trailing_logs", "1")]).unwrap().in_force();
        for (key, value) in [
            ("performance.raft_multiplier", "1"),
            ("raft_trailing_logs", "1"),
            ("telemetry.prometheus_retention_time", "60s"),
            ("version", VERSION),
        ] {
            assert_eq!(in_force.get(key).map(String::as_str), Some(value), "{key}");
        }
    }

    #[test]
    fn members_are_told_apart_and_find_each_other() {
        let ports = [1, 11, 21].map(|first| [first, first + 1, first + 2]);
        let flags = flags(1, &ports, "/d".as_ref(), "/c.json".as_ref());
        assert_eq!(flags[..2], ["agent", "-server"]);
        for flag in [
            "-node=consul-2",
            "-node-id=00000000-0000-0000-0000-000000000002",
            "-bootstrap-expect=3",
            "-data-dir=/d",
            "-config-file=/c.json",
            "-http-port=11",
            "-server-port=12",
            "-serf-lan-port=13",
            "-grpc-tls-port=-1",
            "-retry-join=127.0.0.1:3",
            "-retry-join=127.0.0.1:23",
        ] {
            assert!(flags.iter().any(|given| given == flag), "{flag}: {flags:?}");
        }
        assert!(!flags.iter().any(|flag| flag == "-retry-join=127.0.0.1:13"), "{flags:?}");
    }

    #[test]
    fn what_the_launcher_owns_or_consul_would_not_read_is_refused() {
        for (key, value, reason) in [
            ("data_dir", "/x", "folder of its own"),
            ("ports.http", "1", "ports of its own"),
            ("bind_addr", "0.0.0.0", "ports of its own"),
            ("bootstrap_expect", "5", "number of them"),
            ("version", "1.21.0", VERSION),
            ("performance", "{}", "in the place of performance.raft_multiplier"),
            ("raft_trailing_logs.x", "1", "in the place of raft_trailing_logs.x"),
            ("Log-Level", "DEBUG", "configuration file"),
            ("performance.", "1", "configuration file"),
            ("", "1", "configuration file"),
            ("log_level", "", "not empty"),
            ("log_level", "a\u{7}", "control"),
        ] {
            let error = settings(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(reason), "{key}: {error}");
        }
    }
}
