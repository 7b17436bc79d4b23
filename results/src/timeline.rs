//! What the events tell: when the phases began, how the run ended, what became of the sessions.

use std::collections::{BTreeMap, BTreeSet};

use quorumeter_record::{Event, EventKind, Phase, ReadError, SessionChange, StopReason};

use crate::analysis::Window;

/// Everything that `events.ndjson` tells an analysis.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Timeline {
    /// When each phase began, in order.
    pub(crate) phases: Vec<(Phase, u64)>,
    /// The last event is the end of the record.
    pub(crate) ended: bool,
    /// Time of the last event.
    pub(crate) last_ns: u64,
    /// Why the measurement ended before its time.
    pub(crate) stops: Vec<StopSeen>,
    /// Warnings that were written while the run went.
    pub(crate) warnings: Vec<String>,
    /// Changes of sessions by stream.
    pub(crate) sessions: BTreeMap<String, SessionCounts>,
    /// Members that became read-only while the run went.
    pub(crate) read_only_members: BTreeSet<String>,
}

/// An early end of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopSeen {
    /// When, nanoseconds since the run's start.
    pub t_ns: u64,
    /// Why.
    pub reason: StopReason,
    /// More about it, in words; may be empty.
    pub detail: String,
}

/// How often the sessions of one stream changed their state, over the whole run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// New sessions.
    pub connected: u64,
    /// Connections that went.
    pub lost: u64,
    /// Sessions that went on at the same member.
    pub reattached: u64,
    /// Sessions that went on at another member.
    pub moved: u64,
    /// Sessions that the server had ended.
    pub expired: u64,
    /// Connections that could not be made.
    pub connect_failed: u64,
    /// Of those that were made, to members that served reads alone.
    pub read_only: u64,
}

impl Timeline {
    /// Reads the events, in their order.
    pub(crate) fn read(
        events: impl Iterator<Item = Result<Event, ReadError>>,
    ) -> Result<Timeline, ReadError> {
        let mut timeline = Timeline::default();
        for event in events {
            timeline.add(event?);
        }
        Ok(timeline)
    }

    fn add(&mut self, event: Event) {
        self.ended = event.kind == EventKind::End;
        self.last_ns = self.last_ns.max(event.t_ns);
        match event.kind {
            EventKind::Phase { phase } => self.phases.push((phase, event.t_ns)),
            EventKind::Session { stream, change, read_only, .. } => {
                let counts = self.sessions.entry(stream).or_default();
                counts.add(change);
                counts.read_only += u64::from(read_only);
            }
            EventKind::Stop { reason, detail } => {
                self.stops.push(StopSeen { t_ns: event.t_ns, reason, detail });
            }
            EventKind::Warning { text } => self.warnings.push(text),
            EventKind::Role { member, role } => {
                if role == "read-only" {
                    self.read_only_members.insert(member);
                }
            }
            EventKind::Fault { .. } | EventKind::Audit { .. } | EventKind::End => {}
        }
    }

    /// When `phase` began.
    pub(crate) fn start_of(&self, phase: Phase) -> Option<u64> {
        self.phases.iter().find(|(p, _)| *p == phase).map(|(_, t_ns)| *t_ns)
    }

    /// The measured window as it was: up to the drain, and no further than its intervals reach. What a run that died
    /// did after the last of them is not known, and no time to divide by.
    pub(crate) fn window(&self, measured_end_ns: u64) -> Option<Window> {
        let start_ns = self.start_of(Phase::Measure)?;
        let drain_ns = self.start_of(Phase::Drain).unwrap_or(u64::MAX);
        Some(Window { start_ns, end_ns: drain_ns.min(measured_end_ns).max(start_ns) })
    }
}

impl SessionCounts {
    fn add(&mut self, change: SessionChange) {
        let count = match change {
            SessionChange::Connected => &mut self.connected,
            SessionChange::Lost => &mut self.lost,
            SessionChange::Reattached => &mut self.reattached,
            SessionChange::Moved => &mut self.moved,
            SessionChange::Expired => &mut self.expired,
            SessionChange::ConnectFailed => &mut self.connect_failed,
        };
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(events: impl IntoIterator<Item = (u64, EventKind)>) -> Timeline {
        Timeline::read(events.into_iter().map(|(t_ns, kind)| Ok(Event { t_ns, kind }))).unwrap()
    }

    fn phase(phase: Phase) -> EventKind {
        EventKind::Phase { phase }
    }

    #[test]
    fn the_window_reaches_from_measure_to_drain() {
        let whole = timeline([
            (1, phase(Phase::Warmup)),
            (5, phase(Phase::Measure)),
            (9, phase(Phase::Drain)),
            (12, EventKind::End),
        ]);
        assert_eq!(whole.window(9), Some(Window { start_ns: 5, end_ns: 9 }));
        assert!(whole.ended);
    }

    #[test]
    fn a_drain_that_was_planned_makes_no_window() {
        let failed = timeline([(5, phase(Phase::Measure)), (30, phase(Phase::Drain))]);
        assert_eq!(failed.window(9), Some(Window { start_ns: 5, end_ns: 9 }));
        assert_eq!(failed.window(0), Some(Window { start_ns: 5, end_ns: 5 }));
    }

    #[test]
    fn a_killed_run_is_measured_as_far_as_its_intervals_reach() {
        let killed = timeline([(1, phase(Phase::Warmup)), (5, phase(Phase::Measure))]);
        assert_eq!(killed.window(8), Some(Window { start_ns: 5, end_ns: 8 }));
        // Killed in the first interval: its line never came.
        assert_eq!(killed.window(4), Some(Window { start_ns: 5, end_ns: 5 }));
        assert!(!killed.ended);
        assert_eq!(timeline([(1, phase(Phase::Warmup))]).window(8), None);
    }

    #[test]
    fn a_record_ends_with_its_end_event_only() {
        assert!(!timeline([(1, EventKind::End), (2, phase(Phase::Cleanup))]).ended);
        assert!(!timeline([]).ended);
    }

    #[test]
    fn session_changes_are_counted_by_stream() {
        let session = |stream: &str, change| EventKind::Session {
            stream: stream.to_owned(),
            session: 0,
            change,
            member: "127.0.0.1:2181".to_owned(),
            session_id: String::new(),
            read_only: false,
            cause: String::new(),
        };
        let timeline = timeline([
            (1, session("app", SessionChange::Connected)),
            (2, session("app", SessionChange::Lost)),
            (3, session("app", SessionChange::Moved)),
            (4, session("app", SessionChange::Lost)),
            (5, session("watchers", SessionChange::Expired)),
        ]);
        let app = SessionCounts { connected: 1, lost: 2, moved: 1, ..SessionCounts::default() };
        assert_eq!(timeline.sessions["app"], app);
        assert_eq!(timeline.sessions["watchers"].expired, 1);
    }
}
