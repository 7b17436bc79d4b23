//! The run record: a folder of plain files, written while the run goes, and the only interface between
//! measuring and judging.
//!
//! | file | content | type |
//! |---|---|---|
//! | `run.json` | what was run, against what, on which machine | [`Manifest`] |
//! | `intervals.ndjson` | counts and quantiles of every interval | [`IntervalLine`] |
//! | `latency.hlog` | HdrHistogram interval log V2 | [`hlog`] |
//! | `members.ndjson` | samples of the members | [`MemberLine`] |
//! | `events.ndjson` | phases, sessions, warnings | [`Event`] |
//! | `history/` | every op of the streams whose history is kept | [`HistoryRow`] |
//! | `summary.json` | what was computed from all of the above | [`Summary`] |
//!
//! Every time is in nanoseconds since the start of the run on one monotonic clock; wall time stands in the
//! manifest alone. [`RecordWriter`] flushes after every interval, so a crash loses at most one;
//! [`RecordReader`] reads a record of any age that it knows, whole or cut short.

mod calibration;
mod event;
mod failover;
mod history;
pub mod hlog;
mod interval;
mod line;
mod manifest;
mod member;
mod quantiles;
mod reader;
mod schema;
pub mod stage;
mod summary;
mod writer;

pub use calibration::{
    Calibration, CalibrationNote, DepthCost, MachineIdentity, RateLimit, RateTrial, TimerLag,
};
pub use event::{Event, EventKind, Phase, SessionChange, StopReason};
pub use failover::{
    Counts, Durations, FailoverPlan, FailoverSummary, FaultStage, InvalidRepetition, PolicySummary,
    ProbeInfo, ProbeRole, RepetitionSummary,
};
pub use history::{HISTORY_DIR, HistoryRow, HistoryRows, MAGIC as HISTORY_MAGIC, ROW_BYTES, RowKind};
pub use interval::{
    FanOutSummary, GeneratorLine, IntervalLine, KeysLine, OpLine, OpPhase, SessionsLine, StreamCounts,
    StreamLine, ValueBytes, WatchLine, WorkerUse,
};
pub use manifest::{
    Environment, LifeInfo, LoopKind, Manifest, MemberInfo, OpInfo, PhasePlan, StreamInfo, TargetInfo, Tool,
    WallStart, WatchInfo,
};
pub use member::{MemberLine, ProcessUse, TimeSum};
pub use quantiles::{DURATION_BOUNDS, Quantiles, new_duration_histogram};
pub use reader::{ReadError, RecordReader, read_summary};
pub use schema::schemas;
pub use summary::{
    Accounting, GateOutcome, GateResult, Generator, GeneratorVerdict, InFlightAtSend, KeyDistribution,
    LittlesLaw, OpSummary, SessionsSummary, StreamSummary, Summary, Verdict, WatchSummary,
};
pub use writer::{RecordWriter, WriteError};

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "run.json";
/// The interval lines' file name.
pub const INTERVALS_FILE: &str = "intervals.ndjson";
/// The interval log's file name.
pub const HLOG_FILE: &str = "latency.hlog";
/// The member samples' file name.
pub const MEMBERS_FILE: &str = "members.ndjson";
/// The events' file name.
pub const EVENTS_FILE: &str = "events.ndjson";
/// The summary's file name.
pub const SUMMARY_FILE: &str = "summary.json";
