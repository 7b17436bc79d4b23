//! Looking at the target before anything is written.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use quorumeter_loadgen::plan::{Load, Placement, Workload};
use quorumeter_record::{LoopKind, MemberInfo, OpInfo, StreamInfo, WatchInfo};
use quorumeter_targets::session::Member;
use quorumeter_targets::zookeeper::{ZooKeeper, admin};
use quorumeter_targets::{Driver, OpKind};
use tokio::task::spawn_local;

/// How long a member may take to tell what it is.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What every member says of itself. A member that says nothing is no error: four-letter words may be switched off.
pub(crate) async fn members(members: &[Member], pids: &[(std::net::SocketAddr, u32)]) -> Vec<MemberInfo> {
    // All are asked at once: several that hang take no longer than one.
    let ask = |member: Member| async move { admin::srvr(&member, ANSWER_LIMIT).await };
    let asked: Vec<_> = members.iter().map(|member| spawn_local(ask(member.clone()))).collect();
    let mut infos = Vec::new();
    for (member, asked) in members.iter().zip(asked) {
        let srvr = asked.await.ok().and_then(Result::ok);
        infos.push(MemberInfo {
            address: member.address.to_string(),
            name: member.looked_up_name().map(str::to_owned),
            version: srvr.as_ref().map(|s| s.version.clone()),
            role: srvr.as_ref().map(|s| s.mode.name().to_owned()),
            pid: pids.iter().find(|(address, _)| *address == member.address).map(|(_, pid)| *pid),
        });
    }
    infos
}

/// Whether all members run on this machine: their addresses can be bound here.
pub(crate) fn on_this_machine(members: &[Member]) -> bool {
    let is_local = |ip: IpAddr| ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok();
    members.iter().all(|m| is_local(m.address.ip()))
}

/// How many workers a run has when it is not told.
pub(crate) fn workers(workload: &Workload, on_this_machine: bool) -> usize {
    let sessions: u32 = workload.streams.iter().map(|s| s.sessions).sum();
    let wanted = match workload.file.engine.workers {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            if on_this_machine { (cores / 2).max(1) } else { cores }
        }
        n => n as usize,
    };
    wanted.min(sessions as usize)
}

/// A member number that a stream asks for and the target has not.
pub(crate) fn missing_member(workload: &Workload, members: usize) -> Option<(String, u32)> {
    workload.streams.iter().find_map(|stream| match &stream.placement {
        Placement::Numbers(numbers) => {
            numbers.iter().find(|n| **n as usize > members).map(|n| (stream.name.clone(), *n))
        }
        _ => None,
    })
}

/// The streams as the record describes them.
pub(crate) fn streams(workload: &Workload) -> Vec<StreamInfo> {
    let measure_s = workload.measure_ns as f64 / 1e9;
    workload
        .streams
        .iter()
        .map(|stream| {
            let mut ops: Vec<OpInfo> = stream.ops.iter().map(|op| op_info(op.kind, op.weight)).collect();
            let (loop_kind, offered_rate) = match &stream.load {
                Load::Open { profile, .. } => (LoopKind::Open, Some(profile.mean_rate(measure_s))),
                Load::Closed => (LoopKind::Closed, None),
                Load::Watch(_) => (LoopKind::Watch, None),
            };
            let watch = stream.watch().map(|watch| WatchInfo {
                kind: watch.kind.name().to_owned(),
                on: watch.on.name().to_owned(),
                paths: watch.paths.into(),
                watchers: watch.watchers,
            });
            if watch.is_some() {
                ops.push(OpInfo {
                    op: "watch_delivery".into(),
                    weight: 0.0,
                    consistency: ZooKeeper::consistency(OpKind::Read).into(),
                    requests: 0,
                });
            }
            StreamInfo {
                name: stream.name.clone(),
                loop_kind,
                sessions: stream.sessions,
                depth: stream.depth,
                offered_rate,
                policy: stream.policy.to_string(),
                ops,
                watch,
            }
        })
        .collect()
}

fn op_info(kind: OpKind, weight: f64) -> OpInfo {
    OpInfo {
        op: kind.to_string(),
        weight,
        consistency: ZooKeeper::consistency(kind).into(),
        requests: ZooKeeper::requests_per_op(kind),
    }
}
