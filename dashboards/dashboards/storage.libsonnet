// The data of members, and the machines under them.
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
    'storage',
    'Storage and host',
    'How large the data are, how fast the disk is, and what the processes of members use.',
    [variables.datasource, variables.job('quorum_member_up'), variables.cluster(), variables.member],
    [
      {
        title: 'Data',
        panels: [
          panel.lines(
            'Size of the data',
            'bytes',
            'As the member estimates it: on ZooKeeper paths and values, without the overhead of its heap; on etcd what is in use of the database file.',
            [panel.query('max by (%s) (quorum_data_bytes{%s})' % [member, members], kit.member)]
          ),
          panel.lines(
            'Database file and its quota',
            'bytes',
            'etcd only. At the quota the whole cluster refuses writes; the file shrinks by defragmentation only.',
            [
              panel.query('max by (%s) (quorum_storage_bytes{%s})' % [member, members], kit.member),
              panel.query('min(quorum_data_quota_bytes{%s})' % members, 'quota'),
            ]
          ),
          panel.lines(
            'Nodes or keys',
            'short',
            'Members of one cluster draw the same line, but for what they have yet to apply.',
            [panel.query('max by (%s) (quorum_keys{%s})' % [member, members], kit.member)]
          ),
          shared.applied(members),
        ],
      },
      {
        title: 'Disk',
        panels: [
          shared.fsync(members),
          panel.lines(
            'Log fsyncs',
            'ops',
            'How often the log is forced to the device: far fewer than writes when writes are forced together.',
            [panel.query('max by (%s) (rate(quorum_log_fsync_duration_seconds_count{%s}[%s]))' % [member, members, window], kit.member)]
          ),
          panel.lines(
            'Snapshots, mean duration',
            's',
            'Writing a snapshot. A line only when one was written in the window.',
            [panel.query(query.mean('quorum_snapshot_duration_seconds', window, [member]), kit.member)]
          ),
          panel.lines(
            'Since the last snapshot',
            's',
            'A saw-tooth. What has been written since must be read again from the log when the member starts. Told by the AdminServer of ZooKeeper.',
            [panel.query('time() - max by (%s) (quorum_last_snapshot_timestamp_seconds{%s})' % [member, members], kit.member)]
          ),
          panel.lines(
            'Bytes to and from storage',
            'Bps',
            'What the process caused to be read and written. Known of members that Quorumeter launched itself.',
            [
              panel.query('max by (%s) (rate(quorum_process_written_bytes_total{%s}[%s]))' % [member, members, window], kit.member + ' written'),
              panel.query('max by (%s) (rate(quorum_process_read_bytes_total{%s}[%s]))' % [member, members, window], kit.member + ' read'),
            ]
          ),
        ],
      },
      {
        title: 'Processes',
        panels: [
          shared.cpu(members),
          shared.memory(members),
          panel.lines(
            'File descriptors in use',
            'percentunit',
            'Of those that the process may have. At 100 % it can accept no connection and open no log. etcd renews its own figure every 10 minutes.',
            [panel.query(
              'max by (%s) (quorum_open_file_descriptors{%s}) / max by (%s) (quorum_max_file_descriptors{%s})' % [member, members, member, members],
              kit.member
            )]
          ),
          panel.lines(
            'Uptime',
            's',
            'Since the member started; a drop is a restart.',
            [panel.query('max by (%s) (quorum_member_uptime_seconds{%s})' % [member, members], kit.member)]
          ),
        ],
      },
    ]
  )
