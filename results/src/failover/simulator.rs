//! Records of failovers whose holes are known.

use quorumeter_record::{
    Event, EventKind, FailoverPlan, FaultStage, HistoryRow, LoopKind, Manifest, MemberInfo, MemberLine,
    ProbeInfo, ProbeRole, RowKind, SessionChange, StreamInfo, WatchInfo,
};

use super::Judged;
use crate::fixture::{self, MS, S, op_info};

pub(crate) const PERIOD: u64 = 10 * MS;
/// When the fault of a repetition is asked for, from its beginning.
pub(crate) const T0: u64 = 4 * S;
/// When its clearing begins, from then.
pub(crate) const T8: u64 = 10 * S;
/// When it is over, from its beginning.
pub(crate) const OVER: u64 = 26 * S;
/// From the beginning of one repetition to that of the next.
pub(crate) const ROUND: u64 = 28 * S;

/// What becomes of a request that comes in a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It is refused at once.
    Refuse,
    /// It is answered when the hole is over.
    Hang,
    /// It is given up after so long.
    GiveUp(u64),
}

/// A time in which some clients are not served.
#[derive(Debug, Clone)]
pub(crate) struct Hole {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) how: How,
    /// Labels of the clients; all when there are none.
    pub(crate) of: Vec<&'static str>,
}

pub(crate) fn hole(from_ns: u64, to_ns: u64, how: How) -> Hole {
    Hole { from_ns, to_ns, how, of: Vec::new() }
}

impl Hole {
    pub(crate) fn of(self, of: &[&'static str]) -> Hole {
        Hole { of: of.to_vec(), ..self }
    }
}

/// A client and how it goes for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Simulated {
    pub(crate) stream: u16,
    pub(crate) session: u32,
    pub(crate) member: Option<u16>,
    pub(crate) key: u32,
    /// When its first slot is intended.
    pub(crate) phase_ns: u64,
}

/// The slots of one client up to `end_ns`. Service takes 0.4 to 1.2 ms, of which half is the way there. Versions and
/// transactions are in the order of service.
pub(crate) fn history(client: Simulated, holes: &[Hole], is_write: bool, end_ns: u64) -> Vec<HistoryRow> {
    let mut rows: Vec<(u64, HistoryRow)> = Vec::new();
    let (mut intended_ns, mut n) = (client.phase_ns, u64::from(client.session));
    while intended_ns < end_ns {
        n += 1;
        let way_ns = 200_000 + n * 7_919 % 400 * 1000;
        let sent_ns = intended_ns + 20_000;
        let mut served_ns = sent_ns + way_ns;
        let mut kind = RowKind::Ok;
        let mut ended_ns = served_ns + way_ns;
        // Holes may follow each other.
        for hole in holes {
            if kind == RowKind::Ok && (hole.from_ns..hole.to_ns).contains(&served_ns) {
                match hole.how {
                    How::Refuse => (kind, ended_ns) = (RowKind::Failed, served_ns + way_ns),
                    How::Hang => (served_ns, ended_ns) = (hole.to_ns, hole.to_ns + way_ns),
                    How::GiveUp(after_ns) => (kind, ended_ns) = (RowKind::Unknown, sent_ns + after_ns),
                }
            }
        }
        let row = HistoryRow {
            intended_ns,
            released_ns: intended_ns + 10_000,
            sent_ns: Some(sent_ns),
            ended_ns,
            zxid: if kind == RowKind::Ok { served_ns as i64 } else { 0 },
            session: client.session,
            connection: 1,
            key: client.key,
            code: 0,
            version: -1,
            stream: client.stream,
            member: client.member,
            op: 0,
            kind,
        };
        rows.push((served_ns, row));
        intended_ns += PERIOD;
    }
    if is_write {
        rows.sort_by_key(|(served_ns, row)| (*served_ns, row.intended_ns));
        let acked = rows.iter_mut().filter(|(_, row)| row.kind == RowKind::Ok);
        for (version, (_, row)) in (1..).zip(acked) {
            row.version = version;
        }
    }
    let mut rows: Vec<HistoryRow> = rows.into_iter().map(|(_, row)| row).collect();
    rows.sort_by_key(|row| row.ended_ns);
    rows
}

/// A record in memory: 3 members, a write and a read probe pinned to each of them, 2 floating clients of each of two
/// policies, a watcher, and in each repetition a fault of the first member.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) manifest: Manifest,
    pub(crate) rows: Vec<HistoryRow>,
    pub(crate) events: Vec<Event>,
    pub(crate) lines: Vec<MemberLine>,
}

pub(crate) const MEMBERS: [&str; 3] = ["127.0.0.1:2181", "127.0.0.1:2182", "127.0.0.1:2183"];

impl Scene {
    /// So many repetitions, each with these holes; their times are from the fault on. The victim's own clients are refused
    /// from 1 ms after the fault to 1 s after its clearing.
    pub(crate) fn new(repetitions: u32, holes: &[Hole]) -> Scene {
        let manifest = manifest(repetitions);
        let mut all = Vec::new();
        for round in 0..u64::from(repetitions) {
            let t0 = round * ROUND + T0;
            let own = hole(MS, T8 + S, How::Refuse).of(&["write 1", "read 1"]);
            all.extend(holes.iter().cloned().chain([own]).map(|hole| Hole {
                from_ns: hole.from_ns + t0,
                to_ns: hole.to_ns.saturating_add(t0),
                ..hole
            }));
        }
        all.sort_by_key(|hole| hole.from_ns);
        let end_ns = u64::from(repetitions) * ROUND;
        let mut rows = Vec::new();
        for (i, stream) in (0_u16..).zip(&manifest.streams) {
            let probe = &manifest.failover.as_ref().unwrap().probes[usize::from(i)];
            for session in 0..stream.sessions {
                let member = probe.member.map(|member| member as u16);
                let key = match probe.member {
                    Some(member) => member,
                    None => 3 + u32::from(i) * 2 + session,
                };
                let phase_ns = u64::from(i) * 1_700_000 % PERIOD + u64::from(session) * PERIOD / 3;
                let client = Simulated { stream: i, session, member, key, phase_ns };
                if probe.role == ProbeRole::Watch {
                    continue;
                }
                let label = match probe.member {
                    Some(member) => format!("{} {}", if i < 3 { "write" } else { "read" }, member + 1),
                    None => format!("{} {}", probe.policy, session + 1),
                };
                let of = all.iter().filter(|hole| hole.of.is_empty() || hole.of.contains(&label.as_str()));
                let of: Vec<Hole> = of.cloned().collect();
                rows.extend(history(client, &of, probe.role == ProbeRole::Write, end_ns));
            }
        }
        let watched = rows.iter().filter(|row| row.stream < 3 && row.kind == RowKind::Ok);
        let told: Vec<HistoryRow> = watched
            .map(|row| HistoryRow {
                intended_ns: row.ended_ns + MS,
                ended_ns: row.ended_ns + MS,
                sent_ns: None,
                stream: 8,
                kind: RowKind::Event,
                ..*row
            })
            .collect();
        rows.extend(told);
        let mut scene = Scene { manifest, rows, events: Vec::new(), lines: Vec::new() };
        scene.event(0, session("probe-watch", SessionChange::Connected, "7"));
        for repetition in 1..=repetitions {
            scene.course(repetition);
        }
        scene
    }

    fn course(&mut self, repetition: u32) {
        let start_ns = u64::from(repetition - 1) * ROUND;
        let t0 = start_ns + T0;
        for (t_ns, stage) in [
            (start_ns, FaultStage::Baseline),
            (t0 - MS, FaultStage::Prepared),
            (t0, FaultStage::Asked),
            (t0 + 2 * MS, FaultStage::Active),
            (t0 + 3 * MS, FaultStage::VictimConfirmed),
            (t0 + T8 - 3 * S, FaultStage::Recovered),
            (t0 + T8, FaultStage::ClearAsked),
            (t0 + T8 + 100 * MS, FaultStage::Cleared),
            (t0 + T8 + 2 * S, FaultStage::Rejoined),
            (start_ns + OVER, FaultStage::Over),
        ] {
            let is_about_victim = !matches!(stage, FaultStage::Baseline | FaultStage::Over);
            let victims = if is_about_victim { vec![MEMBERS[0].to_owned()] } else { Vec::new() };
            let (fault, detail) = ("kill".to_owned(), String::new());
            self.event(t_ns, EventKind::Fault { repetition, fault, stage, victims, detail });
        }
        let over_ns = start_ns + OVER;
        let keys: std::collections::BTreeSet<u32> = self.rows.iter().map(|row| row.key).collect();
        for key in keys {
            let acked = self.rows.iter().filter(|r| r.key == key && r.kind == RowKind::Ok && r.version > 0);
            let last = acked.filter(|row| row.ended_ns <= over_ns + S).max_by_key(|row| row.version);
            let (version, mzxid) = last.map_or((0, 0), |row| (row.version, row.zxid));
            for member in MEMBERS {
                let (member, version, mzxid) = (member.to_owned(), Some(version), Some(mzxid));
                self.event(over_ns + S, EventKind::Audit { repetition, member, key, version, mzxid });
            }
        }
    }

    pub(crate) fn event(&mut self, t_ns: u64, kind: EventKind) {
        self.events.push(Event { t_ns, kind });
    }

    /// Leaves out the events of a stage.
    pub(crate) fn without(mut self, stage: FaultStage) -> Scene {
        self.events.retain(|e| !matches!(&e.kind, EventKind::Fault { stage: s, .. } if *s == stage));
        self
    }

    pub(crate) fn judge(&self) -> Judged {
        let plan = self.manifest.failover.as_ref().unwrap();
        let end_ns = u64::from(plan.repetitions) * ROUND;
        super::judge(&self.manifest, plan, &self.rows, &self.events, self.lines.clone(), end_ns)
    }
}

pub(crate) fn session(stream: &str, change: SessionChange, id: &str) -> EventKind {
    EventKind::Session {
        stream: stream.to_owned(),
        session: 0,
        change,
        member: MEMBERS[1].to_owned(),
        session_id: id.to_owned(),
        read_only: false,
        cause: String::new(),
    }
}

fn manifest(repetitions: u32) -> Manifest {
    let probe = |stream: String, role, member, policy: &str| ProbeInfo {
        stream,
        role,
        member,
        policy: policy.to_owned(),
    };
    let (write, read) = (ProbeRole::Write, ProbeRole::Read);
    let mut probes: Vec<ProbeInfo> = Vec::new();
    probes.extend((0..3).map(|m| probe(format!("probe-write-{}", m + 1), write, Some(m), "ideal")));
    probes.extend((0..3).map(|m| probe(format!("probe-read-{}", m + 1), read, Some(m), "ideal")));
    probes.push(probe("probe-ideal".to_owned(), write, None, "ideal"));
    probes.push(probe("probe-java".to_owned(), write, None, "java"));
    probes.push(probe("probe-watch".to_owned(), ProbeRole::Watch, None, "ideal"));
    let stream = |probe: &ProbeInfo| StreamInfo {
        name: probe.stream.clone(),
        loop_kind: LoopKind::Open,
        sessions: if matches!(probe.stream.as_str(), "probe-ideal" | "probe-java") { 2 } else { 1 },
        depth: 16_384,
        offered_rate: Some(100.0),
        policy: probe.policy.clone(),
        ops: vec![op_info(if probe.role == read { "read" } else { "write" }, "linearizable")],
        watch: (probe.role == ProbeRole::Watch).then(|| WatchInfo {
            kind: "persistent".to_owned(),
            on: "data".to_owned(),
            paths: 3,
            watchers: 1,
        }),
        life: None,
    };
    let mut manifest = fixture::manifest();
    manifest.streams = probes.iter().map(stream).collect();
    let target = manifest.target.as_mut().unwrap();
    target.members = MEMBERS
        .iter()
        .map(|address| MemberInfo { address: (*address).to_owned(), ..target.members[0].clone() })
        .collect();
    manifest.failover = Some(FailoverPlan {
        fault: "kill".to_owned(),
        victim: "leader".to_owned(),
        repetitions,
        probe_period_ns: PERIOD,
        slow_threshold_ns: None,
        baseline_ns: T0,
        settle_ns: 2 * S,
        limit_ns: 60 * S,
        clear_after_ns: 3 * S,
        poll_period_ns: 20 * MS,
        probes,
    });
    manifest
}
