//! What a drawn timeline of one repetition shows.

use quorumeter_record::FaultStage;

/// One repetition, as a drawing shows it. Times are nanoseconds since the run's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The repetition's number, from 1.
    pub repetition: u32,
    /// What is drawn: from shortly before the fault to the end of the rejoin.
    pub start_ns: u64,
    /// Its end.
    pub end_ns: u64,
    /// The steps of the fault, in the order of their times.
    pub stages: Vec<StageMark>,
    /// The members' roles, as they were polled, in the order of the members and times.
    pub members: Vec<MemberSpan>,
    /// The probes.
    pub probes: Vec<ProbeRow>,
}

/// A step of the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageMark {
    /// When.
    pub t_ns: u64,
    /// Which.
    pub stage: FaultStage,
    /// More about it, in words.
    pub detail: String,
}

/// A time in which a member told the same role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSpan {
    /// Position of the member in the manifest's target.
    pub member: u32,
    /// The first poll that told it.
    pub start_ns: u64,
    /// The last one.
    pub end_ns: u64,
    /// The role; `None` while it gave no answer.
    pub role: Option<String>,
}

/// A probe and what became of its slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRow {
    /// What it is called, as in `write 1`, `read 2` or `java 3`.
    pub label: String,
    /// Whether it is pinned to a member that was hit.
    pub is_victims: bool,
    /// Its slots in the order of their times.
    pub slots: Vec<MarkedSlot>,
}

/// A slot of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkedSlot {
    /// Its intended time.
    pub intended_ns: u64,
    /// What became of it.
    pub mark: Mark,
}

/// What became of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Answered in time.
    Ok,
    /// Answered, too late.
    Late,
    /// The reply says that nothing was applied, or nothing was ever sent.
    Failed,
    /// Nothing is known.
    Unknown,
}
