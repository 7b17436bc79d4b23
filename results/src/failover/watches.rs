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
    if events.iter().any(|event| event.zxid == 0) {
        return None;
    }
    let told: HashSet<(u32, i64)> = events.iter().map(|event| (event.key, event.zxid)).collect();
    let mut writes = writes.filter(|write| write.kind == RowKind::Ok).peekable();
    writes.peek()?;
    Some(writes.filter(|write| !told.contains(&(write.key, write.zxid))).count() as u64)
}

/// Events that a session got again. `None` where events do not tell their transaction, and without any.
pub(crate) fn duplicates(events: &[HistoryRow]) -> Option<u64> {
    if events.is_empty() || events.iter().any(|event| event.zxid == 0) {
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
    /// All of them.
    pub(crate) count: u64,
}

/// Of the expiries that overlap `[from_ns, to_ns]`.
pub(crate) fn removal(expiries: &[HistoryRow], from_ns: u64, to_ns: u64) -> Removal {
    let mut removal = Removal::default();
    let overlaps = |row: &&HistoryRow| {
        row.intended_ns.min(row.ended_ns) <= to_ns && row.ended_ns.max(row.intended_ns) >= from_ns
    };
    for row in expiries.iter().filter(overlaps) {
        removal.count += 1;
        let took_ns = row.ended_ns.saturating_sub(row.intended_ns);
        let (longest_ns, is_open) = removal.longest_ns.unwrap_or_default();
        match row.kind {
            RowKind::Failed => removal.premature += 1,
            RowKind::Ok => removal.longest_ns = Some((longest_ns.max(took_ns), is_open)),
            RowKind::Unknown | RowKind::Shed | RowKind::Event => {
                removal.longest_ns = Some((longest_ns.max(took_ns), true));
            }
        }
    }
    removal
}
