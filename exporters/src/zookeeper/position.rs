//! What a member is, and where in the log.

use crate::sample::{Role, Sample};

/// Takes in a role that the member has told, and what follows from it.
pub(crate) fn take_role(sample: &mut Sample, role: Role) {
    // That it looks for a leader is a conclusion: what it says itself counts more.
    if sample.role.is_some_and(|known| known != Role::Candidate) {
        return;
    }
    sample.role = Some(role);
    let (has_leader, voter) = match role {
        Role::Leader | Role::Follower | Role::Standalone => (true, Some(true)),
        Role::Observer => (true, Some(false)),
        Role::Candidate | Role::ReadOnly => (false, None),
    };
    sample.has_leader = Some(has_leader);
    sample.voter = sample.voter.or(voter);
}

/// Takes in that the member serves no clients.
pub(super) fn take_not_serving(sample: &mut Sample) {
    sample.serving.get_or_insert(false);
}

/// Takes in the zxid of a ZooKeeper member: the term of its last transaction, and its number in that term.
///
/// The member is in that term at least. A leader's is in force from its first moment; a follower's follows with the
/// first transaction that it applies after the election. A zxid of term 0 is of none: they begin at 1.
pub(super) fn take_zxid(sample: &mut Sample, zxid: u64) {
    let (term, index) = (zxid >> 32, zxid & u64::from(u32::MAX));
    if sample.zxid.is_none() {
        sample.zxid = Some(zxid);
        sample.applied_term = Some(term);
        sample.applied_index = Some(index);
    }
    take_term(sample, term);
}

/// Terms rise: of two that a member has told at about the same time the later one is the greater.
pub(super) fn take_term(sample: &mut Sample, term: u64) {
    if term > 0 {
        sample.term = sample.term.max(Some(term));
    }
}
