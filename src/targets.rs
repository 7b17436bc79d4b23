//! `quorumeter targets`

use quorumeter_targets::url::System;
use quorumeter_targets::zookeeper::ZooKeeper;
use quorumeter_targets::{Driver as _, OpKind};
use serde_json::json;

use crate::{EXIT_ENVIRONMENT, diagnose};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the matrix as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> u8 {
    let text = if args.json { as_json() } else { as_text() };
    if diagnose::print(&text) { 0 } else { EXIT_ENVIRONMENT }
}

fn kinds() -> Vec<OpKind> {
    let mut kinds = OpKind::PLAIN.to_vec();
    kinds.push(OpKind::Multi(1));
    kinds
}

fn name(kind: OpKind) -> String {
    match kind {
        OpKind::Multi(_) => "multi(n)".to_owned(),
        kind => kind.to_string(),
    }
}

fn as_text() -> String {
    let mut text = String::new();
    let zookeeper = System::ZooKeeper;
    text += &format!(
        "{} ({}://HOST:PORT,…/CHROOT): Apache ZooKeeper 3.4 and later, and what speaks its protocol\n\n",
        zookeeper.name(),
        zookeeper.scheme()
    );
    text += &format!("  {:<28} {:<40} {:>8}  {:<13} since\n", "op", "requests", "number", "consistency");
    for kind in kinds() {
        let (requests, since) = (ZooKeeper::requests(kind), ZooKeeper::since(kind));
        let consistency = ZooKeeper::consistency(kind);
        let number = ZooKeeper::requests_per_op(kind);
        text += &format!("  {:<28} {requests:<40} {number:>8}  {consistency:<13} {since}\n", name(kind));
    }
    for (watch, requests, since) in ZooKeeper::WATCHES {
        let name = format!("watch {watch}");
        text += &format!("  {name:<28} {requests:<40} {:>8}  {:<13} {since}\n", "-", "-");
    }
    for system in [System::Etcd, System::Consul] {
        let (name, scheme) = (system.name(), system.scheme());
        text += &format!(
            "\n{name} ({scheme}://HOST:PORT,…): watched by `quorumeter export`; no load is driven against it\n"
        );
    }
    text += "\nconsistency: session = what the member has, never older than what the session has seen; fresh = after the\n\
             member caught up with the leader, not linearizable across a leader change; linearizable = ordered by the leader\n";
    text
}

fn as_json() -> String {
    let ops: Vec<_> = kinds()
        .into_iter()
        .map(|kind| {
            let (requests, since) = (ZooKeeper::requests(kind), ZooKeeper::since(kind));
            json!({
                "op": name(kind),
                "requests": requests,
                "requests_per_op": ZooKeeper::requests_per_op(kind),
                "consistency": ZooKeeper::consistency(kind),
                "since": since,
            })
        })
        .collect();
    let watches: Vec<_> = ZooKeeper::WATCHES
        .iter()
        .map(|(watch, requests, since)| json!({ "watch": format!("watch {watch}"), "requests": requests, "since": since }))
        .collect();
    let matrix = json!({ "systems": [{
        "system": System::ZooKeeper.name(),
        "scheme": System::ZooKeeper.scheme(),
        "ops": ops,
        "watches": watches,
    }]});
    serde_json::to_string_pretty(&matrix).unwrap_or_default() + "\n"
}
