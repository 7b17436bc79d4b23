//! Options of a workload change what a run does: each is seen in what was measured.

use quorumeter_ensemble::scripted::{Action, ReplyFault, Step, Trigger};
use quorumeter_record::{SessionChange, Summary};
use quorumeter_zk::OpCode;

use crate::support::{Measured, measure, scripted};

/// A second of one stream at a constant 1,000/s on 1,000 nodes, with more lines for the stream.
fn run(lines: &str) -> Measured {
    run_with("", lines)
}

/// The same with more lines for the file.
fn run_with(top: &str, lines: &str) -> Measured {
    let server = scripted(Vec::new());
    measure(server.address(), &workload(top, lines))
}

fn workload(top: &str, lines: &str) -> String {
    format!(
        "{top}\nphases = {{ warmup = \"0s\", measure = \"1s\" }}\n\
         dataset = {{ nodes = 1000, value = \"10 B\", children_per_parent = 50 }}\n\
         [[stream]]\nname = \"app\"\nsessions = 2\ndepth = 64\nrate = \"1k/s\"\narrival = \"constant\"\n{lines}\n"
    )
}

fn in_full(measured: &Measured) -> &Summary {
    let summary = measured.summary();
    assert!(summary.complete && summary.accounting.balanced, "{summary:?}");
    assert_eq!((summary.accounting.scheduled, summary.accounting.ok), (1000, 1000), "{summary:?}");
    summary
}

#[test]
fn keys_are_used_as_the_workload_says() {
    for (keys, touched, hottest_share, top_10_percent_share) in [
        ("sequential", 1000..=1000, 0.001..=0.001, 0.1..=0.1),
        ("uniform", 550..=720, 0.002..=0.02, 0.25..=0.5),
        ("hot(0.1, 0.9)", 130..=250, 0.005..=0.05, 0.85..=1.0),
        ("zipf(0.99)", 200..=500, 0.08..=0.2, 0.5..=0.85),
        ("latest(0.99)", 200..=500, 0.02..=0.1, 0.6..=0.8),
    ] {
        let mix = if keys.starts_with("latest") { "{ read = 95, write = 5 }" } else { "{ read = 1 }" };
        let measured = run_with("seed = 7", &format!("keys = \"{keys}\"\nmix = {mix}"));
        let found = in_full(&measured).streams["app"].keys.unwrap();
        assert_eq!(found.keys, 1000, "{keys}");
        assert!(touched.contains(&found.touched), "{keys}: {found:?}");
        assert!(hottest_share.contains(&found.hottest_share), "{keys}: {found:?}");
        assert!(top_10_percent_share.contains(&found.top_10_percent_share), "{keys}: {found:?}");
    }
}

#[test]
fn values_have_the_sizes_that_the_workload_says() {
    for (value, smallest, largest) in [
        ("300 B", 300..=300, 300..=300),
        ("uniform(100 B, 200 B)", 100..=105, 195..=200),
        ("lognormal(100 B, 0.5)", 1..=60, 200..=2000),
    ] {
        let measured = run_with("seed = 7", &format!("value = \"{value}\"\nmix = {{ write = 1 }}"));
        let found = in_full(&measured).ops["app.write"].value_bytes;
        assert!(smallest.contains(&found.min) && largest.contains(&found.max), "{found:?}");
    }
}

/// Requests of each op, as `quorumeter targets` says, and the nodes that are made and unmade.
#[test]
fn every_kind_of_op_is_done() {
    let measured = run_with(
        "seed = 7",
        "mix = { read = 1, read_fresh = 1, read_strongest = 1, exists = 1, list = 1, write = 1, write_cas = 1, \
         create = 1, create_sequential = 1, create_ephemeral = 1, delete = 3, \"multi(3)\" = 1, sync = 1 }",
    );
    let summary = in_full(&measured);
    assert_eq!(summary.ops.len(), 13);
    let twice = ["read_fresh", "read_strongest", "write_cas"];
    let requests: u64 = summary
        .ops
        .iter()
        .map(|(name, op)| if twice.iter().any(|t| name.ends_with(t)) { 2 * op.ok } else { op.ok })
        .sum();
    // The rest are pings.
    assert!((requests..requests + 50).contains(&summary.accounting.requests), "{summary:?}");
    for (name, op) in &summary.ops {
        assert!(op.ok > 20, "{name}: {op:?}");
    }
}

#[test]
fn bursts_come_together() {
    let measured = run("mix = { read = 1 }");
    let alone = in_full(&measured).ops["app.read"].in_flight_at_send.mean;
    let server = scripted(Vec::new());
    let bursts = workload("", "mix = { read = 1 }").replace("\"constant\"", "\"bursts(40)\"");
    let measured = measure(server.address(), &bursts);
    let together = in_full(&measured).ops["app.read"].in_flight_at_send.mean;
    // 40 at once over two sessions: the mean of 1 to 20.
    assert!(together > 8.0 && together > alone, "{together:?} {alone:?}");
}

#[test]
fn rates_follow_their_profiles() {
    for (rate, scheduled) in
        [("steps(500ms, 400/s, 800/s)", 600), ("sine(1k/s, 500/s, 1s)", 1000), ("ramp(0/s, 1k/s, 1s)", 500)]
    {
        let server = scripted(Vec::new());
        let text = workload("", "mix = { read = 1 }").replace("\"1k/s\"", &format!("\"{rate}\""));
        let measured = measure(server.address(), &text);
        assert_eq!(measured.summary().accounting.scheduled, scheduled, "{rate}");
    }
}

/// Whatever wakes a worker, the same ops are done.
#[test]
fn every_timer_releases_every_op() {
    for engine in [
        "engine = { timer = \"timerfd\", pin = false }",
        "engine = { timer = \"tokio\" }",
        "engine = { timer = \"spin\", spin = \"20us\", workers = 2 }",
    ] {
        in_full(&run_with(engine, "mix = { read = 1 }"));
    }
}

/// Whatever the pauses of a policy, the session goes on, and so do its ops. (The pauses themselves are arithmetic, and
/// are tested as such.)
#[test]
fn a_session_is_back_with_every_policy_that_reconnects() {
    for policy in ["ideal", "java", "kazoo"] {
        let close = Action::Replies { fault: ReplyFault::Close, count: 1 };
        let when = Trigger::AtOp { op: Some(OpCode::GET_DATA), number: 300 };
        let server = scripted(vec![Step { when, what: close }]);
        let text = workload("", &format!("policy = \"{policy}\"\nmix = {{ read = 1 }}"));
        let measured = measure(server.address(), &text);
        let changes = |change| measured.causes(change).len();
        assert_eq!((changes(SessionChange::Lost), changes(SessionChange::Reattached)), (1, 1), "{policy}");
        let accounting = measured.summary().accounting;
        assert_eq!((accounting.scheduled, accounting.shed), (1000, 0), "{policy}");
        assert_eq!(accounting.ok + accounting.unknown, 1000, "{policy}");
    }
}

#[test]
fn sessions_go_where_the_workload_says() {
    let first = scripted(Vec::new());
    let second = scripted(Vec::new());
    let measured = crate::support::measure_on(
        &[first.address(), second.address()],
        &workload("", "members = [2]\nmix = { read = 1 }"),
    );
    let record = measured.record();
    let mut members: Vec<String> = record
        .events()
        .unwrap()
        .filter_map(|event| match event.unwrap().kind {
            quorumeter_record::EventKind::Session { change: SessionChange::Connected, member, .. } => {
                Some(member)
            }
            _ => None,
        })
        .collect();
    members.dedup();
    assert_eq!(members, [second.address().to_string()]);
}

/// A standalone server counts as its own leader, and has no followers.
#[test]
fn sessions_are_pinned_to_roles() {
    in_full(&run("members = \"leader\"\nmix = { read = 1 }"));
    let server = scripted(Vec::new());
    let text =
        workload("client = { connect_limit = \"500ms\" }", "members = \"followers\"\nmix = { read = 1 }");
    let measured = measure(server.address(), &text);
    let error = measured.result.as_ref().unwrap_err().to_string();
    assert!(error.contains("no member has the role"), "{error}");
}
