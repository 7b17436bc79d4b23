//! `members.ndjson`: what is known of the members while the run goes, a line per member and poll.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A member at one instant. What a member does not tell is `null`, never 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberLine {
    /// Nanoseconds since the run's start.
    pub t_ns: u64,
    /// Client address of the member.
    pub member: String,
    /// `leader`, `follower`, `observer`, `standalone` or `read-only`; `null` when the member did not answer,
    /// or has none.
    pub role: Option<String>,
    /// Whether the member takes part: `election`, `discovery`, `synchronization` or `broadcast`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zab_state: Option<String>,
    /// Term of the leader that it last followed or was (ZooKeeper: the upper half of the zxid).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
    /// Followers that the leader knows to be synced; absent of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_followers: Option<u64>,
    /// Elections that it took part in since it started, and how long they took by its own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elections: Option<TimeSum>,
    /// How often and how long it was out of the broadcast phase since it started, by its own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<TimeSum>,
    /// The same, of the times that ended with it as the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_unavailable: Option<TimeSum>,
    /// Between the question and the answer, nanoseconds: what the member told is of some instant in the time before `t_ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_ns: Option<u64>,
    /// The last zxid that the member has applied.
    pub zxid: Option<i64>,
    /// Requests that the member has received since it started, as it counts them.
    pub packets_received: Option<u64>,
    /// Replies and events that the member has sent since it started, as it counts them.
    pub packets_sent: Option<u64>,
    /// Requests inside the member.
    pub outstanding_requests: Option<u64>,
    /// Client connections that the member holds.
    pub connections: Option<u64>,
    /// znodes in the member's tree.
    pub znodes: Option<u64>,
    /// What the operating system says of the process, for members started by this tool.
    pub process: Option<ProcessUse>,
    /// Everything that it told, once a second: the value of each `quorum_*` series, named as in an exposition without the
    /// labels `cluster` and `member`, as in `quorum_term`, `quorum_election_duration_seconds_sum` or
    /// `quorum_peer_ack_seconds_count{peer="2"}`. Of histograms there are sum and count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

/// Times that a member has counted since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeSum {
    /// How many.
    pub count: u64,
    /// Their sum, nanoseconds (resolution: a millisecond).
    pub sum_ns: u64,
}

/// What a process has used since it started, from `/proc`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessUse {
    /// CPU time of all threads, user and system, in nanoseconds (resolution: a clock tick, 10 ms).
    pub cpu_ns: u64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Bytes that the process caused to be read from storage; `null` where the kernel does not tell.
    pub read_bytes: Option<u64>,
    /// Bytes that the process caused to be written to storage; `null` where the kernel does not tell.
    pub written_bytes: Option<u64>,
}
