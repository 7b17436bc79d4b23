//! One repetition: its instants, its numbers, and whether it counts.
//!
//! | instant | |
//! |---|---|
//! | `t0` | the fault's primitive is called |
//! | `t0_proven` | the fault is in effect |
//! | `t1` | intended time of the first slot that fails, of any probe |
//! | `t2`, `t3`, `t4` | survivors are out of service, have a new leader, are served by it, as polls tell ([`Phases`]) |
//! | `t5` | writes are acknowledged again: intended time of the first good slot of any write probe that is followed by four more periods with one |
//! | `t6` | every surviving client is served again: the same of periods in which the slots of all of them are good |
//! | `t6_answered` | when the first of these slots of the last client had its answer: where the phases end |
//! | `t7` | after `t6` and all outages of any client, the load is steady again ([`Steady`]) |
//! | `t8` | the clearing of the fault begins |
//! | `t9` | every victim serves: a good read of what was acknowledged before t8, and a good write, of the probes pinned to it |
//! | `t10` | as `t7`, after `t9` and when all members had caught up |

use std::collections::BTreeMap;

use quorumeter_record::{
    FailoverPlan, FaultStage, HistoryRow, MemberLine, ProbeRole, RepetitionSummary, RowKind,
};

use super::audit::Writes;
use super::course::{Audit, Course, Courses};
use super::metrics::PINNED;
use super::outage::{AckSpan, Line, Outage, Scale, ack_gap, every};
use super::phases::{Phases, counted_ns, phases};
use super::probes::{Client, NO_RECONNECT, Probes, between, is_good, response_ns};
use super::sessions::{self, SessionCourse};
use super::stats::quantile;
use super::steady::Steady;
use super::values::{Bounds, Values, bad_time};
use super::watches;
use crate::figures::{counted, duration, span};

/// The slow threshold follows from a baseline of so many samples or more,
const THRESHOLD_SAMPLES: usize = 100;
/// is so many times its p99,
const THRESHOLD_FACTOR: u64 = 10;
/// and no less than this.
const THRESHOLD_FLOOR_NS: u64 = 100_000_000;
/// Without a clearing, gaps that begin so shortly before the end are not looked for.
const ACK_MARGIN_NS: u64 = 1_000_000_000;
/// How long after the recovery writes have to reach a watcher.
const WATCH_SETTLE_NS: u64 = 1_000_000_000;
/// Writes so shortly before the fault is cleared may miss their event for that.
const WATCH_MARGIN_NS: u64 = 200_000_000;

/// What a repetition is judged from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) plan: &'a FailoverPlan,
    /// Client addresses of the members, in their order.
    pub(crate) members: &'a [String],
    pub(crate) probes: &'a Probes,
    pub(crate) writes: &'a Writes,
    pub(crate) courses: &'a Courses,
    /// Polls, in the order of their times.
    pub(crate) lines: &'a [MemberLine],
    /// Sessions of the watch probe, and how many nodes they watch.
    pub(crate) watch: Option<(&'a str, u32, u64)>,
    /// Whether the members were not started by this tool: then faults are done by commands of the user's.
    pub(crate) is_elsewhere: bool,
    /// How far the record reaches.
    pub(crate) end_ns: u64,
}

/// The times of one repetition.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Its baseline begins.
    start_ns: u64,
    t0: u64,
    t0_proven: Option<u64>,
    t5: Option<u64>,
    t6: Option<u64>,
    t7: Option<u64>,
    t8: Option<u64>,
    t9: Option<u64>,
    /// It is over.
    end_ns: u64,
}

impl Times {
    /// Outages of the fault begin before then.
    fn cleared_ns(&self) -> u64 {
        self.t8.unwrap_or(self.end_ns)
    }

    /// Up to when things count as the fault's doing: t7, and no further than t8.
    fn recovered_ns(&self) -> u64 {
        self.t7.unwrap_or(u64::MAX).min(self.cleared_ns())
    }
}

/// One repetition in the making.
struct Measured<'a> {
    facts: Facts<'a>,
    course: &'a Course,
    victims: Vec<u32>,
    times: Times,
    writes: Scale,
    reads: Scale,
    /// How long writes were out for all clients.
    write_outage: Option<Bounds>,
    /// The outage behind it; `None` when there was none.
    main_outage: Option<Outage>,
    /// A surviving client was not served again.
    some_stay_out: bool,
    /// By when every surviving client had been answered again.
    served_again_ns: Option<u64>,
    values: Values,
    instants: BTreeMap<String, u64>,
    invalid: Vec<String>,
    notes: Vec<String>,
}

/// Measures one repetition, and tells why it does not count, if so. `next_ns` is when the one after it begins.
pub(crate) fn measure(
    facts: Facts<'_>,
    course: &Course,
    next_ns: Option<u64>,
) -> (RepetitionSummary, Vec<String>) {
    let over = course.first(FaultStage::Over);
    let end_ns = over.or(next_ns).unwrap_or(facts.end_ns);
    let start_ns = course.start_ns();
    let asked = course.first(FaultStage::Asked);
    let t0 = asked.unwrap_or(end_ns);
    let victims =
        (0..).zip(facts.members).filter(|(_, m)| course.victims.contains(m)).map(|(i, _)| i).collect();
    let times = Times {
        start_ns,
        t0,
        t0_proven: course.first(FaultStage::Active).filter(|t| asked.is_some() && *t >= t0),
        t5: None,
        t6: None,
        t7: None,
        t8: course.last(FaultStage::ClearAsked).filter(|t| *t >= t0 && *t <= end_ns),
        t9: None,
        end_ns,
    };
    let scale = |role| scale(facts, role, start_ns, t0);
    let mut measured = Measured {
        facts,
        course,
        victims,
        times,
        writes: scale(ProbeRole::Write),
        reads: scale(ProbeRole::Read),
        write_outage: None,
        main_outage: None,
        some_stay_out: false,
        served_again_ns: None,
        values: Values::default(),
        instants: BTreeMap::new(),
        invalid: Vec::new(),
        notes: Vec::new(),
    };
    if asked.is_some() {
        measured.outages();
        measured.steady();
        measured.phases();
        measured.sessions();
        measured.watches();
        measured.ephemerals();
        measured.ops();
        measured.rejoin();
    }
    measured.audit();
    measured.validity(over.is_some());
    measured.finish()
}

/// How slots of a role are judged: by the plan's threshold, or by the p99 of that role's baseline.
pub(crate) fn scale(facts: Facts<'_>, role: ProbeRole, start_ns: u64, t0_ns: u64) -> Scale {
    let clients = facts.probes.of(role).filter(|client| client.policy != NO_RECONNECT);
    let ended = |slot: &&HistoryRow| slot.kind == RowKind::Ok && slot.ended_ns <= t0_ns;
    let mut responses: Vec<u64> =
        clients.flat_map(|c| c.between(start_ns, t0_ns)).filter(ended).map(response_ns).collect();
    responses.sort_unstable();
    let p99_ns = quantile(&responses, 0.99);
    let of_baseline = p99_ns.filter(|_| responses.len() >= THRESHOLD_SAMPLES).unwrap_or(0) * THRESHOLD_FACTOR;
    let threshold_ns = facts.plan.slow_threshold_ns.unwrap_or(of_baseline.max(THRESHOLD_FLOOR_NS));
    Scale {
        period_ns: facts.plan.probe_period_ns,
        threshold_ns,
        ordinary_ns: p99_ns.unwrap_or(threshold_ns).min(threshold_ns),
    }
}

impl<'a> Measured<'a> {
    fn of(&self, role: ProbeRole) -> Vec<&'a Client> {
        self.facts.probes.of(role).collect()
    }

    fn survivors(&self, role: ProbeRole) -> Vec<&'a Client> {
        self.facts.probes.of(role).filter(|client| client.survives(&self.victims)).collect()
    }

    fn scale(&self, role: ProbeRole) -> Scale {
        if role == ProbeRole::Read { self.reads } else { self.writes }
    }

    /// Each client's slots of this repetition.
    fn slots(&self, clients: &[&'a Client]) -> Vec<&'a [HistoryRow]> {
        clients.iter().map(|client| client.between(self.times.start_ns, self.times.end_ns)).collect()
    }

    fn instant(&mut self, name: &str, t_ns: Option<u64>) {
        if let Some(t_ns) = t_ns {
            self.instants.insert(name.to_owned(), t_ns);
        }
    }

    /// t8, when the fault was cleared though the control had not seen all clients recover: what ended later may have ended only
    /// because of that, and how long it would have gone on is not known.
    fn given_up_ns(&self) -> Option<u64> {
        self.times.t8.filter(|_| self.course.first(FaultStage::Recovered).is_none())
    }

    /// Outages that ended only because the fault was cleared, as the control gave up waiting, did not end within the limit.
    fn until_cleared(&self, mut outages: Vec<Outage>) -> Vec<Outage> {
        let Some(t8) = self.given_up_ns() else { return outages };
        let ended_later = |outage: &&mut Outage| outage.over_by_ns.is_some_and(|over_ns| over_ns > t8);
        for outage in outages.iter_mut().filter(ended_later) {
            outage.last_ns = t8.max(outage.began_by_ns);
            outage.end_ns = None;
            outage.over_by_ns = None;
        }
        outages
    }

    /// What fails by then is the fault, which may have further steps after the first one's proof; later it is its clearing.
    fn fault_until_ns(&self) -> u64 {
        let t8 = self.times.t0_proven.and(self.times.t8);
        t8.map_or(self.times.end_ns, |t8| t8.saturating_sub(1))
    }

    fn ack_span(&self) -> AckSpan {
        let Times { start_ns, t0, end_ns, .. } = self.times;
        // The last acknowledgement before the end is not followed by a gap.
        let to_ns = self.times.t8.unwrap_or(end_ns.saturating_sub(ACK_MARGIN_NS));
        // What was acknowledged only because the fault was cleared ends no gap.
        let end_ns = self.given_up_ns().unwrap_or(end_ns);
        AckSpan { start_ns, from_ns: t0, to_ns, end_ns }
    }

    /// Gaps and outages of writes and reads, of any client, of every one and of each policy's.
    fn outages(&mut self) {
        let Times { start_ns, t0, t0_proven, t8, .. } = self.times;
        self.instant("t0", Some(t0));
        self.instant("t0_proven", t0_proven);
        self.instant("t8", t8);
        let writers = self.of(ProbeRole::Write);
        if !writers.is_empty() {
            let gap = ack_gap(&writers, self.ack_span());
            self.values.duration("ack_gap_any", gap.gap_ns, gap.is_censored);
            let baseline = AckSpan { start_ns, from_ns: start_ns, to_ns: t0, end_ns: t0 };
            self.values.duration("baseline_ack_gap_any", ack_gap(&writers, baseline).gap_ns, false);
        }
        let any = self.outages_of(ProbeRole::Write, "write_outage");
        self.outages_of(ProbeRole::Read, "read_outage");
        self.instant("t5", self.times.t5);
        self.instant("t6", self.times.t6);
        self.clients();
        let first = self.facts.probes.clients.iter().filter_map(|client| {
            let line = Line::of_client(client.between(start_ns, self.times.end_ns), self.scale(client.role));
            line.outages(t0, self.times.cleared_ns()).first().map(|outage| outage.first_ns)
        });
        let t1 = first.min();
        self.instant("t1", t1);
        if any > 1 {
            self.notes.push(format!(
                "writes failed in {any} separate outages before the fault was cleared: write_outage_any is the longest"
            ));
        }
    }

    /// The outages of a role that begin before the fault is cleared: of any client, which are counted, and of every
    /// surviving one.
    fn outages_of(&mut self, role: ProbeRole, name: &str) -> usize {
        let (scale, span, cleared_ns) = (self.scale(role), self.ack_span(), self.times.cleared_ns());
        let all = self.of(role);
        if all.is_empty() {
            return 0;
        }
        let any = self.until_cleared(Line::any(&self.slots(&all), scale).outages(self.times.t0, cleared_ns));
        let longest_outage = any.iter().max_by_key(|o| (o.over_by_ns.is_none(), o.upper_ns()));
        let bounds = Bounds::new(longest_outage, &ack_gap(&all, span), scale.period_ns);
        self.values.outage(&format!("{name}_any"), bounds);
        let survivors = self.survivors(role);
        let every = self.until_cleared(every(&self.slots(&survivors), scale, self.times.t0, cleared_ns));
        if !survivors.is_empty() {
            let gaps = survivors.iter().map(|client| ack_gap(&[client], span));
            let longest = gaps.max_by_key(|gap| (gap.is_censored, gap.hole_ns)).unwrap_or_default();
            let bounds = Bounds::new(own(&every, longest_outage), &longest, scale.period_ns);
            self.values.outage(&format!("{name}_every"), bounds);
        }
        if role == ProbeRole::Write {
            self.write_outage = Some(bounds);
            let every = own(&every, longest_outage);
            self.main_outage = longest_outage.copied();
            self.times.t5 = longest_outage.and_then(|outage| outage.end_ns);
            self.times.t6 = every.and_then(|outage| outage.end_ns).max(self.times.t5);
            self.served_again_ns = every.and_then(|outage| outage.over_by_ns);
            self.some_stay_out = every.is_some_and(|outage| outage.end_ns.is_none());
            if self.some_stay_out {
                self.times.t6 = None;
            }
        }
        any.len()
    }

    /// The first outage of each client that writes and survives, or has a policy that does not reconnect: the worst of each
    /// policy.
    fn clients(&mut self) {
        let Times { start_ns, t0, end_ns, .. } = self.times;
        let mut worst: BTreeMap<&str, Bounds> = BTreeMap::new();
        for client in self.of(ProbeRole::Write) {
            let slots = client.between(start_ns, end_ns);
            let gone = client.policy == NO_RECONNECT
                && !between(slots, start_ns, t0).iter().any(|slot| is_good(slot, self.writes.threshold_ns));
            if client.is_victims(&self.victims) || gone {
                continue;
            }
            let outages = Line::of_client(slots, self.writes).outages(t0, self.times.cleared_ns());
            let outages = self.until_cleared(outages);
            let gap = ack_gap(&[client], self.ack_span());
            let outage = own(&outages, self.main_outage.as_ref());
            let bounds = Bounds::new(outage, &gap, self.writes.period_ns);
            let group = worst.entry(client.group()).or_insert(bounds);
            *group = group.worst(bounds);
        }
        for (policy, bounds) in worst {
            self.values.outage(&format!("{policy}.write_outage_client"), bounds);
        }
    }

    /// The surviving probes' slots in the order of their times.
    fn load(&self) -> Vec<HistoryRow> {
        let clients = [ProbeRole::Write, ProbeRole::Read].into_iter().flat_map(|role| self.survivors(role));
        let clients: Vec<&Client> = clients.collect();
        let mut slots: Vec<HistoryRow> = self.slots(&clients).concat();
        slots.sort_by_key(|slot| slot.intended_ns);
        slots
    }

    fn baseline(&self, load: &[HistoryRow]) -> Option<Steady> {
        let threshold_ns = self.writes.threshold_ns.max(self.reads.threshold_ns);
        Steady::of_baseline(load, self.times.start_ns, self.times.t0, threshold_ns)
    }

    fn steady(&mut self) {
        let load = self.load();
        let (Some(t0_proven), Some(baseline)) = (self.times.t0_proven, self.baseline(&load)) else { return };
        let end_ns = self.times.end_ns;
        // A window may lose a tenth of its goodput, but none is steady before everybody was served again.
        let writers = Line::any(&self.slots(&self.of(ProbeRole::Write)), self.writes);
        let outages = self.until_cleared(writers.outages(self.times.t0, self.times.cleared_ns()));
        let served_ns = outages.iter().map(|outage| outage.end_ns.unwrap_or(end_ns)).max();
        let from_ns = t0_proven.max(self.times.t6.unwrap_or(0)).max(served_ns.unwrap_or(0));
        let from_ns = if self.some_stay_out { end_ns } else { from_ns };
        self.times.t7 = baseline.first(&load, from_ns, end_ns);
        self.instant("t7", self.times.t7);
        // Those who were out until the fault was cleared had not recovered from it until then.
        let given_up_ns = self.given_up_ns().filter(|_| from_ns >= end_ns);
        let last_ns = self.times.t7.or(given_up_ns).unwrap_or(Steady::last_start_ns(end_ns));
        self.values.duration("recovery_time", last_ns.saturating_sub(t0_proven), self.times.t7.is_none());
    }

    fn phases(&mut self) {
        let Times { start_ns, t0, t6, .. } = self.times;
        let lines = self.facts.lines;
        let first = lines.partition_point(|line| line.t_ns < start_ns);
        let end = lines.partition_point(|line| line.t_ns < self.times.cleared_ns());
        let victims = &self.course.victims;
        let told = phases(&lines[first..end.max(first)], victims, t0);
        let Phases { detected_ns: t2, elected_ns: t3, serving_ns: t4 } = told;
        for (name, instant) in [("t2", t2), ("t3", t3), ("t4", t4)] {
            self.instant(name, instant);
        }
        let t0_proven = self.times.t0_proven;
        // When the first op of the last client to be served had its answer: what members tell is of such instants.
        let t6 = self.served_again_ns.or(t6);
        self.instant("t6_answered", t6);
        let phases =
            [("detection", t0_proven, t2), ("election", t2, t3), ("sync", t3, t4), ("client_tail", t4, t6)];
        for (name, from, to) in phases {
            let Some((from, to)) = from.zip(to) else { continue };
            match to.checked_sub(from) {
                Some(ns) => self.values.duration(name, ns, false),
                // Seen before the fault's proof was complete, or served before a poll could tell: no time that is told.
                None => self.notes.push(format!(
                    "{name} is {}, which polls of every {} cannot tell",
                    duration(to as i64 - from as i64),
                    span(self.facts.plan.poll_period_ns)
                )),
            }
        }
        if let (Some(t4), true) = (t4, self.some_stay_out) {
            self.values.duration("client_tail", self.times.cleared_ns().saturating_sub(t4), true);
        }
        let whole = t0_proven.zip(t6).map(|(from, to)| to as i64 - from as i64);
        let parts = ["detection", "election", "sync", "client_tail"];
        let sum = parts.map(|name| self.values.values.get(&format!("{name}_ns")).map(|ns| *ns as i64));
        if let (Some(whole), true) = (whole, sum.iter().any(Option::is_some)) {
            let residual = whole - sum.into_iter().flatten().sum::<i64>();
            self.values.duration("phases_residual", residual.unsigned_abs(), false);
            if residual != 0 {
                self.notes.push(format!(
                    "the phases leave {} of the {} from t0_proven to t6 unexplained",
                    duration(residual),
                    duration(whole)
                ));
            }
        }
        let Some(t6) = t6 else { return };
        // Counters of before the baseline and after the clearing count too: they are asked more seldom.
        let known = &lines[..lines.partition_point(|line| line.t_ns < self.times.end_ns)];
        for (name, counter) in [
            ("members_election", (|line| line.elections) as super::phases::Counter),
            ("members_unavailable", |line| line.unavailable),
        ] {
            if let Some(ns) = counted_ns(known, victims, counter, t0, t6) {
                self.values.duration(name, ns, false);
            }
        }
    }

    fn sessions(&mut self) {
        let Times { t0, end_ns, .. } = self.times;
        let cleared_ns = self.times.cleared_ns();
        let mut groups: BTreeMap<String, Vec<(SessionCourse, bool)>> = BTreeMap::new();
        for ((stream, _), changes) in &self.facts.courses.sessions {
            let Some(probe) = self.facts.plan.probes.iter().find(|probe| probe.stream == *stream) else {
                continue;
            };
            // Silent sessions are made and expire all the time.
            if probe.role == ProbeRole::Ephemeral {
                continue;
            }
            let mut course = sessions::follow(changes, t0, cleared_ns, end_ns);
            if let Some(t8) = self.given_up_ns() {
                course.reconnect_ns = sessions::follow(changes, t0, cleared_ns, t8).reconnect_ns;
            }
            let is_victims = probe.member.is_some_and(|member| self.victims.contains(&member));
            let counts_reconnect = !is_victims && probe.policy != NO_RECONNECT;
            let group = if probe.member.is_some() { PINNED } else { &probe.policy };
            groups.entry(format!("{group}.")).or_default().push((course, counts_reconnect));
            if probe.policy != NO_RECONNECT {
                groups.entry(String::new()).or_default().push((course, counts_reconnect));
            }
        }
        for (prefix, courses) in groups {
            let mut count = |name: &str, of: &dyn Fn(&SessionCourse) -> u64| {
                self.values
                    .count(&format!("{prefix}{name}"), courses.iter().map(|(course, _)| of(course)).sum());
            };
            count("sessions_lost", &|course| u64::from(course.is_lost));
            count("sessions_expired", &|course| course.expired);
            count("sessions_silently_replaced", &|course| course.silently_replaced);
            count("sessions_moved", &|course| course.moved);
            count("connect_failures", &|course| course.connect_failures);
            count("refused_for_zxid", &|course| course.refused_for_zxid);
            let reconnects =
                || courses.iter().filter(|(_, counts)| *counts).filter_map(|(c, _)| c.reconnect_ns);
            if let Some((ns, _)) = reconnects().max() {
                let is_censored = reconnects().any(|(_, is_open)| is_open);
                self.values.duration(&format!("{prefix}reconnect_time"), ns, is_censored);
            }
        }
    }

    fn watches(&mut self) {
        let Times { t0, t0_proven, t5, t6, t8, end_ns, .. } = self.times;
        let Some((stream, watchers, paths)) = self.facts.watch else { return };
        let events = &self.facts.probes.watch_events;
        let came = |from_ns: u64, to_ns: u64| {
            let first = events.partition_point(|event| event.ended_ns < from_ns);
            &events[first..events.partition_point(|event| event.ended_ns < to_ns).max(first)]
        };
        if let Some(count) = watches::duplicates(came(t0, end_ns)) {
            self.values.count("watch_duplicates", count);
        }
        let Some(from_ns) = t5.or(t0_proven.filter(|_| self.write_outage.is_some_and(|b| !b.is_censored)))
        else {
            return;
        };
        if let Some(recovery) = watches::recovery(events, watchers, from_ns, end_ns) {
            self.values.duration("watch_recovery", recovery.ns, recovery.is_censored);
        }
        let (from_ns, Some(t8)) = (t6.unwrap_or(from_ns) + WATCH_SETTLE_NS, t8) else { return };
        let to_ns = t8.saturating_sub(WATCH_MARGIN_NS);
        let attached = (0..watchers).any(|session| {
            let changes = self.facts.courses.sessions.get(&(stream.to_owned(), session));
            changes.is_some_and(|changes| sessions::is_attached(changes, from_ns, t8))
        });
        if !attached || to_ns <= from_ns {
            return;
        }
        let writes = self.of(ProbeRole::Write).into_iter().flat_map(|client| &client.slots);
        let quiet = writes.filter(|w| (from_ns..to_ns).contains(&w.ended_ns) && u64::from(w.key) < paths);
        if let Some(missed) = watches::missed(quiet, came(t0, end_ns)) {
            self.values.count("watch_missed", missed);
        }
    }

    fn ephemerals(&mut self) {
        let expiries = &self.facts.probes.expiries;
        let removal =
            watches::removal(expiries, self.times.t0, self.times.recovered_ns(), self.given_up_ns());
        if let Some((ns, is_censored)) = removal.longest_ns {
            self.values.duration("ephemeral_removal", ns, is_censored);
        }
        // Where none was due none went too early, as long as there are any at all.
        if !expiries.is_empty() {
            self.values.count("ephemeral_premature", removal.premature);
        }
    }

    /// Failing intervals of writes, their ops by outcome, and what became of the unknown ones.
    fn ops(&mut self) {
        let (t0, until_ns) = (self.times.t0, self.times.recovered_ns());
        let all = self.of(ProbeRole::Write);
        if all.is_empty() {
            return;
        }
        let outages = self.until_cleared(Line::any(&self.slots(&all), self.writes).outages(t0, until_ns));
        let (ns, is_censored) = bad_time(&outages);
        self.values.duration("bad_time_total", ns, is_censored);
        self.values.count("outage_count", outages.len() as u64);
        let slots = all.iter().filter(|client| client.policy != NO_RECONNECT);
        let slots: Vec<&HistoryRow> = slots.flat_map(|c| c.between(t0, until_ns.saturating_add(1))).collect();
        let of = |kinds: &[RowKind]| slots.iter().filter(|slot| kinds.contains(&slot.kind)).count() as u64;
        self.values.count("ops_ok", of(&[RowKind::Ok]));
        self.values.count("ops_failed", of(&[RowKind::Failed, RowKind::Shed]));
        self.values.count("ops_unknown", of(&[RowKind::Unknown]));
        let resolved = self.facts.writes.resolve(&self.audits(), t0, until_ns);
        self.values.count("unknown_landed", resolved.landed);
        self.values.count("unknown_absent", resolved.absent);
        if resolved.unresolved > 0 {
            self.notes.push(format!(
                "what became of {} of unknown outcome cannot be told: no later write and no audit tells",
                counted(resolved.unresolved, "write")
            ));
        }
        if resolved.unexplained > 0 {
            self.notes.push(format!(
                "{} landed that no write of unknown outcome explains",
                counted(resolved.unexplained, "version")
            ));
        }
    }

    fn audits(&self) -> Vec<&'a Audit> {
        let repetition = self.course.repetition;
        self.facts.courses.audits.iter().filter(|audit| audit.repetition == repetition).collect()
    }

    /// Acknowledged writes that are not there any more. Without an audit that is told only where the versions of later
    /// writes tell it.
    fn audit(&mut self) {
        let audits = self.audits();
        let before = self.facts.courses.audited_until_ns(self.course.repetition.saturating_sub(1));
        let (after_ns, until_ns) = match self.facts.courses.audited_until_ns(self.course.repetition) {
            Some(until_ns) => (before.unwrap_or(0), until_ns),
            None => (self.times.start_ns, self.times.end_ns),
        };
        let lost = self.facts.writes.lost(&audits, after_ns, until_ns);
        if !audits.is_empty() || lost > 0 {
            self.values.count("lost_acked_writes", lost);
        }
        if audits.is_empty() {
            self.notes.push("there was no audit, so that nothing is known of lost writes".to_owned());
            return;
        }
        let not_audited = self.facts.writes.not_audited(&audits);
        if not_audited > 0 {
            self.notes.push(format!("the audit left out {}", counted(not_audited, "node")));
        }
    }

    fn rejoin(&mut self) {
        let Some(t8) = self.times.t8 else { return };
        let end_ns = self.times.end_ns;
        self.times.t9 = self.rejoined_ns(t8);
        self.instant("t9", self.times.t9);
        if !self.victims.is_empty() {
            let ns = self.times.t9.unwrap_or(end_ns) - t8;
            self.values.duration("rejoin_time", ns, self.times.t9.is_none());
        }
        let load = self.load();
        let t10 = self.times.t9.zip(self.baseline(&load)).and_then(|(t9, baseline)| {
            let steady_ns = baseline.first(&load, t9, end_ns)?;
            Some(steady_ns.max(self.course.last(FaultStage::Rejoined).unwrap_or(0)))
        });
        self.instant("t10", t10);
        let until_ns = t10.unwrap_or(end_ns);
        let survivors = self.survivors(ProbeRole::Write);
        if survivors.is_empty() || self.write_outage.is_some_and(|bounds| bounds.is_censored) {
            return;
        }
        let slots = self.slots(&survivors);
        // What began before everybody was served again is the fault's.
        let after = |line: Line, served_ns: Option<u64>| {
            let mut outages = line.outages(t8, until_ns);
            outages.retain(|outage| outage.first_ns >= served_ns.unwrap_or(0));
            bad_time(&outages)
        };
        let (ns, is_censored) = after(Line::any(&slots, self.writes), self.times.t5);
        self.values.duration("rejoin_outage", ns, is_censored);
        if self.some_stay_out {
            return;
        }
        let each = slots.iter().map(|slots| after(Line::of_client(slots, self.writes), self.times.t6));
        let each: Vec<(u64, bool)> = each.collect();
        let worst_ns = each.iter().map(|(ns, _)| *ns).max().unwrap_or(0);
        self.values.duration("rejoin_outage_every", worst_ns, each.iter().any(|(_, censored)| *censored));
    }

    fn rejoined_ns(&self, t8: u64) -> Option<u64> {
        let clients: Vec<&Client> = self.facts.probes.clients.iter().collect();
        let thresholds = [self.writes.threshold_ns, self.reads.threshold_ns];
        rejoined_ns(&clients, &self.victims, thresholds, t8, self.times.end_ns)
    }

    fn finish(mut self) -> (RepetitionSummary, Vec<String>) {
        let after = self.fault_until_ns();
        let failed =
            self.course.stages.iter().filter(|mark| mark.stage == FaultStage::Failed && mark.t_ns > after);
        self.notes.extend(failed.map(|mark| mark.detail.clone()));
        let summary = RepetitionSummary {
            repetition: self.course.repetition,
            valid: self.invalid.is_empty(),
            victims: self.course.victims.clone(),
            notes: self.invalid.iter().cloned().chain(self.notes).collect(),
            slow_threshold_ns: self.writes.threshold_ns,
            instants_ns: self.instants,
            values: self.values.values,
            censored: self.values.censored,
        };
        (summary, self.invalid)
    }
}

/// Of outages of some clients the one that goes with the outage of all of them: the first that is not over before that
/// begins, as a single client may have failed for a moment before. Without an outage of all the first.
fn own<'o>(outages: &'o [Outage], of_all: Option<&Outage>) -> Option<&'o Outage> {
    let begins_ns = of_all.map_or(0, |outage| outage.first_ns);
    outages.iter().find(|outage| outage.end_ns.is_none_or(|end_ns| end_ns > begins_ns))
}

/// t9: the first time from `t8` to `end_ns` at which every victim has served: its pinned read probe has a good op that saw the
/// largest zxid that was acknowledged to a write before `t8`, and its pinned write probe a good one. `None` without a
/// victim that has probes, and while one of them has not. `thresholds` are those of writes and of reads.
pub(crate) fn rejoined_ns(
    clients: &[&Client],
    victims: &[u32],
    [write_ns, read_ns]: [u64; 2],
    t8: u64,
    end_ns: u64,
) -> Option<u64> {
    let writes = clients.iter().filter(|client| client.role == ProbeRole::Write);
    let acked = writes.flat_map(|client| &client.slots);
    let acked = acked.filter(|slot| slot.kind == RowKind::Ok && slot.ended_ns < t8);
    let zxid = acked.map(|slot| slot.zxid).max().unwrap_or(0);
    let pinned: Vec<&&Client> = clients.iter().filter(|client| client.is_victims(victims)).collect();
    if pinned.is_empty() || !victims.iter().all(|v| pinned.iter().any(|client| client.member == Some(*v))) {
        return None;
    }
    let served = |client: &&Client| {
        let (threshold_ns, seen) =
            if client.role == ProbeRole::Read { (read_ns, zxid) } else { (write_ns, i64::MIN) };
        let serves = |slot: &&HistoryRow| {
            slot.sent_ns.is_some_and(|sent_ns| sent_ns >= t8)
                && slot.ended_ns <= end_ns
                && is_good(slot, threshold_ns)
                && slot.zxid >= seen
        };
        client.slots.iter().filter(serves).map(|slot| slot.ended_ns).min()
    };
    let times: Option<Vec<u64>> = pinned.into_iter().map(served).collect();
    times?.into_iter().max()
}

mod validity;

#[cfg(test)]
mod tests;
