//! What a reader of the results should know, each with what would help.

use std::collections::BTreeMap;

use quorumeter_record::{
    Environment, GeneratorVerdict, LoopKind, Manifest, OpSummary, Quantiles, StopReason, Summary, stage,
};

use crate::calibration;
use crate::failover;
use crate::figures::{count, counted, decimal, duration, span};
use crate::tally::Tally;
use crate::timeline::Timeline;

/// What a closed loop's numbers are.
pub(crate) const CLOSED_LOOP: &str = "closed loop: latencies are of a client that slows down with the server";

/// The quantiles that reports show.
const SHOWN_QUANTILES: [&str; 4] = ["p50", "p90", "p99", "p999"];

/// What the warnings are told from.
pub(crate) struct Facts<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) summary: &'a Summary,
    pub(crate) timeline: &'a Timeline,
    pub(crate) tally: &'a Tally,
    /// How far the record reaches.
    pub(crate) end_ns: u64,
}

/// All warnings, the weightiest first.
pub(crate) fn warnings(facts: &Facts<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    how_it_ended(facts, &mut warnings);
    warnings.extend(facts.summary.failover.iter().flat_map(failover::warnings));
    what_was_left(facts, &mut warnings);
    // Of a failover measurement lost connections are what was asked for, and lateness is judged by the repetition.
    if facts.summary.failover.is_none() {
        generator(facts.summary, &mut warnings);
        closed_loops(facts.summary, &mut warnings);
        few_samples(facts.summary, &mut warnings);
        littles_law(facts.summary, &mut warnings);
        sessions(facts.timeline, &mut warnings);
    }
    read_only_members(facts.timeline, &mut warnings);
    names_of_two_families(facts.manifest, &mut warnings);
    watches(facts.summary, &mut warnings);
    if facts.manifest.tool.build == "debug" {
        warnings
            .push("this is a debug build, whose generator is many times slower: use --release".to_owned());
    }
    environment(&facts.manifest.environment, &mut warnings);
    calibrated(facts, &mut warnings);
    warnings.extend(facts.timeline.warnings.iter().cloned());
    warnings
}

fn how_it_ended(facts: &Facts<'_>, warnings: &mut Vec<String>) {
    let planned = span(facts.manifest.phases.measure_ns);
    if !facts.timeline.ended {
        warnings.push(format!(
            "the record is incomplete: it reaches to {}, and what was to come after that is missing; run again",
            duration(facts.end_ns as i64)
        ));
    }
    for stop in facts.timeline.stops.iter().filter(|s| s.reason == StopReason::Signal) {
        let detail = if stop.detail.is_empty() { String::new() } else { format!(" ({})", stop.detail) };
        warnings.push(format!(
            "the run was ended early by a signal{detail}: measured for {} s of {planned}",
            decimal(facts.summary.measured_s)
        ));
    }
}

fn generator(summary: &Summary, warnings: &mut Vec<String>) {
    if summary.generator.verdict == GeneratorVerdict::Limited {
        warnings.push(format!(
            "the load generator was the limit ({}): lower the rate, add workers with --set engine.workers=N, or run \
             the generator on another machine",
            summary.generator.reasons.join("; ")
        ));
    }
}

/// Ops that were not answered in time, or not at all.
fn what_was_left(facts: &Facts<'_>, warnings: &mut Vec<String>) {
    for (name, stream) in &facts.summary.streams {
        let account = &stream.accounting;
        if account.shed > 0 {
            warnings.push(format!(
                "stream {name}: {} of {} shed, because the backlog was full: lower --rate, or allow more in flight \
                 with the stream's `sessions` and `depth`",
                count(account.shed),
                counted(account.scheduled, "op"),
            ));
        }
        if account.unknown > 0 && facts.summary.failover.is_none() {
            warnings.push(format!(
                "stream {name}: the outcome of {} is unknown (no reply came, or the connection went first), so that \
                 writes among them may have been applied: see the sessions in events.ndjson",
                counted(account.unknown, "op"),
            ));
        }
        // Up to 10 ms of the schedule in the backlog is what a burst leaves behind.
        let waiting = facts.tally.streams.get(name).map_or(0, |s| s.waiting_after_warmup);
        let behind_s =
            stream.offered_rate.filter(|rate| *rate > 0.0).map_or(0.0, |rate| waiting as f64 / rate);
        if waiting >= 10 && behind_s > 0.01 {
            warnings.push(format!(
                "stream {name}: the warm-up ended with {} waiting, {} of the schedule, and the measured window \
                 starts with them: lower --rate, or lengthen --warmup if the target was only slow to start",
                counted(waiting, "op"),
                duration((behind_s * 1e9) as i64),
            ));
        }
    }
}

fn closed_loops(summary: &Summary, warnings: &mut Vec<String>) {
    let streams: Vec<&str> = summary
        .streams
        .iter()
        .filter(|(_, s)| s.loop_kind == LoopKind::Closed)
        .map(|(name, _)| name.as_str())
        .collect();
    if !streams.is_empty() {
        warnings.push(format!(
            "{} is a {CLOSED_LOOP}; set its `rate` (or --rate) to see what callers would wait",
            streams.join(", ")
        ));
    }
}

/// Quantiles that reports show and that cannot be told.
/// Why nothing of a kind may have ended, where that is worth a word.
fn nothing_ended(key: &str) -> Option<String> {
    let op = key.split_once('.').map_or(key, |(_, op)| op);
    let advice = match op {
        stage::WATCH_DELIVERY => "no watch event came: let a stream write to the watched keys",
        stage::PING => {
            "no ping was due: sessions ping after a third of their timeout; measure longer, or ask for a shorter \
             session_timeout"
        }
        stage::EXPIRY => {
            "no silent session was due to expire: measure longer than the session timeout, or ask for a shorter one"
        }
        // TLS is there only where it is used; the others come with ops that have lines of their own.
        op if stage::is_part(op) => return None,
        _ => "no operation ended: measure longer with --duration, or raise its weight in `mix`",
    };
    Some(format!("{key}: {advice}"))
}

fn few_samples(summary: &Summary, warnings: &mut Vec<String>) {
    let mut few = Vec::new();
    let mut needed_s: f64 = 0.0;
    for (key, op) in &summary.ops {
        let samples = op.response_ns.count;
        if ended(op) == 0 && summary.measured_s > 0.0 {
            warnings.extend(nothing_ended(key));
            continue;
        }
        if key.split_once('.').is_some_and(|(_, op)| stage::is_part(op)) {
            continue;
        }
        let missing = SHOWN_QUANTILES
            .iter()
            .find_map(|name| Some((*name, Quantiles::samples_needed(name).filter(|n| samples < *n)?)));
        if let Some((name, needed)) = missing.filter(|_| samples > 0) {
            few.push(format!(
                "{key} has {} of the {} for {}",
                count(samples),
                count(needed),
                shown_name(name)
            ));
            needed_s = needed_s.max(summary.measured_s * needed as f64 / samples as f64);
        }
    }
    if !few.is_empty() {
        warnings.push(format!(
            "too few samples for some quantiles ({}): measure longer, `[phases] measure` (or --duration) of about \
             {} s at this rate",
            few.join(", "),
            count(needed_s.ceil() as u64)
        ));
    }
}

fn ended(op: &OpSummary) -> u64 {
    op.ok + op.failed.values().sum::<u64>() + op.unknown + op.shed
}

/// `p99.9` for `p999`.
pub(crate) fn shown_name(statistic: &str) -> &str {
    match statistic {
        "p999" => "p99.9",
        "p9999" => "p99.99",
        name => name,
    }
}

fn littles_law(summary: &Summary, warnings: &mut Vec<String>) {
    let law = &summary.littles_law;
    if law.holds == Some(false) {
        warnings.push(format!(
            "Little's law is off by more than 5 %: {} in flight against {} from rate × service time, {} in the system \
             against {} from rate × response time. In a steady run both agree: measure longer, lengthen --warmup, or \
             lower the rate if the backlog grew",
            decimal(law.mean_in_flight),
            decimal(law.rate_times_mean_service),
            decimal(law.mean_in_system),
            decimal(law.rate_times_mean_response)
        ));
    }
}

fn sessions(timeline: &Timeline, warnings: &mut Vec<String>) {
    for (name, sessions) in &timeline.sessions {
        if sessions.expired > 0 {
            warnings.push(format!(
                "stream {name}: {} expired: raise its session timeout, or look at the members for what kept them",
                counted(sessions.expired, "session")
            ));
        }
        if sessions.lost > 0 {
            warnings.push(format!(
                "stream {name}: {} lost; events.ndjson says when and why",
                counted(sessions.lost, "connection")
            ));
        }
    }
}

fn read_only_members(timeline: &Timeline, warnings: &mut Vec<String>) {
    if timeline.read_only_members.is_empty() {
        return;
    }
    let members: Vec<&str> = timeline.read_only_members.iter().map(String::as_str).collect();
    let attached: u64 = timeline.sessions.values().map(|counts| counts.read_only).sum();
    let consequence = if attached > 0 {
        "what was read there may be old, and writes were refused with NotReadOnly"
    } else {
        "it refused the sessions of this run; --set client.read_only=true lets them attach to it"
    };
    warnings.push(format!("{} lost its quorum and became read-only: {consequence}", members.join(", ")));
}

/// A name that has addresses of IPv4 and of IPv6 is one server as a rule, and was counted as two members.
fn names_of_two_families(manifest: &Manifest, warnings: &mut Vec<String>) {
    let mut names: BTreeMap<&str, [bool; 2]> = BTreeMap::new();
    for member in manifest.target.iter().flat_map(|target| &target.members) {
        if let Some(name) = &member.name {
            names.entry(name).or_default()[usize::from(member.address.starts_with('['))] = true;
        }
    }
    let names: Vec<&str> =
        names.into_iter().filter(|(_, has)| *has == [true; 2]).map(|(name, _)| name).collect();
    if !names.is_empty() {
        warnings.push(format!(
            "each address counts as a member, and these names have some of IPv4 and of IPv6, which may be of one \
             server: {}; name a server in --target by the address at which its clients reach it",
            names.join(", ")
        ));
    }
}

fn watches(summary: &Summary, warnings: &mut Vec<String>) {
    for (name, watch) in &summary.watches {
        if watch.lost > 0 {
            warnings.push(format!(
                "stream {name}: {} that the server owed never came on an unbroken connection",
                counted(watch.lost, "watch event")
            ));
        }
        if watch.dropped > 0 {
            warnings.push(format!(
                "stream {name}: {} of the bounded log of writes and events dropped: lower the rate of the writers, \
                 or the number of `watchers`",
                counted(watch.dropped, "row")
            ));
        }
        if watch.unmatched > 0 {
            warnings.push(format!(
                "stream {name}: {} of {} could not be told by which write, and have no latency",
                count(watch.unmatched),
                counted(watch.events, "watch event")
            ));
        }
    }
}

fn environment(environment: &Environment, warnings: &mut Vec<String>) {
    let cores = f64::from(environment.cores);
    if let Some(cpus) = environment.cgroup_cpus.filter(|cpus| *cpus < cores) {
        warnings.push(format!(
            "the control group allows {} CPUs of {}, and throttles what goes beyond: raise its limit, or set \
             --set engine.workers=N below it",
            decimal(cpus),
            counted(u64::from(environment.cores), "core")
        ));
    }
    if let Some([load, ..]) = environment.load_average.filter(|[load, ..]| *load > cores / 2.0) {
        warnings.push(format!(
            "the load average was {} on {} before the run: other work shared the machine; repeat on a quiet one",
            decimal(load),
            counted(u64::from(environment.cores), "core")
        ));
    }
    if environment.governor.as_deref() == Some("powersave") {
        warnings.push(
            "the CPU frequency governor is powersave: latencies depend on the load itself; set it to performance"
                .to_owned(),
        );
    }
    if let Some(source) = environment.clock_source.as_deref().filter(|s| matches!(*s, "hpet" | "acpi_pm")) {
        warnings.push(format!(
            "the kernel's clock source is {source}: reading the clock takes microseconds; boot with a stable tsc"
        ));
    }
}

/// What the machine's calibration says of the run, or why it says nothing.
fn calibrated(facts: &Facts<'_>, warnings: &mut Vec<String>) {
    let environment = &facts.manifest.environment;
    warnings
        .extend(environment.calibration.as_ref().and_then(|note| calibration::advice(facts.summary, note)));
    if let Some(why) = &environment.calibration_unused {
        warnings.push(format!(
            "the calibration of this machine's generator does not count: {why}; `quorumeter calibrate` makes a new one"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use quorumeter_record::{CalibrationNote, LittlesLaw, WatchSummary};

    fn warned(change: impl FnOnce(&mut Manifest, &mut Summary, &mut Timeline, &mut Tally)) -> Vec<String> {
        let (mut manifest, mut summary) = (fixture::manifest(), fixture::summary());
        let mut timeline = Timeline { ended: true, ..Timeline::default() };
        let mut tally = Tally::default();
        change(&mut manifest, &mut summary, &mut timeline, &mut tally);
        warnings(&Facts {
            manifest: &manifest,
            summary: &summary,
            timeline: &timeline,
            tally: &tally,
            end_ns: 12_500_000_000,
        })
    }

    #[test]
    fn a_quiet_run_has_no_warnings() {
        assert_eq!(warned(|_, _, _, _| {}), [] as [&str; 0]);
    }

    #[test]
    fn each_warning_says_what_would_help() {
        type Change = fn(&mut Manifest, &mut Summary, &mut Timeline, &mut Tally);
        let cases: [(Change, &str, &str); 17] = [
            (|_, _, t, _| t.ended = false, "it reaches to 12.5 s", "run again"),
            (
                |_, s, _, _| {
                    s.generator.verdict = GeneratorVerdict::Limited;
                    s.generator.reasons = vec!["lag".to_owned()];
                },
                "the limit (lag)",
                "--set engine.workers=N",
            ),
            (
                |_, s, _, _| s.streams.get_mut("app").unwrap().accounting.shed = 7,
                "stream app: 7 of 20,000 ops shed",
                "`depth`",
            ),
            (
                |_, s, _, _| s.streams.get_mut("app").unwrap().accounting.unknown = 1,
                "the outcome of 1 op is unknown",
                "events.ndjson",
            ),
            (
                // 100 ops at 1,000 per second
                |_, _, _, t| t.streams.entry("app".to_owned()).or_default().waiting_after_warmup = 100,
                "with 100 ops waiting, 100 ms of the schedule",
                "--warmup",
            ),
            (
                |_, s, _, _| s.streams.get_mut("app").unwrap().loop_kind = LoopKind::Closed,
                "app is a closed loop: latencies are of a client that slows down with the server",
                "`rate`",
            ),
            (
                // 20 s had 8,000 of 10,000 samples: 25 s would have them.
                |_, s, _, _| s.ops.get_mut("app.read").unwrap().response_ns.count = 8_000,
                "app.read has 8,000 of the 10,000 for p99.9",
                "`[phases] measure` (or --duration) of about 25 s",
            ),
            (
                |_, s, _, _| {
                    s.littles_law = LittlesLaw { mean_in_flight: 2.0, holds: Some(false), ..s.littles_law };
                },
                "Little's law is off by more than 5 %: 2.00 in flight",
                "measure longer",
            ),
            (
                |_, _, t, _| t.sessions.entry("app".to_owned()).or_default().expired = 2,
                "stream app: 2 sessions expired",
                "session timeout",
            ),
            (
                |_, s, _, _| {
                    let watch = s.watches.get_mut("watchers").unwrap();
                    *watch = WatchSummary { lost: 3, ..watch.clone() };
                },
                "3 watch events that the server owed",
                "unbroken connection",
            ),
            (|m, _, _, _| m.tool.build = "debug".to_owned(), "debug build", "--release"),
            (
                |m, _, _, _| m.environment.cgroup_cpus = Some(1.5),
                "allows 1.50 CPUs of 4 cores",
                "raise its limit",
            ),
            (
                |m, _, _, _| m.environment.load_average = Some([3.0, 1.0, 1.0]),
                "the load average was 3.00 on 4 cores",
                "quiet",
            ),
            (
                |m, _, _, _| {
                    m.environment.calibration = Some(CalibrationNote {
                        calibrated: "2026-11-25T10:19:03.123Z".to_owned(),
                        workers: 8,
                        highest_rate: Some(1_000.0),
                        highest_rate_is_lower_bound: false,
                    });
                },
                "the highest rate of this machine's generator",
                "share the load between machines",
            ),
            (
                |m, _, _, _| m.environment.calibration_unused = Some("it is of another host".to_owned()),
                "does not count: it is of another host",
                "`quorumeter calibrate`",
            ),
            (|_, _, t, _| t.warnings.push("seen while it ran".to_owned()), "seen while it ran", ""),
            (
                |_, s, _, _| {
                    s.ops.get_mut("watchers.watch_delivery").unwrap().ok = 0;
                },
                "watchers.watch_delivery: no watch event came",
                "let a stream write",
            ),
        ];
        for (change, what, help) in cases {
            let warnings = warned(change);
            assert_eq!(warnings.len(), 1, "{what}: {warnings:?}");
            assert!(warnings[0].contains(what), "{what}: {warnings:?}");
            assert!(warnings[0].contains(help), "{help}: {warnings:?}");
        }
    }

    #[test]
    fn a_burst_at_the_end_of_the_warm_up_is_no_backlog() {
        let nine = |_: &mut Manifest, _: &mut Summary, _: &mut Timeline, tally: &mut Tally| {
            tally.streams.entry("app".to_owned()).or_default().waiting_after_warmup = 9;
        };
        assert_eq!(warned(nine), [] as [&str; 0]);
    }
}
