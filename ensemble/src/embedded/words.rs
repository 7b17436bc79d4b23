//! Four-letter words, in the format of 3.9.4. Every one that makes sense here is answered; there is no
//! whitelist.

use std::fmt::Write as _;

use quorumeter_zk::four_letter::{IMOK, Mntr, Mode, NOT_WHITELISTED, Srvr, write_isro};
use rustix::process::{Resource, getrlimit};
use tokio::time::Instant;

use super::member::{Client, Clients, Member, wall_ms};
use crate::serving::Wire;

impl Member {
    /// The answer to a word.
    pub(super) fn answer_word(&self, clients: &Clients, word: &str) -> String {
        match word {
            "ruok" => IMOK.to_owned(),
            "isro" => write_isro(false).to_owned(),
            "srvr" => self.srvr(clients).write(),
            "stat" => self.stat(clients),
            "mntr" => self.mntr(clients).write(),
            "conf" => self.conf(),
            "cons" => listed(clients, false),
            "wchs" => {
                let (watchers, paths, watches) = self.watches.data_summary();
                format!("{watchers} connections watching {paths} paths\nTotal watches:{watches}\n")
            }
            "dump" => self.dump(clients),
            "envi" => self.envi(),
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
            mode: Mode::Standalone,
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

    fn mntr(&self, clients: &Clients) -> Mntr {
        let statistics = &self.statistics;
        let mut mntr = Mntr::new();
        mntr.push("version", &self.version);
        mntr.push("server_state", Mode::Standalone.name());
        mntr.push("ephemerals_count", self.tree.ephemerals_count());
        mntr.push("num_alive_connections", clients.len());
        mntr.push("avg_latency", format!("{:?}", statistics.latency_mean_ms()));
        mntr.push("min_latency", statistics.latency_min_ms());
        mntr.push("max_latency", statistics.latency_max_ms);
        // A request is answered before the next one is read.
        mntr.push("outstanding_requests", 0);
        mntr.push("znode_count", self.tree.node_count());
        mntr.push("global_sessions", self.tree.session_count());
        mntr.push("local_sessions", 0);
        mntr.push("packets_sent", statistics.sent);
        mntr.push("packets_received", statistics.received);
        mntr.push("watch_count", self.watches.watch_count());
        mntr.push("approximate_data_size", self.tree.approximate_data_size());
        if let Some(count) = open_files() {
            mntr.push("open_file_descriptor_count", count);
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            mntr.push("max_file_descriptor_count", limit);
        }
        mntr.push("uptime", self.started_at.elapsed().as_millis());
        mntr
    }

    fn conf(&self) -> String {
        let tick_ms = self.options.tick_time_ms;
        format!(
            "clientPort={}\nsecureClientPort=-1\ntickTime={tick_ms}\nmaxClientCnxns=0\nminSessionTimeout={}\n\
             maxSessionTimeout={}\nclientPortListenBacklog=-1\nserverId={}\n",
            self.address.port(),
            tick_ms * 2,
            tick_ms * 20,
            self.options.server_id,
        )
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
        let _ = writeln!(out, "Connections dump:\nConnections Sets ({})/({count}):", count.min(1));
        if count > 0 {
            let _ = writeln!(out, "{count} expire at {}:", date(self.elapsed_ms()));
        }
        for wire in clients.iter() {
            let _ = writeln!(out, "\tip: /{} sessionId: 0x{:x}", wire.state.peer, wire.state.session_id);
        }
        out
    }

    fn envi(&self) -> String {
        let system = rustix::system::uname();
        let folder = std::env::current_dir().unwrap_or_default();
        format!(
            "Environment:\nzookeeper.version={}\nhost.name={}\nos.name={}\nos.arch={}\nos.version={}\n\
             user.dir={}\n",
            self.version,
            system.nodename().to_string_lossy(),
            system.sysname().to_string_lossy(),
            system.machine().to_string_lossy(),
            system.release().to_string_lossy(),
            folder.display(),
        )
    }

    fn elapsed_ms(&self) -> u64 {
        Instant::now().saturating_duration_since(self.started_at).as_millis() as u64
    }
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
    let interest = u8::from(wire.is_established);
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

/// Open files of this process; `None` where there is no `/proc`.
fn open_files() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

/// Wall time as `java.util.Date` prints it in UTC.
fn java_date(wall_ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = wall_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March of the year 0 of 400-year periods: H. Hinnant, "chrono-Compatible Low-Level Date
    // Algorithms".
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_java_does() {
        for (wall_ms, date) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (951_782_399_999, "Mon Feb 28 23:59:59 UTC 2000"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_795_482_213_000, "Tue Nov 24 01:03:33 UTC 2026"),
            (1_798_761_599_000, "Thu Dec 31 23:59:59 UTC 2026"),
        ] {
            assert_eq!(java_date(wall_ms), date);
        }
    }
}
