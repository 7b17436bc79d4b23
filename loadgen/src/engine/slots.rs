//! When in an interval writes were acknowledged, to a 128th of an interval.

use std::ops::Range;

/// Slots of an interval, each with or without an acknowledged write.
///
/// ```text
///   start   slot_ns each, in every interval                start + interval
///     ├──┬──┬──┬──┬──┬──┬──┬──┬──┬──┬──┬──┬─ … ─┬──┬──┬──┬──┤
///      0  1  2                       └── end of a shortened one: slots from here on stay empty
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slots(u128);

/// How many there are.
const SLOTS: u64 = u128::BITS as u64;

/// How long each is: rounded up, so that they reach the interval's end.
pub(super) fn slot_ns(interval_ns: u64) -> u64 {
    interval_ns.div_ceil(SLOTS)
}

impl Slots {
    /// Marks the slot that has this time, or the nearest one; returns the time that it has.
    pub(super) fn mark(&mut self, t_ns: u64, start_ns: u64, slot_ns: u64) -> Range<u64> {
        let slot = (t_ns.saturating_sub(start_ns) / slot_ns).min(SLOTS - 1);
        self.0 |= 1 << slot;
        span(slot, start_ns, slot_ns)
    }

    /// Marks what is marked in `other`, of the same interval.
    pub(super) fn merge(&mut self, other: Slots) {
        self.0 |= other.0;
    }

    /// The times of the slots that are marked, in their order.
    pub(super) fn spans(self, start_ns: u64, slot_ns: u64) -> impl Iterator<Item = Range<u64>> {
        let marked = (0..SLOTS).filter(move |slot| self.0 >> slot & 1 == 1);
        marked.map(move |slot| span(slot, start_ns, slot_ns))
    }
}

fn span(slot: u64, start_ns: u64, slot_ns: u64) -> Range<u64> {
    let from_ns = start_ns + slot * slot_ns;
    from_ns..from_ns + slot_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_one_slot() {
        const START: u64 = 5_000_000_000;
        // Of an interval of 1 s, and of the shortest and an odd one, whose slots are a little too long.
        for (interval_ns, slot_long) in
            [(1_000_000_000, 7_812_500), (100_000_000, 781_250), (100_000_001, 781_251)]
        {
            assert_eq!(slot_ns(interval_ns), slot_long);
            for (after_ns, slot) in [
                (0, 0),
                (slot_long - 1, 0),
                (slot_long, 1),
                (2 * slot_long - 1, 1),
                (64 * slot_long, 64),
                (127 * slot_long, 127),
                (interval_ns - 1, 127),
            ] {
                let mut slots = Slots::default();
                let span = slots.mark(START + after_ns, START, slot_long);
                assert!(span.contains(&(START + after_ns)), "{after_ns} ns in {span:?}");
                assert_eq!(span.start, START + slot * slot_long);
                assert_eq!(slots.spans(START, slot_long).collect::<Vec<_>>(), [span]);
            }
        }
    }

    #[test]
    fn a_time_outside_is_in_the_nearest_slot() {
        let mut slots = Slots::default();
        assert_eq!(slots.mark(999, 1000, 10), 1000..1010);
        assert_eq!(slots.mark(1000 + 128 * 10, 1000, 10), 2270..2280);
        assert_eq!(slots.mark(u64::MAX, 1000, 10), 2270..2280);
    }

    #[test]
    fn slots_of_all_workers_are_marked_once() {
        let [mut a, mut b] = [Slots::default(); 2];
        for t_ns in [3, 25, 29] {
            a.mark(t_ns, 0, 10);
        }
        for t_ns in [1279, 25, 14] {
            b.mark(t_ns, 0, 10);
        }
        a.merge(b);
        assert_eq!(a.spans(0, 10).collect::<Vec<_>>(), [0..10, 10..20, 20..30, 1270..1280]);
        assert_eq!(Slots::default().spans(0, 10).count(), 0);
    }
}
