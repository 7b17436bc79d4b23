//! The validated workload: what the engine runs.

use quorumeter_targets::policy::Policy;
use quorumeter_targets::zookeeper::Dataset;
use quorumeter_targets::{Change, Nodes, OpKind};

use super::check::check;
use super::file::{Cycle, Members, WatchKind, WatchOn, WorkloadFile};
use super::read::{Origins, Override, PlanError, read};
use crate::keys::Keys;
use crate::schedule::{Arrival, Profile};
use crate::values::Sizes;

/// A workload that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// The fields in effect: file, overrides, defaults, and the seed that was drawn.
    pub file: WorkloadFile,
    /// Seed of everything that is drawn at random.
    pub seed: u64,
    /// Lengths of the phases, nanoseconds.
    pub warmup_ns: u64,
    /// The measured window, nanoseconds.
    pub measure_ns: u64,
    /// Longest drain, nanoseconds.
    pub drain_ns: u64,
    /// Length of the recorder's interval, nanoseconds.
    pub interval_ns: u64,
    /// The nodes.
    pub dataset: Dataset,
    /// Sizes of their values.
    pub dataset_value: Sizes,
    /// The streams.
    pub streams: Vec<Stream>,
    /// Credentials, if any.
    pub credentials: Option<Credentials>,
    /// How long before an op spinning begins, nanoseconds; `None` when the timer is another.
    pub spin_ns: Option<u64>,
}

/// User and password. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// A stream that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Sessions.
    pub sessions: u32,
    /// Ops in flight per session, at most.
    pub depth: u32,
    /// Who decides when its ops start.
    pub load: Load,
    /// Its ops; none for watchers, and for lives of sessions.
    pub ops: Vec<StreamOp>,
    /// What its sessions come and go for, if that is what it measures. [`Load`] says when they do.
    pub life: Option<Life>,
    /// How its keys are chosen.
    pub keys: Keys,
    /// Among which nodes.
    pub nodes: Nodes,
    /// Sizes of the values it writes.
    pub value: Sizes,
    /// Members that its sessions connect to.
    pub placement: Placement,
    /// Client policy.
    pub policy: Policy,
    /// Session timeout to ask for, milliseconds.
    pub session_timeout_ms: u32,
    /// Whether its ops and events are kept one by one.
    pub history: bool,
}

/// One kind of op of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamOp {
    /// What it does.
    pub kind: OpKind,
    /// Its weight in the mix, above 0.
    pub weight: f64,
}

/// Who decides when a stream's ops start.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// The schedule.
    Open {
        /// Offered rate.
        profile: Profile,
        /// Arrival process.
        arrival: Arrival,
        /// Ops that may wait per session.
        backlog_per_session: usize,
    },
    /// The reply before.
    Closed,
    /// The server: the stream watches.
    Watch(Watch),
    /// Nobody: its sessions are kept alive.
    Idle,
}

/// Lives of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// What one life is.
    pub cycle: Cycle,
    /// How long a session is held, nanoseconds.
    pub hold_ns: u64,
}

/// Watches of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// How long a watch lasts.
    pub kind: WatchKind,
    /// What it tells of, and what sets it.
    pub on: WatchOn,
    /// Watchers of each path.
    pub watchers: u32,
    /// Watched paths: the first nodes of the dataset, or the first of its parents.
    pub paths: u32,
}

impl Watch {
    /// What such watches are called where it is said which systems have them.
    pub fn name(&self) -> String {
        match self.on {
            WatchOn::Data => self.kind.name().to_owned(),
            on => format!("{} on {}", self.kind.name(), on.name()),
        }
    }

    /// Whether a path is a parent of the dataset, whose watch tells of all nodes below.
    pub fn is_on_parents(&self) -> bool {
        self.kind == WatchKind::Recursive && self.on.change() == Change::Data
    }

    /// The nodes of which the watch on path number `path` tells.
    pub fn keys(&self, path: u32, dataset: Dataset) -> std::ops::Range<u32> {
        if self.is_on_parents() {
            let children = dataset.children_per_parent;
            path * children..path.saturating_add(1).saturating_mul(children).min(dataset.nodes)
        } else {
            path..path + 1
        }
    }

    /// How many of the dataset's first nodes it tells of.
    pub fn nodes(&self, dataset: Dataset) -> u32 {
        self.keys(self.paths - 1, dataset).end
    }
}

/// Members that sessions connect to.
pub type Placement = Members;

impl Workload {
    /// Reads, completes and checks a workload. `draw_seed` is asked when the file gives no seed.
    pub fn read(
        text: &str,
        overrides: &[Override],
        draw_seed: impl FnOnce() -> u64,
    ) -> Result<Workload, PlanError> {
        if text.len() > super::read::MAX_FILE {
            return Err(PlanError::new(format!(
                "the workload file has {} bytes, and no workload needs more than {}",
                text.len(),
                super::read::MAX_FILE
            )));
        }
        let (file, origins) = read(text, overrides)?;
        check(file, origins, draw_seed)
    }

    /// Completes and checks fields that were put together. A seed that is left out is 0.
    pub fn from_file(file: WorkloadFile) -> Result<Workload, PlanError> {
        check(file, Origins::default(), || 0)
    }

    /// The longest run of the schedule: warm-up and measured window, nanoseconds.
    pub fn scheduled_ns(&self) -> u64 {
        self.warmup_ns + self.measure_ns
    }

    /// The largest value that is written, bytes.
    pub fn largest_value(&self) -> u64 {
        self.streams.iter().map(|s| s.value.max()).chain([self.dataset_value.max()]).max().unwrap_or(0)
    }

    /// How many of the dataset's first nodes somebody watches for changes of this sort.
    pub fn watched_nodes(&self, change: Change) -> u32 {
        let watches = self.streams.iter().filter_map(Stream::watch);
        watches.filter(|w| w.on.change() == change).map(|w| w.nodes(self.dataset)).max().unwrap_or(0)
    }

    /// Whether there is a stream of watchers.
    pub fn watches(&self) -> bool {
        self.streams.iter().any(|s| s.watch().is_some())
    }
}

impl Stream {
    /// Whether one of its ops changes this of nodes of the dataset. What its sessions create below them, they may delete.
    pub fn changes(&self, change: Change) -> bool {
        self.ops.iter().any(|op| match change {
            Change::Data => op.kind.changes_data(),
            Change::Children => op.kind == OpKind::CreateChild,
        })
    }

    /// Whether it is a stream of watchers.
    pub fn watch(&self) -> Option<Watch> {
        match self.load {
            Load::Watch(watch) => Some(watch),
            _ => None,
        }
    }

    /// Names of the ops that it has a record of, watch deliveries left out: those of its mix, or those of the lives of
    /// its sessions, what is scheduled first.
    pub fn op_names(&self) -> Vec<String> {
        match self.life {
            Some(Life { cycle, .. }) => {
                let names = cycle.op().into_iter().chain(cycle.stages().iter().copied());
                names.map(str::to_owned).collect()
            }
            None => self.ops.iter().map(|op| op.kind.to_string()).collect(),
        }
    }

    /// Sessions that connect before the load, of an engine of so many workers: of sessions that come and go by the
    /// schedule none but those which watch for their end, one on each worker that has such sessions.
    pub fn first_connections(&self, workers: usize) -> u32 {
        match self.life {
            Some(life) if life.cycle == Cycle::Expire => self.sessions.min(workers as u32),
            Some(life) if !life.cycle.connects_first() => 0,
            _ => self.sessions,
        }
    }

    /// Sessions whose own folder holds what they create.
    pub fn creating_sessions(&self) -> u32 {
        let creates = self.ops.iter().any(|op| op.kind.creates_own());
        let expires = self.life.is_some_and(|life| life.cycle == Cycle::Expire);
        if creates || expires { self.sessions } else { 0 }
    }
}
