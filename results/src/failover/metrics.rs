//! Which metrics a failover measurement has, for gates.

/// The name under which pinned clients stand beside the policies.
pub(crate) const PINNED: &str = "pinned";

/// A metric that is a duration: its name without `_ns`.
pub(crate) struct Duration {
    pub(crate) name: &'static str,
    /// The names of its lower and its upper bound, where it is told between two.
    pub(crate) bounds: Option<[&'static str; 2]>,
    /// Over all clients.
    pub(crate) of_all: bool,
    /// Of each policy.
    pub(crate) of_policies: bool,
}

const fn duration(name: &'static str) -> Duration {
    Duration { name, bounds: None, of_all: true, of_policies: false }
}

const fn bounded(name: &'static str, bounds: [&'static str; 2]) -> Duration {
    Duration { bounds: Some(bounds), ..duration(name) }
}

/// The durations.
pub(crate) const DURATIONS: [Duration; 23] = [
    duration("ack_gap_any"),
    duration("baseline_ack_gap_any"),
    bounded("write_outage_any", ["write_outage_any_lower", "write_outage_any_upper"]),
    bounded("write_outage_every", ["write_outage_every_lower", "write_outage_every_upper"]),
    Duration {
        of_all: false,
        of_policies: true,
        ..bounded("write_outage_client", ["write_outage_client_lower", "write_outage_client_upper"])
    },
    bounded("read_outage_any", ["read_outage_any_lower", "read_outage_any_upper"]),
    bounded("read_outage_every", ["read_outage_every_lower", "read_outage_every_upper"]),
    duration("bad_time_total"),
    duration("injection"),
    duration("detection"),
    duration("election"),
    duration("sync"),
    duration("client_tail"),
    duration("phases_residual"),
    duration("members_election"),
    duration("members_unavailable"),
    duration("recovery_time"),
    Duration { of_policies: true, ..duration("reconnect_time") },
    duration("watch_recovery"),
    duration("ephemeral_removal"),
    duration("rejoin_time"),
    duration("rejoin_outage"),
    duration("rejoin_outage_every"),
];

/// The counts, and whether each policy has it, too.
pub(crate) const COUNTS: [(&str, bool); 16] = [
    ("outage_count", false),
    ("ops_ok", false),
    ("ops_failed", false),
    ("ops_unknown", false),
    ("unknown_landed", false),
    ("unknown_absent", false),
    ("lost_acked_writes", false),
    ("watch_missed", false),
    ("watch_duplicates", false),
    ("ephemeral_premature", false),
    ("sessions_lost", true),
    ("sessions_expired", true),
    ("sessions_silently_replaced", true),
    ("sessions_moved", true),
    ("connect_failures", true),
    ("refused_for_zxid", true),
];
