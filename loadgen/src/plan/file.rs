//! The fields of a workload file. What is documented here is what the JSON Schema says.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use quorumeter_record::stage;
use quorumeter_targets::Change;
use quorumeter_targets::policy::Policy;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::keys::Keys;
use crate::schedule::{Arrival, Profile};
use crate::values::Sizes;
use quorumeter_targets::text_form;
use quorumeter_targets::units::Dur;

/// A Quorumeter workload: what to run against a coordination service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadFile {
    /// Name of the workload, for reports.
    pub name: String,
    /// Seed of everything that is drawn at random: the same seed gives the same ops at the same intended times.
    /// Drawn, and recorded, when it is left out.
    pub seed: Option<u64>,
    /// Lengths of the phases.
    pub phases: Phases,
    /// The nodes that exist before load begins.
    pub dataset: DatasetTable,
    /// What all sessions have in common.
    pub client: Client,
    /// The load generator itself.
    pub engine: Engine,
    /// The streams: each some sessions that issue a mix of ops on a schedule, or watch.
    pub stream: Vec<StreamTable>,
    /// What must hold: a metric and a condition each, as in `"app.read.response.p99" = "< 10ms"`.
    pub gates: IndexMap<String, String>,
    /// What must hold for the run to go on, in the same form: a brake for shared ensembles.
    pub abort: Abort,
}

impl Default for WorkloadFile {
    fn default() -> Self {
        WorkloadFile {
            name: "unnamed".into(),
            seed: None,
            phases: Phases::default(),
            dataset: DatasetTable::default(),
            client: Client::default(),
            engine: Engine::default(),
            stream: Vec::new(),
            gates: IndexMap::new(),
            abort: Abort::default(),
        }
    }
}

/// Lengths of the phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Phases {
    /// Load that is not judged, before the measured window.
    pub warmup: Dur,
    /// The measured window.
    pub measure: Dur,
    /// Longest wait, after the measured window, for what is still open; up to 10 s.
    pub drain: Dur,
}

impl Default for Phases {
    fn default() -> Self {
        let seconds = |s: u64| Dur(s * 1_000_000_000);
        Phases { warmup: seconds(5), measure: seconds(30), drain: seconds(10) }
    }
}

/// The nodes that exist before load begins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DatasetTable {
    /// How many nodes.
    pub nodes: u32,
    /// How large their values are, and those that streams write unless they say otherwise.
    pub value: Sizes,
    /// How many of them share a parent: what one `list` returns.
    pub children_per_parent: u32,
}

impl Default for DatasetTable {
    fn default() -> Self {
        DatasetTable { nodes: 10_000, value: Sizes::Fixed(super::units::Size(256)), children_per_parent: 100 }
    }
}

/// What all sessions have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Client {
    /// What a session does when its connection is gone: `ideal`, `java`, `kazoo` or `none`.
    pub policy: PolicyName,
    /// Session timeout to ask for. Servers clamp it to what they allow.
    pub session_timeout: Dur,
    /// How long all sessions together may take to connect before the run is given up.
    pub connect_limit: Dur,
    /// Whether sessions attach to a member that has lost its quorum and serves reads alone (ZooKeeper's
    /// `readonlymode.enabled`). It answers writes with NotReadOnly, and its reads may be old. A session stays there until
    /// the member ends the connection. Without it such a member refuses them. Apache ZooKeeper 3.9 takes no session back
    /// then that the whole ensemble knows, and makes new ones with `localSessionsEnabled` alone (which with
    /// `localSessionsUpgradingEnabled` lets a run take its lock); and as it answers a write there before the reads that
    /// came earlier, which breaks the protocol and ends the connection, such streams need a `depth` of 1.
    pub read_only: bool,
    /// Credentials of the scheme `digest`. What the run creates is then its own alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthTable>,
}

impl Default for Client {
    fn default() -> Self {
        Client {
            policy: PolicyName(Policy::Ideal),
            session_timeout: Dur(10_000_000_000),
            connect_limit: Dur(30_000_000_000),
            read_only: false,
            auth: None,
        }
    }
}

/// Credentials of the scheme `digest`. The password comes from a file or the environment; it is in no workload
/// file, on no command line, and in no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthTable {
    /// The user.
    pub user: String,
    /// A file whose first line is the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
    /// An environment variable that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
}

/// The load generator itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Worker threads; 0 chooses: half of the cores when the target is on this machine, else all.
    pub workers: u32,
    /// What wakes a worker for the next op.
    pub timer: TimerKind,
    /// How long before the op the spinning begins, 50 µs when left out. Only with the timer `spin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spin: Option<Dur>,
    /// Length of the recorder's interval.
    pub interval: Dur,
    /// Whether each worker keeps to one core, when there are more cores than workers.
    pub pin: bool,
}

impl Default for Engine {
    fn default() -> Self {
        Engine { workers: 0, timer: TimerKind::Timerfd, spin: None, interval: Dur(1_000_000_000), pin: true }
    }
}

/// What wakes a worker for the next op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    /// The kernel's high-resolution timer.
    Timerfd,
    /// The same until shortly before the op, then polling without sleep. For a core of its own only.
    Spin,
    /// tokio's timer, which ticks in milliseconds: for comparison.
    Tokio,
}

/// A stream: some sessions that issue a mix of ops on a schedule, or watch, or come and go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamTable {
    /// Its name: small letters, digits, `_` and `-`.
    pub name: String,
    /// How many sessions it has.
    #[serde(default = "default_sessions")]
    pub sessions: u32,
    /// How many ops each session may have in flight.
    #[serde(default = "default_depth")]
    pub depth: u32,
    /// The offered rate of all its sessions together: `"20k/s"`, `"ramp(1k/s, 20k/s, 30s)"`,
    /// `"steps(10s, 1k/s, 5k/s)"`, `"sine(10k/s, 5k/s, 20s)"`. Left out: a closed loop, in which every reply starts
    /// the next op.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Profile>,
    /// How ops arrive: `poisson` (the default), `constant` or `bursts(100)`. Only with a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Arrival>,
    /// How much may wait: what the schedule produces in this time. More is shed, oldest first. Only with a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Dur>,
    /// Ops and their weights: `{ read = 90, write = 10 }`. Known: `read`, `read_fresh`, `read_strongest`, `exists`,
    /// `list`, `write`, `write_cas`, `create`, `create_sequential`, `create_ephemeral`, `create_child`, `delete`,
    /// `multi(n)`, `sync`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub mix: IndexMap<String, f64>,
    /// Which nodes: `uniform` (the default), `zipf(0.99)`, `latest(0.99)`, `sequential`, `hot(0.1, 0.9)`, or `own`: each
    /// session has one node of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    /// Which part of the dataset its keys are of: the number of its first node, from 0, and how many it has. The whole
    /// dataset when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<[u32; 2]>,
    /// Sizes of the values it writes; the dataset's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Sizes>,
    /// Members that its sessions connect to: `"all"` (the default), `"leader"`, `"followers"`, `"observers"`, or a
    /// list of their numbers in the target, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
    /// Client policy, where it differs from `[client]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
    /// Session timeout, where it differs from `[client]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_timeout: Option<Dur>,
    /// Makes it a stream of watchers, which issues no ops of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<WatchTable>,
    /// Makes it a stream of session lives: its ops are sessions that come and go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<LifeTable>,
    /// Whether each of its ops and watch events is kept, one by one, in the record's folder `history/`: 72 bytes each. Of
    /// sessions that come and go these are the ops, their first requests, ends, pings and expiries. Of a worker's rows of one
    /// interval 1,048,576 are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
}

impl StreamTable {
    /// A stream with nothing but its name and sessions.
    pub fn named(name: String, sessions: u32) -> StreamTable {
        StreamTable {
            name,
            sessions,
            depth: default_depth(),
            rate: None,
            arrival: None,
            backlog: None,
            mix: IndexMap::new(),
            keys: None,
            nodes: None,
            value: None,
            members: None,
            policy: None,
            session_timeout: None,
            watch: None,
            life: None,
            history: false,
        }
    }
}

fn default_sessions() -> u32 {
    8
}

pub(super) fn default_depth() -> u32 {
    16
}

/// The watches of a stream of watchers, which tell changes of the dataset's nodes: of their data, or of the children that
/// streams create and delete below them (`create_child`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchTable {
    /// How long a watch lasts.
    pub kind: WatchKind,
    /// What is watched, and what sets a one-shot watch.
    #[serde(default, skip_serializing_if = "WatchOn::is_default")]
    pub on: WatchOn,
    /// Watchers of each path, on distinct sessions.
    #[serde(default = "default_watchers")]
    pub watchers: u32,
    /// How many nodes are watched: the first ones of the dataset; of a `recursive` watch on data, how many of its parents.
    /// All when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<u32>,
}

/// The sessions of a stream of session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LifeTable {
    /// What one life is.
    pub cycle: Cycle,
    /// How long a session is held, kept alive, between its first op and its end. Only with `close` and `drop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Dur>,
}

/// What one life of a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cycle {
    /// The session connects before the load, does nothing, and is kept alive to the run's end.
    Idle,
    /// Each op makes a session, which reads a node, is held, and is closed.
    Close,
    /// Each op makes a session, which reads a node, is held, and loses its connection: it stays at the server until
    /// its timeout has passed.
    Drop,
    /// The sessions connect before the load. Each op takes a session's connection away, and takes the session up again
    /// on another as the client policy says, up to the read of a node. Bursts of as many ops as there are sessions are
    /// a reconnect storm.
    Reattach,
    /// Each op makes a session, which creates an ephemeral node and falls silent. Another session is told when the
    /// node is gone.
    Expire,
}

impl Cycle {
    /// The name in files and records.
    pub fn name(self) -> &'static str {
        match self {
            Cycle::Idle => "idle",
            Cycle::Close => "close",
            Cycle::Drop => "drop",
            Cycle::Reattach => "reattach",
            Cycle::Expire => "expire",
        }
    }

    /// Name of the op that is scheduled, if one is.
    pub fn op(self) -> Option<&'static str> {
        match self {
            Cycle::Idle => None,
            Cycle::Close | Cycle::Drop | Cycle::Expire => Some("connect"),
            Cycle::Reattach => Some("reattach"),
        }
    }

    /// The stages that are observed beside it.
    pub fn stages(self) -> &'static [&'static str] {
        match self {
            Cycle::Idle => &[stage::PING],
            Cycle::Close => &[stage::TCP, stage::TLS, stage::HANDSHAKE, stage::FIRST_OP, stage::CLOSE],
            Cycle::Drop | Cycle::Reattach => &[stage::TCP, stage::TLS, stage::HANDSHAKE, stage::FIRST_OP],
            Cycle::Expire => &[stage::TCP, stage::TLS, stage::HANDSHAKE, stage::FIRST_OP, stage::EXPIRY],
        }
    }

    /// Whether the first op of a session is a read of a node.
    pub fn reads(self) -> bool {
        matches!(self, Cycle::Close | Cycle::Drop | Cycle::Reattach)
    }

    /// Whether its sessions connect before the load.
    pub fn connects_first(self) -> bool {
        matches!(self, Cycle::Idle | Cycle::Reattach)
    }
}

fn default_watchers() -> u32 {
    1
}

/// How long a watch lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WatchKind {
    /// Until it fires; then it is set again at once.
    OneShot,
    /// Until it is removed.
    Persistent,
    /// Until it is removed, set once for all that is below: on a parent of the dataset to tell of its nodes' data, on a
    /// node to tell of its children.
    Recursive,
}

/// What is watched, and what sets a one-shot watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WatchOn {
    /// The node's data. A one-shot watch is set by a read, whose reply carries the value.
    #[default]
    Data,
    /// The node's data. A one-shot watch is set by the question whether the node exists, whose reply carries no value.
    Exists,
    /// The node's children, which come and go. A one-shot watch is set by listing them.
    Children,
}

impl WatchOn {
    fn is_default(&self) -> bool {
        *self == WatchOn::Data
    }

    /// The name in files and records.
    pub fn name(self) -> &'static str {
        match self {
            WatchOn::Data => "data",
            WatchOn::Exists => "exists",
            WatchOn::Children => "children",
        }
    }

    /// What of a node its watches tell.
    pub fn change(self) -> Change {
        match self {
            WatchOn::Data | WatchOn::Exists => Change::Data,
            WatchOn::Children => Change::Children,
        }
    }
}

impl WatchKind {
    /// The name in files and records.
    pub fn name(self) -> &'static str {
        match self {
            WatchKind::OneShot => "one-shot",
            WatchKind::Persistent => "persistent",
            WatchKind::Recursive => "recursive",
        }
    }
}

/// Expressions that stop a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Abort {
    /// For how long an expression must be violated, interval after interval, before the run is stopped.
    pub grace: Dur,
    /// The expressions: a metric and a condition each.
    #[serde(flatten)]
    pub conditions: IndexMap<String, String>,
}

impl Default for Abort {
    fn default() -> Self {
        Abort { grace: Dur(5_000_000_000), conditions: IndexMap::new() }
    }
}

/// A client policy, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyName(pub Policy);

impl std::str::FromStr for PolicyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Policy::from_name(text).map(PolicyName).ok_or_else(|| {
            let known: Vec<_> = Policy::ALL.iter().map(ToString::to_string).collect();
            format!("{text:?} is no client policy; known: {}", known.join(", "))
        })
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_form!(
    PolicyName,
    false,
    "a client policy: \"ideal\", \"java\", \"kazoo\" or \"none\"",
    ["ideal", "java", "kazoo", "none"]
);

/// Members that sessions connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Every one.
    All,
    /// The leader, wherever it is.
    Leader,
    /// Followers.
    Followers,
    /// Observers.
    Observers,
    /// These, by their number in the target, from 1.
    Numbers(Vec<u32>),
}

impl Members {
    const NAMES: [(&str, Members); 4] = [
        ("all", Members::All),
        ("leader", Members::Leader),
        ("followers", Members::Followers),
        ("observers", Members::Observers),
    ];
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrNumbers;
        impl<'de> Visitor<'de> for NameOrNumbers {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\", \"leader\", \"followers\", \"observers\", or a list of member numbers")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Members, E> {
                Members::NAMES
                    .into_iter()
                    .find_map(|(known, members)| (known == name).then_some(members))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(name), &self))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Members, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = seq.next_element()? {
                    numbers.push(number);
                }
                Ok(Members::Numbers(numbers))
            }
        }
        deserializer.deserialize_any(NameOrNumbers)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Members::NAMES.iter().find(|(_, members)| members == self) {
            Some((name, _)) => serializer.serialize_str(name),
            None => match self {
                Members::Numbers(numbers) => numbers.serialize(serializer),
                _ => serializer.serialize_none(),
            },
        }
    }
}

impl JsonSchema for Members {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Members".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "type": "string", "enum": ["all", "leader", "followers", "observers"] },
            { "type": "array", "items": { "type": "integer", "minimum": 1 }, "minItems": 1 }
        ]})
    }
}

/// The JSON Schema of workload files.
pub fn workload_schema() -> Schema {
    schema_for!(WorkloadFile)
}
