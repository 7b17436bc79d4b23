// Panels that more than one dashboard has. `matcher` selects the series, `width` is in columns, `suffix` ends the title.
function(config, kit) {
  local panel = kit.panel,
  local window = '$__rate_interval',
  local member = config.memberLabel,

  // A role is told by a state set: it becomes a number here, and a word again in the panel.
  local roles = [
    ['leader', 'green'],
    ['follower', 'blue'],
    ['observer', 'purple'],
    ['candidate', 'orange'],
    ['standalone', 'semi-dark-green'],
    ['read-only', 'yellow'],
    ['unknown', 'text'],
  ],
  roles(matcher, width=24, suffix=''):: panel.timeline(
    'Role of each member' + suffix,
    'Who leads, and when that changes. A member that gives no answer is down; one that answers without saying its role is unknown.',
    [panel.query(
      // One that is down tells no role.
      'max by (%s) (quorum_member_up{%s}) * sum by (%s) (\n%s\n)' % [member, matcher, member, std.join('\n  or\n', [
        '  %d * max by (%s, role) (quorum_member_role{%s, role="%s"})' % [i + 1, member, matcher, roles[i][0]]
        for i in std.range(0, std.length(roles) - 1)
      ] + ['  0 * max by (%s) (quorum_member_up{%s})' % [member, matcher]])],
      kit.member
    )],
    [[0, 'down', 'red']] + [[i + 1, roles[i][0], roles[i][1]] for i in std.range(0, std.length(roles) - 1)],
    width
  ),

  margin(matcher, width=12, suffix=''):: panel.lines(
    'Quorum margin' + suffix,
    'none',
    'How many more voters may fail before nothing can be written. 0: the next one takes the quorum with it. Below 0: it is lost. Counted from the voter map, not from the members that the exporter watches.',
    [
      panel.query('min(quorum_failure_tolerance{%s})' % matcher, 'voters that may fail'),
      panel.query('max(quorum_cluster_serving_voters{%s})' % matcher, 'voters that serve'),
      panel.query('max(quorum_cluster_voters{%s})' % matcher, 'voters'),
    ],
    width
  ),

  lag(matcher, width=12, suffix=''):: panel.lines(
    'Lag behind the leader' + suffix,
    'short',
    'Entries that a member has yet to apply of what the leader has. ' + kit.caveat.lag,
    [panel.query('max by (%s) (quorum_lag_entries{%s})' % [member, matcher], kit.member)],
    width
  ),

  applied(matcher, width=12, suffix=''):: panel.lines(
    'Entries applied' + suffix,
    'ops',
    'How fast each member applies writes; also of systems that count no commits. Followers draw the same line as the leader, or they fall behind. The index begins again with each term on ZooKeeper: a gap while the window has an election in it.',
    [panel.query(
      'max by (%s) (deriv(quorum_applied_index{%s}[%s]) >= 0)\nunless\nmax by (%s) (changes(quorum_term{%s}[%s])) > 0'
      % [member, matcher, window, member, matcher, window],
      kit.member
    )],
    width
  ),

  stages(matcher, width=12, suffix=''):: panel.lines(
    'Mean time by stage' + suffix,
    's',
    'How long a write spends in each stage of its way: prepare, queue, log, quorum, commit, apply. Stages overlap (the acknowledgement of the quorum contains the log of the leader), so they stand beside each other and are not stacked. ' + kit.caveat.milliseconds + ' ' + kit.caveat.means,
    [panel.query(kit.queries(matcher).mean('quorum_write_stage_seconds', window, ['stage']), '{{stage}}')],
    width
  ),

  fsync(matcher, width=12, suffix=''):: panel.lines(
    'Log fsync, mean' + suffix,
    's',
    'Forcing the transaction log to the device: no write is faster than the fsyncs of a majority. ' + kit.caveat.fsync,
    [panel.query(kit.queries(matcher).mean('quorum_log_fsync_duration_seconds', window, [member]), kit.member)],
    width
  ),

  requests(matcher, width=12, suffix=''):: panel.lines(
    'Requests as servers time them, mean' + suffix,
    's',
    'By the member that owns the connection, without the network and the client. ' + kit.caveat.milliseconds + ' The lowest bucket of ClickHouse Keeper is 10 ms. Those of Consul contain blocking queries, which wait for a change.',
    [panel.query(kit.queries(matcher).mean('quorum_server_request_duration_seconds', window, ['op']), '{{op}}')],
    width
  ),

  cpu(matcher, width=12, suffix=''):: panel.lines(
    'CPU' + suffix,
    'short',
    'Cores that the process of each member keeps busy.',
    [panel.query('max by (%s) (rate(quorum_process_cpu_seconds_total{%s}[%s]))' % [member, matcher, window], kit.member)],
    width
  ),

  memory(matcher, width=12, suffix=''):: panel.lines(
    'Resident memory' + suffix,
    'bytes',
    'Of the process of each member. A Java process keeps what it once had, up to its heap.',
    [panel.query('max by (%s) (quorum_process_resident_bytes{%s})' % [member, matcher], kit.member)],
    width
  ),

  felt(matcher, width=12, suffix=''):: panel.lines(
    'Latency of the canary, percentiles' + suffix,
    's',
    'What a client feels, from when the operation was due: 50th, 99th and 99.9th percentile of the window, by buckets that double from 50 µs to 6.6 s. Operations that failed or got no answer count with the time until then; those that were due while an earlier one hung are in the outcomes only. Empty without `--canary`.',
    [
      panel.query(
        kit.queries(matcher).quantile(quantile.q, 'quorum_probe_duration_seconds', window, ['operation']),
        '{{operation}} ' + quantile.name
      )
      for quantile in [{ q: 0.5, name: 'p50' }, { q: 0.99, name: 'p99' }, { q: 0.999, name: 'p99.9' }]
    ],
    width
  ),
}
