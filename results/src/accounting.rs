//! The accounting identities: every op that the schedule released is somewhere.
//!
//! ```text
//! scheduled = sent + shed + waiting          sent = ok + failed + unknown + in flight
//! ```
//!
//! `waiting` and `in flight` are what the counters leave over. That proves little by itself, so in a complete
//! record they are held against 0 and against what the generator saw in its queues at the end of the last
//! interval, and the counts of the streams against those of their ops.

use std::collections::BTreeMap;

use quorumeter_record::{Accounting, StreamCounts, stage};

use crate::figures::counted;
use crate::tally::{OpKey, OpTally, Outcomes, StreamTally, Tally};

/// The accounts of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accounts {
    /// Of all streams.
    pub(crate) total: Accounting,
    /// Of each stream.
    pub(crate) streams: BTreeMap<String, Accounting>,
    /// What does not balance, in words. Every one of them is a bug of the generator or of its recorder.
    pub(crate) violations: Vec<String>,
}

/// Closes the accounts of a run. In a complete record nothing may be left open.
pub(crate) fn accounts(tally: &Tally, complete: bool) -> Accounts {
    let mut accounts =
        Accounts { total: Accounting::default(), streams: BTreeMap::new(), violations: Vec::new() };
    let mut counts = StreamCounts::default();
    let mut requests = 0;
    for (name, stream) in &tally.streams {
        let violations = check(name, stream, &tally.ops, complete);
        accounts
            .streams
            .insert(name.clone(), account(&stream.measure, stream.requests, violations.is_empty()));
        accounts.violations.extend(violations);
        counts.merge(&stream.measure);
        requests += stream.requests;
    }
    for (stream, _) in tally.ops.keys().filter(|(_, op)| !stage::is_observed(op)) {
        if !tally.streams.contains_key(stream) {
            accounts.violations.push(format!("stream {stream}: its ops have lines, and it has none"));
        }
    }
    accounts.total = account(&counts, requests, accounts.violations.is_empty());
    accounts
}

fn account(counts: &StreamCounts, requests: u64, balanced: bool) -> Accounting {
    Accounting {
        scheduled: counts.scheduled,
        sent: counts.sent,
        shed: counts.shed,
        // Negative remainders are violations, named with their numbers; there is no such thing to show here.
        waiting: u64::try_from(counts.waiting()).unwrap_or(0),
        ok: counts.ok,
        failed: counts.failed,
        unknown: counts.unknown,
        in_flight: u64::try_from(counts.in_flight()).unwrap_or(0),
        requests,
        balanced,
    }
}

fn check(name: &str, stream: &StreamTally, ops: &BTreeMap<OpKey, OpTally>, complete: bool) -> Vec<String> {
    let mut violations = Vec::new();
    let mut violation = |what: String| violations.push(format!("stream {name}: {what}"));
    for (phase, counts) in [("warm-up", &stream.warmup), ("measured window", &stream.measure)] {
        if counts.waiting() < 0 {
            let more = counts.waiting().unsigned_abs();
            violation(format!("{} of the {phase} sent or shed beyond those scheduled", counted(more, "op")));
        }
        if counts.in_flight() < 0 {
            let more = counts.in_flight().unsigned_abs();
            violation(format!("{} of the {phase} ended beyond those sent", counted(more, "op")));
        }
    }
    if complete {
        let mut whole = stream.warmup;
        whole.merge(&stream.measure);
        for (state, left, seen) in [
            ("waiting", whole.waiting(), stream.waiting_at_end),
            ("in flight", whole.in_flight(), stream.in_flight_at_end),
        ] {
            if i64::try_from(seen) != Ok(left) {
                violation(format!("the counters leave {left} ops {state}, and the queues held {seen}"));
            } else if seen > 0 {
                violation(format!("the run ended with {} {state}", counted(seen, "op")));
            }
        }
        let (mut warmup, mut measure) = (Outcomes::default(), Outcomes::default());
        for (_, op) in ops.iter().filter(|((stream, op), _)| stream == name && !stage::is_observed(op)) {
            warmup.merge(op.warmup);
            measure.merge(op.measure);
        }
        for (phase, ops, counts) in
            [("warm-up", warmup, &stream.warmup), ("measured window", measure, &stream.measure)]
        {
            for (outcome, of_ops, of_stream) in [
                ("ok", ops.ok, counts.ok),
                ("failed", ops.failed, counts.failed),
                ("unknown", ops.unknown, counts.unknown),
                ("shed", ops.shed, counts.shed),
            ] {
                if of_ops != of_stream {
                    violation(format!(
                        "its ops count {of_ops} {outcome} in the {phase}, and the stream {of_stream}"
                    ));
                }
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 200 scheduled = 199 sent + 1 shed; 199 sent = 197 ok + 1 failed + 1 unknown.
    fn balanced() -> Tally {
        let mut tally = Tally::default();
        let measure = StreamCounts { scheduled: 200, sent: 199, shed: 1, ok: 197, failed: 1, unknown: 1 };
        let warmup = StreamCounts { scheduled: 100, sent: 100, ok: 100, ..StreamCounts::default() };
        let stream = StreamTally { warmup, measure, requests: 310, ..StreamTally::default() };
        tally.streams.insert("app".to_owned(), stream);
        let mut op = |name: &str, warmup, measure| {
            let op = OpTally {
                warmup: Outcomes { ok: warmup, ..Outcomes::default() },
                measure,
                ..OpTally::default()
            };
            tally.ops.insert(("app".to_owned(), name.to_owned()), op);
        };
        op("read", 90, Outcomes { ok: 180, failed: 1, unknown: 0, shed: 1 });
        op("write", 10, Outcomes { ok: 17, failed: 0, unknown: 1, shed: 0 });
        tally
    }

    fn violations(change: impl FnOnce(&mut StreamTally)) -> Vec<String> {
        let mut tally = balanced();
        change(tally.streams.get_mut("app").unwrap());
        let accounts = accounts(&tally, true);
        assert_eq!(accounts.total.balanced, accounts.violations.is_empty());
        assert_eq!(accounts.streams["app"].balanced, accounts.violations.is_empty());
        accounts.violations
    }

    #[test]
    fn an_account_balances_when_every_op_is_somewhere() {
        let accounts = accounts(&balanced(), true);
        assert_eq!(accounts.violations, [] as [&str; 0]);
        let expected = Accounting {
            scheduled: 200,
            sent: 199,
            shed: 1,
            waiting: 0,
            ok: 197,
            failed: 1,
            unknown: 1,
            in_flight: 0,
            requests: 310,
            balanced: true,
        };
        assert_eq!(accounts.total, expected);
        assert_eq!(accounts.streams["app"], expected);
    }

    #[test]
    fn every_identity_can_be_violated() {
        for (change, text) in [
            (
                (|s: &mut StreamTally| s.measure.scheduled = 199) as fn(&mut StreamTally),
                "1 op of the measured window sent or shed beyond those scheduled",
            ),
            (|s| s.measure.sent -= 3, "3 ops of the measured window ended beyond those sent"),
            (|s| s.warmup.scheduled = 90, "10 ops of the warm-up sent or shed beyond those scheduled"),
            (|s| s.measure.scheduled = 205, "the counters leave 5 ops waiting, and the queues held 0"),
            (|s| s.in_flight_at_end = 2, "the counters leave 0 ops in flight, and the queues held 2"),
            (|s| s.measure.ok = 196, "its ops count 197 ok in the measured window, and the stream 196"),
            (|s| s.measure.shed = 0, "its ops count 1 shed in the measured window, and the stream 0"),
            (|s| s.warmup.ok = 99, "its ops count 100 ok in the warm-up, and the stream 99"),
            (
                |s| {
                    s.measure.scheduled = 201;
                    s.waiting_at_end = 1;
                },
                "the run ended with 1 op waiting",
            ),
        ] {
            let found = violations(change);
            assert!(found.iter().any(|v| v == &format!("stream app: {text}")), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_record_that_was_cut_short_may_leave_ops_open() {
        let mut tally = balanced();
        let app = tally.streams.get_mut("app").unwrap();
        app.measure.scheduled = 208;
        app.measure.ok = 190; // the lines of some ops of the last interval never came
        let accounts = accounts(&tally, false);
        assert_eq!(accounts.violations, [] as [&str; 0]);
        assert_eq!((accounts.total.waiting, accounts.total.in_flight), (8, 7));
    }

    #[test]
    fn watch_events_are_nobodys_requests() {
        let mut tally = balanced();
        let delivery = OpTally { measure: Outcomes { ok: 50, ..Outcomes::default() }, ..OpTally::default() };
        tally.ops.insert(("watchers".to_owned(), stage::WATCH_DELIVERY.to_owned()), delivery);
        tally.streams.insert("watchers".to_owned(), StreamTally { requests: 4, ..StreamTally::default() });
        let accounts = accounts(&tally, true);
        assert_eq!(accounts.violations, [] as [&str; 0]);
        assert_eq!(accounts.total.requests, 314);
    }
}
