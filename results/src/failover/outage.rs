//! Runs of failing slots, with the bounds of the hole behind them, and gaps between acknowledgements.
//!
//! ```text
//!   service     ─────────────┐ a            the hole            b ┌──────────────
//!   slots       ·    ·    ·    x    x    x    x    x    x    x    ·    ·    ·    ·    ·
//!                         │    │                             │    │
//!       sent, last good ──┘    └──── lower ──────────────────┘    └ ended, the earliest of the good ones that follow
//!                         └──────────────── upper ─────────────────┘
//! ```

use std::ops::Range;

use quorumeter_record::{HistoryRow, RowKind};

use super::probes::{Client, is_good};

/// So many good steps in a row end an outage; fewer are a flap within it.
pub(crate) const RUN: usize = 5;

/// How slots are judged, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Time between two slots of a client.
    pub(crate) period_ns: u64,
    /// How long after its intended time a good slot ends, at most.
    pub(crate) threshold_ns: u64,
    /// How long an op takes as a rule (p99 of the baseline): one that ends too late was in the hole by then.
    pub(crate) ordinary_ns: u64,
}

/// The slots of one client or of several, in steps of time of which each is good or fails.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    slots: Vec<HistoryRow>,
    steps: Vec<Step>,
    scale: Scale,
}

/// The slots of one period.
#[derive(Debug, Clone)]
struct Step {
    /// The first slot's intended time.
    intended_ns: u64,
    is_good: bool,
    /// A slot of it was open until then.
    open_until_ns: u64,
    slots: Range<usize>,
}

/// A run of failing steps with the flaps in it.
///
/// It begins with a failing step and ends with the first good one that is followed by four more. *lower* is the time
/// from when the first of them is known to have failed to the intended time of the last one (0 when there is one). *upper*
/// is the time from when the last good op before it was sent to when the earliest of the good ops that end it had ended:
/// what was served before the hole was served at or after it was sent, and what was served after it by its end.
/// So both enclose the hole, also where requests hang in it and are answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Intended time of the first failing slot.
    pub(crate) first_ns: u64,
    /// Intended time of the last failing slot.
    pub(crate) last_ns: u64,
    /// Intended time of the first good slot that ends it; `None` when nothing does.
    pub(crate) end_ns: Option<u64>,
    /// The hole had begun by then.
    pub(crate) began_by_ns: u64,
    /// The hole had not begun before then.
    pub(crate) began_after_ns: u64,
    /// The hole was over by then; `None` when it did not end.
    pub(crate) over_by_ns: Option<u64>,
}

impl Outage {
    /// The hole is no shorter.
    pub(crate) fn lower_ns(&self) -> u64 {
        self.last_ns.saturating_sub(self.began_by_ns)
    }

    /// The hole is no longer; of one that did not end, the time for which it was seen.
    pub(crate) fn upper_ns(&self) -> u64 {
        self.over_by_ns.map_or(self.lower_ns(), |over_ns| over_ns.saturating_sub(self.began_after_ns))
    }
}

impl Line {
    /// One client: each slot is a step.
    pub(crate) fn of_client(slots: &[HistoryRow], scale: Scale) -> Line {
        let steps = slots.iter().enumerate().map(|(i, slot)| Step {
            intended_ns: slot.intended_ns,
            is_good: is_good(slot, scale.threshold_ns),
            open_until_ns: slot.ended_ns,
            slots: i..i + 1,
        });
        Line { steps: steps.collect(), slots: slots.to_vec(), scale }
    }

    /// Several clients, seen as one that is served when any of them is: a period is good when one of its slots is.
    pub(crate) fn any(clients: &[&[HistoryRow]], scale: Scale) -> Line {
        Line::periods(clients, scale, |good, _| good > 0)
    }

    /// Several clients, of which each has to be served: a period is good when all of its slots are.
    fn all(clients: &[&[HistoryRow]], scale: Scale) -> Line {
        Line::periods(clients, scale, |good, all| good == all)
    }

    /// Judges each period by how many of its slots are good, of how many.
    fn periods(clients: &[&[HistoryRow]], scale: Scale, judge: fn(usize, usize) -> bool) -> Line {
        let mut slots: Vec<HistoryRow> = clients.iter().flat_map(|c| c.iter().copied()).collect();
        slots.sort_by_key(|slot| slot.intended_ns);
        // Half a period before the first slot, so that the slots of its client fall in the middle of the periods.
        let period_ns = scale.period_ns.max(1);
        let first_ns = slots.first().map_or(0, |slot| slot.intended_ns);
        let period_of = |slot: &HistoryRow| (slot.intended_ns - first_ns + period_ns / 2) / period_ns;
        let mut steps: Vec<Step> = Vec::new();
        let mut start = 0;
        while start < slots.len() {
            let period = period_of(&slots[start]);
            let end = start + slots[start..].partition_point(|slot| period_of(slot) == period);
            let of_step = &slots[start..end];
            let good = of_step.iter().filter(|slot| is_good(slot, scale.threshold_ns)).count();
            steps.push(Step {
                intended_ns: of_step[0].intended_ns,
                is_good: judge(good, of_step.len()),
                open_until_ns: of_step.iter().map(|slot| slot.ended_ns).max().unwrap_or(0),
                slots: start..end,
            });
            start = end;
        }
        Line { slots, steps, scale }
    }

    /// The outages that begin in `[from_ns, to_ns)`, in order. A slot that was intended before `from_ns`, by no more than a
    /// period and the threshold, and was still open then, belongs to it.
    pub(crate) fn outages(&self, from_ns: u64, to_ns: u64) -> Vec<Outage> {
        let early_ns = from_ns.saturating_sub(self.scale.period_ns + self.scale.threshold_ns);
        let mut outages = Vec::new();
        let mut next = self.steps.partition_point(|step| step.intended_ns < early_ns);
        loop {
            let begins =
                |step: &Step| !step.is_good && (step.intended_ns >= from_ns || step.open_until_ns > from_ns);
            let Some(first) = self.steps[next..].iter().position(begins).map(|at| next + at) else { break };
            if self.steps[first].intended_ns >= to_ns {
                break;
            }
            let (last, end) = self.run(first);
            outages.push(self.outage(first, last, end));
            match end {
                Some(end) => next = end,
                None => break,
            }
        }
        outages
    }

    /// The last failing step of the outage that begins with `first`, and the good one that ends it.
    fn run(&self, first: usize) -> (usize, Option<usize>) {
        let mut last = first;
        for (at, step) in self.steps.iter().enumerate().skip(first + 1) {
            if !step.is_good {
                last = at;
            } else if at - last == RUN {
                return (last, Some(last + 1));
            }
        }
        (last, None)
    }

    /// By when a slot that fails was in the hole: by when its op failed, or, where that took too long, by when it should have
    /// been answered as a rule.
    fn failed_by_ns(&self, slot: &HistoryRow) -> u64 {
        if slot.ended_ns <= slot.intended_ns + self.scale.threshold_ns {
            slot.ended_ns
        } else {
            slot.intended_ns + self.scale.ordinary_ns
        }
    }

    fn outage(&self, first: usize, last: usize, end: Option<usize>) -> Outage {
        let (first_step, last_step) = (&self.steps[first], &self.steps[last]);
        let threshold_ns = self.scale.threshold_ns;
        let good = |slot: &&HistoryRow| is_good(slot, threshold_ns);
        // All slots of a failing period of `any` fail; the last of them tells that nobody was served any more.
        let failing = self.slots[first_step.slots.clone()].iter().filter(|slot| !is_good(slot, threshold_ns));
        let began_by_ns = failing.map(|slot| self.failed_by_ns(slot)).max().unwrap_or(first_step.intended_ns);
        // What had ended before a slot that failed was served before the hole.
        let before = self.slots[..first_step.slots.start].iter().filter(good);
        let began_after_ns = before
            .filter(|slot| slot.ended_ns <= first_step.intended_ns)
            .map(|slot| slot.sent_ns.unwrap_or(slot.intended_ns))
            .max()
            .or(self.slots.first().map(|slot| slot.intended_ns))
            .unwrap_or(0);
        let ending =
            end.map(|end| &self.slots[self.steps[end].slots.start..self.steps[end + RUN - 1].slots.end]);
        Outage {
            first_ns: first_step.intended_ns,
            last_ns: last_step.intended_ns,
            end_ns: ending.and_then(|slots| slots.iter().find(good)).map(|slot| slot.intended_ns),
            began_by_ns,
            began_after_ns,
            over_by_ns: ending.and_then(|slots| slots.iter().filter(good).map(|slot| slot.ended_ns).min()),
        }
    }
}

/// The outages of several clients, each of which has to be served: one begins with the first of them that fails and
/// ends when all are good together for five periods. Its bounds reach from the first client's to the last one's.
pub(crate) fn every(clients: &[&[HistoryRow]], scale: Scale, from_ns: u64, to_ns: u64) -> Vec<Outage> {
    let lines: Vec<Line> = clients.iter().map(|slots| Line::of_client(slots, scale)).collect();
    let joined = |outage: Outage| {
        let end_ns = outage.end_ns.unwrap_or(u64::MAX);
        let own = lines.iter().flat_map(|line| line.outages(outage.first_ns, end_ns));
        own.reduce(|a, b| Outage {
            first_ns: a.first_ns.min(b.first_ns),
            last_ns: a.last_ns.max(b.last_ns),
            end_ns: None,
            began_by_ns: a.began_by_ns.min(b.began_by_ns),
            began_after_ns: a.began_after_ns.min(b.began_after_ns),
            over_by_ns: a.over_by_ns.zip(b.over_by_ns).map(|(a, b)| a.max(b)),
        })
        .map(|own| Outage { end_ns: outage.end_ns, over_by_ns: outage.end_ns.and(own.over_by_ns), ..own })
        .unwrap_or(outage)
    };
    Line::all(clients, scale).outages(from_ns, to_ns).into_iter().map(joined).collect()
}

/// The longest time without an acknowledgement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AckGap {
    /// Between the ends of two ops that succeeded, and of none between them.
    pub(crate) gap_ns: u64,
    /// No hole is longer: from when the last of those before the gap was sent.
    pub(crate) hole_ns: u64,
    /// It had not ended: it is as long as it was seen to be, or longer.
    pub(crate) is_censored: bool,
}

/// Where acknowledgements are looked for. Times are nanoseconds since the run's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AckSpan {
    /// Those that came before do not count.
    pub(crate) start_ns: u64,
    /// Gaps count that overlap the time from here
    pub(crate) from_ns: u64,
    /// to here: from the last acknowledgement before the one to the first after the other.
    pub(crate) to_ns: u64,
    /// Nothing is known of what came after that.
    pub(crate) end_ns: u64,
}

/// The longest gap between acknowledgements of any of the clients.
pub(crate) fn ack_gap(clients: &[&Client], span: AckSpan) -> AckGap {
    let mut acks: Vec<(u64, u64)> = clients
        .iter()
        .flat_map(|client| &client.slots)
        .filter(|slot| slot.kind == RowKind::Ok && (span.start_ns..=span.end_ns).contains(&slot.ended_ns))
        .map(|slot| (slot.ended_ns, slot.sent_ns.unwrap_or(slot.intended_ns)))
        .collect();
    acks.sort_unstable();
    let mut longest = AckGap::default();
    // When the last one came, and when the last of them all was sent.
    let (mut before_ns, mut sent_ns) = (span.start_ns, span.start_ns);
    let consider = |longest: &mut AckGap, before_ns: u64, sent_ns: u64, ended_ns: u64| {
        if ended_ns >= span.from_ns && before_ns <= span.to_ns {
            longest.gap_ns = longest.gap_ns.max(ended_ns - before_ns);
            longest.hole_ns = longest.hole_ns.max(ended_ns.saturating_sub(sent_ns));
        }
    };
    for (ended_ns, sent) in acks {
        consider(&mut longest, before_ns, sent_ns, ended_ns);
        (before_ns, sent_ns) = (ended_ns, sent_ns.max(sent));
    }
    if before_ns < span.to_ns {
        let longest_ns = longest.gap_ns;
        consider(&mut longest, before_ns, sent_ns, span.end_ns);
        longest.is_censored = longest.gap_ns > longest_ns;
    }
    longest
}

#[cfg(test)]
mod tests;
