//! The answers of etcd: its metrics, and two of its JSON gateway (`POST /v3/maintenance/status`,
//! `POST /v3/cluster/member/list`), which writes 64-bit numbers as strings and leaves out what is 0.
//!
//! | field | of | |
//! |---|---|---|
//! | role, term, known leader, alarms | [`status`] | all of one instant: read it first, so that nobody leads in a later term by a mixture |
//! | voter map | [`member_list`] | learners are no voters |
//! | the rest | [`metrics`] | commit and applied index are gauges there, though they are called `_total` |
//!
//! Ids are written in hexadecimal, as etcd itself does in its metrics and its log. A field that another answer has told
//! already is left as it is.

use serde::Deserialize;

use crate::catalog;
use crate::parse_error::{ParseError, json};
use crate::prometheus_text::{self, Scraped, whole};
use crate::sample::{Dialect, Role, Sample};

/// Gauges and counters without labels that are of use as they are: ours, and the names under which etcd has them, the
/// best first.
static NUMBERS: &[(&catalog::Metric, &[&str])] = &[
    (&catalog::MEMBER_LEADER_CHANGES, &["etcd_server_leader_changes_seen_total"]),
    (&catalog::PROPOSALS_PENDING, &["etcd_server_proposals_pending"]),
    (&catalog::PROPOSALS_FAILED, &["etcd_server_proposals_failed_total"]),
    (&catalog::SESSIONS_EXPIRED, &["etcd_debugging_server_lease_expired_total"]),
    (&catalog::WATCHES, &["etcd_debugging_mvcc_watcher_total"]),
    (&catalog::KEYS, &["etcd_debugging_mvcc_keys_total"]),
    (&catalog::DATA_BYTES, &["etcd_mvcc_db_total_size_in_use_in_bytes"]),
    (&catalog::STORAGE_BYTES, &["etcd_mvcc_db_total_size_in_bytes"]),
    (&catalog::QUOTA_BYTES, &["etcd_server_quota_backend_bytes"]),
    // etcd's own are renewed every 10 minutes.
    (&catalog::OPEN_FDS, &["process_open_fds", "os_fd_used"]),
    (&catalog::MAX_FDS, &["process_max_fds", "os_fd_limit"]),
    (&catalog::CPU_SECONDS, &["process_cpu_seconds_total"]),
    (&catalog::RESIDENT_BYTES, &["process_resident_memory_bytes"]),
];

/// Histograms: ours, our labels, and etcd's name.
static HISTOGRAMS: &[(&catalog::Metric, &[&str], &str)] = &[
    (&catalog::FSYNC_DURATION, &[], "etcd_disk_wal_fsync_duration_seconds"),
    (&catalog::SNAPSHOT_DURATION, &[], "etcd_disk_backend_snapshot_duration_seconds"),
    (&catalog::STAGE_DURATION, &["log"], "etcd_disk_wal_fsync_duration_seconds"),
    (&catalog::STAGE_DURATION, &["apply"], "etcd_server_apply_duration_seconds"),
    (&catalog::STAGE_DURATION, &["commit"], "etcd_disk_backend_commit_duration_seconds"),
];

/// Histograms that there is one of for each value of a label: ours, etcd's name, and the label's.
static HISTOGRAMS_BY_LABEL: &[(&catalog::Metric, &str, &str)] = &[
    (&catalog::PEER_ACK, "etcd_network_peer_round_trip_time_seconds", "To"),
    (&catalog::REQUEST_DURATION, "etcd_server_request_duration_seconds", "type"),
];

/// Takes in `/metrics`.
///
/// # Errors
///
/// Those of [`prometheus_text::parse`], and [`ParseError::Missing`] for metrics of something else than etcd.
pub fn metrics(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let scraped = prometheus_text::parse(answer)?;
    let flag = |name| scraped.number(name).map(|value| value == 1.0);
    let has_leader = flag("etcd_server_has_leader")
        .ok_or(ParseError::Missing("etcd_server_has_leader, as etcd's have"))?;
    sample.system = Some(Dialect::Etcd);
    let is_learner = flag("etcd_server_is_learner");
    let role = match (flag("etcd_server_is_leader"), is_learner) {
        (Some(true), _) => Role::Leader,
        (_, Some(true)) => Role::Observer,
        _ if has_leader => Role::Follower,
        _ => Role::Candidate,
    };
    sample.role.get_or_insert(role);
    sample.has_leader.get_or_insert(has_leader);
    sample.serving.get_or_insert(has_leader);
    sample.voter = sample.voter.or(is_learner.map(|is_learner| !is_learner));
    sample.version =
        sample.version.take().or_else(|| label(&scraped, "etcd_server_version", "server_version"));
    sample.member_id = sample.member_id.take().or_else(|| label(&scraped, "etcd_server_id", "server_id"));
    // They are of the same instant, which those of the status are not.
    let index = |name| scraped.number(name).and_then(whole);
    sample.commit_index = index("etcd_server_proposals_committed_total").or(sample.commit_index);
    sample.applied_index = index("etcd_server_proposals_applied_total").or(sample.applied_index);
    sample.started_unix_s = scraped.number("process_start_time_seconds").or(sample.started_unix_s);
    for (metric, names) in NUMBERS {
        let value = names.iter().find_map(|name| scraped.number(name));
        // A quota that is negative is none (etcd, `storage.NewBackendQuota`).
        if let Some(value) = value.filter(|value| *value > 0.0 || metric.name != catalog::QUOTA_BYTES.name) {
            sample.push(metric, value);
        }
    }
    for (metric, labels, name) in HISTOGRAMS {
        if let Some(histogram) = scraped.histogram(name, &[]) {
            sample.push_histogram(metric, labels, histogram);
        }
    }
    for (metric, name, label) in HISTOGRAMS_BY_LABEL {
        for value in scraped.values_of(&format!("{name}_count"), label) {
            if let Some(histogram) = scraped.histogram(name, &[(label, value)]) {
                sample.push_histogram(metric, &[value], histogram);
            }
        }
    }
    Ok(())
}

/// The label of the series that is 1.
fn label(scraped: &Scraped, name: &str, label: &str) -> Option<String> {
    let (labels, _) = scraped.with(name).find(|(_, value)| *value == 1.0)?;
    labels.get(label).map(str::to_owned)
}

/// Takes in the answer to `POST /v3/maintenance/status`.
///
/// # Errors
///
/// Those of [`json`], [`ParseError::Missing`] without a term, and [`ParseError::Value`].
pub fn status(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let told: Status = json(answer)?;
    let id = told.header.member_id.number("member_id")?;
    let term = told.raft_term.number("raftTerm")?;
    let leader = told.leader.number("leader")?;
    let commit_index = told.raft_index.number("raftIndex")?;
    let applied_index = told.raft_applied_index.number("raftAppliedIndex")?;
    let (storage_bytes, data_bytes) =
        (told.db_size.number("dbSize")?, told.db_size_in_use.number("dbSizeInUse")?);
    if id == 0 || term == 0 {
        return Err(ParseError::Missing("header.member_id and raftTerm, as etcd's status has"));
    }
    // Without a leader it says that in the same place.
    let alarms = told.errors.iter().filter(|error| error.contains("alarm:")).count();
    sample.system = Some(Dialect::Etcd);
    sample.version = sample.version.take().or(told.version);
    sample.member_id.get_or_insert_with(|| format!("{id:x}"));
    sample.role = Some(match leader {
        _ if told.is_learner => Role::Observer,
        0 => Role::Candidate,
        leader if leader == id => Role::Leader,
        _ => Role::Follower,
    });
    sample.voter.get_or_insert(!told.is_learner);
    sample.has_leader = Some(leader != 0);
    sample.serving = Some(leader != 0 && alarms == 0);
    sample.term = Some(term);
    sample.commit_index.get_or_insert(commit_index);
    sample.applied_index.get_or_insert(applied_index);
    sample.push(&catalog::ALARMS, alarms as f64);
    for (metric, bytes) in [(&catalog::STORAGE_BYTES, storage_bytes), (&catalog::DATA_BYTES, data_bytes)] {
        if bytes != 0 {
            sample.push(metric, bytes as f64);
        }
    }
    Ok(())
}

/// Takes in the answer to `POST /v3/cluster/member/list`.
///
/// # Errors
///
/// Those of [`json`], [`ParseError::Missing`] without a member, and [`ParseError::Value`].
pub fn member_list(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let told: MemberList = json(answer)?;
    let own = told.header.member_id.number("member_id")?;
    let mut voters = Vec::new();
    for member in told.members.iter().filter(|member| !member.is_learner) {
        voters.push(member.id.number("ID")?);
    }
    if told.members.is_empty() || own == 0 {
        return Err(ParseError::Missing("members, as etcd's list has"));
    }
    voters.sort_unstable();
    sample.system = Some(Dialect::Etcd);
    sample.voter = Some(voters.contains(&own));
    sample.member_id.get_or_insert_with(|| format!("{own:x}"));
    let mut ids: Vec<String> = voters.iter().map(|id| format!("{id:x}")).collect();
    ids.sort_unstable();
    sample.voter_ids = Some(ids);
    Ok(())
}

/// What of the status is made use of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    header: Header,
    version: Option<String>,
    #[serde(default)]
    leader: Number,
    #[serde(default)]
    raft_term: Number,
    #[serde(default)]
    raft_index: Number,
    #[serde(default)]
    raft_applied_index: Number,
    #[serde(default)]
    db_size: Number,
    #[serde(default)]
    db_size_in_use: Number,
    #[serde(default)]
    is_learner: bool,
    #[serde(default)]
    errors: Vec<String>,
}

/// What of the list is made use of.
#[derive(Deserialize)]
struct MemberList {
    header: Header,
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    #[serde(rename = "ID")]
    id: Number,
    #[serde(default, rename = "isLearner")]
    is_learner: bool,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    member_id: Number,
}

/// A 64-bit number: a string in the gateway's JSON. One that is 0 is not there.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

impl Default for Number {
    fn default() -> Number {
        Number::Plain(0)
    }
}

impl Number {
    fn number(&self, field: &str) -> Result<u64, ParseError> {
        match self {
            Number::Plain(number) => Ok(*number),
            Number::Text(text) => text.parse().map_err(|_| ParseError::value(field, text)),
        }
    }
}

#[cfg(test)]
mod tests;
