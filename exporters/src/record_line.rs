//! What a member told, as a line of the run record.

use std::collections::BTreeMap;

use quorumeter_record::{MemberLine, ProcessUse, TimeSum};

use crate::catalog::{self, Metric};
use crate::prometheus_text::whole;
use crate::sample::{Entry, Sample, Value};

/// Fills in what a member told, its role excepted. A field that it did not tell is left as it is.
pub fn fill(line: &mut MemberLine, sample: &Sample) {
    let number = |metric: &Metric| sample.number(metric).and_then(whole);
    line.zab_state = sample.zab_state.clone().or(line.zab_state.take());
    line.term = sample.term.and_then(|term| i64::try_from(term).ok()).or(line.term);
    line.synced_followers = sample.synced_followers.or(line.synced_followers);
    line.elections = times(sample, &catalog::ELECTION_DURATION).or(line.elections);
    line.unavailable = times(sample, &catalog::UNAVAILABLE).or(line.unavailable);
    line.leader_unavailable = times(sample, &catalog::LEADER_UNAVAILABLE).or(line.leader_unavailable);
    line.zxid = sample.zxid.map(|zxid| zxid as i64).or(line.zxid);
    line.packets_received = number(&catalog::PACKETS_RECEIVED).or(line.packets_received);
    line.packets_sent = number(&catalog::PACKETS_SENT).or(line.packets_sent);
    line.outstanding_requests = number(&catalog::OUTSTANDING).or(line.outstanding_requests);
    line.connections = number(&catalog::CONNECTIONS).or(line.connections);
    line.znodes = number(&catalog::KEYS).or(line.znodes);
}

/// Everything that a member told and that is a number, and what its process has used: the series of an exposition, without
/// the labels `cluster` and `member`.
pub fn metrics(sample: &Sample, process: Option<&ProcessUse>) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    for entry in sample.entries() {
        let Entry { metric, labels, value } = &*entry;
        match value {
            Value::Number(value) => _ = metrics.insert(series(metric, "", labels), *value),
            Value::Histogram(times) => {
                metrics.insert(series(metric, "_count", labels), times.count as f64);
                metrics.insert(series(metric, "_sum", labels), times.sum);
            }
        }
    }
    // What the operating system says of a process is newer than what it says itself.
    metrics
        .extend(process.into_iter().flat_map(used).map(|(metric, value)| (series(metric, "", &[]), value)));
    metrics
}

/// What a process has used, as metrics of its member.
pub fn used(process: &ProcessUse) -> impl Iterator<Item = (&'static Metric, f64)> + use<> {
    [
        (&catalog::CPU_SECONDS, Some(process.cpu_ns as f64 / 1e9)),
        (&catalog::RESIDENT_BYTES, Some(process.resident_bytes as f64)),
        (&catalog::READ_BYTES, process.read_bytes.map(|bytes| bytes as f64)),
        (&catalog::WRITTEN_BYTES, process.written_bytes.map(|bytes| bytes as f64)),
    ]
    .into_iter()
    .filter_map(|(metric, value)| Some((metric, value?)))
}

/// `name{label="value",…}`
fn series(metric: &Metric, suffix: &str, labels: &[String]) -> String {
    let pair = |(name, value): (&&str, &String)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    let pairs: Vec<_> = metric.labels.iter().zip(labels).map(pair).collect();
    match pairs.is_empty() {
        true => format!("{}{suffix}", metric.name),
        false => format!("{}{suffix}{{{}}}", metric.name, pairs.join(",")),
    }
}

/// How often and how long; members tell whole milliseconds.
fn times(sample: &Sample, metric: &Metric) -> Option<TimeSum> {
    match sample.get(metric)? {
        Value::Histogram(times) => Some(TimeSum { count: times.count, sum_ns: whole(times.sum * 1e9)? }),
        Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Histogram;

    #[test]
    fn series_are_named_as_in_an_exposition() {
        let mut sample = Sample {
            serving: Some(true),
            has_leader: Some(true),
            voter: Some(false),
            voters: Some(3),
            term: Some(7),
            applied_index: Some(12),
            ..Sample::default()
        };
        sample.push(&catalog::KEYS, 5.0);
        let times = Histogram { buckets: vec![], count: 2, sum: 0.25 };
        sample.push_histogram(&catalog::PEER_ACK, &["a\"\\\n"], times.clone());
        sample.push_histogram(&catalog::ELECTION_DURATION, &[], times);
        let process =
            ProcessUse { cpu_ns: 1_500_000_000, resident_bytes: 9, read_bytes: None, written_bytes: Some(3) };
        let expected = [
            ("quorum_applied_index", 12.0),
            ("quorum_election_duration_seconds_count", 2.0),
            ("quorum_election_duration_seconds_sum", 0.25),
            ("quorum_has_leader", 1.0),
            ("quorum_keys", 5.0),
            ("quorum_member_serving", 1.0),
            ("quorum_member_voter", 0.0),
            ("quorum_peer_ack_seconds_count{peer=\"a\\\"\\\\\\n\"}", 2.0),
            ("quorum_peer_ack_seconds_sum{peer=\"a\\\"\\\\\\n\"}", 0.25),
            ("quorum_process_cpu_seconds_total", 1.5),
            ("quorum_process_resident_bytes", 9.0),
            ("quorum_process_written_bytes_total", 3.0),
            ("quorum_term", 7.0),
            ("quorum_voters", 3.0),
        ];
        let told = metrics(&sample, Some(&process));
        assert_eq!(told.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line_keeps_what_a_sample_does_not_tell() {
        let mut line = MemberLine { znodes: Some(5), ..MemberLine::default() };
        let before = line.clone();
        fill(&mut line, &Sample::default());
        assert_eq!(line, before);
        fill(&mut line, &Sample { term: Some(2), ..Sample::default() });
        assert_eq!((line.term, line.znodes), (Some(2), Some(5)));
    }
}
