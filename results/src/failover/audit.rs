//! Whether acknowledged writes are still there, and what became of those of unknown outcome.
//!
//! Each node has one writer, whose every write raises its version by one. So the versions of its acknowledged writes are
//! distinct and rise, what is missing between two of them are writes of unknown outcome that landed, and a version that is
//! given again was lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use quorumeter_record::{HistoryRow, RowKind};

use super::course::Audit;

/// The writes of one node.
#[derive(Debug, Clone, Default)]
struct Node {
    /// All of them, by intended time.
    writes: Vec<HistoryRow>,
    /// The acknowledged ones.
    acked: Vec<Acked>,
}

/// An acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Acked {
    ended_ns: u64,
    version: i32,
    zxid: i64,
    /// Its version was given again.
    is_overtaken: bool,
}

/// The writes of all nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writes {
    nodes: BTreeMap<u32, Node>,
}

/// What became of the writes of unknown outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// They were applied.
    pub(crate) landed: u64,
    /// They were not.
    pub(crate) absent: u64,
    /// No later write and no audit tells.
    pub(crate) unresolved: u64,
    /// Writes that landed without one of unknown outcome to explain them.
    pub(crate) unexplained: u64,
}

impl Writes {
    /// Sorts the slots of all write probes by node.
    pub(crate) fn new<'a>(slots: impl IntoIterator<Item = &'a HistoryRow>) -> Writes {
        let mut writes = Writes::default();
        for slot in slots {
            writes.nodes.entry(slot.key).or_default().writes.push(*slot);
        }
        for node in writes.nodes.values_mut() {
            node.writes.sort_by_key(|write| write.intended_ns);
            node.acked = acknowledged(&node.writes);
        }
        writes
    }

    /// Writes that were acknowledged in `(after_ns, until_ns]` and are lost: a write that was sent later, or another one
    /// with another transaction, was given the same or a lower version; or a member was found with a lower version or an
    /// older transaction, or without the node, by one of the audits.
    pub(crate) fn lost(&self, audits: &[&Audit], after_ns: u64, until_ns: u64) -> u64 {
        self.nodes.iter().map(|(key, node)| node.lost(*key, audits, after_ns, until_ns)).sum()
    }

    /// What became of those that are intended in `[from_ns, to_ns]` and whose outcome is unknown: told by the versions of the
    /// acknowledged writes around them, and behind the last one by the audits.
    pub(crate) fn resolve(&self, audits: &[&Audit], from_ns: u64, to_ns: u64) -> Resolved {
        let mut resolved = Resolved::default();
        for (key, node) in &self.nodes {
            let found =
                audits.iter().filter(|audit| audit.key == *key).filter_map(|audit| audit.version).max();
            node.resolve(found, from_ns, to_ns, &mut resolved);
        }
        resolved
    }

    /// Nodes with an acknowledged write that none of the audits looked at.
    pub(crate) fn not_audited(&self, audits: &[&Audit]) -> u64 {
        let seen: BTreeSet<u32> = audits.iter().map(|audit| audit.key).collect();
        self.nodes.iter().filter(|(key, node)| !node.acked.is_empty() && !seen.contains(key)).count() as u64
    }
}

/// A write whose reply says that it was applied, and with which version.
fn is_acked(write: &HistoryRow) -> bool {
    write.kind == RowKind::Ok && write.version >= 0
}

/// The acknowledged ones of a node's writes: a version that was given again was so to a write that was sent later, or to
/// another transaction.
fn acknowledged(writes: &[HistoryRow]) -> Vec<Acked> {
    let acked = || writes.iter().filter(|write| is_acked(write));
    // By when they were sent, with the least version from each of them on.
    let mut sent: Vec<(u64, i32)> =
        acked().map(|write| (write.sent_ns.unwrap_or(write.intended_ns), write.version)).collect();
    sent.sort_unstable();
    let mut least = i32::MAX;
    for (_, version) in sent.iter_mut().rev() {
        least = least.min(*version);
        *version = least;
    }
    // Of each version the transaction that was acknowledged last.
    let mut last: HashMap<i32, (u64, i64)> = HashMap::new();
    for write in acked() {
        let given = last.entry(write.version).or_default();
        *given = (*given).max((write.ended_ns, write.zxid));
    }
    let overtaken = |write: &HistoryRow| {
        let later = sent.partition_point(|(sent_ns, _)| *sent_ns < write.ended_ns);
        let by_later = sent.get(later).is_some_and(|(_, least)| *least <= write.version);
        by_later || last[&write.version].1 != write.zxid
    };
    acked()
        .map(|write| Acked {
            ended_ns: write.ended_ns,
            version: write.version,
            zxid: write.zxid,
            is_overtaken: overtaken(write),
        })
        .collect()
}

impl Node {
    fn lost(&self, key: u32, audits: &[&Audit], after_ns: u64, until_ns: u64) -> u64 {
        let audits: Vec<&&Audit> = audits.iter().filter(|audit| audit.key == key).collect();
        let is_missing = |write: &Acked| {
            audits.iter().any(|audit| {
                audit.version.is_none_or(|version| version < write.version)
                    || audit.mzxid.is_some_and(|mzxid| mzxid < write.zxid)
            })
        };
        let in_time = |write: &&Acked| write.ended_ns > after_ns && write.ended_ns <= until_ns;
        self.acked.iter().filter(in_time).filter(|write| write.is_overtaken || is_missing(write)).count()
            as u64
    }

    fn resolve(&self, found: Option<i32>, from_ns: u64, to_ns: u64, resolved: &mut Resolved) {
        let mut before: Option<i32> = None;
        // Since the acknowledged write before: how many are unknown, and how many of those are asked about.
        let (mut unknown, mut asked) = (0_u64, 0_u64);
        let mut settle = |before: i32, after: i32, unknown: u64, asked: u64| {
            let landed = u64::try_from(i64::from(after) - i64::from(before)).unwrap_or(0);
            if asked > 0 {
                let of_asked = landed.min(asked);
                resolved.landed += of_asked;
                resolved.absent += asked - of_asked;
                resolved.unexplained += landed.saturating_sub(unknown);
            }
        };
        for write in &self.writes {
            if is_acked(write) {
                match before {
                    Some(before) => settle(before, write.version - 1, unknown, asked),
                    None => resolved.unresolved += asked,
                }
                (before, unknown, asked) = (Some(write.version), 0, 0);
            } else if write.kind == RowKind::Unknown {
                unknown += 1;
                asked += u64::from((from_ns..=to_ns).contains(&write.intended_ns));
            }
        }
        match before.zip(found) {
            // An older audit tells nothing of later writes.
            Some((before, found)) if found >= before => settle(before, found, unknown, asked),
            _ => resolved.unresolved += asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write every 10 ns, answered after 5: version, and 0 for one of unknown outcome, −1 for one that failed. The zxid is
    /// the version and 100 × `term`.
    fn writes(script: &[(i32, i64)]) -> Vec<HistoryRow> {
        let write = |(i, (version, term)): (u64, &(i32, i64))| HistoryRow {
            intended_ns: i * 10,
            released_ns: i * 10,
            sent_ns: Some(i * 10 + 1),
            ended_ns: i * 10 + 5,
            zxid: if *version > 0 { i64::from(*version) + 100 * term } else { 0 },
            session: 0,
            connection: 1,
            key: 3,
            code: 0,
            version: if *version > 0 { *version } else { -1 },
            stream: 0,
            member: Some(0),
            op: 0,
            kind: match version {
                0 => RowKind::Unknown,
                -1 => RowKind::Failed,
                _ => RowKind::Ok,
            },
        };
        (0..).zip(script).map(write).collect()
    }

    fn audit(version: Option<i32>, mzxid: i64) -> Audit {
        Audit { t_ns: 1000, repetition: 1, key: 3, version, mzxid: version.map(|_| mzxid) }
    }

    fn lost(script: &[(i32, i64)], audits: &[Audit]) -> u64 {
        let audits: Vec<&Audit> = audits.iter().collect();
        Writes::new(&writes(script)).lost(&audits, 0, 1000)
    }

    #[test]
    fn an_acknowledged_write_is_lost_when_its_version_is_given_again_or_not_found() {
        let whole = [(1, 1), (2, 1), (0, 1), (4, 2), (5, 2)];
        for (script, audits, expected) in [
            (&whole[..], vec![], 0),
            (&whole, vec![audit(Some(5), 205)], 0),
            (&whole, vec![audit(Some(7), 207)], 0),
            (&whole, vec![audit(Some(4), 204)], 1),
            (&whole, vec![audit(Some(5), 205), audit(Some(3), 203)], 2), // one member is behind
            (&whole, vec![audit(Some(5), 204)], 1),                      // its transaction is older
            (&whole, vec![audit(None, 0)], 4),
            (&[(1, 1), (2, 1), (2, 2), (3, 2)], vec![], 1),
            (&[(1, 1), (2, 1), (3, 1), (2, 2)], vec![], 2), // 3 will be given again
            (&[(1, 1), (2, 1), (3, 1), (1, 2)], vec![], 3),
        ] {
            assert_eq!(lost(script, &audits), expected, "{script:?} {audits:?}");
        }
        // Another node's audit says nothing.
        assert_eq!(lost(&whole, &[Audit { key: 4, ..audit(None, 0) }]), 0);
    }

    #[test]
    fn each_loss_counts_once_and_where_it_was_acknowledged() {
        let writes = Writes::new(&writes(&[(1, 1), (2, 1), (3, 1), (4, 1)]));
        let found = audit(Some(1), 101);
        assert_eq!(writes.lost(&[&found], 0, 25), 2);
        assert_eq!(writes.lost(&[&found], 25, 1000), 1);
        assert_eq!(writes.not_audited(&[&found]), 0);
        assert_eq!(writes.not_audited(&[]), 1);
    }

    #[test]
    fn pipelined_writes_of_one_version_are_lost_once() {
        let mut writes = writes(&[(1, 1), (2, 1), (2, 2)]);
        writes[2].sent_ns = Some(12); // before the other was answered
        assert_eq!(Writes::new(&writes).lost(&[], 0, 1000), 1);
        // The same reply twice is no other write.
        writes[2].zxid = writes[1].zxid;
        assert_eq!(Writes::new(&writes).lost(&[], 0, 1000), 0);
    }

    #[test]
    fn versions_tell_which_unknown_writes_landed() {
        let resolved =
            |landed, absent, unresolved, unexplained| Resolved { landed, absent, unresolved, unexplained };
        for (script, found, expected) in [
            (&[(1, 1), (0, 1), (0, 1), (3, 2)][..], None, resolved(1, 1, 0, 0)),
            (&[(1, 1), (0, 1), (-1, 1), (2, 2)], None, resolved(0, 1, 0, 0)),
            (&[(1, 1), (0, 1), (0, 1), (4, 2)], None, resolved(2, 0, 0, 0)),
            (&[(1, 1), (0, 1), (4, 2)], None, resolved(1, 0, 0, 1)),
            (&[(1, 1), (0, 1), (0, 1)], None, resolved(0, 0, 2, 0)),
            (&[(1, 1), (0, 1), (0, 1)], Some(2), resolved(1, 1, 0, 0)),
            (&[(5, 1), (0, 1)], Some(2), resolved(0, 0, 1, 0)), // of an audit before
            (&[(0, 1), (2, 1)], None, resolved(0, 0, 1, 0)),
            (&[(1, 1), (2, 1)], Some(2), resolved(0, 0, 0, 0)),
        ] {
            let audit = audit(found, 1000);
            let audits: Vec<&Audit> = found.iter().map(|_| &audit).collect();
            let writes = Writes::new(&writes(script));
            assert_eq!(writes.resolve(&audits, 0, 1000), expected, "{script:?} {found:?}");
            assert_eq!(writes.resolve(&audits, 500, 1000), Resolved::default(), "none are asked about");
        }
    }
}
