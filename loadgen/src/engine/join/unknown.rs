//! Writes of unknown outcome, and what they leave in doubt.
//!
//! An event without a transaction id is known by its place in the order alone: it is of the first write after those that
//! were told before. A write of unknown outcome may have a place in that order, or none. So for a watcher's e-th event
//! since its place was last known, with m acknowledged writes and k of unknown outcome that were sent before it came:
//!
//! | e | what is known |
//! |---|---|
//! | e < m + k | the event is doubtful: it is of one of them, nobody can say of which |
//! | e = m + k | all of them have happened and have been told: from now on the place is known again |
//!
//! A write is in doubt no more for a watch that was set after another write of the same node, which was sent when the one
//! in doubt had been given up.

use std::collections::{BTreeMap, HashMap};

use super::{MAX_WRITES, NoticeRow, Subject, UnknownRow, WriteRow};

/// A watcher of a node: stream, session and subject.
type Watcher = (u16, u32, Subject);

/// The writes of unknown outcome of a run.
#[derive(Default)]
pub(super) struct UnknownWrites {
    /// In the order in which they were given up.
    writes: HashMap<Subject, Vec<UnknownWrite>>,
    count: usize,
    /// Where watchers stand whose events are or were doubtful.
    places: HashMap<Watcher, Place>,
}

struct UnknownWrite {
    sent_ns: u64,
    given_up_ns: u64,
    /// Its transaction, once an event has told it.
    zxid: Option<i64>,
}

/// Where a watcher stands.
#[derive(Default)]
struct Place {
    set_at_zxid: i64,
    /// Doubtful events of that watch since its place was last known.
    events: usize,
    /// The writes that are in doubt no more: the first so many, as far as they were sent by that time.
    settled: (usize, u64),
}

impl UnknownWrites {
    /// Takes the writes that were given up in an interval. Returns how many there was no room for.
    pub(super) fn add(&mut self, rows: &[UnknownRow]) -> u64 {
        let room = MAX_WRITES - self.count;
        for row in rows.iter().take(room) {
            let write = UnknownWrite { sent_ns: row.sent_ns, given_up_ns: row.given_up_ns, zxid: None };
            self.writes.entry((row.key, row.change)).or_default().push(write);
            self.count += 1;
        }
        rows.len().saturating_sub(room) as u64
    }

    /// Whether there are any of this subject.
    pub(super) fn has(&self, subject: Subject) -> bool {
        self.writes.contains_key(&subject)
    }

    /// Whether an event of a transaction that no reply named may be of one of them; that one is then of this transaction
    /// and no other.
    pub(super) fn claim(&mut self, subject: Subject, zxid: i64, received_ns: u64) -> bool {
        let Some(writes) = self.writes.get_mut(&subject) else { return false };
        if writes.iter().any(|write| write.zxid == Some(zxid)) {
            return true;
        }
        let free = writes.iter_mut().find(|write| write.zxid.is_none() && write.sent_ns <= received_ns);
        free.map(|write| write.zxid = Some(zxid)).is_some()
    }

    /// Whether an event without an id is doubtful. `acked` are the acknowledged writes of its subject, of which the
    /// watcher knew those up to `after`. If it is, and the watcher's place is known again after it, tells up to which
    /// transaction.
    pub(super) fn doubts(
        &mut self,
        notice: &NoticeRow,
        watcher: Watcher,
        acked: &BTreeMap<i64, WriteRow>,
        after: i64,
    ) -> Option<Option<i64>> {
        let writes = self.writes.get(&watcher.2)?;
        let place = self.places.entry(watcher).or_default();
        if place.set_at_zxid != notice.set_at_zxid {
            (place.set_at_zxid, place.events) = (notice.set_at_zxid, 0);
        }
        let seen = acked.range(..=notice.set_at_zxid).next_back();
        let (settled, settled_ns) = place.settled;
        let in_doubt = writes.iter().enumerate().filter(|(number, write)| {
            let is_settled = *number < settled && write.sent_ns <= settled_ns;
            let is_over = seen.is_some_and(|(_, later)| later.sent_ns > write.given_up_ns);
            write.sent_ns <= notice.received_ns && !is_settled && !is_over
        });
        let in_doubt = in_doubt.count();
        if in_doubt == 0 {
            return None;
        }
        let sent = acked.range(after + 1..).filter(|(_, write)| write.sent_ns <= notice.received_ns);
        let (known, last) = sent.fold((0, None), |(n, _), (zxid, _)| (n + 1, Some(*zxid)));
        place.events += 1;
        if place.events < known + in_doubt {
            return Some(None);
        }
        (place.events, place.settled) = (0, (writes.len(), notice.received_ns));
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use quorumeter_record::OpPhase;
    use quorumeter_targets::Change;

    use super::super::{Join, Joined};
    use super::*;

    const S: u64 = 1_000_000_000;

    fn unknown(key: u32, sent_ns: u64, given_up_ns: u64) -> UnknownRow {
        UnknownRow { key, change: Change::Data, sent_ns, given_up_ns, phase: OpPhase::Measure }
    }

    fn write(zxid: i64, sent_ns: u64) -> WriteRow {
        let phase = OpPhase::Measure;
        let (intended_ns, acked_ns) = (sent_ns - 1, sent_ns + 10);
        WriteRow { key: 5, change: Change::Data, zxid, intended_ns, sent_ns, acked_ns, phase }
    }

    fn told(zxid: Option<i64>, set_at_zxid: i64, received_ns: u64) -> NoticeRow {
        NoticeRow { zxid, set_at_zxid, received_ns, lost: false, ..NoticeRow::lost(1, 0, (5, Change::Data)) }
    }

    /// Transactions of the deliveries, events of unknown writes, unmatched events.
    fn counts(joined: &Joined) -> (Vec<i64>, usize, usize) {
        let zxids = joined.deliveries.iter().map(|d| d.write.zxid).collect();
        (zxids, joined.of_unknown.len(), joined.unmatched.len())
    }

    /// Two events of one transaction, from two watchers, are of one write; another transaction is another's.
    #[test]
    fn events_with_an_id_belong_to_as_many_unknown_writes_as_there_are() {
        let mut join = Join::default();
        let events = [(8, S + 5), (8, S + 6), (9, S + 7), (7, S - 1)].map(|(z, t)| told(Some(z), 0, t));
        let rows = [unknown(5, S, 2 * S), unknown(6, S, 2 * S)];
        let joined = join.take(&[write(3, S)], &rows, &events, 3 * S, true);
        // Transaction 9 would be a second one of the key, and 7 was told before the write was sent.
        assert_eq!(counts(&joined), (vec![], 2, 2));
    }

    #[test]
    fn a_reply_that_comes_later_still_names_its_write() {
        let mut join = Join::default();
        let first = join.take(&[], &[unknown(5, S, 2 * S)], &[told(Some(8), 0, S + 5)], 3 * S, false);
        assert_eq!(counts(&first), (vec![], 0, 0));
        let second = join.take(&[write(8, S)], &[], &[], 4 * S, false);
        assert_eq!(counts(&second), (vec![8], 0, 0));
    }

    /// A persistent watch, told of the unknown write before the next one was sent: no doubt is left.
    #[test]
    fn without_ids_the_place_is_known_again_when_only_the_unknown_write_can_have_been_told() {
        let mut join = Join::default();
        let writes = [write(4, S), write(6, 3 * S), write(7, 4 * S)];
        let events = [S + 20, 2 * S + 20, 3 * S + 20, 4 * S + 20].map(|t| told(None, 1, t));
        let joined = join.take(&writes, &[unknown(5, 2 * S, 2 * S + 500)], &events, 9 * S, true);
        assert_eq!(counts(&joined), (vec![4, 6, 7], 1, 0));
    }

    /// The unknown write's event comes when the next one has been sent: which is which can be said of neither.
    #[test]
    fn without_ids_events_are_doubtful_until_all_have_been_told() {
        let mut join = Join::default();
        let writes = [write(4, S), write(6, 3 * S), write(7, 4 * S)];
        let events = [S + 20, 3 * S + 20, 3 * S + 30, 4 * S + 20].map(|t| told(None, 1, t));
        let joined = join.take(&writes, &[unknown(5, 2 * S, 2 * S + 500)], &events, 9 * S, true);
        assert_eq!(counts(&joined), (vec![4, 7], 2, 0));
        // It never happened: a persistent watch has no way to know.
        let mut join = Join::default();
        let events = [S + 20, 3 * S + 20, 4 * S + 20].map(|t| told(None, 1, t));
        let joined = join.take(&writes, &[unknown(5, 2 * S, 2 * S + 500)], &events, 9 * S, true);
        assert_eq!(counts(&joined), (vec![4], 2, 0));
    }

    /// A one-shot watch that was set after a later write knows of nothing before that.
    #[test]
    fn without_ids_a_watch_that_is_set_again_ends_the_doubt() {
        let mut join = Join::default();
        let writes = [write(4, S), write(6, 3 * S), write(7, 4 * S)];
        let events = [(1, S + 20), (4, 3 * S + 20), (6, 4 * S + 20)].map(|(set, t)| told(None, set, t));
        let joined = join.take(&writes, &[unknown(5, 2 * S, 2 * S + 500)], &events, 9 * S, true);
        assert_eq!(counts(&joined), (vec![4, 7], 1, 0));
    }

    #[test]
    fn a_lost_event_of_unknown_writes_alone_is_no_event() {
        let mut join = Join::default();
        let lost = NoticeRow::lost(1, 0, (5, Change::Data));
        let joined = join.take(&[], &[unknown(5, S, 2 * S)], &[lost], 9 * S, true);
        assert_eq!(counts(&joined), (vec![], 0, 0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut writes = UnknownWrites::default();
        let rows = vec![unknown(5, S, S); MAX_WRITES - 1];
        assert_eq!(writes.add(&rows), 0);
        assert_eq!(writes.add(&rows[..3]), 2);
    }
}
