// Every alert, firing and silent: what differs from a healthy cluster of `n` voters, and every alert that fires then.
//
// A case that fires is `{ fires, series, at, expect }`: `fires` is the alert that it is about, `expect` all that fire, with
// their labels besides `cluster`, and what `$value` reads like where the description has it. A case that stays silent is
// `{ silent, series, at, expect }`; `silent` is the alert that nearly fires. `why` says what is special.
local c = import 'cluster.libsonnet';

function(n)
  local majority = c.majority(n);
  local last = c.member(n);
  local members = std.range(1, n);
  local memberDown(i) = { alert: 'QuorumMemberDown', labels: { member: c.member(i) } };
  local notServing(i) = { alert: 'QuorumMemberNotServing', labels: { member: c.member(i) } };
  local tolerance(value) = { alert: 'QuorumNoFailureTolerance', value: std.toString(value) };
  local lost(value) = { alert: 'QuorumLost', value: std.toString(value) };
  // A member's series, and the alert about it.
  local about(alert, series, value, labels={}, at='60m', why='') = {
    fires: alert,
    why: why,
    at: at,
    series: series,
    expect: [{ alert: alert, labels: { member: last } + labels, value: value }],
  };
  local quiet(alert, series, at='60m', why='', expect=[]) = { silent: alert, why: why, at: at, series: series, expect: expect };
  local of(name, values, labels='') = { [c.ofMember(name, n, labels)]: values };
  local buckets(of, name, counts, labels='') = {
    [of(name + '_bucket', std.join(', ', std.filter(function(l) l != '', [labels, 'le="%s"' % count[0]])))]: c.rising(count[1])
    for count in counts
  };
  local ofLast(name, labels='') = c.ofMember(name, n, labels);
  local histogram(name, sum, count) = of(name + '_sum', sum) + of(name + '_count', count);
  local requests(each) = { [c.ofMember('quorum_requests_outstanding', i)]: c.always(each) for i in members };
  local proposals(value) = { [c.ofMember('quorum_proposals_pending', 1)]: c.always(value) };
  // Without anything, an exporter's own series, scraped and pushed, and the alert that there is none.
  local nothing = { [series]: null for series in std.objectFields(c.healthy(n)) };
  local build = 'quorum_exporter_build_info{%s, version="1"}' % c.target;
  local pushed = 'quorum_exporter_build_info{job="quorumeter", instance="pushed", version="1"}';
  local nobody = { alert: 'QuorumExporterDown', own: { job: 'quorumeter' }, at: ', and none pushes to it' };
  local dead(k) = std.range(n - k + 1, n);
  [
    quiet('', {}, why='a healthy cluster'),

    // A member.
    {
      fires: 'QuorumMemberDown',
      at: '60m',
      series: c.down(n, [n]),
      expect: [memberDown(n)] + (if n == 3 then [tolerance(0)] else []),
    },
    quiet('QuorumMemberDown', of('quorum_member_up', '1x60 0x1 1x87'), '31m', 'a restart of a minute'),
    {
      fires: 'QuorumMemberNotServing',
      at: '60m',
      series: of('quorum_member_serving', c.turns(1, 0)) + of('quorum_member_role', c.turns(1, 0), 'role="follower"') + {
        [c.ofCluster('quorum_cluster_serving_voters')]: c.turns(n, n - 1),
        [c.ofCluster('quorum_failure_tolerance')]: c.turns(n - majority, n - 1 - majority),
      },
      expect: [notServing(n)] + (if n == 3 then [tolerance(0)] else []),
    },
    quiet(
      'QuorumMemberNotServing',
      { [c.ofMember('quorum_member_serving', 1)]: c.always(0) },
      why='a leader with leaderServes=no'
    ),

    // The quorum.
    {
      fires: 'QuorumNoLeader',
      at: '60m',
      why: 'all members are up, and cannot agree',
      series: {
        [c.ofCluster('quorum_cluster_has_leader')]: c.turns(1, 0),
        [c.ofCluster('quorum_cluster_serving_voters')]: c.turns(n, 0),
        [c.ofCluster('quorum_failure_tolerance')]: c.turns(n - majority, -majority),
        [c.ofMember('quorum_member_role', 1, 'role="leader"')]: c.turns(1, 0),
      } + { [c.ofMember('quorum_member_serving', i)]: c.turns(1, 0) for i in members },
      expect: [{ alert: 'QuorumNoLeader' }, lost(0), tolerance(-majority)] + [notServing(i) for i in members],
    },
    {
      fires: 'QuorumNoLeader',
      at: '60m',
      why: 'nobody tells whether there is one',
      series: { [c.ofCluster('quorum_cluster_has_leader')]: c.silent(1) },
      expect: [{ alert: 'QuorumNoLeader' }],
    },
    quiet('QuorumNoLeader', { [c.ofCluster('quorum_cluster_has_leader')]: '1x60 0 1x88' }, '30m30s', 'an election'),
    {
      fires: 'QuorumMultipleLeaders',
      at: '60m',
      series: { [c.ofCluster('quorum_cluster_leaders')]: c.turns(1, 2) },
      expect: [{ alert: 'QuorumMultipleLeaders', value: '2' }],
    },
    quiet('QuorumMultipleLeaders', { [c.ofCluster('quorum_cluster_leaders')]: '1x60 2 1x88' }, '30m30s', 'two for one scrape'),
    {
      fires: 'QuorumLost',
      at: '60m',
      why: 'one voter less than a majority serves',
      series: c.down(n, dead(n - majority + 1)) + { [c.ofCluster('quorum_cluster_has_leader')]: c.turns(1, 0) },
      expect: [{ alert: 'QuorumNoLeader' }, lost(majority - 1), tolerance(-1)]
              + [memberDown(i) for i in dead(n - majority + 1)],
    },
    {
      fires: 'QuorumLost',
      at: '60m',
      why: 'all members are down, and nobody tells anything any more',
      series: c.down(n, members) + {
        [c.ofCluster(name)]: c.silent(1)
        for name in [
          'quorum_cluster_has_leader',
          'quorum_cluster_leaders',
          'quorum_cluster_term',
          'quorum_cluster_voters',
          'quorum_cluster_serving_voters',
          'quorum_failure_tolerance',
        ]
      },
      expect: [{ alert: 'QuorumNoLeader' }, lost(0)] + [memberDown(i) for i in members],
    },
    {
      fires: 'QuorumLost',
      at: '60m',
      why: 'the voters that are left do not tell how many there should be',
      series: c.down(n, dead(n - majority + 1)) + {
        [c.ofCluster('quorum_cluster_has_leader')]: c.turns(1, 0),
        [c.ofCluster('quorum_cluster_voters')]: c.silent(n),
        [c.ofCluster('quorum_failure_tolerance')]: c.silent(n - majority),
      },
      expect: [{ alert: 'QuorumNoLeader' }, lost(majority - 1), tolerance(-1)]
              + [memberDown(i) for i in dead(n - majority + 1)],
    },
    quiet(
      'QuorumLost',
      c.down(n, dead(n - majority)),
      why='a bare majority serves',
      expect=[tolerance(0)] + [memberDown(i) for i in dead(n - majority)]
    ),
    {
      fires: 'QuorumNoFailureTolerance',
      at: '60m',
      series: c.down(n, dead(n - majority)),
      expect: [tolerance(0)] + [memberDown(i) for i in dead(n - majority)],
    },
    {
      fires: 'QuorumNoFailureTolerance',
      at: '60m',
      why: 'nobody tells who is in sync',
      series: { [c.ofCluster('quorum_failure_tolerance')]: null }
              + c.down(n, dead(n - majority)) + { [c.ofCluster('quorum_failure_tolerance')]: null },
      expect: [tolerance(0)] + [memberDown(i) for i in dead(n - majority)],
    },
    quiet('QuorumNoFailureTolerance', { [c.ofCluster('quorum_failure_tolerance')]: c.always(1) }, why='one may fail'),
    quiet('QuorumNoFailureTolerance', {
      [c.ofCluster('quorum_cluster_voters')]: c.always(1),
      [c.ofCluster('quorum_cluster_serving_voters')]: c.always(1),
      [c.ofCluster('quorum_failure_tolerance')]: c.always(0),
    }, why='a member alone'),
    {
      fires: 'QuorumLeaderChanged',
      at: '52m',
      series: { [c.ofCluster('quorum_leader_changes_total')]: c.late(0, 1) },
      expect: [{ alert: 'QuorumLeaderChanged' }],
    },
    quiet('QuorumLeaderChanged', { [c.ofCluster('quorum_leader_changes_total')]: c.late(0, 1) }, why='long ago'),
    {
      fires: 'QuorumLeaderFlapping',
      at: '63m',
      series: { [c.ofCluster('quorum_leader_changes_total')]: '0x100 1x5 2x5 3x38' },
      expect: [{ alert: 'QuorumLeaderFlapping', value: '3' }],
    },
    quiet('QuorumLeaderFlapping', { [c.ofCluster('quorum_leader_changes_total')]: '0x100 1x5 2x44' }, '63m', 'two changes'),
    about(
      'QuorumElectionSlow',
      histogram('quorum_election_duration_seconds', c.late(0, 6), c.late(0, 1)),
      '6s',
      at='55m'
    ),
    quiet('QuorumElectionSlow', histogram('quorum_election_duration_seconds', c.late(0, 5), c.late(0, 1)), '55m'),
    quiet(
      'QuorumElectionSlow',
      histogram('quorum_election_duration_seconds', c.late(1, 2), c.always(1)),
      '55m',
      'a restart, after which its only election took longer than the one before'
    ),

    // Lag.
    about('QuorumFollowerLagging', of('quorum_lag_entries', c.turns(0, 1001)), ''),
    about(
      'QuorumFollowerLagging',
      of('quorum_term', c.always(4)) + of('quorum_lag_entries', null),
      '',
      why='in an older term, while others write'
    ),
    quiet('QuorumFollowerLagging', of('quorum_lag_entries', c.turns(0, 1000))),
    quiet(
      'QuorumFollowerLagging',
      of('quorum_term', c.always(4)) + of('quorum_lag_entries', null)
      + { [c.ofMember('quorum_applied_index', i)]: c.always(7) for i in members },
      why='an older term, and nothing is written'
    ),

    // Writes and requests.
    about(
      'QuorumLogFsyncSlow',
      histogram('quorum_log_fsync_duration_seconds', c.rising(6), c.rising(30)),
      '200ms',
      why='by the mean'
    ),
    about(
      'QuorumLogFsyncSlow',
      histogram('quorum_log_fsync_duration_seconds', c.rising(5), c.rising(100))
      + buckets(ofLast, 'quorum_log_fsync_duration_seconds', [['0.1', 97], ['0.5', 97], ['1', 100], ['+Inf', 100]]),
      '833.3ms',
      why='by the 99th percentile'
    ),
    quiet('QuorumLogFsyncSlow', histogram('quorum_log_fsync_duration_seconds', c.rising(5), c.rising(100))
                                + buckets(ofLast, 'quorum_log_fsync_duration_seconds', [['0.1', 97], ['0.5', 100], ['+Inf', 100]])),
    quiet(
      'QuorumLogFsyncSlow',
      histogram('quorum_log_fsync_duration_seconds', c.rising(5), c.rising(100))
      + buckets(ofLast, 'quorum_log_fsync_duration_seconds', [['+Inf', 100]]),
      why='sum and number alone'
    ),
    about('QuorumOutstandingRequestsGrowing', of('quorum_requests_outstanding', c.always(150)), '150'),
    about(
      'QuorumOutstandingRequestsGrowing',
      of('quorum_proposals_pending', c.always(150)),
      '150',
      why='proposals, where requests are not told'
    ),
    {
      fires: 'QuorumOutstandingRequestsGrowing',
      at: '60m',
      why: 'proposals of a leader, for requests that are spread over members',
      series: requests(50) + proposals(150),
      expect: [{ alert: 'QuorumOutstandingRequestsGrowing', labels: { member: c.member(1) }, value: '150' }],
    },
    {
      fires: 'QuorumOutstandingRequestsGrowing',
      at: '60m',
      why: 'proposals of a leader, for requests that move from one member to another and back',
      series: requests(0) + proposals(150) + {
        [c.ofMember('quorum_requests_outstanding', 2)]: c.inTurn(10, 140),
        [c.ofMember('quorum_requests_outstanding', 3)]: c.inTurn(140, 10),
      },
      expect: [{ alert: 'QuorumOutstandingRequestsGrowing', labels: { member: c.member(1) }, value: '150' }],
    },
    {
      fires: 'QuorumOutstandingRequestsGrowing',
      at: '60m',
      why: 'a leader that has too many of both',
      series: requests(0) + proposals(150) + { [c.ofMember('quorum_requests_outstanding', 1)]: c.always(110) },
      expect: [{ alert: 'QuorumOutstandingRequestsGrowing', labels: { member: c.member(1) }, value: '110' }],
    },
    quiet(
      'QuorumOutstandingRequestsGrowing',
      requests(20) + proposals(150),
      why='proposals that a leader has left over from when it was deposed'
    ),
    quiet('QuorumOutstandingRequestsGrowing', requests(100) + proposals(100), why='neither is too many'),
    quiet('QuorumOutstandingRequestsGrowing', of('quorum_requests_outstanding', '_x100 150x49'), '51m', 'one sample is no window'),
    quiet('QuorumOutstandingRequestsGrowing', of('quorum_requests_outstanding', '150x100 90 150x48'), '54m', 'it came down'),
    about(
      'QuorumFileDescriptorsHigh',
      of('quorum_open_file_descriptors', c.always(81)) + of('quorum_max_file_descriptors', c.always(100)),
      '81%'
    ),
    quiet(
      'QuorumFileDescriptorsHigh',
      of('quorum_open_file_descriptors', c.always(80)) + of('quorum_max_file_descriptors', c.always(100))
    ),

    // Data.
    about('QuorumDataGrowth', of('quorum_data_bytes', c.rising(1000000, 900000000)), '1.397Gi'),
    about(
      'QuorumDataGrowth',
      of('quorum_storage_bytes', c.rising(1000000, 900000000)) + of('quorum_data_quota_bytes', c.always(1400000000)),
      '1.397Gi',
      why='towards the quota'
    ),
    quiet('QuorumDataGrowth', of('quorum_data_bytes', c.always(1000000000)), why='large, and it does not grow'),
    quiet(
      'QuorumDataGrowth',
      of('quorum_storage_bytes', c.rising(1000000, 900000000)) + of('quorum_data_quota_bytes', c.always(2000000000)),
      why='the quota is far'
    ),
    quiet(
      'QuorumDataGrowth',
      of('quorum_data_bytes', c.rising(1000000, 900000000)) + of('quorum_storage_bytes', c.rising(1000000, 900000000))
      + of('quorum_data_quota_bytes', c.always(8000000000)),
      why='more than is good for a heap, and the quota is far'
    ),
    about(
      'EtcdQuotaLow',
      of('quorum_storage_bytes', c.always(91)) + of('quorum_data_quota_bytes', c.always(100)),
      '91%'
    ),
    quiet('EtcdQuotaLow', of('quorum_storage_bytes', c.always(90)) + of('quorum_data_quota_bytes', c.always(100))),

    // What must be 0.
    about('ZooKeeperUnrecoverableError', of('quorum_unrecoverable_errors_total', c.late(0, 1)), '1', at='55m'),
    quiet(
      'ZooKeeperUnrecoverableError',
      of('quorum_unrecoverable_errors_total', c.late(0, 1)) + { [c.ofCluster('quorum_leader_changes_total')]: c.late(0, 1) },
      '58m',
      'a follower while its leader dies'
    ),
    quiet('ZooKeeperUnrecoverableError', of('quorum_unrecoverable_errors_total', c.always(0))),
    about('ZooKeeperDigestMismatch', of('quorum_digest_mismatches_total', c.turns(0, 2)), '2'),
    quiet('ZooKeeperDigestMismatch', of('quorum_digest_mismatches_total', c.always(0))),
    about('KeeperCommitsFailed', of('quorum_commits_failed_total', c.late(0, 1)), '1', at='55m'),
    quiet('KeeperCommitsFailed', of('quorum_commits_failed_total', c.late(0, 1)), '70m', 'long ago'),
    about('KeeperSnapshotFailed', of('quorum_snapshots_failed_total', c.late(0, 1)), '1', at='55m'),
    quiet('KeeperSnapshotFailed', of('quorum_snapshots_failed_total', c.late(0, 1)), '70m', 'long ago'),
    about('KeeperMemorySoftLimit', of('quorum_memory_limit_hit', c.turns(0, 1)), ''),
    quiet('KeeperMemorySoftLimit', of('quorum_memory_limit_hit', c.always(0))),

    // Clients.
    {
      local probes(counts) = buckets(c.ofCluster, 'quorum_probe_duration_seconds', counts, 'operation="write"'),
      fires: 'QuorumProbeSlow',
      at: '60m',
      series: probes([['0.4096', 97], ['0.8192', 100], ['+Inf', 100]]),
      expect: [{ alert: 'QuorumProbeSlow', labels: { operation: 'write' }, value: '682.7ms' }],
    },
    quiet(
      'QuorumProbeSlow',
      buckets(c.ofCluster, 'quorum_probe_duration_seconds', [['0.4096', 100], ['0.8192', 101], ['+Inf', 101]], 'operation="write"')
    ),
    {
      fires: 'QuorumProbeErrors',
      at: '60m',
      why: 'two in a hundred',
      series: {
        [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="ok"')]: c.rising(98),
        [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="unknown"')]: c.rising(2),
      },
      expect: [{ alert: 'QuorumProbeErrors', labels: { operation: 'write' } }],
    },
    {
      fires: 'QuorumProbeErrors',
      at: '60m',
      why: 'it hangs, and no operation ends',
      series: {
        [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="ok"')]: '0+10x60 600x89',
        [c.ofCluster('quorum_probe_last_ok_timestamp_seconds', 'operation="write"')]: '0+30x60 1800x89',
      },
      expect: [{ alert: 'QuorumProbeErrors', labels: { operation: 'write' } }],
    },
    quiet('QuorumProbeErrors', {
      [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="ok"')]: c.rising(199),
      [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="unknown"')]: c.rising(1),
      [c.ofCluster('quorum_probe_last_ok_timestamp_seconds', 'operation="write"')]: '0+30x150',
    }),
    {
      fires: 'QuorumSessionsExpiring',
      at: '52m',
      series: of('quorum_sessions_expired_total', c.late(0, 20)),
      expect: [{ alert: 'QuorumSessionsExpiring', value: '20' }],
    },
    quiet('QuorumSessionsExpiring', of('quorum_sessions_expired_total', c.late(0, 9)), '52m'),

    // The exporter.
    {
      fires: 'QuorumExporterDown',
      at: '60m',
      series: nothing + { ['up{%s}' % c.target]: c.turns(1, 0), [build]: c.silent(1) },
      why: 'it cannot be scraped',
      expect: [{ alert: 'QuorumExporterDown', own: { job: 'quorumeter', instance: 'exporter:9142' }, at: ' at exporter:9142' }],
    },
    {
      fires: 'QuorumExporterDown',
      at: '60m',
      series: nothing + { ['up{%s}' % c.target]: c.turns(1, 0), [pushed]: c.always(1) },
      why: 'it cannot be scraped, and another one pushes',
      expect: [{ alert: 'QuorumExporterDown', own: { job: 'quorumeter', instance: 'exporter:9142' }, at: ' at exporter:9142' }],
    },
    {
      fires: 'QuorumExporterDown',
      at: '60m',
      series: nothing + { 'up{job="other"}': c.always(1) },
      why: 'it is no target at all',
      expect: [nobody],
    },
    {
      fires: 'QuorumExporterDown',
      // A push is looked back on for five minutes, and the alert waits for two.
      at: '37m30s',
      series: nothing + { [pushed]: '1x60' },
      why: 'it pushes no more',
      expect: [nobody],
    },
    quiet('QuorumExporterDown', nothing + { [pushed]: c.always(1) }, why='it pushes, and is no target'),
    quiet('QuorumExporterDown', nothing + { [pushed]: '1x30 _x5 1x113' }, '18m', 'it pushes again after a restart'),
    quiet('QuorumExporterDown', { ['up{%s}' % c.target]: '1x60 0x1 1x87' }, '31m', 'a restart of a minute'),
    {
      local parse = 'source="mntr", kind="value"',
      fires: 'ExporterParseErrors',
      at: '55m',
      series: of('quorum_parse_errors_total', c.late(0, 1), parse),
      expect: [{ alert: 'ExporterParseErrors', labels: { member: last, source: 'mntr', kind: 'value' } }],
    },
    quiet('ExporterParseErrors', of('quorum_parse_errors_total', c.late(0, 1), 'source="mntr", kind="value"'), '70m', 'long ago'),
  ]
