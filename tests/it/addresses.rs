//! Targets of several addresses: of a name, and where not all of them serve.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use quorumeter_ensemble::launch::ports::free_port;
use quorumeter_ensemble::scripted::{Action, Step, Trigger};
use quorumeter_record::{EventKind, RecordReader, SessionChange};
use quorumeter_zk::OpCode;

use crate::support::{Measured, measure_on, quorumeter, scripted, words};

/// What happened to each session, in order: at which member, and what.
fn sessions(measured: &Measured) -> BTreeMap<u32, Vec<(String, SessionChange)>> {
    let mut sessions: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for event in measured.record().events().unwrap() {
        if let EventKind::Session { session, change, member, .. } = event.unwrap().kind {
            sessions.entry(session).or_default().push((member, change));
        }
    }
    sessions
}

/// Two sessions with this client policy read; one of them begins at `dead`, and both lose their connections at `server`
/// on the way.
fn measure_with_a_dead_address(policy: &str, dead: SocketAddr) -> (SocketAddr, Measured) {
    let closed =
        Step { when: Trigger::AtOp { op: Some(OpCode::GET_DATA), number: 100 }, what: Action::CloseAll };
    let server = scripted(vec![closed]);
    let workload = format!(
        "client = {{ policy = \"{policy}\", session_timeout = \"2s\" }}\n\
         phases = {{ warmup = \"0s\", measure = \"2s\" }}\n[dataset]\nnodes = 20\n\
         [[stream]]\nname = \"app\"\nsessions = 2\nrate = \"200/s\"\nmix = {{ read = 1 }}\n"
    );
    (server.address(), measure_on(&[dead, server.address()], &workload))
}

#[test]
fn an_address_that_does_not_serve_costs_a_time_out_at_most_and_the_next_one_is_tried() {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
    // The kernel takes its connections, and nobody answers them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = &silent;
    std::thread::scope(|scope| {
        for policy in ["ideal", "java", "kazoo"] {
            for (dead, cause) in [
                (nobody, "Connection refused"),
                // `java` and `kazoo` divide the session timeout by the members.
                (silent.local_addr().unwrap(), "no answer to the handshake within 1000 ms"),
            ] {
                scope.spawn(move || {
                    let (serving, measured) = measure_with_a_dead_address(policy, dead);
                    let summary = measured.summary();
                    assert!(summary.complete && summary.accounting.balanced, "{policy}: {summary:?}");
                    let read = &summary.ops["app.read"];
                    assert!(read.ok > 100 && read.failed.is_empty(), "{policy}: {read:?}");
                    let causes = measured.causes(SessionChange::ConnectFailed);
                    assert!(!causes.is_empty(), "{policy}: one session begins there");
                    assert!(causes.iter().all(|said| said.contains(cause)), "{policy}: {causes:?}");
                    let sessions = sessions(&measured);
                    assert_eq!(sessions.len(), 2);
                    let (dead, serving) = (dead.to_string(), serving.to_string());
                    for changes in sessions.values() {
                        assert!(
                            changes.iter().any(|(_, change)| *change == SessionChange::Lost),
                            "{changes:?}"
                        );
                        for pair in changes.windows(2) {
                            let [(at, change), next] = pair else { unreachable!("windows of two") };
                            let failed = *change == SessionChange::ConnectFailed;
                            assert_eq!(*at == dead, failed, "{policy}: {changes:?}");
                            assert!(!failed || next.0 == serving, "{policy}: {changes:?}");
                        }
                        assert_eq!(changes.last().unwrap().0, serving, "{policy}: {changes:?}");
                    }
                });
            }
        }
    });
}

#[test]
fn the_record_says_which_name_gave_which_address() {
    let (named, literal) = (scripted(Vec::new()), scripted(Vec::new()));
    let dir = tempfile::tempdir().unwrap();
    let name = format!("localhost:{}", named.address().port());
    // The first address again, by its number: that is no other member.
    let target = format!("zk://{name},{},{}/c", named.address(), literal.address());
    let run = quorumeter(
        dir.path(),
        &[
            &["run", "--target", &target, "--out", "record", "--set", "dataset.nodes=20"][..],
            &["--warmup", "0s", "--duration", "500ms", "--rate", "200/s"],
        ]
        .concat(),
    );
    assert_eq!(run.status.code(), Some(0), "{}", words(&run.stderr));
    let record = RecordReader::open(&dir.path().join("record")).unwrap();
    let found = record.manifest().target.clone().unwrap();
    assert_eq!(found.url, target);
    let names: Vec<(&str, Option<&str>)> =
        found.members.iter().map(|member| (member.address.as_str(), member.name.as_deref())).collect();
    // Where localhost is ::1 as well, that is a member, too.
    let by_name = names.iter().filter(|(_, by)| *by == Some(name.as_str())).count();
    assert!(names.contains(&(&named.address().to_string(), Some(&name))), "{names:?}");
    assert!(names.contains(&(&literal.address().to_string(), None)), "{names:?}");
    assert_eq!(names.len(), by_name + 1, "{names:?}");
}
