//! What a pipeline wants to know of a record, case by case: every gate, and every check that numbers must pass before
//! they can be believed.

use quorumeter_record::{
    FailoverSummary, FaultStage, GateOutcome, GeneratorVerdict, StopReason, Summary, Verdict,
};

use super::wording;
use crate::Analysis;
use crate::figures::counted;

/// How a pipeline takes what cannot be concluded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Inconclusive {
    /// As a failure: what was to be shown was not shown.
    #[default]
    Fail,
    /// As a warning.
    Warn,
}

impl Inconclusive {
    /// The verdict on a record as a pipeline takes it. Where what cannot be concluded is a warning, a gate that fails
    /// beside it still fails.
    pub fn verdict(self, analysis: &Analysis) -> Verdict {
        let summary = &analysis.summary;
        match (self, summary.verdict) {
            (Inconclusive::Warn, Verdict::Inconclusive) => {
                let failed = summary.gates.iter().any(|gate| gate.outcome == GateOutcome::Failed);
                let aborted = summary.generator.verdict == GeneratorVerdict::Ok
                    && analysis.stops.iter().any(|stop| stop.reason == StopReason::Abort);
                if failed || aborted { Verdict::GateFailed } else { Verdict::Pass }
            }
            (_, verdict) => verdict,
        }
    }
}

/// A gate or a check, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    /// What was to hold.
    pub(super) name: String,
    /// `gate` or `check`.
    pub(super) class: &'static str,
    pub(super) outcome: Outcome,
    /// In words; may be empty of what holds.
    pub(super) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// A gate or a guarantee does not hold.
    Failed,
    /// The environment or the tool failed.
    Error,
    /// It cannot be told.
    Inconclusive,
    /// It was not done, and does not count.
    Skipped,
}

/// What a record is called in a pipeline: its workload or its fault, and its target.
pub(super) fn title(analysis: &Analysis) -> String {
    let what = match &analysis.summary.failover {
        Some(failover) => format!("failover {} {}", failover.fault, failover.victim),
        None => wording::workload(&analysis.manifest).to_owned(),
    };
    match &analysis.manifest.target {
        Some(target) => format!("{what} on {}:{}", target.kind(), target.members.len()),
        None => what,
    }
}

/// The cases of a record: the verdict, its checks, its gates. None is there that was not looked at.
pub(super) fn cases(analysis: &Analysis) -> Vec<Case> {
    let summary = &analysis.summary;
    let mut cases = vec![verdict(analysis), complete(summary), balanced(summary)];
    match &summary.failover {
        None => cases.push(generator(summary)),
        Some(failover) => cases.extend(failover_checks(analysis, failover)),
    }
    cases.extend(summary.gates.iter().map(|gate| Case {
        name: gate.gate.clone(),
        class: "gate",
        outcome: match gate.outcome {
            GateOutcome::Passed => Outcome::Passed,
            GateOutcome::Failed => Outcome::Failed,
            GateOutcome::Inconclusive => Outcome::Inconclusive,
        },
        reason: gate.reason.clone(),
    }));
    cases
}

fn check(name: &str, outcome: Outcome, reason: impl Into<String>) -> Case {
    Case { name: name.to_owned(), class: "check", outcome, reason: reason.into() }
}

fn verdict(analysis: &Analysis) -> Case {
    let summary = &analysis.summary;
    let outcome = match summary.verdict {
        // Whatever becomes of the rest.
        Verdict::Inconclusive if Inconclusive::Warn.verdict(analysis) != Verdict::Pass => Outcome::Failed,
        Verdict::Pass => Outcome::Passed,
        Verdict::GateFailed | Verdict::Unsafe => Outcome::Failed,
        Verdict::Inconclusive => Outcome::Inconclusive,
        Verdict::Error => Outcome::Error,
    };
    let mut reason = wording::verdict(summary.verdict).to_owned();
    if !summary.reasons.is_empty() {
        reason = format!("{reason}: {}", summary.reasons.join("; "));
    }
    check("verdict", outcome, reason)
}

fn complete(summary: &Summary) -> Case {
    let outcome = if summary.complete { Outcome::Passed } else { Outcome::Error };
    let reason =
        if summary.complete { "" } else { "the record has no end: the run was killed, or is still going" };
    check("record complete", outcome, reason)
}

fn balanced(summary: &Summary) -> Case {
    let books = &summary.accounting;
    let reason = format!(
        "scheduled {}, sent {}, shed {}, waiting {}, ok {}, failed {}, unknown {}, in flight {}",
        books.scheduled,
        books.sent,
        books.shed,
        books.waiting,
        books.ok,
        books.failed,
        books.unknown,
        books.in_flight
    );
    check("accounting balanced", if books.balanced { Outcome::Passed } else { Outcome::Error }, reason)
}

/// A limited generator alone fails nothing: gates that fail on it are inconclusive themselves.
fn generator(summary: &Summary) -> Case {
    let reason = wording::limited(summary).unwrap_or_default();
    let outcome = match summary.generator.verdict {
        GeneratorVerdict::Ok => Outcome::Passed,
        GeneratorVerdict::Limited => Outcome::Skipped,
    };
    check("generator not limited", outcome, reason)
}

fn failover_checks(analysis: &Analysis, failover: &FailoverSummary) -> Vec<Case> {
    let planned = counted(u64::from(failover.planned), "planned repetition");
    // One may be lost, as for the verdict.
    let enough = failover.valid > 0 && failover.valid + 1 >= failover.planned;
    let unproven: Vec<String> = failover
        .repetitions
        .iter()
        .filter(|repetition| !repetition.instants_ns.contains_key("t0_proven"))
        .map(|repetition| repetition.repetition.to_string())
        .collect();
    let stages = analysis.pictures.iter().flat_map(|picture| &picture.stages);
    let skipped = stages.into_iter().find(|mark| mark.stage == FaultStage::Skipped);
    let proven = match skipped {
        Some(skipped) if !enough => check("fault proven", Outcome::Skipped, skipped.detail.clone()),
        _ if unproven.is_empty() && !failover.repetitions.is_empty() => {
            check("fault proven", Outcome::Passed, format!("in effect in each of {planned}"))
        }
        _ => {
            let reason =
                format!("not seen to be in effect in repetition {} of {planned}", unproven.join(", "));
            check("fault proven", if enough { Outcome::Passed } else { Outcome::Inconclusive }, reason)
        }
    };
    let mut reasons = vec![format!("{} valid of {planned}", failover.valid)];
    reasons.extend(super::failover::invalid(failover));
    let valid = if enough { Outcome::Passed } else { Outcome::Inconclusive };
    let mut checks = vec![proven, check("repetitions valid", valid, reasons.join("; "))];
    for name in ["lost_acked_writes", "sessions_silently_replaced"] {
        checks.push(guarantee(failover, name));
    }
    checks
}

/// A count that has to be 0, also in repetitions that count for nothing else.
fn guarantee(failover: &FailoverSummary, name: &str) -> Case {
    let seen: Vec<(u32, u64)> =
        failover.repetitions.iter().filter_map(|r| Some((r.repetition, *r.values.get(name)?))).collect();
    let total =
        seen.iter().map(|(_, n)| n).sum::<u64>().max(failover.counts.get(name).map_or(0, |c| c.total));
    if total > 0 {
        let hit = seen.iter().filter(|(_, n)| *n > 0).map(|(r, n)| format!("{n} in repetition {r}"));
        return check(
            name,
            Outcome::Failed,
            format!("{total} in all: {}", hit.collect::<Vec<_>>().join(", ")),
        );
    }
    match seen.len().max(failover.counts.get(name).map_or(0, |c| c.values.len())) {
        0 => check(name, Outcome::Skipped, "it was looked for in no repetition"),
        n => check(name, Outcome::Passed, format!("0 of {}", counted(n as u64, "failover"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StopSeen;
    use crate::failover::StageMark;
    use crate::fixture::{self, gate_result};

    fn found(analysis: &Analysis, name: &str) -> (Outcome, String) {
        let case = cases(analysis).into_iter().find(|case| case.name == name);
        let case = case.unwrap_or_else(|| panic!("no case {name}"));
        (case.outcome, case.reason)
    }

    #[test]
    fn what_is_inconclusive_is_a_warning_only_where_nothing_failed_beside_it() {
        let mut analysis = fixture::analysis();
        for (verdict, gates, abort, warned) in [
            (Verdict::Pass, &[][..], false, Verdict::Pass),
            (Verdict::Inconclusive, &[GateOutcome::Inconclusive], false, Verdict::Pass),
            (
                Verdict::Inconclusive,
                &[GateOutcome::Inconclusive, GateOutcome::Failed],
                false,
                Verdict::GateFailed,
            ),
            (Verdict::Inconclusive, &[GateOutcome::Inconclusive], true, Verdict::GateFailed),
            (Verdict::Error, &[GateOutcome::Inconclusive], false, Verdict::Error),
            (Verdict::Unsafe, &[], false, Verdict::Unsafe),
            (Verdict::GateFailed, &[GateOutcome::Failed], false, Verdict::GateFailed),
        ] {
            analysis.summary.verdict = verdict;
            analysis.summary.gates = gates.iter().map(|outcome| gate_result(*outcome)).collect();
            let stop = StopSeen { t_ns: 1, reason: StopReason::Abort, detail: String::new() };
            analysis.stops = if abort { vec![stop] } else { Vec::new() };
            assert_eq!(Inconclusive::Warn.verdict(&analysis), warned, "{verdict:?} {gates:?} {abort}");
            assert_eq!(Inconclusive::Fail.verdict(&analysis), verdict);
            // The case of the verdict fails where the exit code does, either way.
            let is_fatal = matches!(found(&analysis, "verdict").0, Outcome::Failed | Outcome::Error);
            assert_eq!(is_fatal, warned != Verdict::Pass, "{verdict:?} {gates:?} {abort}");
        }
    }

    #[test]
    fn a_limited_generator_is_told_and_fails_nothing() {
        let mut analysis = fixture::analysis();
        assert_eq!(found(&analysis, "generator not limited").0, Outcome::Passed);
        analysis.summary.generator.verdict = GeneratorVerdict::Limited;
        assert_eq!(found(&analysis, "generator not limited").0, Outcome::Skipped);
    }

    #[test]
    fn a_lost_write_fails_its_case_also_where_the_repetition_does_not_count() {
        let mut analysis = fixture::failover();
        let (outcome, reason) = found(&analysis, "lost_acked_writes");
        assert_eq!((outcome, &*reason), (Outcome::Passed, "0 of 6 failovers"));
        let failover = analysis.summary.failover.as_mut().unwrap();
        let repetition = &mut failover.repetitions[2];
        (repetition.valid, _) = (false, repetition.values.insert("lost_acked_writes".to_owned(), 2));
        let (outcome, reason) = found(&analysis, "lost_acked_writes");
        assert_eq!((outcome, &*reason), (Outcome::Failed, "2 in all: 2 in repetition 3"));
        let failover = analysis.summary.failover.as_mut().unwrap();
        failover.counts.clear();
        failover.repetitions.clear();
        let (outcome, reason) = found(&analysis, "lost_acked_writes");
        assert_eq!((outcome, &*reason), (Outcome::Skipped, "it was looked for in no repetition"));
    }

    #[test]
    fn a_fault_is_proven_in_all_repetitions_but_one() {
        let mut analysis = fixture::failover();
        assert_eq!(found(&analysis, "fault proven").0, Outcome::Passed);
        assert_eq!(found(&analysis, "repetitions valid").0, Outcome::Passed);
        for (valid, outcome) in [(5, Outcome::Passed), (4, Outcome::Inconclusive), (0, Outcome::Inconclusive)]
        {
            let failover = analysis.summary.failover.as_mut().unwrap();
            failover.valid = valid;
            for repetition in &mut failover.repetitions[valid as usize..] {
                repetition.instants_ns.clear();
            }
            assert_eq!(found(&analysis, "fault proven").0, outcome, "{valid}");
            assert_eq!(found(&analysis, "repetitions valid").0, outcome, "{valid}");
        }
        let stage = FaultStage::Skipped;
        analysis.pictures[0].stages = vec![StageMark { t_ns: 0, stage, detail: "no such member".to_owned() }];
        assert_eq!(found(&analysis, "fault proven"), (Outcome::Skipped, "no such member".to_owned()));
    }
}
