//! What is drawn of each repetition.

use quorumeter_record::{FaultStage, MemberLine, ProbeRole, RepetitionSummary};

use super::course::Course;
use super::probes::{Client, mark};
use super::repetition::{Facts, scale};
use super::{MarkedSlot, MemberSpan, Picture, ProbeRow};

/// So much of the time before the fault is drawn.
const BEFORE_NS: u64 = 500_000_000;
/// And so much after the rejoin, where the repetition goes on for longer.
const AFTER_NS: u64 = 500_000_000;

/// The picture of one repetition: from shortly before the fault to shortly after the rejoin.
pub(crate) fn picture(course: &Course, measured: &RepetitionSummary, facts: Facts<'_>) -> Picture {
    let members = facts.members;
    let t0 = measured.instants_ns.get("t0").copied();
    let start_ns = t0.map_or(course.start_ns(), |t0| t0.saturating_sub(BEFORE_NS).max(course.start_ns()));
    let over_ns = course.first(FaultStage::Over).unwrap_or(facts.end_ns);
    let rejoined_ns = measured.instants_ns.get("t10").or(measured.instants_ns.get("t9"));
    let end_ns = rejoined_ns.map_or(over_ns, |t_ns| over_ns.min(t_ns + AFTER_NS)).max(start_ns);
    let is_drawn = |t_ns: u64| (start_ns..=end_ns).contains(&t_ns);
    let victims: Vec<u32> =
        (0..).zip(members).filter(|(_, member)| measured.victims.contains(member)).map(|(i, _)| i).collect();
    let thresholds = [ProbeRole::Write, ProbeRole::Read]
        .map(|role| scale(facts, role, course.start_ns(), t0.unwrap_or(over_ns)).threshold_ns);
    let probe = |client: &Client| {
        let threshold_ns = thresholds[usize::from(client.role == ProbeRole::Read)];
        let slots = client.between(start_ns, end_ns.saturating_add(1)).iter();
        let slots =
            slots.map(|slot| MarkedSlot { intended_ns: slot.intended_ns, mark: mark(slot, threshold_ns) });
        ProbeRow {
            label: client.label.clone(),
            is_victims: client.is_victims(&victims),
            slots: slots.collect(),
        }
    };
    Picture {
        repetition: course.repetition,
        start_ns,
        end_ns,
        stages: course.stages.iter().filter(|mark| is_drawn(mark.t_ns)).cloned().collect(),
        members: spans(members, facts.lines.iter().filter(|line| is_drawn(line.t_ns))),
        probes: facts.probes.clients.iter().map(probe).collect(),
    }
}

/// The times in which each member told the same role.
fn spans<'a>(members: &[String], lines: impl Iterator<Item = &'a MemberLine> + Clone) -> Vec<MemberSpan> {
    let mut spans = Vec::new();
    for (member, address) in (0..).zip(members) {
        let mut last: Option<MemberSpan> = None;
        for line in lines.clone().filter(|line| line.member == *address) {
            match &mut last {
                Some(span) if span.role == line.role => span.end_ns = line.t_ns,
                _ => {
                    let (start_ns, end_ns) = (line.t_ns, line.t_ns);
                    spans.extend(last.replace(MemberSpan {
                        member,
                        start_ns,
                        end_ns,
                        role: line.role.clone(),
                    }));
                }
            }
        }
        spans.extend(last);
    }
    spans
}
