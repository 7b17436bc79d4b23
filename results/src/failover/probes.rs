//! The histories of the probes, a client each.

use quorumeter_record::{HistoryRow, Manifest, ProbeRole, RowKind, stage};

use super::Mark;
use super::metrics::PINNED;

/// What the probes' histories tell. A slot of a probe is one op that its schedule intends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probes {
    /// Those that write and read.
    pub(crate) clients: Vec<Client>,
    /// Watch events, in the order in which they came.
    pub(crate) watch_events: Vec<HistoryRow>,
    /// Sessions that fell silent: due at `intended_ns`, seen to be gone at `ended_ns`.
    pub(crate) expiries: Vec<HistoryRow>,
}

/// A session that writes or reads on schedule.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// What it is called: `write 1`, `read 2`, `java 3`.
    pub(crate) label: String,
    pub(crate) role: ProbeRole,
    /// Position of the one member that it connects to; `None` when to any.
    pub(crate) member: Option<u32>,
    pub(crate) policy: String,
    /// Its slots in the order of their intended times.
    pub(crate) slots: Vec<HistoryRow>,
}

/// The policy of clients that are not meant to recover.
pub(crate) const NO_RECONNECT: &str = "none";

impl Probes {
    /// Sorts the rows by client. Rows of streams that are no probes are left out.
    pub(crate) fn new(manifest: &Manifest, rows: impl IntoIterator<Item = HistoryRow>) -> Probes {
        let mut probes = Probes::default();
        // Of each stream its probe, and where its first client stands.
        let mut streams = Vec::new();
        for stream in &manifest.streams {
            let plan = manifest.failover.as_ref();
            let probe = plan.and_then(|plan| plan.probes.iter().find(|probe| probe.stream == stream.name));
            let first = probes.clients.len();
            streams.push(probe.map(|probe| (probe.role, first)));
            let Some(probe) = probe.filter(|p| matches!(p.role, ProbeRole::Write | ProbeRole::Read)) else {
                continue;
            };
            for session in 0..stream.sessions {
                let role = if probe.role == ProbeRole::Read { "read" } else { "write" };
                let label = match probe.member {
                    Some(member) => format!("{role} {}", member + 1),
                    None => format!("{} {}", probe.policy, session + 1),
                };
                probes.clients.push(Client {
                    label,
                    role: probe.role,
                    member: probe.member,
                    policy: probe.policy.clone(),
                    slots: Vec::new(),
                });
            }
        }
        for row in rows {
            let Some(Some((role, first))) = streams.get(usize::from(row.stream)) else { continue };
            match role {
                ProbeRole::Write | ProbeRole::Read if row.kind != RowKind::Event => {
                    let stream = &manifest.streams[usize::from(row.stream)];
                    if row.session < stream.sessions {
                        probes.clients[first + row.session as usize].slots.push(row);
                    }
                }
                ProbeRole::Watch if row.kind == RowKind::Event => probes.watch_events.push(row),
                ProbeRole::Ephemeral if is_expiry(manifest, &row) => probes.expiries.push(row),
                _ => {}
            }
        }
        for client in &mut probes.clients {
            client.slots.sort_by_key(|slot| slot.intended_ns);
        }
        probes.watch_events.sort_by_key(|event| event.ended_ns);
        probes.expiries.sort_by_key(|expiry| expiry.ended_ns);
        probes
    }

    /// All clients of a role.
    pub(crate) fn of(&self, role: ProbeRole) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter(move |client| client.role == role)
    }
}

fn is_expiry(manifest: &Manifest, row: &HistoryRow) -> bool {
    let stream = manifest.streams.get(usize::from(row.stream));
    stream.and_then(|s| s.ops.get(usize::from(row.op))).is_some_and(|op| op.op == stage::EXPIRY)
}

impl Client {
    /// Whether it is pinned to one of these members.
    pub(crate) fn is_victims(&self, victims: &[u32]) -> bool {
        self.member.is_some_and(|member| victims.contains(&member))
    }

    /// Whether it must recover while the victims are away: pinned to another member, or free to go to any, and meant to
    /// reconnect.
    pub(crate) fn survives(&self, victims: &[u32]) -> bool {
        self.policy != NO_RECONNECT && !self.is_victims(victims)
    }

    /// Under which of the policies it stands.
    pub(crate) fn group(&self) -> &str {
        if self.member.is_some() { PINNED } else { &self.policy }
    }

    /// Its slots that are intended in `[from_ns, to_ns)`.
    pub(crate) fn between(&self, from_ns: u64, to_ns: u64) -> &[HistoryRow] {
        between(&self.slots, from_ns, to_ns)
    }
}

/// The slots, sorted by their intended times, that are intended in `[from_ns, to_ns)`.
pub(crate) fn between(slots: &[HistoryRow], from_ns: u64, to_ns: u64) -> &[HistoryRow] {
    let first = slots.partition_point(|slot| slot.intended_ns < from_ns);
    let end = slots.partition_point(|slot| slot.intended_ns < to_ns);
    &slots[first..end.max(first)]
}

/// A slot's response time, nanoseconds.
pub(crate) fn response_ns(slot: &HistoryRow) -> u64 {
    slot.ended_ns.saturating_sub(slot.intended_ns)
}

/// Whether a slot is *good*: its op succeeded, and no later than the threshold after its intended time.
pub(crate) fn is_good(slot: &HistoryRow, threshold_ns: u64) -> bool {
    slot.kind == RowKind::Ok && response_ns(slot) <= threshold_ns
}

/// A slot as it is drawn.
pub(crate) fn mark(slot: &HistoryRow, threshold_ns: u64) -> Mark {
    match slot.kind {
        RowKind::Ok if is_good(slot, threshold_ns) => Mark::Ok,
        RowKind::Ok => Mark::Late,
        RowKind::Failed | RowKind::Shed => Mark::Failed,
        RowKind::Unknown | RowKind::Event => Mark::Unknown,
    }
}
