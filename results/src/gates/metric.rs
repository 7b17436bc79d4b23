//! What a gate may be about.

use std::fmt;

use quorumeter_record::{FailoverPlan, LoopKind, ProbeRole, Quantiles, StreamInfo, stage};

use super::GateError;
use crate::failover::metrics as failover;
use crate::tally::OpKey;

/// A metric: a figure of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) subject: Subject,
    pub(super) figure: Figure,
}

/// What a figure is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Op {
        stream: String,
        op: String,
    },
    Stream(String),
    /// All streams, watch events left out.
    Total,
    Generator,
    /// A failover measurement: all clients of it, or those of one policy.
    Failover(Option<String>),
}

/// What is measured of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Time(Time, &'static str),
    Count(Count),
    Watch(Watch),
    Life(Life),
    /// A duration over the repetitions of a failover measurement.
    Repeated(Repeated),
    /// The sum of a count over the repetitions.
    Sum(&'static str),
}

/// A duration over repetitions, and which statistic of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) name: &'static str,
    /// It is told between two bounds.
    pub(super) is_bounded: bool,
    pub(super) statistic: Order,
}

/// What a few repetitions can tell: no percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Min,
    Median,
    Max,
}

const ORDERS: [(&str, Order); 3] = [("min", Order::Min), ("median", Order::Median), ("max", Order::Max)];

/// A distribution of times, of which a statistic is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    Response,
    OkResponse,
    Service,
    Wait,
    AfterAck,
    /// From a write's intended time to one of its deliveries, over the writes that reached every watcher.
    FanOut(Rank),
    Lag,
}

/// Which of a write's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    First,
    Median,
    Last,
}

/// A count of ops, or the rate of the ok ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Rate,
    Ok,
    Failed,
    Unknown,
    Shed,
    Late,
}

/// A count of watch events, or of the writes that they tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    Events,
    Matched,
    Unmatched,
    OfUnknown,
    Merged,
    Lost,
    Duplicate,
    Interrupted,
    Dropped,
    Complete,
    Incomplete,
    UnknownWrites,
}

/// A count of what happened to sessions that come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    LostConnections,
    Retries,
    Early,
}

const LIVES: [(&str, Life); 3] =
    [("lost_connections", Life::LostConnections), ("retries", Life::Retries), ("early", Life::Early)];

const OP_TIMES: [(&str, Time); 4] = [
    ("response", Time::Response),
    ("ok_response", Time::OkResponse),
    ("service", Time::Service),
    ("wait", Time::Wait),
];

const COUNTS: [(&str, Count); 6] = [
    ("rate", Count::Rate),
    ("ok", Count::Ok),
    ("failed", Count::Failed),
    ("unknown", Count::Unknown),
    ("shed", Count::Shed),
    ("late", Count::Late),
];

const RANKS: [(&str, Rank); 3] = [("first", Rank::First), ("median", Rank::Median), ("last", Rank::Last)];

const WATCHES: [(&str, Watch); 12] = [
    ("events", Watch::Events),
    ("matched", Watch::Matched),
    ("unmatched", Watch::Unmatched),
    ("of_unknown", Watch::OfUnknown),
    ("merged", Watch::Merged),
    ("lost", Watch::Lost),
    ("duplicate", Watch::Duplicate),
    ("interrupted", Watch::Interrupted),
    ("dropped", Watch::Dropped),
    ("complete", Watch::Complete),
    ("incomplete", Watch::Incomplete),
    ("unknown_writes", Watch::UnknownWrites),
];

impl Metric {
    /// Parses a metric's name, which is only as good as the workload that has such a stream and op.
    pub(super) fn parse(text: &str) -> Result<Metric, GateError> {
        let error = |problem: String| GateError::Metric { metric: text.to_owned(), problem };
        // The names of the record have no dot in them; those of reports do.
        let plain = match (text.strip_suffix(".p99.9"), text.strip_suffix(".p99.99")) {
            (Some(of), _) => format!("{of}.p999"),
            (_, Some(of)) => format!("{of}.p9999"),
            (None, None) => text.to_owned(),
        };
        let parts: Vec<&str> = plain.split('.').collect();
        if let Some((policy, figure)) = of_a_failover(&parts).map_err(error)? {
            return Ok(Metric { subject: Subject::Failover(policy.map(str::to_owned)), figure });
        }
        let (subject, figure) = match parts.as_slice() {
            ["generator", "lag", name] => {
                (Subject::Generator, Figure::Time(Time::Lag, statistic(name).map_err(error)?))
            }
            ["generator", ..] => {
                return Err(error("of the generator there is `generator.lag.<statistic>`".to_owned()));
            }
            ["total", name] => (Subject::Total, Figure::Count(among(&COUNTS, name).map_err(error)?)),
            ["total", ..] => {
                return Err(error(format!("of the total there is `total.<count>`, with {}", names(&COUNTS))));
            }
            [stream, "after_ack", name] => (
                Subject::Stream((*stream).to_owned()),
                Figure::Time(Time::AfterAck, statistic(name).map_err(error)?),
            ),
            [stream, "fan_out", rank, name] => (
                Subject::Stream((*stream).to_owned()),
                Figure::Time(
                    Time::FanOut(among(&RANKS, rank).map_err(error)?),
                    statistic(name).map_err(error)?,
                ),
            ),
            [stream, "fan_out", ..] => {
                return Err(error(format!(
                    "of the fan-out there is `{stream}.fan_out.<rank>.<statistic>`, with {}",
                    names(&RANKS)
                )));
            }
            [stream, name] => {
                let figure = of_a_stream(name).map_err(error)?;
                (Subject::Stream((*stream).to_owned()), figure)
            }
            [stream, op, name] => (
                Subject::Op { stream: (*stream).to_owned(), op: (*op).to_owned() },
                Figure::Count(of_an_op(name).map_err(error)?),
            ),
            [stream, op, time, name] => (
                Subject::Op { stream: (*stream).to_owned(), op: (*op).to_owned() },
                Figure::Time(among(&OP_TIMES, time).map_err(error)?, statistic(name).map_err(error)?),
            ),
            _ => {
                return Err(error(
                    "the forms are `<stream>.<op>.<time>.<statistic>`, `<stream>.<op>.<count>`, `<stream>.<count>`, \
                     `total.<count>` and `generator.lag.<statistic>`; of a failover `<metric>.median`, `<count>` and \
                     `<policy>.<metric>.median`"
                        .to_owned(),
                ));
            }
        };
        subject.check_names().map_err(error)?;
        Ok(Metric { subject, figure })
    }

    /// Checks that a workload of these streams has this metric, with this plan of a failover measurement.
    pub(super) fn check_exists(
        &self,
        streams: &[StreamInfo],
        plan: Option<&FailoverPlan>,
    ) -> Result<(), GateError> {
        let known = known(streams, plan);
        if known.contains(self) {
            return Ok(());
        }
        let metric = self.to_string();
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        let nearest = nearest(&metric, known.iter().map(String::as_str)).map(str::to_owned);
        Err(GateError::Absent { problem: self.why_absent(streams, plan), metric, nearest })
    }

    fn why_absent(&self, streams: &[StreamInfo], plan: Option<&FailoverPlan>) -> String {
        let stream = match &self.subject {
            Subject::Failover(_) => {
                return match plan {
                    None => "it is of a failover, which `quorumeter failover` measures".to_owned(),
                    Some(plan) => format!("its policies are {}", policies(plan).join(", ")),
                };
            }
            Subject::Generator => {
                return "no stream has a rate, so there is no schedule to lag behind".to_owned();
            }
            Subject::Total => return "no stream issues operations".to_owned(),
            Subject::Stream(stream) | Subject::Op { stream, .. } => stream,
        };
        let Some(info) = streams.iter().find(|info| info.name == *stream) else {
            let streams: Vec<&str> = streams.iter().map(|s| s.name.as_str()).collect();
            return format!("its streams are {}", streams.join(", "));
        };
        match &self.subject {
            Subject::Op { .. } => {
                let ops: Vec<&str> = info.ops.iter().map(|op| op.op.as_str()).collect();
                format!("the ops of stream {stream} are {}", ops.join(", "))
            }
            _ if matches!(self.figure, Figure::Life(_)) => {
                format!("stream {stream} is none of sessions that come and go")
            }
            _ => format!("stream {stream} has no watches"),
        }
    }

    /// Checks that the lines of one interval tell this metric.
    pub(super) fn check_interval(&self) -> Result<(), GateError> {
        let problem = match self.figure {
            Figure::Time(Time::OkResponse, _) => {
                "an interval tells response times over all ops: use `response`, or `service` for ok ones"
            }
            Figure::Watch(Watch::Lost) => "an event counts as lost at the end of the drain: make it a gate",
            Figure::Watch(Watch::Incomplete) => {
                "a write counts as incomplete when no event of it can come any more, 30 s later or at the end: make it a gate"
            }
            Figure::Repeated(_) | Figure::Sum(_) => "it is of whole repetitions: make it a gate",
            _ => return Ok(()),
        };
        Err(GateError::NotInInterval { metric: self.to_string(), problem: problem.to_owned() })
    }

    /// Whether it is a time of this kind of op.
    pub(super) fn is_time_of(&self, (stream, op): &OpKey) -> bool {
        matches!(self.figure, Figure::Time(..)) && self.subject.has(stream, op)
    }

    /// Whether it is of a failover measurement, whose repetitions are judged one by one.
    pub(super) fn is_of_failover(&self) -> bool {
        matches!(self.subject, Subject::Failover(_))
    }

    /// Whether its values may be negative.
    pub(super) fn is_signed(&self) -> bool {
        matches!(self.figure, Figure::Time(Time::AfterAck, _))
    }
}

impl Subject {
    fn check_names(&self) -> Result<(), String> {
        let (stream, op) = match self {
            Subject::Op { stream, op } => (stream, Some(op)),
            Subject::Stream(stream) => (stream, None),
            Subject::Total | Subject::Generator | Subject::Failover(_) => return Ok(()),
        };
        let of_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if stream.is_empty() || !stream.chars().all(of_a_name) {
            return Err(format!("`{stream}` is no stream's name, which is of a-z, 0-9, _ and -"));
        }
        match op {
            Some(op) if op.is_empty() || !op.chars().all(|c| of_a_name(c) || c == '(' || c == ')') => {
                Err(format!("`{op}` is no op's name, such as read, write or multi(10)"))
            }
            _ => Ok(()),
        }
    }
}

/// A metric of a failover measurement, and of which policy; `None` when it is none.
fn of_a_failover<'a>(parts: &[&'a str]) -> Result<Option<(Option<&'a str>, Figure)>, String> {
    let (policy, name, statistic) = match *parts {
        [name] => (None, name, None),
        [first, second] if repeated(second).is_some() || sum(second).is_some() => (Some(first), second, None),
        [name, statistic] => (None, name, Some(statistic)),
        [policy, name, statistic] => (Some(policy), name, Some(statistic)),
        _ => return Ok(None),
    };
    if let (Some((count, of_policies)), None) = (sum(name), statistic) {
        return match policy {
            Some(_) if !of_policies => Err(format!("`{name}` is of all clients, not of one policy's")),
            _ => Ok(Some((policy, Figure::Sum(count)))),
        };
    }
    let Some((metric, name, is_bounded)) = repeated(name) else {
        // Nothing else has a median.
        return match statistic.filter(|statistic| ORDERS.iter().any(|(name, _)| name == statistic)) {
            Some(_) if policy.is_none() => {
                let known: Vec<&str> = failover::DURATIONS.iter().map(|metric| metric.name).collect();
                Err(not_among(name, &known.join(", "), nearest(name, known.iter().copied())))
            }
            _ => Ok(None),
        };
    };
    match (policy, statistic) {
        // A stream of that name.
        (None, Some(figure)) if of_a_stream(figure).is_ok() => return Ok(None),
        (None, _) if !metric.of_all => {
            return Err(format!("of which policy? Write `java.{name}.median`, or `pinned.{name}.median`"));
        }
        (Some(_), _) if !metric.of_policies => {
            return Err(format!("`{name}` is of all clients, not of one policy's"));
        }
        _ => {}
    }
    let Some(statistic) = statistic else {
        return Err(format!(
            "which statistic of it? Write `{name}.median`, or another of {}",
            names(&ORDERS)
        ));
    };
    let statistic = among(&ORDERS, statistic)?;
    Ok(Some((policy, Figure::Repeated(Repeated { name, is_bounded, statistic }))))
}

/// The duration of that name, its name in the record, and whether both of its bounds are meant.
fn repeated(name: &str) -> Option<(&'static failover::Duration, &'static str, bool)> {
    failover::DURATIONS.iter().find_map(|metric| {
        let bounds = metric.bounds.iter().flatten().find(|bound| **bound == name);
        match bounds {
            Some(bound) => Some((metric, *bound, false)),
            None => (metric.name == name).then_some((metric, metric.name, metric.bounds.is_some())),
        }
    })
}

fn sum(name: &str) -> Option<(&'static str, bool)> {
    failover::COUNTS.into_iter().find(|(count, _)| *count == name)
}

/// The policies whose clients write, and the pinned ones.
fn policies(plan: &FailoverPlan) -> Vec<&str> {
    let mut policies: Vec<&str> = Vec::new();
    for probe in plan.probes.iter().filter(|probe| probe.role == ProbeRole::Write) {
        let policy = if probe.member.is_some() { failover::PINNED } else { &probe.policy };
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    policies
}

/// Every metric of a failover measurement.
fn known_of_failover(plan: &FailoverPlan) -> Vec<Metric> {
    let mut known = Vec::new();
    let mut add = |policy: Option<&str>, figure| {
        known.push(Metric { subject: Subject::Failover(policy.map(str::to_owned)), figure });
    };
    let policies = policies(plan);
    let of_policies = || policies.iter().map(|policy| Some(*policy));
    for metric in &failover::DURATIONS {
        let bounds = metric.bounds.iter().flatten().map(|bound| (*bound, false));
        let names: Vec<(&'static str, bool)> =
            [(metric.name, metric.bounds.is_some())].into_iter().chain(bounds).collect();
        let all = metric.of_all.then_some(None);
        for policy in all.into_iter().chain(of_policies().filter(|_| metric.of_policies)) {
            for (name, is_bounded) in &names {
                for (_, statistic) in ORDERS {
                    add(policy, Figure::Repeated(Repeated { name, is_bounded: *is_bounded, statistic }));
                }
            }
        }
    }
    for (name, is_of_policies) in failover::COUNTS {
        for policy in [None].into_iter().chain(of_policies().filter(|_| is_of_policies)) {
            add(policy, Figure::Sum(name));
        }
    }
    known
}

fn of_a_stream(name: &str) -> Result<Figure, String> {
    if let Some((_, watch)) = WATCHES.iter().find(|(watch, _)| *watch == name) {
        return Ok(Figure::Watch(*watch));
    }
    if let Some((_, life)) = LIVES.iter().find(|(life, _)| *life == name) {
        return Ok(Figure::Life(*life));
    }
    among(&COUNTS, name).map(Figure::Count).map_err(|problem| {
        format!("{problem}; of an op's times it takes all four parts, `<stream>.<op>.response.p99`")
    })
}

fn of_an_op(name: &str) -> Result<Count, String> {
    if OP_TIMES.iter().any(|(time, _)| *time == name) {
        return Err(format!(
            "which statistic of it? Write `{name}.p99`, or another of {}",
            Quantiles::NAMES.join(", ")
        ));
    }
    among(&COUNTS, name)
}

fn statistic(name: &str) -> Result<&'static str, String> {
    Quantiles::NAMES.into_iter().find(|statistic| *statistic == name).ok_or_else(|| {
        not_among(name, &Quantiles::NAMES.join(", "), nearest(name, Quantiles::NAMES.into_iter()))
    })
}

fn among<T: Copy>(table: &[(&'static str, T)], name: &str) -> Result<T, String> {
    match table.iter().find(|(known, _)| *known == name) {
        Some((_, value)) => Ok(*value),
        None => Err(not_among(name, &names(table), nearest(name, table.iter().map(|(known, _)| *known)))),
    }
}

fn not_among(name: &str, known: &str, nearest: Option<&str>) -> String {
    format!("`{name}` is none of {known}{}", super::did_you_mean(nearest))
}

fn names<T>(table: &[(&'static str, T)]) -> String {
    table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

/// The name most like `name`, unless none is like it at all.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .fold(None, |best: Option<(f64, &str)>, found| match best {
            Some(best) if best.0 >= found.0 => Some(best),
            _ => Some(found),
        })
        .map(|(_, candidate)| candidate)
}

/// Every metric of a workload of these streams, and of a failover measurement.
pub(super) fn known(streams: &[StreamInfo], plan: Option<&FailoverPlan>) -> Vec<Metric> {
    let mut known = Vec::new();
    for stream in streams {
        for op in &stream.ops {
            let subject = Subject::Op { stream: stream.name.clone(), op: op.op.clone() };
            for (_, time) in OP_TIMES {
                known.extend(times(&subject, time));
            }
            known.extend(counts(&subject));
        }
        let subject = Subject::Stream(stream.name.clone());
        known.extend(counts(&subject));
        if stream.watch.is_some() {
            known.extend(WATCHES.map(|(_, w)| Metric { subject: subject.clone(), figure: Figure::Watch(w) }));
            known.extend(times(&subject, Time::AfterAck));
            known.extend(RANKS.into_iter().flat_map(|(_, rank)| times(&subject, Time::FanOut(rank))));
        }
        if stream.life.is_some() {
            known.extend(LIVES.map(|(_, l)| Metric { subject: subject.clone(), figure: Figure::Life(l) }));
        }
    }
    if streams.iter().flat_map(|s| &s.ops).any(|op| !stage::is_observed(&op.op)) {
        known.extend(counts(&Subject::Total));
    }
    if streams.iter().any(|s| s.loop_kind == LoopKind::Open) {
        known.extend(times(&Subject::Generator, Time::Lag));
    }
    known.extend(plan.into_iter().flat_map(known_of_failover));
    known
}

fn times(subject: &Subject, time: Time) -> impl Iterator<Item = Metric> {
    let subject = subject.clone();
    Quantiles::NAMES
        .into_iter()
        .map(move |s| Metric { subject: subject.clone(), figure: Figure::Time(time, s) })
}

fn counts(subject: &Subject) -> impl Iterator<Item = Metric> {
    let subject = subject.clone();
    COUNTS.into_iter().map(move |(_, c)| Metric { subject: subject.clone(), figure: Figure::Count(c) })
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Op { stream, op } => write!(f, "{stream}.{op}.")?,
            Subject::Stream(stream) => write!(f, "{stream}.")?,
            Subject::Total => f.write_str("total.")?,
            Subject::Generator => f.write_str("generator.")?,
            Subject::Failover(Some(policy)) => write!(f, "{policy}.")?,
            Subject::Failover(None) => {}
        }
        match &self.figure {
            Figure::Time(Time::AfterAck, statistic) => write!(f, "after_ack.{statistic}"),
            Figure::Time(Time::FanOut(rank), statistic) => {
                write!(f, "fan_out.{}.{statistic}", name_of(&RANKS, rank))
            }
            Figure::Time(Time::Lag, statistic) => write!(f, "lag.{statistic}"),
            Figure::Time(time, statistic) => write!(f, "{}.{statistic}", name_of(&OP_TIMES, time)),
            Figure::Count(count) => f.write_str(name_of(&COUNTS, count)),
            Figure::Watch(watch) => f.write_str(name_of(&WATCHES, watch)),
            Figure::Life(life) => f.write_str(name_of(&LIVES, life)),
            Figure::Repeated(Repeated { name, statistic, .. }) => {
                write!(f, "{name}.{}", name_of(&ORDERS, statistic))
            }
            Figure::Sum(name) => f.write_str(name),
        }
    }
}
