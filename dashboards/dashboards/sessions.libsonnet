// Who is connected, and what they watch.
function(config, kit)
  local panel = kit.panel;
  local variables = kit.dashboard.variables;
  local window = '$__rate_interval';
  local member = config.memberLabel;
  local cluster = 'job=~"$job", %s="$cluster"' % config.clusterLabel;
  local members = '%s, %s=~"$member"' % [cluster, member];
  local gauge(title, description, metric) = panel.lines(
    title,
    'short',
    description,
    [panel.query('max by (%s) (%s{%s})' % [member, metric, members], kit.member)]
  );
  local rate(title, unit, description, metric) = panel.lines(
    title,
    unit,
    description,
    [panel.query('max by (%s) (rate(%s{%s}[%s]))' % [member, metric, members, window], kit.member)]
  );
  kit.dashboard.new(
    'sessions',
    'Sessions and watches',
    'Connections, sessions and leases, watches, and how soon watchers hear of a write.',
    [variables.datasource, variables.job('quorum_member_up'), variables.cluster(), variables.member],
    [
      {
        title: 'Sessions',
        panels: [
          gauge(
            'Client connections',
            'By member. Uneven lines: clients do not spread, or moved to the survivors and stayed there. Told by ZooKeeper and ClickHouse Keeper.',
            'quorum_client_connections'
          ),
          gauge(
            'Sessions',
            'On ZooKeeper each member tells the sessions of the whole cluster: the lines lie on each other and must not be added. On Consul those with a time to live, told by the leader. Not told by etcd.',
            'quorum_sessions'
          ),
          rate(
            'Sessions expired',
            'ops',
            'Sessions or leases whose clients were not heard in time; their ephemeral nodes and locks are gone. Told by the leader on ZooKeeper.',
            'quorum_sessions_expired_total'
          ),
          rate(
            'Connections refused',
            'ops',
            'Client connections that the member refused, for a limit or because it does not serve.',
            'quorum_connections_rejected_total'
          ),
          rate(
            'Packets from clients',
            'pps',
            'Pings and questions of monitoring count, too. `srst` and a restart set the counter to 0. Told by ZooKeeper and ClickHouse Keeper.',
            'quorum_packets_received_total'
          ),
          rate('Packets to clients', 'pps', 'Replies and events of watches.', 'quorum_packets_sent_total'),
        ],
      },
      {
        title: 'Watches',
        panels: [
          gauge(
            'Watches',
            'That clients have set, by member. One-shot watches come and go; a line that only rises is a client that sets watches and forgets them.',
            'quorum_watches'
          ),
          gauge(
            'Ephemeral nodes',
            'They end with their sessions: locks, registrations, leader roles of applications.',
            'quorum_ephemerals'
          ),
          panel.lines(
            'Delivery of watches to the canary',
            's',
            'From when the write was due until its watcher had the event: 50th and 99th percentile of the window. Empty without `--canary`.',
            [
              panel.query(
                kit.queries(cluster).quantile(quantile.q, 'quorum_probe_duration_seconds', window, ['operation'], 'operation="watch"'),
                quantile.name
              )
              for quantile in [{ q: 0.5, name: 'p50' }, { q: 0.99, name: 'p99' }]
            ],
            24
          ),
        ],
      },
    ]
  )
