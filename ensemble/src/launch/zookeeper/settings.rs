//! A member's configuration: `zoo.cfg`, the Java options, and which of it a user may set.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;

use super::super::{Fsync, LaunchError};
use super::Release;

/// Upstream's defaults where it has one (its sample `zoo.cfg` and `bin/zkEnv.sh`); no limit on connections per client
/// address, because all of a benchmark's clients have the same one.
const DEFAULTS: [(&str, &str); 5] = [
    ("tickTime", "2000"),
    ("initLimit", "10"),
    ("syncLimit", "5"),
    ("maxClientCnxns", "0"),
    ("jvm.Xmx", "512m"),
];

/// Keys that the launcher writes itself, or that its members cannot have.
const OWNED: [(&str, &str); 14] = [
    ("dataDir", DIR_REASON),
    ("dataLogDir", DIR_REASON),
    ("clientPort", PORT_REASON),
    ("clientPortAddress", PORT_REASON),
    ("secureClientPort", SECURE_PORT_REASON),
    ("secureClientPortAddress", PORT_REASON),
    ("observerMasterPort", PORT_REASON),
    ("admin.serverPort", PORT_REASON),
    ("admin.serverAddress", PORT_REASON),
    ("metricsProvider.httpHost", PORT_REASON),
    ("metricsProvider.httpPort", PORT_REASON),
    ("standaloneEnabled", MEMBERS_REASON),
    ("dynamicConfigFile", MEMBERS_REASON),
    ("4lw.commands.whitelist", "every four-letter word is allowed already"),
];

/// The setting that chooses the release. It is no key of `zoo.cfg`.
pub(super) const VERSION_KEY: &str = "version";
const DIR_REASON: &str = "each member has a folder of its own; give the data folder of the ensemble instead";
const PORT_REASON: &str = "each member has ports of its own on loopback, chosen when it is started";
const SECURE_PORT_REASON: &str = "each member has ports of its own on loopback, one for clients over TLS among them when ssl.keyStore.location is set";
const MEMBERS_REASON: &str = "the members follow from the number of them that was asked for";

/// What the user and the defaults say, the same for every member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Keys of `zoo.cfg`, and those of the Java process with `jvm.` before them.
    values: BTreeMap<String, String>,
    /// What is started.
    pub(super) release: &'static Release,
}

/// Where a member listens on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberPorts {
    pub(super) client: u16,
    pub(super) peer: u16,
    pub(super) election: u16,
    pub(super) admin: u16,
    /// For Prometheus's scrapes, used when `metricsProvider.className` is set.
    pub(super) metrics: u16,
    /// For clients over TLS, used when `ssl.keyStore.location` is set.
    pub(super) secure: u16,
}

impl Settings {
    /// The defaults with the user's settings over them. A key is one of four:
    ///
    /// | key | becomes |
    /// |---|---|
    /// | `version` | the release that is started, as in `3.8` or `3.9.4` |
    /// | `jvm.Xmx`, `jvm.Xms`, `jvm.Xmn`, `jvm.Xss` | an option of the Java process: `-Xmx512m` |
    /// | `jvm.KEY` | a Java system property: `-DKEY=VALUE` |
    /// | any other | a line of `zoo.cfg` |
    ///
    /// A line that `zoo.cfg` has no key for is not an error: upstream makes it the system property `zookeeper.KEY`,
    /// so `forceSync=no` and `jvm.zookeeper.forceSync=no` are the same.
    pub(super) fn new(user: &BTreeMap<String, String>) -> Result<Settings, LaunchError> {
        let mut values: BTreeMap<String, String> =
            DEFAULTS.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let mut release = &Release::ALL[0];
        for (key, value) in user {
            let refused = |reason| LaunchError::Setting { key: key.clone(), value: value.clone(), reason };
            if key == VERSION_KEY {
                release = Release::named(value).ok_or_else(|| {
                    let known = Release::ALL.map(|release| release.version).join(" and ");
                    refused(format!("the releases that can be started are {known}"))
                })?;
            } else if let Some(reason) = refusal(key, value) {
                return Err(refused(reason));
            } else {
                values.insert(key.clone(), value.clone());
            }
        }
        Ok(Settings { values, release })
    }

    /// Whether members force a transaction to the device before they acknowledge it. Upstream reads every value but
    /// exactly `no` as yes, and a line of `zoo.cfg` wins over the system property.
    pub(super) fn fsync(&self) -> Fsync {
        let force = self.values.get("forceSync").or_else(|| self.values.get("jvm.zookeeper.forceSync"));
        if force.is_some_and(|value| value == "no") { Fsync::NoFsync } else { Fsync::Fsync }
    }

    /// All that is in force and the same on every member, under the names a user would set them by.
    pub(super) fn in_force(&self) -> BTreeMap<String, String> {
        let mut values = self.values.clone();
        values.insert(VERSION_KEY.to_owned(), self.release.version.to_owned());
        if !values.contains_key("jvm.zookeeper.forceSync") {
            values.entry("forceSync".to_owned()).or_insert_with(|| "yes".to_owned());
        }
        values
    }

    /// Whether members have a port for clients over TLS.
    pub(super) fn is_secured(&self) -> bool {
        self.values.contains_key("ssl.keyStore.location")
    }

    /// Options for `java`.
    pub(super) fn java_options(&self) -> Vec<OsString> {
        let jvm = self.values.iter().filter_map(|(key, value)| Some((key.strip_prefix("jvm.")?, value)));
        jvm.map(|(key, value)| {
            if is_memory_option(key) {
                format!("-{key}{value}").into()
            } else {
                format!("-D{key}={value}").into()
            }
        })
        .collect()
    }

    /// The `zoo.cfg` of the member with number `index` of `ports`, from 0, of which the last `observers` do not vote. A
    /// single member is a plain standalone server.
    pub(super) fn zoo_cfg(&self, index: usize, ports: &[MemberPorts], observers: usize) -> String {
        let own = &ports[index];
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            writeln!(text, "{key}={}", escape(value)).expect("writing to a String does not fail");
        };
        for (key, value) in self.values.iter().filter(|(key, _)| !key.starts_with("jvm.")) {
            line(key, value);
        }
        line("dataDir", "./data");
        line("clientPort", &own.client.to_string());
        line("clientPortAddress", "127.0.0.1");
        line("4lw.commands.whitelist", "*");
        line("admin.serverPort", &own.admin.to_string());
        line("admin.serverAddress", "127.0.0.1");
        if self.values.contains_key("metricsProvider.className") {
            line("metricsProvider.httpHost", "127.0.0.1");
            line("metricsProvider.httpPort", &own.metrics.to_string());
        }
        if self.is_secured() {
            line("secureClientPort", &own.secure.to_string());
            line("secureClientPortAddress", "127.0.0.1");
        }
        if ports.len() > 1 {
            let is_observer = |index: usize| index >= ports.len() - observers;
            line("standaloneEnabled", "false");
            if is_observer(index) {
                line("peerType", "observer");
            }
            for (place, member) in ports.iter().enumerate() {
                let role = if is_observer(place) { ":observer" } else { "" };
                line(
                    &format!("server.{}", place + 1),
                    &format!("127.0.0.1:{}:{}{role}", member.peer, member.election),
                );
            }
        }
        text
    }
}

/// Why a setting cannot be used.
fn refusal(key: &str, value: &str) -> Option<String> {
    let jvm = key.strip_prefix("jvm.");
    // A line of zoo.cfg wins over the system property of the same name, so neither may be the launcher's.
    let name = jvm.map_or(key, |property| property.strip_prefix("zookeeper.").unwrap_or(property));
    if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == name) {
        return Some((*reason).to_owned());
    }
    if name.strip_prefix("server.").is_some_and(|id| id.starts_with(|first: char| first.is_ascii_digit()))
        || name == "peerType"
    {
        return Some(MEMBERS_REASON.to_owned());
    }
    if jvm.is_none() && key.starts_with("zookeeper.") {
        let bare = &key["zookeeper.".len()..];
        return Some(format!(
            "ZooKeeper would read it as the system property zookeeper.{key}; write `{bare}={value}` or \
             `jvm.{key}={value}`"
        ));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        return Some("a key consists of letters, digits, dots, dashes and underscores".to_owned());
    }
    if value.trim().is_empty() || value.chars().any(char::is_control) {
        return Some("a value is not empty and has no control characters".to_owned());
    }
    None
}

fn is_memory_option(key: &str) -> bool {
    ["Xmx", "Xms", "Xmn", "Xss"].contains(&key)
}

/// A value as `java.util.Properties` reads it back: it takes backslashes as escapes and bytes as Latin-1.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            ' '..='~' => escaped.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(escaped, "\\u{unit:04x}").expect("writing to a String does not fail");
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(user: &[(&str, &str)]) -> Result<Settings, LaunchError> {
        Settings::new(&user.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn ports(members: u16) -> Vec<MemberPorts> {
        (1..=members)
            .map(|id| 1000 * id)
            .map(|base| MemberPorts {
                client: base,
                peer: base + 1,
                election: base + 2,
                admin: base + 3,
                metrics: base + 4,
                secure: base + 5,
            })
            .collect()
    }

    #[test]
    fn a_single_member_is_a_standalone_server_with_upstreams_defaults() {
        assert_eq!(
            settings(&[]).unwrap().zoo_cfg(0, &ports(1), 0),
            "initLimit=10\nmaxClientCnxns=0\nsyncLimit=5\ntickTime=2000\n\
             dataDir=./data\nclientPort=1000\nclientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\n\
             admin.serverPort=1003\nadmin.serverAddress=127.0.0.1\n"
        );
    }

    #[test]
    fn several_members_know_each_other() {
        let text = settings(&[]).unwrap().zoo_cfg(1, &ports(3), 0);
        assert!(text.contains("clientPort=2000\n"), "{text}");
        assert!(
            text.ends_with(
                "standaloneEnabled=false\nserver.1=127.0.0.1:1001:1002\nserver.2=127.0.0.1:2001:2002\n\
                 server.3=127.0.0.1:3001:3002\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_last_members_observe() {
        let text = |index| settings(&[]).unwrap().zoo_cfg(index, &ports(4), 1);
        let ensemble = "server.1=127.0.0.1:1001:1002\nserver.2=127.0.0.1:2001:2002\n\
                        server.3=127.0.0.1:3001:3002\nserver.4=127.0.0.1:4001:4002:observer\n";
        assert!(text(0).ends_with(&format!("standaloneEnabled=false\n{ensemble}")), "{}", text(0));
        let observer = format!("standaloneEnabled=false\npeerType=observer\n{ensemble}");
        assert!(text(3).ends_with(&observer), "{}", text(3));
    }

    #[test]
    fn the_version_chooses_the_release_and_is_no_line_of_zoo_cfg() {
        for (user, version) in [
            (&[][..], "3.9.4"),
            (&[("version", "3.9")], "3.9.4"),
            (&[("version", "3.8")], "3.8.0"),
            (&[("version", "3.8.0")], "3.8.0"),
        ] {
            let settings = settings(user).unwrap();
            assert_eq!((settings.release.version, &*settings.in_force()["version"]), (version, version));
            assert!(!settings.zoo_cfg(0, &ports(1), 0).contains("version"));
        }
        for version in ["3", "3.", "3.80", "3.8.1", "", "latest"] {
            let error = settings(&[("version", version)]).unwrap_err().to_string();
            assert!(error.contains("3.9.4 and 3.8.0"), "{version}: {error}");
        }
    }

    #[test]
    fn a_setting_overrides_adds_or_goes_to_java() {
        let settings = settings(&[
            ("tickTime", "500"),
            ("snapCount", "1000"),
            ("jvm.Xmx", "1g"),
            ("jvm.Xss", "1m"),
            ("jvm.jute.maxbuffer", "4194304"),
        ])
        .unwrap();
        let text = settings.zoo_cfg(0, &ports(1), 0);
        assert!(text.contains("tickTime=500\n") && text.contains("snapCount=1000\n"), "{text}");
        assert!(!text.contains("2000") && !text.contains("Xmx") && !text.contains("jute"), "{text}");
        assert_eq!(settings.java_options(), ["-Xmx1g", "-Xss1m", "-Djute.maxbuffer=4194304"]);
        let in_force = settings.in_force();
        for (key, value) in
            [("tickTime", "500"), ("syncLimit", "5"), ("jvm.Xmx", "1g"), ("jvm.jute.maxbuffer", "4194304")]
        {
            assert_eq!(in_force.get(key).map(String::as_str), Some(value), "{key}");
        }
    }

    #[test]
    fn a_metrics_provider_gets_a_port_of_its_own_on_each_member() {
        let settings = settings(&[("metricsProvider.className", "Prometheus")]).unwrap();
        let text = settings.zoo_cfg(1, &ports(3), 0);
        assert!(
            text.contains("metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=2004\n"),
            "{text}"
        );
    }

    #[test]
    fn a_key_store_brings_a_port_for_clients_over_tls() {
        let settings = settings(&[("ssl.keyStore.location", "/k.pem")]).unwrap();
        let text = settings.zoo_cfg(1, &ports(3), 0);
        assert!(text.contains("secureClientPort=2005\nsecureClientPortAddress=127.0.0.1\n"), "{text}");
    }

    #[test]
    fn fsync_is_off_when_zookeeper_takes_it_as_off() {
        let jvm = "jvm.zookeeper.forceSync";
        for (user, expected, recorded) in [
            (&[][..], Fsync::Fsync, Some("yes")),
            (&[("forceSync", "no")], Fsync::NoFsync, Some("no")),
            (&[("forceSync", "false")], Fsync::Fsync, Some("false")),
            (&[(jvm, "no")], Fsync::NoFsync, None),
            (&[(jvm, "no"), ("forceSync", "yes")], Fsync::Fsync, Some("yes")),
        ] {
            let settings = settings(user).unwrap();
            assert_eq!(settings.fsync(), expected, "{user:?}");
            assert_eq!(settings.in_force().get("forceSync").map(String::as_str), recorded, "{user:?}");
        }
    }

    #[test]
    fn what_the_launcher_owns_or_zookeeper_would_not_read_is_refused() {
        for (key, value, expected) in [
            ("dataDir", "/tmp", "data folder"),
            ("clientPort", "2181", "ports of its own"),
            ("secureClientPort", "2281", "ssl.keyStore.location is set"),
            ("jvm.zookeeper.admin.serverPort", "1", "ports of its own"),
            ("server.4", "127.0.0.1:1:2", "number of them"),
            ("peerType", "observer", "number of them"),
            ("4lw.commands.whitelist", "srvr", "allowed already"),
            ("zookeeper.forceSync", "no", "`forceSync=no` or `jvm.zookeeper.forceSync=no`"),
            ("", "1", "a key consists"),
            ("jvm.", "1", "a key consists"),
            ("a b", "1", "a key consists"),
            ("snapCount", "", "a value is"),
            ("snapCount", "1\nserver.1=evil", "a value is"),
        ] {
            let error = settings(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(expected), "{key}={value}: {error}");
            assert!(error.contains("cannot be used"), "{error}");
        }
    }

    #[test]
    fn keys_that_merely_begin_like_owned_ones_pass() {
        for key in ["server.cnxn.x", "dataDirectory", "group.1", "serverCnxnFactory"] {
            assert!(settings(&[(key, "1")]).is_ok(), "{key}");
        }
    }

    #[test]
    fn values_are_escaped_for_java_properties() {
        for (value, expected) in
            [("plain=1:2", "plain=1:2"), (r"a\b", r"a\\b"), ("ü", "\\u00fc"), ("😀", "\\ud83d\\ude00")]
        {
            assert_eq!(escape(value), expected);
        }
    }
}
