//! Which members a session may connect to, how long it waits for them, and what is told of it.

use std::time::Duration;

use quorumeter_record::{EventKind, SessionChange};
use quorumeter_targets::Driver;
use quorumeter_targets::session::{Identity, Timeouts};
use tokio::task::spawn_local;

use super::worker::Shared;
use crate::plan::{Placement, Stream};

/// The pause after an attempt that could not even be made.
pub(super) const NO_MEMBER_PAUSE: Duration = Duration::from_millis(50);
/// Why it could not.
pub(super) const NO_SUCH_ROLE: &str = "no member has the role that the stream asks for";

/// The members of a stream's placement.
pub(super) struct Candidates<'a, D: Driver> {
    shared: &'a Shared<D>,
    stream: usize,
    /// Unless the placement is by role.
    fixed: Option<Vec<usize>>,
}

impl<'a, D: Driver> Candidates<'a, D> {
    pub(super) fn new(shared: &'a Shared<D>, stream: usize) -> Candidates<'a, D> {
        let fixed = match &shared.workload.streams[stream].placement {
            Placement::All => Some((0..shared.driver.members().len()).collect()),
            Placement::Numbers(numbers) => Some(numbers.iter().map(|n| *n as usize - 1).collect()),
            Placement::Leader | Placement::Followers | Placement::Observers => None,
        };
        Candidates { shared, stream, fixed }
    }

    /// How many there are, or may be.
    pub(super) fn most(&self) -> usize {
        self.fixed.as_ref().map_or(self.shared.driver.members().len(), Vec::len)
    }

    /// Those of now: roles are asked of the members.
    pub(super) async fn now(&self) -> Vec<usize> {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        let wanted: &[&str] = match self.shared.workload.streams[self.stream].placement {
            Placement::Leader => &["leader", "standalone"],
            Placement::Followers => &["follower"],
            Placement::Observers => &["observer"],
            Placement::All | Placement::Numbers(_) => &[],
        };
        // All are asked at once, so that one that hangs costs no more than one wait.
        let ask = |member| {
            let driver = self.shared.driver.clone();
            spawn_local(async move { driver.role(member).await })
        };
        let asked: Vec<_> = (0..self.shared.driver.members().len()).map(ask).collect();
        let mut found = Vec::new();
        for (member, role) in asked.into_iter().enumerate() {
            if role.await.ok().flatten().is_some_and(|role| wanted.contains(&role.as_str())) {
                found.push(member);
            }
        }
        found
    }
}

/// How long a session of the stream waits, with so many members to turn to.
pub(super) fn timeouts(stream: &Stream, identity: &Identity, members: usize) -> Timeouts {
    let session_ms = if identity.timeout_ms > 0 { identity.timeout_ms } else { stream.session_timeout_ms };
    Timeouts {
        session_ms: stream.session_timeout_ms,
        connect_ms: stream.policy.connect_timeout_ms(session_ms, members),
        read_share: stream.policy.read_share(),
    }
}

/// Notes what happened to a session at `t_ns`: to this one of this stream, which the servers know as this.
pub(super) fn tell<D: Driver>(
    shared: &Shared<D>,
    (stream, session, identity): (usize, u32, &Identity),
    t_ns: u64,
    member: Option<usize>,
    change: SessionChange,
    cause: String,
) {
    let kind = EventKind::Session {
        stream: shared.workload.streams[stream].name.clone(),
        session,
        change,
        member: member.map(|m| shared.driver.members()[m].address.to_string()).unwrap_or_default(),
        session_id: match identity.session_id {
            0 => String::new(),
            id => format!("{id:016x}"),
        },
        read_only: identity.read_only
            && matches!(change, SessionChange::Connected | SessionChange::Reattached | SessionChange::Moved),
        cause,
    };
    shared.recorder.borrow_mut().event(t_ns, kind);
}
