//! Samples of the members, and what changes from one to the next: what `srvr` tells, and what the operating system tells of those we started.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use quorumeter_ensemble::launch::Launched;
use quorumeter_record::{Event, EventKind, MemberLine};
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use quorumeter_targets::zookeeper::admin;
use tokio::task::spawn_local;

/// How long a member may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(900);

/// The roles that the members were last seen to have, by address.
pub(crate) type Roles = BTreeMap<String, String>;

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

/// Asks all members at once.
pub(crate) async fn sample(
    members: &[Member],
    launched: Option<&Rc<Launched>>,
    clock: Clock,
) -> Vec<MemberLine> {
    let asked: Vec<_> = members
        .iter()
        .map(|member| {
            let member = member.clone();
            let launched = launched.cloned();
            spawn_local(async move {
                let srvr = admin::srvr(&member, ANSWER_LIMIT).await.ok();
                let process = launched.and_then(|l| {
                    let own = l.members.iter().find(|m| m.address == member.address)?;
                    l.process_use(own.id)
                });
                let mut line = MemberLine {
                    t_ns: clock.now_ns(),
                    member: member.address.to_string(),
                    process,
                    ..MemberLine::default()
                };
                if let Some(srvr) = srvr {
                    line.role = Some(srvr.mode.name().to_owned());
                    line.zxid = Some(srvr.zxid);
                    line.packets_received = Some(srvr.received);
                    line.packets_sent = Some(srvr.sent);
                    line.outstanding_requests = Some(srvr.outstanding);
                    line.connections = Some(srvr.connections);
                    line.znodes = Some(srvr.node_count);
                }
                line
            })
        })
        .collect();
    let mut lines = Vec::new();
    for task in asked {
        lines.extend(task.await.ok());
    }
    lines
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
