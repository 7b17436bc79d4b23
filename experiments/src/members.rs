//! Polling the members of a run, and what changes from one line of theirs to the next.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorumeter_ensemble::launch::{self, Launched};
use quorumeter_exporters::{PolledMember, Poller};
use quorumeter_record::{Event, EventKind, MemberLine, RecordWriter};
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;

/// The roles that the members were last seen to have, by address.
pub(crate) type Roles = BTreeMap<String, String>;

/// What each member told last, by address.
pub(crate) type Latest = Rc<RefCell<BTreeMap<String, MemberLine>>>;

/// Members whose role is not what it was, in events. A member that has never told its role may go on not to.
pub(crate) fn role_changes(roles: &mut Roles, lines: &[MemberLine]) -> Vec<Event> {
    let mut events = Vec::new();
    for line in lines {
        let role = line.role.as_deref().unwrap_or("unknown");
        let known = roles.get(&line.member);
        if line.role.is_none() && known.is_none() {
            continue;
        }
        if known.is_some_and(|known| known != role) {
            let kind = EventKind::Role { member: line.member.clone(), role: role.to_owned() };
            events.push(Event { t_ns: line.t_ns, kind });
        }
        roles.insert(line.member.clone(), role.to_owned());
    }
    events
}

/// Polls the members into the record: their lines, and the events of their roles. Of launched ones the AdminServer is
/// asked, too, and the operating system.
pub(crate) fn poll(
    members: &[Member],
    launched: Option<&Arc<Launched>>,
    period: Duration,
    clock: Clock,
    record: Arc<Mutex<RecordWriter>>,
    roles: Rc<RefCell<Roles>>,
    latest: Latest,
) -> Poller {
    let admin = |member: &Member| launched_as(launched?, member)?.admin;
    let polled: Vec<_> =
        members.iter().map(|m| PolledMember { member: m.clone(), admin: admin(m) }).collect();
    let launched = launched.cloned();
    let process = move |member: &Member| {
        let launched = launched.as_ref()?;
        launched.process_use(launched_as(launched, member)?.id)
    };
    Poller::start(&polled, period, clock, process, move |line| {
        let changes = role_changes(&mut roles.borrow_mut(), std::slice::from_ref(&line));
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        // A record that cannot be written ends the run elsewhere.
        let _ = record.members([&line]);
        let _ = changes.iter().try_for_each(|change| record.event(change));
        note(&mut latest.borrow_mut(), line);
    })
}

/// Keeps a member's last line; what is asked more seldom than the rest stays until it is told anew.
fn note(latest: &mut BTreeMap<String, MemberLine>, line: MemberLine) {
    let before = latest.get(&line.member).filter(|before| before.role == line.role);
    let synced_followers = line.synced_followers.or(before.and_then(|before| before.synced_followers));
    latest.insert(line.member.clone(), MemberLine { synced_followers, ..line });
}

/// A member as it was launched.
fn launched_as<'l>(launched: &'l Launched, member: &Member) -> Option<&'l launch::Member> {
    launched.members.iter().find(|own| own.address == member.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_changes_is_an_event() {
        let mut roles = Roles::new();
        let mut seen = |t_ns, told: &[Option<&str>]| {
            let line = |(number, role): (usize, &Option<&str>)| MemberLine {
                t_ns,
                member: format!("m{number}"),
                role: role.map(str::to_owned),
                ..MemberLine::default()
            };
            let lines: Vec<_> = told.iter().enumerate().map(line).collect();
            let events = role_changes(&mut roles, &lines).into_iter();
            let of = |event: Event| match event.kind {
                EventKind::Role { member, role } => (event.t_ns, member, role),
                other => panic!("{other:?}"),
            };
            events.map(of).collect::<Vec<_>>()
        };
        let event = |t_ns, member: &str, role: &str| (t_ns, member.to_owned(), role.to_owned());
        assert_eq!(seen(1, &[Some("leader"), Some("follower"), None]), []);
        assert_eq!(seen(2, &[Some("leader"), Some("follower"), None]), []);
        assert_eq!(
            seen(3, &[None, Some("leader"), None]),
            [event(3, "m0", "unknown"), event(3, "m1", "leader")]
        );
        assert_eq!(seen(4, &[Some("follower"), Some("leader"), None]), [event(4, "m0", "follower")]);
    }
}
