//! Which write a watcher was told of, and how long that took.
//!
//! Writers log what they wrote, watchers what they were told; both logs come to the aggregator with each
//! interval. An event that carries its transaction's id (ZooKeeper since 3.9.0) belongs to the write with that
//! id. One that does not belongs to the first write after the watch was set, or, for a persistent watch, after
//! the write of the event before it: the replies to the writes carry their ids in every version.
//!
//! A write of unknown outcome has no reply, so no id. An event with an id that no reply had is of such a write, if one
//! to that node was sent before it came, and each of them is one transaction at most. Events without ids are doubtful
//! from then on: [`unknown`] says until when.

mod unknown;

use std::collections::{BTreeMap, HashMap, VecDeque};

use quorumeter_record::OpPhase;
use quorumeter_targets::Change;

use self::unknown::UnknownWrites;

/// What a write changes, and a watch tells of: a node, and what of it.
type Subject = (u32, Change);

/// An acknowledged write of a watched node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WriteRow {
    pub(super) key: u32,
    pub(super) change: Change,
    pub(super) zxid: i64,
    pub(super) intended_ns: u64,
    pub(super) sent_ns: u64,
    pub(super) acked_ns: u64,
    pub(super) phase: OpPhase,
}

/// A write of a watched node that was given up: it may have happened, and may yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownRow {
    pub(super) key: u32,
    pub(super) change: Change,
    pub(super) sent_ns: u64,
    pub(super) given_up_ns: u64,
    pub(super) phase: OpPhase,
}

/// What a watcher was told, or should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoticeRow {
    pub(super) stream: u16,
    pub(super) session: u32,
    pub(super) key: u32,
    pub(super) change: Change,
    /// The transaction that the event names.
    pub(super) zxid: Option<i64>,
    /// The transaction up to which the watcher knew the node when the watch was set.
    pub(super) set_at_zxid: i64,
    pub(super) received_ns: u64,
    /// The event never came.
    pub(super) lost: bool,
}

impl NoticeRow {
    /// An event that never came.
    pub(super) fn lost(stream: usize, session: u32, (key, change): Subject) -> NoticeRow {
        NoticeRow {
            stream: stream as u16,
            session,
            key,
            change,
            zxid: None,
            set_at_zxid: 0,
            received_ns: 0,
            lost: true,
        }
    }
}

/// A delivery whose write is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) stream: u16,
    pub(super) session: u32,
    pub(super) write: WriteRow,
    pub(super) received_ns: u64,
    pub(super) lost: bool,
}

/// The most writes that are remembered for events to come.
const MAX_WRITES: usize = 1 << 20;
/// The most events that wait for their write.
const MAX_NOTICES: usize = 1 << 20;
/// How long a write is remembered, and an event waits, nanoseconds.
const MEMORY_NS: u64 = 30_000_000_000;
/// How long an event without a transaction id waits before it is matched, nanoseconds: until then a reply to an
/// earlier write may still come.
const SETTLE_NS: u64 = 2_000_000_000;

/// Joins writes and notices as they come.
#[derive(Default)]
pub(super) struct Join {
    /// By subject, then by transaction.
    writes: HashMap<Subject, BTreeMap<i64, WriteRow>>,
    /// The same writes in the order in which they came.
    order: VecDeque<(u64, Subject, i64)>,
    notices: VecDeque<NoticeRow>,
    /// The write of the last event without an id: by stream, session and subject.
    told: HashMap<(u16, u32, Subject), i64>,
    unknown: UnknownWrites,
}

/// What a join found.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) deliveries: Vec<Delivery>,
    /// Streams of events whose write will not be found.
    pub(super) unmatched: Vec<u16>,
    /// Streams of events of writes of unknown outcome, or that may be.
    pub(super) of_unknown: Vec<u16>,
    /// Rows that were forgotten because there were too many.
    pub(super) dropped: u64,
}

impl Join {
    /// Takes the rows of an interval that ended at `now_ns`; `last` when no more will come.
    pub(super) fn take(
        &mut self,
        writes: &[WriteRow],
        unknown: &[UnknownRow],
        notices: &[NoticeRow],
        now_ns: u64,
        last: bool,
    ) -> Joined {
        let mut joined = Joined { dropped: self.unknown.add(unknown), ..Joined::default() };
        for write in writes {
            let subject = (write.key, write.change);
            let of_key = self.writes.entry(subject).or_default();
            of_key.insert(write.zxid, *write);
            // One that aged while it was its key's latest was kept until now.
            while let Some(oldest) = of_key.first_entry()
                && oldest.get().acked_ns + MEMORY_NS < now_ns
                && *oldest.key() != write.zxid
            {
                oldest.remove();
            }
            self.order.push_back((write.acked_ns, subject, write.zxid));
        }
        let mut waiting = std::mem::take(&mut self.notices);
        waiting.extend(notices);
        for notice in waiting {
            match self.find(&notice, now_ns, last) {
                Found::Write(write) => joined.deliveries.push(Delivery {
                    stream: notice.stream,
                    session: notice.session,
                    write,
                    received_ns: if notice.lost { now_ns.max(write.acked_ns) } else { notice.received_ns },
                    lost: notice.lost,
                }),
                // What never came is no event.
                Found::OfUnknown if notice.lost => {}
                Found::OfUnknown => joined.of_unknown.push(notice.stream),
                Found::Not => joined.unmatched.push(notice.stream),
                Found::NotYet if self.notices.len() < MAX_NOTICES => self.notices.push_back(notice),
                Found::NotYet => joined.dropped += 1,
            }
        }
        while let Some(&(acked_ns, subject, zxid)) = self.order.front() {
            let aged = acked_ns + MEMORY_NS < now_ns;
            if !aged && self.order.len() <= MAX_WRITES {
                break;
            }
            joined.dropped += u64::from(!aged);
            self.order.pop_front();
            if let Some(of_key) = self.writes.get_mut(&subject) {
                // The latest stays: it is the one that a lost event is measured from.
                if of_key.last_key_value().is_some_and(|(latest, _)| *latest != zxid) {
                    of_key.remove(&zxid);
                }
            }
        }
        joined
    }

    fn find(&mut self, notice: &NoticeRow, now_ns: u64, last: bool) -> Found {
        let subject = (notice.key, notice.change);
        let of_key = self.writes.get(&subject);
        if notice.lost {
            // The latest write is certain to be one that was not told; earlier ones only make the bound larger.
            return match of_key.and_then(|w| w.values().next_back()) {
                Some(write) => Found::Write(*write),
                None if self.unknown.has(subject) => Found::OfUnknown,
                None => Found::Not,
            };
        }
        if let Some(zxid) = notice.zxid {
            return match of_key.and_then(|w| w.get(&zxid)) {
                Some(write) => Found::Write(*write),
                None if !last && notice.received_ns + MEMORY_NS >= now_ns => Found::NotYet,
                None if self.unknown.claim(subject, zxid, notice.received_ns) => Found::OfUnknown,
                None => Found::Not,
            };
        }
        if !last && notice.received_ns + SETTLE_NS > now_ns {
            return Found::NotYet;
        }
        let watcher = (notice.stream, notice.session, subject);
        let after =
            self.told.get(&watcher).map_or(notice.set_at_zxid, |told| (*told).max(notice.set_at_zxid));
        let none = BTreeMap::new();
        let of_key = of_key.unwrap_or(&none);
        if let Some(told) = self.unknown.doubts(notice, watcher, of_key, after) {
            self.told.extend(told.map(|zxid| (watcher, zxid)));
            return Found::OfUnknown;
        }
        match of_key.range(after + 1..).next() {
            // An event cannot come before its write was sent: this one is of a write that is not in the log.
            Some((zxid, write)) if write.sent_ns <= notice.received_ns => {
                self.told.insert(watcher, *zxid);
                Found::Write(*write)
            }
            _ => Found::Not,
        }
    }
}

enum Found {
    Write(WriteRow),
    OfUnknown,
    Not,
    NotYet,
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn write(key: u32, zxid: i64, sent_ns: u64) -> WriteRow {
        WriteRow {
            key,
            change: Change::Data,
            zxid,
            intended_ns: sent_ns - 1,
            sent_ns,
            acked_ns: sent_ns + 10,
            phase: OpPhase::Measure,
        }
    }

    fn notice(key: u32, zxid: Option<i64>, received_ns: u64) -> NoticeRow {
        NoticeRow {
            stream: 1,
            session: 0,
            key,
            change: Change::Data,
            zxid,
            set_at_zxid: 0,
            received_ns,
            lost: false,
        }
    }

    fn zxids(joined: &Joined) -> Vec<i64> {
        joined.deliveries.iter().map(|d| d.write.zxid).collect()
    }

    #[test]
    fn events_find_their_write_by_its_id_also_when_they_come_first() {
        let mut join = Join::default();
        let first = join.take(&[], &[], &[notice(5, Some(7), S)], S, false);
        assert!(first.deliveries.is_empty() && first.unmatched.is_empty());
        // Two watchers, one write; another key with the same transaction (a multi) is another write.
        let second = join.take(
            &[write(5, 7, S), write(6, 7, S)],
            &[],
            &[notice(5, Some(7), S + 30), notice(6, Some(7), S + 40)],
            2 * S,
            false,
        );
        assert_eq!(second.deliveries.len(), 3);
        assert_eq!(second.deliveries[0].received_ns, S);
        assert_eq!(second.deliveries[2].write.key, 6);
    }

    #[test]
    fn an_event_whose_write_never_comes_is_unmatched() {
        let mut join = Join::default();
        assert!(join.take(&[], &[], &[notice(5, Some(7), S)], 30 * S, false).unmatched.is_empty());
        assert_eq!(join.take(&[], &[], &[], 32 * S, false).unmatched, [1]);
        join.take(&[], &[], &[notice(5, Some(8), 40 * S)], 40 * S, false);
        assert_eq!(join.take(&[], &[], &[], 41 * S, true).unmatched, [1]);
    }

    #[test]
    fn without_ids_events_follow_the_writes_in_their_order() {
        let mut join = Join::default();
        // A persistent watch, set at transaction 3: the write 2 was before it.
        let told = |received_ns| NoticeRow { set_at_zxid: 3, ..notice(5, None, received_ns) };
        let writes = [write(5, 2, S), write(5, 9, S + 20), write(5, 4, S)];
        join.take(&writes, &[], &[told(S + 5), told(S + 25)], 2 * S, false);
        assert_eq!(zxids(&join.take(&[], &[], &[], 5 * S, false)), [4, 9]);
        // The next one is of a write that nobody logged: the only later write was sent after it came.
        let late = join.take(&[write(5, 12, 6 * S)], &[], &[told(5 * S)], 9 * S, false);
        assert_eq!((late.deliveries.len(), late.unmatched.len()), (0, 1));
    }

    #[test]
    fn a_lost_event_is_measured_from_the_last_write() {
        let mut join = Join::default();
        let joined = join.take(
            &[write(5, 2, S), write(5, 3, 2 * S)],
            &[],
            &[NoticeRow::lost(1, 0, (5, Change::Data))],
            10 * S,
            true,
        );
        assert_eq!(joined.deliveries[0].write.zxid, 3);
        assert_eq!((joined.deliveries[0].received_ns, joined.deliveries[0].lost), (10 * S, true));
    }

    /// Whatever ages first: a lost event is measured from the write that was the last, and no other stays.
    #[test]
    fn the_last_write_of_a_key_is_the_one_that_stays() {
        let mut join = Join::default();
        join.take(&[write(5, 2, S)], &[], &[], 2 * S, false);
        join.take(&[], &[], &[], 50 * S, false);
        join.take(&[write(5, 3, 51 * S)], &[], &[], 52 * S, false);
        assert_eq!(join.writes[&(5, Change::Data)].len(), 1, "the older one has been forgotten");
        join.take(&[], &[], &[], 100 * S, false);
        let joined = join.take(&[], &[], &[NoticeRow::lost(1, 0, (5, Change::Data))], 101 * S, true);
        assert_eq!(joined.deliveries[0].write.zxid, 3);
    }

    #[test]
    fn memory_is_bounded() {
        let mut join = Join::default();
        for round in 0..4u64 {
            let writes: Vec<_> =
                (0..500_000).map(|i| write(i % 1000, (round * 500_000) as i64 + i64::from(i), S)).collect();
            join.take(&writes, &[], &[], S, false);
        }
        assert_eq!(join.order.len(), MAX_WRITES);
        join.take(&[], &[], &[], 100 * S, false);
        assert_eq!(join.order.len(), 0);
        assert_eq!(join.writes.values().map(BTreeMap::len).sum::<usize>(), 1000, "the last of each key");
    }
}
