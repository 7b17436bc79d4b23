//! Whether a repetition counts.

use quorumeter_record::{FaultStage, HistoryRow};

use super::{Measured, Times};
use crate::failover::probes::{NO_RECONNECT, is_good};
use crate::figures::{counted, duration, percent};

/// The injection may take so long,
const INJECTION_LIMIT_NS: u64 = 50_000_000;
/// or this part of the outage.
const INJECTION_SHARE: f64 = 0.05;
/// Faults that ask a member to end: how long it takes over that is a part of them, and no uncertainty.
const GRACEFUL: [&str; 3] = ["stop", "restart", "rolling-restart"];
/// A baseline has this share of good slots, or does not count.
const BASELINE_SHARE: f64 = 0.8;
/// A generator that releases a slot later than so many periods after its intended time was itself the outage.
const LATE_PERIODS: u64 = 5;
/// Faults that leave the victim without a word to its own clients.
const SILENCING: [&str; 3] = ["kill", "stop", "pause"];
/// Rows that are missing are told with the interval that lacks them, by so much later.
const TOLD_LATE_NS: u64 = 1_000_000_000;

impl Measured<'_> {
    /// Why the repetition does not count.
    pub(super) fn validity(&mut self, is_over: bool) {
        let Times { start_ns, t0, t0_proven, t7, end_ns, .. } = self.times;
        let period_ns = self.facts.plan.probe_period_ns;
        let course = self.course;
        let mut invalid = Vec::new();
        if !is_over {
            invalid.push("it was not brought to its end".to_owned());
        }
        let until_ns = self.fault_until_ns();
        for stage in [FaultStage::Failed, FaultStage::Skipped] {
            let word = if stage == FaultStage::Failed { "the fault failed" } else { "the fault was skipped" };
            let told = course.details(stage, until_ns);
            invalid.extend(told.map(|detail| format!("{word}: {detail}")));
        }
        if course.first(FaultStage::Asked).is_none() {
            invalid.push("the fault was not injected".to_owned());
        } else {
            match t0_proven {
                None => invalid.push("the fault was never proven to be in effect".to_owned()),
                Some(t0_proven) => self.injection(t0_proven - t0, &mut invalid),
            }
            let wrong = course.first(FaultStage::WrongVictim).is_some();
            if wrong {
                let detail = course.details(FaultStage::WrongVictim, u64::MAX).collect::<Vec<_>>().join("; ");
                let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
                invalid.push(format!("somebody else was hit than was meant to be{detail}"));
            } else if course.first(FaultStage::VictimConfirmed).is_none() {
                invalid.push("nobody confirmed that the right member was hit".to_owned());
            }
            self.baseline_quality(&mut invalid);
            let victims_probes =
                self.facts.probes.clients.iter().any(|client| client.is_victims(&self.victims));
            let silences = SILENCING.contains(&self.facts.plan.fault.as_str());
            if silences && victims_probes && t0_proven.is_some() && !self.instants.contains_key("t1") {
                invalid.push("no probe noticed the fault, not even those of the victim".to_owned());
            }
        }
        let clients = self.facts.probes.clients.iter();
        let late =
            clients.clone().flat_map(|client| client.between(t0, t7.unwrap_or(end_ns).saturating_add(1)));
        let lag = late.map(|slot| slot.released_ns.saturating_sub(slot.intended_ns)).max().unwrap_or(0);
        if lag > LATE_PERIODS * period_ns {
            invalid.push(format!(
                "the load generator released a probe {} late, more than {LATE_PERIODS} periods",
                duration(lag as i64)
            ));
        }
        // A client that does not reconnect may have no more to tell.
        let clients = clients.filter(|client| client.policy != NO_RECONNECT);
        let missing: u64 =
            clients.clone().map(|client| missing(client.between(start_ns, end_ns), period_ns)).sum();
        let silent: Vec<&str> = clients
            .filter(|client| client.between(start_ns, end_ns).is_empty())
            .map(|client| client.label.as_str())
            .collect();
        let rows_missing =
            self.facts.courses.rows_missing_ns.iter().any(|t| (start_ns..=end_ns + TOLD_LATE_NS).contains(t));
        if missing > 0 {
            invalid.push(format!("{} of the probes' history are missing", counted(missing, "row")));
        } else if rows_missing {
            invalid.push("rows of the probes' history are missing".to_owned());
        }
        if !silent.is_empty() {
            invalid.push(format!("there is no history of {}", silent.join(", ")));
        }
        if self.facts.probes.clients.is_empty() {
            invalid.push("there are no probes".to_owned());
        }
        self.invalid = invalid;
    }

    /// The time from asking to proof is the uncertainty of the fault's own time.
    fn injection(&mut self, took_ns: u64, invalid: &mut Vec<String>) {
        self.values.duration("injection", took_ns, false);
        if GRACEFUL.contains(&self.facts.plan.fault.as_str()) {
            return;
        }
        let outage_ns = self.write_outage.map_or(0, |bounds| bounds.upper_ns);
        let limit_ns = INJECTION_LIMIT_NS.max((outage_ns as f64 * INJECTION_SHARE) as u64);
        if took_ns > limit_ns {
            let text = format!(
                "the fault was in effect {} after it was asked for, more than {} (5 % of the outage, at least 50 ms)",
                duration(took_ns as i64),
                duration(limit_ns as i64)
            );
            // A command has its own way to go before it does anything. Outages are told by the probes alone, which know
            // nothing of when it was asked for.
            if self.facts.is_elsewhere {
                self.notes.push(text);
            } else {
                invalid.push(text);
            }
        }
    }

    fn baseline_quality(&self, invalid: &mut Vec<String>) {
        let Times { start_ns, t0, .. } = self.times;
        let (mut good, mut all) = (0_u64, 0_u64);
        for client in self.facts.probes.clients.iter().filter(|client| client.policy != NO_RECONNECT) {
            let threshold_ns = self.scale(client.role).threshold_ns;
            // What was open at the fault, and might still have been good, is the fault's.
            let known = |slot: &&HistoryRow| slot.ended_ns <= t0 || slot.intended_ns + threshold_ns < t0;
            for slot in client.between(start_ns, t0).iter().filter(known) {
                all += 1;
                good += u64::from(is_good(slot, threshold_ns));
            }
        }
        if good == 0 {
            invalid.push("no slot of its baseline is good".to_owned());
        } else if (good as f64) < all as f64 * BASELINE_SHARE {
            invalid.push(format!(
                "only {} of its baseline's slots are good, less than {}",
                percent(good as f64 / all as f64),
                percent(BASELINE_SHARE)
            ));
        }
    }
}

/// How many slots lack between those that are there: every slot has a row, whatever became of it.
fn missing(slots: &[HistoryRow], period_ns: u64) -> u64 {
    let periods =
        |pair: &[HistoryRow]| (pair[1].intended_ns - pair[0].intended_ns + period_ns / 2) / period_ns.max(1);
    slots.windows(2).map(|pair| periods(pair).saturating_sub(1)).sum()
}
