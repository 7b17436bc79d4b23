//! Histograms of the whole window, merged from the interval log by tag.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use quorumeter_record::hlog::Entry;
use quorumeter_record::{HLOG_FILE, Quantiles, ReadError, RecordReader, new_duration_histogram, stage};

use crate::tally::{COUNT_MAX, OpKey};

/// What `latency.hlog` tells: memory for one histogram per tag, and two numbers per interval.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    /// Per kind of op.
    pub(crate) ops: BTreeMap<OpKey, OpLatencies>,
    /// released − intended.
    lag: Part,
    /// Response times of each interval: of all ops that were intended in the measured window and ended in the interval,
    /// watch events left out.
    pub(crate) intervals: Vec<IntervalLatency>,
}

/// The distributions of one kind of op.
#[derive(Debug, Default)]
pub(crate) struct OpLatencies {
    wait: Part,
    service: Part,
    /// Response times of ops that succeeded.
    ok: Part,
    failed: Part,
    unknown: Part,
    shed: Part,
    after_ack: Part,
    before_ack: Part,
    first: Part,
    median: Part,
    last: Part,
}

/// Response times in one interval.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IntervalLatency {
    /// Start of the interval, seconds since the run's start, to the millisecond.
    pub(crate) start_s: f64,
    pub(crate) response_ns: Quantiles,
}

/// A histogram that is made with its first values.
#[derive(Debug, Default)]
struct Part(Option<Box<Histogram<u64>>>);

impl Latencies {
    /// Reads the interval log of a record.
    pub(crate) fn read(record: &RecordReader) -> Result<Latencies, ReadError> {
        let mut latencies = Latencies::default();
        let mut interval: Option<(f64, Response)> = None;
        let mut values = 0_u128;
        for entry in record.histograms()? {
            let (line, entry) = entry?;
            let damaged = |cause: &str| ReadError::Damaged {
                path: record.dir().join(HLOG_FILE),
                line,
                cause: cause.to_owned(),
            };
            let beyond = |_| damaged("the histogram holds values beyond one hour");
            values += u128::from(entry.histogram.len());
            if values > u128::from(COUNT_MAX) {
                return Err(damaged("it counts more than any run can"));
            }
            let Some(tag) = Tag::parse(&entry.tag) else { continue };
            if let Some(is_known) = tag.response_is_known() {
                if interval.as_ref().is_none_or(|(start_s, _)| *start_s != entry.start_s) {
                    latencies.end_of_interval(interval.take());
                }
                let (_, response) = interval.get_or_insert_with(|| (entry.start_s, Response::default()));
                response.part(is_known).add(&entry.histogram).map_err(beyond)?;
            }
            latencies.add(tag, &entry).map_err(beyond)?;
        }
        latencies.end_of_interval(interval);
        Ok(latencies)
    }

    fn add(&mut self, tag: Tag<'_>, entry: &Entry) -> Result<(), hdrhistogram::AdditionError> {
        let part = match tag {
            Tag::Lag => &mut self.lag,
            Tag::Op { stream, op, part } => {
                let op = self.ops.entry((stream.to_owned(), op.to_owned())).or_default();
                match part {
                    "ok.wait" => &mut op.wait,
                    "ok.service" => &mut op.service,
                    "ok.response" => &mut op.ok,
                    "failed.response" => &mut op.failed,
                    "unknown.response" => &mut op.unknown,
                    "shed.response" => &mut op.shed,
                    "ok.after_ack" => &mut op.after_ack,
                    "ok.before_ack" => &mut op.before_ack,
                    "ok.first" => &mut op.first,
                    "ok.median" => &mut op.median,
                    "ok.last" => &mut op.last,
                    _ => return Ok(()),
                }
            }
        };
        part.add(&entry.histogram)
    }

    fn end_of_interval(&mut self, interval: Option<(f64, Response)>) {
        if let Some((start_s, response)) = interval {
            self.intervals.push(IntervalLatency { start_s, response_ns: response.quantiles() });
        }
    }

    /// Schedule lag.
    pub(crate) fn lag(&self) -> Quantiles {
        self.lag.quantiles()
    }

    /// Response times of several kinds of ops together.
    pub(crate) fn response_of<'a>(&'a self, ops: impl Iterator<Item = &'a OpKey>) -> Quantiles {
        response(ops.filter_map(|key| self.ops.get(key)))
    }
}

impl OpLatencies {
    /// sent − intended of ops that succeeded.
    pub(crate) fn wait(&self) -> Quantiles {
        self.wait.quantiles()
    }

    /// done − sent of ops that succeeded.
    pub(crate) fn service(&self) -> Quantiles {
        self.service.quantiles()
    }

    /// done − intended of ops that succeeded.
    pub(crate) fn ok_response(&self) -> Quantiles {
        self.ok.quantiles()
    }

    /// done − intended of all ops; unknown and shed ones are lower bounds.
    pub(crate) fn response(&self) -> Quantiles {
        response(std::iter::once(self))
    }

    /// received − acknowledged of watch events, signed.
    pub(crate) fn after_ack(&self) -> Quantiles {
        match (&self.after_ack.0, &self.before_ack.0) {
            (None, None) => Quantiles::default(),
            (Some(after), Some(before)) => Quantiles::from_signed(after, before),
            (Some(after), None) => Quantiles::from_histogram(after),
            (None, Some(before)) => Quantiles::from_signed(&new_duration_histogram(), before),
        }
    }

    /// received − intended of the first, the median and the last watch event of each write.
    pub(crate) fn ranks(&self) -> [Quantiles; 3] {
        [&self.first, &self.median, &self.last].map(Part::quantiles)
    }
}

impl Part {
    fn add(&mut self, histogram: &Histogram<u64>) -> Result<(), hdrhistogram::AdditionError> {
        self.0.get_or_insert_with(|| Box::new(new_duration_histogram())).add(histogram)
    }

    fn add_part(&mut self, other: &Part) {
        if let Some(histogram) = &other.0 {
            self.add(histogram).expect("both have the same bounds");
        }
    }

    fn quantiles(&self) -> Quantiles {
        self.0.as_ref().map(|h| Quantiles::from_histogram(h)).unwrap_or_default()
    }
}

/// Response times of all ops of several kinds.
fn response<'a>(ops: impl Iterator<Item = &'a OpLatencies>) -> Quantiles {
    let mut response = Response::default();
    for op in ops {
        response.known.add_part(&op.ok);
        response.known.add_part(&op.failed);
        response.at_least.add_part(&op.unknown);
        response.at_least.add_part(&op.shed);
    }
    response.quantiles()
}

/// Response times of ops that ended in whatever way: those of unknown and shed ones are known from below only.
#[derive(Debug, Default)]
struct Response {
    known: Part,
    at_least: Part,
}

impl Response {
    fn part(&mut self, is_known: bool) -> &mut Part {
        if is_known { &mut self.known } else { &mut self.at_least }
    }

    fn quantiles(&self) -> Quantiles {
        match (&self.known.0, &self.at_least.0) {
            (_, None) => self.known.quantiles(),
            (Some(known), Some(at_least)) => Quantiles::from_histograms(known, at_least),
            (None, Some(at_least)) => Quantiles::from_histograms(&new_duration_histogram(), at_least),
        }
    }
}

/// A tag of the log, taken apart. Neither streams nor ops have a dot in their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag<'a> {
    Lag,
    Op { stream: &'a str, op: &'a str, part: &'a str },
}

impl Tag<'_> {
    fn parse(tag: &str) -> Option<Tag<'_>> {
        if tag == "generator.lag" {
            return Some(Tag::Lag);
        }
        let (stream, rest) = tag.split_once('.')?;
        let (op, part) = rest.split_once('.')?;
        Some(Tag::Op { stream, op, part })
    }

    /// For response times, whether they are known, or from below only. Those of scheduled ops are meant.
    fn response_is_known(self) -> Option<bool> {
        match self {
            Tag::Lag => None,
            Tag::Op { op, .. } if stage::is_observed(op) => None,
            Tag::Op { part: "ok.response" | "failed.response", .. } => Some(true),
            Tag::Op { part: "unknown.response" | "shed.response", .. } => Some(false),
            Tag::Op { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_taken_apart() {
        assert_eq!(Tag::parse("generator.lag"), Some(Tag::Lag));
        assert_eq!(
            Tag::parse("app.multi(10).ok.wait"),
            Some(Tag::Op { stream: "app", op: "multi(10)", part: "ok.wait" })
        );
        assert_eq!(Tag::parse("something-else"), None);
        assert_eq!(Tag::parse("a.b"), None);
    }
}
