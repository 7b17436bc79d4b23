//! Four-letter words, in the format of 3.9.4.
//!
//! Every one that makes sense here is answered, as upstream does with the whitelist `*`. The others have the answer of
//! those that are not on the whitelist: there is no trace log (`gtmk`, `stmk`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quorumeter_zk::four_letter::{IMOK, Mode, NOT_WHITELISTED, Srvr, write_isro};
use quorumeter_zk::watch::WatcherId;
use tokio::time::Instant;

use super::java_date::java_date;
use super::member::{Client, Clients, Member, wall_ms};
use super::statistics::{Counters, Statistics};
use crate::serving::{HANDSHAKE, Wire};

impl Member {
    /// The answer to a word.
    pub(super) fn answer_word(&mut self, clients: &mut Clients, word: &str) -> String {
        match word {
            "ruok" => IMOK.to_owned(),
            "isro" => write_isro(self.is_read_only).to_owned(),
            "srvr" => self.srvr(clients).write(),
            "stat" => self.stat(clients),
            "mntr" => self.mntr(clients).write(),
            "conf" => self.conf(),
            "cons" => listed(clients, false),
            "wchs" => {
                let (watchers, paths, watches) = self.watches.data_summary();
                format!("{watchers} connections watching {paths} paths\nTotal watches:{watches}\n")
            }
            "wchc" => self.wchc(clients),
            "wchp" => self.wchp(clients),
            "dump" => self.dump(clients),
            "envi" => self.envi(),
            // Everything is in memory.
            "dirs" => "datadir_size: 0\nlogdir_size: 0\n".to_owned(),
            // The digests of the tree that were logged: none.
            "hash" => String::new(),
            "crst" => {
                clients.iter_mut().for_each(|wire| wire.state.reset());
                "Connection stats reset.\n".to_owned()
            }
            "srst" => {
                self.statistics = Statistics::default();
                self.counters = Counters {
                    rejected_before: clients.rejected(),
                    expired_before: clients.expired(),
                    ..Counters::default()
                };
                "Server stats reset.\n".to_owned()
            }
            _ => format!("{word}{NOT_WHITELISTED}"),
        }
    }

    fn srvr(&self, clients: &Clients) -> Srvr {
        let statistics = &self.statistics;
        Srvr {
            version: self.version.clone(),
            latency_ms: (
                statistics.latency_min_ms() as f64,
                statistics.latency_mean_ms(),
                statistics.latency_max_ms as f64,
            ),
            received: statistics.received,
            sent: statistics.sent,
            connections: clients.len() as u64,
            outstanding: 0,
            zxid: self.tree.last_zxid(),
            mode: if self.is_read_only { Mode::ReadOnly } else { Mode::Standalone },
            node_count: self.tree.node_count() as u64,
            proposal_sizes: None,
        }
    }

    /// The connections between the first line of `srvr` and the rest.
    fn stat(&self, clients: &Clients) -> String {
        let srvr = self.srvr(clients).write();
        let (first, rest) = srvr.split_once('\n').unwrap_or((&srvr, ""));
        format!("{first}\nClients:\n{}{rest}", listed(clients, true))
    }

    fn conf(&self) -> String {
        let (least_ms, greatest_ms) = self.options.session_timeouts_ms();
        // There are no folders. A standalone member has no number, whatever its sessions begin with.
        format!(
            "clientPort={}\nsecureClientPort=-1\ndataDir=\ndataDirSize=0\ndataLogDir=\ndataLogSize=0\ntickTime={}\n\
             maxClientCnxns={}\nminSessionTimeout={least_ms}\nmaxSessionTimeout={greatest_ms}\n\
             clientPortListenBacklog=-1\nserverId=0\n",
            self.address.port(),
            self.options.tick_time_ms,
            self.options.max_client_connections,
        )
    }

    /// The sessions, and what each of them watches, and an empty line. Sorted, for upstream's order means nothing.
    fn wchc(&self, clients: &Clients) -> String {
        let watchers = self.watches.data_by_watcher().map(|(watcher, paths)| {
            let mut paths: Vec<_> = paths.collect();
            paths.sort_unstable();
            (session_of(clients, watcher), paths)
        });
        let mut watchers: Vec<_> = watchers.collect();
        watchers.sort_unstable();
        let mut out = String::new();
        for (session_id, paths) in watchers {
            // Writing to a string does not fail.
            let _ = writeln!(out, "0x{session_id:x}");
            for path in paths {
                let _ = writeln!(out, "\t{}", java_text(path));
            }
        }
        out.push('\n');
        out
    }

    /// What is watched, and the sessions that watch each, and an empty line. Sorted too.
    fn wchp(&self, clients: &Clients) -> String {
        let paths = self.watches.data_by_path().map(|(path, watchers)| {
            let mut sessions: Vec<_> = watchers.map(|watcher| session_of(clients, watcher)).collect();
            sessions.sort_unstable();
            (path, sessions)
        });
        let mut paths: Vec<_> = paths.collect();
        paths.sort_unstable();
        let mut out = String::new();
        for (path, sessions) in paths {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{}", java_text(path));
            for session_id in sessions {
                let _ = writeln!(out, "\t0x{session_id:x}");
            }
        }
        out.push('\n');
        out
    }

    fn dump(&self, clients: &Clients) -> String {
        let expiry = self.sessions.expiry_map();
        let mut out = String::from("SessionTracker dump:\nSession ");
        let date = |ms: u64| java_date(wall_ms() + ms as i64 - self.elapsed_ms() as i64);
        // Writing to a string does not fail.
        let _ = writeln!(out, "Sets ({})/({}):", expiry.len(), self.sessions.len());
        for (at_ms, ids) in &expiry {
            let _ = writeln!(out, "{} expire at {}:", ids.len(), date(*at_ms));
            for id in ids {
                let _ = writeln!(out, "\t0x{id:x}");
            }
        }
        let mut owners: Vec<_> = self.tree.owners().collect();
        owners.sort_unstable_by_key(|(id, _)| *id);
        let _ = writeln!(out, "ephemeral nodes dump:\nSessions with Ephemerals ({}):", owners.len());
        for (id, paths) in owners {
            let _ = writeln!(out, "0x{id:x}:");
            for path in paths {
                let _ = writeln!(out, "\t{path}");
            }
        }
        let count = clients.len();
        let mut sets: BTreeMap<u64, Vec<&Client>> = BTreeMap::new();
        for wire in clients.iter() {
            sets.entry(self.connection_expires_ms(wire)).or_default().push(&wire.state);
        }
        let _ = writeln!(out, "Connections dump:\nConnections Sets ({})/({count}):", sets.len());
        for (at_ms, set) in sets {
            let _ = writeln!(out, "{} expire at {}:", set.len(), date(at_ms));
            for client in set {
                let _ = writeln!(out, "\tip: /{} sessionId: 0x{:x}", client.peer, client.session_id);
            }
        }
        out
    }

    /// A connection ends with its session, or when it takes too long for the handshake.
    fn connection_expires_ms(&self, wire: &Wire<Client>) -> u64 {
        let handshake_until = wire.opened_at() + HANDSHAKE;
        let sessionless = handshake_until.saturating_duration_since(self.started_at).as_millis() as u64;
        self.sessions.expires_ms(wire.state.session_id).unwrap_or(sessionless)
    }

    /// What is Java's is left out, and so is what this process does not know.
    fn envi(&self) -> String {
        let system = rustix::system::uname();
        let machine = system.machine().to_string_lossy();
        let folder = std::env::current_dir().ok().map(|folder| folder.display().to_string());
        let lines = [
            ("zookeeper.version", Some(self.version.clone())),
            ("host.name", Some(system.nodename().to_string_lossy().into_owned())),
            ("os.name", Some(system.sysname().to_string_lossy().into_owned())),
            ("os.arch", Some(java_architecture(&machine).to_owned())),
            ("os.version", Some(system.release().to_string_lossy().into_owned())),
            ("user.name", std::env::var("USER").ok()),
            ("user.home", std::env::var("HOME").ok()),
            ("user.dir", folder),
        ];
        let known = lines.into_iter().filter_map(|(key, value)| Some(format!("{key}={}\n", value?)));
        format!("Environment:\n{}", known.collect::<String>())
    }

    fn elapsed_ms(&self) -> u64 {
        Instant::now().saturating_duration_since(self.started_at).as_millis() as u64
    }
}

/// The session of a connection, 0 for none.
fn session_of(clients: &Clients, watcher: WatcherId) -> i64 {
    clients.get(watcher).map_or(0, |wire| wire.state.session_id)
}

/// A path as Java writes it.
fn java_text(path: Option<&str>) -> &str {
    path.unwrap_or("null")
}

/// The connections, one a line, and an empty line.
fn listed(clients: &Clients, is_brief: bool) -> String {
    let mut out: String = clients.iter().map(|wire| connection(wire, is_brief)).collect();
    out.push('\n');
    out
}

/// A connection (`ServerCnxn.dumpConnectionInfo`).
fn connection(wire: &Wire<Client>, is_brief: bool) -> String {
    let client = &wire.state;
    let statistics = &client.statistics;
    // Reading stops when a word has come.
    let interest = u8::from(wire.is_established || statistics.received == 0);
    let mut line = format!(
        " /{}[{interest}](queued=0,recved={},sent={}",
        client.peer, statistics.received, statistics.sent
    );
    if !is_brief && client.session_id != 0 {
        // Writing to a string does not fail.
        let _ = write!(
            line,
            ",sid=0x{:x},lop={},est={},to={}",
            client.session_id, client.last_op, client.accepted_ms, client.timeout_ms
        );
        if client.last_xid >= 0 {
            let _ = write!(line, ",lcxid=0x{:x}", client.last_xid);
        }
        let _ = write!(
            line,
            ",lzxid=0x{:x},lresp={},llat={},minlat={},avglat={},maxlat={}",
            client.last_zxid,
            client.last_answer_ms,
            client.last_latency_ms,
            statistics.latency_min_ms(),
            statistics.latency_mean_ms() as u64,
            statistics.latency_max_ms,
        );
    }
    line.push_str(")\n");
    line
}

/// Java's name of an architecture (`os.arch`).
fn java_architecture(machine: &str) -> &str {
    if machine == "x86_64" { "amd64" } else { machine }
}
