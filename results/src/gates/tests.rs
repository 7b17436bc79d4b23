use quorumeter_record::GateOutcome::{self, Failed, Inconclusive, Passed};
use quorumeter_record::{FanOutSummary, LoopKind, OpLine, Phase, Quantiles};

use super::*;
use crate::fixture::{generator_line, op_info, op_line, streams, summary, watch_line};

fn outcome(text: &str, summary: &Summary) -> GateOutcome {
    Gate::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).evaluate(summary).outcome
}

#[test]
fn metrics_comparisons_and_values_are_parsed() {
    for (text, metric, comparison, value) in [
        ("app.read.response.p99 < 10ms", "app.read.response.p99", Comparison::Less, 10e6),
        ("app.read.response.p99<10 ms", "app.read.response.p99", Comparison::Less, 10e6),
        ("  app.read.rate >= 10k/s ", "app.read.rate", Comparison::AtLeast, 10_000.0),
        ("app.read.failed <= 0.1%", "app.read.failed", Comparison::AtMost, 0.001),
        ("app.write.unknown == 0", "app.write.unknown", Comparison::Equal, 0.0),
        ("app.write.ok != 1_000", "app.write.ok", Comparison::NotEqual, 1000.0),
        ("generator.lag.p99 < 1.5ms", "generator.lag.p99", Comparison::Less, 1.5e6),
        ("app.rate > 5k/s", "app.rate", Comparison::Greater, 5000.0),
        ("total.rate > 1.5M/s", "total.rate", Comparison::Greater, 1.5e6),
        ("total.failed == 0%", "total.failed", Comparison::Equal, 0.0),
        ("watchers.lost == 0", "watchers.lost", Comparison::Equal, 0.0),
        ("watchers.after_ack.min > -2us", "watchers.after_ack.min", Comparison::Greater, -2000.0),
        ("a-b_1.multi(10).wait.max < 2m", "a-b_1.multi(10).wait.max", Comparison::Less, 120e9),
        ("app.read.service.p99.9 < 300ns", "app.read.service.p999", Comparison::Less, 300.0),
        ("app.read.ok_response.p99.99 < 1.1µs", "app.read.ok_response.p9999", Comparison::Less, 1100.0),
        ("app.read.response.mean < 1h", "app.read.response.mean", Comparison::Less, 3600e9),
    ] {
        let gate = Gate::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(gate.metric.to_string(), metric, "{text}");
        assert_eq!((gate.comparison, gate.bound.value), (comparison, value), "{text}");
        assert_eq!(gate.text(), text.trim());
    }
}

#[test]
fn the_two_forms_are_one() {
    let gate = Gate::from_parts("app.read.response.p99", "< 10ms").unwrap();
    assert_eq!(gate, Gate::parse("app.read.response.p99 < 10ms").unwrap());
    assert_eq!(gate.to_string(), "app.read.response.p99 < 10ms");
    assert_eq!("app.read.response.p99 < 10ms".parse::<Gate>().unwrap(), gate);
}

#[test]
fn errors_say_what_would_be_right() {
    for (text, says) in [
        ("", "it compares nothing"),
        ("app.read.rate", "it compares nothing"),
        ("< 10ms", "it names no metric"),
        ("app.read.rate >", "it has no value"),
        ("app.read.ok = 1", "a comparison is one of < <= > >= == !="),
        ("app.read.response.p98 < 1ms", "`p98` is none of min, mean, p50"),
        ("app.read.respons.p99 < 1ms", "did you mean `response`?"),
        ("app.read.response < 1ms", "Write `response.p99`"),
        ("app.raet > 1/s", "did you mean `rate`?"),
        ("app < 1", "the forms are"),
        ("generator.cpu < 1", "there is `generator.lag.<statistic>`"),
        ("total.read.rate > 1/s", "there is `total.<count>`"),
        ("App.read.rate > 1/s", "`App` is no stream's name"),
        ("app.re ad.rate > 1/s", "`re ad` is no op's name"),
        ("app.read.response.p99 < 10", "is a duration: a number with ns, us, ms"),
        ("app.read.response.p99 < 10k/s", "is a duration"),
        ("app.read.rate > 10ms", "is a rate: a number with /s"),
        ("app.read.rate > 10", "is a rate"),
        ("app.read.failed < 10ms", "or a percentage of the ops"),
        ("app.read.failed < 1.5", "a whole number"),
        ("watchers.lost <= 1%", "`1%` does not fit `watchers.lost`"),
        ("app.read.rate > -1/s", "is never negative"),
        ("app.read.ok > 1-2", "a whole number"),
        ("app.read.ok > .5", "a whole number"),
        ("app.read.ok > <", "does not fit"),
    ] {
        let error = Gate::parse(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn what_cannot_fail_or_cannot_hold_is_refused() {
    for text in [
        "app.read.failed <= 100%",
        "app.read.failed < 101%",
        "app.read.failed >= 0",
        "app.read.failed != 101%",
        "app.read.rate >= 0/s",
        "app.read.response.p99 >= 0ms",
    ] {
        let error = Gate::parse(text).expect_err(text);
        assert_eq!(error, GateError::CannotFail { text: text.to_owned() });
        assert!(error.to_string().contains("holds whatever is measured"));
    }
    for text in [
        "app.read.failed > 250%",
        "app.read.shed > 100%",
        "app.read.failed == 101%",
        "app.read.failed < 0",
        "app.read.rate < 0/s",
        "app.read.response.p99 < 0ms",
    ] {
        let error = Gate::parse(text).expect_err(text);
        assert_eq!(error, GateError::CannotPass { text: text.to_owned() });
    }
    for text in [
        "app.read.failed < 100%",
        "app.read.failed <= 0",
        "app.read.ok >= 100%",
        "app.read.rate > 0/s",
        "app.read.failed == 0",
        "watchers.after_ack.min >= 0ms",
        "watchers.after_ack.min < 0ms",
    ] {
        assert!(Gate::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_metric_must_exist_for_the_workload() {
    let check = |text: &str| Gate::parse(text).unwrap().check_exists(&streams(), None);
    for text in [
        "app.read.response.p99 < 1ms",
        "app.write.rate > 1/s",
        "app.shed == 0",
        "total.rate > 1/s",
        "generator.lag.p99 < 1ms",
        "watchers.lost == 0",
        "watchers.watch_delivery.response.p99 < 50ms",
        "watchers.after_ack.p50 < 1ms",
        "watchers.fan_out.last.p99 < 20ms",
        "watchers.incomplete == 0",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
    for (text, says) in [
        (
            "ap.read.response.p99 < 1ms",
            "its streams are app, watchers; did you mean `app.read.response.p99`?",
        ),
        ("app.raed.rate > 1/s", "the ops of stream app are read, write; did you mean `app.read.rate`?"),
        ("app.lost == 0", "stream app has no watches"),
        ("app.after_ack.p50 < 1ms", "stream app has no watches"),
        ("app.fan_out.last.p50 < 1ms", "stream app has no watches"),
        ("app.unknown_writes == 0", "stream app has no watches"),
    ] {
        let error = check(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn a_closed_loop_has_no_lag() {
    let mut closed = streams();
    closed[0].loop_kind = LoopKind::Closed;
    let gate = Gate::parse("generator.lag.p99 < 1ms").unwrap();
    let error = gate.check_exists(&closed, None).unwrap_err().to_string();
    assert!(error.contains("there is no schedule to lag behind"), "{error}");
}

#[test]
fn known_metrics_can_all_be_parsed() {
    let mut streams = streams();
    streams[0].ops.push(op_info("multi(10)", "linearizable"));
    let known = known_metrics(&streams, None);
    for metric in &known {
        assert_eq!(&Metric::parse(metric).unwrap().to_string(), metric);
    }
    // 4 ops of 4 × 9 times and 6 counts; 2 streams of 6 counts; 12 counts and 4 × 9 times of watches; total; lag.
    assert_eq!(known.len(), 4 * (36 + 6) + 2 * 6 + (12 + 4 * 9) + 6 + 9);
}

/// The summary has, for app.read: p50 500 µs, p99 2 ms, rate 500/s, 10,000 ok; per stream 1,000/s and 20,000.
#[test]
fn gates_hold_or_not() {
    let summary = summary();
    for (text, expected) in [
        ("app.read.response.p99 < 2ms", Failed),
        ("app.read.response.p99 <= 2ms", Passed),
        ("app.read.response.p99 < 2.001ms", Passed),
        ("app.read.response.p99 > 2ms", Failed),
        ("app.read.response.p99 >= 2ms", Passed),
        ("app.read.response.p99 == 2000us", Passed),
        ("app.read.response.p99 != 2ms", Failed),
        ("app.read.service.p50 < 1ms", Passed),
        ("app.read.wait.max < 4ms", Failed),
        ("app.read.ok_response.mean < 601us", Passed),
        ("app.read.rate >= 500/s", Passed),
        ("app.rate > 1k/s", Failed),
        ("app.rate >= 1k/s", Passed),
        ("total.rate >= 1k/s", Passed),
        ("total.rate > 1k/s", Failed), // watch events are not in it
        ("watchers.rate > 499/s", Passed),
        ("app.read.ok == 10_000", Passed),
        ("app.ok == 20_000", Passed),
        ("total.ok == 100%", Passed),
        ("app.read.unknown == 0", Passed),
        ("generator.lag.p99 < 80us", Failed),
        ("generator.lag.p99 <= 80us", Passed),
        ("watchers.lost == 0", Passed),
        ("watchers.events > 10_000", Failed),
        ("watchers.of_unknown == 6", Passed),
        ("watchers.fan_out.last.p99 < 2ms", Failed),
        ("watchers.complete >= 4_990", Passed),
        ("watchers.incomplete == 0", Failed),
        ("watchers.unknown_writes < 3", Failed),
        ("watchers.after_ack.min < -49us", Passed),
        ("watchers.watch_delivery.response.p99 < 50ms", Passed),
    ] {
        assert_eq!(outcome(text, &summary), expected, "{text}");
    }
}

#[test]
fn a_percentage_is_of_all_ops_of_the_row() {
    let mut summary = summary();
    let read = summary.ops.get_mut("app.read").unwrap();
    // 10 of 10,000 failed, 5 were shed.
    read.ok = 9_985;
    read.failed.insert("NoNode".to_owned(), 7);
    read.failed.insert("BadVersion".to_owned(), 3);
    read.shed = 5;
    for (text, expected) in [
        ("app.read.failed <= 0.1%", Passed),
        ("app.read.failed < 0.1%", Failed),
        ("app.read.failed == 0.1%", Passed),
        ("app.read.failed == 10", Passed),
        ("app.failed <= 0.05%", Passed), // of 20,000
        ("app.failed < 0.05%", Failed),
        ("total.shed == 5", Passed),
        ("app.read.shed <= 0.05%", Passed),
        ("app.read.ok < 99.9%", Passed),
    ] {
        assert_eq!(outcome(text, &summary), expected, "{text}");
    }
    let result = Gate::parse("app.read.failed <= 0.1%").unwrap().evaluate(&summary);
    assert_eq!((result.measured, result.reason.as_str()), (Some(0.001), "app.read.failed is 0.10 %"));
}

#[test]
fn a_gate_over_no_data_is_never_passed() {
    let mut nothing = summary();
    nothing.ops.get_mut("app.read").unwrap().response_ns = Quantiles::default();
    nothing.ops.get_mut("app.read").unwrap().ok = 0;
    nothing.ops.get_mut("app.read").unwrap().rate = 0.0;
    nothing.ops.get_mut("app.write").unwrap().response_ns.p99 = None;
    nothing.ops.get_mut("app.write").unwrap().response_ns.count = 999;
    nothing.watches.get_mut("watchers").unwrap().events = 0;
    nothing.watches.get_mut("watchers").unwrap().fan_out = FanOutSummary::default();
    for (text, says) in [
        ("app.read.response.p99 < 10ms", "there are no samples"),
        ("app.write.response.p99 < 10ms", "999 samples are too few, p99 needs 1000: measure longer"),
        ("app.read.failed == 0", "no operation ended"),
        ("app.read.failed <= 1%", "no operation ended"),
        ("app.read.rate < 10/s", "no operation ended"),
        ("watchers.lost == 0", "no watch event was due"),
        ("watchers.fan_out.last.p99 < 1s", "no write reached every watcher of its node"),
        ("watchers.incomplete == 0", "no write to a watched node ended"),
        ("other.fan_out.last.p99 < 1s", "the run has nothing of that name"),
        ("other.read.rate < 10/s", "no operation ended"),
        ("other.read.response.p99 < 10ms", "the run has nothing of that name"),
        ("other.lost == 0", "the run has nothing of that name"),
    ] {
        let result = Gate::parse(text).unwrap().evaluate(&nothing);
        assert_eq!((result.outcome, result.measured), (Inconclusive, None), "{text}");
        assert_eq!(result.reason, says, "{text}");
    }
    nothing.measured_s = 0.0;
    assert_eq!(outcome("app.write.rate < 10/s", &nothing), Inconclusive);
}

#[test]
fn an_op_that_was_only_shed_has_a_rate_of_zero() {
    let mut summary = summary();
    let read = summary.ops.get_mut("app.read").unwrap();
    (read.ok, read.rate, read.shed) = (0, 0.0, 10);
    assert_eq!(outcome("app.read.rate > 1/s", &summary), Failed);
}

#[test]
fn a_lower_bound_is_told_as_far_as_it_goes() {
    let mut summary = summary();
    summary.ops.get_mut("app.read").unwrap().response_ns.at_least = vec!["p99".to_owned()];
    // p99 is 2 ms or more.
    for (text, expected) in [
        ("app.read.response.p99 < 2ms", Failed),
        ("app.read.response.p99 < 3ms", Inconclusive),
        ("app.read.response.p99 <= 1ms", Failed),
        ("app.read.response.p99 <= 2ms", Inconclusive), // it may be just that
        ("app.read.response.p99 > 1ms", Passed),
        ("app.read.response.p99 > 2ms", Inconclusive),
        ("app.read.response.p99 >= 2ms", Passed),
        ("app.read.response.p99 >= 3ms", Inconclusive),
        ("app.read.response.p99 == 2ms", Inconclusive),
        ("app.read.response.p99 == 1ms", Failed),
        ("app.read.response.p99 != 1ms", Passed),
        ("app.read.response.p99 != 2ms", Inconclusive),
        ("app.read.response.p90 < 2ms", Passed), // p90 is no lower bound
    ] {
        assert_eq!(outcome(text, &summary), expected, "{text}");
    }
    let result = Gate::parse("app.read.response.p99 < 3ms").unwrap().evaluate(&summary);
    assert_eq!(result.measured, Some(2e6));
    assert!(result.reason.starts_with("app.read.response.p99 is at least 2.00 ms"), "{}", result.reason);
}

#[test]
fn a_failure_on_a_limited_generator_is_inconclusive() {
    let mut summary = summary();
    summary.generator.verdict = GeneratorVerdict::Limited;
    assert_eq!(outcome("app.read.response.p99 < 10ms", &summary), Passed);
    let result = Gate::parse("app.read.response.p99 < 1ms").unwrap().evaluate(&summary);
    assert_eq!(result.outcome, Inconclusive);
    assert_eq!(
        result.reason,
        "app.read.response.p99 is 2.00 ms, but the load generator was itself the limit"
    );
}

#[test]
fn a_gate_that_cannot_be_read_is_not_passed() {
    assert_eq!(evaluate_text("nonsense", &summary(), &[]).outcome, Inconclusive);
}

fn interval() -> Vec<IntervalLine> {
    let quantiles =
        |p99| Quantiles { count: 2000, p50: Some(1_000_000), p99: Some(p99), ..Quantiles::default() };
    let mut warmup = op_line(3, Phase::Measure, "app", "read");
    warmup.phase = quorumeter_record::OpPhase::Warmup;
    warmup.ok = 5;
    let read = OpLine {
        ok: 95,
        failed: [("NoNode".to_owned(), 1)].into(),
        unknown: 4,
        late: 10,
        response_ns: quantiles(9_000_000),
        service_ns: quantiles(8_000_000),
        wait_ns: quantiles(7_000_000),
        ..op_line(3, Phase::Measure, "app", "read")
    };
    let mut generator = generator_line(3, Phase::Measure);
    generator.lag_ns = quantiles(50_000);
    let mut watch = watch_line(3, Phase::Measure, "watchers");
    watch.events = 7;
    watch.after_ack_ns = quantiles(-3_000);
    watch.fan_out = FanOutSummary { complete: 5, last_ns: quantiles(6_000_000), ..FanOutSummary::default() };
    vec![
        IntervalLine::Op(warmup),
        IntervalLine::Op(read),
        IntervalLine::Op(op_line(3, Phase::Measure, "app", "write")),
        IntervalLine::Op(OpLine { ok: 7, ..op_line(3, Phase::Measure, "watchers", "watch_delivery") }),
        IntervalLine::Generator(generator),
        IntervalLine::Watch(watch),
    ]
}

#[test]
fn an_interval_tells_what_it_can() {
    let lines = interval();
    for (text, holds) in [
        ("app.read.response.p99 < 10ms", Some(true)),
        ("app.read.response.p99 < 9ms", Some(false)),
        ("app.read.service.p99 < 9ms", Some(true)),
        ("app.read.wait.p50 < 1ms", Some(false)),
        ("app.read.response.p999 < 10s", None), // too few samples
        ("app.write.response.p99 < 10s", None), // none at all
        ("app.read.rate >= 100/s", Some(true)), // both phases: 95 + 5 in one second
        ("app.read.rate > 100/s", Some(false)),
        ("app.rate >= 100/s", Some(true)),
        ("total.rate > 100/s", Some(false)), // watch events are not in it
        ("app.write.rate >= 1/s", Some(false)), // silence is a rate of zero
        ("app.read.unknown == 4", Some(true)),
        ("app.read.failed < 1%", Some(true)), // 1 of 105
        ("app.read.failed < 0.9%", Some(false)),
        ("app.write.failed < 1%", None), // of nothing
        ("app.write.failed == 0", Some(true)),
        ("app.read.late == 10", Some(true)),
        ("generator.lag.p99 < 1ms", Some(true)),
        ("watchers.events == 7", Some(true)),
        ("watchers.after_ack.p99 < 0ns", Some(true)),
        ("watchers.fan_out.last.p99 < 6ms", Some(false)),
        ("watchers.fan_out.last.p99 <= 6ms", Some(true)),
        ("watchers.fan_out.first.p99 < 6ms", None), // no samples
        ("watchers.complete == 5", Some(true)),
        ("watchers.unknown_writes == 0", Some(true)),
        ("other.read.rate > 1/s", None),
        ("other.read.ok == 0", None),
    ] {
        assert_eq!(Gate::parse(text).unwrap().holds_in_interval(&lines), holds, "{text}");
        assert_eq!(Gate::parse(text).unwrap().holds_in_interval(&[]), None, "{text}");
    }
}

#[test]
fn a_lower_bound_stops_a_run_only_where_it_is_beyond_doubt() {
    let mut lines = interval();
    let IntervalLine::Op(read) = &mut lines[1] else { unreachable!() };
    read.response_ns.at_least = vec!["p99".to_owned()];
    let holds = |text: &str| Gate::parse(text).unwrap().holds_in_interval(&lines);
    assert_eq!(holds("app.read.response.p99 < 9ms"), Some(false));
    assert_eq!(holds("app.read.response.p99 < 10ms"), None);
}

#[test]
fn what_is_known_at_the_end_only_cannot_stop_a_run() {
    for (text, says) in [
        ("app.read.ok_response.p99 < 1ms", "use `response`"),
        ("watchers.lost == 0", "make it a gate"),
        ("watchers.incomplete == 0", "make it a gate"),
    ] {
        let error = Gate::parse(text).unwrap().check_interval().expect_err(text).to_string();
        assert!(error.contains(says), "{error}");
    }
    for text in [
        "app.read.response.p99 < 1ms",
        "app.rate > 1/s",
        "generator.lag.p99 < 1ms",
        "watchers.merged == 0",
        "watchers.fan_out.last.p99 < 20ms",
        "watchers.unknown_writes == 0",
    ] {
        assert_eq!(Gate::parse(text).unwrap().check_interval(), Ok(()), "{text}");
    }
}

/// A measurement of six: outages of 400 to 450 ms, of which one did not end, and no interval for `java`.
fn failover_summary() -> quorumeter_record::Summary {
    use crate::failover::simulator::{How, Scene, hole};
    let scene = Scene::new(6, &[hole(2_000_000, 400_000_000, How::Refuse)]);
    let mut measurement = scene.judge().summary;
    let durations = |values: &[(u64, bool)]| crate::failover::durations(values);
    let ms = |ms: u64| (ms * 1_000_000, false);
    for (name, values) in [
        ("write_outage_any_lower_ns", [ms(390), ms(400), ms(410), ms(420), ms(430), ms(440)]),
        ("write_outage_any_upper_ns", [ms(400), ms(410), ms(420), ms(430), ms(440), ms(450)]),
        ("rejoin_outage_ns", [ms(0), ms(10), ms(20), ms(30), ms(40), (50_000_000, true)]),
    ] {
        measurement.durations.insert(name.to_owned(), durations(&values));
    }
    let java = measurement.policies.get_mut("java").unwrap();
    java.durations
        .insert("write_outage_client_upper_ns".to_owned(), durations(&[ms(700), (900_000_000, true)]));
    java.counts.insert(
        "sessions_lost".to_owned(),
        quorumeter_record::Counts { values: vec![0, 1, 0, 2, 0, 0], total: 3 },
    );
    let mut summary = summary();
    summary.generator.verdict = GeneratorVerdict::Limited;
    summary.failover = Some(measurement);
    summary
}

#[test]
fn a_failover_is_read_at_the_bound_that_is_harder_to_pass() {
    let summary = failover_summary();
    for (text, expected) in [
        ("write_outage_any.median < 426ms", Passed), // 425
        ("write_outage_any.median < 425ms", Failed),
        ("write_outage_any.median <= 425ms", Passed),
        ("write_outage_any.median > 414ms", Passed), // 415
        ("write_outage_any.median > 415ms", Failed),
        ("write_outage_any_lower.median < 416ms", Passed),
        ("write_outage_any_upper.median > 424ms", Passed),
        ("write_outage_any.min < 401ms", Passed),
        ("write_outage_any.max < 450ms", Failed),
        ("write_outage_any.max <= 450ms", Passed),
        // One that did not end is longer than its limit.
        ("rejoin_outage.max < 50ms", Failed),
        ("rejoin_outage.max < 60ms", Inconclusive),
        ("rejoin_outage.max > 49ms", Passed),
        ("rejoin_outage.median < 26ms", Passed),
        ("java.write_outage_client.median < 700ms", Failed),
        ("java.write_outage_client.median < 2s", Inconclusive),
        ("java.write_outage_client.min < 701ms", Passed),
        ("lost_acked_writes <= 0", Passed),
        ("lost_acked_writes == 0", Passed),
        ("java.sessions_lost < 3", Failed),
        ("java.sessions_lost <= 3", Passed),
        // Nothing tells these.
        ("ephemeral_removal.max < 1s", Inconclusive),
        ("kazoo.write_outage_client.max < 1s", Inconclusive),
        ("ephemeral_premature == 0", Inconclusive),
    ] {
        assert_eq!(outcome(text, &summary), expected, "{text}");
    }
    let reason = |text: &str| Gate::parse(text).unwrap().evaluate(&summary).reason;
    assert_eq!(
        reason("write_outage_any.median < 2s"),
        "write_outage_any.median is 425 ms (its upper bound, 96.9 % interval 400 ms to 450 ms, of 6 repetitions)"
    );
    assert_eq!(
        reason("rejoin_outage.max < 60ms"),
        "rejoin_outage.max is at least 50.0 ms, and how much more cannot be told, as it did not end while it was watched \
         (of 6 repetitions)"
    );
    assert!(reason("java.write_outage_client.median < 2s").contains("too few for an interval"));
    assert_eq!(reason("ephemeral_removal.max < 1s"), "no repetition that counts tells it");
    let mut none = summary.clone();
    // Repetitions that do not tell a count may have any.
    let lost = none.failover.as_mut().unwrap().counts.get_mut("lost_acked_writes").unwrap();
    lost.values.pop();
    assert_eq!(outcome("lost_acked_writes == 0", &none), GateOutcome::Inconclusive);
    assert_eq!(outcome("lost_acked_writes < 1", &none), GateOutcome::Inconclusive);
    let reason = Gate::parse("lost_acked_writes == 0").unwrap().evaluate(&none).reason;
    assert!(reason.ends_with("as not every repetition tells it"), "{reason}");
    none.failover.as_mut().unwrap().counts.get_mut("lost_acked_writes").unwrap().total = 2;
    assert_eq!(outcome("lost_acked_writes == 0", &none), GateOutcome::Failed);
    none.failover.as_mut().unwrap().valid = 0;
    none.failover.as_mut().unwrap().durations.clear();
    let result = Gate::parse("write_outage_any.max < 1s").unwrap().evaluate(&none);
    assert_eq!((result.outcome, result.reason.as_str()), (Inconclusive, "no repetition counts"));
    none.failover = None;
    assert_eq!(outcome("write_outage_any.max < 1s", &none), Inconclusive);
}

#[test]
fn names_of_a_failover_are_checked() {
    for (text, says) in [
        ("write_outage_any.p99 < 1s", "`p99` is none of min, median, max"),
        ("write_outage_any < 1s", "which statistic of it? Write `write_outage_any.median`"),
        ("write_outage_client.median < 1s", "of which policy? Write `java.write_outage_client.median`"),
        ("java.rejoin_outage.max < 1s", "`rejoin_outage` is of all clients"),
        ("java.lost_acked_writes < 1", "`lost_acked_writes` is of all clients"),
        ("write_outage_ani.median < 1s", "did you mean `write_outage_any`?"),
        ("lost_acked_write < 1", "the forms are"),
        ("lost_acked_writes < 1ms", "is a count"),
        ("lost_acked_writes < 0", "cannot hold"),
        ("write_outage_any.median < 1", "is a duration"),
    ] {
        let error = Gate::parse(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    let plan = crate::failover::simulator::Scene::new(1, &[]).manifest.failover.unwrap();
    let exists = |text: &str, plan| Gate::parse(text).unwrap().check_exists(&streams(), plan);
    for text in [
        "write_outage_any.median < 2s",
        "read_outage_every_lower.max < 2s",
        "java.write_outage_client.median < 2s",
        "pinned.reconnect_time.max < 2s",
        "pinned.sessions_expired == 0",
        "lost_acked_writes == 0",
        "app.read.rate > 1/s",
    ] {
        assert_eq!(exists(text, Some(&plan)), Ok(()), "{text}");
    }
    let error = exists("kazoo.write_outage_client.median < 2s", Some(&plan)).unwrap_err().to_string();
    assert!(error.contains("its policies are pinned, ideal, java"), "{error}");
    let error = exists("write_outage_any.median < 2s", None).unwrap_err().to_string();
    assert!(error.contains("which `quorumeter failover` measures"), "{error}");
    // Every one that is known can be parsed, and is itself.
    for metric in known_metrics(&streams(), Some(&plan)) {
        let units = ["< 10ms", "> 10/s", "> 1"];
        let gate = units.iter().find_map(|unit| Gate::from_parts(&metric, unit).ok()).expect(&metric);
        assert_eq!(gate.metric.to_string(), metric);
        assert_eq!(gate.check_exists(&streams(), Some(&plan)), Ok(()), "{metric}");
    }
    let error = Gate::parse("write_outage_any.max < 1s").unwrap().check_interval().unwrap_err().to_string();
    assert!(error.contains("make it a gate"), "{error}");
}

#[test]
fn a_stream_may_be_called_as_a_metric_is() {
    let gate = Gate::parse("election.rate > 1/s").unwrap();
    assert_eq!(gate.metric.to_string(), "election.rate");
    assert!(!gate.metric.is_of_failover());
}
