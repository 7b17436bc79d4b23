//! Watch events and ephemeral nodes around a failover.

use std::collections::{HashMap, HashSet};

use quorumeter_record::{HistoryRow, RowKind};

/// When the watchers were served again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatchRecovery {
    /// The longest time that one of them waited for its first event, nanoseconds.
    pub(crate) ns: u64,
    /// One of them had none by the end.
    pub(crate) is_censored: bool,
}

/// From `from_ns` (writes are acknowledged again) to the first event of each of the `watchers` sessions: the longest of
/// them. Events come in the order of their times; `end_ns` is how far they are looked at. `None` without a watcher.
pub(crate) fn recovery(
    events: &[HistoryRow],
    watchers: u32,
    from_ns: u64,
    end_ns: u64,
) -> Option<WatchRecovery> {
    let mut first: HashMap<u32, u64> = HashMap::new();
    for event in events.iter().filter(|event| (from_ns..end_ns).contains(&event.ended_ns)) {
        first.entry(event.session).or_insert(event.ended_ns);
    }
    let waits = (0..watchers).map(|session| first.get(&session).copied());
    let ns = waits.clone().map(|t_ns| t_ns.unwrap_or(end_ns).saturating_sub(from_ns)).max()?;
    Some(WatchRecovery { ns, is_censored: waits.into_iter().any(|t_ns| t_ns.is_none()) })
}

/// Of the acknowledged writes, those whose event no watcher got. `None` where events do not tell their transaction, and
/// where there is no write.
pub(crate) fn missed<'a>(writes: impl Iterator<Item = &'a HistoryRow>, events: &[HistoryRow]) -> Option<u64> {
    if events.iter().any(|event| event.zxid <= 0) {
        return None;
    }
    let told: HashSet<(u32, i64)> = events.iter().map(|event| (event.key, event.zxid)).collect();
    let mut writes = writes.filter(|write| write.kind == RowKind::Ok).peekable();
    writes.peek()?;
    Some(writes.filter(|write| !told.contains(&(write.key, write.zxid))).count() as u64)
}

/// Events that a session got again. `None` where events do not tell their transaction, and without any.
pub(crate) fn duplicates(events: &[HistoryRow]) -> Option<u64> {
    if events.is_empty() || events.iter().any(|event| event.zxid <= 0) {
        return None;
    }
    let mut seen = HashSet::new();
    let again = events.iter().filter(|event| !seen.insert((event.session, event.key, event.zxid)));
    Some(again.count() as u64)
}

/// Ephemeral nodes of silent sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removal {
    /// The longest time from when one was due to go to when it was seen to be gone, nanoseconds, and whether one of them was
    /// not; `None` when none was due.
    pub(crate) longest_ns: Option<(u64, bool)>,
    /// Those that went before they were due.
    pub(crate) premature: u64,
}

/// Of the expiries that overlap `[from_ns, to_ns]`. Those that were seen to be gone after `known_ns` only, where there is
/// such a time, were not.
pub(crate) fn removal(expiries: &[HistoryRow], from_ns: u64, to_ns: u64, known_ns: Option<u64>) -> Removal {
    let mut removal = Removal::default();
    let overlaps = |row: &&HistoryRow| {
        row.intended_ns.min(row.ended_ns) <= to_ns && row.ended_ns.max(row.intended_ns) >= from_ns
    };
    for row in expiries.iter().filter(overlaps) {
        let ended_ns = row.ended_ns.min(known_ns.unwrap_or(u64::MAX));
        let took_ns = ended_ns.saturating_sub(row.intended_ns);
        let (longest_ns, is_open) = removal.longest_ns.unwrap_or_default();
        match row.kind {
            RowKind::Failed => removal.premature += 1,
            RowKind::Ok => {
                let is_open = is_open || ended_ns < row.ended_ns;
                removal.longest_ns = Some((longest_ns.max(took_ns), is_open));
            }
            RowKind::Unknown | RowKind::Shed | RowKind::Event => {
                removal.longest_ns = Some((longest_ns.max(took_ns), true));
            }
        }
    }
    removal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiry(intended_ns: u64, ended_ns: u64, kind: RowKind) -> HistoryRow {
        HistoryRow {
            intended_ns,
            released_ns: intended_ns,
            sent_ns: None,
            ended_ns,
            zxid: 0,
            session: 0,
            connection: 0,
            key: u32::MAX,
            code: 0,
            version: -1,
            stream: 0,
            member: None,
            op: 1,
            kind,
        }
    }

    #[test]
    fn ephemeral_nodes_go_late_or_too_early() {
        use RowKind::{Failed, Ok, Unknown};
        let rows = [
            expiry(10, 90, Ok),       // over before
            expiry(90, 130, Ok),      // 40
            expiry(150, 210, Ok),     // 60, and ends after
            expiry(190, 160, Failed), // 30 too early
            expiry(205, 300, Ok),     // due after
        ];
        let told = removal(&rows, 100, 200, None);
        assert_eq!(told, Removal { longest_ns: Some((60, false)), premature: 1 });
        let open = removal(&[expiry(120, 500, Unknown), expiry(120, 130, Ok)], 100, 200, None);
        assert_eq!(open.longest_ns, Some((380, true)));
        assert_eq!(removal(&rows, 400, 500, None), Removal::default());
        // What went after 200 only: 50 of the 60 are known.
        let known = removal(&rows, 100, 200, Some(200));
        assert_eq!(known, Removal { longest_ns: Some((50, true)), premature: 1 });
    }

    #[test]
    fn what_events_do_not_tell_is_not_counted() {
        let event = |zxid, session| HistoryRow { zxid, session, key: 1, ..expiry(5, 5, RowKind::Event) };
        let write = |zxid, kind| HistoryRow { zxid, key: 1, ..expiry(5, 5, kind) };
        let (ok, unknown) = (RowKind::Ok, RowKind::Unknown);
        let writes = [write(7, ok), write(8, ok), write(9, unknown)];
        assert_eq!(missed(writes.iter(), &[event(7, 0)]), Some(1));
        assert_eq!(missed(writes.iter(), &[event(7, 0), event(0, 0)]), None);
        assert_eq!(missed(writes[2..].iter(), &[event(7, 0)]), None);
        assert_eq!(duplicates(&[event(7, 0), event(7, 1), event(7, 0)]), Some(1));
        assert_eq!(duplicates(&[]), None);
        assert_eq!(duplicates(&[event(0, 0), event(0, 0)]), None);
    }

    #[test]
    fn the_last_watcher_counts() {
        let event = |ended_ns, session| HistoryRow { session, ..expiry(ended_ns, ended_ns, RowKind::Event) };
        let events = [event(90, 0), event(120, 1), event(130, 1), event(150, 0)];
        let told = |watchers, end_ns| recovery(&events, watchers, 100, end_ns).map(|r| (r.ns, r.is_censored));
        assert_eq!(told(2, 1000), Some((50, false)));
        assert_eq!(told(2, 140), Some((40, true)));
        assert_eq!(told(3, 1000), Some((900, true)));
        assert_eq!(told(0, 1000), None);
    }
}
