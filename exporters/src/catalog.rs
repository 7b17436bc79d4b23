//! Every metric that Quorumeter exposes: its name, type, labels, meaning, and where each system tells it.
//!
//! This table is the only place where a metric is defined. Parsers, expositions, `docs/metrics.md` and the tests of the
//! dashboards go by it.
//!
//! What a system does not tell is absent, never 0. Times are seconds, sizes are bytes.

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in an exposition.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it counts or measures in: `seconds`, `bytes`, or a plural; empty for what is 0 or 1.
    pub unit: &'static str,
    /// Its labels beyond those of its [scope](Metric::scope).
    pub labels: &'static [&'static str],
    /// What it is of.
    pub scope: Scope,
    /// What it means, in a sentence.
    pub help: &'static str,
    /// Where each system tells it.
    pub sources: Sources,
    /// What to keep in mind when it is read; empty when there is nothing.
    pub caveat: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, and begins again when what counts it does.
    Counter,
    /// A gauge of 1 whose labels are the value.
    Info,
    /// A gauge for each state, of which one at most is 1 and the others are 0.
    StateSet,
    /// Times: a classic histogram. Where a system tells only their sum and number, `+Inf` is the only bucket.
    Histogram,
}

/// What a metric is of, and by which labels it is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A member, as it tells itself: `cluster`, `member`.
    Member,
    /// A cluster, computed from all its members: `cluster`.
    Cluster,
    /// The canary's experience of a cluster: `cluster`.
    Probe,
    /// The asking of a member: `cluster`, `member`.
    Scrape,
    /// The exporter itself: no labels.
    Exporter,
    /// A measurement that goes on: no labels.
    Bench,
}

impl Scope {
    /// The labels that every series of it has.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Scope::Member | Scope::Scrape => &["cluster", "member"],
            Scope::Cluster | Scope::Probe => &["cluster"],
            Scope::Exporter | Scope::Bench => &[],
        }
    }
}

/// Where each system tells a metric, in its own names; empty where it does not.
#[derive(Debug, PartialEq, Eq)]
pub struct Sources {
    /// Apache ZooKeeper, and the embedded ensemble as far as it has the same.
    pub zookeeper: &'static str,
    /// ClickHouse Keeper.
    pub keeper: &'static str,
    /// etcd.
    pub etcd: &'static str,
    /// Consul.
    pub consul: &'static str,
}

/// Of what is not asked of a system.
const NONE: Sources = Sources { zookeeper: "", keeper: "", etcd: "", consul: "" };

/// Classic buckets of everything that Quorumeter times itself: 50 µs · 2ⁿ for n from 0 to 17, in nanoseconds.
pub const BUCKETS_NS: [u64; 18] = {
    let mut buckets = [0; 18];
    let mut n = 0;
    while n < buckets.len() {
        buckets[n] = 50_000 << n;
        n += 1;
    }
    buckets
};

macro_rules! catalog {
    ($($id:ident: $name:literal $kind:ident $unit:literal [$($label:literal),*] $scope:ident $help:literal
        { $($system:ident: $source:literal),* } $caveat:literal;)*) => {
        $(#[doc = $help] pub static $id: Metric = Metric {
            name: $name, kind: Kind::$kind, unit: $unit, labels: &[$($label),*], scope: Scope::$scope, help: $help,
            sources: { #[allow(unused_mut)] let mut sources = NONE; $(sources.$system = $source;)* sources },
            caveat: $caveat,
        };)*
        /// Every metric, in the order of an exposition.
        pub static ALL: &[&Metric] = &[$(&$id),*];
    };
}

catalog! {
    // What a member is.
    UP: "quorum_member_up" Gauge "" [] Member "Whether the member gave any answer that is one of its kind."
        { zookeeper: "any answer to `srvr` or `mntr`, a refusal too, of its AdminServer or of its Prometheus endpoint", keeper: "any answer to `srvr`, `mntr` or `lgif`, or of its Prometheus endpoint", etcd: "any answer that is etcd's, of `/metrics` or the JSON gateway", consul: "any answer that is Consul's, `/v1/agent/self` first" }
        "A member that hangs is not up: it did not answer within the time limit. One whose clients are not answered may be up and not serve.";
    SERVING: "quorum_member_serving" Gauge "" [] Member "Whether the member serves clients."
        { zookeeper: "`mntr` or `srvr` tell a role, or AdminServer `zabstate` is `broadcast`", keeper: "`mntr` or `srvr` tell a role", etcd: "`etcd_server_has_leader` is 1 and there is no alarm", consul: "`/v1/status/leader` names a leader" }
        "With `leaderServes=no` a leader serves no clients, and says so.";
    INFO: "quorum_member_info" Info "" ["system", "version", "member_id"] Member "What the member is."
        { zookeeper: "`srvr` version, `zabstate` myid", keeper: "`srvr` version", etcd: "`etcd_server_version`, `etcd_server_id`", consul: "`/v1/agent/self`" }
        "Join it to other series by `cluster` and `member`; it is on none of them.";
    ROLE: "quorum_member_role" StateSet "" ["role"] Member "The member's role: leader, follower, observer, candidate, standalone, read-only or unknown."
        { zookeeper: "`srvr` Mode, `server_state`, AdminServer `zabstate`", keeper: "`srvr` Mode, `server_state`, `KeeperIsLeader` and the like", etcd: "`Status` `leader`, or `etcd_server_is_leader`, `etcd_server_is_learner`, `etcd_server_has_leader`", consul: "`/v1/agent/self` raft state" }
        "A member that does not say is `unknown`; none is ever guessed to be a leader.";
    VOTER: "quorum_member_voter" Gauge "" [] Member "Whether the member votes, by the voter map."
        { zookeeper: "AdminServer `voting_view` or `zabstate`; else its role", keeper: "its role", etcd: "`MemberList`", consul: "`/v1/operator/raft/configuration`" } "";
    UPTIME: "quorum_member_uptime_seconds" Gauge "seconds" [] Member "Time since the member started."
        { zookeeper: "`uptime`", etcd: "`process_start_time_seconds`", consul: "`process_start_time_seconds`" } "Of etcd and Consul it is the difference of two clocks, the exporter's and the member's.";
    // What it knows of the quorum.
    HAS_LEADER: "quorum_has_leader" Gauge "" [] Member "Whether the member knows a leader."
        { zookeeper: "its role, AdminServer `leader`", keeper: "its role", etcd: "`etcd_server_has_leader`", consul: "`/v1/status/leader`" } "";
    VOTERS: "quorum_voters" Gauge "members" [] Member "Voters of the ensemble, as the member tells it."
        { zookeeper: "`quorum_size`, AdminServer `voting_view`", keeper: "`followers` + 1 (leader)", etcd: "`MemberList` without learners", consul: "`/v1/operator/raft/configuration`" } "Keeper counts its observers among the followers.";
    SYNCED_FOLLOWERS: "quorum_synced_followers" Gauge "members" [] Member "Voting followers that the leader knows to be in sync; told by leaders only."
        { zookeeper: "`synced_followers` − `synced_non_voting_followers`", keeper: "`synced_followers`, `KeeperSyncedFollowers`", consul: "`/v1/operator/autopilot/health`" } "Keeper's followers tell 0, which is left out.";
    LEARNERS: "quorum_learners" Gauge "members" [] Member "Members that are connected to the leader, observers included; told by leaders only."
        { zookeeper: "`learners` (3.6 and later), `followers` (before)", keeper: "`followers`, `KeeperFollowers`" } "";
    TERM: "quorum_term" Gauge "" [] Member "Term that the member is in (ZooKeeper: epoch)."
        { zookeeper: "AdminServer `zab_epoch`, or the upper half of the zxid", keeper: "`lgif` `last_log_term`, `KeeperLastLogTerm`", etcd: "`Status` `raftTerm`", consul: "`/v1/agent/self` raft `term`" }
        "By the zxid alone a ZooKeeper follower's follows with the first write after the election.";
    COMMIT_INDEX: "quorum_commit_index" Gauge "entries" [] Member "Last entry that the member knows to be committed."
        { keeper: "`lgif` `last_committed_log_idx`, `KeeperLastCommittedLogIdx`", etcd: "`etcd_server_proposals_committed_total`", consul: "raft `commit_index`" }
        "";
    APPLIED_INDEX: "quorum_applied_index" Gauge "entries" [] Member "Last entry that the member has applied."
        { zookeeper: "lower half of `srvr` Zxid or `zabstate` `last_zxid`", keeper: "`lgif` `last_committed_log_idx`, `KeeperLastCommittedLogIdx`", etcd: "`etcd_server_proposals_applied_total`", consul: "raft `applied_index`" }
        "ZooKeeper's counts from 0 in each term: compare it between members of the same `quorum_term` only.";
    LAG: "quorum_lag_entries" Gauge "entries" [] Member "How many entries the member has yet to apply of what the leader has."
        { zookeeper: "leader's zxid − member's, in the same term", keeper: "`leader_committed_log_idx` − `last_committed_log_idx`", etcd: "greatest commit index − applied index", consul: "leader's `last_log_index` − applied index" }
        "Members are asked at slightly different instants, so a busy ensemble shows small lags that are none. Absent across terms, and when nobody leads.";
    // Elections.
    MEMBER_LEADER_CHANGES: "quorum_member_leader_changes_total" Counter "changes" [] Member "Leader changes as the member counts them."
        { etcd: "`etcd_server_leader_changes_seen_total`", consul: "`consul_raft_state_leader`, its own only" } "Begins again when the member does.";
    ELECTIONS: "quorum_elections_total" Counter "elections" [] Member "Elections that the member took part in."
        { zookeeper: "`looking_count`", keeper: "`cnt_election_time`", consul: "`consul_raft_state_candidate`" } "Every member counts the same election: do not sum over members.";
    ELECTION_DURATION: "quorum_election_duration_seconds" Histogram "seconds" [] Member "How long its elections took the member, from looking for a leader to having one."
        { zookeeper: "`election_time`", keeper: "`election_time`" } "Whole milliseconds, without the time until the failure was noticed.";
    UNAVAILABLE: "quorum_unavailable_seconds" Histogram "seconds" [] Member "How long the member was out of the broadcast phase."
        { zookeeper: "`unavailable_time` (3.7 and later)" } "The first one is the member's own start. Without the time until the failure was noticed.";
    LEADER_UNAVAILABLE: "quorum_leader_unavailable_seconds" Histogram "seconds" [] Member "The same, of the times that ended with the member as leader: one a failover."
        { zookeeper: "`leader_unavailable_time` (3.7 and later)", keeper: "`leader_unavailable_time`" } "A server's own account, without the time until the failure was noticed. `quorum_probe_duration_seconds` and `bench_outage_seconds` tell what clients felt.";
    // Writes, by stage.
    PROPOSALS: "quorum_proposals_total" Counter "proposals" [] Member "Proposals that the member made or took in."
        { zookeeper: "`proposal_count`, which it made as leader", keeper: "`KeeperCommits`", consul: "`consul_raft_apply`" } "Keeper counts those that it has committed.";
    COMMITS: "quorum_commits_total" Counter "commits" [] Member "Proposals that were committed, as the leader counts them."
        { zookeeper: "`commit_count` (leader)" } "Stays with a member that leads no more: sum the rates over members.";
    PROPOSALS_PENDING: "quorum_proposals_pending" Gauge "proposals" [] Member "Proposals that are not committed yet."
        { zookeeper: "`proposal_count` − `commit_count` (leader)", etcd: "`etcd_server_proposals_pending`" } "What a ZooKeeper leader that was deposed had not committed counts again when it leads again, until it is restarted.";
    PROPOSALS_FAILED: "quorum_proposals_failed_total" Counter "proposals" [] Member "Proposals that failed."
        { keeper: "`KeeperCommitsFailed`", etcd: "`etcd_server_proposals_failed_total`" } "";
    COMMIT_DURATION: "quorum_commit_duration_seconds" Histogram "seconds" [] Member "From a proposal to its quorum of acknowledgements, on the leader."
        { zookeeper: "`quorum_ack_latency`", consul: "`consul_raft_commitTime`" } "ZooKeeper's are whole milliseconds.";
    FSYNC_DURATION: "quorum_log_fsync_duration_seconds" Histogram "seconds" [] Member "Forcing the transaction log to the device."
        { zookeeper: "`fsynctime`", keeper: "`FileSyncElapsedMicroseconds` over `FileSync`", etcd: "`etcd_disk_wal_fsync_duration_seconds`", consul: "`consul_raft_leader_dispatchLog`" }
        "ZooKeeper truncates to whole milliseconds: 0 means less than 1 ms. etcd's lowest bucket is 1 ms. Consul's is of the write to the leader's log. Keeper's is of every file that its process syncs, snapshots too.";
    STAGE_DURATION: "quorum_write_stage_seconds" Histogram "seconds" ["stage"] Member "How long a write spends in a stage of its way: prepare, queue, log, quorum, commit or apply."
        { zookeeper: "`prep_processor_queue_time_ms` (prepare), `sync_processor_queue_time_ms` (queue), `sync_processor_queue_flush_time_ms` (log), `quorum_ack_latency` (quorum), `write_commitproc_time_ms` (commit), `write_final_proc_time_ms` (apply)", keeper: "`KeeperPreprocessElapsedMicroseconds` over `KeeperCommits` (prepare)", etcd: "`etcd_disk_wal_fsync_duration_seconds` (log), `etcd_server_apply_duration_seconds` (apply), `etcd_disk_backend_commit_duration_seconds` (commit)", consul: "`consul_raft_leader_dispatchLog` (log), `consul_raft_commitTime` (quorum), `consul_raft_fsm_apply` (apply)" }
        "Stages overlap (the quorum's acknowledgement contains the leader's own log): read them beside each other, not as a sum. ZooKeeper's are whole milliseconds, and its prepare has the reads of the leader's own clients, too.";
    SNAPSHOT_DURATION: "quorum_snapshot_duration_seconds" Histogram "seconds" [] Member "Writing a snapshot, or sending one to a member."
        { zookeeper: "`snapshottime`", etcd: "`etcd_disk_backend_snapshot_duration_seconds`" } "";
    LAST_SNAPSHOT: "quorum_last_snapshot_timestamp_seconds" Gauge "seconds" [] Member "When the member last wrote a snapshot, Unix time."
        { zookeeper: "AdminServer `last_snapshot`" } "";
    PEER_ACK: "quorum_peer_ack_seconds" Histogram "seconds" ["peer"] Member "Acknowledgements of a peer, or round trips to it."
        { zookeeper: "`ack_latency{key}`", etcd: "`etcd_network_peer_round_trip_time_seconds{To}`", consul: "`consul_raft_replication_appendEntries_rpc{peer_id}` (leader)" }
        "ZooKeeper samples one proposal in a thousand, and never those of the slowest follower, whose acknowledgements come after the commit: no measure of a slow follower. Use `quorum_lag_entries`.";
    // Requests.
    OUTSTANDING: "quorum_requests_outstanding" Gauge "requests" [] Member "Requests inside the member."
        { zookeeper: "`outstanding_requests`", keeper: "`outstanding_requests`, `KeeperOutstandingRequests`, `KeeperOutstandingRequets`" } "";
    REQUEST_DURATION: "quorum_server_request_duration_seconds" Histogram "seconds" ["op"] Member "Requests as the member that owns the client's connection times them."
        { zookeeper: "`readlatency` (read), `updatelatency` (write)", keeper: "`keeper_response_time_ms{operation_type}`", etcd: "`etcd_server_request_duration_seconds{type}`", consul: "`consul_api_http{method,path}` (as in `GET v1_kv_`)" }
        "Without the network and the client. ZooKeeper's are whole milliseconds; Keeper's lowest bucket is 10 ms. Consul's contain blocking queries, which wait for a change, and one that nobody uses for a while disappears.";
    PACKETS_RECEIVED: "quorum_packets_received_total" Counter "packets" [] Member "Packets from clients."
        { zookeeper: "`packets_received`", keeper: "`packets_received`, `KeeperPacketsReceived`" } "`srst` and a restart set it to 0. Four-letter words and pings count too.";
    PACKETS_SENT: "quorum_packets_sent_total" Counter "packets" [] Member "Packets to clients."
        { zookeeper: "`packets_sent`", keeper: "`packets_sent`, `KeeperPacketsSent`" } "`srst` and a restart set it to 0.";
    THROTTLED: "quorum_requests_throttled_total" Counter "requests" [] Member "Requests that had to wait because there were too many."
        { zookeeper: "`request_throttle_wait_count`", keeper: "`KeeperRequestRejectedDueToSoftMemoryLimitCount`, refused" } "";
    // Clients.
    CONNECTIONS: "quorum_client_connections" Gauge "connections" [] Member "Client connections."
        { zookeeper: "`num_alive_connections`", keeper: "`num_alive_connections`, `KeeperAliveConnections`" } "";
    CONNECTIONS_REJECTED: "quorum_connections_rejected_total" Counter "connections" [] Member "Client connections that were refused."
        { zookeeper: "`connection_rejected`" } "";
    SESSIONS: "quorum_sessions" Gauge "sessions" [] Member "Client sessions."
        { zookeeper: "`global_sessions` + `local_sessions`", consul: "`consul_session_ttl_active` (leader)" } "Every ZooKeeper member tells the sessions of the whole ensemble: do not sum over members. Consul's are those with a TTL. etcd counts leases that were granted and revoked since the member started only, which does not tell how many there are.";
    SESSIONS_EXPIRED: "quorum_sessions_expired_total" Counter "sessions" [] Member "Sessions that expired."
        { zookeeper: "`stale_sessions_expired` (leader)", etcd: "`etcd_debugging_server_lease_expired_total`" } "";
    WATCHES: "quorum_watches" Gauge "watches" [] Member "Watches that clients have set."
        { zookeeper: "`watch_count`", keeper: "`watch_count`, `KeeperWatchCount`", etcd: "`etcd_debugging_mvcc_watcher_total`", consul: "`consul_rpc_queries_blocking`" } "Consul's are blocking queries that wait, its own among them.";
    // Data.
    KEYS: "quorum_keys" Gauge "keys" [] Member "Nodes or keys in the member's data."
        { zookeeper: "`znode_count`", keeper: "`znode_count`, `KeeperZnodeCount`", etcd: "`etcd_debugging_mvcc_keys_total`" } "";
    EPHEMERALS: "quorum_ephemerals" Gauge "keys" [] Member "Ephemeral nodes."
        { zookeeper: "`ephemerals_count`", keeper: "`ephemerals_count`, `KeeperEphemeralsCount`" } "";
    DATA_BYTES: "quorum_data_bytes" Gauge "bytes" [] Member "Size of the data."
        { zookeeper: "`approximate_data_size`", keeper: "`approximate_data_size`, `KeeperApproximateDataSize`", etcd: "`etcd_mvcc_db_total_size_in_use_in_bytes`" } "";
    STORAGE_BYTES: "quorum_storage_bytes" Gauge "bytes" [] Member "Size of the database file."
        { etcd: "`etcd_mvcc_db_total_size_in_bytes`" } "";
    QUOTA_BYTES: "quorum_data_quota_bytes" Gauge "bytes" [] Member "Size of the database file at which writes are refused."
        { etcd: "`etcd_server_quota_backend_bytes`" } "";
    // The process.
    OPEN_FDS: "quorum_open_file_descriptors" Gauge "descriptors" [] Member "Open file descriptors."
        { zookeeper: "`open_file_descriptor_count`", keeper: "`open_file_descriptor_count`, `KeeperOpenFileDescriptorCount`", etcd: "`process_open_fds` or `os_fd_used`", consul: "`process_open_fds`" } "etcd's `os_fd_used` is renewed every 10 minutes only.";
    MAX_FDS: "quorum_max_file_descriptors" Gauge "descriptors" [] Member "File descriptors that the member may open."
        { zookeeper: "`max_file_descriptor_count`", keeper: "`max_file_descriptor_count`, `KeeperMaxFileDescriptorCount`", etcd: "`process_max_fds` or `os_fd_limit`", consul: "`process_max_fds`" } "";
    CPU_SECONDS: "quorum_process_cpu_seconds_total" Counter "seconds" [] Member "CPU time of the member's process, user and system."
        { zookeeper: "its Prometheus endpoint's `process_cpu_seconds_total`; `/proc` of launched members", etcd: "`process_cpu_seconds_total`", consul: "`process_cpu_seconds_total`" } "";
    RESIDENT_BYTES: "quorum_process_resident_bytes" Gauge "bytes" [] Member "Resident memory of the member's process."
        { zookeeper: "its Prometheus endpoint's `process_resident_memory_bytes`; `/proc` of launched members", etcd: "`process_resident_memory_bytes`", consul: "`process_resident_memory_bytes`" } "";
    READ_BYTES: "quorum_process_read_bytes_total" Counter "bytes" [] Member "Bytes that the process caused to be read from storage."
        { zookeeper: "`/proc` of launched members" } "";
    WRITTEN_BYTES: "quorum_process_written_bytes_total" Counter "bytes" [] Member "Bytes that the process caused to be written to storage."
        { zookeeper: "`/proc` of launched members" } "";
    PAUSES: "quorum_process_pause_seconds" Histogram "seconds" [] Member "Pauses of the process."
        { zookeeper: "`jvm_pause_time_ms` (with `jvm.pause.monitor`, from the first one on)", consul: "`consul_runtime_gc_pause_ns`" } "";
    // What must be 0.
    UNRECOVERABLE: "quorum_unrecoverable_errors_total" Counter "errors" [] Member "Errors after which the member cannot go on."
        { zookeeper: "`unrecoverable_error_count`" } "A follower that passes on a request to a leader that dies counts one, too, and is as new after the election.";
    DIGEST_MISMATCHES: "quorum_digest_mismatches_total" Counter "mismatches" [] Member "Times that the member's data were not what the leader's were."
        { zookeeper: "`digest_mismatches_count`" } "";
    COMMITS_FAILED: "quorum_commits_failed_total" Counter "commits" [] Member "Commits that failed."
        { keeper: "`KeeperCommitsFailed`" } "";
    SNAPSHOTS_FAILED: "quorum_snapshots_failed_total" Counter "snapshots" [] Member "Snapshots that could not be made or applied."
        { zookeeper: "`snapshot_error_count` (3.9 and later)", keeper: "`KeeperSnapshotCreationsFailed` + `KeeperSnapshotApplysFailed`" } "";
    MEMORY_LIMIT_HIT: "quorum_memory_limit_hit" Gauge "" [] Member "Whether the member refuses requests because of its memory."
        { keeper: "`KeeperIsExceedingMemorySoftLimitHit`" } "";
    ALARMS: "quorum_alarms" Gauge "alarms" [] Member "Alarms that are in force, as the member knows them."
        { etcd: "`Status` `errors`, those that are alarms" } "Every member tells those of the whole ensemble: do not sum over members.";

    // What follows from all members together.
    CLUSTER_HAS_LEADER: "quorum_cluster_has_leader" Gauge "" [] Cluster "Whether a member says that it leads, or most voters know a leader." {} "";
    CLUSTER_LEADERS: "quorum_cluster_leaders" Gauge "members" [] Cluster "The greatest number of members that say to lead in one and the same term." {}
        "A leader that was deposed may say so for a moment, in an older term; that does not count.";
    CLUSTER_TERM: "quorum_cluster_term" Gauge "" [] Cluster "The greatest term that a member tells." {} "";
    CLUSTER_MEMBERS: "quorum_cluster_members" Gauge "members" [] Cluster "Members that the exporter was told to watch." {} "";
    CLUSTER_VOTERS: "quorum_cluster_voters" Gauge "members" [] Cluster "Voters of the ensemble, by the voter map of its members." {}
        "Absent until a member has told it: the exporter's own list may leave members out. What was told last counts when nobody tells any more.";
    CLUSTER_SERVING_VOTERS: "quorum_cluster_serving_voters" Gauge "members" [] Cluster "Voters that are up and have a leader." {} "";
    FAILURE_TOLERANCE: "quorum_failure_tolerance" Gauge "members" [] Cluster "How many more voters may fail before there is no quorum: those that serve and are in sync, less a majority of all." {}
        "Negative when the quorum is lost already. In sync are, of ZooKeeper and Keeper, as many as the leader's `synced_followers` says; of etcd and Consul, those that can be caught up from the leader's log (5,000 and 10,240 entries behind at most). Who does not answer the exporter is not in sync. Where it does not watch all voters, only the leader's word counts, and without that it is absent. ZooKeeper's groups and weights (`group.N`, `weight.N`) make quorums that are no majorities: it is absent where a member tells of them by `conf`, and where none may (`4lw.commands.whitelist`) majorities are taken for granted.";
    LEADER_CHANGES: "quorum_leader_changes_total" Counter "changes" [] Cluster "Leaders in a higher term than the last one's, as this exporter has seen them since it started." {}
        "Two changes between two scrapes count as one: a lower bound. Does not begin again when a member does. Absent until a member has told a term in which somebody leads.";

    // What a client feels.
    PROBE_DURATION: "quorum_probe_duration_seconds" Histogram "seconds" ["operation"] Probe "How long the canary's operation took from when it was due: write, read, sync_read or watch." {}
        "Operations that failed or were given up count with the time until then.";
    PROBES: "quorum_probe_operations_total" Counter "operations" ["operation", "outcome"] Probe "The canary's operations: ok, failed (refused), unknown (no answer) or missed (not sent, because an earlier one hung, or the canary has died)." {} "";
    PROBE_LAST_OK: "quorum_probe_last_ok_timestamp_seconds" Gauge "seconds" ["operation"] Probe "When the canary's operation last succeeded, Unix time." {} "";

    // The exporter's own part.
    SCRAPE_DURATION: "quorum_scrape_duration_seconds" Gauge "seconds" [] Scrape "How long it took to ask the member." {} "";
    SCRAPE_ERRORS: "quorum_scrape_errors_total" Counter "errors" ["source", "kind"] Scrape "Questions to the member that had no answer: connect, tls, timeout, closed, too_long, io or status." {} "";
    PARSE_ERRORS: "quorum_parse_errors_total" Counter "errors" ["source", "kind"] Scrape "Answers of the member that could not be understood: empty, binary, missing, value or syntax." {}
        "After an upgrade of the member: it speaks a dialect that this exporter does not know.";
    SOURCE_AVAILABLE: "quorum_scrape_source_available" Gauge "" ["source"] Scrape "Whether the member answers this kind of question; 0 when it is not on its whitelist or not there." {} "";
    BUILD_INFO: "quorum_exporter_build_info" Info "" ["version"] Exporter "This exporter." {} "";
    RELOADS: "quorum_exporter_reloads_total" Counter "reloads" ["outcome"] Exporter "Times that the configuration was read anew: ok or failed." {} "";
    OWN_START: "process_start_time_seconds" Gauge "seconds" [] Exporter "When this process started, Unix time." {} "";
    OWN_CPU: "process_cpu_seconds_total" Counter "seconds" [] Exporter "CPU time of this process, user and system." {} "";
    OWN_RESIDENT: "process_resident_memory_bytes" Gauge "bytes" [] Exporter "Resident memory of this process." {} "";
    OWN_OPEN_FDS: "process_open_fds" Gauge "descriptors" [] Exporter "Open file descriptors of this process." {} "";
    OWN_MAX_FDS: "process_max_fds" Gauge "descriptors" [] Exporter "File descriptors that this process may open." {} "";

    // A measurement that goes on.
    BENCH_INFO: "bench_run_info" Info "" ["run_id", "workload", "target"] Bench "The measurement that goes on." {} "";
    BENCH_PHASE: "bench_phase" StateSet "" ["phase"] Bench "The phase of the measurement: connect, precheck, prefill, warmup, measure, drain or cleanup." {} "";
    BENCH_FAULT: "bench_fault_active" Gauge "" ["fault"] Bench "Whether a fault is in effect." {} "From the proof that it is to the proof that it is gone.";
    BENCH_SCHEDULED: "bench_scheduled_operations_total" Counter "operations" ["stream"] Bench "Operations that the schedule has asked for." {} "";
    BENCH_OPERATIONS: "bench_operations_total" Counter "operations" ["stream", "op", "outcome"] Bench "Operations that ended: ok, failed, unknown or shed." {} "Warm-up included, as in all of these. Deliveries to watchers and stages of sessions' lives are no operations here.";
    BENCH_LATE: "bench_late_operations_total" Counter "operations" ["stream", "op"] Bench "Operations that were sent later than intended, because others were in their way." {} "";
    BENCH_RESPONSE: "bench_response_seconds" Histogram "seconds" ["stream", "op"] Bench "From when an operation was intended until it was done, given up or shed, of all outcomes." {} "Counts are exact; a value is known to 0.1 %, and to its bucket here.";
    BENCH_SERVICE: "bench_service_seconds" Histogram "seconds" ["stream", "op"] Bench "From when an operation was sent until it was done, of those that succeeded." {} "Hides waiting: compare servers by `bench_response_seconds`.";
    BENCH_WAIT: "bench_wait_seconds" Histogram "seconds" ["stream", "op"] Bench "From when an operation was intended until it was sent, of those that succeeded." {} "";
    BENCH_LAG: "bench_schedule_lag_seconds" Histogram "seconds" [] Bench "From when an operation was intended until the generator noticed: the generator's own fault." {} "";
    BENCH_IN_FLIGHT: "bench_in_flight" Gauge "operations" ["stream"] Bench "Operations that were sent and not answered." {} "";
    BENCH_WAITING: "bench_waiting" Gauge "operations" ["stream"] Bench "Operations that are due and not sent." {} "";
    BENCH_SESSIONS: "bench_sessions_connected" Gauge "sessions" ["stream"] Bench "Sessions that are connected." {} "";
    BENCH_WATCH: "bench_watch_delivery_seconds" Histogram "seconds" ["stream"] Bench "From when a write was intended until a watcher had its event, or until that was given up." {} "";
    BENCH_OUTAGE: "bench_outage_seconds" Gauge "seconds" [] Bench "The longest time without a single acknowledged write since the last fault, or since the load began without one." {} "While it goes on it grows with each interval. From one acknowledgement of the write probes to the next in a failover measurement; in others 128ths of an interval without any, 7.8 ms of an interval of 1 s: a lower bound, too short by less than two of them. The load's own pauses between writes are in it. Absent where nothing writes.";
    BENCH_CPU: "bench_generator_cpu_seconds_total" Counter "seconds" [] Bench "CPU time of the generator's workers." {} "";
}

/// The metric of this name.
pub fn by_name(name: &str) -> Option<&'static Metric> {
    ALL.iter().copied().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len(), "each has one definition");
        for metric in ALL {
            let name = metric.name;
            let own = ["quorum_", "bench_", "process_"].iter().any(|prefix| name.starts_with(prefix));
            assert!(own && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), metric.kind == Kind::Info, "{name}");
            for reserved in ["_count", "_sum", "_bucket"] {
                assert!(!name.ends_with(reserved), "{name}");
            }
            if metric.unit == "seconds" || metric.unit == "bytes" {
                assert!(name.contains(metric.unit), "{name} does not say {}", metric.unit);
            }
            if metric.kind == Kind::Histogram {
                assert!(name.ends_with("_seconds"), "{name}");
            }
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}");
            let labels = metric.scope.labels().iter().chain(metric.labels);
            assert_eq!(labels.clone().collect::<BTreeSet<_>>().len(), labels.count(), "{name}");
        }
    }

    #[test]
    fn buckets_go_from_50_microseconds_to_6_seconds() {
        assert_eq!((BUCKETS_NS[0], BUCKETS_NS[1], BUCKETS_NS[17]), (50_000, 100_000, 6_553_600_000));
    }
}
