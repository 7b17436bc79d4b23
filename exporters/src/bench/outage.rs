//! The longest time without an acknowledged write.

use std::ops::Range;

/// The longest time without an acknowledged write since the last fault, or since the load began: a lower bound.
///
/// Of an acknowledgement is known a span of time that has it: of single ones, where they are told, no more than their
/// moment, otherwise a slot of the interval. From the end of one span to the start of the next nothing was acknowledged:
///
/// ```text
///   acknowledged   │   █   │       │       │       │  █    │
///                  ├───────┼───────┼───────┼───────┼───────┤
///                          ◄──── k slots are told ─►
///                      ◄── true, from k to k + 2 ─────►
/// ```
///
/// It is never too long, and too short by less than two slots.
#[derive(Debug, Clone, Default)]
pub(super) struct Outage {
    /// Whether there is load that writes, so that there is something to tell.
    is_watched: bool,
    /// From when on nothing was acknowledged.
    quiet_since_ns: u64,
    /// How far is known what was.
    seen_ns: u64,
    longest_ns: u64,
    /// Acknowledgements of intervals that are not over, in no order.
    acknowledged_ns: Vec<Range<u64>>,
}

impl Outage {
    /// A fault: what was before it is over.
    pub(super) fn begin_anew(&mut self, t_ns: u64) {
        self.quiet_since_ns = t_ns;
        self.longest_ns = 0;
    }

    /// Writes were acknowledged, at least one in each of these spans of time: in the order of their workers' intervals.
    pub(super) fn acknowledged(&mut self, within_ns: impl Iterator<Item = Range<u64>>) {
        self.acknowledged_ns.extend(within_ns);
    }

    /// An interval of load that writes is over: known by then are all acknowledgements in it.
    pub(super) fn interval(&mut self, start_ns: u64, end_ns: u64) {
        if !self.is_watched {
            self.is_watched = true;
            self.quiet_since_ns = self.quiet_since_ns.max(start_ns);
        }
        self.seen_ns = end_ns;
        self.acknowledged_ns.sort_unstable_by_key(|span| span.start);
        let over = self.acknowledged_ns.partition_point(|span| span.start <= end_ns);
        for span in self.acknowledged_ns.drain(..over) {
            self.longest_ns = self.longest_ns.max(span.start.saturating_sub(self.quiet_since_ns));
            self.quiet_since_ns = self.quiet_since_ns.max(span.end);
        }
    }

    /// How long it is, as far as is known; `None` without load that writes.
    pub(super) fn longest_ns(&self) -> Option<u64> {
        let going_on_ns = self.seen_ns.saturating_sub(self.quiet_since_ns);
        self.is_watched.then_some(self.longest_ns.max(going_on_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot of the intervals below, which have ten.
    const SLOT: u64 = 100;

    #[test]
    fn without_writes_there_is_nothing_to_tell() {
        assert_eq!(Outage::default().longest_ns(), None);
    }

    /// Intervals one after the other, each a drawing of its slots: `#` has an acknowledgement of one worker, `+` of another
    /// one, which tells later. What is told after each, in slots.
    #[test]
    fn from_slots_it_is_those_without_any() {
        for (intervals, fault_at, told) in [
            (&["##########", "##########"][..], None, &[0, 0][..]),
            // Inside one interval; it stays when it is over.
            (&["###....###", "##########"], None, &[4, 4]),
            // Across two.
            (&["########..", "...#######"], None, &[2, 5]),
            // Across many, two of them without any: it grows while it goes on.
            (&["#######...", "..........", "..........", ".....#####"], None, &[3, 13, 23, 28]),
            // From the beginning of the load on.
            (&["..........", "..#######."], None, &[10, 12]),
            // Neighbours have no slot between them, however long it was from one to the other.
            (&["#.#.##..##", "#.########"], None, &[2, 2]),
            // A longer one takes its place.
            (&["##...#####", "#.......##"], None, &[3, 7]),
            // Where one worker is silent, another one's count.
            (&["###++++###", "+++....+##"], None, &[0, 4]),
            (&["#+........", "+........#"], None, &[8, 8]),
            // One at the very end of an interval, and at the very start.
            (&[".........#", "#........."], None, &[9, 9]),
            // None at all, ever.
            (&["..........", ".........."], None, &[10, 20]),
            // A fault at the start of the second interval begins it anew, and one in a silence counts from then on.
            (&["#......###", "###...####", "##########"], Some(1), &[6, 3, 3]),
            (&["###.......", "......####", "##########"], Some(1), &[7, 6, 6]),
        ] {
            let mut outage = Outage::default();
            for (number, (drawing, told)) in intervals.iter().zip(told).enumerate() {
                let start_ns = (7 + number as u64) * 10 * SLOT;
                if fault_at == Some(number) {
                    outage.begin_anew(start_ns);
                    assert_eq!(outage.longest_ns(), Some(0));
                }
                for worker in ['#', '+'] {
                    let slots = drawing.chars().zip(0..).filter(|(mark, _)| *mark == worker);
                    outage.acknowledged(slots.map(|(_, slot)| {
                        let from_ns = start_ns + slot * SLOT;
                        from_ns..from_ns + SLOT
                    }));
                }
                outage.interval(start_ns, start_ns + 10 * SLOT);
                assert_eq!(outage.longest_ns(), Some(told * SLOT), "{intervals:?}, {drawing}");
            }
        }
    }

    /// The last slot of an interval that is shorter than the others reaches into the next one, and past the load's end.
    #[test]
    fn slots_may_reach_beyond_a_short_interval() {
        let mut outage = Outage::default();
        outage.acknowledged([0..100, 200..300].into_iter());
        outage.interval(0, 250);
        assert_eq!(outage.longest_ns(), Some(100), "nothing from 300 on is known");
        outage.acknowledged(std::iter::once(750..850));
        outage.interval(250, 1250);
        assert_eq!(outage.longest_ns(), Some(450), "from 300 to 750");
        // The load's end was drawn nearer than what had been acknowledged.
        outage.acknowledged([1250..1350, 1850..1950].into_iter());
        outage.interval(1250, 1700);
        assert_eq!(outage.longest_ns(), Some(450));
    }

    #[test]
    fn from_single_acknowledgements_it_is_as_fine_as_they_are() {
        let mut outage = Outage::default();
        let at = |moments_ns: &[u64]| moments_ns.iter().map(|t_ns| *t_ns..*t_ns).collect::<Vec<_>>();
        // Of two workers, one of which is an interval ahead.
        outage.acknowledged(at(&[10, 20, 95, 130, 260]).into_iter());
        outage.acknowledged(at(&[40, 90]).into_iter());
        outage.interval(0, 100);
        assert_eq!(outage.longest_ns(), Some(50), "from 40 to 90");
        outage.interval(100, 200);
        assert_eq!(outage.longest_ns(), Some(70), "from 130 on, and it goes on");
        outage.begin_anew(210);
        assert_eq!(outage.longest_ns(), Some(0));
        outage.acknowledged(at(&[205, 290]).into_iter());
        outage.interval(200, 300);
        assert_eq!(
            outage.longest_ns(),
            Some(50),
            "from the fault at 210 to 260; what was before it does not count"
        );
        outage.interval(300, 400);
        assert_eq!(outage.longest_ns(), Some(110), "from 290 on");
    }

    /// Whatever the times of the acknowledgements: what is told of their slots is never more than what is told of them, and
    /// less by less than two slots.
    #[test]
    fn slots_tell_a_lower_bound() {
        let mut state = 7_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut differ = 0;
        for _ in 0..2000 {
            let [mut of_slots, mut of_moments] = [Outage::default(), Outage::default()];
            for start_ns in (0..5).map(|number| number * 10 * SLOT) {
                let end_ns = start_ns + 10 * SLOT;
                let mut moments: Vec<u64> = (0..random(7)).map(|_| start_ns + random(10 * SLOT)).collect();
                moments.sort_unstable();
                let mut slots: Vec<u64> = moments.iter().map(|t_ns| t_ns / SLOT * SLOT).collect();
                slots.dedup();
                of_slots.acknowledged(slots.into_iter().map(|from_ns| from_ns..from_ns + SLOT));
                of_moments.acknowledged(moments.into_iter().map(|t_ns| t_ns..t_ns));
                of_slots.interval(start_ns, end_ns);
                of_moments.interval(start_ns, end_ns);
                let (told, known) = (of_slots.longest_ns().unwrap(), of_moments.longest_ns().unwrap());
                assert!(told <= known && known < told + 2 * SLOT, "{told} of {known}");
                differ += u32::from(told < known);
            }
        }
        assert!(differ > 1000, "{differ}");
    }
}
