//! All repetitions together.

use std::collections::BTreeMap;

use quorumeter_record::{
    Counts, Durations, FailoverPlan, FailoverSummary, InvalidRepetition, PolicySummary, ProbeRole,
    RepetitionSummary, StreamInfo,
};

use super::metrics::PINNED;
use super::stats::{counts, durations, unseen_rate_upper};
use crate::figures::{count, counted, duration, span};

/// A share of failovers is told of these: that none was seen in so many says how rare it may be.
const UNSEEN: [&str; 3] = ["lost_acked_writes", "sessions_expired", "sessions_silently_replaced"];
/// An outage of fewer periods of the probes than this is told coarsely.
const FINE_PERIODS: u64 = 20;
/// A baseline's longest gap of so many periods or more is worth a word.
const GAP_PERIODS: u64 = 5;

/// Sums up the repetitions: statistics are over those that count.
pub(crate) fn summarise(
    plan: &FailoverPlan,
    streams: &[StreamInfo],
    repetitions: Vec<RepetitionSummary>,
    invalid: Vec<InvalidRepetition>,
) -> FailoverSummary {
    let valid = || repetitions.iter().filter(|repetition| repetition.valid);
    let mut policies: BTreeMap<String, PolicySummary> = BTreeMap::new();
    for probe in plan.probes.iter().filter(|probe| probe.role == ProbeRole::Write) {
        let group = if probe.member.is_some() { PINNED } else { &probe.policy };
        let sessions = streams.iter().find(|s| s.name == probe.stream).map_or(0, |s| s.sessions);
        policies.entry(group.to_owned()).or_default().clients += sessions;
    }
    let names: std::collections::BTreeSet<&String> = valid().flat_map(|r| r.values.keys()).collect();
    let (mut all_durations, mut all_counts) = (BTreeMap::new(), BTreeMap::new());
    for name in names {
        let values = valid().filter_map(|r| Some((*r.values.get(name)?, r.censored.contains(name))));
        let values: Vec<(u64, bool)> = values.collect();
        let (durations_of, counts_of, name) = match name.split_once('.') {
            Some((policy, name)) => {
                let policy = policies.entry(policy.to_owned()).or_default();
                (&mut policy.durations, &mut policy.counts, name)
            }
            None => (&mut all_durations, &mut all_counts, name.as_str()),
        };
        if name.ends_with("_ns") {
            durations_of.insert(name.to_owned(), durations(&values));
        } else {
            let values: Vec<u64> = values.into_iter().map(|(value, _)| value).collect();
            counts_of.insert(name.to_owned(), counts(&values));
        }
    }
    let valid = u32::try_from(valid().count()).unwrap_or(u32::MAX);
    FailoverSummary {
        fault: plan.fault.clone(),
        victim: plan.victim.clone(),
        planned: plan.repetitions,
        valid,
        invalid,
        probe_period_ns: plan.probe_period_ns,
        poll_period_ns: plan.poll_period_ns,
        unseen_rate_upper: unseen_rate_upper(valid).filter(|_| none_was_seen(&all_counts, valid)),
        durations: all_durations,
        counts: all_counts,
        policies,
        repetitions,
    }
}

/// Whether each of them was looked for in every repetition, and seen in none.
fn none_was_seen(counts: &BTreeMap<String, Counts>, valid: u32) -> bool {
    UNSEEN.iter().all(|name| {
        counts.get(*name).is_some_and(|counts| counts.total == 0 && counts.values.len() == valid as usize)
    })
}

/// Acknowledged writes that were lost, over all repetitions, those that do not count included.
pub(crate) fn lost_acked_writes(summary: &FailoverSummary) -> u64 {
    summary.repetitions.iter().filter_map(|repetition| repetition.values.get("lost_acked_writes")).sum()
}

/// Why nothing can be concluded, if so: fewer repetitions count than all but one.
pub(crate) fn too_few(summary: &FailoverSummary) -> Option<String> {
    let (valid, planned) = (summary.valid, summary.planned);
    if valid > 0 && valid + 1 >= planned {
        return None;
    }
    let begun = u32::try_from(summary.repetitions.len()).unwrap_or(u32::MAX);
    let mut reasons: Vec<String> = summary
        .invalid
        .iter()
        .map(|invalid| format!("{}: {}", invalid.repetition, invalid.reasons.join("; ")))
        .collect();
    match planned.saturating_sub(begun) {
        0 => {}
        1 => reasons.push("1 was not begun".to_owned()),
        missing => reasons.push(format!("{} were not begun", count(missing.into()))),
    }
    let of = format!("{} of {}", count(valid.into()), counted(planned.into(), "repetition"));
    let verb = if valid == 1 { "counts" } else { "count" };
    Some(format!("only {of} {verb} ({})", reasons.join(", ")))
}

/// What a reader of the numbers should know.
pub(crate) fn warnings(summary: &FailoverSummary) -> Vec<String> {
    let mut warnings = Vec::new();
    for invalid in &summary.invalid {
        warnings.push(format!(
            "repetition {} does not count: {}",
            invalid.repetition,
            invalid.reasons.join("; ")
        ));
    }
    let period_ns = summary.probe_period_ns;
    let median = |name: &str| summary.durations.get(name).and_then(|d: &Durations| d.median);
    if let Some(outage_ns) = median("write_outage_any_upper_ns")
        && outage_ns > 3 * period_ns
        && outage_ns < FINE_PERIODS * period_ns
    {
        warnings.push(format!(
            "the outage is of about {}, which probes of every {} tell coarsely: use a shorter probe period",
            duration(outage_ns as i64),
            span(period_ns)
        ));
    }
    let gap = summary.durations.get("baseline_ack_gap_any_ns").and_then(|gap| gap.max);
    if let Some(gap_ns) = gap.filter(|gap_ns| *gap_ns >= GAP_PERIODS * period_ns) {
        warnings.push(format!(
            "before the faults, too, up to {} went by without an acknowledged write: gaps of that length are this \
             machine's",
            duration(gap_ns as i64)
        ));
    }
    for (name, durations) in &summary.durations {
        let name = name.trim_end_matches("_ns");
        // Of two bounds one is enough.
        if durations.censored > 0 && !name.ends_with("_lower") {
            let of = format!("{} of {}", durations.censored, counted(durations.n.into(), "repetition"));
            warnings.push(match name {
                // It ends within the time that is watched after the rejoin, or is not told.
                "recovery_time" => format!("rate and latency were not as before by the end of {of}"),
                _ => format!("{} did not end in {of}: see --limit", name.trim_end_matches("_upper")),
            });
        }
    }
    if summary.valid > 0 && !summary.counts.contains_key("lost_acked_writes") {
        warnings.push("there was no audit, so that nothing is known of lost writes".to_owned());
    }
    let replaced = summary.counts.get("sessions_silently_replaced").map_or(0, |counts| counts.total);
    if replaced > 0 {
        warnings.push(format!(
            "{} became another one without having been told that it had expired: its ephemeral nodes and watches may \
             be gone unnoticed",
            counted(replaced, "session")
        ));
    }
    warnings
}
