//! What a failover measurement found, as rows and words for the formats that show it.

use std::collections::BTreeMap;

use quorumeter_record::{Counts, Durations, FailoverPlan, FailoverSummary, RepetitionSummary};

use super::drawing;
use super::table::{paragraph, table};
use super::wording::Fact;
use crate::Analysis;
use crate::figures::{UNTOLD, between, count, counted, duration, percent, span};

/// The groups of metrics and the metrics in them, in the order of a report. A pair of bounds stands under its common
/// name. What is not named here comes last.
const GROUPS: [(&str, &[&str]); 4] = [
    (
        "without the service",
        &[
            "ack_gap_any",
            "write_outage_any",
            "write_outage_every",
            "read_outage_any",
            "read_outage_every",
            "bad_time_total",
        ],
    ),
    ("as the member came back", &["rejoin_outage", "rejoin_outage_every", "rejoin_time"]),
    ("until all was as before", &["recovery_time", "watch_recovery", "ephemeral_removal"]),
    (
        PHASES,
        &[
            "injection",
            "detection",
            "election",
            "sync",
            "client_tail",
            "phases_residual",
            "members_election",
            "members_unavailable",
        ],
    ),
];
const PHASES: &str = "phases, by polls of members";
const POLICIES: &str = "the worst client by policy";
const OTHERS: &str = "besides";

/// What the names in the table mean.
const MEANING: &str = "ack_gap_any = the longest time without one acknowledged write; an outage = from the first op of a \
     probe that failed to the first of five good ones, between its bounds lower…upper: any = no client was served, every = \
     not all were; the interval is of the median, exact and free of any distribution";

/// A metric: one duration, or the lower and the upper bound of one.
pub(crate) struct Metric<'a> {
    /// As a gate names it, without a statistic.
    pub(crate) name: String,
    group: &'static str,
    low: &'a Durations,
    /// The only one where there is no pair.
    pub(crate) high: &'a Durations,
}

/// Every metric of a duration, in the order of a report: the headline first.
pub(crate) fn metrics(failover: &FailoverSummary) -> Vec<Metric<'_>> {
    let mut rest = paired(&failover.durations);
    let mut metrics = Vec::new();
    for (group, names) in GROUPS {
        for name in names {
            if let Some(at) = rest.iter().position(|(other, ..)| other == name) {
                let (name, low, high) = rest.remove(at);
                metrics.push(Metric { name, group, low, high });
            }
        }
        // Policies are part of the headline.
        if group == GROUPS[0].0 {
            for (policy, summary) in &failover.policies {
                metrics.extend(paired(&summary.durations).into_iter().map(|(name, low, high)| Metric {
                    name: format!("{policy}.{name}"),
                    group: POLICIES,
                    low,
                    high,
                }));
            }
        }
    }
    metrics.extend(rest.into_iter().map(|(name, low, high)| Metric { name, group: OTHERS, low, high }));
    metrics
}

/// Whether a metric is of what clients went through, and not only there to explain it.
pub(crate) fn is_judged(metric: &Metric<'_>) -> bool {
    metric.group != PHASES && metric.group != OTHERS
}

/// Names without their unit; `…_lower` and `…_upper` become one.
fn paired(durations: &BTreeMap<String, Durations>) -> Vec<(String, &Durations, &Durations)> {
    let bound = |stem: &str, which: &str| durations.get(&format!("{stem}_{which}_ns"));
    durations
        .iter()
        .filter_map(|(key, value)| {
            let name = key.strip_suffix("_ns").unwrap_or(key);
            if let Some(stem) = name.strip_suffix("_lower")
                && let Some(upper) = bound(stem, "upper")
            {
                return Some((stem.to_owned(), value, upper));
            }
            let is_told = name.strip_suffix("_upper").is_some_and(|stem| bound(stem, "lower").is_some());
            (!is_told).then(|| (name.to_owned(), value, value))
        })
        .collect()
}

/// The counts, those of policies by `<policy>.<count>` where there is anything to tell.
pub(super) fn counts(failover: &FailoverSummary) -> Vec<(String, &Counts)> {
    let of_policies = failover.policies.iter().flat_map(|(policy, summary)| {
        let told = summary.counts.iter().filter(|(_, counts)| counts.total > 0);
        told.map(move |(name, counts)| (format!("{policy}.{name}"), counts))
    });
    failover.counts.iter().map(|(name, counts)| (name.clone(), counts)).chain(of_policies).collect()
}

/// A statistic of durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    Min,
    Median,
    Max,
}

impl Statistic {
    /// What is told of it.
    fn of(self, durations: &Durations) -> Option<u64> {
        match self {
            Statistic::Min => durations.min,
            Statistic::Median => durations.median,
            Statistic::Max => durations.max,
        }
    }

    /// What it is at least: itself, were every time that did not end as long as the limit that it exceeds.
    fn bound(self, durations: &Durations) -> Option<u64> {
        let mut values = durations.values.clone();
        values.sort_unstable();
        let last = values.len().checked_sub(1)?;
        Some(match self {
            Statistic::Min => values[0],
            Statistic::Median => u64::midpoint(values[last / 2], values[last.div_ceil(2)]),
            Statistic::Max => values[last],
        })
    }

    /// `475 ms`, `> 60.0 s` where it did not end while it was watched, `-` without values.
    pub(super) fn shown(self, durations: &Durations) -> String {
        match (self.of(durations), self.bound(durations)) {
            (Some(ns), _) => nanoseconds(ns),
            (None, None) => UNTOLD.to_owned(),
            (None, Some(ns)) => {
                let ended = |i: usize| !durations.censored_at.iter().any(|at| *at as usize == i);
                let may_be_it =
                    durations.values.iter().enumerate().any(|(i, value)| *value == ns && ended(i));
                format!("{} {}", if may_be_it { "≥" } else { ">" }, nanoseconds(ns))
            }
        }
    }
}

fn nanoseconds(ns: u64) -> String {
    duration(i64::try_from(ns).unwrap_or(i64::MAX))
}

impl Metric<'_> {
    fn is_pair(&self) -> bool {
        !std::ptr::eq(self.low, self.high)
    }

    /// The statistic, of a pair as `lower…upper`.
    pub(super) fn shown(&self, statistic: Statistic) -> String {
        let high = statistic.shown(self.high);
        if self.is_pair() { between(&statistic.shown(self.low), &high) } else { high }
    }

    /// The interval of the median with its coverage; of a pair from the lower one's low end to the upper one's high end.
    pub(super) fn interval(&self) -> String {
        if self.high.n == 0 {
            return UNTOLD.to_owned();
        }
        let (Some((low, _)), Some((_, high))) = (self.low.median_ci, self.high.median_ci) else {
            return "n too small".to_owned();
        };
        let high = match high {
            Some(ns) => nanoseconds(ns),
            None => Statistic::Max.shown(self.high),
        };
        let coverage = self.high.median_ci_coverage.map_or(String::new(), |c| format!(" ({})", percent(c)));
        format!("{}{coverage}", between(&nanoseconds(low), &high))
    }

    /// How many there are, and how many of them did not end while they were watched.
    pub(super) fn n(&self) -> String {
        match self.high.censored {
            0 => count(u64::from(self.high.n)),
            censored => format!("{} ({censored})", count(u64::from(self.high.n))),
        }
    }
}

/// What was done to whom, how often, and how finely it was looked at.
pub(super) fn setting(failover: &FailoverSummary) -> Vec<Fact> {
    vec![
        (
            "Failover",
            format!(
                "{} of {}: {} valid of {} planned",
                failover.fault,
                victim(&failover.victim),
                count(u64::from(failover.valid)),
                counted(u64::from(failover.planned), "repetition")
            ),
        ),
        (
            "Resolution",
            format!(
                "probes every {}, polls every {}",
                span(failover.probe_period_ns),
                span(failover.poll_period_ns)
            ),
        ),
    ]
}

/// Whom it is done to, in words.
pub(super) fn victim(victim: &str) -> String {
    match victim {
        "leader" => "the leader".to_owned(),
        "follower" | "observer" => format!("a {victim}").replace("a o", "an o"),
        "any" => "any member".to_owned(),
        "minority" | "majority" => format!("a {victim} of the members"),
        number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            format!("member {number}")
        }
        other => other.to_owned(),
    }
}

/// The probes that were at work, in a line instead of one per stream.
pub(super) fn probes(plan: &FailoverPlan) -> String {
    let mut kinds: Vec<(String, u32)> = Vec::new();
    for probe in &plan.probes {
        let role = serde_json::to_value(probe.role).ok();
        let role = role.as_ref().and_then(|role| role.as_str()).unwrap_or_default();
        let place = if probe.member.is_some() { "pinned to a member each" } else { "at any member" };
        let kind = format!("{role}, {place}, policy {}", probe.policy);
        match kinds.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, n)) => *n += 1,
            None => kinds.push((kind, 1)),
        }
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, n)| format!("{n} × {kind}")).collect();
    kinds.join("; ")
}

/// Why some repetitions do not count.
pub(super) fn invalid(failover: &FailoverSummary) -> Vec<String> {
    let told = |repetition: u32, reasons: &[String]| {
        format!("repetition {repetition} does not count: {}", reasons.join("; "))
    };
    failover.invalid.iter().map(|invalid| told(invalid.repetition, &invalid.reasons)).collect()
}

/// What it means that nothing was lost in so few failovers.
pub(super) fn unseen(failover: &FailoverSummary) -> Option<String> {
    let upper = failover.unseen_rate_upper?;
    Some(format!(
        "lost writes, expired sessions and silent replacements: 0 of {}; up to {} of failovers could still have one, at 95 %",
        count(u64::from(failover.valid)),
        percent(upper)
    ))
}

/// The section of the text report: what was found, then a drawing of each repetition in so many columns.
pub(super) fn section(analysis: &Analysis, failover: &FailoverSummary, columns: usize) -> String {
    let mut out = duration_table(failover);
    out.push_str(&paragraph("", 0, MEANING));
    if metrics(failover).iter().any(|metric| metric.high.censored > 0) {
        out.push_str(
            "n (m): m of the n did not end while they were watched, and count as longer than all others\n",
        );
    }
    let counted = counts(failover);
    if !counted.is_empty() {
        out.push('\n');
        let each = |counts: &Counts| counts.values.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        let rows = counted.iter().map(|(name, counts)| vec![name.clone(), each(counts), count(counts.total)]);
        out.push_str(&table(&["count", "in each repetition", "total"], 2, rows.collect()));
    }
    if let Some(unseen) = unseen(failover) {
        out.push_str(&paragraph("", 0, &unseen));
    }
    let invalid = invalid(failover);
    if !invalid.is_empty() {
        out.push_str("\nNot counted\n");
        for text in &invalid {
            out.push_str(&paragraph("  -", 4, text));
        }
    }
    out.push_str(&timelines(analysis, failover, columns));
    out
}

fn duration_table(failover: &FailoverSummary) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut group = "";
    for metric in metrics(failover) {
        if metric.group != group {
            group = metric.group;
            rows.push(vec![group.to_owned()]);
        }
        rows.push(vec![
            format!("  {}", metric.name),
            metric.shown(Statistic::Min),
            metric.shown(Statistic::Median),
            metric.interval(),
            metric.shown(Statistic::Max),
            metric.n(),
        ]);
    }
    table(&["metric", "min", "median", "95 % interval", "max", "n"], 1, rows)
}

/// The drawn repetitions under what is to be said of each.
pub(super) fn timelines(analysis: &Analysis, failover: &FailoverSummary, columns: usize) -> String {
    if analysis.pictures.is_empty() {
        return String::new();
    }
    let mut out = format!("\nTimelines     {}\n", drawing::LEGEND);
    for picture in &analysis.pictures {
        out.push('\n');
        if let Some(of_it) = failover.repetitions.iter().find(|r| r.repetition == picture.repetition) {
            out.push_str(&headline(of_it, failover.planned));
        }
        out.push_str(&drawing::draw(picture, failover.probe_period_ns, columns));
    }
    out
}

fn headline(repetition: &RepetitionSummary, planned: u32) -> String {
    let value = |name: &str| {
        let ns = repetition.values.get(name)?;
        let mark = if repetition.censored.iter().any(|censored| censored == name) { "> " } else { "" };
        Some(format!("{mark}{}", nanoseconds(*ns)))
    };
    let pair = |name: &str| {
        Some(between(&value(&format!("{name}_lower_ns"))?, &value(&format!("{name}_upper_ns"))?))
    };
    let mut told = vec![format!("hit {}", repetition.victims.join(", "))];
    told.extend(value("ack_gap_any_ns").map(|text| format!("ack gap {text}")));
    told.extend(pair("write_outage_any").map(|text| format!("write outage {text}")));
    told.extend(value("rejoin_outage_ns").map(|text| format!("rejoin outage {text}")));
    if !repetition.valid {
        told.push("NOT COUNTED".to_owned());
    }
    let label = format!("Repetition {} of {planned}:", repetition.repetition);
    let mut out = paragraph(&label, label.len() + 1, &told.join(", "));
    for note in &repetition.notes {
        out.push_str(&paragraph("  -", 4, note));
    }
    out
}
