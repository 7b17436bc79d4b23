// Where a write spends its time.
function(config, kit)
  local panel = kit.panel;
  local shared = kit.shared;
  local variables = kit.dashboard.variables;
  local window = '$__rate_interval';
  local member = config.memberLabel;
  local cluster = 'job=~"$job", %s="$cluster"' % config.clusterLabel;
  local members = '%s, %s=~"$member"' % [cluster, member];
  local query = kit.queries(members);
  kit.dashboard.new(
    'write-path',
    'Write path',
    'A write by stage: how long each takes, how far followers are behind, and where requests pile up.',
    [variables.datasource, variables.job('quorum_member_up'), variables.cluster(), variables.member],
    [
      {
        title: 'Stages',
        panels: [
          shared.stages(members),
          panel.lines(
            'From proposal to quorum, mean',
            's',
            'On the leader, from a proposal to the acknowledgements of a majority. ' + kit.caveat.milliseconds,
            [panel.query(query.mean('quorum_commit_duration_seconds', window, [member]), kit.member)]
          ),
          shared.fsync(members),
          panel.lines(
            'Log fsync, 99th percentile',
            's',
            'Of the window, by the buckets of the server. Empty where a system tells only sum and number (ZooKeeper, ClickHouse Keeper, Consul): see the mean.',
            [panel.query(query.quantile(0.99, 'quorum_log_fsync_duration_seconds', window, [member]) + ' >= 0', kit.member)]
          ),
          shared.requests(members),
          panel.lines(
            'Requests inside members',
            'short',
            'Requests that a member has taken in and not answered, and proposals that are not committed. A line that does not come down means that clients send more than the cluster can do.',
            [
              panel.query('max by (%s) (quorum_requests_outstanding{%s})' % [member, members], kit.member + ' requests'),
              panel.query('max by (%s) (quorum_proposals_pending{%s})' % [member, members], kit.member + ' proposals'),
            ]
          ),
        ],
      },
      {
        title: 'Writes and followers',
        panels: [
          panel.stacked(
            'Commits and proposals',
            'ops',
            'As members count them, added up: an ex-leader keeps its count, and the new one counts on. Empty where a system does not count them; see the entries applied.',
            [
              panel.query('max by (%s) (rate(quorum_commits_total{%s}[%s]))' % [member, members, window], kit.member + ' commits'),
              panel.query('max by (%s) (rate(quorum_proposals_total{%s}[%s]))' % [member, members, window], kit.member + ' proposals'),
            ]
          ),
          shared.applied(members),
          shared.lag(members),
          panel.lines(
            'Acknowledgements and round trips of peers, mean',
            's',
            'Read it together with the lag, never alone: ZooKeeper samples one proposal in a thousand, and never the acknowledgements of the slowest follower, which come after the commit. On etcd it is the round trip to the peer, on Consul the replication to it, as its leader tells it.',
            [panel.query(query.mean('quorum_peer_ack_seconds', window, [member, 'peer']), kit.member + ' → {{peer}}')]
          ),
          panel.lines(
            'Requests throttled',
            'ops',
            'Requests that had to wait, or were refused, because there were too many in the member.',
            [panel.query('max by (%s) (rate(quorum_requests_throttled_total{%s}[%s]))' % [member, members, window], kit.member)]
          ),
          panel.lines(
            'Pauses of processes',
            'percentunit',
            'Share of time that the process stood still (garbage collection). A paused leader is a dead leader when it lasts. ZooKeeper tells it with `jvm.pause.monitor` only.',
            [panel.query('max by (%s) (rate(quorum_process_pause_seconds_sum{%s}[%s]))' % [member, members, window], kit.member)]
          ),
        ],
      },
    ]
  )
