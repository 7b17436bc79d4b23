//! The answers of Consul's servers.
//!
//! | field | of | |
//! |---|---|---|
//! | role, term, indexes, name | [`agent_self`] | `/v1/agent/self`; all of one instant; read it first |
//! | known leader | [`leader`] | `/v1/status/leader` |
//! | voter map | [`configuration`] | `/v1/operator/raft/configuration?stale`, which every server answers of its own |
//! | healthy voters | [`autopilot`] | `/v1/operator/autopilot/health`, as the leader sees it |
//! | the rest | [`metrics`] | `/v1/agent/metrics?format=prometheus` |
//!
//! A server is called by its node name, in the voter map too. Times are milliseconds there, in summaries of ten seconds
//! of which only sum and number are made use of. What is idle for long disappears or turns NaN, and what only the leader
//! knows is 0 or NaN on the others: both are absent here.

use serde::Deserialize;

use crate::catalog;
use crate::parse_error::{ParseError, json};
use crate::prometheus_text::{self, Scraped};
use crate::sample::{Dialect, Histogram, Role, Sample};

/// Consul's milliseconds in a second.
const MS: f64 = 1e3;

/// Its nanoseconds in one.
const NS: f64 = 1e9;

/// Gauges and counters that are of use as they are: ours, and Consul's.
static NUMBERS: &[(&catalog::Metric, &str)] = &[
    (&catalog::MEMBER_LEADER_CHANGES, "consul_raft_state_leader"),
    (&catalog::ELECTIONS, "consul_raft_state_candidate"),
    (&catalog::PROPOSALS, "consul_raft_apply"),
    (&catalog::WATCHES, "consul_rpc_queries_blocking"),
    (&catalog::OPEN_FDS, "process_open_fds"),
    (&catalog::MAX_FDS, "process_max_fds"),
    (&catalog::CPU_SECONDS, "process_cpu_seconds_total"),
    (&catalog::RESIDENT_BYTES, "process_resident_memory_bytes"),
];

/// Summaries: ours, our labels, Consul's, and its unit's part of a second. Several series are added up.
static SUMMARIES: &[(&catalog::Metric, &[&str], &str, f64)] = &[
    (&catalog::COMMIT_DURATION, &[], "consul_raft_commitTime", MS),
    (&catalog::FSYNC_DURATION, &[], "consul_raft_leader_dispatchLog", MS),
    (&catalog::STAGE_DURATION, &["log"], "consul_raft_leader_dispatchLog", MS),
    (&catalog::STAGE_DURATION, &["quorum"], "consul_raft_commitTime", MS),
    (&catalog::STAGE_DURATION, &["apply"], "consul_raft_fsm_apply", MS),
    (&catalog::PAUSES, &[], "consul_runtime_gc_pause_ns", NS),
];

/// Requests to the HTTP API, by `method` and `path`, which is a pattern: `v1_kv_`. Each is told by itself: one that nobody
/// uses for a while is dropped by Consul, and a sum over all would then go back.
const REQUESTS: &str = "consul_api_http";

/// Methods of them that are looked for at most.
const METHODS_MAX: usize = 8;

/// Round trips of the leader to its peers.
const PEER_ROUND_TRIP: &str = "consul_raft_replication_appendEntries_rpc";

/// Takes in `/v1/agent/self`.
///
/// # Errors
///
/// Those of [`json`], [`ParseError::Missing`] for an agent that is no server, and [`ParseError::Value`].
pub fn agent_self(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let told: Agent = json(answer)?;
    let raft =
        told.stats.raft.ok_or(ParseError::Missing("Stats.raft, as servers have: it is a client's agent"))?;
    let number = |field: &str, text: &Option<String>| match text {
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| ParseError::value(field, text)),
        None => Ok(None),
    };
    let state = raft.state.ok_or(ParseError::Missing("Stats.raft.state"))?;
    let role = match state.as_str() {
        "Leader" => Some(Role::Leader),
        "Follower" => Some(Role::Follower),
        "Candidate" => Some(Role::Candidate),
        "Shutdown" => None,
        _ => return Err(ParseError::value("Stats.raft.state", &state)),
    };
    let term = number("Stats.raft.term", &raft.term)?;
    let commit_index = number("Stats.raft.commit_index", &raft.commit_index)?;
    let applied_index = number("Stats.raft.applied_index", &raft.applied_index)?;
    let last_index = number("Stats.raft.last_log_index", &raft.last_log_index)?;
    sample.system = Some(Dialect::Consul);
    sample.version = told.config.version;
    sample.member_id = told.config.node_name;
    sample.role = role;
    sample.term = term;
    sample.commit_index = commit_index;
    sample.applied_index = applied_index;
    sample.last_index = last_index;
    Ok(())
}

/// Takes in `/v1/status/leader`: the leader's address, or an empty one.
///
/// # Errors
///
/// Those of [`json`], and [`ParseError::Value`] for what is no address.
pub fn leader(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let leader: String = json(answer)?;
    if !leader.is_empty() && !leader.contains(':') {
        return Err(ParseError::value("the leader's address", &leader));
    }
    sample.system = Some(Dialect::Consul);
    sample.has_leader = Some(!leader.is_empty());
    sample.serving = sample.has_leader;
    Ok(())
}

/// Takes in `/v1/operator/raft/configuration`.
///
/// # Errors
///
/// Those of [`json`], and [`ParseError::Missing`] without a server.
pub fn configuration(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let told: Configuration = json(answer)?;
    if told.servers.is_empty() {
        return Err(ParseError::Missing("Servers"));
    }
    let mut voters: Vec<String> =
        told.servers.iter().filter(|server| server.voter).map(|server| server.name().to_owned()).collect();
    voters.sort_unstable();
    sample.system = Some(Dialect::Consul);
    if let Some(id) = &sample.member_id {
        let is_voter = voters.contains(id);
        sample.voter = Some(is_voter);
        if !is_voter && sample.role == Some(Role::Follower) {
            sample.role = Some(Role::Observer);
        }
    }
    sample.voter_ids = Some(voters);
    Ok(())
}

/// Takes in `/v1/operator/autopilot/health`, if it is the leader's: the others only pass on what that says.
///
/// # Errors
///
/// Those of [`json`].
pub fn autopilot(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let told: Autopilot = json(answer)?;
    if sample.role == Some(Role::Leader) {
        let healthy = told.servers.iter().filter(|server| server.voter && server.healthy && !server.leader);
        sample.synced_followers = Some(healthy.count() as u64);
    }
    Ok(())
}

/// Takes in `/v1/agent/metrics?format=prometheus`.
///
/// # Errors
///
/// Those of [`prometheus_text::parse`], and [`ParseError::Missing`] for metrics of something else than Consul.
pub fn metrics(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let scraped = prometheus_text::parse(answer)?;
    if !answer.lines().any(|line| line.starts_with("consul_")) {
        return Err(ParseError::Missing("consul_ series, as Consul's have"));
    }
    sample.system = Some(Dialect::Consul);
    sample.started_unix_s = scraped.number("process_start_time_seconds");
    for (metric, name) in NUMBERS {
        if let Some(value) = scraped.number(name) {
            sample.push(metric, value);
        }
    }
    if sample.role == Some(Role::Leader)
        && let Some(sessions) = scraped.number("consul_session_ttl_active")
    {
        sample.push(&catalog::SESSIONS, sessions);
    }
    for (metric, labels, name, per_second) in SUMMARIES {
        push_summary(sample, metric, labels, &scraped, (name, &[]), *per_second);
    }
    let count = format!("{REQUESTS}_count");
    for path in scraped.values_of(&count, "path") {
        for method in scraped.values_of(&count, "method").into_iter().take(METHODS_MAX) {
            let with: (&str, &[(&str, &str)]) = (REQUESTS, &[("path", path), ("method", method)]);
            let op = format!("{method} {path}");
            push_summary(sample, &catalog::REQUEST_DURATION, &[&op], &scraped, with, MS);
        }
    }
    for peer in scraped.values_of(&format!("{PEER_ROUND_TRIP}_count"), "peer_id") {
        let of_peer: (&str, &[(&str, &str)]) = (PEER_ROUND_TRIP, &[("peer_id", peer)]);
        push_summary(sample, &catalog::PEER_ACK, &[peer], &scraped, of_peer, MS);
    }
    Ok(())
}

fn push_summary(
    sample: &mut Sample,
    metric: &'static catalog::Metric,
    labels: &[&str],
    scraped: &Scraped,
    (name, with): (&str, &[(&str, &str)]),
    per_second: f64,
) {
    if let Some(Histogram { count, sum, .. }) = scraped.histogram(name, with) {
        sample.push_histogram(
            metric,
            labels,
            Histogram { buckets: Vec::new(), count, sum: sum / per_second },
        );
    }
}

/// What of `/v1/agent/self` is made use of. Every number is a string there.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    config: Config,
    stats: Stats,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    node_name: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Stats {
    raft: Option<Raft>,
}

#[derive(Deserialize)]
struct Raft {
    state: Option<String>,
    term: Option<String>,
    commit_index: Option<String>,
    applied_index: Option<String>,
    last_log_index: Option<String>,
}

/// What of the configuration is made use of.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Node")]
    node: String,
    #[serde(rename = "Voter")]
    voter: bool,
}

impl Server {
    /// The node's name; the id of one that has left the gossip, whose name is not known.
    fn name(&self) -> &str {
        if self.node.is_empty() || self.node == "(unknown)" { &self.id } else { &self.node }
    }
}

/// What of autopilot's view is made use of.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Autopilot {
    servers: Vec<Health>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    voter: bool,
    healthy: bool,
    leader: bool,
}

#[cfg(test)]
mod tests;
