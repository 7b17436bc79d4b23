//! What a metric reads: of a whole run, and of one interval.

use quorumeter_record::{
    Durations, FanOutSummary, IntervalLine, OpLine, OpSummary, Quantiles, Summary, WatchLine, WatchSummary,
    stage,
};

use super::metric::{Count, Figure, Life, Metric, Order, Rank, Repeated, Subject, Time, Watch};
use super::value::Bound;
use crate::figures::{self, duration, percent};

/// What was measured, in the unit of the bound.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    /// Nothing, and why.
    Nothing(String),
    /// The value.
    Exact(f64),
    /// The value is this or more.
    AtLeast(f64),
}

impl Reading {
    pub(super) fn value(&self) -> Option<f64> {
        match self {
            Reading::Nothing(_) => None,
            Reading::Exact(value) | Reading::AtLeast(value) => Some(*value),
        }
    }
}

/// Counts of ops, of one kind or of several.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    ok: u64,
    failed: u64,
    unknown: u64,
    shed: u64,
    late: u64,
}

impl Counts {
    fn total(self) -> u64 {
        self.ok + self.failed + self.unknown + self.shed
    }

    fn of(self, count: Count) -> u64 {
        match count {
            Count::Rate | Count::Ok => self.ok,
            Count::Failed => self.failed,
            Count::Unknown => self.unknown,
            Count::Shed => self.shed,
            Count::Late => self.late,
        }
    }

    fn add(self, other: Counts) -> Counts {
        Counts {
            ok: self.ok + other.ok,
            failed: self.failed + other.failed,
            unknown: self.unknown + other.unknown,
            shed: self.shed + other.shed,
            late: self.late + other.late,
        }
    }

    fn read(self, count: Count, is_share: bool) -> Reading {
        match self.total() {
            0 => Reading::Nothing("no operation ended".to_owned()),
            total if is_share => Reading::Exact(self.of(count) as f64 / total as f64),
            _ => Reading::Exact(self.of(count) as f64),
        }
    }
}

impl Subject {
    /// Whether ops of this kind belong to it.
    pub(super) fn has(&self, stream: &str, op: &str) -> bool {
        match self {
            Subject::Op { stream: s, op: o } => s == stream && o == op,
            // Stages of its sessions' lives are parts of its ops.
            Subject::Stream(s) => s == stream && !stage::is_of_sessions(op),
            Subject::Total => !stage::is_observed(op),
            Subject::Generator | Subject::Failover(_) => false,
        }
    }
}

/// Which bound of what lies between two: the one that makes a requirement harder to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Lower,
    Upper,
}

/// The metric over a whole run.
pub(super) fn of_summary(metric: &Metric, bound: Bound, side: Side, summary: &Summary) -> Reading {
    let ops = || {
        let named = summary.ops.iter().filter_map(|(key, op)| Some((key.split_once('.')?, op)));
        named.filter(|((stream, op), _)| metric.subject.has(stream, op)).map(|(_, op)| op)
    };
    match metric.figure {
        Figure::Time(Time::Lag, statistic) => read_time(&summary.generator.schedule_lag_ns, statistic),
        Figure::Time(Time::AfterAck, statistic) => match watch(summary, &metric.subject) {
            Some(watch) => read_time(&watch.after_ack_ns, statistic),
            None => absent(),
        },
        Figure::Time(Time::FanOut(rank), statistic) => match watch(summary, &metric.subject) {
            Some(watch) if watch.fan_out.complete == 0 => {
                Reading::Nothing("no write reached every watcher of its node".to_owned())
            }
            Some(watch) => read_time(of_rank(&watch.fan_out, rank), statistic),
            None => absent(),
        },
        Figure::Time(time, statistic) => match ops().next() {
            Some(op) => read_time(time_of(op, time), statistic),
            None => absent(),
        },
        Figure::Count(count) => {
            let counts = ops().map(counts_of_summary).fold(Counts::default(), Counts::add);
            let rate: f64 = ops().map(|op| op.rate).sum();
            match count {
                Count::Rate if summary.measured_s == 0.0 => {
                    Reading::Nothing("there is no measured window".to_owned())
                }
                Count::Rate if rate > 0.0 || counts.total() > 0 => Reading::Exact(rate),
                _ => counts.read(count, bound.is_share),
            }
        }
        Figure::Watch(count @ (Watch::Complete | Watch::Incomplete | Watch::UnknownWrites)) => {
            match watch(summary, &metric.subject).map(|watch| &watch.fan_out) {
                Some(writes) if writes.complete + writes.incomplete + writes.unknown_writes == 0 => {
                    Reading::Nothing("no write to a watched node ended".to_owned())
                }
                Some(writes) => Reading::Exact(of_fan_out(writes, count) as f64),
                None => absent(),
            }
        }
        Figure::Watch(count) => match watch(summary, &metric.subject) {
            Some(watch) if watch.events + watch.lost + watch.interrupted + watch.dropped == 0 => {
                Reading::Nothing("no watch event was due".to_owned())
            }
            Some(watch) => Reading::Exact(of_watches(watch, count) as f64),
            None => absent(),
        },
        Figure::Life(count) => match &metric.subject {
            Subject::Stream(stream) => lives(summary, stream, count),
            _ => absent(),
        },
        Figure::Repeated(repeated) => match durations(metric, repeated, side, summary) {
            Some(durations) => read_repeated(durations, repeated.statistic),
            None => not_repeated(summary),
        },
        Figure::Sum(name) => {
            let failover = summary.failover.as_ref();
            let counts = failover.and_then(|failover| match &metric.subject {
                Subject::Failover(Some(policy)) => failover.policies.get(policy)?.counts.get(name),
                _ => failover.counts.get(name),
            });
            let valid = failover.map_or(0, |failover| failover.valid as usize);
            match counts {
                None => not_repeated(summary),
                // Those that do not tell it may have more.
                Some(counts) if counts.values.len() < valid => Reading::AtLeast(counts.total as f64),
                Some(counts) => Reading::Exact(counts.total as f64),
            }
        }
    }
}

/// What is to be known beside a reading: the bound that was read, and what the repetitions tell of a median.
pub(super) fn detail(metric: &Metric, side: Side, summary: &Summary) -> Option<String> {
    let Figure::Repeated(repeated) = metric.figure else { return None };
    let durations = durations(metric, repeated, side, summary)?;
    let mut details = Vec::new();
    if repeated.is_bounded {
        details.push(if side == Side::Upper { "its upper bound" } else { "its lower bound" }.to_owned());
    }
    if repeated.statistic == Order::Median {
        details.push(match (durations.median_ci, durations.median_ci_coverage) {
            (Some((low, Some(high))), Some(coverage)) => format!(
                "{} interval {} to {}",
                percent(coverage),
                duration(low as i64),
                duration(high as i64)
            ),
            (Some((low, None)), Some(coverage)) => {
                format!("{} interval from {} on", percent(coverage), duration(low as i64))
            }
            _ => "too few for an interval".to_owned(),
        });
    }
    details.push(format!("of {}", figures::counted(durations.n.into(), "repetition")));
    Some(details.join(", "))
}

fn durations<'a>(
    metric: &Metric,
    repeated: Repeated,
    side: Side,
    summary: &'a Summary,
) -> Option<&'a Durations> {
    let failover = summary.failover.as_ref()?;
    let durations = match &metric.subject {
        Subject::Failover(Some(policy)) => &failover.policies.get(policy)?.durations,
        _ => &failover.durations,
    };
    let bound = match (repeated.is_bounded, side) {
        (false, _) => "",
        (true, Side::Lower) => "_lower",
        (true, Side::Upper) => "_upper",
    };
    durations.get(&format!("{}{bound}_ns", repeated.name)).filter(|durations| durations.n > 0)
}

fn not_repeated(summary: &Summary) -> Reading {
    Reading::Nothing(match &summary.failover {
        None => "the run measured no failover".to_owned(),
        Some(failover) if failover.valid == 0 => "no repetition counts".to_owned(),
        Some(_) => "no repetition that counts tells it".to_owned(),
    })
}

/// A statistic of values of which some are limits that are exceeded: where it falls among those, it is as great as it would
/// be if they were the values, or greater.
fn read_repeated(durations: &Durations, statistic: Order) -> Reading {
    let mut sorted = durations.values.clone();
    sorted.sort_unstable();
    let (first, last) = (sorted[0], sorted[sorted.len() - 1]);
    let (exact, least) = match statistic {
        Order::Min => (durations.min, first),
        Order::Median => (durations.median, sorted[(sorted.len() - 1) / 2]),
        Order::Max => (durations.max, last),
    };
    exact.map_or(Reading::AtLeast(least as f64), |ns| Reading::Exact(ns as f64))
}

/// The metric in one interval, once for each phase that the interval has ops of.
pub(super) fn of_interval(metric: &Metric, bound: Bound, lines: &[IntervalLine]) -> Vec<Reading> {
    let ops: Vec<&OpLine> = lines
        .iter()
        .filter_map(|line| match line {
            IntervalLine::Op(line) if metric.subject.has(&line.stream, &line.op) => Some(line),
            _ => None,
        })
        .collect();
    let watches = lines.iter().filter_map(|line| match (line, &metric.subject) {
        (IntervalLine::Watch(line), Subject::Stream(stream)) if line.stream == *stream => Some(line),
        _ => None,
    });
    match metric.figure {
        Figure::Time(Time::Lag, statistic) => lines
            .iter()
            .filter_map(|line| match line {
                IntervalLine::Generator(line) => Some(read_time(&line.lag_ns, statistic)),
                _ => None,
            })
            .collect(),
        Figure::Time(Time::AfterAck, statistic) => {
            watches.map(|line| read_time(&line.after_ack_ns, statistic)).collect()
        }
        Figure::Time(Time::FanOut(rank), statistic) => {
            watches.map(|line| read_time(of_rank(&line.fan_out, rank), statistic)).collect()
        }
        Figure::Time(time, statistic) => ops
            .iter()
            .filter_map(|line| match time {
                Time::Response => Some(&line.response_ns),
                Time::Service => Some(&line.service_ns),
                Time::Wait => Some(&line.wait_ns),
                Time::OkResponse | Time::AfterAck | Time::FanOut(_) | Time::Lag => None,
            })
            .map(|quantiles| read_time(quantiles, statistic))
            .collect(),
        Figure::Count(Count::Rate) => {
            let length_ns = ops.first().map_or(0, |line| line.end_ns.saturating_sub(line.start_ns));
            let ok: u64 = ops.iter().map(|line| line.ok).sum();
            if length_ns == 0 { Vec::new() } else { vec![Reading::Exact(ok as f64 * 1e9 / length_ns as f64)] }
        }
        Figure::Count(count) => {
            let counts = ops.iter().map(|line| counts_of_line(line)).fold(Counts::default(), Counts::add);
            // Nothing is a count of 0 here: what an interval without replies lacks is a share.
            match counts.total() {
                0 if ops.is_empty() || bound.is_share => Vec::new(),
                0 => vec![Reading::Exact(0.0)],
                _ => vec![counts.read(count, bound.is_share)],
            }
        }
        Figure::Watch(count) => {
            watches.map(|line| Reading::Exact(of_watch_line(line, count) as f64)).collect()
        }
        Figure::Life(count) => lines
            .iter()
            .filter_map(|line| match (line, &metric.subject) {
                (IntervalLine::Sessions(line), Subject::Stream(stream)) if line.stream == *stream => {
                    Some(Reading::Exact(match count {
                        Life::LostConnections => line.lost_connections,
                        Life::Retries => line.retries,
                        Life::Early => line.early,
                    } as f64))
                }
                _ => None,
            })
            .collect(),
        Figure::Repeated(_) | Figure::Sum(_) => Vec::new(),
    }
}

fn absent() -> Reading {
    Reading::Nothing("the run has nothing of that name".to_owned())
}

fn read_time(quantiles: &Quantiles, statistic: &'static str) -> Reading {
    match quantiles.get(statistic) {
        Some(ns) if quantiles.is_lower_bound(statistic) => Reading::AtLeast(ns as f64),
        Some(ns) => Reading::Exact(ns as f64),
        None if quantiles.count == 0 => Reading::Nothing("there are no samples".to_owned()),
        None => Reading::Nothing(format!(
            "{} samples are too few, {statistic} needs {}: measure longer",
            quantiles.count,
            Quantiles::samples_needed(statistic).unwrap_or(1)
        )),
    }
}

fn time_of(op: &OpSummary, time: Time) -> &Quantiles {
    match time {
        Time::OkResponse => &op.ok_response_ns,
        Time::Service => &op.service_ns,
        Time::Wait => &op.wait_ns,
        Time::Response | Time::AfterAck | Time::FanOut(_) | Time::Lag => &op.response_ns,
    }
}

fn counts_of_summary(op: &OpSummary) -> Counts {
    let failed = op.failed.values().sum();
    Counts { ok: op.ok, failed, unknown: op.unknown, shed: op.shed, late: op.late }
}

fn counts_of_line(line: &OpLine) -> Counts {
    let failed = line.failed.values().sum();
    Counts { ok: line.ok, failed, unknown: line.unknown, shed: line.shed, late: line.late }
}

fn watch<'a>(summary: &'a Summary, subject: &Subject) -> Option<&'a WatchSummary> {
    match subject {
        Subject::Stream(stream) => summary.watches.get(stream),
        _ => None,
    }
}

fn lives(summary: &Summary, stream: &str, count: Life) -> Reading {
    let Some(sessions) = summary.sessions.get(stream) else { return absent() };
    let expiries =
        summary.ops.get(&format!("{stream}.{}", stage::EXPIRY)).map_or(0, |op| op.response_ns.count);
    match count {
        Life::Early if expiries + sessions.early == 0 => {
            Reading::Nothing("no silent session was due to expire".to_owned())
        }
        _ if sessions.timeout_ms.is_none() && sessions.open_max == 0 => {
            Reading::Nothing("no session had a connection".to_owned())
        }
        Life::LostConnections => Reading::Exact(sessions.lost_connections as f64),
        Life::Retries => Reading::Exact(sessions.retries as f64),
        Life::Early => Reading::Exact(sessions.early as f64),
    }
}

fn of_watches(watch: &WatchSummary, count: Watch) -> u64 {
    match count {
        Watch::Events => watch.events,
        Watch::Matched => watch.matched,
        Watch::Unmatched => watch.unmatched,
        Watch::OfUnknown => watch.of_unknown,
        Watch::Merged => watch.merged,
        Watch::Lost => watch.lost,
        Watch::Duplicate => watch.duplicate,
        Watch::Interrupted => watch.interrupted,
        Watch::Dropped => watch.dropped,
        Watch::Complete | Watch::Incomplete | Watch::UnknownWrites => of_fan_out(&watch.fan_out, count),
    }
}

fn of_watch_line(line: &WatchLine, count: Watch) -> u64 {
    match count {
        Watch::Events => line.events,
        Watch::Matched => line.matched,
        Watch::Unmatched => line.unmatched,
        Watch::OfUnknown => line.of_unknown,
        Watch::Merged => line.merged,
        Watch::Lost => line.lost,
        Watch::Duplicate => line.duplicate,
        Watch::Interrupted => line.interrupted,
        Watch::Dropped => line.dropped,
        Watch::Complete | Watch::Incomplete | Watch::UnknownWrites => of_fan_out(&line.fan_out, count),
    }
}

/// A count of the writes behind the events; 0 of the events' own counts.
fn of_fan_out(writes: &FanOutSummary, count: Watch) -> u64 {
    match count {
        Watch::Complete => writes.complete,
        Watch::Incomplete => writes.incomplete,
        Watch::UnknownWrites => writes.unknown_writes,
        _ => 0,
    }
}

fn of_rank(writes: &FanOutSummary, rank: Rank) -> &Quantiles {
    match rank {
        Rank::First => &writes.first_ns,
        Rank::Median => &writes.median_ns,
        Rank::Last => &writes.last_ns,
    }
}
