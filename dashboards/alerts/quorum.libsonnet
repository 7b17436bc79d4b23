// Whether the cluster as a whole has what it needs: a leader, and voters.
function(config, query, alert, words)
  local cluster = config.clusterLabel;
  // Voters as they were told last. That no member tells them any more is no reason to be silent.
  local voters = 'max by (%s) (last_over_time(%s[1h]))' % [cluster, query.series('quorum_cluster_voters')];
  local majority = '(floor(%s / 2) + 1)' % voters;
  local serving = query.ofCluster('quorum_cluster_serving_voters');
  // By what is known of followers in sync; where nobody tells that, by the voters that serve.
  local tolerance = '(%s or %s - %s)' % [
    query.ofCluster('quorum_failure_tolerance', aggregate='min'),
    serving,
    majority,
  ];
  [
    alert(
      'QuorumNoLeader',
      'critical',
      // A cluster of which nobody tells whether there is a leader has none either.
      '%s == 0\nor\n0 * (%s unless %s)' % [
        query.ofCluster('quorum_cluster_has_leader'),
        query.ofCluster('quorum_member_up'),
        query.ofCluster('quorum_cluster_has_leader'),
      ],
      'The cluster has no leader.',
      'No member of cluster %(cluster)s leads, and the voters know no leader: writes fail. See which voters are down or cut off from each other (quorum_member_up, quorum_member_role), bring a majority of them back, and read the election lines of their logs if they are up and cannot agree.' % words,
    ),
    alert(
      'QuorumMultipleLeaders',
      'critical',
      '%s > 1' % query.ofCluster('quorum_cluster_leaders'),
      'More than one member leads in the same term.',
      '{{ $value }} members of cluster %(cluster)s say that they lead in the same term, which must never be. Stop writing, see which one the other members follow (quorum_member_role, quorum_term), and check that all members are of one ensemble: the same voter list, distinct member ids, no copied data directory.' % words,
    ),
    alert(
      'QuorumLost',
      'critical',
      // When every member is down there may be nobody left who tells how many voters there are.
      '%s < %s\nor\n%s == 0' % [serving, majority, query.ofCluster('quorum_member_up')],
      'Fewer voters serve than a majority.',
      'Only {{ $value }} voters of cluster %(cluster)s are up and have a leader, less than a majority: nothing can be written. Bring voters back, those first whose data are intact; do not remove members from the configuration to get a majority unless their data are lost.' % words,
    ),
    alert(
      'QuorumNoFailureTolerance',
      'warning',
      // A member alone has none by design.
      '%s <= 0\nunless\n%s == 1' % [tolerance, voters],
      'The next voter that fails takes the quorum with it.',
      'Cluster %(cluster)s can lose {{ $value }} more voters before nothing can be written. Bring the voters back that are down or behind (quorum_member_up, quorum_lag_entries), and put off maintenance of the others until then.' % words,
    ),
    alert(
      'QuorumLeaderChanged',
      'info',
      '%s > 0' % query.overCluster('increase', 'quorum_leader_changes_total', config.rateWindow),
      'Another member leads now.',
      'The leader of cluster %(cluster)s changed. Expected when a member is restarted; otherwise see what became of the old leader: its log, the pauses of its process, its disk and network at that time.' % words,
    ),
    alert(
      'QuorumLeaderFlapping',
      'warning',
      '%s >= %g' % [
        query.overCluster('increase', 'quorum_leader_changes_total', config.longWindow),
        config.leaderChanges,
      ],
      'The leader changes again and again.',
      'Cluster %(cluster)s had {{ $value | humanize }} leader changes in a short time, each of them an outage for clients. Look for pauses of the leader (quorum_process_pause_seconds), slow fsync (quorum_log_fsync_duration_seconds) and loss in the network between members; only when these are ruled out, raise the time-out of followers (ZooKeeper: syncLimit, etcd: election-timeout).' % words,
    ),
    alert(
      'QuorumElectionSlow',
      'warning',
      '%s > %g' % [
        query.mean('quorum_election_duration_seconds', config.longWindow, [cluster, config.memberLabel]),
        config.electionSeconds,
      ],
      'Elections take long.',
      'Member %(member)s of cluster %(cluster)s needed {{ $value | humanizeDuration }} on average to find a leader, besides the time until the failure was noticed. See whether a majority was up at all during that time, whether election ports and host names of all voters can be reached from each other, and how large the data are that a new leader sends to its followers.' % words,
    ),
  ]
