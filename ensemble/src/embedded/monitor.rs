//! What a member tells of itself in numbers: `mntr`, and `monitor` of the AdminServer.
//!
//! Names, types and order are those of 3.9.4 standalone. Of its 450 keys these are the ones that this member can tell
//! the truth about: there is no disk, no TLS, no pipeline of request processors and no cache of responses.

use quorumeter_zk::four_letter::{Mntr, Mode};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::member::{Clients, Member};

impl Member {
    /// The answer to `mntr`.
    pub(super) fn mntr(&self, clients: &Clients) -> Mntr {
        let mut mntr = Mntr::new();
        for (key, value) in self.monitor(clients) {
            match value {
                Value::String(text) => mntr.push(key, text),
                number => mntr.push(key, number),
            }
        }
        mntr
    }

    /// The keys, without their `zk_`, and their values.
    pub(super) fn monitor(&self, clients: &Clients) -> Vec<(&'static str, Value)> {
        let statistics = &self.statistics;
        let counters = &self.counters;
        let mut entries = vec![
            ("version", json!(self.version)),
            ("server_state", json!(Mode::Standalone.name())),
            ("ephemerals_count", json!(self.tree.ephemerals_count())),
            ("num_alive_connections", json!(clients.len())),
            ("avg_latency", json!(statistics.latency_mean_ms())),
            // A request is answered before the next one is read.
            ("outstanding_requests", json!(0)),
            ("znode_count", json!(self.tree.node_count())),
            ("global_sessions", json!(self.tree.session_count())),
            ("packets_sent", json!(statistics.sent)),
            ("packets_received", json!(statistics.received)),
            ("watch_count", json!(self.watches.watch_count())),
            ("min_latency", json!(statistics.latency_min_ms())),
        ];
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            entries.push(("max_file_descriptor_count", json!(limit)));
        }
        entries.push(("approximate_data_size", json!(self.tree.approximate_data_size())));
        if let Some(count) = open_files() {
            entries.push(("open_file_descriptor_count", json!(count)));
        }
        entries.extend([
            // Every session is a global one.
            ("local_sessions", json!(0)),
            ("uptime", json!(self.started_at.elapsed().as_millis() as u64)),
            ("max_latency", json!(statistics.latency_max_ms)),
            ("connection_rejected", json!(clients.rejected() - counters.rejected_before)),
            ("sessionless_connections_expired", json!(clients.expired() - counters.expired_before)),
            ("bytes_received_count", json!(counters.bytes_received)),
            ("connection_request_count", json!(counters.connection_requests)),
            ("stale_sessions_expired", json!(counters.sessions_expired)),
        ]);
        entries
    }
}

/// Open files of this process; `None` where there is no `/proc`.
fn open_files() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}
