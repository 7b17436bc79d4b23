// Every recording rule, and what it makes of series whose answer was worked out by hand.
//
// A case is `{ record, why, series, told }`: `told` is `{ at: [{ labels, value }] }`, labels besides `cluster`. Counters that
// step begin at 0, and others rise by the same with each sample, so that nothing is guessed between samples.
local c = import 'cluster.libsonnet';

// What a second exporter of the same cluster tells.
local second(series) = { [std.strReplace(name, 'exporter:', 'exporter-2:')]: series[name] for name in std.objectFields(series) };
local twice(series) = series + second(series);

local case(record, why, series, told) = { record: record, why: why, series: series, told: told };
local one(value) = [{ labels: {}, value: value }];
local ofMember(i, value, labels={}) = { labels: { member: c.member(i) } + labels, value: value };

// Sum and number of what a member has timed, both rising with each sample, and `from` half an hour on what a restart left.
local timed(name, i, sum, count, labels='') = {
  [c.ofMember(name + '_sum', i, labels)]: '0+%gx150' % sum,
  [c.ofMember(name + '_count', i, labels)]: '0+%dx150' % count,
};
local restarted(name, i, sum, count, labels='') = {
  [c.ofMember(name + '_sum', i, labels)]: '0+%gx60 %g+%gx89' % [sum, sum, sum],
  [c.ofMember(name + '_count', i, labels)]: '0+%dx60 %d+%dx89' % [count, count, count],
};
local died(name, i, sum, count, labels='') = {
  [c.ofMember(name + '_sum', i, labels)]: '0+%gx60 stale' % sum,
  [c.ofMember(name + '_count', i, labels)]: '0+%dx60 stale' % count,
};
local idle(name, i, labels='') = {
  [c.ofMember(name + '_sum', i, labels)]: c.always(9),
  [c.ofMember(name + '_count', i, labels)]: c.always(3),
};

// What depends on the number of voters.
local ofVoters(n) =
  local mayFail = { '3': 1, '5': 2 }[std.toString(n)];
  local members = std.range(1, n);
  local others = std.range(1, n - 1);
  local of(record, why, series, told) = case(record, '%d voters: %s' % [n, why], series, told);
  local serve(voters) = {
    [c.ofCluster('quorum_cluster_voters')]: c.always(n),
    [c.ofCluster('quorum_cluster_serving_voters')]: c.always(voters),
  };
  local inSync(tolerance) = { [c.ofCluster('quorum_failure_tolerance')]: c.always(tolerance) };
  [
    of('cluster:quorum_margin:min', 'all are well', twice(serve(n) + inSync(mayFail)), { '70m': one(mayFail) }),
    of(
      'cluster:quorum_margin:min',
      'one of two exporters sees a voter less in sync',
      serve(n) + inSync(mayFail) + second(serve(n) + inSync(mayFail - 1)),
      { '70m': one(mayFail - 1) }
    ),
    of('cluster:quorum_margin:min', 'who is in sync is not told', twice(serve(n)), { '70m': one(mayFail) }),
    of(
      'cluster:quorum_margin:min',
      'who is in sync is not told, and one of two exporters does not reach a voter',
      serve(n - 1) + second(serve(n)),
      { '70m': one(mayFail) }
    ),
    of(
      'cluster:quorum_margin:min',
      'who is in sync is not told, and a voter dies',
      twice(serve(n) + { [c.ofCluster('quorum_cluster_serving_voters')]: c.turns(n, n - 1) }),
      { '30m': one(mayFail), '70m': one(mayFail - 1) }
    ),
    of(
      'cluster:quorum_margin:min',
      'who is in sync is not told, and one of two exporters has the voter map of before two joined',
      serve(n) + second(serve(n) + { [c.ofCluster('quorum_cluster_voters')]: c.always(n - 2) }),
      { '70m': one(mayFail) }
    ),
    of('cluster:quorum_margin:min', 'who is in sync is not told, and one serves', twice(serve(1)), {
      '70m': one(if n == 3 then -1 else -2),
    }),
    of(
      'cluster:quorum_lag_entries:max',
      'the last member is behind, then dies',
      twice({ [c.ofMember('quorum_lag_entries', i)]: c.always(i) for i in others }
            + { [c.ofMember('quorum_lag_entries', n)]: c.silent(40) }),
      { '30m': one(40), '70m': one(if n == 3 then 2 else 4) }
    ),
    of(
      'cluster:quorum_elections:increase1h',
      'all count the same two',
      twice({ [c.ofMember('quorum_elections_total', i)]: '0x30 1x70 2x50' for i in members }),
      { '10m': one(0), '70m': one(2) }
    ),
    of(
      'cluster:quorum_elections:increase1h',
      'one is restarted after the first election, another dies',
      { [c.ofMember('quorum_elections_total', i)]: '0x30 1x30 0x39 1x50' for i in others }
      + { [c.ofMember('quorum_elections_total', n)]: '0x30 1x30 stale' },
      { '70m': one(2) }
    ),
  ];

std.flatMap(ofVoters, [3, 5]) + [
  // The quorum.
  case(
    'cluster:quorum_leader_changes:increase1h',
    'one of two exporters missed a leader',
    { [c.ofCluster('quorum_leader_changes_total')]: '0x100 1x5 2x44' }
    + second({ [c.ofCluster('quorum_leader_changes_total')]: c.late(0, 1) }),
    { '30m': one(0), '70m': one(2) }
  ),
  case(
    'cluster:quorum_leader_changes:increase1h',
    'both exporters are restarted after the first of two',
    twice({ [c.ofCluster('quorum_leader_changes_total')]: '0x30 1x30 0x20 1x67' }),
    { '70m': one(2) }
  ),
  case(
    'cluster:quorum_election_duration_seconds:mean1h',
    'two elections of 3 s on one member, one of 4.5 s on another',
    twice({
      [c.ofMember('quorum_election_duration_seconds_sum', 1)]: c.late(0, 6),
      [c.ofMember('quorum_election_duration_seconds_count', 1)]: c.late(0, 2),
      [c.ofMember('quorum_election_duration_seconds_sum', 2)]: '0x110 4.5x40',
      [c.ofMember('quorum_election_duration_seconds_count', 2)]: '0x110 1x40',
    }),
    { '30m': [], '70m': one(3.5) }
  ),
  case(
    'cluster:quorum_election_duration_seconds:mean1h',
    'a member is restarted after one of 3 s, and its next takes 1 s',
    {
      [c.ofMember('quorum_election_duration_seconds_sum', 1)]: '0x30 3x30 0x30 1x60',
      [c.ofMember('quorum_election_duration_seconds_count', 1)]: '0x30 1x30 0x30 1x60',
    },
    { '70m': one(2) }
  ),
  case(
    'cluster:quorum_election_duration_seconds:mean1h',
    'a member is restarted, and scraped again only after an election that took longer than its last',
    {
      [c.ofMember('quorum_election_duration_seconds_sum', 1)]: '2x60 3x89',
      [c.ofMember('quorum_election_duration_seconds_count', 1)]: c.always(1),
    },
    { '70m': [] }
  ),
  case(
    'cluster:quorum_leader_unavailable_seconds:increase1h',
    'two failovers, each told by the member that led then',
    twice({
      [c.ofMember('quorum_leader_unavailable_seconds_sum', 1)]: '0x40 3x108',
      [c.ofMember('quorum_leader_unavailable_seconds_sum', 2)]: '0x90 4x58',
      [c.ofMember('quorum_leader_unavailable_seconds_sum', 3)]: c.always(0),
    }),
    { '10m': one(0), '30m': one(3), '70m': one(7) }
  ),
  case(
    'cluster:quorum_leader_unavailable_seconds:increase1h',
    'who told the first is restarted, another dies, and a second exporter is there for the second only',
    {
      [c.ofMember('quorum_leader_unavailable_seconds_sum', 1)]: '0x40 3x20 stale _x3 0x82',
      [c.ofMember('quorum_leader_unavailable_seconds_sum', 2)]: '0x90 4x58',
      [c.ofMember('quorum_leader_unavailable_seconds_sum', 3)]: c.silent(0),
    } + second({
      [c.ofMember('quorum_leader_unavailable_seconds_sum', 1)]: '_x80 0x69',
      [c.ofMember('quorum_leader_unavailable_seconds_sum', 2)]: '_x80 0x9 4x58',
    }),
    { '70m': one(7) }
  ),
  case(
    'cluster_member:quorum_unavailable_seconds:increase1h',
    'one is without a leader twice and restarted in between, another once, a third has told nothing for an hour',
    twice({
      [c.ofMember('quorum_unavailable_seconds_sum', 1)]: '0x40 3x20 0x30 2x60',
      [c.ofMember('quorum_unavailable_seconds_sum', 2)]: c.late(0, 8),
      [c.ofMember('quorum_unavailable_seconds_sum', 3)]: '0x2 6x2 stale',
    }),
    { '70m': [ofMember(1, 5), ofMember(2, 8)] }
  ),
  case(
    'cluster_member:quorum_unavailable_seconds:increase1h',
    'a second exporter is there for the second time only',
    { [c.ofMember('quorum_unavailable_seconds_sum', 1)]: '0x40 3x59 5x48' }
    + second({ [c.ofMember('quorum_unavailable_seconds_sum', 1)]: '_x80 3x19 5x48' }),
    { '70m': [ofMember(1, 5)] }
  ),

  // Writes.
  case(
    'cluster:quorum_commits:rate',
    'the first leads at 10 a second, then keeps its count while the second leads at 20',
    twice({
      [c.ofMember('quorum_commits_total', 1)]: '0+300x60 18000x89',
      [c.ofMember('quorum_commits_total', 2)]: '0x60 600+600x89',
    }),
    { '30m': one(10), '70m': one(20) }
  ),
  case(
    'cluster:quorum_commits:rate',
    'the leader is restarted and leads again, while another counts too',
    {
      [c.ofMember('quorum_commits_total', 1)]: '0+300x60 300+300x89',
      [c.ofMember('quorum_commits_total', 2)]: c.rising(60),
    },
    { '33m': one(12), '70m': one(12) }
  ),
  case(
    'cluster:quorum_commits:rate',
    'a second exporter starts, which has seen half of the window',
    { [c.ofMember('quorum_commits_total', 1)]: c.rising(300) }
    + second({ [c.ofMember('quorum_commits_total', 1)]: '_x60 18300+300x89' }),
    { '33m': one(10), '70m': one(10) }
  ),
  case(
    'cluster:quorum_commits:rate',
    'the leader dies, and nobody leads',
    {
      [c.ofMember('quorum_commits_total', 1)]: '0+300x60 stale',
      [c.ofMember('quorum_commits_total', 2)]: c.always(500),
    },
    { '30m': one(10), '70m': one(0) }
  ),
  case(
    'cluster:quorum_commit_duration_seconds:mean',
    'of three in four of 20 ms and one in four of 60 ms',
    twice(
      timed('quorum_commit_duration_seconds', 1, 6, 300)
      + timed('quorum_commit_duration_seconds', 2, 6, 100)
      + idle('quorum_commit_duration_seconds', 3)
    ),
    { '70m': one(0.03) }
  ),
  case(
    'cluster:quorum_commit_duration_seconds:mean',
    'the leader is restarted and leads again',
    restarted('quorum_commit_duration_seconds', 1, 6, 300),
    { '33m': one(0.02), '70m': one(0.02) }
  ),
  case(
    'cluster:quorum_commit_duration_seconds:mean',
    'nothing is committed',
    idle('quorum_commit_duration_seconds', 1),
    { '70m': [] }
  ),
  case(
    'cluster_stage:quorum_write_stage_seconds:mean',
    'each stage by itself: of the log one in four of 20 ms and three of 40 ms, of whom the latter is restarted',
    twice(
      timed('quorum_write_stage_seconds', 1, 2, 100, 'stage="log"')
      + restarted('quorum_write_stage_seconds', 2, 12, 300, 'stage="log"')
      + timed('quorum_write_stage_seconds', 1, 5, 100, 'stage="quorum"')
      + idle('quorum_write_stage_seconds', 1, 'stage="apply"')
    ),
    {
      [at]: [{ labels: { stage: 'log' }, value: 0.035 }, { labels: { stage: 'quorum' }, value: 0.05 }]
      for at in ['33m', '70m']
    }
  ),
  case(
    'cluster_stage:quorum_write_stage_seconds:mean',
    'who took three times as long as the other dies',
    timed('quorum_write_stage_seconds', 1, 2, 100, 'stage="log"') + died('quorum_write_stage_seconds', 2, 6, 100, 'stage="log"'),
    { '30m': [{ labels: { stage: 'log' }, value: 0.04 }], '70m': [{ labels: { stage: 'log' }, value: 0.02 }] }
  ),
  case(
    'cluster_member:quorum_log_fsync_duration_seconds:mean',
    'each member by itself: the second is restarted, the third dies, the fourth forces nothing',
    twice(
      timed('quorum_log_fsync_duration_seconds', 1, 0.5, 100)
      + restarted('quorum_log_fsync_duration_seconds', 2, 2, 100)
      + died('quorum_log_fsync_duration_seconds', 3, 6, 100)
      + idle('quorum_log_fsync_duration_seconds', 4)
    ),
    { '33m': [ofMember(1, 0.005), ofMember(2, 0.02), ofMember(3, 0.06)], '70m': [ofMember(1, 0.005), ofMember(2, 0.02)] }
  ),
  case(
    'cluster_member_op:quorum_server_request_duration_seconds:mean',
    'each member and op by itself: the second is restarted, the third dies, the fourth has none',
    twice(
      timed('quorum_server_request_duration_seconds', 1, 0.5, 250, 'op="read"')
      + timed('quorum_server_request_duration_seconds', 1, 1, 100, 'op="write"')
      + restarted('quorum_server_request_duration_seconds', 2, 3, 100, 'op="write"')
      + died('quorum_server_request_duration_seconds', 3, 5, 100, 'op="write"')
      + idle('quorum_server_request_duration_seconds', 4, 'op="write"')
    ),
    {
      local alive = [
        ofMember(1, 0.002, { op: 'read' }),
        ofMember(1, 0.01, { op: 'write' }),
        ofMember(2, 0.03, { op: 'write' }),
      ],
      '33m': alive + [ofMember(3, 0.05, { op: 'write' })],
      '70m': alive,
    }
  ),
] + (
  // Clients. Of each sample's 100 operations, how many are within each bound.
  local bounds = ['0.0512', '0.1024', '0.2048', '0.4096', '+Inf'];
  local probes(operation, within, restarts=false) = {
    [c.ofCluster('quorum_probe_duration_seconds_bucket', 'operation="%s", le="%s"' % [operation, bounds[i]])]:
      if restarts then '0+%dx60 %d+%dx89' % [within[i], within[i], within[i]] else c.rising(within[i])
    for i in std.range(0, std.length(bounds) - 1)
  };
  local named(name) = 'cluster_operation:quorum_probe_duration_seconds:' + name;
  local of(operation, value) = { labels: { operation: operation }, value: value };
  std.flatMap(
    function(quantile) [
      // Ranks 50, 99 and 99.9: the first is half of the way from 0.1024, the others 39 and 39.9 of 40 from 0.2048.
      case(
        named(quantile.name),
        'two exporters whose canaries feel the same, of which one is restarted',
        probes('write', [0, 40, 60, 100, 100]) + second(probes('write', [0, 40, 60, 100, 100], restarts=true)),
        { '33m': [of('write', quantile.same)], '70m': [of('write', quantile.same)] }
      ),
      // Ranks 100, 198 and 199.8 of 200: the first is the bound below which all of the one are, the others 98 and 99.8 of 100
      // from 0.2048.
      case(
        named(quantile.name),
        'two exporters, of which one is twice as far away as the other; reads by themselves',
        probes('write', [0, 100, 100, 100, 100]) + second(probes('write', [0, 0, 0, 100, 100]))
        + probes('read', [100, 100, 100, 100, 100]),
        { '70m': [of('read', quantile.read), of('write', quantile.apart)] }
      ),
      case(
        named(quantile.name),
        'an exporter that is gone',
        { [name]: '0+100x60 stale' for name in std.objectFields(probes('write', [0, 0, 0, 0, 0])) },
        { '70m': [] }
      ),
    ],
    [
      { name: 'p50', same: 0.1536, apart: 0.1024, read: 0.0256 },
      { name: 'p99', same: 0.40448, apart: 0.405504, read: 0.050688 },
      { name: 'p999', same: 0.409088, apart: 0.4091904, read: 0.0511488 },
    ]
  )
  + [
    case(
      'cluster_operation:quorum_probe_errors:ratio',
      'two exporters whose canaries fail three times in a hundred, of which one is restarted; reads never fail',
      {
        [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="ok"')]: c.rising(97),
        [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="unknown"')]: c.rising(2),
        [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="failed"')]: c.rising(1),
        [c.ofCluster('quorum_probe_operations_total', 'operation="read", outcome="ok"')]: c.rising(100),
        [c.ofCluster('quorum_probe_operations_total', 'operation="read", outcome="unknown"')]: c.always(0),
      }
      + second({
        [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="ok"')]: '0+97x60 97+97x89',
        [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="unknown"')]: '0+3x60 3+3x89',
      }),
      { '33m': [of('read', 0), of('write', 0.03)], '70m': [of('read', 0), of('write', 0.03)] }
    ),
    case(
      'cluster_operation:quorum_probe_errors:ratio',
      'one of two exporters has no success at all',
      { [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="ok"')]: c.rising(100) }
      + second({ [c.ofCluster('quorum_probe_operations_total', 'operation="write", outcome="unknown"')]: c.rising(60) }),
      { '70m': [of('write', 0.375)] }
    ),
  ]
)
