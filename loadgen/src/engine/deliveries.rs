//! What the deliveries to one stream of watchers add up to in one interval.

use hdrhistogram::Histogram;
use quorumeter_record::{FanOutSummary, OpPhase, Quantiles, RecordWriter, new_duration_histogram};

use super::buffer::{IntervalBuffer, OpSlot, record, record_in};
use super::fan_out::FanOut;
use super::join::Delivery;

/// Deliveries of one interval.
pub(super) struct Deliveries {
    /// As of an op, by the phase of their writes.
    pub(super) slots: [OpSlot; 2],
    /// Events whose write will not be found.
    pub(super) unmatched: u64,
    /// Events of writes of unknown outcome, or that may be.
    pub(super) of_unknown: u64,
    /// Writes of unknown outcome, of the measured window, that the watchers are to be told of if they happened.
    pub(super) unknown_writes: u64,
    /// received − acknowledged: what came after, and what came before (negated). Of the measured window alone.
    after_ack: Histogram<u64>,
    before_ack: Histogram<u64>,
    /// Writes of the measured window that reached every watcher, and that did not.
    complete: u64,
    incomplete: u64,
    /// received − intended of the first, the median and the last delivery of the former.
    ranks: [Histogram<u64>; 3],
}

/// Tags of the ranks in the log.
const RANKS: [&str; 3] = ["first", "median", "last"];

impl Deliveries {
    pub(super) fn new() -> Deliveries {
        Deliveries {
            slots: Default::default(),
            unmatched: 0,
            of_unknown: 0,
            unknown_writes: 0,
            after_ack: new_duration_histogram(),
            before_ack: new_duration_histogram(),
            complete: 0,
            incomplete: 0,
            ranks: std::array::from_fn(|_| new_duration_histogram()),
        }
    }

    /// Records a delivery, or that it never came.
    pub(super) fn record(&mut self, delivery: &Delivery) {
        let write = &delivery.write;
        let slot = &mut self.slots[write.phase as usize];
        let response_ns = delivery.received_ns.saturating_sub(write.intended_ns);
        if delivery.lost {
            slot.unknown += 1;
            record_in(&mut slot.of_unknown, response_ns);
            return;
        }
        slot.ok += 1;
        let times = slot.ok_times();
        record(&mut times.wait, write.sent_ns - write.intended_ns);
        record(&mut times.service, delivery.received_ns.saturating_sub(write.sent_ns));
        record(&mut times.response, response_ns);
        if write.phase == OpPhase::Measure {
            if delivery.received_ns >= write.acked_ns {
                record(&mut self.after_ack, delivery.received_ns - write.acked_ns);
            } else {
                record(&mut self.before_ack, write.acked_ns - delivery.received_ns);
            }
        }
    }

    /// Records what became of a write.
    pub(super) fn record_fan_out(&mut self, fan_out: &FanOut) {
        let Some(ranks) = fan_out.ranks else {
            self.incomplete += 1;
            return;
        };
        self.complete += 1;
        let times = [ranks.first_ns, ranks.median_ns, ranks.last_ns];
        self.ranks.iter_mut().zip(times).for_each(|(histogram, ns)| record(histogram, ns));
    }

    /// received − acknowledged, signed.
    pub(super) fn after_ack_ns(&self) -> Quantiles {
        Quantiles::from_signed(&self.after_ack, &self.before_ack)
    }

    /// How the writes reached their watchers.
    pub(super) fn fan_out(&self) -> FanOutSummary {
        let [first_ns, median_ns, last_ns] = self.ranks.each_ref().map(Quantiles::from_histogram);
        FanOutSummary {
            complete: self.complete,
            incomplete: self.incomplete,
            unknown_writes: self.unknown_writes,
            first_ns,
            median_ns,
            last_ns,
        }
    }

    /// Writes what is no op's own into the interval log, under tags that begin with `tag`.
    pub(super) fn write_histograms(&self, record: &mut RecordWriter, tag: &str, buffer: &IntervalBuffer) {
        let acks = [("after_ack", &self.after_ack), ("before_ack", &self.before_ack)];
        for (name, histogram) in acks.into_iter().chain(RANKS.into_iter().zip(&self.ranks)) {
            if !histogram.is_empty() {
                record.histogram(&format!("{tag}.ok.{name}"), buffer.start_ns, buffer.end_ns, histogram);
            }
        }
    }

    /// Forgets everything but the memory.
    pub(super) fn reset(&mut self) {
        self.slots = Default::default();
        (self.unmatched, self.of_unknown, self.unknown_writes) = (0, 0, 0);
        (self.complete, self.incomplete) = (0, 0);
        let acks = [&mut self.after_ack, &mut self.before_ack];
        acks.into_iter().chain(&mut self.ranks).for_each(Histogram::reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::join::WriteRow;

    #[test]
    fn before_and_after_are_told_apart() {
        let mut deliveries = Deliveries::new();
        let phase = OpPhase::Measure;
        let change = quorumeter_targets::Change::Data;
        let write = WriteRow { key: 1, change, zxid: 1, intended_ns: 99, sent_ns: 100, acked_ns: 110, phase };
        for received_ns in [115, 103] {
            deliveries.record(&Delivery { stream: 0, session: 0, write, received_ns, lost: false });
        }
        let signed = deliveries.after_ack_ns();
        assert_eq!((signed.count, signed.min, signed.max), (2, Some(-7), Some(5)));
        deliveries.reset();
        assert_eq!(deliveries.after_ack_ns().count, 0);
    }
}
