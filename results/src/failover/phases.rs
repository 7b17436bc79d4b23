//! What the members tell of a failover: when they saw it, when they had a new leader, when that one served. A poll never
//! decides an outage; it explains one.

use quorumeter_record::{MemberLine, TimeSum};

/// The instants that members' polls tell, nanoseconds since the run's start. Each is the time at which an answer was
/// complete, so it is late by up to a poll's period and its answer's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Phases {
    /// t2: a survivor first said that it is out of service, or in an election.
    pub(crate) detected_ns: Option<u64>,
    /// t3: a survivor first said that it leads in a new term, or follows such a leader as far as discovery.
    pub(crate) elected_ns: Option<u64>,
    /// t4: that leader first said that it serves.
    pub(crate) serving_ns: Option<u64>,
}

/// Reads the phases from the lines of one repetition, in the order of their times, of which some are of victims. Only what
/// survivors tell at or after `t0_ns` counts, and what it is compared with is what all members told before.
pub(crate) fn phases(lines: &[MemberLine], victims: &[String], t0_ns: u64) -> Phases {
    let (before, after) = lines.split_at(lines.partition_point(|line| line.t_ns < t0_ns));
    let survivors = || after.iter().filter(|line| !victims.contains(&line.member));
    let old_term = before.iter().filter_map(|line| line.term).max();
    let old_leader = before.iter().rfind(|line| line.leads()).map(|line| line.member.as_str());
    let detected_ns = survivors().find(|line| line.is_out_of_service()).map(|line| line.t_ns);
    let in_new_term = |line: &MemberLine| old_term.is_some() && line.term > old_term;
    let has_taken_over = |line: &MemberLine| line.leads() && old_leader.is_some_and(|old| old != line.member);
    let elected = survivors().find(|line| {
        let joins = matches!(line.zab_state.as_deref(), Some("discovery" | "synchronization"));
        let after_election = detected_ns.is_some_and(|t2_ns| line.t_ns >= t2_ns);
        has_taken_over(line) || in_new_term(line) || joins && after_election
    });
    let serving = elected.and_then(|elected| {
        survivors().find(|line| {
            let is_new = in_new_term(line) || has_taken_over(line) || detected_ns.is_some();
            line.t_ns >= elected.t_ns && line.leads() && line.broadcasts() && is_new
        })
    });
    Phases {
        detected_ns,
        elected_ns: elected.map(|line| line.t_ns),
        serving_ns: serving.map(|line| line.t_ns),
    }
}

/// Which of the times that a member counts.
pub(crate) type Counter = fn(&MemberLine) -> Option<TimeSum>;

/// By how much one of the members' own counters of time grew from before `t0_ns` to after `t6_ns`: the most of all
/// survivors, nanoseconds. `None` when it grew at none of them.
pub(crate) fn counted_ns(
    lines: &[MemberLine],
    victims: &[String],
    counter: Counter,
    t0_ns: u64,
    t6_ns: u64,
) -> Option<u64> {
    let members: std::collections::BTreeSet<&str> =
        lines.iter().map(|line| line.member.as_str()).filter(|m| !victims.iter().any(|v| v == m)).collect();
    let grown = members.into_iter().filter_map(|member| {
        let of_member = || lines.iter().filter(|line| line.member == member);
        let before = of_member().filter(|line| line.t_ns < t0_ns).filter_map(counter).next_back()?;
        let after = of_member().filter(|line| line.t_ns > t6_ns).find_map(counter)?;
        // One that counts less than before was started again.
        after.count.checked_sub(before.count).filter(|count| *count > 0)?;
        after.sum_ns.checked_sub(before.sum_ns)
    });
    grown.max()
}

trait Told {
    fn leads(&self) -> bool;
    fn broadcasts(&self) -> bool;
    fn is_out_of_service(&self) -> bool;
}

impl Told for MemberLine {
    fn leads(&self) -> bool {
        self.role.as_deref() == Some("leader")
    }

    /// A member that does not tell its state, but a role, serves.
    fn broadcasts(&self) -> bool {
        self.zab_state.as_deref().is_none_or(|state| state == "broadcast")
    }

    /// It answered, and said so: silence may be a busy machine.
    fn is_out_of_service(&self) -> bool {
        let answered = self.answer_ns.is_some();
        answered && matches!(self.role.as_deref(), None | Some("read-only")) || !self.broadcasts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line: time in ms, member, role, state, term.
    fn line(t_ms: u64, member: &str, role: &str, state: &str, term: i64) -> MemberLine {
        let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        MemberLine {
            t_ns: t_ms * 1_000_000,
            member: member.to_owned(),
            role: told(role),
            zab_state: told(state),
            term: (term > 0).then_some(term),
            answer_ns: Some(1),
            ..MemberLine::default()
        }
    }

    fn ms(phases: Phases) -> [Option<u64>; 3] {
        [phases.detected_ns, phases.elected_ns, phases.serving_ns].map(|t| t.map(|ns| ns / 1_000_000))
    }

    fn before() -> Vec<MemberLine> {
        vec![
            line(80, "a", "leader", "broadcast", 1),
            line(80, "b", "follower", "broadcast", 1),
            line(80, "c", "follower", "broadcast", 1),
        ]
    }

    #[test]
    fn a_leader_that_dies_is_followed_by_three_phases() {
        let mut lines = before();
        lines.extend([
            line(110, "b", "follower", "broadcast", 1),
            line(120, "a", "", "election", 0), // the victim does not count
            line(130, "c", "", "election", 1),
            line(150, "b", "", "election", 1),
            line(350, "b", "", "discovery", 1),
            line(370, "b", "", "synchronization", 2),
            line(390, "c", "follower", "synchronization", 2),
            line(410, "b", "leader", "broadcast", 2),
        ]);
        let victims = ["a".to_owned()];
        assert_eq!(ms(phases(&lines, &victims, 100_000_000)), [Some(130), Some(350), Some(410)]);
    }

    #[test]
    fn roles_alone_tell_what_they_can() {
        let mut lines: Vec<MemberLine> = before();
        lines.extend([line(130, "c", "", "", 0), line(400, "b", "leader", "", 2)]);
        for line in &mut lines {
            line.zab_state = None;
        }
        let victims = ["a".to_owned()];
        assert_eq!(ms(phases(&lines, &victims, 100_000_000)), [Some(130), Some(400), Some(400)]);
        // Terms that nobody told before are not new.
        for line in &mut lines[..3] {
            line.term = None;
        }
        assert_eq!(ms(phases(&lines, &victims, 100_000_000)), [Some(130), Some(400), Some(400)]);
        // No answer tells nothing.
        lines[3].answer_ns = None;
        assert_eq!(ms(phases(&lines, &victims, 100_000_000)), [None, Some(400), Some(400)]);
    }

    #[test]
    fn a_follower_that_dies_has_no_phases() {
        let mut lines = before();
        lines.extend([
            line(110, "a", "leader", "broadcast", 1),
            line(130, "b", "", "", 0),
            line(200, "c", "follower", "broadcast", 1),
            line(300, "a", "leader", "broadcast", 1),
        ]);
        assert_eq!(ms(phases(&lines, &["b".to_owned()], 100_000_000)), [None; 3]);
    }

    #[test]
    fn the_most_of_the_survivors_counters_is_told() {
        let election: Counter = |line| line.elections;
        let with = |t_ms, member, count, ms: u64| MemberLine {
            elections: Some(TimeSum { count, sum_ns: ms * 1_000_000 }),
            ..line(t_ms, member, "follower", "", 1)
        };
        let lines = [
            with(10, "a", 1, 100),
            with(10, "b", 1, 100),
            with(20, "c", 7, 900),
            with(300, "b", 2, 900), // before t6
            with(600, "a", 9, 99_000),
            with(600, "b", 2, 320),
            with(600, "c", 1, 30), // started again
            with(700, "b", 3, 999),
        ];
        let victims = ["a".to_owned()];
        assert_eq!(counted_ns(&lines, &victims, election, 100_000_000, 500_000_000), Some(220_000_000));
        assert_eq!(counted_ns(&lines, &victims, election, 100_000_000, 900_000_000), None);
        assert_eq!(counted_ns(&lines, &victims, |l| l.unavailable, 0, 0), None);
    }
}
