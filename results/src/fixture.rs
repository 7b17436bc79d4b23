//! Records and summaries for tests.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use quorumeter_record::*;

use crate::failover::{Mark, MarkedSlot, MemberSpan, Picture, ProbeRow, StageMark};
use crate::{Analysis, Point, Window, analyse};
use quorumeter_record::stage::WATCH_DELIVERY;

pub(crate) const S: u64 = 1_000_000_000;
pub(crate) const MS: u64 = 1_000_000;

/// Interval `n` is second `n` of the run.
pub(crate) fn op_line(interval: u32, during: Phase, stream: &str, op: &str) -> OpLine {
    OpLine {
        interval,
        start_ns: u64::from(interval) * S,
        end_ns: u64::from(interval + 1) * S,
        during,
        phase: OpPhase::Measure,
        stream: stream.to_owned(),
        op: op.to_owned(),
        ok: 0,
        failed: BTreeMap::new(),
        unknown: 0,
        shed: 0,
        late: 0,
        in_flight_at_send_sum: 0,
        in_flight_at_send_max: 0,
        in_flight_at_send_count: 0,
        value_bytes: ValueBytes::default(),
        wait_ns: Quantiles::default(),
        service_ns: Quantiles::default(),
        response_ns: Quantiles::default(),
    }
}

pub(crate) fn stream_line(interval: u32, during: Phase, stream: &str) -> StreamLine {
    StreamLine {
        interval,
        start_ns: u64::from(interval) * S,
        end_ns: u64::from(interval + 1) * S,
        during,
        stream: stream.to_owned(),
        warmup: StreamCounts::default(),
        measure: StreamCounts::default(),
        waiting: 0,
        in_flight: 0,
        requests: 0,
    }
}

pub(crate) fn generator_line(interval: u32, during: Phase) -> GeneratorLine {
    GeneratorLine {
        interval,
        start_ns: u64::from(interval) * S,
        end_ns: u64::from(interval + 1) * S,
        during,
        workers: vec![WorkerUse { cpu_ns: 0, wall_ns: S }],
        lag_ns: Quantiles::default(),
        measured_lag_ns: Quantiles::default(),
        in_flight_op_ns: 0,
        waiting_op_ns: 0,
        departed: 0,
        departed_sent: 0,
        service_sum_ns: 0,
        response_sum_ns: 0,
    }
}

pub(crate) fn watch_line(interval: u32, during: Phase, stream: &str) -> WatchLine {
    WatchLine {
        interval,
        start_ns: u64::from(interval) * S,
        end_ns: u64::from(interval + 1) * S,
        during,
        stream: stream.to_owned(),
        armed: 0,
        events: 0,
        matched: 0,
        unmatched: 0,
        of_unknown: 0,
        merged: 0,
        lost: 0,
        duplicate: 0,
        interrupted: 0,
        dropped: 0,
        after_ack_ns: Quantiles::default(),
        fan_out: FanOutSummary::default(),
    }
}

pub(crate) fn op_info(op: &str, consistency: &str) -> OpInfo {
    OpInfo { op: op.to_owned(), weight: 1.0, consistency: consistency.to_owned(), requests: 1 }
}

/// An open loop `app` of reads and writes, and watches on what it writes.
pub(crate) fn streams() -> Vec<StreamInfo> {
    let app = StreamInfo {
        name: "app".to_owned(),
        loop_kind: LoopKind::Open,
        sessions: 4,
        depth: 16,
        offered_rate: Some(1000.0),
        policy: "ideal".to_owned(),
        ops: vec![op_info("read", "session"), op_info("write", "linearizable")],
        watch: None,
        life: None,
    };
    let watchers = StreamInfo {
        name: "watchers".to_owned(),
        loop_kind: LoopKind::Watch,
        offered_rate: None,
        ops: vec![OpInfo { weight: 0.0, ..op_info(WATCH_DELIVERY, "session") }],
        watch: Some(WatchInfo {
            kind: "persistent".to_owned(),
            on: "data".to_owned(),
            paths: 10,
            watchers: 2,
        }),
        ..app.clone()
    };
    vec![app, watchers]
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        schema: Manifest::SCHEMA.to_owned(),
        run_id: "20260101-000000-abcd".to_owned(),
        tool: Tool { version: "0.1.0".to_owned(), commit: None, build: "release".to_owned() },
        command_line: vec!["quorumeter".to_owned(), "run".to_owned()],
        wall_start: WallStart { rfc3339: "2026-01-01T00:00:00.000Z".to_owned(), unix_ns: 1_767_225_600 * S },
        seed: 1,
        workload: serde_json::json!({ "name": "mixed" }),
        streams: streams(),
        phases: PhasePlan { warmup_ns: S, measure_ns: 20 * S, drain_limit_ns: 10 * S },
        interval_ns: S,
        gates: Vec::new(),
        aborts: Vec::new(),
        failover: None,
        target: Some(TargetInfo {
            system: "zookeeper".to_owned(),
            launched: Some("embedded".to_owned()),
            url: "zk://127.0.0.1:2181,127.0.0.1:2182".to_owned(),
            root: "/quorumeter/20260101-000000-abcd".to_owned(),
            members: vec![MemberInfo {
                address: "127.0.0.1:2181".to_owned(),
                name: None,
                version: Some("0.1.0".to_owned()),
                role: Some("leader".to_owned()),
                pid: None,
            }],
            settings: BTreeMap::new(),
            session_timeout_ns: 30 * S,
            fsync: "fsync".to_owned(),
            on_this_machine: true,
        }),
        environment: Environment { kernel: "Linux 6".to_owned(), cores: 4, ..Environment::default() },
    }
}

fn quantiles(count: u64) -> Quantiles {
    Quantiles {
        count,
        min: Some(100_000),
        mean: Some(600_000),
        p50: Some(500_000),
        p90: Some(1_000_000),
        p95: Some(1_500_000),
        p99: Some(2_000_000),
        p999: Some(3_000_000),
        max: Some(4_000_000),
        ..Quantiles::default()
    }
}

pub(crate) fn op_summary() -> OpSummary {
    OpSummary {
        consistency: "session".to_owned(),
        ok: 10_000,
        failed: BTreeMap::new(),
        unknown: 0,
        shed: 0,
        late: 0,
        rate: 500.0,
        wait_ns: quantiles(10_000),
        service_ns: quantiles(10_000),
        response_ns: quantiles(10_000),
        ok_response_ns: quantiles(10_000),
        in_flight_at_send: InFlightAtSend::default(),
        value_bytes: ValueBytes::default(),
    }
}

/// 20 s of the streams above in which nothing went wrong.
pub(crate) fn summary() -> Summary {
    let accounting = Accounting {
        scheduled: 20_000,
        sent: 20_000,
        ok: 20_000,
        requests: 21_000,
        balanced: true,
        ..Accounting::default()
    };
    let app = StreamSummary {
        loop_kind: LoopKind::Open,
        offered_rate: Some(1000.0),
        rate: 1000.0,
        backlog_at_warmup_end: 0,
        keys: None,
        accounting,
    };
    let watchers = StreamSummary {
        loop_kind: LoopKind::Watch,
        offered_rate: None,
        rate: 500.0,
        accounting: Accounting { balanced: true, ..Accounting::default() },
        ..app.clone()
    };
    let watch = WatchSummary {
        kind: "persistent".to_owned(),
        on: "data".to_owned(),
        paths: 10,
        watchers: 2,
        events: 10_000,
        matched: 9_994,
        unmatched: 0,
        of_unknown: 6,
        merged: 0,
        lost: 0,
        duplicate: 0,
        interrupted: 0,
        dropped: 0,
        after_ack_ns: Quantiles { min: Some(-50_000), ..quantiles(10_000) },
        fan_out: FanOutSummary {
            complete: 4_990,
            incomplete: 10,
            unknown_writes: 3,
            first_ns: quantiles(4_990),
            median_ns: quantiles(4_990),
            last_ns: quantiles(4_990),
        },
    };
    Summary {
        schema: Summary::SCHEMA.to_owned(),
        run_id: "20260101-000000-abcd".to_owned(),
        verdict: Verdict::Pass,
        target: Some("embedded".to_owned()),
        reasons: Vec::new(),
        measured_s: 20.0,
        loop_kind: LoopKind::Open,
        generator: Generator {
            verdict: GeneratorVerdict::Ok,
            reasons: Vec::new(),
            schedule_lag_ns: Quantiles { p99: Some(80_000), ..quantiles(20_000) },
            cpu_s: 2.0,
            cpu_per_op_ns: Some(100_000),
            busiest_worker: 0.1,
            workers: 1,
        },
        accounting,
        littles_law: LittlesLaw {
            mean_in_flight: 0.6,
            rate_times_mean_service: 0.6,
            mean_in_system: 0.6,
            rate_times_mean_response: 0.6,
            holds: Some(true),
        },
        ops: BTreeMap::from([
            ("app.read".to_owned(), op_summary()),
            ("app.write".to_owned(), op_summary()),
            (format!("watchers.{WATCH_DELIVERY}"), op_summary()),
        ]),
        streams: BTreeMap::from([("app".to_owned(), app), ("watchers".to_owned(), watchers)]),
        watches: BTreeMap::from([("watchers".to_owned(), watch)]),
        sessions: Default::default(),
        failover: None,
        safety: None,
        gates: Vec::new(),
        warnings: Vec::new(),
        complete: true,
    }
}

pub(crate) fn analysis() -> Analysis {
    let point = |i: u64| Point {
        start_ns: i * S,
        end_ns: (i + 1) * S,
        rate: 990.0 + i as f64,
        response_ns: quantiles(1000),
    };
    Analysis {
        manifest: manifest(),
        summary: summary(),
        window: Some(Window { start_ns: S, end_ns: 21 * S }),
        warmup_ns: S,
        end_ns: 22 * S,
        series: (1..21).map(point).collect(),
        sessions: BTreeMap::new(),
        pictures: Vec::new(),
        stops: Vec::new(),
    }
}

/// Durations of so many milliseconds, one a repetition; `None` did not end within a minute.
pub(crate) fn durations(ms: &[Option<u64>]) -> Durations {
    let mut sorted: Vec<Option<u64>> = ms.iter().map(|ms| ms.map(|ms| ms * MS)).collect();
    sorted.sort_by_key(|value| value.unwrap_or(u64::MAX));
    let last = sorted.len() - 1;
    Durations {
        n: ms.len() as u32,
        values: ms.iter().map(|ms| ms.map_or(60 * S, |ms| ms * MS)).collect(),
        min: sorted[0],
        median: sorted[last / 2].zip(sorted[last.div_ceil(2)]).map(|(a, b)| a.midpoint(b)),
        median_ci: sorted[0].filter(|_| ms.len() >= 6).map(|min| (min, sorted[last])),
        median_ci_coverage: (ms.len() >= 6).then(|| 1.0 - 0.5_f64.powi(ms.len() as i32 - 1)),
        max: sorted[last],
        censored: ms.iter().filter(|ms| ms.is_none()).count() as u32,
        censored_at: (0..).zip(ms).filter(|(_, ms)| ms.is_none()).map(|(i, _)| i).collect(),
    }
}

/// Six kills of the leader, after one of which the service was never as before.
pub(crate) fn failover() -> Analysis {
    let all = |values: [u64; 6]| durations(&values.map(Some));
    let mut analysis = analysis();
    let probe = |stream: &str, role, member, policy: &str| ProbeInfo {
        stream: stream.to_owned(),
        role,
        member,
        policy: policy.to_owned(),
    };
    analysis.manifest.failover = Some(FailoverPlan {
        fault: "kill".to_owned(),
        victim: "leader".to_owned(),
        repetitions: 6,
        probe_period_ns: 10 * MS,
        slow_threshold_ns: None,
        baseline_ns: 5 * S,
        settle_ns: 5 * S,
        limit_ns: 60 * S,
        clear_after_ns: 3 * S,
        poll_period_ns: 20 * MS,
        probes: vec![
            probe("probe-write-1", ProbeRole::Write, Some(0), "ideal"),
            probe("probe-write-2", ProbeRole::Write, Some(1), "ideal"),
            probe("probe-java", ProbeRole::Write, None, "java"),
        ],
    });
    let worst = [1_450, 1_390, 960, 1_210, 1_500, 1_310];
    let outage = [440, 461, 452, 470, 432, 466];
    let repetition = |repetition: u32| RepetitionSummary {
        repetition,
        valid: true,
        victims: vec!["127.0.0.1:2181".to_owned()],
        slow_threshold_ns: 100 * MS,
        instants_ns: BTreeMap::from([("t0".to_owned(), 10 * S), ("t0_proven".to_owned(), 10 * S + 8 * MS)]),
        values: BTreeMap::from([
            ("ack_gap_any_ns".to_owned(), 475 * MS),
            ("write_outage_any_lower_ns".to_owned(), 440 * MS),
            ("write_outage_any_upper_ns".to_owned(), 460 * MS),
        ]),
        ..RepetitionSummary::default()
    };
    analysis.summary.failover = Some(FailoverSummary {
        fault: "kill".to_owned(),
        victim: "leader".to_owned(),
        planned: 6,
        valid: 6,
        invalid: Vec::new(),
        probe_period_ns: 10 * MS,
        poll_period_ns: 20 * MS,
        unseen_rate_upper: Some(0.393),
        durations: BTreeMap::from([
            ("ack_gap_any_ns".to_owned(), all([450, 475, 470, 482, 441, 480])),
            ("baseline_ack_gap_any_ns".to_owned(), all([6, 5, 7, 6, 9, 5])),
            ("detection_ns".to_owned(), all([20, 40, 20, 20, 20, 40])),
            (
                "recovery_time_ns".to_owned(),
                durations(&[Some(950), Some(900), None, Some(990), Some(910), Some(970)]),
            ),
            ("rejoin_outage_ns".to_owned(), durations(&[Some(0), Some(0), Some(30)])),
            ("write_outage_any_lower_ns".to_owned(), all(outage)),
            ("write_outage_any_upper_ns".to_owned(), all(outage.map(|ms| ms + 18))),
        ]),
        counts: BTreeMap::from([
            ("lost_acked_writes".to_owned(), Counts { values: vec![0; 6], total: 0 }),
            ("sessions_moved".to_owned(), Counts { values: vec![3, 3, 4, 3, 3, 3], total: 19 }),
        ]),
        policies: BTreeMap::from([(
            "java".to_owned(),
            PolicySummary {
                clients: 3,
                durations: BTreeMap::from([
                    ("write_outage_client_lower_ns".to_owned(), all(worst)),
                    ("write_outage_client_upper_ns".to_owned(), all(worst.map(|ms| ms + 20))),
                ]),
                counts: BTreeMap::from([(
                    "connect_failures".to_owned(),
                    Counts { values: vec![2, 1, 0, 2, 4, 1], total: 10 },
                )]),
            },
        )]),
        repetitions: (1..=6).map(repetition).collect(),
    });
    analysis.pictures = vec![picture(1)];
    analysis
}

/// A repetition drawn: the first of two members is killed at 10 s, the other leads 0.4 s later, and the first is back at
/// 16.5 s.
pub(crate) fn picture(repetition: u32) -> Picture {
    let at = |ms: u64| 10 * S + ms * MS;
    let stage = |ms, stage| StageMark { t_ns: at(ms), stage, detail: String::new() };
    let span = |member, from_ms: i64, to_ms: i64, role: Option<&str>| MemberSpan {
        member,
        start_ns: (10 * S as i64 + from_ms * MS as i64) as u64,
        end_ns: (10 * S as i64 + to_ms * MS as i64) as u64,
        role: role.map(str::to_owned),
    };
    // A slot each 10 ms from 0.5 s before the fault on.
    let slots = |mark: fn(i64) -> Mark| {
        let times = (-500..8000).step_by(10);
        times
            .map(|ms| MarkedSlot { intended_ns: (10 * S as i64 + ms * MS as i64) as u64, mark: mark(ms) })
            .collect()
    };
    let row =
        |label: &str, is_victims, mark| ProbeRow { label: label.to_owned(), is_victims, slots: slots(mark) };
    Picture {
        repetition,
        start_ns: at(0) - 500 * MS,
        end_ns: at(8000),
        stages: vec![
            stage(0, FaultStage::Asked),
            stage(8, FaultStage::Active),
            stage(12, FaultStage::VictimConfirmed),
            stage(470, FaultStage::Recovered),
            stage(4_000, FaultStage::ClearAsked),
            stage(4_900, FaultStage::Cleared),
            stage(6_500, FaultStage::Rejoined),
        ],
        members: vec![
            span(0, -500, -10, Some("leader")),
            span(0, 10, 4_900, None),
            span(0, 4_920, 5_400, Some("unknown")),
            span(0, 5_420, 8_000, Some("follower")),
            span(1, -500, 50, Some("follower")),
            span(1, 70, 370, Some("unknown")),
            span(1, 390, 8_000, Some("leader")),
        ],
        probes: vec![
            row("write 1", true, |ms| match ms {
                ..0 => Mark::Ok,
                0..20 => Mark::Unknown,
                20..6_300 => Mark::Failed,
                _ => Mark::Ok,
            }),
            row("write 2", false, |ms| match ms {
                ..0 => Mark::Ok,
                0..30 => Mark::Unknown,
                30..390 => Mark::Failed,
                390..430 => Mark::Late,
                _ => Mark::Ok,
            }),
        ],
    }
}

pub(crate) fn gate_result(outcome: GateOutcome) -> GateResult {
    let gate = "app.read.rate > 1/s".to_owned();
    GateResult { gate, measured: Some(1.0), outcome, reason: "because".to_owned() }
}

pub(crate) fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = new_duration_histogram();
    for value in values {
        histogram.record(value).unwrap();
    }
    histogram
}

/// A record in the making.
pub(crate) struct Run {
    pub(crate) manifest: Manifest,
    pub(crate) lines: Vec<IntervalLine>,
    pub(crate) events: Vec<Event>,
    /// Tag, interval and values.
    pub(crate) histograms: Vec<(String, u32, Histogram<u64>)>,
}

impl Run {
    /// Writes the record and analyses it.
    pub(crate) fn analyse(&self) -> Analysis {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RecordWriter::create(dir.path(), &self.manifest).unwrap();
        writer.intervals(&self.lines).unwrap();
        for (tag, interval, histogram) in &self.histograms {
            let start_ns = u64::from(*interval) * S;
            writer.histogram(tag, start_ns, start_ns + S, histogram);
        }
        writer.flush_histograms().unwrap();
        for event in &self.events {
            writer.event(event).unwrap();
        }
        analyse(&RecordReader::open(dir.path()).unwrap()).unwrap()
    }
}
