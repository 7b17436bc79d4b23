// Recording rules: what is worth keeping longer than the series it comes from, and what is asked for often.
{
  local config = self._config,
  local query = (import '../lib/query.libsonnet').new(config, config.selector),
  local cluster = config.clusterLabel,
  local member = config.memberLabel,
  local window = config.rateWindow,

  prometheusRules+:: {
    groups+: [
      {
        name: 'quorumeter-quorum',
        rules: [
          // How many voters may still fail; what quorum_failure_tolerance tells, where nobody knows who is in sync, too.
          {
            record: 'cluster:quorum_margin:min',
            expr: '%s\nor\n%s - (floor(%s / 2) + 1)' % [
              query.ofCluster('quorum_failure_tolerance', aggregate='min'),
              query.ofCluster('quorum_cluster_serving_voters'),
              query.ofCluster('quorum_cluster_voters'),
            ],
          },
          {
            record: 'cluster:quorum_lag_entries:max',
            expr: query.ofCluster('quorum_lag_entries'),
          },
          {
            record: 'cluster:quorum_leader_changes:increase1h',
            expr: query.overCluster('increase', 'quorum_leader_changes_total', '1h'),
          },
          // Every member counts the same election.
          {
            record: 'cluster:quorum_elections:increase1h',
            expr: query.overCluster('increase', 'quorum_elections_total', '1h'),
          },
          {
            record: 'cluster:quorum_election_duration_seconds:mean1h',
            expr: query.mean('quorum_election_duration_seconds', '1h', [cluster]),
          },
          // One failover is told by one member: the one that led in the end.
          {
            record: 'cluster:quorum_leader_unavailable_seconds:increase1h',
            expr: 'sum by (%s) (%s)' % [
              cluster,
              query.overMember('increase', 'quorum_leader_unavailable_seconds_sum', '1h'),
            ],
          },
          {
            record: 'cluster_member:quorum_unavailable_seconds:increase1h',
            expr: query.overMember('increase', 'quorum_unavailable_seconds_sum', '1h'),
          },
        ],
      },
      {
        name: 'quorumeter-writes',
        rules: [
          // An ex-leader keeps its count: rates are summed over members.
          {
            record: 'cluster:quorum_commits:rate',
            expr: 'sum by (%s) (%s)' % [cluster, query.overMember('rate', 'quorum_commits_total', window)],
          },
          {
            record: 'cluster:quorum_commit_duration_seconds:mean',
            expr: query.mean('quorum_commit_duration_seconds', window, [cluster]),
          },
          {
            record: 'cluster_stage:quorum_write_stage_seconds:mean',
            expr: query.mean('quorum_write_stage_seconds', window, [cluster, 'stage']),
          },
          {
            record: 'cluster_member:quorum_log_fsync_duration_seconds:mean',
            expr: query.mean('quorum_log_fsync_duration_seconds', window, [cluster, member]),
          },
          {
            record: 'cluster_member_op:quorum_server_request_duration_seconds:mean',
            expr: query.mean('quorum_server_request_duration_seconds', window, [cluster, member, 'op']),
          },
        ],
      },
      {
        name: 'quorumeter-clients',
        rules: [
          {
            record: 'cluster_operation:quorum_probe_duration_seconds:%s' % quantile.name,
            expr: query.quantile(quantile.q, 'quorum_probe_duration_seconds', window, [cluster, 'operation']),
          }
          for quantile in [{ name: 'p50', q: 0.5 }, { name: 'p99', q: 0.99 }, { name: 'p999', q: 0.999 }]
        ] + [
          {
            record: 'cluster_operation:quorum_probe_errors:ratio',
            expr: '%s / %s' % [
              query.rates('quorum_probe_operations_total', window, [cluster, 'operation'], 'outcome!="ok"'),
              query.rates('quorum_probe_operations_total', window, [cluster, 'operation']),
            ],
          },
        ],
      },
    ],
  },
}
