//! Samples of the members: what `srvr` tells, and what the operating system tells of those we started.

use std::rc::Rc;
use std::time::Duration;

use quorumeter_ensemble::launch::Launched;
use quorumeter_record::MemberLine;
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use quorumeter_targets::zookeeper::admin;
use tokio::task::spawn_local;

/// How long a member may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(900);

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
                let srvr = admin::srvr(member.address, ANSWER_LIMIT).await.ok();
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
