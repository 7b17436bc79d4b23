//! Sessions that come and go: what is counted is what a scripted server did.

use std::process::Command;
use std::time::Duration;

use quorumeter_ensemble::scripted::{Action, HandshakeFault, ReplyFault, Scripted, Step, Trigger};
use quorumeter_record::{OpSummary, Summary};
use quorumeter_zk::OpCode;

use crate::support::{Measured, QUORUMETER, measure, measure_with, scripted, skip, srvr};

/// A stream `s` of lives, measured for a second without a warm-up.
fn workload(stream: &str) -> String {
    format!(
        "phases = {{ warmup = \"0s\", measure = \"1s\" }}\ndataset = {{ nodes = 10, value = \"10 B\" }}\n\
         [[stream]]\nname = \"s\"\n{stream}\n"
    )
}

fn balanced(measured: &Measured) -> &Summary {
    let summary = measured.summary();
    assert!(summary.complete && summary.accounting.balanced, "{summary:?}");
    summary
}

fn op<'a>(summary: &'a Summary, name: &str) -> &'a OpSummary {
    &summary.ops[&format!("s.{name}")]
}

fn at_read(number: u64, what: Action) -> Step {
    Step { when: Trigger::AtOp { op: Some(OpCode::GET_DATA), number }, what }
}

/// Connections to a server that say nothing but a word are not among these.
fn with_requests(server: &Scripted) -> usize {
    server.connections().values().filter(|counts| counts.requests > 0).count()
}

#[test]
fn each_op_is_a_session_that_is_closed() {
    let server = scripted(Vec::new());
    let measured = measure(
        server.address(),
        &workload("sessions = 10\nrate = \"100/s\"\narrival = \"constant\"\nlife = { cycle = \"close\" }"),
    );
    let summary = balanced(&measured);
    for name in ["connect", "tcp", "handshake", "first_op", "close"] {
        assert_eq!((op(summary, name).ok, op(summary, name).response_ns.count), (100, 100), "{name}");
    }
    assert_eq!((summary.accounting.scheduled, summary.accounting.ok, op(summary, "tls").ok), (100, 100, 0));
    // A read and the request to close of each; the control session is one more.
    assert_eq!(summary.accounting.requests, 200);
    assert_eq!(with_requests(&server), 101);
    let sessions = &summary.sessions["s"];
    assert_eq!(
        (sessions.lost_connections, sessions.retries, sessions.timeout_ms),
        (0, 0, Some((2000, 2000)))
    );
    // The word's own connection is one.
    assert_eq!(srvr(server.address()).connections, 1);
}

/// The stages of a life follow each other, so together they take no longer than the whole.
#[test]
fn stages_are_parts_of_the_op() {
    let delay = Step {
        when: Trigger::AtOp { op: None, number: 1 },
        what: Action::DelayReplies(Duration::from_millis(30)),
    };
    let server = scripted(vec![delay]);
    let measured = measure(
        server.address(),
        &workload("sessions = 20\nrate = \"50/s\"\narrival = \"constant\"\nlife = { cycle = \"close\" }"),
    );
    let summary = balanced(&measured);
    let least = |name| op(summary, name).response_ns.min.unwrap();
    assert!(least("first_op") >= 30_000_000);
    assert!(
        op(summary, "connect").service_ns.min.unwrap()
            >= least("tcp") + least("handshake") + least("first_op")
    );
    assert!(op(summary, "connect").service_ns.min <= op(summary, "connect").response_ns.min);
}

#[test]
fn a_session_is_held_and_kept_alive_before_its_connection_is_dropped() {
    let server = scripted(Vec::new());
    let measured = measure(
        server.address(),
        &workload(
            "sessions = 4\nsession_timeout = \"200ms\"\nrate = \"4/s\"\narrival = \"constant\"\n\
             life = { cycle = \"drop\", hold = \"600ms\" }",
        ),
    );
    let summary = balanced(&measured);
    assert_eq!(op(summary, "connect").ok, 4);
    assert!(!summary.ops.contains_key("s.close"));
    // Three timeouts long, and no member took a session away.
    assert_eq!(summary.sessions["s"].lost_connections, 0);
    assert_eq!(summary.sessions["s"].timeout_ms, Some((200, 200)));
}

#[test]
fn an_op_whose_member_says_nothing_of_the_session_is_unknown() {
    let fault = Action::Handshakes { fault: HandshakeFault::CloseAfterRequest, count: 5 };
    let server = scripted(vec![at_read(10, fault)]);
    let measured = measure(
        server.address(),
        &workload("sessions = 10\nrate = \"100/s\"\narrival = \"constant\"\nlife = { cycle = \"close\" }"),
    );
    let summary = balanced(&measured);
    let connect = op(summary, "connect");
    assert_eq!((connect.ok, connect.unknown, connect.failed.len()), (95, 5, 0));
    // A gate on what failed cannot hold for what is unknown, and the stages are of sessions that were made.
    assert_eq!((op(summary, "handshake").ok, op(summary, "close").ok), (95, 95));
    // Nor are the stages a part of the stream's rate.
    assert!((summary.streams["s"].rate - connect.rate).abs() < 1e-9, "{:?}", summary.streams["s"]);
}

/// One of a hundred reads is never answered: its session is lost, and its op and its first op take longer than is known.
#[test]
fn a_first_op_without_an_answer_is_in_its_stage() {
    let fault = Action::Replies { fault: ReplyFault::Close, count: 1 };
    let server = scripted(vec![at_read(10, fault)]);
    let measured = measure(server.address(), &workload("sessions = 10\nlife = { cycle = \"close\" }"));
    let summary = balanced(&measured);
    assert_eq!((op(summary, "connect").unknown, op(summary, "first_op").unknown), (1, 1));
    assert_eq!(summary.sessions["s"].lost_connections, 1);
    // A closed loop: every op comes when there is room for it.
    assert_eq!(op(summary, "connect").late, 0);
}

#[test]
fn a_session_that_is_gone_fails_its_op_and_is_replaced() {
    let fault = Action::Handshakes { fault: HandshakeFault::Expired, count: 1 };
    let server = scripted(vec![at_read(20, fault)]);
    let measured = measure(
        server.address(),
        &workload("sessions = 5\nrate = \"50/s\"\narrival = \"constant\"\nlife = { cycle = \"reattach\" }"),
    );
    let summary = balanced(&measured);
    let reattach = op(summary, "reattach");
    assert_eq!((reattach.ok, reattach.failed.get("SessionExpired")), (49, Some(&1)), "{reattach:?}");
    assert_eq!(op(summary, "first_op").ok, 49);
}

/// All sessions lose their connection twice, half a second apart; the second time they find the door shut.
#[test]
fn a_storm_ends_when_the_last_session_is_back() {
    let shut = Action::RefuseConnections(Duration::from_millis(700));
    for policy in ["ideal", "none"] {
        let server = scripted(vec![at_read(20, shut.clone())]);
        // Without a way back there is a single attempt for each op.
        let stream = match policy {
            "ideal" => "sessions = 20\nrate = \"40/s\"\narrival = \"bursts(20)\"",
            _ => "sessions = 1\nrate = \"40/s\"\narrival = \"constant\"",
        };
        let stream = format!("{stream}\npolicy = \"{policy}\"\nlife = {{ cycle = \"reattach\" }}");
        let measured = measure(server.address(), &workload(&stream));
        let summary = balanced(&measured);
        let reattach = op(summary, "reattach");
        let sessions = &summary.sessions["s"];
        if policy == "ideal" {
            assert_eq!((reattach.ok, reattach.failed.len()), (40, 0), "{reattach:?}");
            assert!(sessions.retries > 0, "{sessions:?}");
        } else {
            assert_eq!(sessions.retries, 0);
            assert_eq!(reattach.ok + reattach.failed.values().sum::<u64>(), 40);
            assert!(reattach.failed["ConnectionLoss"] > 0, "{reattach:?}");
        }
    }
}

#[test]
fn another_session_sees_how_long_silence_is_forgiven() {
    let server = scripted(Vec::new());
    let measured = measure_with(
        &[server.address()],
        &workload(
            "sessions = 40\nsession_timeout = \"300ms\"\nrate = \"20/s\"\narrival = \"constant\"\n\
             life = { cycle = \"expire\" }",
        ),
        &["s.early == 0", "s.expiry.response.max > 0ms", "s.retries == 0"],
    );
    let summary = balanced(&measured);
    assert_eq!((op(summary, "connect").ok, summary.sessions["s"].timeout_ms), (20, Some((300, 300))));
    let expiry = op(summary, "expiry");
    // Due before the end are those of the first 700 ms: 14, or fewer where the machine was late.
    assert!((1..=14).contains(&expiry.ok), "{expiry:?}");
    assert_eq!((expiry.failed.len(), expiry.unknown), (0, 0), "{expiry:?}");
    // The server looks each 100 ms, and is never early.
    assert!(summary.gates.iter().all(|gate| gate.outcome == quorumeter_record::GateOutcome::Passed));
    assert_eq!(srvr(server.address()).connections, 1);
}

#[test]
fn idle_sessions_ping_and_tell_when_they_are_cut_off() {
    let stream = "sessions = 3\nsession_timeout = \"300ms\"\nlife = { cycle = \"idle\" }";
    let server = scripted(Vec::new());
    let measured = measure(server.address(), &workload(stream));
    let summary = balanced(&measured);
    // A ping each 100 ms at most, and one each 200 ms at least, or the server would have ended the session.
    let ping = op(summary, "ping");
    assert!((3..=30).contains(&ping.ok), "{ping:?}");
    assert_eq!((summary.sessions["s"].open_max, summary.sessions["s"].lost_connections), (3, 0));
    assert_eq!((summary.accounting.scheduled, summary.verdict), (0, quorumeter_record::Verdict::Pass));

    let server = scripted(Vec::new());
    let cut = std::thread::scope(|scope| {
        let run = scope.spawn(|| measure(server.address(), &workload(stream)));
        while srvr(server.address()).connections < 5 {
            assert!(!run.is_finished(), "the run did not connect its sessions");
        }
        std::thread::sleep(Duration::from_millis(300));
        server.act(Action::CloseAll);
        run.join().unwrap()
    });
    let counted: u64 = cut
        .record()
        .intervals()
        .unwrap()
        .filter_map(|line| match line.unwrap() {
            quorumeter_record::IntervalLine::Sessions(line) => Some(line.lost_connections),
            _ => None,
        })
        .sum();
    assert_eq!(counted, 3);
}

/// In a network of its own whose machine has 24 ports for clients.
#[test]
fn sessions_beyond_the_ports_of_one_address_come_from_another() {
    const NAME: &str = "lives::sessions_beyond_the_ports_of_one_address_come_from_another";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("idle.toml");
    std::fs::write(&file, workload("sessions = 60\nlife = { cycle = \"idle\" }\nsession_timeout = \"1s\""))
        .unwrap();
    // Brings the loopback device up, as `ip link set lo up` does where there is such a command.
    let up = "import fcntl,socket,struct; s=socket.socket(); \
              fcntl.ioctl(s,0x8914,struct.pack('16sh14x',b'lo',0x41))";
    let script = format!(
        "python3 -c \"{up}\" && echo 40000 40023 > /proc/sys/net/ipv4/ip_local_port_range && echo ready && \
         exec {QUORUMETER} run {} --out {} --server tickTime=500",
        file.display(),
        dir.path().join("run").display()
    );
    let output = Command::new("unshare").args(["--net", "--map-root-user", "sh", "-c", &script]).output();
    let output = match output {
        Ok(output) if output.stdout.starts_with(b"ready") => output,
        Ok(output) => return skip(NAME, &String::from_utf8_lossy(&output.stderr)),
        Err(error) => return skip(NAME, &format!("cannot start unshare: {error}")),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record = quorumeter_record::RecordReader::open(&dir.path().join("run")).unwrap();
    let summary = quorumeter_results::analyse(&record).unwrap().summary;
    assert_eq!((summary.sessions["s"].open_max, summary.sessions["s"].lost_connections), (60, 0));
}
