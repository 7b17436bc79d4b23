use std::collections::BTreeMap;

use quorumeter_record::{
    GeneratorLine, OpPhase, Quantiles, SessionsLine, StreamCounts, StreamLine, ValueBytes, WorkerUse,
    new_duration_histogram,
};

use super::*;
use crate::family::Family;

const S: u64 = 1_000_000_000;

fn bench(fault: Option<&str>) -> Bench {
    Bench::new(BenchInfo {
        run_id: "r1".into(),
        workload: "mixed".into(),
        target: "embedded:1".into(),
        fault: fault.map(str::to_owned),
    })
}

/// A line of ops of stream `app`: ok, failed, unknown, shed, late.
fn op(number: u64, name: &str, phase: OpPhase, counts: [u64; 5]) -> IntervalLine {
    let [ok, failed, unknown, shed, late] = counts;
    IntervalLine::Op(OpLine {
        interval: number as u32,
        start_ns: number * S,
        end_ns: (number + 1) * S,
        during: Phase::Measure,
        phase,
        stream: "app".into(),
        op: name.into(),
        ok,
        failed: BTreeMap::from([("NoNode".into(), failed)]),
        unknown,
        shed,
        late,
        in_flight_at_send_sum: 0,
        in_flight_at_send_max: 0,
        in_flight_at_send_count: 0,
        value_bytes: ValueBytes::default(),
        wait_ns: Quantiles::default(),
        service_ns: Quantiles::default(),
        response_ns: Quantiles::default(),
    })
}

fn stream(number: u64, warmup: u64, measure: u64, in_flight: u64, waiting: u64) -> IntervalLine {
    let counts = |scheduled| StreamCounts { scheduled, ..StreamCounts::default() };
    IntervalLine::Stream(StreamLine {
        interval: number as u32,
        start_ns: number * S,
        end_ns: (number + 1) * S,
        during: Phase::Measure,
        stream: "app".into(),
        warmup: counts(warmup),
        measure: counts(measure),
        waiting,
        in_flight,
        requests: 0,
    })
}

fn generator(number: u64, during: Phase, cpu_ns: [u64; 2]) -> IntervalLine {
    IntervalLine::Generator(GeneratorLine {
        interval: number as u32,
        start_ns: number * S,
        end_ns: (number + 1) * S,
        during,
        workers: cpu_ns.map(|cpu_ns| WorkerUse { cpu_ns, wall_ns: S }).to_vec(),
        lag_ns: Quantiles::default(),
        measured_lag_ns: Quantiles::default(),
        in_flight_op_ns: 0,
        waiting_op_ns: 0,
        departed: 0,
        departed_sent: 0,
        service_sum_ns: 0,
        response_sum_ns: 0,
    })
}

fn event(kind: EventKind) -> Event {
    Event { t_ns: 0, kind }
}

fn session(number: u32, change: SessionChange) -> Event {
    event(EventKind::Session {
        stream: "app".into(),
        session: number,
        change,
        member: "m".into(),
        session_id: String::new(),
        read_only: false,
        cause: String::new(),
    })
}

fn families(bench: &Bench) -> Vec<Family> {
    let mut families = Families::default();
    bench.families(&mut families);
    families.into_sorted()
}

fn value(bench: &Bench, metric: &Metric, labels: &[&str]) -> Option<Value> {
    let families = families(bench);
    let family = families.iter().find(|family| family.metric.name == metric.name)?;
    family.series.iter().find(|series| series.labels == labels).map(|series| series.value.clone())
}

fn number(bench: &Bench, metric: &Metric, labels: &[&str]) -> Option<f64> {
    match value(bench, metric, labels)? {
        Value::Number(number) => Some(number),
        Value::Histogram(_) => panic!("{} is a histogram", metric.name),
    }
}

fn histogram(bench: &Bench, metric: &Metric, labels: &[&str]) -> crate::sample::Histogram {
    match value(bench, metric, labels) {
        Some(Value::Histogram(histogram)) => histogram,
        other => panic!("{} is {other:?}", metric.name),
    }
}

fn hdr(values_ns: &[u64]) -> Histogram<u64> {
    let mut histogram = new_duration_histogram();
    values_ns.iter().for_each(|ns| histogram.record(*ns).unwrap());
    histogram
}

#[test]
fn counts_are_sums_over_intervals_and_phases_and_never_set_back() {
    let mut bench = bench(None);
    bench.acknowledged([0..S / 128, S - S / 128..S].into_iter());
    bench.interval(&[
        op(0, "read", OpPhase::Warmup, [10, 1, 2, 3, 4]),
        op(0, "write", OpPhase::Measure, [7, 0, 0, 0, 0]),
        stream(0, 16, 8, 1, 2),
        generator(0, Phase::Measure, [100_000_000, 150_000_000]),
    ]);
    bench.interval(&[
        op(1, "read", OpPhase::Warmup, [1, 0, 0, 0, 0]),
        op(1, "read", OpPhase::Measure, [20, 0, 0, 5, 6]),
        op(1, "write", OpPhase::Measure, [0, 0, 0, 0, 0]),
        stream(1, 0, 30, 0, 9),
        generator(1, Phase::Measure, [250_000_000, 0]),
    ]);
    let ops = |op, outcome| number(&bench, &BENCH_OPERATIONS, &["app", op, outcome]);
    for (op, expected) in [("read", [31, 1, 2, 8]), ("write", [7, 0, 0, 0])] {
        assert_eq!(
            OUTCOMES.map(|outcome| ops(op, outcome)),
            expected.map(|n: u32| Some(f64::from(n))),
            "{op}"
        );
    }
    assert_eq!(number(&bench, &BENCH_LATE, &["app", "read"]), Some(10.0));
    assert_eq!(number(&bench, &BENCH_SCHEDULED, &["app"]), Some(54.0));
    assert_eq!(number(&bench, &BENCH_IN_FLIGHT, &["app"]), Some(0.0), "as it is now");
    assert_eq!(number(&bench, &BENCH_WAITING, &["app"]), Some(9.0));
    assert_eq!(number(&bench, &BENCH_CPU, &[]), Some(0.5));
    assert_eq!(number(&bench, &BENCH_OUTAGE, &[]), Some(1.0), "the second interval");
}

#[test]
fn histograms_have_every_time_of_every_interval() {
    let mut bench = bench(None);
    for values in [&[50_000, 60_000][..], &[200_000, 8 * S]] {
        bench.times("app", "read", Time::Response, &hdr(values));
        bench.lag(&hdr(&[10_000]));
    }
    bench.times("app", "read", Time::Service, &hdr(&[40_000]));
    bench.times("app", "read", Time::Wait, &hdr(&[0, 0, 0]));
    bench.times("app", "watch_delivery", Time::Response, &hdr(&[70_000]));
    bench.times("app", "watch_delivery", Time::Service, &hdr(&[60_000]));
    bench.times("app", "handshake", Time::Response, &hdr(&[1]));
    bench.interval(&[
        op(0, "read", OpPhase::Measure, [4, 0, 0, 0, 0]),
        op(0, "watch_delivery", OpPhase::Measure, [1, 0, 0, 0, 0]),
        op(0, "handshake", OpPhase::Measure, [1, 0, 0, 0, 0]),
        generator(0, Phase::Measure, [0, 0]),
    ]);
    let response = histogram(&bench, &BENCH_RESPONSE, &["app", "read"]);
    let counts: Vec<u64> = response.buckets.iter().map(|(_, n)| *n).collect();
    // 50, 100, 200, 400 µs and so on; 8 s is beyond the last.
    assert_eq!(counts, [[1, 2].as_slice(), &[3; 16]].concat());
    assert_eq!(response.count, 4);
    assert!((response.sum - 8.000_31).abs() < 8.0 * 0.0005);
    assert_eq!(number(&bench, &BENCH_OPERATIONS, &["app", "read", "ok"]), Some(4.0), "as many as were timed");
    assert_eq!(histogram(&bench, &BENCH_SERVICE, &["app", "read"]).count, 1);
    let wait = histogram(&bench, &BENCH_WAIT, &["app", "read"]);
    assert_eq!((wait.count, wait.sum, wait.buckets[0].1), (3, 0.0, 3));
    assert_eq!(histogram(&bench, &BENCH_LAG, &[]).count, 2);
    assert_eq!(histogram(&bench, &BENCH_WATCH, &["app"]).count, 1);
    for observed in ["watch_delivery", "handshake"] {
        assert_eq!(
            number(&bench, &BENCH_OPERATIONS, &["app", observed, "ok"]),
            None,
            "no op of the schedule"
        );
        assert_eq!(value(&bench, &BENCH_RESPONSE, &["app", observed]), None);
    }
    let exponentials = bench.exponentials();
    let names: Vec<&str> = exponentials.iter().map(|(metric, ..)| metric.name).collect();
    let classic = families(&bench);
    let classic = classic.iter().filter(|family| family.metric.kind == crate::catalog::Kind::Histogram);
    assert_eq!(names.len(), classic.map(|family| family.series.len()).sum::<usize>(), "the same ones");
    for (metric, labels, exponential) in &exponentials {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let classic = histogram(&bench, metric, &labels);
        assert_eq!((exponential.count, exponential.sum), (classic.count, classic.sum), "{}", metric.name);
        assert_eq!(exponential.zeros + exponential.buckets.iter().sum::<u64>(), exponential.count);
    }
}

#[test]
fn one_phase_at_a_time() {
    let mut bench = bench(None);
    let active = |bench: &Bench| {
        let is = |(_, name): &(Phase, &'static str)| number(bench, &BENCH_PHASE, &[name]) == Some(1.0);
        PHASES.iter().filter(|phase| is(phase)).map(|(_, name)| *name).collect::<Vec<_>>()
    };
    assert_eq!(active(&bench), [""; 0]);
    for (phase, name) in PHASES {
        bench.phase(phase);
        assert_eq!(active(&bench), [name]);
        let named = serde_json::to_value(phase).unwrap();
        assert_eq!(named, name, "as in the record");
    }
}

#[test]
fn a_fault_is_active_from_proof_to_proof() {
    assert_eq!(number(&bench(None), &BENCH_FAULT, &["kill"]), None, "where none is planned there is none");
    let mut bench = bench(Some("kill"));
    let mut course = Vec::new();
    for (repetition, stage) in [
        (1, FaultStage::Baseline),
        (1, FaultStage::Prepared),
        (1, FaultStage::Asked),
        (1, FaultStage::Active),
        (1, FaultStage::Recovered),
        (1, FaultStage::ClearAsked),
        (1, FaultStage::Cleared),
        (2, FaultStage::Asked),
        (2, FaultStage::Active),
        // It could not be cleared.
        (2, FaultStage::Failed),
        (2, FaultStage::Over),
    ] {
        bench.fault(0, repetition, stage);
        course.push(number(&bench, &BENCH_FAULT, &["kill"]).unwrap());
    }
    assert_eq!(course, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn an_outage_is_of_the_first_fault_of_a_repetition() {
    let mut bench = bench(Some("rolling-restart"));
    let interval =
        |number| [op(number, "write", OpPhase::Measure, [9; 5]), generator(number, Phase::Measure, [0, 0])];
    let told = |bench: &mut Bench, number: u64, acknowledged_ms: &[u64]| {
        bench.acknowledged(acknowledged_ms.iter().map(|ms| ms * 1_000_000..ms * 1_000_000));
        bench.interval(&interval(number));
        super::tests::number(bench, &BENCH_OUTAGE, &[])
    };
    assert_eq!(told(&mut bench, 0, &[100, 600, 990]), Some(0.5));
    bench.fault(1_200 * 1_000_000, 1, FaultStage::Asked);
    assert_eq!(told(&mut bench, 1, &[1_190, 1_500]), Some(0.5), "from 1.5 s on");
    // The second member's: still the same outage's repetition.
    bench.fault(2_100 * 1_000_000, 1, FaultStage::Asked);
    assert_eq!(told(&mut bench, 2, &[2_300, 2_900]), Some(0.8));
    bench.fault(3_000 * 1_000_000, 2, FaultStage::Asked);
    assert_eq!(told(&mut bench, 3, &[3_050, 3_950]), Some(0.9));
    bench.interval(&[op(4, "write", OpPhase::Measure, [0; 5]), generator(4, Phase::Drain, [0, 0])]);
    assert_eq!(number(&bench, &BENCH_OUTAGE, &[]), Some(0.9), "in the drain nothing is asked for");
}

/// A leader that is killed, between two intervals' ends: from 10.3 s to 11.5 s nothing is acknowledged, which no whole
/// interval is without.
#[test]
fn an_outage_is_as_fine_as_the_slots_of_the_load() {
    let mut bench = bench(None);
    let slot = |slot: u64| slot * S / 128..(slot + 1) * S / 128;
    let told = |bench: &mut Bench, number: u64, acknowledged: &mut dyn Iterator<Item = u64>| {
        bench.acknowledged(acknowledged.map(|in_interval| slot(number * 128 + in_interval)));
        bench.interval(&[
            op(number, "write", OpPhase::Measure, [9; 5]),
            generator(number, Phase::Measure, [0, 0]),
        ]);
        super::tests::number(bench, &BENCH_OUTAGE, &[])
    };
    assert_eq!(told(&mut bench, 9, &mut (0..128)), Some(0.0));
    // 10.3 s is in slot 38, and 11.5 s is where slot 64 begins.
    assert_eq!(told(&mut bench, 10, &mut (0..=38)), Some(89.0 / 128.0));
    assert_eq!(told(&mut bench, 11, &mut (64..128)), Some(153.0 / 128.0), "1.195 s of 1.2 s");
    assert_eq!(told(&mut bench, 12, &mut (0..128)), Some(153.0 / 128.0));
}

#[test]
fn a_load_that_does_not_write_has_no_outage() {
    let mut bench = bench(None);
    bench.interval(&[op(0, "read", OpPhase::Measure, [0; 5]), generator(0, Phase::Measure, [0, 0])]);
    assert_eq!(number(&bench, &BENCH_OUTAGE, &[]), None);
}

#[test]
fn sessions_are_connected_or_not() {
    use SessionChange::{ConnectFailed, Connected, Expired, Lost, Moved, Reattached};
    let mut bench = bench(None);
    let mut connected = |events: &[(u32, SessionChange)]| {
        bench.sessions(&events.iter().map(|(number, change)| session(*number, *change)).collect::<Vec<_>>());
        number(&bench, &BENCH_SESSIONS, &["app"]).unwrap()
    };
    assert_eq!(connected(&[(0, Connected), (1, Connected), (2, ConnectFailed)]), 2.0);
    assert_eq!(connected(&[(0, Lost), (0, ConnectFailed)]), 1.0);
    assert_eq!(connected(&[(0, Reattached), (1, Lost), (1, Moved)]), 2.0);
    assert_eq!(connected(&[(0, Lost), (0, Expired), (1, Expired)]), 0.0);
    assert_eq!(connected(&[(0, Connected), (2, Connected)]), 2.0);
    // Sessions that come and go by the schedule are counted by their stream.
    let lives = IntervalLine::Sessions(SessionsLine {
        interval: 0,
        start_ns: 0,
        end_ns: S,
        during: Phase::Measure,
        stream: "app".into(),
        open: 17,
        lost_connections: 0,
        retries: 0,
        early: 0,
        timeout_min_ms: None,
        timeout_max_ms: None,
    });
    bench.interval(&[lives]);
    assert_eq!(number(&bench, &BENCH_SESSIONS, &["app"]), Some(17.0));
}

#[test]
fn before_the_load_only_what_is_known_is_told() {
    let mut bench = bench(Some("pause"));
    bench.phase(Phase::Connect);
    let names: Vec<_> = families(&bench).into_iter().map(|family| family.metric.name).collect();
    assert_eq!(names, ["bench_run_info", "bench_phase", "bench_fault_active"]);
    assert_eq!(number(&bench, &BENCH_INFO, &["r1", "mixed", "embedded:1"]), Some(1.0));
}
