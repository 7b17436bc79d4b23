//! The course of each repetition, as the events tell it.

use std::collections::BTreeMap;

use quorumeter_record::{Event, EventKind, FaultStage, SessionChange};

use super::StageMark;

/// What the events tell of a failover measurement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Courses {
    /// The repetitions, in order.
    pub(crate) repetitions: Vec<Course>,
    /// Changes of sessions by stream and session, in order.
    pub(crate) sessions: BTreeMap<(String, u32), Vec<Change>>,
    /// What the audits found.
    pub(crate) audits: Vec<Audit>,
    /// When a warning told that rows of history are missing.
    pub(crate) rows_missing_ns: Vec<u64>,
}

/// A repetition: from its baseline's begin to its end.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    /// Its number, from 1.
    pub(crate) repetition: u32,
    /// The steps of its fault, in the order of their times.
    pub(crate) stages: Vec<StageMark>,
    /// Client addresses of those who were hit.
    pub(crate) victims: Vec<String>,
}

/// A change of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) t_ns: u64,
    pub(crate) change: SessionChange,
    /// The session's id; empty before there is one.
    pub(crate) id: String,
    pub(crate) cause: String,
}

/// A node as it was found at one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audit {
    pub(crate) t_ns: u64,
    pub(crate) repetition: u32,
    pub(crate) key: u32,
    pub(crate) version: Option<i32>,
    pub(crate) mzxid: Option<i64>,
}

/// What the warning of missing rows says.
const ROWS_MISSING: &str = "of history are missing";

impl Courses {
    /// Sorts the events.
    pub(crate) fn new(events: &[Event]) -> Courses {
        let mut courses = Courses::default();
        let mut repetitions: BTreeMap<u32, Course> = BTreeMap::new();
        for Event { t_ns, kind } in events {
            let t_ns = *t_ns;
            match kind {
                EventKind::Fault { repetition, stage, victims, detail, .. } => {
                    let course = repetitions.entry(*repetition).or_insert_with(|| Course {
                        repetition: *repetition,
                        stages: Vec::new(),
                        victims: Vec::new(),
                    });
                    course.stages.push(StageMark { t_ns, stage: *stage, detail: detail.clone() });
                    if matches!(
                        stage,
                        FaultStage::Prepared
                            | FaultStage::Asked
                            | FaultStage::Active
                            | FaultStage::VictimConfirmed
                    ) {
                        let new = victims.iter().filter(|v| !course.victims.contains(v)).cloned();
                        let new: Vec<String> = new.collect();
                        course.victims.extend(new);
                    }
                }
                EventKind::Session { stream, session, change, session_id, cause, .. } => {
                    let changes = courses.sessions.entry((stream.clone(), *session)).or_default();
                    let (id, cause) = (session_id.clone(), cause.clone());
                    changes.push(Change { t_ns, change: *change, id, cause });
                }
                EventKind::Audit { repetition, key, version, mzxid, .. } => courses.audits.push(Audit {
                    t_ns,
                    repetition: *repetition,
                    key: *key,
                    version: *version,
                    mzxid: *mzxid,
                }),
                EventKind::Warning { text } if text.contains(ROWS_MISSING) => {
                    courses.rows_missing_ns.push(t_ns);
                }
                _ => {}
            }
        }
        courses.repetitions = repetitions.into_values().collect();
        for course in &mut courses.repetitions {
            course.stages.sort_by_key(|mark| mark.t_ns);
        }
        // Workers tell of their sessions an interval at a time.
        for changes in courses.sessions.values_mut() {
            changes.sort_by_key(|change| change.t_ns);
        }
        courses
    }
}

impl Courses {
    /// Up to when acknowledged writes must be in what the audit of this repetition found: until the first of its questions,
    /// whose time an audit has, and until the repetition was over. What comes after that is for the next audit. `None` without
    /// an audit.
    pub(crate) fn audited_until_ns(&self, repetition: u32) -> Option<u64> {
        let audits = self.audits.iter().filter(|audit| audit.repetition == repetition);
        let first_ns = audits.map(|audit| audit.t_ns).min()?;
        let course = self.repetitions.iter().find(|course| course.repetition == repetition);
        let over_ns = course.and_then(|course| course.first(FaultStage::Over)).unwrap_or(first_ns);
        Some(first_ns.min(over_ns))
    }
}

impl Course {
    /// When a stage was first told.
    pub(crate) fn first(&self, stage: FaultStage) -> Option<u64> {
        self.stages.iter().find(|mark| mark.stage == stage).map(|mark| mark.t_ns)
    }

    /// When a stage was last told.
    pub(crate) fn last(&self, stage: FaultStage) -> Option<u64> {
        self.stages.iter().rfind(|mark| mark.stage == stage).map(|mark| mark.t_ns)
    }

    /// The details of a stage that were told before `before_ns`.
    pub(crate) fn details(&self, stage: FaultStage, before_ns: u64) -> impl Iterator<Item = &str> {
        let marks = self.stages.iter().filter(move |mark| mark.stage == stage && mark.t_ns <= before_ns);
        marks.map(|mark| mark.detail.as_str())
    }

    /// When it began.
    pub(crate) fn start_ns(&self) -> u64 {
        self.stages.first().map_or(0, |mark| mark.t_ns)
    }
}
