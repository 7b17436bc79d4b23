//! Looking at the target before anything is written.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use quorumeter_loadgen::plan::{Cycle, Load, Placement, Workload};
use quorumeter_record::{LifeInfo, LoopKind, MemberInfo, OpInfo, StreamInfo, WatchInfo, stage};
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
        0 => default_workers(on_this_machine),
        n => n,
    };
    wanted.min(sessions) as usize
}

/// How many there are when nobody says.
pub(crate) fn default_workers(on_this_machine: bool) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    if on_this_machine { (cores / 2).max(1) } else { cores }
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

/// A stream, by its number, whose watches a member that its sessions may connect to does not know, going by the version
/// that the member tells; and how that is known.
pub(crate) fn missing_watch<'a>(
    workload: &Workload,
    members: impl Iterator<Item = &'a MemberInfo> + Clone,
) -> Option<(usize, String)> {
    workload.streams.iter().enumerate().find_map(|(number, stream)| {
        let name = stream.watch()?.name();
        let Some(since) = ZooKeeper::watches_since(&name) else {
            return Some((number, "this kind of system has none".to_owned()));
        };
        let is_used = |member: u32| match &stream.placement {
            Placement::Numbers(numbers) => numbers.contains(&member),
            _ => true,
        };
        let used = (1..).zip(members.clone()).filter(|(member, _)| is_used(*member));
        let mut versions = used.filter_map(|(_, info)| Some((&info.address, info.version.as_deref()?)));
        let older = versions.find(|(_, version)| release(version).is_some_and(|r| Some(r) < release(since)));
        older.map(|(address, version)| (number, format!("the member {address} is of version {version}")))
    })
}

/// What to do where watches cannot be set.
pub(crate) fn watch_advice(name: &str) -> String {
    let since = ZooKeeper::watches_since(name).unwrap_or("no version");
    let has_other = !name.starts_with("one-shot");
    let other = if has_other { ", or take kind = \"one-shot\", which every version knows" } else { "" };
    format!("ZooKeeper knows them since {since}: measure servers of that version or later{other}")
}

/// Major and minor number of a version such as `3.9.4-…`; `None` where it has another form.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    });
    Some((numbers.next()??, numbers.next()??))
}

/// The streams as the record describes them.
pub(crate) fn streams(workload: &Workload) -> Vec<StreamInfo> {
    let measure_s = workload.measure_ns as f64 / 1e9;
    workload
        .streams
        .iter()
        .map(|stream| {
            let mut ops: Vec<OpInfo> = match stream.life {
                Some(life) => life_ops(life.cycle),
                None => stream.ops.iter().map(|op| op_info(op.kind, op.weight)).collect(),
            };
            let (loop_kind, offered_rate) = match &stream.load {
                Load::Open { profile, .. } => (LoopKind::Open, Some(profile.mean_rate(measure_s))),
                Load::Closed => (LoopKind::Closed, None),
                Load::Watch(_) => (LoopKind::Watch, None),
                Load::Idle => (LoopKind::Idle, None),
            };
            let watch = stream.watch().map(|watch| WatchInfo {
                kind: watch.kind.name().to_owned(),
                on: watch.on.name().to_owned(),
                paths: watch.paths.into(),
                watchers: watch.watchers,
            });
            if watch.is_some() {
                ops.push(OpInfo {
                    op: stage::WATCH_DELIVERY.into(),
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
                life: stream.life.map(|life| LifeInfo {
                    cycle: life.cycle.name().to_owned(),
                    hold_ns: life.hold_ns,
                    timeout_ms: stream.session_timeout_ms,
                }),
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

/// The ops of session lives: the one that is scheduled, with the first op's consistency, and what is observed.
fn life_ops(cycle: Cycle) -> Vec<OpInfo> {
    let first_op = if cycle.reads() { OpKind::Read } else { OpKind::CreateEphemeral };
    let scheduled = cycle.op().map(|name| OpInfo { op: name.to_owned(), ..op_info(first_op, 1.0) });
    let observed = cycle.stages().iter().map(|stage| OpInfo {
        op: (*stage).to_owned(),
        weight: 0.0,
        consistency: if *stage == stage::FIRST_OP { ZooKeeper::consistency(first_op) } else { "none" }.into(),
        requests: 0,
    });
    scheduled.into_iter().chain(observed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in [
            ("3.9.4-7a2f, built on 2025-01-01", Some((3, 9))),
            ("3.10.0", Some((3, 10))),
            ("3.6", Some((3, 6))),
            ("v23.8.1.94-testing", None),
            ("", None),
        ] {
            assert_eq!(release(version), expected, "{version}");
        }
        assert!(release("3.10.0") > release("3.6"));
    }

    #[test]
    fn a_member_that_tells_an_older_version_has_no_such_watches() {
        let workload = |members: &str| {
            let text = format!(
                "[[stream]]\nname = \"a\"\nmix = {{ write = 1 }}\n\
                 [[stream]]\nname = \"o\"\nwatch = {{ kind = \"one-shot\" }}\n\
                 [[stream]]\nname = \"p\"\nmembers = {members}\nwatch = {{ kind = \"persistent\" }}\n"
            );
            Workload::read(&text, &[], || 1).unwrap()
        };
        let member = |version: Option<&str>| MemberInfo {
            name: None,
            address: "h:2181".into(),
            version: version.map(str::to_owned),
            role: None,
            pid: None,
        };
        let missing = |members: &str, versions: &[Option<&str>]| {
            let infos: Vec<_> = versions.iter().map(|version| member(*version)).collect();
            missing_watch(&workload(members), infos.iter())
        };
        let told = Some((2, "the member h:2181 is of version 3.5.9-1".to_owned()));
        assert_eq!(missing("\"all\"", &[Some("3.6.0"), Some("3.5.9-1")]), told);
        assert_eq!(missing("[1]", &[Some("3.6.0"), Some("3.5.9-1")]), None, "it goes elsewhere");
        assert_eq!(missing("\"all\"", &[Some("3.10.1"), None, Some("v23.8")]), None);
    }

    #[test]
    fn the_plan_and_the_driver_call_watches_by_the_same_names() {
        for (kind, on) in [
            ("one-shot", "data"),
            ("one-shot", "exists"),
            ("one-shot", "children"),
            ("persistent", "data"),
            ("persistent", "children"),
            ("recursive", "data"),
            ("recursive", "children"),
        ] {
            let text = format!(
                "[[stream]]\nname = \"a\"\nmix = {{ write = 1, create_child = 1 }}\n\
                 [[stream]]\nname = \"w\"\nwatch = {{ kind = \"{kind}\", on = \"{on}\" }}\n"
            );
            let workload = Workload::read(&text, &[], || 1).unwrap();
            let name = workload.streams[1].watch().unwrap().name();
            assert!(ZooKeeper::watches_since(&name).is_some(), "{name}");
        }
    }
}
