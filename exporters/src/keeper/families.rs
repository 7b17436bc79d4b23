//! The Prometheus endpoint: families of asynchronous metrics, of metrics, of events and of histograms.

use super::take_log;
use crate::catalog::{self, Metric};
use crate::parse_error::ParseError;
use crate::prometheus_text::{Scraped, parse, whole};
use crate::sample::{Dialect, Histogram, Role, Sample};
use crate::zookeeper::take_role;

const ASYNC: &str = "ClickHouseAsyncMetrics_Keeper";
const METRICS: &str = "ClickHouseMetrics_Keeper";
const EVENTS: &str = "ClickHouseProfileEvents_";

/// To a second.
const MICROSECONDS: f64 = 1e6;
const MILLISECONDS: f64 = 1e3;

/// Numbers: the metric, and the names behind [`ASYNC`].
///
/// Packets are not among them: some releases write the mean latency there.
const NUMBERS: [(&Metric, &str); 7] = [
    (&catalog::WATCHES, "WatchCount"),
    (&catalog::KEYS, "ZnodeCount"),
    (&catalog::EPHEMERALS, "EphemeralsCount"),
    (&catalog::DATA_BYTES, "ApproximateDataSize"),
    (&catalog::OPEN_FDS, "OpenFileDescriptorCount"),
    (&catalog::MAX_FDS, "MaxFileDescriptorCount"),
    (&catalog::MEMORY_LIMIT_HIT, "IsExceedingMemorySoftLimitHit"),
];

/// Gauges, by the names behind [`METRICS`]; the second of two is one that was misspelt before 2024.
const GAUGES: [(&Metric, &str); 3] = [
    (&catalog::CONNECTIONS, "AliveConnections"),
    (&catalog::OUTSTANDING, "OutstandingRequests"),
    (&catalog::OUTSTANDING, "OutstandingRequets"),
];

/// Counters, by the names behind [`EVENTS`].
const COUNTERS: [(&Metric, &str); 6] = [
    (&catalog::PACKETS_RECEIVED, "KeeperPacketsReceived"),
    (&catalog::PACKETS_SENT, "KeeperPacketsSent"),
    (&catalog::PROPOSALS, "KeeperCommits"),
    (&catalog::PROPOSALS_FAILED, "KeeperCommitsFailed"),
    (&catalog::COMMITS_FAILED, "KeeperCommitsFailed"),
    (&catalog::THROTTLED, "KeeperRequestRejectedDueToSoftMemoryLimitCount"),
];

/// Roles, by the names behind [`ASYNC`].
const ROLES: [(Role, &str); 4] = [
    (Role::Leader, "IsLeader"),
    (Role::Follower, "IsFollower"),
    (Role::Observer, "IsObserver"),
    (Role::Standalone, "IsStandalone"),
];

const RESPONSE_TIME: &str = "ClickHouseHistogramMetrics_keeper_response_time_ms";

/// Operations of [`RESPONSE_TIME`], and what they are called here.
const OPERATIONS: [(&str, &str); 3] = [("readonly", "read"), ("write", "write"), ("multi", "multi")];

/// Takes in what ClickHouse Keeper's Prometheus endpoint answers. Asynchronous metrics, the role among them, are about a
/// second old.
///
/// # Errors
///
/// Those of [`parse`], and [`ParseError::Missing`] where no series is Keeper's.
pub fn prometheus(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let told = parse(answer)?;
    let number = |family: &str, name: &str| told.number(&format!("{family}{name}")).filter(|n| *n >= 0.0);
    if number(ASYNC, "ZnodeCount").or_else(|| number(METRICS, "AliveConnections")).is_none() {
        return Err(ParseError::Missing("ClickHouseAsyncMetrics_KeeperZnodeCount"));
    }
    sample.system.get_or_insert(Dialect::Keeper);
    take_roles(sample, &number);
    let whole_of = |name: &str| number(ASYNC, name).and_then(whole);
    if let (Some(term), Some(last), Some(committed)) =
        (whole_of("LastLogTerm"), whole_of("LastLogIdx"), whole_of("LastCommittedLogIdx"))
    {
        take_log(sample, term, last, committed);
    }
    sample.zxid = sample.zxid.or_else(|| whole_of("Zxid"));
    let families = [(ASYNC, &NUMBERS[..]), (METRICS, &GAUGES), (EVENTS, &COUNTERS)];
    for (family, names) in families {
        for (metric, name) in names {
            if let Some(value) = number(family, name) {
                sample.push(metric, value);
            }
        }
    }
    if let (Some(made), Some(applied)) =
        (number(EVENTS, "KeeperSnapshotCreationsFailed"), number(EVENTS, "KeeperSnapshotApplysFailed"))
    {
        sample.push(&catalog::SNAPSHOTS_FAILED, made + applied);
    }
    take_times(sample, &told, &number);
    Ok(())
}

/// Takes in the role, if there is just one, and what only leaders know: others tell 0.
fn take_roles(sample: &mut Sample, number: &impl Fn(&str, &str) -> Option<f64>) {
    let mut told = ROLES.iter().filter(|(_, name)| number(ASYNC, name) == Some(1.0));
    if let (Some((role, _)), None) = (told.next(), told.next()) {
        sample.serving.get_or_insert(true);
        take_role(sample, *role);
    }
    if sample.role != Some(Role::Leader) || number(ASYNC, "IsLeader") != Some(1.0) {
        return;
    }
    let synced = number(ASYNC, "SyncedFollowers").and_then(whole);
    sample.synced_followers = sample.synced_followers.or(synced);
    if let Some(followers) = number(ASYNC, "Followers") {
        sample.push(&catalog::LEARNERS, followers);
        sample.voters = sample.voters.or(whole(followers).map(|followers| followers + 1));
    }
}

/// Takes in times: sums of microseconds beside what they are of, and histograms of milliseconds.
fn take_times(sample: &mut Sample, told: &Scraped, number: &impl Fn(&str, &str) -> Option<f64>) {
    let sum_and_count = |sum: &str, count: &str| {
        let (sum, count) = (number(EVENTS, sum)?, number(EVENTS, count).and_then(whole)?);
        Some(Histogram { buckets: Vec::new(), count, sum: sum / MICROSECONDS })
    };
    // The time of the log's own syncs is there, too, but not how many they were.
    if let Some(syncs) = sum_and_count("FileSyncElapsedMicroseconds", "FileSync") {
        sample.push_histogram(&catalog::FSYNC_DURATION, &[], syncs);
    }
    if let Some(prepares) = sum_and_count("KeeperPreprocessElapsedMicroseconds", "KeeperCommits") {
        sample.push_histogram(&catalog::STAGE_DURATION, &["prepare"], prepares);
    }
    for (theirs, ours) in OPERATIONS {
        if let Some(times) = told.histogram(RESPONSE_TIME, &[("operation_type", theirs)]) {
            sample.push_histogram(&catalog::REQUEST_DURATION, &[ours], in_seconds(times));
        }
    }
}

/// A histogram of milliseconds in seconds.
fn in_seconds(times: Histogram) -> Histogram {
    let buckets = times.buckets.into_iter().map(|(bound, count)| (bound / MILLISECONDS, count)).collect();
    Histogram { buckets, count: times.count, sum: times.sum / MILLISECONDS }
}
