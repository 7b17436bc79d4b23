//! `members.ndjson`: what is known of the members while the run goes, a line per member and poll.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A member at one instant. What a member does not tell is `null`, never 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberLine {
    /// Nanoseconds since the run's start.
    pub t_ns: u64,
    /// Client address of the member.
    pub member: String,
    /// `leader`, `follower`, `observer`, `standalone` or `read-only`; `null` when the member did not answer.
    pub role: Option<String>,
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
