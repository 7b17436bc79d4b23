//! The verdict on a run, with its reasons.

use quorumeter_record::{GateOutcome, GeneratorVerdict, StopReason, Summary, Verdict, stage};

use crate::failover;
use crate::figures::{counted, span};
use crate::gates::GENERATOR_WAS_THE_LIMIT;
use crate::timeline::StopSeen;

/// Judges a summary that has everything but its verdict. The gravest reason decides and comes first.
pub(crate) fn judge(
    summary: &Summary,
    stops: &[StopSeen],
    measured: bool,
    violations: &[String],
) -> (Verdict, Vec<String>) {
    let mut reasons: Vec<(Verdict, String)> = Vec::new();
    if !summary.complete && !stops.iter().any(|stop| stop.reason == StopReason::Error) {
        let text = "the record has no end: the run was killed, or is still going";
        reasons.push((Verdict::Error, text.to_owned()));
    }
    reasons.extend(violations.iter().map(|violation| (Verdict::Error, violation.clone())));
    for stop in stops {
        let detail = if stop.detail.is_empty() { String::new() } else { format!(": {}", stop.detail) };
        let at = span(stop.t_ns);
        match stop.reason {
            StopReason::Error => {
                reasons.push((Verdict::Error, format!("the run could not go on at {at}{detail}")));
            }
            StopReason::Abort => {
                let text = format!("an [abort] expression stopped the run at {at}{detail}");
                reasons.push(match summary.generator.verdict {
                    GeneratorVerdict::Ok => (Verdict::GateFailed, text),
                    GeneratorVerdict::Limited => (Verdict::Inconclusive, text + GENERATOR_WAS_THE_LIMIT),
                });
            }
            // An earlier end is no worse a result; a warning tells of it.
            StopReason::Signal => {}
        }
    }
    if let Some(measurement) = &summary.failover {
        let lost = failover::lost_acked_writes(measurement);
        if lost > 0 {
            let text = format!("the ensemble lost {} that it had acknowledged", counted(lost, "write"));
            reasons.push((Verdict::Unsafe, text));
        }
        reasons.extend(failover::too_few(measurement).map(|text| (Verdict::Inconclusive, text)));
    }
    if !measured {
        reasons.push((Verdict::Inconclusive, "the run ended before its measured window began".to_owned()));
    } else if !any_ok(summary) {
        reasons.push((Verdict::Inconclusive, "no operation succeeded in the measured window".to_owned()));
    }
    for gate in &summary.gates {
        let (text, reason) = (&gate.gate, &gate.reason);
        match gate.outcome {
            GateOutcome::Passed => {}
            GateOutcome::Failed => {
                reasons.push((Verdict::GateFailed, format!("gate `{text}` does not hold: {reason}")));
            }
            GateOutcome::Inconclusive => {
                reasons.push((Verdict::Inconclusive, format!("gate `{text}` cannot be told: {reason}")));
            }
        }
    }
    reasons.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
    let verdict = reasons.iter().fold(Verdict::Pass, |gravest, (verdict, _)| gravest.or_graver(*verdict));
    (verdict, reasons.into_iter().map(|(_, text)| text).collect())
}

/// Whether any op succeeded. What is only observed counts where nothing else was asked for.
fn any_ok(summary: &Summary) -> bool {
    let is_observed = |key: &str| key.split_once('.').is_some_and(|(_, op)| stage::is_observed(op));
    let only_observed = summary.ops.keys().all(|key| is_observed(key));
    summary.ops.iter().any(|(key, op)| op.ok > 0 && (only_observed || !is_observed(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{gate_result, summary};
    use quorumeter_record::GateOutcome::{Failed, Inconclusive, Passed};

    fn stop(reason: StopReason) -> StopSeen {
        StopSeen { t_ns: 2_000_000_000, reason, detail: "the detail".to_owned() }
    }

    #[test]
    fn the_gravest_reason_decides() {
        let bug = ["stream app: a violation".to_owned()];
        for (gates, stops, violations, verdict) in [
            (vec![], vec![], &bug[..0], Verdict::Pass),
            (vec![Passed], vec![], &bug[..0], Verdict::Pass),
            (vec![], vec![StopReason::Signal], &bug[..0], Verdict::Pass),
            (vec![Failed], vec![], &bug[..0], Verdict::GateFailed),
            (vec![], vec![StopReason::Abort], &bug[..0], Verdict::GateFailed),
            (vec![Failed, Inconclusive], vec![], &bug[..0], Verdict::Inconclusive),
            (vec![Failed, Inconclusive], vec![StopReason::Error], &bug[..0], Verdict::Error),
            (vec![Inconclusive], vec![StopReason::Abort], &bug[..], Verdict::Error),
        ] {
            let mut summary = summary();
            summary.gates = gates.iter().map(|outcome| gate_result(*outcome)).collect();
            let stops: Vec<StopSeen> = stops.into_iter().map(stop).collect();
            let (judged, reasons) = judge(&summary, &stops, true, violations);
            assert_eq!(judged, verdict, "{gates:?} {stops:?} {violations:?}");
            assert_eq!(reasons.is_empty(), verdict == Verdict::Pass, "{reasons:?}");
        }
    }

    #[test]
    fn the_gravest_reason_comes_first_and_all_are_told() {
        let mut summary = summary();
        summary.complete = false;
        summary.gates = vec![gate_result(Failed), gate_result(Inconclusive)];
        let (verdict, reasons) = judge(&summary, &[stop(StopReason::Abort)], true, &[]);
        assert_eq!(verdict, Verdict::Error);
        assert_eq!(
            reasons,
            [
                "the record has no end: the run was killed, or is still going",
                "gate `app.read.rate > 1/s` cannot be told: because",
                "an [abort] expression stopped the run at 2 s: the detail",
                "gate `app.read.rate > 1/s` does not hold: because",
            ]
        );
    }

    #[test]
    fn an_abort_on_a_limited_run_concludes_nothing() {
        let mut limited = summary();
        limited.generator.verdict = GeneratorVerdict::Limited;
        let (verdict, reasons) = judge(&limited, &[stop(StopReason::Abort)], true, &[]);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(
            reasons[0].ends_with("the detail, but the load generator was itself the limit"),
            "{reasons:?}"
        );
    }

    #[test]
    fn a_run_that_failed_was_not_killed() {
        let mut failed = summary();
        failed.complete = false;
        let (verdict, reasons) = judge(&failed, &[stop(StopReason::Error)], true, &[]);
        assert_eq!(verdict, Verdict::Error);
        assert_eq!(reasons, ["the run could not go on at 2 s: the detail"]);
    }

    #[test]
    fn without_a_single_success_nothing_is_concluded() {
        let mut nothing = summary();
        for op in nothing.ops.values_mut() {
            op.ok = 0;
        }
        nothing.ops.get_mut("watchers.watch_delivery").unwrap().ok = 9; // nobody's request
        let (verdict, reasons) = judge(&nothing, &[], true, &[]);
        assert_eq!((verdict, reasons.len()), (Verdict::Inconclusive, 1));

        let (verdict, reasons) = judge(&summary(), &[], false, &[]);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert_eq!(reasons, ["the run ended before its measured window began"]);
    }
}
