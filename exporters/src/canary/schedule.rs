//! When an operation is due.

use std::time::Duration;

/// Due times at a fixed rate: the n-th is at `offset + n / rate` after the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    offset: Duration,
    rate_per_s: f64,
    next: u64,
}

impl Schedule {
    /// The `place`-th of `places` schedules of the same rate, which are due one after another.
    pub(super) fn new(rate_per_s: f64, place: usize, places: usize) -> Schedule {
        let offset = Duration::from_secs_f64(place as f64 / places as f64 / rate_per_s);
        Schedule { offset, rate_per_s, next: 0 }
    }

    /// When the next one is due, from the start.
    pub(super) fn due(&self) -> Duration {
        self.offset + Duration::from_secs_f64(self.next as f64 / self.rate_per_s)
    }

    /// The one that was due has ended, or was given up, at `now` from the start. Returns how many fell due before that and
    /// were missed; the next one is the first that did not.
    pub(super) fn done(&mut self, now: Duration) -> u64 {
        let passed = (now.saturating_sub(self.offset).as_secs_f64() * self.rate_per_s).floor() as u64;
        let missed = passed.saturating_sub(self.next);
        self.next += missed + 1;
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_due_while_one_hangs_is_missed() {
        let ms = Duration::from_millis;
        let mut schedule = Schedule::new(2.0, 1, 4);
        assert_eq!(schedule.due(), ms(125));
        for (done_ms, missed, due_ms) in [
            // Quick ones: every one is sent.
            (130, 0, 625),
            (700, 0, 1125),
            // Done just before, and at the very time of, the next one.
            (1624, 0, 1625),
            (2125, 1, 2625),
            // Five seconds of silence.
            (7630, 10, 8125),
            // A clock that seems to stand still does no harm.
            (8125, 0, 8625),
        ] {
            assert_eq!(schedule.done(ms(done_ms)), missed, "{done_ms}");
            assert_eq!(schedule.due(), ms(due_ms), "{done_ms}");
        }
    }

    #[test]
    fn slow_schedules_begin_within_their_first_period() {
        let hourly = 1.0 / 3600.0;
        for place in 0..4 {
            assert!(Schedule::new(hourly, place, 4).due() <= Duration::from_secs(2700));
        }
    }
}
