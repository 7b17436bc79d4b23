use quorumeter_record::{
    Event, EventKind, GateOutcome, GeneratorLine, GeneratorVerdict, IntervalLine, KeysLine, LoopKind,
    MemberInfo, OpLine, OpPhase, Phase, SessionChange, StopReason, StreamCounts, StreamLine, ValueBytes,
    Verdict, WatchLine, WorkerUse,
};

use super::*;
use crate::fixture::{MS, Run, S, generator_line, histogram, manifest, op_line, stream_line, watch_line};

fn phase(t_s: u64, phase: Phase) -> Event {
    Event { t_ns: t_s * S, kind: EventKind::Phase { phase } }
}

/// Warm-up in second 0, measured in seconds 1 and 2, drain in second 3: reads of stream `app` alone.
///
/// | second | intended in | scheduled | sent | shed | ok | failed | unknown |
/// |---|---|---|---|---|---|---|---|
/// | 0 | warm-up | 100 | 100 | | 90 | | |
/// | 1 | warm-up | | | | 10 | | |
/// | 1 | window | 100 | 95 | | 80 | | |
/// | 2 | window | 100 | 100 | | 100 | | |
/// | 3 | window | | 4 | 1 | 17 | 1 | 1 |
fn run() -> Run {
    let mut manifest = manifest();
    manifest.streams.truncate(1);
    manifest.streams[0].ops.truncate(1);
    manifest.streams[0].offered_rate = Some(100.0);
    manifest.phases.measure_ns = 2 * S;

    let during = [Phase::Warmup, Phase::Measure, Phase::Measure, Phase::Drain];
    let measure = [
        StreamCounts::default(),
        StreamCounts { scheduled: 100, sent: 95, ok: 80, ..StreamCounts::default() },
        StreamCounts { scheduled: 100, sent: 100, ok: 100, ..StreamCounts::default() },
        StreamCounts { scheduled: 0, sent: 4, shed: 1, ok: 17, failed: 1, unknown: 1 },
    ];
    let warmup = [
        StreamCounts { scheduled: 100, sent: 100, ok: 90, ..StreamCounts::default() },
        StreamCounts { ok: 10, ..StreamCounts::default() },
        StreamCounts::default(),
        StreamCounts::default(),
    ];
    let queues = [(0, 10), (5, 15), (5, 15), (0, 0)];
    let mut lines = Vec::new();
    for (i, during) in (0_u32..).zip(during) {
        let (warmup, measure) = (warmup[i as usize], measure[i as usize]);
        for (phase, counts) in [(OpPhase::Warmup, warmup), (OpPhase::Measure, measure)] {
            let failed = (counts.failed > 0).then(|| ("NoNode".to_owned(), counts.failed));
            lines.push(IntervalLine::Op(OpLine {
                phase,
                ok: counts.ok,
                failed: failed.into_iter().collect(),
                unknown: counts.unknown,
                shed: counts.shed,
                late: counts.shed * 5,
                in_flight_at_send_sum: counts.sent * 2,
                in_flight_at_send_max: 7,
                in_flight_at_send_count: counts.sent,
                value_bytes: ValueBytes { count: counts.ok, sum: counts.ok * 256, min: 256, max: 256 },
                ..op_line(i, during, "app", "read")
            }));
        }
        let (waiting, in_flight) = queues[i as usize];
        lines.push(IntervalLine::Stream(StreamLine {
            warmup,
            measure,
            waiting,
            in_flight,
            requests: 110,
            ..stream_line(i, during, "app")
        }));
        // 10 in flight and half an op waiting on average; the latencies say the same.
        lines.push(IntervalLine::Generator(GeneratorLine {
            workers: vec![
                WorkerUse { cpu_ns: 100 * MS, wall_ns: S },
                WorkerUse { cpu_ns: 300 * MS, wall_ns: S },
            ],
            in_flight_op_ns: 10 * S,
            waiting_op_ns: S / 2,
            departed: 95,
            departed_sent: 95,
            service_sum_ns: 10 * S,
            response_sum_ns: 10 * S + S / 2,
            ..generator_line(i, during)
        }));
    }
    lines.push(IntervalLine::Keys(KeysLine {
        stream: "app".to_owned(),
        keys: 1000,
        ops: 200,
        touched: 150,
        hottest_share: 0.1,
        top_1_percent_share: 0.3,
        top_10_percent_share: 0.6,
    }));

    // 197 ok at 100 ms, one failed at 50 ms, one given up at 1 s, one shed at 2 s.
    let ok = [80, 100, 17];
    let mut histograms = Vec::new();
    for (i, ok) in (1..).zip(ok) {
        let of = |ns: u64| histogram((0..ok).map(move |_| ns));
        histograms.push(("app.read.ok.wait".to_owned(), i, of(MS)));
        histograms.push(("app.read.ok.service".to_owned(), i, of(99 * MS)));
        histograms.push(("app.read.ok.response".to_owned(), i, of(100 * MS)));
        histograms.push(("app.read.all.response".to_owned(), i, of(u64::from(i) * 100 * MS)));
        histograms.push(("generator.lag".to_owned(), i, histogram((0..ok).map(|_| 20_000))));
    }
    histograms.push(("app.read.failed.response".to_owned(), 3, histogram([50 * MS])));
    histograms.push(("app.read.unknown.response".to_owned(), 3, histogram([S])));
    histograms.push(("app.read.shed.response".to_owned(), 3, histogram([2 * S])));

    let session = EventKind::Session {
        stream: "app".to_owned(),
        session: 0,
        change: SessionChange::Connected,
        member: "127.0.0.1:2181".to_owned(),
        session_id: "0000000000000001".to_owned(),
        read_only: false,
        cause: String::new(),
    };
    let events = vec![
        Event { t_ns: 0, kind: session },
        phase(0, Phase::Warmup),
        phase(1, Phase::Measure),
        phase(3, Phase::Drain),
        phase(4, Phase::Cleanup),
        Event { t_ns: 5 * S, kind: EventKind::End },
    ];
    Run { manifest, lines, events, histograms }
}

/// Within the histogram's 0.1 %.
fn near(value: Option<i64>, expected_ns: u64) -> bool {
    value.is_some_and(|v| v.unsigned_abs().abs_diff(expected_ns) as f64 <= expected_ns as f64 / 1000.0)
}

#[test]
fn counts_are_of_ops_intended_in_the_window_and_the_rate_of_replies_in_it() {
    let analysis = run().analyse();
    let read = &analysis.summary.ops["app.read"];
    assert_eq!((read.ok, read.unknown, read.shed, read.late), (197, 1, 1, 5));
    assert_eq!(read.failed, BTreeMap::from([("NoNode".to_owned(), 1)]));
    // 10 of the warm-up, 80 and 100 came in the two seconds; the 17 of the drain did not.
    assert_eq!(read.rate, 95.0);
    assert_eq!(analysis.summary.measured_s, 2.0);
    assert_eq!(analysis.window, Some(Window { start_ns: S, end_ns: 3 * S }));
    assert_eq!((read.in_flight_at_send.mean, read.in_flight_at_send.max), (2.0, 7));
    assert_eq!(read.value_bytes, ValueBytes { count: 197, sum: 197 * 256, min: 256, max: 256 });
    assert_eq!(read.consistency, "session");
}

#[test]
fn quantiles_are_of_every_op_and_given_up_ones_are_lower_bounds() {
    let analysis = run().analyse();
    let read = &analysis.summary.ops["app.read"];
    // 200 ops: one at 50 ms, 197 at 100 ms, ≥1 s, ≥2 s.
    let response = &read.response_ns;
    assert_eq!((response.count, response.censored), (200, 2));
    assert!(near(response.min, 50 * MS) && near(response.p95, 100 * MS) && near(response.max, 2 * S));
    assert_eq!(response.p99, None); // two samples beyond it
    assert_eq!(response.at_least, ["mean", "max"]);
    // (50 + 19,700 + 1,000 + 2,000) / 200 = 113.75 ms
    assert!(near(response.mean, 113_750_000));
    assert_eq!((read.ok_response_ns.count, read.ok_response_ns.censored), (197, 0));
    assert!(near(read.service_ns.p50, 99 * MS) && near(read.wait_ns.p50, MS));
}

#[test]
fn the_account_balances() {
    let summary = run().analyse().summary;
    let account = summary.accounting;
    assert_eq!((account.scheduled, account.sent, account.shed, account.waiting), (200, 199, 1, 0));
    assert_eq!((account.ok, account.failed, account.unknown, account.in_flight), (197, 1, 1, 0));
    assert_eq!((account.requests, account.balanced), (440, true));
    assert_eq!(summary.verdict, Verdict::Pass, "{:?}", summary.reasons);
    assert!(summary.complete);
}

#[test]
fn an_account_that_does_not_balance_is_an_error() {
    let mut run = run();
    for line in &mut run.lines {
        if let IntervalLine::Stream(line) = line {
            line.measure.scheduled += 1;
        }
    }
    let summary = run.analyse().summary;
    assert_eq!((summary.verdict, summary.accounting.balanced), (Verdict::Error, false));
    assert!(
        summary.reasons[0]
            .contains("which is a bug of this tool: stream app: the counters leave 4 ops waiting")
    );
}

#[test]
fn the_stream_and_its_schedule_are_told() {
    let summary = run().analyse().summary;
    let app = &summary.streams["app"];
    assert_eq!((app.loop_kind, app.offered_rate, app.rate), (LoopKind::Open, Some(100.0), 95.0));
    assert_eq!(app.backlog_at_warmup_end, 10);
    assert_eq!(app.keys.unwrap().touched, 150);
    assert_eq!(app.accounting, summary.accounting);
    assert_eq!(summary.loop_kind, LoopKind::Open);
}

#[test]
fn littles_law_and_the_generator_are_of_the_window_alone() {
    let summary = run().analyse().summary;
    let law = summary.littles_law;
    assert_eq!((law.mean_in_flight, law.rate_times_mean_service), (10.0, 10.0));
    assert_eq!((law.mean_in_system, law.rate_times_mean_response), (10.5, 10.5));
    // 40 of the 190 ops that departed were across an edge.
    assert_eq!(law.holds, None);
    let generator = &summary.generator;
    assert_eq!(generator.verdict, GeneratorVerdict::Ok);
    // Two seconds of 100 and 300 ms each; 190 departures.
    assert_eq!((generator.cpu_s, generator.cpu_per_op_ns), (0.8, Some(4_210_526)));
    assert_eq!((generator.busiest_worker, generator.workers), (0.3, 2));
    assert_eq!(generator.schedule_lag_ns.count, 197);
}

#[test]
fn lag_is_held_against_the_median_of_the_open_loop() {
    // 10 % of the median of 100 ms is 10 ms: 9 ms of lag are not the limit, 11 ms are.
    for (lag_ms, verdict) in [(9, GeneratorVerdict::Ok), (11, GeneratorVerdict::Limited)] {
        let mut run = run();
        run.histograms.push(("generator.lag".to_owned(), 3, histogram((0..5000).map(|_| lag_ms * MS))));
        assert_eq!(run.analyse().summary.generator.verdict, verdict, "{lag_ms} ms");
    }
}

#[test]
fn the_series_has_a_point_per_interval_of_the_window() {
    let mut run = run();
    let many = histogram((0..5000).map(|_| 300 * MS));
    run.histograms.retain(|(tag, ..)| !tag.ends_with(".response"));
    run.histograms.push(("app.read.ok.response".to_owned(), 1, histogram([100 * MS])));
    run.histograms.push(("app.read.ok.response".to_owned(), 2, many));
    // The second interval is what becomes of censored ops: known from below only, as in the summary.
    run.histograms.push(("app.read.unknown.response".to_owned(), 2, histogram((0..100).map(|_| 400 * MS))));
    run.histograms.push(("app.read.ok.response".to_owned(), 3, histogram([S])));
    let series = run.analyse().series;
    assert_eq!(series.len(), 2);
    assert_eq!((series[0].start_ns, series[0].end_ns, series[0].rate), (S, 2 * S, 90.0));
    assert_eq!((series[1].start_ns, series[1].rate), (2 * S, 100.0));
    let [first, second] = [&series[0].response_ns, &series[1].response_ns];
    assert_eq!((first.p99, first.at_least.len()), (None, 0));
    assert!(near(first.max, 100 * MS));
    assert!(near(second.p95, 300 * MS) && near(second.p99, 400 * MS));
    assert_eq!((second.is_lower_bound("p95"), second.is_lower_bound("p99")), (false, true));
}

#[test]
fn gates_are_judged_with_the_run() {
    let mut run = run();
    run.manifest.gates = vec!["app.read.rate >= 95/s".to_owned(), "app.read.response.p95 < 50ms".to_owned()];
    let summary = run.analyse().summary;
    let outcomes: Vec<GateOutcome> = summary.gates.iter().map(|g| g.outcome).collect();
    assert_eq!(outcomes, [GateOutcome::Passed, GateOutcome::Failed]);
    assert_eq!(summary.verdict, Verdict::GateFailed);
}

#[test]
fn a_run_that_was_stopped_early_is_judged_by_the_reason() {
    for (reason, verdict, warned) in [
        (StopReason::Signal, Verdict::Pass, true),
        (StopReason::Abort, Verdict::GateFailed, false),
        (StopReason::Error, Verdict::Error, false),
    ] {
        let mut run = run();
        run.manifest.phases.measure_ns = 30 * S;
        let stop = EventKind::Stop { reason, detail: "why".to_owned() };
        run.events.insert(3, Event { t_ns: 3 * S, kind: stop });
        let analysis = run.analyse();
        assert_eq!(analysis.summary.verdict, verdict);
        let early = "the run was ended early by a signal (why): measured for 2.00 s of 30 s";
        assert_eq!(analysis.summary.warnings.iter().any(|w| w == early), warned);
        assert_eq!(analysis.stops.len(), 1);
    }
}

#[test]
fn a_killed_run_is_an_error_that_says_how_far_it_got() {
    let mut run = run();
    run.events.truncate(3); // up to the start of the measured window
    run.lines.retain(|line| match line {
        IntervalLine::Op(line) => line.interval < 2,
        IntervalLine::Stream(line) => line.interval < 2,
        IntervalLine::Generator(line) => line.interval < 2,
        _ => false,
    });
    run.histograms.retain(|(_, interval, _)| *interval < 2);
    let analysis = run.analyse();
    let summary = &analysis.summary;
    assert_eq!((summary.verdict, summary.complete), (Verdict::Error, false));
    assert_eq!(analysis.window, Some(Window { start_ns: S, end_ns: 2 * S }));
    assert_eq!(summary.ops["app.read"].rate, 90.0);
    // Open ops are no fault of the accounts: 5 of 100 wait, 15 of 95 are in flight.
    let account = summary.accounting;
    assert_eq!((account.waiting, account.in_flight, account.balanced), (5, 15, true));
    assert!(summary.warnings[0].starts_with("the record is incomplete: it reaches to 2.00 s"));
}

#[test]
fn a_record_without_its_histograms_passes_nothing() {
    let gate = |run: &mut Run| {
        run.manifest.gates =
            vec!["app.read.response.p50 < 1s".to_owned(), "app.read.rate >= 95/s".to_owned()];
    };
    let mut whole = run();
    gate(&mut whole);
    assert_eq!(whole.analyse().summary.verdict, Verdict::Pass);
    for part in ["ok.response", "ok.service", "shed.response"] {
        let mut run = run();
        gate(&mut run);
        run.histograms.retain(|(tag, interval, _)| *interval != 3 || !tag.ends_with(part));
        let summary = run.analyse().summary;
        assert_eq!(summary.verdict, Verdict::Error, "{part}");
        assert!(
            summary.reasons[0].starts_with("app.read: intervals.ndjson counts 200"),
            "{:?}",
            summary.reasons
        );
        let outcomes: Vec<GateOutcome> = summary.gates.iter().map(|g| g.outcome).collect();
        assert_eq!(outcomes, [GateOutcome::Inconclusive, GateOutcome::Passed], "{part}");
        // One that was cut short may lack what its last interval would have had.
        run.events.pop();
        assert!(!run.analyse().summary.reasons.iter().any(|r| r.contains("latency.hlog")), "{part}");
    }
}

#[test]
fn the_rate_of_a_run_that_failed_is_over_what_was_measured() {
    let mut run = run();
    // Second 2 was never written, and the drain is noted at the end as planned.
    run.events = vec![phase(0, Phase::Warmup), phase(1, Phase::Measure), phase(31, Phase::Drain)];
    run.lines.retain(|line| match line {
        IntervalLine::Op(line) => line.interval < 2,
        IntervalLine::Stream(line) => line.interval < 2,
        IntervalLine::Generator(line) => line.interval < 2,
        _ => false,
    });
    let analysis = run.analyse();
    assert_eq!(analysis.window, Some(Window { start_ns: S, end_ns: 2 * S }));
    assert_eq!((analysis.summary.measured_s, analysis.summary.ops["app.read"].rate), (1.0, 90.0));
}

#[test]
fn a_run_without_a_measured_window_is_inconclusive() {
    let mut run = run();
    run.events = vec![phase(0, Phase::Connect), Event { t_ns: S, kind: EventKind::End }];
    run.lines.clear();
    run.histograms.clear();
    let analysis = run.analyse();
    assert_eq!(analysis.summary.verdict, Verdict::Inconclusive);
    assert_eq!((analysis.summary.measured_s, analysis.window), (0.0, None));
    assert_eq!(analysis.summary.ops["app.read"].rate, 0.0);
    assert_eq!(analysis.summary.streams["app"].offered_rate, None);
}

#[test]
fn watches_are_summed_over_the_window_and_the_drain() {
    let mut run = run();
    run.manifest.streams.push(manifest().streams[1].clone());
    for (i, during) in (0..).zip([Phase::Warmup, Phase::Measure, Phase::Measure, Phase::Drain]) {
        run.lines.push(IntervalLine::Watch(WatchLine {
            events: 100,
            matched: 98,
            unmatched: 2,
            lost: u64::from(i == 3),
            fan_out: FanOutSummary { complete: 49, incomplete: 1, ..FanOutSummary::default() },
            ..watch_line(i, during, "watchers")
        }));
    }
    let delivered = OpLine { ok: 98, ..op_line(1, Phase::Measure, "watchers", stage::WATCH_DELIVERY) };
    run.lines.push(IntervalLine::Op(delivered));
    let tag = |part: &str| format!("watchers.watch_delivery.ok.{part}");
    run.histograms.push((tag("response"), 1, histogram((0..98).map(|_| MS))));
    // 60 events after the acknowledgement, 40 before it.
    run.histograms.push((tag("after_ack"), 1, histogram((1..=60).map(|i| i * 10))));
    run.histograms.push((tag("before_ack"), 1, histogram(1..=40)));
    for (rank, times) in [("first", 1), ("median", 2), ("last", 3)] {
        run.histograms.push((tag(rank), 1, histogram((0..147).map(|_| times * MS))));
    }
    let summary = run.analyse().summary;
    let watch = &summary.watches["watchers"];
    assert_eq!((watch.events, watch.matched, watch.unmatched, watch.lost), (300, 294, 6, 1));
    assert_eq!((watch.kind.as_str(), watch.paths, watch.watchers), ("persistent", 10, 2));
    let after_ack = &watch.after_ack_ns;
    // −40 to −1, then 10 to 600: rank 50 is 100, rank 90 is 500.
    assert_eq!(
        (after_ack.min, after_ack.p50, after_ack.p90, after_ack.max),
        (Some(-40), Some(100), Some(500), Some(600))
    );
    let fan_out = &watch.fan_out;
    assert_eq!((fan_out.complete, fan_out.incomplete), (147, 3));
    for (rank, times) in [(&fan_out.first_ns, 1), (&fan_out.median_ns, 2), (&fan_out.last_ns, 3)] {
        assert_eq!((rank.count, rank.max.unwrap() / MS as i64), (147, times));
    }
    assert_eq!(summary.ops["watchers.watch_delivery"].rate, 49.0);
    assert_eq!(summary.streams["watchers"].rate, 49.0);
    // Watches are nobody's requests, and no loop of the run.
    assert_eq!((summary.accounting.ok, summary.accounting.balanced), (197, true));
    assert_eq!((summary.loop_kind, summary.verdict), (LoopKind::Open, Verdict::Pass));
}

#[test]
fn the_loop_of_the_run_is_that_of_its_streams() {
    let stream = |loop_kind| StreamInfo { loop_kind, ..crate::fixture::streams()[0].clone() };
    for (kinds, of_the_run) in [
        (vec![LoopKind::Open, LoopKind::Watch], LoopKind::Open),
        (vec![LoopKind::Closed], LoopKind::Closed),
        (vec![LoopKind::Closed, LoopKind::Open], LoopKind::Mixed),
        (vec![LoopKind::Watch], LoopKind::Watch),
    ] {
        let streams: Vec<StreamInfo> = kinds.iter().copied().map(stream).collect();
        assert_eq!(loop_of_the_run(&streams), of_the_run, "{kinds:?}");
    }
}

#[test]
fn a_closed_loop_has_no_offered_rate_and_is_judged_by_cpu_alone() {
    let mut run = run();
    run.manifest.streams[0].loop_kind = LoopKind::Closed;
    run.histograms.retain(|(tag, ..)| tag != "generator.lag");
    let summary = run.analyse().summary;
    assert_eq!((summary.loop_kind, summary.streams["app"].offered_rate), (LoopKind::Closed, None));
    assert_eq!(summary.generator.verdict, GeneratorVerdict::Ok);
    assert!(summary.warnings.iter().any(|w| w.starts_with("app is a closed loop")));
}

#[test]
fn a_name_with_addresses_of_both_families_is_warned_of() {
    let warned = |members: &[(&str, Option<&str>)]| {
        let mut run = run();
        let target = run.manifest.target.as_mut().unwrap();
        let member = target.members[0].clone();
        target.members = members
            .iter()
            .map(|&(address, name)| MemberInfo {
                address: address.to_owned(),
                name: name.map(str::to_owned),
                ..member.clone()
            })
            .collect();
        let warnings = run.analyse().summary.warnings;
        warnings.into_iter().find(|w| w.contains("IPv6"))
    };
    let both = [("[::1]:1", Some("a:1")), ("127.0.0.1:1", Some("a:1")), ("192.0.2.1:1", Some("b:1"))];
    let text = warned(&both).unwrap();
    assert!(text.contains("may be of one server: a:1; name a server"), "{text}");
    assert_eq!(warned(&both[1..]), None);
    assert_eq!(warned(&[("[::1]:1", None), ("127.0.0.1:1", None)]), None);
    assert_eq!(warned(&[("[::1]:1", Some("a:1")), ("127.0.0.1:1", Some("b:1"))]), None);
}
