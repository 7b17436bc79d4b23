//! When the phases of a run begin and end.

use std::sync::atomic::{AtomicU64, Ordering};

use quorumeter_record::{OpPhase, Phase};

use super::slots;

/// The times of the phases, nanoseconds on the run's clock. All workers look at the same one; it is set once
/// when load begins, and the end may then be drawn nearer.
///
/// ```text
///      start            measure                    end               + drain
///   ─────┼──────────────────┼───────────────────────┼──────────────────┼──►
///        │     warm-up      │   measured window     │      drain       │
///        ├──┬──┬──┬──┬──┬──┬┼──┬──┬──┬──┬──┬──┬──┬──┼──┬──┬──┬──┬──┬──┬
///                       intervals restart at every boundary
/// ```
#[derive(Debug)]
pub(super) struct Timeline {
    start_ns: AtomicU64,
    measure_ns: AtomicU64,
    end_ns: AtomicU64,
    interval_ns: u64,
}

impl Timeline {
    /// A timeline on which nothing has begun.
    pub(super) fn new(interval_ns: u64) -> Timeline {
        Timeline {
            start_ns: AtomicU64::new(u64::MAX),
            measure_ns: AtomicU64::new(u64::MAX),
            end_ns: AtomicU64::new(u64::MAX),
            interval_ns,
        }
    }

    /// Sets the start of the load.
    pub(super) fn begin(&self, start_ns: u64, warmup_ns: u64, measure_ns: u64) {
        self.measure_ns.store(start_ns + warmup_ns, Ordering::Relaxed);
        self.end_ns.store(start_ns + warmup_ns + measure_ns, Ordering::Relaxed);
        self.start_ns.store(start_ns, Ordering::Release);
    }

    /// Ends the measured window at `t_ns` if it would end later; the warm-up too, if it is not over by then.
    pub(super) fn end_early(&self, t_ns: u64) {
        self.end_ns.fetch_min(t_ns, Ordering::Relaxed);
    }

    /// The start of the load, once it is set.
    pub(super) fn start_ns(&self) -> Option<u64> {
        Some(self.start_ns.load(Ordering::Acquire)).filter(|t| *t != u64::MAX)
    }

    /// The start of the measured window; when the run is ended before it, the end.
    #[inline]
    pub(super) fn measure_ns(&self) -> u64 {
        self.measure_ns.load(Ordering::Relaxed).min(self.end_ns())
    }

    /// The end of the measured window.
    #[inline]
    pub(super) fn end_ns(&self) -> u64 {
        self.end_ns.load(Ordering::Relaxed)
    }

    /// The phase of an op that is intended at `t_ns`.
    #[inline]
    pub(super) fn phase_of_op(&self, t_ns: u64) -> OpPhase {
        if t_ns < self.measure_ns() { OpPhase::Warmup } else { OpPhase::Measure }
    }

    /// The phase of the run at `t_ns`, from the start of the load on.
    pub(super) fn phase_at(&self, t_ns: u64) -> Phase {
        if t_ns < self.measure_ns() {
            Phase::Warmup
        } else if t_ns < self.end_ns() {
            Phase::Measure
        } else {
            Phase::Drain
        }
    }

    /// The length of an interval's slots.
    pub(super) fn slot_ns(&self) -> u64 {
        slots::slot_ns(self.interval_ns)
    }

    /// The end of the interval that begins at `t_ns`.
    pub(super) fn interval_end(&self, t_ns: u64) -> u64 {
        let next = t_ns + self.interval_ns;
        [self.measure_ns(), self.end_ns()]
            .into_iter()
            .filter(|boundary| *boundary > t_ns)
            .fold(next, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundaries(timeline: &Timeline, n: usize) -> Vec<u64> {
        let mut t = timeline.start_ns().unwrap();
        (0..n)
            .map(|_| {
                let begin = t;
                t = timeline.interval_end(t);
                begin
            })
            .collect()
    }

    #[test]
    fn intervals_restart_at_the_phases() {
        let timeline = Timeline::new(10);
        assert_eq!(timeline.start_ns(), None);
        timeline.begin(100, 25, 20);
        assert_eq!(boundaries(&timeline, 8), [100, 110, 120, 125, 135, 145, 155, 165]);
        assert_eq!(timeline.phase_at(124), Phase::Warmup);
        assert_eq!(timeline.phase_at(125), Phase::Measure);
        assert_eq!(timeline.phase_at(145), Phase::Drain);
        assert_eq!(timeline.phase_of_op(144), OpPhase::Measure);
    }

    #[test]
    fn an_early_end_moves_the_boundaries_behind_it() {
        let timeline = Timeline::new(10);
        timeline.begin(100, 25, 100);
        timeline.end_early(138);
        timeline.end_early(500);
        assert_eq!(boundaries(&timeline, 7), [100, 110, 120, 125, 135, 138, 148]);
        timeline.end_early(112);
        assert_eq!(boundaries(&timeline, 4), [100, 110, 112, 122]);
        assert_eq!(timeline.phase_at(111), Phase::Warmup);
        assert_eq!(timeline.phase_at(112), Phase::Drain);
    }
}
