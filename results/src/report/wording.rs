//! The facts of a report in words, the same for every format that is read by people.

use quorumeter_record::{
    Accounting, GateOutcome, GeneratorVerdict, LoopKind, Manifest, OpSummary, Quantiles, StreamInfo, Summary,
    TargetInfo, Verdict, WatchSummary, stage,
};

use super::{failover, lives};
use crate::Analysis;
use crate::calibration::Comparison;
use crate::figures::{bytes, count, counted, decimal, duration, percent, rate, span, statistic};
use crate::timeline::SessionCounts;
use crate::warnings::CLOSED_LOOP;

/// A label, and what is to be said under it.
pub(super) type Fact = (&'static str, String);

/// Why a rate times the window is not the count beside it.
pub(super) const RATE: &str =
    "rate = ok replies inside the measured window ÷ its length; ok has those of the drain, too";

/// The verdict in words.
pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::GateFailed => "GATE FAILED",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Error => "ERROR",
        Verdict::Unsafe => "UNSAFE",
    }
}

/// A gate's outcome in a word.
pub(super) fn outcome(outcome: GateOutcome) -> &'static str {
    match outcome {
        GateOutcome::Passed => "passed",
        GateOutcome::Failed => "FAILED",
        GateOutcome::Inconclusive => "INCONCLUSIVE",
    }
}

/// What stands above everything else when the generator was the limit.
pub(super) fn limited(summary: &Summary) -> Option<String> {
    (summary.generator.verdict == GeneratorVerdict::Limited).then(|| {
        format!(
            "GENERATOR LIMITED: these are not the server's numbers: {}",
            summary.generator.reasons.join("; ")
        )
    })
}

/// The workload's name.
pub(super) fn workload(manifest: &Manifest) -> &str {
    manifest.workload.get("name").and_then(|name| name.as_str()).unwrap_or("workload without a name")
}

/// What was measured, how, and for how long.
pub(super) fn setting(analysis: &Analysis) -> Vec<Fact> {
    let manifest = &analysis.manifest;
    let tool = &manifest.tool;
    let mut facts = vec![(
        "Run",
        format!(
            "{}, {}, with quorumeter {} ({} build)",
            workload(manifest),
            manifest.run_id,
            tool.version,
            tool.build
        ),
    )];
    match &manifest.target {
        Some(target) => {
            facts.push(("Target", what_was_measured(target)));
            facts.push(("", format!("{} at {}", target.root, target.url)));
            if target.on_this_machine {
                let cores = counted(u64::from(manifest.environment.cores), "core");
                facts.push(("Machine", format!("server and generator share this machine's {cores}")));
            }
        }
        None => facts.push(("Target", "did not answer".to_owned())),
    }
    let plan = manifest.failover.as_ref();
    facts.extend(plan.map(|plan| ("Probes", failover::probes(plan))));
    let is_probe =
        |info: &StreamInfo| plan.is_some_and(|plan| plan.probes.iter().any(|p| p.stream == info.name));
    let streams = manifest.streams.iter().filter(|info| !is_probe(info));
    facts.extend(streams.map(|info| ("Stream", stream(info, &analysis.summary))));
    facts.push(("Phases", phases(analysis)));
    facts
}

fn what_was_measured(target: &TargetInfo) -> String {
    let mut members = counted(target.members.len() as u64, "member");
    let observers = target.members.iter().filter(|member| member.role.as_deref() == Some("observer")).count();
    if observers > 0 {
        members = format!("{members} ({})", counted(observers as u64, "observer"));
    }
    let what = match target.launched.as_deref() {
        Some("embedded") => format!("embedded ensemble of {members}"),
        Some("null") => format!("null server ({members}), which answers without doing anything"),
        Some(kind) => format!("{kind} ensemble of {members}, launched here"),
        None => {
            let place = if target.on_this_machine { "on this machine" } else { "remote" };
            if target.is_own_server() {
                format!("quorumeter's own server (embedded or null), ensemble of {members}, {place}")
            } else {
                format!("{} ensemble of {members}, {place}", target.system)
            }
        }
    };
    let mut versions: Vec<&str> = target.members.iter().filter_map(|m| m.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    let versions = if versions.is_empty() {
        "version unknown".to_owned()
    } else {
        format!("version {}", versions.join(", "))
    };
    let session_timeout = span(target.session_timeout_ns);
    format!("{what}, {versions}, durability: {}, session timeout {session_timeout}", target.fsync)
}

fn stream(info: &StreamInfo, summary: &Summary) -> String {
    let sessions = counted(u64::from(info.sessions), "session");
    let (name, policy) = (&info.name, &info.policy);
    match info.loop_kind {
        LoopKind::Watch => match &info.watch {
            Some(watch) => format!(
                "{name}: {} watches, {} on each of {}, {sessions}, policy {policy}",
                watches_of(&watch.kind, &watch.on),
                watch.watchers,
                counted(watch.paths, "path")
            ),
            None => format!("{name}: watches, {sessions}, policy {policy}"),
        },
        LoopKind::Idle => format!("{name}: {sessions}, kept alive"),
        LoopKind::Closed => {
            format!("{name}: {CLOSED_LOOP}; {sessions} × depth {}, policy {policy}", info.depth)
        }
        LoopKind::Open | LoopKind::Mixed => format!(
            "{name}: open loop, {}, {sessions} × depth {}, policy {policy}",
            offered(info.offered_rate, summary.streams.get(&info.name).and_then(|s| s.offered_rate)),
            info.depth
        ),
    }
}

/// What the workload asks for, and what the schedule came to in the window as it was.
fn offered(planned: Option<f64>, released: Option<f64>) -> String {
    let planned = planned.map(|planned| format!("{} planned", rate(planned)));
    let released = released.map(|released| format!("{} released", rate(released)));
    planned.into_iter().chain(released).collect::<Vec<_>>().join(", ")
}

fn phases(analysis: &Analysis) -> String {
    let planned = &analysis.manifest.phases;
    let measured = match analysis.window {
        Some(window) => format!("measured {}", span(window.length_ns())),
        None => "not measured at all".to_owned(),
    };
    let warmup = span(analysis.warmup_ns);
    if analysis.summary.failover.is_some() {
        // How long it takes follows from its repetitions; what was planned is no more than the longest that it may.
        return format!("warm-up {warmup}, {measured}, intervals of {}", span(analysis.manifest.interval_ns));
    }
    format!(
        "warm-up {warmup} of {} planned, {measured} of {} planned, intervals of {}",
        span(planned.warmup_ns),
        span(planned.measure_ns),
        span(analysis.manifest.interval_ns)
    )
}

/// What came of it: everything that is no table.
pub(super) fn findings(analysis: &Analysis) -> Vec<Fact> {
    let summary = &analysis.summary;
    let mut facts = Vec::new();
    facts.extend(analysis.manifest.streams.iter().filter_map(|info| Some(("Mix", mix(info, summary)?))));
    facts.extend(keys(summary));
    facts.extend(values(summary));
    facts.extend(in_flight(analysis));
    facts.extend(backlogs(summary));
    facts.extend(failed(summary));
    facts.extend(watches(summary));
    facts.extend(writers(summary));
    facts.extend(lives::facts(analysis));
    let told = analysis.sessions.iter().filter(|(name, _)| !summary.sessions.contains_key(*name));
    facts.extend(told.map(|(name, counts)| ("Sessions", sessions(name, counts))));
    facts.extend(accounting(&summary.accounting).map(|text| ("Accounting", text)));
    facts.extend(littles_law(summary).map(|text| ("Little's law", text)));
    facts.extend(generator(summary).map(|text| ("Generator", text)));
    facts.extend(calibration(analysis).map(|text| ("Generator", text)));
    facts
}

/// Whether all ops are accounted for, and what the generator itself did.
pub(super) fn books(summary: &Summary) -> Vec<Fact> {
    let mut facts = Vec::from(accounting(&summary.accounting).map(|text| ("Accounting", text)));
    facts.extend(generator(summary).map(|text| ("Generator", text)));
    facts
}

/// The mix as measured, over ops that ended.
fn mix(info: &StreamInfo, summary: &Summary) -> Option<String> {
    let ops = || {
        let named = info.ops.iter().filter(|op| !stage::is_observed(&op.op));
        named.filter_map(|op| Some((&op.op, ended(summary.ops.get(&format!("{}.{}", info.name, op.op))?))))
    };
    let total: u64 = ops().map(|(_, ended)| ended).sum();
    if total == 0 {
        return None;
    }
    let shares: Vec<String> =
        ops().map(|(op, ended)| format!("{op} {}", percent(ended as f64 / total as f64))).collect();
    Some(format!("{}: {} of {} as measured", info.name, shares.join(", "), counted(total, "op")))
}

/// Ops that ended, in whatever way.
pub(super) fn ended(op: &OpSummary) -> u64 {
    op.ok + failed_ops(op) + op.unknown + op.shed
}

/// Ops that failed for certain, with any code.
pub(super) fn failed_ops(op: &OpSummary) -> u64 {
    op.failed.values().sum()
}

fn keys(summary: &Summary) -> impl Iterator<Item = Fact> {
    summary.streams.iter().filter_map(|(name, stream)| {
        let keys = stream.keys?;
        let text = format!(
            "{name}: {} of {} used; the hottest took {} of the ops, the top 1 % {}, the top 10 % {}",
            count(keys.touched),
            counted(keys.keys, "key"),
            percent(keys.hottest_share),
            percent(keys.top_1_percent_share),
            percent(keys.top_10_percent_share)
        );
        Some(("Keys", text))
    })
}

fn values(summary: &Summary) -> impl Iterator<Item = Fact> {
    summary.ops.iter().filter(|(_, op)| op.value_bytes.count > 0).map(|(key, op)| {
        let sizes = &op.value_bytes;
        let (min, max) = (bytes(sizes.min as f64), bytes(sizes.max as f64));
        let text = if sizes.min == sizes.max {
            format!("{key}: {min} each")
        } else {
            format!("{key}: {min} to {max}, mean {}", bytes(sizes.sum as f64 / sizes.count as f64))
        };
        ("Values", text)
    })
}

fn in_flight(analysis: &Analysis) -> Option<Fact> {
    let ops: Vec<String> = analysis
        .summary
        .ops
        .iter()
        .filter(|(_, op)| op.in_flight_at_send.max > 0)
        .map(|(key, op)| {
            let (mean, max) = (decimal(op.in_flight_at_send.mean), count(op.in_flight_at_send.max));
            format!("{key} {mean} (at most {max})")
        })
        .collect();
    (!ops.is_empty())
        .then(|| ("Pipelining", format!("in flight in its session when an op was sent: {}", ops.join(", "))))
}

fn backlogs(summary: &Summary) -> impl Iterator<Item = Fact> {
    let issuing = summary
        .streams
        .iter()
        .filter(|(_, stream)| !matches!(stream.loop_kind, LoopKind::Watch | LoopKind::Idle));
    issuing.map(|(name, stream)| {
        let open = counted(stream.backlog_at_warmup_end, "op");
        ("Backlog", format!("{name}: {open} waiting or in flight when the warm-up ended"))
    })
}

fn failed(summary: &Summary) -> impl Iterator<Item = Fact> {
    summary.ops.iter().filter(|(_, op)| !op.failed.is_empty()).map(|(key, op)| {
        let codes: Vec<String> = op.failed.iter().map(|(code, n)| format!("{code} {}", count(*n))).collect();
        ("Failed", format!("{key}: {}", codes.join(", ")))
    })
}

fn watches(summary: &Summary) -> impl Iterator<Item = Fact> {
    summary.watches.iter().flat_map(|(name, watch)| {
        let counts = [
            ("matched to their write", watch.matched),
            ("unmatched", watch.unmatched),
            ("of writes of unknown outcome", watch.of_unknown),
            ("merged", watch.merged),
            ("lost", watch.lost),
            ("duplicate", watch.duplicate),
            ("interrupted", watch.interrupted),
            ("dropped", watch.dropped),
        ];
        let counts: Vec<String> = counts.iter().map(|(what, n)| format!("{} {what}", count(*n))).collect();
        let events = format!(
            "{name}: {} watches, {} on each of {}: {}: {}",
            watches_of(&watch.kind, &watch.on),
            watch.watchers,
            counted(watch.paths, "path"),
            counted(watch.events, "event"),
            counts.join(", ")
        );
        let after_ack = (watch.after_ack_ns.count > 0).then(|| {
            let quantiles = quantiles(&watch.after_ack_ns, &["min", "p50", "p99", "max"]);
            (
                "",
                format!("received after the writer's own acknowledgement: {quantiles} (negative: before it)"),
            )
        });
        [("Watches", events)].into_iter().chain(after_ack).chain(fan_out(watch))
    })
}

/// What kind of watches, on what.
fn watches_of(kind: &str, on: &str) -> String {
    if on == "data" { kind.to_owned() } else { format!("{kind} {on}") }
}

/// How a write reached the watchers of its node, rank by rank.
fn fan_out(watch: &WatchSummary) -> Option<Fact> {
    let fan_out = &watch.fan_out;
    if fan_out.complete + fan_out.incomplete + fan_out.unknown_writes == 0 {
        return None;
    }
    let mut told = format!(
        "every watcher was told of {}, not every one of {} more",
        counted(fan_out.complete, "write"),
        count(fan_out.incomplete)
    );
    if fan_out.unknown_writes > 0 {
        told += &format!("; {} of unknown outcome besides", count(fan_out.unknown_writes));
    }
    if fan_out.complete == 0 {
        return Some(("", told));
    }
    let ranks = [("first", &fan_out.first_ns), ("median", &fan_out.median_ns), ("last", &fan_out.last_ns)]
        .map(|(name, times)| format!("{name} {}", quantiles(times, &["p50", "p90", "p99", "max"])));
    let text = format!("{told}; from a write's intended time on: {}", ranks.join("; "));
    Some(("", text))
}

/// Where the writers' own latency stands, which the watchers may have made worse.
fn writers(summary: &Summary) -> Option<Fact> {
    let changes = |op: &str| matches!(op, "write" | "write_cas" | "create_child") || op.starts_with("multi(");
    let keys: Vec<&str> = summary
        .ops
        .keys()
        .filter(|key| key.split_once('.').is_some_and(|(_, op)| changes(op)))
        .map(String::as_str)
        .collect();
    (!summary.watches.is_empty() && !keys.is_empty())
        .then(|| ("", format!("what the watchers cost the writers is in the latency of {}", keys.join(", "))))
}

pub(super) fn quantiles(quantiles: &Quantiles, names: &[&str]) -> String {
    let told: Vec<String> =
        names.iter().map(|name| format!("{name} {}", statistic(quantiles, name))).collect();
    told.join(", ")
}

fn sessions(stream: &str, counts: &SessionCounts) -> String {
    let counts: Vec<String> = [
        ("connected", counts.connected),
        ("lost their connection", counts.lost),
        ("reattached", counts.reattached),
        ("moved to another member", counts.moved),
        ("expired", counts.expired),
        ("failed attempts to connect", counts.connect_failed),
        ("attached to a read-only member", counts.read_only),
    ]
    .iter()
    .filter(|(what, n)| *n > 0 || matches!(*what, "lost their connection" | "expired"))
    .map(|(what, n)| format!("{} {what}", count(*n)))
    .collect();
    format!("{stream}: {}", counts.join(", "))
}

fn accounting(account: &Accounting) -> [String; 3] {
    let balanced = if account.balanced { "balanced" } else { "NOT BALANCED" };
    [
        format!(
            "scheduled {} = sent {} + shed {} + waiting {}",
            count(account.scheduled),
            count(account.sent),
            count(account.shed),
            count(account.waiting)
        ),
        format!(
            "sent {} = ok {} + failed {} + unknown {} + in flight {}",
            count(account.sent),
            count(account.ok),
            count(account.failed),
            count(account.unknown),
            count(account.in_flight)
        ),
        format!("{balanced}; {} handed over from warm-up to drain", counted(account.requests, "request")),
    ]
}

fn littles_law(summary: &Summary) -> [String; 2] {
    let law = &summary.littles_law;
    let holds = match law.holds {
        Some(true) => "holds within 5 %",
        Some(false) => "IS OFF by more than 5 % (one pair or both)",
        None => "too few ops, or too many across the window's edges, to tell",
    };
    [
        format!(
            "{} in flight against {} from rate × service time",
            decimal(law.mean_in_flight),
            decimal(law.rate_times_mean_service)
        ),
        format!(
            "{} in the system against {} from rate × response time: {holds}",
            decimal(law.mean_in_system),
            decimal(law.rate_times_mean_response)
        ),
    ]
}

fn generator(summary: &Summary) -> [String; 2] {
    let generator = &summary.generator;
    let lag = if generator.schedule_lag_ns.count == 0 {
        "no schedule, and so no lag".to_owned()
    } else {
        format!("schedule lag {}", quantiles(&generator.schedule_lag_ns, &["p50", "p99", "max"]))
    };
    let per_op =
        generator.cpu_per_op_ns.map_or(String::new(), |ns| format!(", {} per op", duration(ns as i64)));
    let cpu = format!(
        "CPU {}{per_op}; the busiest of {} used {} of its core",
        duration((generator.cpu_s * 1e9) as i64),
        counted(u64::from(generator.workers), "worker"),
        percent(generator.busiest_worker)
    );
    [lag, cpu]
}

/// What the machine's calibration says of a run at this rate.
fn calibration(analysis: &Analysis) -> Option<String> {
    let note = analysis.manifest.environment.calibration.as_ref()?;
    let highest = match note.highest_rate {
        Some(highest) if note.highest_rate_is_lower_bound => format!("at least {}", rate(highest)),
        Some(highest) => rate(highest),
        None => "none held".to_owned(),
    };
    let comparison = Comparison::of(&analysis.summary, note);
    let offered =
        comparison.offered.map_or(String::new(), |offered| format!("offered {} and ", rate(offered)));
    let share = comparison.share.map_or(String::new(), |share| format!(", {} of that", percent(share)));
    Some(format!(
        "this machine's generator was calibrated at {} with {} and reads: highest rate {highest}; this run {offered}did \
         {} with {}{share}",
        minute(&note.calibrated),
        counted(u64::from(note.workers), "worker"),
        rate(comparison.done),
        counted(u64::from(analysis.summary.generator.workers), "worker"),
    ))
}

/// A time in RFC 3339, UTC, to the minute: `2026-11-25 10:19 UTC`.
pub(super) fn minute(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..16)) {
        (Some(date), Some(time)) => format!("{date} {time} UTC"),
        _ => rfc3339.to_owned(),
    }
}
