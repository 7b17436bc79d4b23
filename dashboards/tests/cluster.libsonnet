// A healthy cluster of `n` voters as promtool's input series: `{ series: values }`, a sample every 30 s for 75 minutes.
// The first member leads.
{
  local cluster = self,
  local steps = 150,

  target: 'job="quorumeter", instance="exporter:9142"',
  member(i):: 'zk%d:2181' % i,
  majority(n):: std.floor(n / 2) + 1,

  ofCluster(name, labels=''):: '%s{%s, cluster="main"%s}' % [name, cluster.target, if labels == '' then '' else ', ' + labels],
  ofMember(name, i, labels='')::
    cluster.ofCluster(name, 'member="%s"%s' % [cluster.member(i), if labels == '' then '' else ', ' + labels]),

  // Values: one all the time; two in turn; another from 30.5 minutes on; each step more; some for a while from 50.5 minutes on.
  always(value):: '%dx%d' % [value, steps],
  inTurn(one, other):: std.join(' ', std.repeat(['%d %d' % [one, other]], steps / 2)),
  turns(before, after):: '%sx60 %sx%d' % [before, after, steps - 61],
  // It is told no more from then on.
  silent(before):: '%dx60 stale' % before,
  rising(by, from=0):: '%d+%dx%d' % [from, by, steps],
  late(before, after):: '%dx100 %dx%d' % [before, after, steps - 101],

  healthy(n):: {
    ['up{%s}' % cluster.target]: cluster.always(1),
    [cluster.ofCluster('quorum_cluster_has_leader')]: cluster.always(1),
    [cluster.ofCluster('quorum_cluster_leaders')]: cluster.always(1),
    [cluster.ofCluster('quorum_cluster_term')]: cluster.always(5),
    [cluster.ofCluster('quorum_cluster_members')]: cluster.always(n),
    [cluster.ofCluster('quorum_cluster_voters')]: cluster.always(n),
    [cluster.ofCluster('quorum_cluster_serving_voters')]: cluster.always(n),
    [cluster.ofCluster('quorum_failure_tolerance')]: cluster.always(n - cluster.majority(n)),
    [cluster.ofCluster('quorum_leader_changes_total')]: cluster.always(0),
  } + {
    [cluster.ofMember(told[0], i, if std.length(told) > 2 then told[2] else '')]: told[1]
    for i in std.range(1, n)
    for told in [
      ['quorum_member_up', cluster.always(1)],
      ['quorum_member_serving', cluster.always(1)],
      ['quorum_member_role', cluster.always(if i == 1 then 1 else 0), 'role="leader"'],
      ['quorum_member_role', cluster.always(if i == 1 then 0 else 1), 'role="follower"'],
      ['quorum_term', cluster.always(5)],
      ['quorum_applied_index', cluster.rising(30)],
      ['quorum_lag_entries', cluster.always(0)],
    ]
  },

  // What changes when members die half an hour after the start.
  down(n, members):: {
    [cluster.ofCluster('quorum_cluster_serving_voters')]: cluster.turns(n, n - std.length(members)),
    [cluster.ofCluster('quorum_failure_tolerance')]:
      cluster.turns(n - cluster.majority(n), n - std.length(members) - cluster.majority(n)),
  } + {
    [cluster.ofMember('quorum_member_up', i)]: cluster.turns(1, 0)
    for i in members
  } + {
    [cluster.ofMember(told[0], i)]: told[1]
    for i in members
    for told in [
      ['quorum_member_serving', cluster.silent(1)],
      ['quorum_term', cluster.silent(5)],
      ['quorum_applied_index', '0+30x60 stale'],
      ['quorum_lag_entries', cluster.silent(0)],
    ]
  },
}
