//! Members that have lost their quorum, and serve reads alone.

use quorumeter_ensemble::scripted::{Action, Step, Trigger};
use quorumeter_record::{EventKind, SessionChange};
use quorumeter_zk::OpCode;

use crate::support::{Measured, measure, measure_on, quorumeter, scripted, words};

/// Two sessions that read and write while the member is read-only for a while.
fn workload(top: &str, stream: &str) -> String {
    format!(
        "{top}\nphases = {{ warmup = \"0s\", measure = \"2s\" }}\n[dataset]\nnodes = 50\n\
         [[stream]]\nname = \"app\"\nsessions = 2\nrate = \"500/s\"\nmix = {{ read = 1, write = 1 }}\n{stream}\n"
    )
}

/// Read-only from the 100th write to the `until`th read.
fn read_only_until(until: u64) -> Vec<Step> {
    let at = |op, number, is_read_only| Step {
        when: Trigger::AtOp { op: Some(op), number },
        what: Action::ReadOnly(is_read_only),
    };
    vec![at(OpCode::SET_DATA, 100, true), at(OpCode::GET_DATA, until, false)]
}

/// The changes of sessions that were attached to a read-only member.
fn read_only_changes(measured: &Measured) -> Vec<SessionChange> {
    let events = measured.record().events().unwrap();
    events
        .filter_map(|event| match event.unwrap().kind {
            EventKind::Session { change, read_only: true, .. } => Some(change),
            _ => None,
        })
        .collect()
}

#[test]
fn sessions_that_say_so_read_on_at_a_read_only_member() {
    let server = scripted(read_only_until(300));
    let measured = measure(server.address(), &workload("client.read_only = true", ""));
    let summary = measured.summary();
    assert!(summary.complete && summary.accounting.balanced, "{summary:?}");
    let (read, write) = (&summary.ops["app.read"], &summary.ops["app.write"]);
    assert!(read.failed.is_empty() && read.ok > 300, "{read:?}");
    let refused = write.failed.get("NotReadOnly");
    assert!(refused.is_some_and(|count| *count > 20) && write.failed.len() == 1, "{write:?}");
    assert!(write.ok > 120, "it writes before and after: {write:?}");
    let changes = read_only_changes(&measured);
    assert_eq!(changes, [SessionChange::Reattached; 2]);
    assert_eq!(measured.causes(SessionChange::Reattached).len(), 4, "to the read-only member and back");
    let folder = measured.folder();
    let report = quorumeter(&folder, &["report", "."]);
    let report = words(&report.stdout);
    assert!(report.contains("2 attached to a read-only member"), "{report}");
}

/// What is waited for is served when the quorum is back.
#[test]
fn sessions_that_do_not_say_so_are_refused_by_a_read_only_member() {
    let mut steps = read_only_until(1);
    steps[1].when = Trigger::AtConnection(10);
    let server = scripted(steps);
    let measured = measure(server.address(), &workload("", ""));
    let summary = measured.summary();
    assert!(summary.complete && summary.accounting.balanced, "{summary:?}");
    assert!(summary.ops["app.write"].failed.is_empty() && summary.ops["app.read"].failed.is_empty());
    assert_eq!(read_only_changes(&measured), []);
    let causes = measured.causes(SessionChange::ConnectFailed);
    assert!(causes.len() >= 2, "{causes:?}");
    assert!(causes.iter().all(|cause| cause.contains("closed the connection")), "{causes:?}");
}

#[test]
fn a_member_that_is_read_only_from_the_start_is_told_of() {
    let becomes = Step { when: Trigger::AtConnection(1), what: Action::ReadOnly(true) };
    let server = scripted(vec![becomes.clone()]);
    let url = format!("zk://{}", server.address());
    let dir = tempfile::tempdir().unwrap();
    for read_only in ["false", "true"] {
        let setting = format!("client.read_only={read_only}");
        let ran = quorumeter(dir.path(), &["run", "--target", &url, "--out", read_only, "--set", &setting]);
        let error = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(5), "{error}");
        let address = server.address();
        assert!(
            error.contains(&format!("{address} is read-only, because it has lost its quorum")),
            "{error}"
        );
        assert!(error.contains("client.read_only=true"), "{error}");
    }
    let cleaned = quorumeter(dir.path(), &["clean", "--target", &url]);
    let error = String::from_utf8_lossy(&cleaned.stderr);
    assert_eq!(cleaned.status.code(), Some(5), "{error}");
    assert!(error.contains("is read-only") && error.contains("start enough voters"), "{error}");

    // The other member has a quorum, and prepares the run; the sessions are to go to the one that has none.
    let (whole, reduced) = (scripted(Vec::new()), scripted(vec![becomes]));
    let pinned = workload("client.connect_limit = \"500ms\"", "members = [2]");
    let measured = measure_on(&[whole.address(), reduced.address()], &pinned);
    let error = measured.result.as_ref().unwrap_err().to_string();
    let expected = format!("{} has lost its quorum", reduced.address());
    assert!(error.contains(&expected) && error.contains("--set client.read_only=true"), "{error}");
}
