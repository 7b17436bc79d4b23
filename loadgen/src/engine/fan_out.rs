//! How a write reaches its watchers: the first of them, the median one and the last.
//!
//! ```text
//!   write intended ──► sent ──► … told ── told ──────── told
//!        │                         first   median         last   of its w watchers
//!        └── each is measured from here
//! ```
//!
//! Only acknowledged writes that reached every watcher of their node have ranks: the last of fewer is not the last. The others
//! are counted as incomplete: an event was lost, merged into another, or its watch had gone with a connection. Writes of
//! unknown outcome are neither: they are counted apart.

use std::collections::{HashMap, VecDeque};

use quorumeter_record::OpPhase;
use quorumeter_targets::Change;

use super::join::{Delivery, UnknownRow, WriteRow};

/// How long a write waits for its watchers, nanoseconds.
const MEMORY_NS: u64 = 30_000_000_000;
/// The most writes that wait for their watchers.
const MAX_OPEN: usize = 1 << 20;
/// The most deliveries that are held for writes that wait for others.
const MAX_HELD: usize = 1 << 22;

/// A stream of watchers, as far as fan-outs depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watching {
    pub(super) stream: u16,
    /// It watches the dataset's first nodes, so many.
    pub(super) nodes: u32,
    /// For this.
    pub(super) change: Change,
    /// Watchers of each.
    pub(super) watchers: u32,
}

impl Watching {
    /// Whether a measured write of this is one that its watchers are to be told of.
    fn is_owed(&self, key: u32, change: Change, phase: OpPhase) -> bool {
        phase == OpPhase::Measure && key < self.nodes && change == self.change
    }
}

/// What became of one write for one stream of watchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FanOut {
    pub(super) stream: u16,
    /// `None` when the write did not reach them all.
    pub(super) ranks: Option<Ranks>,
}

/// received − intended of three of a write's deliveries, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ranks {
    pub(super) first_ns: u64,
    /// Of w deliveries the ⌈w ÷ 2⌉-th.
    pub(super) median_ns: u64,
    pub(super) last_ns: u64,
}

/// The writes that have not reached all of their watchers: acknowledged ones of the measured window.
#[derive(Debug)]
pub(super) struct FanOuts {
    watching: Vec<Watching>,
    open: HashMap<WriteId, Open>,
    /// Those and some that have ended, in the order in which they came.
    order: VecDeque<(u64, WriteId)>,
    /// Deliveries held by all of them.
    held: usize,
    /// [`MAX_OPEN`] and [`MAX_HELD`].
    limits: (usize, usize),
}

/// A write as one stream of watchers, which watches one sort of change, sees it: stream, key, transaction.
type WriteId = (u16, u32, i64);

#[derive(Debug)]
struct Open {
    intended_ns: u64,
    watchers: u32,
    /// Session and time.
    told: Vec<(u32, u64)>,
}

impl FanOuts {
    pub(super) fn new(watching: Vec<Watching>) -> FanOuts {
        let limits = (MAX_OPEN, MAX_HELD);
        FanOuts { watching, open: HashMap::new(), order: VecDeque::new(), held: 0, limits }
    }

    /// Takes the writes of an interval that ended at `now_ns`, and deliveries of these or earlier writes; `last` when
    /// no more will come. Returns what has ended.
    pub(super) fn take(
        &mut self,
        writes: &[WriteRow],
        deliveries: &[Delivery],
        now_ns: u64,
        last: bool,
    ) -> Vec<FanOut> {
        let mut ended = Vec::new();
        for write in writes {
            for watching in self.watching.iter().filter(|w| w.is_owed(write.key, write.change, write.phase)) {
                let id = (watching.stream, write.key, write.zxid);
                let told = Vec::new();
                let open = Open { intended_ns: write.intended_ns, watchers: watching.watchers, told };
                self.open.insert(id, open);
                self.order.push_back((write.acked_ns, id));
            }
        }
        for delivery in deliveries.iter().filter(|d| !d.lost) {
            let id = (delivery.stream, delivery.write.key, delivery.write.zxid);
            let Some(open) = self.open.get_mut(&id) else { continue };
            let before = open.told.len();
            let ranks = open.tell(delivery.session, delivery.received_ns);
            self.held = self.held + open.told.len() - before;
            if ranks.is_some() {
                self.end(id);
                ended.push(FanOut { stream: delivery.stream, ranks });
            } else {
                self.make_room(&mut ended);
            }
        }
        self.forget(now_ns, last, &mut ended);
        ended
    }

    /// The streams whose watchers are to be told of a write, should it have happened.
    pub(super) fn streams_of<'a>(&'a self, write: &'a UnknownRow) -> impl Iterator<Item = u16> + 'a {
        let owed = self.watching.iter().filter(|w| w.is_owed(write.key, write.change, write.phase));
        owed.map(|w| w.stream)
    }

    /// Gives up the oldest writes while more deliveries are held than may be.
    fn make_room(&mut self, ended: &mut Vec<FanOut>) {
        while self.held > self.limits.1
            && let Some((_, id)) = self.order.pop_front()
        {
            self.give_up(id, ended);
        }
    }

    /// Gives up the writes that have waited for too long, and, when no more will come, all.
    fn forget(&mut self, now_ns: u64, last: bool, ended: &mut Vec<FanOut>) {
        while let Some(&(acked_ns, id)) = self.order.front() {
            let waits = self.open.contains_key(&id);
            if waits && !last && acked_ns + MEMORY_NS >= now_ns && self.order.len() <= self.limits.0 {
                break;
            }
            self.order.pop_front();
            self.give_up(id, ended);
        }
    }

    fn give_up(&mut self, id: WriteId, ended: &mut Vec<FanOut>) {
        if self.end(id) {
            ended.push(FanOut { stream: id.0, ranks: None });
        }
    }

    /// Whether it had not ended before.
    fn end(&mut self, id: WriteId) -> bool {
        let open = self.open.remove(&id);
        self.held -= open.as_ref().map_or(0, |open| open.told.len());
        open.is_some()
    }
}

impl Open {
    /// One of its watchers was told. Returns the ranks if it was the last one.
    fn tell(&mut self, session: u32, received_ns: u64) -> Option<Ranks> {
        let watchers = self.watchers as usize;
        self.told.push((session, received_ns));
        if self.told.len() < watchers {
            return None;
        }
        // An event that came twice stands for one watcher.
        self.told.sort_unstable();
        self.told.dedup_by_key(|(session, _)| *session);
        if self.told.len() < watchers {
            return None;
        }
        self.told.sort_unstable_by_key(|(_, received_ns)| *received_ns);
        let rank = |place: usize| self.told[place].1.saturating_sub(self.intended_ns);
        Some(Ranks { first_ns: rank(0), median_ns: rank((watchers - 1) / 2), last_ns: rank(watchers - 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn write(key: u32, zxid: i64) -> WriteRow {
        let phase = OpPhase::Measure;
        WriteRow { key, change: Change::Data, zxid, intended_ns: 100, sent_ns: 110, acked_ns: 120, phase }
    }

    fn told(stream: u16, session: u32, write: WriteRow, received_ns: u64) -> Delivery {
        Delivery { stream, session, write, received_ns, lost: false }
    }

    fn watching(stream: u16, nodes: u32, watchers: u32) -> Watching {
        Watching { stream, nodes, change: Change::Data, watchers }
    }

    fn ranks(ended: &[FanOut]) -> Vec<Option<(u64, u64, u64)>> {
        ended.iter().map(|f| f.ranks.map(|r| (r.first_ns, r.median_ns, r.last_ns))).collect()
    }

    #[test]
    fn the_ranks_are_those_of_the_sorted_deliveries() {
        for (received_ns, expected) in [
            (&[105][..], (5, 5, 5)),
            (&[190, 130], (30, 30, 90)),
            (&[190, 130, 140], (30, 40, 90)),
            (&[400, 300, 200, 150], (50, 100, 300)),
            (&[105, 104, 103, 102, 101], (1, 3, 5)),
        ] {
            let mut fan_outs = FanOuts::new(vec![watching(1, 9, received_ns.len() as u32)]);
            let deliveries: Vec<_> =
                (0..).zip(received_ns).map(|(session, t)| told(1, session, write(3, 7), *t)).collect();
            let ended = fan_outs.take(&[write(3, 7)], &deliveries, S, false);
            assert_eq!(ranks(&ended), [Some(expected)], "{received_ns:?}");
            assert_eq!((fan_outs.held, fan_outs.open.len(), fan_outs.order.len()), (0, 0, 0));
        }
    }

    #[test]
    fn deliveries_come_together_over_intervals_and_by_write_and_stream() {
        let mut fan_outs = FanOuts::new(vec![watching(1, 9, 2), watching(2, 9, 1)]);
        let (a, b) = (write(3, 7), write(3, 8));
        let first = fan_outs.take(&[a, b], &[told(1, 0, a, 130), told(1, 0, b, 140)], S, false);
        assert_eq!(first, []);
        let second = fan_outs.take(&[], &[told(1, 1, b, 150), told(2, 0, b, 160)], 2 * S, false);
        assert_eq!(ranks(&second), [Some((40, 40, 50)), Some((60, 60, 60))]);
        // Write a: one of the two watchers of stream 1, and none of stream 2.
        assert_eq!(ranks(&fan_outs.take(&[], &[], 3 * S, true)), [None, None]);
    }

    #[test]
    fn an_event_that_came_twice_stands_for_one_watcher() {
        let mut fan_outs = FanOuts::new(vec![watching(1, 9, 2)]);
        let twice = [told(1, 0, write(3, 7), 130), told(1, 0, write(3, 7), 190)];
        assert_eq!(fan_outs.take(&[write(3, 7)], &twice, S, false), []);
        let ended = fan_outs.take(&[], &[told(1, 1, write(3, 7), 150)], S, false);
        assert_eq!(ranks(&ended), [Some((30, 30, 50))], "the earlier one counts");
    }

    #[test]
    fn what_is_not_watched_or_not_measured_is_no_fan_out() {
        let mut fan_outs = FanOuts::new(vec![watching(1, 3, 1)]);
        let warmup = WriteRow { phase: OpPhase::Warmup, ..write(0, 6) };
        let children = WriteRow { change: Change::Children, ..write(0, 8) };
        let deliveries = [told(1, 0, warmup, 130)];
        assert_eq!(fan_outs.take(&[write(3, 7), warmup, children], &deliveries, S, true), []);
    }

    #[test]
    fn writes_of_unknown_outcome_are_those_of_who_watches_the_same() {
        let children = Watching { change: Change::Children, ..watching(2, 9, 1) };
        let fan_outs = FanOuts::new(vec![watching(1, 9, 1), children, watching(3, 5, 1)]);
        let unknown = |key, change, phase| {
            let row = UnknownRow { key, change, sent_ns: 1, given_up_ns: 2, phase };
            fan_outs.streams_of(&row).collect::<Vec<_>>()
        };
        assert_eq!(unknown(4, Change::Data, OpPhase::Measure), [1, 3]);
        assert_eq!(unknown(8, Change::Data, OpPhase::Measure), [1]);
        assert_eq!(unknown(8, Change::Children, OpPhase::Measure), [2]);
        assert!(unknown(9, Change::Data, OpPhase::Measure).is_empty());
        assert!(unknown(4, Change::Data, OpPhase::Warmup).is_empty());
    }

    #[test]
    fn a_lost_event_is_none() {
        let mut fan_outs = FanOuts::new(vec![watching(1, 9, 1)]);
        let lost = Delivery { lost: true, ..told(1, 0, write(3, 7), 130) };
        assert_eq!(ranks(&fan_outs.take(&[write(3, 7)], &[lost], S, true)), [None]);
    }

    #[test]
    fn a_write_waits_for_so_long_and_no_longer() {
        let mut fan_outs = FanOuts::new(vec![watching(1, 9, 1)]);
        assert_eq!(fan_outs.take(&[write(3, 7)], &[], MEMORY_NS, false), []);
        assert_eq!(ranks(&fan_outs.take(&[], &[], MEMORY_NS + S, false)), [None]);
        let late = fan_outs.take(&[], &[told(1, 0, write(3, 7), 130)], MEMORY_NS + S, false);
        assert_eq!(late, [], "each write ends once");
    }

    #[test]
    fn memory_is_bounded() {
        let mut fan_outs = FanOuts { limits: (1000, 5000), ..FanOuts::new(vec![watching(1, 9, 100)]) };
        let mut incomplete = 0;
        for interval in 0..40 {
            let writes: Vec<_> = (0..100).map(|i| write(3, interval * 100 + i)).collect();
            let one_each: Vec<_> = writes.iter().map(|w| told(1, 0, *w, 130)).collect();
            incomplete += fan_outs.take(&writes, &one_each, S, false).len();
            assert!(fan_outs.order.len() <= 1000 && fan_outs.held <= 1000);
        }
        assert_eq!((incomplete, fan_outs.open.len()), (3000, 1000));
        let writes: Vec<_> = (0..1000).map(|zxid| write(4, zxid)).collect();
        incomplete += fan_outs.take(&writes, &[], S, false).len();
        for session in 0..99 {
            let deliveries: Vec<_> = writes.iter().map(|w| told(1, session, *w, 130)).collect();
            incomplete += fan_outs.take(&[], &deliveries, S, false).len();
            assert!(fan_outs.held <= 5000);
        }
        // 99 of 100 were told of what is left.
        assert_eq!((incomplete + fan_outs.open.len(), fan_outs.open.len()), (5000, 50));
    }
}
