//! The longest time without an acknowledged write.

/// The longest time without an acknowledged write since the last fault, or since the load began.
///
/// Where single acknowledgements are told, it is from one to the next. Otherwise only their number in each interval is
/// known, and it is the time of whole intervals without any: too short by less than two intervals, never too long.
#[derive(Debug, Clone, Default)]
pub(super) struct Outage {
    /// Whether there is load that writes, so that there is something to tell.
    is_watched: bool,
    /// From when on nothing was acknowledged.
    quiet_since_ns: u64,
    /// How far is known what was.
    seen_ns: u64,
    longest_ns: u64,
    /// Acknowledgements of intervals that are not over, in no order; `None` where only numbers are told.
    acknowledged: Option<Vec<u64>>,
}

impl Outage {
    /// Of single acknowledgements, or of numbers.
    pub(super) fn new(from_single: bool) -> Outage {
        Outage { acknowledged: from_single.then(Vec::new), ..Outage::default() }
    }

    /// A fault: what was before it is over.
    pub(super) fn begin_anew(&mut self, t_ns: u64) {
        self.quiet_since_ns = t_ns;
        self.longest_ns = 0;
    }

    /// Writes were acknowledged, in the order of their workers' intervals.
    pub(super) fn acknowledged(&mut self, at_ns: impl Iterator<Item = u64>) {
        if let Some(acknowledged) = &mut self.acknowledged {
            acknowledged.extend(at_ns);
        }
    }

    /// An interval of the load is over, in which `writes` were acknowledged: known by then is every single one of them.
    pub(super) fn interval(&mut self, start_ns: u64, end_ns: u64, writes: u64) {
        if !self.is_watched {
            self.is_watched = true;
            self.quiet_since_ns = self.quiet_since_ns.max(start_ns);
        }
        self.seen_ns = end_ns;
        match &mut self.acknowledged {
            Some(acknowledged) => {
                acknowledged.sort_unstable();
                let later = acknowledged.split_off(acknowledged.partition_point(|t_ns| *t_ns <= end_ns));
                for t_ns in std::mem::replace(acknowledged, later) {
                    self.longest_ns = self.longest_ns.max(t_ns.saturating_sub(self.quiet_since_ns));
                    self.quiet_since_ns = self.quiet_since_ns.max(t_ns);
                }
            }
            None if writes > 0 => {
                self.longest_ns = self.longest_ns.max(start_ns.saturating_sub(self.quiet_since_ns));
                self.quiet_since_ns = self.quiet_since_ns.max(end_ns);
            }
            None => {}
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

    const S: u64 = 1_000_000_000;

    #[test]
    fn without_writes_there_is_nothing_to_tell() {
        assert_eq!(Outage::new(false).longest_ns(), None);
    }

    /// Intervals of 1 s from 10 s on, the writes in each, and what is told after it, in seconds.
    #[test]
    fn from_numbers_it_is_the_time_of_whole_intervals() {
        for (writes, fault_at, told) in [
            (&[5, 5, 5][..], None, &[0, 0, 0][..]),
            // It grows while it goes on, and stays when it is over.
            (&[5, 0, 0, 0, 5, 5, 0], None, &[0, 1, 2, 3, 3, 3, 3]),
            (&[0, 0, 5], None, &[1, 2, 2]),
            // A longer one takes its place.
            (&[5, 0, 5, 0, 0, 5], None, &[0, 1, 1, 1, 2, 2]),
            // A fault in the third interval begins it anew.
            (&[0, 0, 5, 0, 5], Some(2), &[1, 2, 0, 1, 1]),
            // One during a silence counts from the fault on.
            (&[5, 0, 0, 0, 5], Some(2), &[0, 1, 1, 2, 2]),
        ] {
            let mut outage = Outage::new(false);
            for (number, (writes, told)) in writes.iter().zip(told).enumerate() {
                let start_ns = (10 + number as u64) * S;
                if fault_at == Some(number) {
                    outage.begin_anew(start_ns);
                    assert_eq!(outage.longest_ns(), Some(0));
                }
                outage.interval(start_ns, start_ns + S, *writes);
                assert_eq!(outage.longest_ns(), Some(told * S), "{writes} in interval {number}");
            }
        }
    }

    #[test]
    fn from_single_acknowledgements_it_is_as_fine_as_they_are() {
        let mut outage = Outage::new(true);
        // Of two workers, one of which is an interval ahead.
        outage.acknowledged([10, 20, 95, 130, 260].into_iter());
        outage.acknowledged([40, 90].into_iter());
        outage.interval(0, 100, 5);
        assert_eq!(outage.longest_ns(), Some(50), "from 40 to 90");
        outage.interval(100, 200, 0);
        assert_eq!(outage.longest_ns(), Some(70), "from 130 on, and it goes on");
        outage.begin_anew(210);
        assert_eq!(outage.longest_ns(), Some(0));
        outage.acknowledged([205, 290].into_iter());
        outage.interval(200, 300, 3);
        assert_eq!(
            outage.longest_ns(),
            Some(50),
            "from the fault at 210 to 260; what was before it does not count"
        );
        outage.interval(300, 400, 9);
        assert_eq!(outage.longest_ns(), Some(110), "from 290 on: numbers are not what is told here");
    }
}
