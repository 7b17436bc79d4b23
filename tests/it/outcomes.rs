//! What becomes of an op when things go wrong.

use std::time::Duration;

use quorumeter_ensemble::embedded;
use quorumeter_ensemble::scripted::{Action, ReplyFault, Script, Scripted, Step, Trigger};
use quorumeter_record::{SessionChange, Verdict};
use quorumeter_zk::{ErrorCode, OpCode};

use crate::support::{measure, measure_with, scripted};

fn at(op: OpCode, number: u64, what: Action) -> Step {
    Step { when: Trigger::AtOp { op: Some(op), number }, what }
}

const WRITES: &str = "phases = { warmup = \"0s\", measure = \"1s\" }\n[dataset]\nnodes = 100\n\
                      [[stream]]\nname = \"app\"\nsessions = 1\ndepth = 1\nrate = \"200/s\"\narrival = \"constant\"\n\
                      mix = { write = 1 }\n";

#[test]
fn a_reply_lost_with_its_connection_is_unknown() {
    let fault = Action::Replies { fault: ReplyFault::Close, count: 1 };
    let server = scripted(vec![at(OpCode::SET_DATA, 100, fault)]);
    let measured = measure(server.address(), WRITES);
    let write = &measured.summary().ops["app.write"];
    assert_eq!((write.ok, write.unknown, write.failed.len(), write.shed), (199, 1, 0, 0));
    assert_eq!(measured.causes(SessionChange::Lost), ["the member closed the connection"]);
    assert_eq!(measured.causes(SessionChange::Reattached).len(), 1, "the session goes on");
    assert!(measured.summary().accounting.balanced);
}

#[test]
fn failed_ops_have_latencies() {
    let server = scripted(vec![
        at(OpCode::SET_DATA, 1, Action::RefuseWrites(Some(ErrorCode::THROTTLED_OP))),
        at(OpCode::SET_DATA, 1, Action::DelayReplies(Duration::from_millis(20))),
        // The clean-up is to be let through.
        at(OpCode::SET_DATA, 40, Action::RefuseWrites(None)),
        at(OpCode::SET_DATA, 40, Action::DelayReplies(Duration::ZERO)),
    ]);
    let workload = WRITES.replace("200/s", "40/s");
    let measured = measure(server.address(), &workload);
    let write = &measured.summary().ops["app.write"];
    assert_eq!((write.ok, write.failed.get("ThrottledOp")), (1, Some(&39)));
    // All forty are in the population, and 39 of them took at least 20 ms.
    assert_eq!((write.response_ns.count, write.ok_response_ns.count), (40, 1));
    assert!(write.response_ns.p50.unwrap() >= 20_000_000, "{:?}", write.response_ns);
    assert_eq!(write.response_ns.censored, 0, "a failed op's latency is known");
    assert_eq!(measured.summary().verdict, Verdict::Pass);
}

#[test]
fn codes_that_prove_nothing_are_unknown() {
    for (code, failed) in
        [(ErrorCode::NO_AUTH, Some("NoAuth")), (ErrorCode::REQUEST_TIMEOUT, None), (ErrorCode(-4711), None)]
    {
        let server = scripted(vec![at(OpCode::SET_DATA, 1, Action::FailEvery { every: 10, code })]);
        let measured = measure(server.address(), WRITES);
        let write = &measured.summary().ops["app.write"];
        match failed {
            Some(name) => assert_eq!((write.failed.get(name), write.unknown), (Some(&20), 0), "{code}"),
            None => assert_eq!((write.failed.len(), write.unknown), (0, 20), "{code}"),
        }
        assert_eq!(write.ok, 180);
    }
}

/// Values that fill the socket's buffers while the server reads nothing, and a backlog that overflows: at any time a
/// frame is half handed over. It must be finished, and nothing shed may have begun.
#[test]
fn a_shed_op_is_never_half_sent() {
    // With sessions long enough that a client does not give the silent server up.
    let member = embedded::Options { tick_time_ms: 2000, ..embedded::Options::default() };
    let steps = vec![at(OpCode::SET_DATA, 20, Action::Stall(Duration::from_millis(1500)))];
    let server = Scripted::start(Script { steps, member, ..Script::default() }).unwrap();
    let workload = "phases = { warmup = \"0s\", measure = \"2s\" }\n[dataset]\nnodes = 10\nvalue = \"10 B\"\n\
                    [[stream]]\nname = \"app\"\nsessions = 1\ndepth = 64\nrate = \"200/s\"\narrival = \"constant\"\n\
                    value = \"500 kB\"\nbacklog = \"100ms\"\nmix = { write = 1 }\n";
    let measured = measure(server.address(), workload);
    let write = &measured.summary().ops["app.write"];
    assert!(write.shed > 50, "{write:?}");
    assert_eq!((write.unknown, write.failed.len()), (0, 0));
    assert_eq!(write.ok + write.shed, 400);
    assert_eq!(
        measured.causes(SessionChange::Lost),
        Vec::<String>::new(),
        "the stream of frames stayed whole"
    );
    // Shed ops are in the population as lower bounds, each with the wait that it had: 100 ms at least.
    assert_eq!((write.response_ns.count, write.response_ns.censored), (400, write.shed));
    assert!(measured.summary().accounting.balanced);
}

#[test]
fn an_expired_session_is_told_and_replaced() {
    let server = scripted(vec![at(OpCode::SET_DATA, 100, Action::ExpireSession)]);
    let measured = measure(server.address(), WRITES);
    assert_eq!(measured.causes(SessionChange::Expired).len(), 1);
    assert_eq!(measured.causes(SessionChange::Connected).len(), 2, "at the start, and after it expired");
    let write = &measured.summary().ops["app.write"];
    assert!(
        write.ok >= 195 && write.ok + write.unknown + write.failed.values().sum::<u64>() == 200,
        "{write:?}"
    );
}

#[test]
fn with_the_policy_none_a_lost_connection_stays_lost() {
    let fault = Action::Replies { fault: ReplyFault::Reset, count: 1 };
    let server = scripted(vec![at(OpCode::SET_DATA, 100, fault)]);
    let workload =
        format!("client = {{ policy = \"none\" }}\n{}", WRITES.replace("1s\"", "1s\", drain = \"200ms\""));
    let measured = measure(server.address(), &workload);
    let write = &measured.summary().ops["app.write"];
    assert_eq!((write.ok, write.unknown, write.shed), (99, 1, 100));
}

#[test]
fn gates_decide_and_no_data_decides_nothing() {
    for (requirement, verdict) in [
        ("app.write.ok >= 100", Verdict::Pass),
        ("app.write.failed > 0", Verdict::GateFailed),
        ("app.write.response.p99.99 < 10s", Verdict::Inconclusive),
    ] {
        let server = scripted(Vec::new());
        let measured = measure_with(&[server.address()], WRITES, &[requirement]);
        let expected = if verdict == Verdict::GateFailed { failed_gate(measured.summary()) } else { verdict };
        assert_eq!(measured.summary().verdict, expected, "{requirement}: {:?}", measured.summary().reasons);
    }
}

/// What a gate that fails makes of a run: on a machine that is busy with other things the generator may be late, and then
/// it tells nothing.
fn failed_gate(summary: &quorumeter_record::Summary) -> Verdict {
    match summary.generator.verdict {
        quorumeter_record::GeneratorVerdict::Ok => Verdict::GateFailed,
        quorumeter_record::GeneratorVerdict::Limited => Verdict::Inconclusive,
    }
}

#[test]
fn an_abort_expression_ends_the_run_early() {
    let server = scripted(vec![at(OpCode::SET_DATA, 100, Action::RefuseWrites(Some(ErrorCode::NO_AUTH)))]);
    let workload = format!(
        "engine = {{ interval = \"100ms\" }}\nabort = {{ grace = \"300ms\", \"app.write.failed\" = \"== 0\" }}\n{}",
        WRITES.replace("measure = \"1s\"", "measure = \"20s\"")
    );
    let measured = measure(server.address(), &workload);
    let summary = measured.summary();
    assert!(summary.measured_s < 5.0, "{}", summary.measured_s);
    assert_eq!(summary.verdict, failed_gate(summary), "{:?}", summary.reasons);
    assert!(summary.reasons.iter().any(|r| r.contains("app.write.failed")), "{:?}", summary.reasons);
}
