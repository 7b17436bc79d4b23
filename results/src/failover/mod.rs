//! Failover: how long clients were without the service, from the history of every probe.
//!
//! | module | from | to |
//! |---|---|---|
//! | `probes` | history rows | the slots of every client |
//! | `course` | events | the steps of each repetition, sessions, audits |
//! | `outage` | slots | runs of failing ones with their bounds, gaps between acknowledgements |
//! | `steady`, `phases`, `sessions`, `watches`, `audit` | slots, polls, events | the other metrics |
//! | `repetition` | all of these | instants, numbers and validity of one repetition |
//! | `summary` | the repetitions | [`FailoverSummary`], warnings, reasons |
//! | `drawing` | one repetition | its [`Picture`] |
//! | `live` | rows so far | [`recovered_ns`] and [`rejoined_ns`] for the control |

mod audit;
mod course;
mod drawing;
mod live;
pub(crate) mod metrics;
mod outage;
mod phases;
mod picture;
mod probes;
mod repetition;
mod sessions;
mod stats;
mod steady;
mod summary;
mod values;
mod watches;

#[cfg(test)]
pub(crate) mod simulator;

use quorumeter_record::{
    Event, FailoverPlan, FailoverSummary, HistoryRow, InvalidRepetition, Manifest, MemberLine, ProbeRole,
    ReadError, RecordReader,
};

pub use live::{recovered_ns, rejoined_ns};
pub use picture::{Mark, MarkedSlot, MemberSpan, Picture, ProbeRow, StageMark};
#[cfg(test)]
pub(crate) use stats::durations;
pub use stats::{median_ranks, unseen_rate_upper};
pub(crate) use summary::{lost_acked_writes, too_few, warnings};

/// A failover measurement, judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    pub(crate) summary: FailoverSummary,
    pub(crate) pictures: Vec<Picture>,
}

/// Reads the record of a failover measurement and judges it. `end_ns` is how far the record reaches.
pub(crate) fn read(record: &RecordReader, plan: &FailoverPlan, end_ns: u64) -> Result<Judged, ReadError> {
    let events: Vec<Event> = record.events()?.collect::<Result<_, _>>()?;
    let lines: Vec<MemberLine> = record.members()?.collect::<Result<_, _>>()?;
    let rows: Vec<HistoryRow> = record.history()?.collect::<Result<_, _>>()?;
    Ok(judge(record.manifest(), plan, &rows, &events, lines, end_ns))
}

/// Judges a failover measurement from its history, its events and the polls of its members.
fn judge(
    manifest: &Manifest,
    plan: &FailoverPlan,
    rows: &[HistoryRow],
    events: &[Event],
    mut lines: Vec<MemberLine>,
    end_ns: u64,
) -> Judged {
    lines.sort_by_key(|line| line.t_ns);
    let probes = probes::Probes::new(manifest, rows.iter().copied());
    let courses = course::Courses::new(events);
    let writes = audit::Writes::new(probes.of(ProbeRole::Write).flat_map(|client| &client.slots));
    let target = manifest.target.as_ref();
    let members: Vec<String> = target.iter().flat_map(|t| &t.members).map(|m| m.address.clone()).collect();
    let watch = plan.probes.iter().find(|probe| probe.role == ProbeRole::Watch).and_then(|probe| {
        let stream = manifest.streams.iter().find(|stream| stream.name == probe.stream)?;
        Some((stream.name.as_str(), stream.sessions, stream.watch.as_ref()?.paths))
    });
    let facts = repetition::Facts {
        plan,
        members: &members,
        probes: &probes,
        writes: &writes,
        courses: &courses,
        lines: &lines,
        watch,
        is_elsewhere: target.is_some_and(|target| target.launched.is_none()),
        end_ns,
    };
    let (mut repetitions, mut invalid, mut pictures) = (Vec::new(), Vec::new(), Vec::new());
    for (i, course) in courses.repetitions.iter().enumerate() {
        let next_ns = courses.repetitions.get(i + 1).map(course::Course::start_ns);
        let (measured, reasons) = repetition::measure(facts, course, next_ns);
        if !measured.valid {
            invalid.push(InvalidRepetition { repetition: measured.repetition, reasons });
        }
        pictures.push(drawing::picture(course, &measured, facts));
        repetitions.push(measured);
    }
    Judged { summary: summary::summarise(plan, &manifest.streams, repetitions, invalid), pictures }
}

#[cfg(test)]
mod tests;
