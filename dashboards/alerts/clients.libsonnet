// What clients feel, as the canary does, and what becomes of their sessions.
function(config, query, alert, words)
  local cluster = config.clusterLabel;
  local operation = [cluster, 'operation'];
  [
    alert(
      'QuorumProbeSlow',
      'warning',
      '%s > %g' % [
        query.quantile(0.99, 'quorum_probe_duration_seconds', config.rateWindow, operation),
        config.probeP99Seconds,
      ],
      'The canary waits long.',
      'One in a hundred {{ $labels.operation }} operations of the canary on cluster %(cluster)s takes {{ $value | humanizeDuration }} or longer, and so do those of other clients. See on the write path which stage is slow, whether a leader was elected, and whether one member is slower than the others.' % words,
    ),
    alert(
      'QuorumProbeErrors',
      'critical',
      // A canary that hangs ends no operation, and is noticed by its silence.
      '%s / %s > %g\nor\ntime() - %s > %g' % [
        query.rates('quorum_probe_operations_total', config.rateWindow, operation, 'outcome!="ok"'),
        query.rates('quorum_probe_operations_total', config.rateWindow, operation),
        config.probeErrorRatio,
        'max by (%s) (%s)' % [std.join(', ', operation), query.series('quorum_probe_last_ok_timestamp_seconds')],
        config.probeSilenceSeconds,
      ],
      'Operations of the canary fail.',
      'The {{ $labels.operation }} operations of the canary on cluster %(cluster)s fail more often than they may, or none has succeeded for a while. quorum_probe_operations_total by outcome says how; if there is a leader and all members serve, check the canary\'s own root (space, ACL, quota) and the network between it and the members.' % words,
    ),
    alert(
      'QuorumSessionsExpiring',
      'warning',
      'sum by (%s) (%s) > %g' % [
        cluster,
        query.overMember('increase', 'quorum_sessions_expired_total', config.rateWindow),
        config.expiredSessions,
      ],
      'Sessions expire.',
      '{{ $value | humanize }} sessions or leases of cluster %(cluster)s expired lately; their ephemeral nodes, locks and leader roles are gone. See whether clients died or were paused (a deployment, garbage collection), or whether the servers were too slow to hear them (elections, outstanding requests, quorum_process_pause_seconds).' % words,
    ),
  ]
