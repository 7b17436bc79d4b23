//! From a record to its analysis.

use std::collections::{BTreeMap, BTreeSet};

use quorumeter_record::{
    FanOutSummary, InFlightAtSend, KeyDistribution, KeysLine, LoopKind, Manifest, OpSummary, Phase,
    Quantiles, ReadError, RecordReader, SessionsSummary, StreamInfo, StreamSummary, Summary, Verdict,
    WatchSummary, stage,
};

use crate::accounting::{self, Accounts};
use crate::agreement;
use crate::failover::{self, Picture};
use crate::generator;
use crate::latencies::{IntervalLatency, Latencies, OpLatencies};
use crate::littles_law::littles_law;
use crate::tally::{IntervalTally, OpKey, OpTally, Tally};
use crate::timeline::{SessionCounts, StopSeen, Timeline};
use crate::{gates, verdict, warnings};

/// Everything that reports show.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// What was run.
    pub manifest: Manifest,
    /// What came of it.
    pub summary: Summary,
    /// The measured window as it was; `None` when the run did not get that far.
    pub window: Option<Window>,
    /// Length of the warm-up as it was, nanoseconds.
    pub warmup_ns: u64,
    /// How far the record reaches, nanoseconds since the run's start.
    pub end_ns: u64,
    /// The intervals of the measured window, in order.
    pub series: Vec<Point>,
    /// Changes of sessions over the whole run, by stream.
    pub sessions: BTreeMap<String, SessionCounts>,
    /// What to draw of a failover measurement; a repetition each.
    pub pictures: Vec<Picture>,
    /// Why the measurement ended before its time.
    pub stops: Vec<StopSeen>,
}

/// A part of the run, in nanoseconds since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its start.
    pub start_ns: u64,
    /// Its end.
    pub end_ns: u64,
}

/// One interval of the measured window; watch events are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Start of the interval, nanoseconds since the run's start.
    pub start_ns: u64,
    /// End of the interval, nanoseconds since the run's start.
    pub end_ns: u64,
    /// Ok replies per second of all streams.
    pub rate: f64,
    /// Response times of the ops that ended in it and were intended in the measured window: those of the warm-up that
    /// end in its first intervals are not in the log. Unknown and shed ones count as lower bounds.
    pub response_ns: Quantiles,
}

impl Window {
    /// Its length, nanoseconds.
    pub fn length_ns(self) -> u64 {
        self.end_ns - self.start_ns
    }
}

/// Computes everything from a record, in one pass over each of its files. Memory does not grow with the length
/// of the run but by a [`Point`] per interval, and of a failover measurement by its probes' history.
///
/// # Errors
///
/// A file that is missing, unreadable, or damaged anywhere but at its end.
pub fn analyse(record: &RecordReader) -> Result<Analysis, ReadError> {
    let timeline = Timeline::read(record.events()?)?;
    let tally = Tally::read(record.dir(), record.intervals()?)?;
    let latencies = Latencies::read(record)?;

    let manifest = record.manifest();
    let window = timeline.window(tally.measured_end_ns());
    let window_ns = window.map_or(0, Window::length_ns);
    let accounts = accounting::accounts(&tally, timeline.ended);
    let keys = op_keys(manifest, &tally);
    let open_loop = keys.iter().filter(|(stream, op)| {
        !stage::is_observed(op) && info(manifest, stream).is_some_and(|s| s.loop_kind == LoopKind::Open)
    });
    let generator = generator::judge(latencies.lag(), &latencies.response_of(open_loop), &tally.generator);
    let ops: BTreeMap<String, OpSummary> = keys
        .iter()
        .map(|key| (format!("{}.{}", key.0, key.1), op(manifest, &tally, &latencies, window_ns, key)))
        .collect();

    let mut summary = Summary {
        schema: Summary::SCHEMA.to_owned(),
        run_id: manifest.run_id.clone(),
        verdict: Verdict::Pass,
        target: manifest.target.as_ref().map(|target| target.kind().to_owned()),
        reasons: Vec::new(),
        measured_s: window_ns as f64 / 1e9,
        loop_kind: loop_of_the_run(&manifest.streams),
        generator,
        accounting: accounts.total,
        littles_law: littles_law(&tally, window_ns),
        streams: streams(manifest, &tally, &accounts, &ops, window_ns),
        watches: watches(manifest, &tally, &latencies),
        sessions: sessions(manifest, &tally),
        ops,
        failover: None,
        safety: None,
        gates: Vec::new(),
        warnings: Vec::new(),
        complete: timeline.ended,
    };
    let end_ns = tally.end_ns.max(timeline.last_ns);
    let measured = manifest.failover.as_ref().map(|plan| failover::read(record, plan, end_ns)).transpose()?;
    let (failover, pictures) = measured.map(|judged| (judged.summary, judged.pictures)).unzip();
    summary.failover = failover;
    let untimed = if timeline.ended { agreement::untimed(&tally, &latencies) } else { Vec::new() };
    summary.gates =
        manifest.gates.iter().map(|text| gates::evaluate_text(text, &summary, &untimed)).collect();
    summary.warnings = warnings::warnings(&warnings::Facts {
        manifest,
        summary: &summary,
        timeline: &timeline,
        tally: &tally,
        end_ns,
    });
    let bug = "the accounting does not balance, which is a bug of this tool";
    let unbalanced = accounts.violations.iter().map(|violation| format!("{bug}: {violation}"));
    let violations: Vec<String> = unbalanced.chain(untimed.iter().map(ToString::to_string)).collect();
    (summary.verdict, summary.reasons) =
        verdict::judge(&summary, &timeline.stops, window.is_some(), &violations);

    let warmup_start_ns = timeline.start_of(Phase::Warmup);
    let warmup_end_ns = window.map(|w| w.start_ns).or(timeline.start_of(Phase::Drain)).unwrap_or(end_ns);
    Ok(Analysis {
        manifest: manifest.clone(),
        summary,
        window,
        warmup_ns: warmup_start_ns.map_or(0, |start| warmup_end_ns.saturating_sub(start)),
        end_ns,
        series: series(&tally.intervals, &latencies.intervals),
        sessions: timeline.sessions,
        pictures: pictures.unwrap_or_default(),
        stops: timeline.stops,
    })
}

/// Every kind of op that the manifest announces or a line tells of.
fn op_keys(manifest: &Manifest, tally: &Tally) -> BTreeSet<OpKey> {
    let announced =
        manifest.streams.iter().flat_map(|s| s.ops.iter().map(|op| (s.name.clone(), op.op.clone())));
    announced.chain(tally.ops.keys().cloned()).collect()
}

fn info<'a>(manifest: &'a Manifest, stream: &str) -> Option<&'a StreamInfo> {
    manifest.streams.iter().find(|s| s.name == stream)
}

fn loop_of_the_run(streams: &[StreamInfo]) -> LoopKind {
    let any = |kind| streams.iter().any(|s| s.loop_kind == kind);
    match (any(LoopKind::Open), any(LoopKind::Closed)) {
        (true, true) => LoopKind::Mixed,
        (true, false) => LoopKind::Open,
        (false, true) => LoopKind::Closed,
        (false, false) if any(LoopKind::Watch) => LoopKind::Watch,
        (false, false) => LoopKind::Idle,
    }
}

fn op(manifest: &Manifest, tally: &Tally, latencies: &Latencies, window_ns: u64, key: &OpKey) -> OpSummary {
    let none = OpTally::default();
    let tally = tally.ops.get(key).unwrap_or(&none);
    let untimed = OpLatencies::default();
    let latencies = latencies.ops.get(key).unwrap_or(&untimed);
    let op_info = info(manifest, &key.0).and_then(|s| s.ops.iter().find(|o| o.op == key.1));
    OpSummary {
        consistency: op_info.map(|o| o.consistency.clone()).unwrap_or_default(),
        ok: tally.measure.ok,
        failed: tally.failed.clone(),
        unknown: tally.measure.unknown,
        shed: tally.measure.shed,
        late: tally.late,
        rate: per_second(tally.ok_in_window, window_ns),
        wait_ns: latencies.wait(),
        service_ns: latencies.service(),
        response_ns: latencies.response(),
        ok_response_ns: latencies.ok_response(),
        in_flight_at_send: InFlightAtSend {
            mean: if tally.in_flight_count == 0 {
                0.0
            } else {
                tally.in_flight_sum as f64 / tally.in_flight_count as f64
            },
            max: tally.in_flight_max,
        },
        value_bytes: tally.value_bytes,
    }
}

fn per_second(count: u64, window_ns: u64) -> f64 {
    if window_ns == 0 { 0.0 } else { count as f64 * 1e9 / window_ns as f64 }
}

fn streams(
    manifest: &Manifest,
    tally: &Tally,
    accounts: &Accounts,
    ops: &BTreeMap<String, OpSummary>,
    window_ns: u64,
) -> BTreeMap<String, StreamSummary> {
    let nothing = accounting::accounts(&Tally::default(), true).total;
    let summary = |info: &StreamInfo| {
        let counts = tally.streams.get(&info.name);
        let of_stream = |key: &&String| {
            key.split_once('.').is_some_and(|(stream, op)| stream == info.name && !stage::is_of_sessions(op))
        };
        StreamSummary {
            loop_kind: info.loop_kind,
            offered_rate: (info.loop_kind == LoopKind::Open && window_ns > 0)
                .then(|| per_second(counts.map_or(0, |c| c.measure.scheduled), window_ns)),
            rate: ops.keys().filter(of_stream).map(|key| ops[key].rate).sum(),
            backlog_at_warmup_end: counts.map_or(0, |c| c.waiting_after_warmup + c.in_flight_after_warmup),
            keys: tally.keys.get(&info.name).map(key_distribution),
            accounting: accounts.streams.get(&info.name).copied().unwrap_or(nothing),
        }
    };
    manifest.streams.iter().map(|info| (info.name.clone(), summary(info))).collect()
}

fn key_distribution(line: &KeysLine) -> KeyDistribution {
    KeyDistribution {
        keys: line.keys,
        touched: line.touched,
        hottest_share: line.hottest_share,
        top_1_percent_share: line.top_1_percent_share,
        top_10_percent_share: line.top_10_percent_share,
    }
}

fn sessions(manifest: &Manifest, tally: &Tally) -> BTreeMap<String, SessionsSummary> {
    let summary = |stream: &StreamInfo| {
        let life = stream.life.as_ref()?;
        let sums = tally.sessions.get(&stream.name).copied().unwrap_or_default();
        let summary = SessionsSummary {
            cycle: life.cycle.clone(),
            open_max: sums.open_max,
            lost_connections: sums.lost_connections,
            retries: sums.retries,
            early: sums.early,
            timeout_ms: sums.timeout_ms,
        };
        Some((stream.name.clone(), summary))
    };
    manifest.streams.iter().filter_map(summary).collect()
}

fn watches(manifest: &Manifest, tally: &Tally, latencies: &Latencies) -> BTreeMap<String, WatchSummary> {
    let summary = |stream: &StreamInfo| {
        let watch = stream.watch.as_ref()?;
        let sums = tally.watches.get(&stream.name).copied().unwrap_or_default();
        let delivery = latencies.ops.get(&(stream.name.clone(), stage::WATCH_DELIVERY.to_owned()));
        let [first_ns, median_ns, last_ns] = delivery.map(OpLatencies::ranks).unwrap_or_default();
        let (complete, incomplete, unknown_writes) = (sums.complete, sums.incomplete, sums.unknown_writes);
        let summary = WatchSummary {
            kind: watch.kind.clone(),
            on: watch.on.clone(),
            paths: watch.paths,
            watchers: watch.watchers,
            events: sums.events,
            matched: sums.matched,
            unmatched: sums.unmatched,
            of_unknown: sums.of_unknown,
            merged: sums.merged,
            lost: sums.lost,
            duplicate: sums.duplicate,
            interrupted: sums.interrupted,
            dropped: sums.dropped,
            after_ack_ns: delivery.map(OpLatencies::after_ack).unwrap_or_default(),
            fan_out: FanOutSummary { complete, incomplete, unknown_writes, first_ns, median_ns, last_ns },
        };
        Some((stream.name.clone(), summary))
    };
    manifest.streams.iter().filter_map(summary).collect()
}

/// Joins counts and latencies of the same interval. The log has its start in seconds, to the millisecond.
fn series(intervals: &[IntervalTally], latencies: &[IntervalLatency]) -> Vec<Point> {
    let point = |interval: &IntervalTally| {
        let start_s = interval.start_ns as f64 / 1e9;
        let next = latencies.partition_point(|l| l.start_s <= start_s - 0.001);
        let latency = latencies.get(next).filter(|l| l.start_s < start_s + 0.001);
        Point {
            start_ns: interval.start_ns,
            end_ns: interval.end_ns,
            rate: per_second(interval.ok, interval.end_ns.saturating_sub(interval.start_ns)),
            response_ns: latency.map(|l| l.response_ns.clone()).unwrap_or_default(),
        }
    };
    intervals.iter().map(point).collect()
}

#[cfg(test)]
mod tests;
