//! What a member counts, by name: the same names in `mntr`, in `monitor` and at the Prometheus endpoint.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::catalog::{self, Metric};
use crate::prometheus_text::{Scraped, whole};
use crate::sample::{Dialect, Histogram, Sample};

/// Numbers: the metric, the name, and how many of what it is told in make one of the metric's unit.
///
/// Servers say −1 where they have none. Later releases write `_total` behind those that are counters.
const NUMBERS: [(&Metric, &str, f64); 22] = [
    (&catalog::UPTIME, "uptime", MILLISECONDS),
    (&catalog::ELECTIONS, "looking_count", 1.0),
    (&catalog::PROPOSALS, "proposal_count", 1.0),
    (&catalog::COMMITS, "commit_count", 1.0),
    (&catalog::OUTSTANDING, "outstanding_requests", 1.0),
    (&catalog::PACKETS_RECEIVED, "packets_received", 1.0),
    (&catalog::PACKETS_SENT, "packets_sent", 1.0),
    (&catalog::THROTTLED, "request_throttle_wait_count", 1.0),
    (&catalog::CONNECTIONS, "num_alive_connections", 1.0),
    (&catalog::CONNECTIONS_REJECTED, "connection_rejected", 1.0),
    (&catalog::SESSIONS_EXPIRED, "stale_sessions_expired", 1.0),
    (&catalog::WATCHES, "watch_count", 1.0),
    (&catalog::KEYS, "znode_count", 1.0),
    (&catalog::EPHEMERALS, "ephemerals_count", 1.0),
    (&catalog::DATA_BYTES, "approximate_data_size", 1.0),
    (&catalog::OPEN_FDS, "open_file_descriptor_count", 1.0),
    (&catalog::MAX_FDS, "max_file_descriptor_count", 1.0),
    // Of the Java process, with the Prometheus provider.
    (&catalog::CPU_SECONDS, "process_cpu_seconds", 1.0),
    (&catalog::RESIDENT_BYTES, "process_resident_memory_bytes", 1.0),
    (&catalog::UNRECOVERABLE, "unrecoverable_error_count", 1.0),
    (&catalog::DIGEST_MISMATCHES, "digest_mismatches_count", 1.0),
    (&catalog::SNAPSHOTS_FAILED, "snapshot_error_count", 1.0),
];

/// Numbers that are part of others.
const PARTS: [&str; 7] = [
    "followers",
    "learners",
    "synced_followers",
    "synced_non_voting_followers",
    "quorum_size",
    "global_sessions",
    "local_sessions",
];

/// Times, in milliseconds: the metric, its labels, and the name.
const TIMES: [(&Metric, &[&str], &str); 15] = [
    (&catalog::ELECTION_DURATION, &[], "election_time"),
    (&catalog::UNAVAILABLE, &[], "unavailable_time"),
    (&catalog::LEADER_UNAVAILABLE, &[], "leader_unavailable_time"),
    (&catalog::COMMIT_DURATION, &[], "quorum_ack_latency"),
    (&catalog::FSYNC_DURATION, &[], "fsynctime"),
    (&catalog::SNAPSHOT_DURATION, &[], "snapshottime"),
    (&catalog::STAGE_DURATION, &["prepare"], "prep_processor_queue_time_ms"),
    (&catalog::STAGE_DURATION, &["queue"], "sync_processor_queue_time_ms"),
    (&catalog::STAGE_DURATION, &["log"], "sync_processor_queue_flush_time_ms"),
    (&catalog::STAGE_DURATION, &["quorum"], "quorum_ack_latency"),
    (&catalog::STAGE_DURATION, &["commit"], "write_commitproc_time_ms"),
    (&catalog::STAGE_DURATION, &["apply"], "write_final_proc_time_ms"),
    (&catalog::REQUEST_DURATION, &["read"], "readlatency"),
    (&catalog::REQUEST_DURATION, &["write"], "updatelatency"),
    (&catalog::PAUSES, &[], PAUSES),
];

const PAUSES: &str = "jvm_pause_time_ms";

/// A set of times, in milliseconds, by the id of the peer.
const PEER_ACKS: &str = "ack_latency";

/// Peers at most: an id is one of 255.
const PEERS_MAX: usize = 255;

/// To a second.
const MILLISECONDS: f64 = 1e3;

/// Takes in numbers by their names. Those that only leaders know are taken of leaders.
pub(super) fn take_metrics(sample: &mut Sample, told: &Scraped, is_leader: bool) {
    if is_leader {
        // So called before 3.6, and by ClickHouse Keeper.
        let followers = number(told, "followers");
        // Those that are to vote later are among them.
        let synced = number(told, "synced_followers")
            .zip(Some(number(told, "synced_non_voting_followers").unwrap_or(0.0)))
            .and_then(|(all, without_vote)| whole(all - without_vote));
        sample.synced_followers = sample.synced_followers.or(synced);
        if let Some(learners) = number(told, "learners").or(followers) {
            sample.push(&catalog::LEARNERS, learners);
        }
        if sample.system == Some(Dialect::Keeper) {
            sample.voters = sample.voters.or(followers.and_then(whole).map(|followers| followers + 1));
        }
        if let (Some(proposed), Some(committed)) =
            (number(told, "proposal_count"), number(told, "commit_count"))
            && proposed >= committed
        {
            sample.push(&catalog::PROPOSALS_PENDING, proposed - committed);
        }
    }
    sample.voters = sample.voters.or_else(|| number(told, "quorum_size").and_then(whole));
    if let (Some(global), Some(local)) = (number(told, "global_sessions"), number(told, "local_sessions")) {
        sample.push(&catalog::SESSIONS, global + local);
    }
    // ZooKeeper has `looking_count`.
    if sample.system == Some(Dialect::Keeper)
        && let Some(elections) = number(told, "cnt_election_time")
    {
        sample.push(&catalog::ELECTIONS, elections);
    }
    for (metric, name, unit) in NUMBERS {
        if let Some(value) = number(told, name) {
            sample.push(metric, value / unit);
        }
    }
    for (metric, labels, name) in TIMES {
        // Without the monitor for them there are none.
        let is_told = |times: &Histogram| name != PAUSES || times.count > 0;
        if let Some(times) = times(told, name).filter(is_told) {
            sample.push_histogram(metric, labels, times);
        }
    }
    for (peer, times) in peer_acks(told) {
        sample.push_histogram(&catalog::PEER_ACK, &[&peer], times);
    }
}

/// Whether a key of `mntr` is one that is made use of.
pub(super) fn is_known(key: &str) -> bool {
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let numbers = NUMBERS.iter().map(|(_, name, _)| *name);
        numbers.chain(PARTS).collect()
    });
    static TIMED: LazyLock<HashSet<&str>> = LazyLock::new(|| TIMES.iter().map(|(.., name)| *name).collect());
    let name = key.split('{').next().unwrap_or(key);
    let plain = name.strip_suffix("_total").unwrap_or(name);
    let of_times = ["cnt_", "sum_"].iter().find_map(|prefix| name.strip_prefix(prefix));
    let of_times = of_times
        .or_else(|| ["_count", "_sum", "_bucket"].iter().find_map(|suffix| name.strip_suffix(suffix)));
    NAMES.contains(plain) || of_times.is_some_and(|name| TIMED.contains(name) || name.ends_with(PEER_ACKS))
}

/// A number that the member has.
fn number(told: &Scraped, name: &str) -> Option<f64> {
    let number = told.number(name).or_else(|| told.number(&format!("{name}_total")))?;
    (number >= 0.0).then_some(number)
}

/// Sum and number of times, in seconds, under the names of either metrics provider.
fn times(told: &Scraped, name: &str) -> Option<Histogram> {
    match told.number(&format!("cnt_{name}")) {
        Some(count) => sum_and_count(told.number(&format!("sum_{name}"))?, count),
        None => {
            let times = told.histogram(name, &[])?;
            sum_and_count(times.sum, times.count as f64)
        }
    }
}

fn sum_and_count(sum_ms: f64, count: f64) -> Option<Histogram> {
    let is_sum = sum_ms.is_finite() && sum_ms >= 0.0;
    Some(Histogram { buckets: Vec::new(), count: whole(count)?, sum: sum_ms / MILLISECONDS })
        .filter(|_| is_sum)
}

/// The acknowledgements of each peer, which has its id in the middle of its keys, `cnt_2_ack_latency`, or in a label.
fn peer_acks(told: &Scraped) -> Vec<(String, Histogram)> {
    let in_keys = told.names().filter_map(|name| {
        let peer = name.strip_prefix("cnt_")?.strip_suffix(PEER_ACKS)?.strip_suffix('_')?;
        let is_id = !peer.is_empty() && peer.bytes().all(|b| b.is_ascii_digit());
        let sum = told.number(&format!("sum_{peer}_{PEER_ACKS}")).filter(|_| is_id)?;
        Some((peer.to_owned(), sum_and_count(sum, told.number(name)?)?))
    });
    let in_labels = told.values_of(&format!("{PEER_ACKS}_count"), "key").into_iter().filter_map(|peer| {
        let times = told.histogram(PEER_ACKS, &[("key", peer)])?;
        Some((peer.to_owned(), sum_and_count(times.sum, times.count as f64)?))
    });
    let mut acks: Vec<_> = in_keys.chain(in_labels).collect();
    acks.sort_by(|a, b| a.0.cmp(&b.0));
    acks.truncate(PEERS_MAX);
    acks
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use quorumeter_zk::four_letter::Mntr;

    use super::*;

    fn files_below(dir: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn no_key_that_is_made_use_of_is_passed_over() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut told = [0, 0];
        for path in files_below(&fixtures).iter().filter(|path| path.to_string_lossy().contains(".mntr.")) {
            let text = fs::read_to_string(path).unwrap();
            let Ok(entries) = Mntr::parse_entries(&text) else { continue };
            for (place, system) in [Dialect::ZooKeeper, Dialect::Keeper].into_iter().enumerate() {
                let take = |is_used: fn(&str) -> bool| {
                    let used = entries.iter().filter(|(key, _)| is_used(key));
                    let numbers = used.filter_map(|(key, value)| Some((*key, value.trim().parse().ok()?)));
                    let mut sample = Sample { system: Some(system), ..Sample::default() };
                    take_metrics(&mut sample, &Scraped::of_entries(numbers), true);
                    sample
                };
                let sample = take(is_known);
                told[place] += sample.values.len();
                assert_eq!(sample, take(|_| true), "{}", path.display());
            }
        }
        assert!(told.iter().all(|told| *told > 100), "{told:?}");
    }
}
