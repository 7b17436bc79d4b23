//! `events.ndjson`: what happened, a line each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::FaultStage;

/// One fact with a time on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Nanoseconds since the run's start.
    pub t_ns: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A phase begins.
    Phase {
        /// Which one.
        phase: Phase,
    },
    /// A session of the load changed its state.
    Session {
        /// Stream it belongs to.
        stream: String,
        /// Its number within the stream, from 0.
        session: u32,
        /// What changed.
        change: SessionChange,
        /// Client address of the member concerned.
        member: String,
        /// The session's id at the server as 16 hexadecimal digits; empty before there is one.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        session_id: String,
        /// Whether the member serves reads alone, as it has lost its quorum: of a session that was attached to it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        read_only: bool,
        /// The cause, in words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        cause: String,
    },
    /// A member's role was seen to be what it was not before.
    Role {
        /// Client address of the member.
        member: String,
        /// `leader`, `follower`, `observer`, `standalone`, `read-only` or `unknown`.
        role: String,
    },
    /// A step of a fault.
    Fault {
        /// Number of the repetition, from 1.
        repetition: u32,
        /// The fault, as in the manifest's plan.
        fault: String,
        /// Which step.
        stage: FaultStage,
        /// Client addresses of the members that it is about.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<String>,
        /// More about it, in words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// What a write left behind, found by reading a node at one member after everything had settled. The time is before
    /// the sync that the read followed: what had been acknowledged by then must be there.
    Audit {
        /// Number of the repetition after which it was read, from 1.
        repetition: u32,
        /// Client address of the member that was asked, after a sync.
        member: String,
        /// Number of the dataset's node.
        key: u32,
        /// The node's data version; `null` when the node was not there.
        version: Option<i32>,
        /// The transaction that wrote it last; `null` when the node was not there.
        mzxid: Option<i64>,
    },
    /// The measurement is ended before its time.
    Stop {
        /// Why.
        reason: StopReason,
        /// More about it, in words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// Something that a reader of the results should know.
    Warning {
        /// The warning, in words.
        text: String,
    },
    /// The record is complete: nothing follows.
    End,
}

/// The phases of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Sessions are established.
    Connect,
    /// The target is looked at: version, roles, leftovers, the right to write.
    Precheck,
    /// The dataset is created.
    Prefill,
    /// Load runs, and is not judged.
    Warmup,
    /// Load runs, and is judged.
    Measure,
    /// No new operation is scheduled; what is open is answered, or given up after a limit.
    Drain,
    /// What the run created is removed.
    Cleanup,
}

/// How a session's state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionChange {
    /// A new session was established.
    Connected,
    /// The connection is gone; the session may live on at the server.
    Lost,
    /// The same session continues on a new connection to the same member.
    Reattached,
    /// The same session continues on a new connection to another member.
    Moved,
    /// The server says that the session has expired.
    Expired,
    /// A connection could not be made, or its handshake failed.
    ConnectFailed,
}

/// Why a measurement ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Ctrl-C or SIGTERM.
    Signal,
    /// An `[abort]` expression did not hold for its grace period.
    Abort,
    /// The run could not go on (a full disk, a lost lock, a worker that failed).
    Error,
}
