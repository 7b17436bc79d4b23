//! Against ensembles other than the usual one: an older ZooKeeper, one with an observer, and one that is reached by IPv6.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quorumeter_ensemble::launch::Launched;
use quorumeter_ensemble::launch::child::{ChildSpec, Children, Wrapper};
use quorumeter_ensemble::launch::ports::free_port;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_record::{EventKind, RecordReader, SessionChange, Summary};
use rustix::process::{Pid, Signal, kill_process};
use support::{
    Measured, QUORUMETER, measure_on, older_zookeeper, quorumeter, real_zookeeper, skip, srvr, words,
};

mod support;

/// A few Java processes are enough for one machine at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn options(members: u32, dir: &tempfile::TempDir, settings: &[(&str, &str)]) -> Options {
    let mut options = Options::new(members, dir.path().join("zk"), Wrapper::Quorumeter(QUORUMETER.into()));
    options.ready_timeout = Duration::from_secs(120);
    options.settings = settings.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    options
}

fn addresses(ensemble: &Launched) -> Vec<SocketAddr> {
    ensemble.members.iter().map(|member| member.address).collect()
}

/// The members that a stream's sessions got their connections from.
fn members_of(measured: &Measured, of_stream: &str) -> Vec<String> {
    let mut members: Vec<String> = measured
        .record()
        .events()
        .unwrap()
        .filter_map(|event| match event.unwrap().kind {
            EventKind::Session { stream, change: SessionChange::Connected, member, .. }
                if stream == of_stream =>
            {
                Some(member)
            }
            _ => None,
        })
        .collect();
    members.sort();
    members.dedup();
    members
}

/// The default workload, watches of each kind, credentials and clean-up on ZooKeeper 3.8, whose watch events carry no
/// zxid.
#[test]
fn an_older_zookeeper_is_measured_like_the_current_one() {
    if older_zookeeper("an_older_zookeeper_is_measured_like_the_current_one").is_none() {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let ensemble = start(&options(3, &dir, &[("version", "3.8")])).unwrap();
    assert_eq!(ensemble.settings["version"], "3.8.0");
    let addresses = addresses(&ensemble);
    let nodes_before = srvr(addresses[0]).node_count;

    let usual = include_str!("../workloads/default.toml");
    let usual = usual.replace("measure = \"10s\"", "measure = \"2s\"").replace("4k/s", "200/s");
    assert!(usual.contains("\"2s\"") && usual.contains("200/s"), "{usual}");
    let measured = measure_on(&addresses, &usual);
    let summary = measured.summary();
    assert!(summary.complete && summary.accounting.balanced && summary.accounting.ok > 100, "{summary:?}");
    let record = measured.record();
    let target = record.manifest().target.as_ref().unwrap();
    let mut roles: Vec<&str> = target.members.iter().filter_map(|m| m.role.as_deref()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["follower", "follower", "leader"]);
    for member in &target.members {
        assert!(member.version.as_ref().unwrap().starts_with("3.8.0-"), "{member:?}");
    }
    let samples: Vec<_> = record.members().unwrap().map(Result::unwrap).collect();
    assert!(samples.iter().any(|s| s.packets_received.is_some() && s.zxid.is_some() && s.znodes.is_some()));

    std::fs::write(dir.path().join("password"), "secret\n").unwrap();
    let watching = format!(
        "phases = {{ warmup = \"500ms\", measure = \"3s\" }}\n\
         client.auth = {{ user = \"bench\", password_file = {:?} }}\n\
         [dataset]\nnodes = 12\nchildren_per_parent = 6\n\
         [[stream]]\nname = \"app\"\nsessions = 2\ndepth = 2\nrate = \"100/s\"\nmix = {{ write = 1 }}\n\
         [[stream]]\nname = \"p\"\nsessions = 3\nwatch = {{ kind = \"persistent\", watchers = 2 }}\n\
         [[stream]]\nname = \"r\"\nsessions = 3\nwatch = {{ kind = \"recursive\", watchers = 2 }}\n\
         [[stream]]\nname = \"o\"\nsessions = 3\nwatch = {{ kind = \"one-shot\", watchers = 2 }}\n",
        dir.path().join("password"),
    );
    let measured = measure_on(&addresses, &watching);
    let summary = measured.summary();
    let writes = summary.ops["app.write"].ok;
    assert!(writes > 100, "{summary:?}");
    for stream in ["p", "r", "o"] {
        let watch = &summary.watches[stream];
        assert_eq!((watch.lost, watch.duplicate, watch.unmatched), (0, 0, 0), "{stream}: {watch:?}");
    }
    for stream in ["p", "r"] {
        let watch = &summary.watches[stream];
        // Two watchers for each write of the measured window; two writes may be told by one event.
        let told = summary.ops[&format!("{stream}.watch_delivery")].ok + watch.merged;
        assert_eq!(told, 2 * writes, "{stream}: {watch:?}");
    }
    assert_eq!(srvr(addresses[0]).node_count, nodes_before, "something is left");

    let url = format!("zk://{}", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    let cleaned = quorumeter(dir.path(), &["clean", "--target", &url]);
    assert_eq!(String::from_utf8_lossy(&cleaned.stdout), "nothing to remove\n", "{cleaned:?}");
}

/// Three voters and an observer: sessions go where their stream's placement says, and the record tells the roles.
#[test]
fn sessions_are_placed_on_observers_followers_and_the_leader() {
    if real_zookeeper("sessions_are_placed_on_observers_followers_and_the_leader").is_none() {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let ensemble = start(&Options { observers: 1, ..options(3, &dir, &[]) }).unwrap();
    let addresses = addresses(&ensemble);
    assert_eq!(addresses.len(), 4);
    let stream = |name: &str| {
        format!(
            "[[stream]]\nname = \"{name}\"\nsessions = 4\nrate = \"50/s\"\nmembers = \"{name}\"\n\
             mix = {{ read = 1, write = 1 }}\n"
        )
    };
    let workload = format!(
        "phases = {{ warmup = \"500ms\", measure = \"2s\" }}\n[dataset]\nnodes = 20\n{}{}{}",
        stream("leader"),
        stream("followers"),
        stream("observers")
    );
    let measured = measure_on(&addresses, &workload);
    let summary = measured.summary();
    assert!(summary.complete && summary.accounting.balanced, "{summary:?}");
    let target = measured.record().manifest().target.clone().unwrap();
    let with_role = |role: &str| {
        let members = target.members.iter().filter(|member| member.role.as_deref() == Some(role));
        let mut members: Vec<String> = members.map(|member| member.address.clone()).collect();
        members.sort();
        members
    };
    assert_eq!(with_role("observer"), [addresses[3].to_string()], "{target:?}");
    for (stream, role, number) in
        [("leader", "leader", 1), ("followers", "follower", 2), ("observers", "observer", 1)]
    {
        assert_eq!(with_role(role).len(), number, "{target:?}");
        assert_eq!(members_of(&measured, stream), with_role(role), "{stream}");
        for op in ["read", "write"] {
            let op = &summary.ops[&format!("{stream}.{op}")];
            assert!(op.ok > 0 && op.unknown == 0, "{stream}: {op:?}");
        }
    }
    let report = quorumeter(dir.path(), &["report", measured.folder().to_str().unwrap()]);
    let report = words(&report.stdout);
    assert!(report.contains("ensemble of 4 members (1 observer)"), "{report}");
}

/// Two voters that are at home on ::1 alone, below a chroot: what is printed and recorded can be pasted back.
#[test]
fn an_ensemble_on_ipv6_is_measured_and_cleaned() {
    let name = "an_ensemble_on_ipv6_is_measured_and_cleaned";
    if let Err(error) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        return skip(name, &format!("this machine has no ::1: {error}"));
    }
    let Some(installation) = real_zookeeper(name) else { return };
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ports: Vec<[u16; 3]> = (0..2).map(|_| [(); 3].map(|()| free_port().unwrap())).collect();
    let voters: String = ports
        .iter()
        .enumerate()
        .map(|(place, [_, peer, election])| format!("server.{}=[::1]:{peer}:{election}\n", place + 1))
        .collect();
    let children = Children::new(Wrapper::Quorumeter(QUORUMETER.into())).unwrap();
    let mut pids = Vec::new();
    for (place, [client, ..]) in ports.iter().enumerate() {
        let id = place + 1;
        let home = dir.join(format!("zk-{id}"));
        std::fs::create_dir_all(home.join("data")).unwrap();
        std::fs::write(home.join("data/myid"), format!("{id}\n")).unwrap();
        let settings = format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=20\ndataDir=./data\nclientPort={client}\nclientPortAddress=::1\n\
             4lw.commands.whitelist=*\nadmin.enableServer=false\n{voters}"
        );
        std::fs::write(home.join("zoo.cfg"), settings).unwrap();
        let jars = installation.lib.join("*");
        let pid = children.start(ChildSpec {
            name: format!("zookeeper member {id}"),
            program: installation.java.clone(),
            args: ["-Xmx256m".into(), "-cp".into(), jars.into()]
                .into_iter()
                .chain(["org.apache.zookeeper.server.quorum.QuorumPeerMain".into(), "zoo.cfg".into()])
                .collect(),
            log: home.join("log"),
            dir: home,
            announcement: None,
        });
        pids.push(pid.unwrap());
    }
    let members: Vec<String> = ports.iter().map(|[client, ..]| format!("[::1]:{client}")).collect();
    let target = format!("zk://{}/bench/here", members.join(","));
    let clean = || quorumeter(dir, &["clean", "--target", &target]);
    let begun = Instant::now();
    let refused = loop {
        let output = clean();
        if output.status.success() {
            break None;
        }
        for pid in &pids {
            children.check(*pid).unwrap();
        }
        let error = words(&output.stderr);
        if begun.elapsed() > Duration::from_secs(120) {
            break Some(error);
        }
    };
    assert_eq!(refused, None);

    let workload = "phases = { warmup = \"500ms\", measure = \"2s\" }\n[dataset]\nnodes = 20\n\
                    [[stream]]\nname = \"app\"\nsessions = 4\nrate = \"100/s\"\nmix = { read = 1, write = 1 }\n";
    std::fs::write(dir.join("workload.toml"), workload).unwrap();
    let run = quorumeter(dir, &["run", "workload.toml", "--json", "--out", "record", "--target", &target]);
    assert_eq!(run.status.code(), Some(0), "{}", words(&run.stderr));
    let summary: Summary = serde_json::from_slice(&run.stdout).unwrap();
    assert!(summary.complete && summary.accounting.balanced && summary.accounting.ok > 100, "{summary:?}");
    let record = RecordReader::open(&dir.join("record")).unwrap();
    let found = record.manifest().target.clone().unwrap();
    assert_eq!(found.url, target);
    assert!(found.on_this_machine);
    assert!(found.members.iter().map(|member| &member.address).eq(&members), "{:?}", found.members);
    let mut roles: Vec<&str> = found.members.iter().filter_map(|member| member.role.as_deref()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["follower", "leader"]);
    let sampled = |of: &String| {
        record.members().unwrap().map(Result::unwrap).any(|s| s.member == *of && s.packets_received.is_some())
    };
    assert!(members.iter().all(sampled), "both are asked by mntr");
    let told = words(&quorumeter(dir, &["report", "record"]).stdout);
    assert!(told.contains(&format!("zk://{}", members.join(","))), "{told}");
    let cleaned = clean();
    assert_eq!(String::from_utf8_lossy(&cleaned.stdout), "nothing to remove\n", "{cleaned:?}");

    let gone = format!("zk://[::1]:{}", free_port().unwrap());
    for command in [&["run", "--set", "client.connect_limit=500ms"][..], &["clean"]] {
        let output = quorumeter(dir, &[command, &["--target", &gone]].concat());
        let error = words(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{error}");
        assert!(error.contains(&gone), "{command:?}: {error}");
    }
}

/// A member that serves reads alone once the others are gone: with `read_only`, its sessions are replaced by new ones,
/// which read on there. ZooKeeper makes those of local sessions alone, and takes no global ones back meanwhile.
#[test]
fn a_member_without_quorum_serves_reads_alone() {
    if real_zookeeper("a_member_without_quorum_serves_reads_alone").is_none() {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("tickTime", "500"),
        ("jvm.readonlymode.enabled", "true"),
        ("localSessionsEnabled", "true"),
        ("localSessionsUpgradingEnabled", "true"),
    ];
    let ensemble = start(&options(3, &dir, &settings)).unwrap();
    let urls = addresses(&ensemble).iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let target = format!("zk://{urls}");
    // Until its sessions have read at the member that is left, or for so long.
    let workload = "client = { read_only = true, session_timeout = \"9s\" }\n\
                    phases = { warmup = \"0s\", measure = \"60s\" }\n[dataset]\nnodes = 20\n\
                    [[stream]]\nname = \"app\"\nsessions = 3\ndepth = 1\nrate = \"50/s\"\nmix = { read = 1, write = 1 }\n\
                    members = [1]\n";
    std::fs::write(dir.path().join("workload.toml"), workload).unwrap();
    let mut run = Command::new(QUORUMETER)
        .args(["run", "workload.toml", "--out", "record", "--json", "--target", &target])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let mut wait_for = |what: &str, file: &str| {
        loop {
            let text = std::fs::read_to_string(dir.path().join("record").join(file)).unwrap_or_default();
            if text.contains(what) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(50), "no {what} in {file}");
            assert!(run.try_wait().unwrap().is_none(), "the run has ended");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for("\"op\":\"write\"", "intervals.ndjson");
    for member in &ensemble.members[1..] {
        kill_process(Pid::from_raw(member.pid as i32).unwrap(), Signal::KILL).unwrap();
    }
    wait_for("\"read_only\":true", "events.ndjson");
    wait_for("NotReadOnly", "intervals.ndjson");
    kill_process(Pid::from_raw(run.id() as i32).unwrap(), Signal::TERM).unwrap();
    let output = run.wait_with_output().unwrap();
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary.complete && summary.accounting.balanced, "{summary:?}");
    let (read, write) = (&summary.ops["app.read"], &summary.ops["app.write"]);
    assert!(write.failed.keys().eq(["NotReadOnly"]) && read.failed.is_empty(), "{read:?} {write:?}");
    let left = ensemble.members[0].address.to_string();
    let events: Vec<EventKind> = RecordReader::open(&dir.path().join("record"))
        .unwrap()
        .events()
        .unwrap()
        .map(|event| event.unwrap().kind)
        .collect();
    let attached = |event: &EventKind| {
        matches!(event, EventKind::Session { change: SessionChange::Connected, read_only: true, .. })
    };
    assert_eq!(events.iter().filter(|event| attached(event)).count(), 3, "{events:?}");
    let is_read_only = |event: &EventKind| matches!(event, EventKind::Role { member, role } if *member == left && role == "read-only");
    assert!(events.iter().any(is_read_only), "{events:?}");
    let told = quorumeter(dir.path(), &["report", "record"]);
    let told = words(&told.stdout);
    for part in [
        "attached to a read-only member".to_owned(),
        format!("{left} lost its quorum and became read-only: what was read there may be old"),
        "could not be removed".to_owned(),
    ] {
        assert!(told.contains(&part), "{part}: {told}");
    }

    // There is no quorum now.
    for command in [&["run", "--set", "client.read_only=true"][..], &["clean"]] {
        let output = quorumeter(dir.path(), &[command, &["--target", &target]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{error}");
        assert!(error.contains(&format!("{left} is read-only, because it has lost its quorum")), "{error}");
        assert!(error.contains("start enough voters"), "{error}");
    }
}
