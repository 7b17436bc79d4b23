// What a member tells of itself.
function(config, query, alert, words)
  local cluster = config.clusterLabel;
  local member = config.memberLabel;
  local least(name) = query.overMember('min_over_time', name, config.rateWindow);
  local isLeader = query.ofMember('quorum_member_role', 'role="leader"');
  [
    alert(
      'QuorumMemberDown',
      'warning',
      '%s == 0' % query.ofMember('quorum_member_up'),
      'A member does not answer.',
      'Member %(member)s of cluster %(cluster)s gives no answer to the exporter. See whether its process runs and its port can be reached from the exporter (quorum_scrape_errors_total says how asking fails), then start it again, and wait until it has caught up before touching another member.' % words,
    ),
    alert(
      'QuorumMemberNotServing',
      'warning',
      // A leader that leaves clients to its followers (leaderServes=no) is as it should be.
      '%s == 0\nand\n%s == 1\nunless\n%s == 1' % [
        query.ofMember('quorum_member_serving'),
        query.ofMember('quorum_member_up'),
        isLeader,
      ],
      'A member runs, and serves no clients.',
      'Member %(member)s of cluster %(cluster)s answers, but takes no requests of clients: it has no leader, or an alarm is raised. If the others have a leader, it cannot reach them: check the ports between members and the host names in its configuration. On etcd see `etcdctl alarm list`.' % words,
    ),
    alert(
      'QuorumFollowerLagging',
      'warning',
      // Lag is told within a term only. A member that stays in an older term while others go on writing is behind, too.
      '%s > %g\nor\n(\n%s\n  < on (%s) group_left ()\n%s\n)\nand on (%s)\nmax by (%s) (changes(%s[%s])) > 0' % [
        query.ofMember('quorum_lag_entries'),
        config.lagEntries,
        query.ofMember('quorum_term'),
        cluster,
        query.ofCluster('quorum_cluster_term'),
        cluster,
        cluster,
        query.series('quorum_applied_index'),
        config.shortWindow,
      ],
      'A member is behind the leader.',
      'Member %(member)s of cluster %(cluster)s has not applied what the leader has. Clients that read from it see old data, and it does not help the quorum if the leader fails. Compare its disk (quorum_log_fsync_duration_seconds), CPU and network with those of the others; if it never catches up, restart it with an empty data directory so that it takes a snapshot from the leader, while the other voters are all well.' % words,
    ),
    alert(
      'QuorumLogFsyncSlow',
      'warning',
      '%s > %g\nor\n%s > %g' % [
        query.mean('quorum_log_fsync_duration_seconds', config.rateWindow, [cluster, member]),
        config.fsyncMeanSeconds,
        query.quantile(0.99, 'quorum_log_fsync_duration_seconds', config.rateWindow, [cluster, member]),
        config.fsyncP99Seconds,
      ],
      'Forcing the log to the device takes long.',
      'Member %(member)s of cluster %(cluster)s needs {{ $value | humanizeDuration }} to force its log to the device (the mean, or the 99th percentile where the system tells a distribution). No write is faster than the fsyncs of a majority. Give the log a device of its own, see what else writes to it, and check the device for errors.' % words,
    ),
    alert(
      'QuorumOutstandingRequestsGrowing',
      'warning',
      // The requests of a ZooKeeper leader are those of its own clients, its proposals those of all members' clients: either
      // may be many. Proposals that are left over from when it was deposed are in no member's requests: whether there are so
      // many is told by means, as the least of several members are not of one moment. Requests of members that are not watched
      // are not known. etcd tells proposals alone.
      '%s > %g\nor\n%s > %g\nunless on (%s)\nsum by (%s) (%s) <= %g' % [
        least('quorum_requests_outstanding'),
        config.outstandingRequests,
        least('quorum_proposals_pending'),
        config.outstandingRequests,
        cluster,
        cluster,
        query.overMember('avg_over_time', 'quorum_requests_outstanding', config.rateWindow),
        config.outstandingRequests,
      ],
      'Requests pile up in a member.',
      'Member %(member)s of cluster %(cluster)s never had less than {{ $value }} requests or proposals inside it lately: clients send more than it can do. See on the write path which stage is slow (quorum_write_stage_seconds), and which clients send so much.' % words,
    ),
    alert(
      'QuorumFileDescriptorsHigh',
      'warning',
      '%s / %s > %g' % [
        query.ofMember('quorum_open_file_descriptors'),
        query.ofMember('quorum_max_file_descriptors'),
        config.fileDescriptorRatio,
      ],
      'A member runs out of file descriptors.',
      'Member %(member)s of cluster %(cluster)s has {{ $value | humanizePercentage }} of its file descriptors in use; at 100 %% it can accept no connection and open no log. See which clients hold so many connections (quorum_client_connections), and raise the limit of the process.' % words,
    ),
    alert(
      'QuorumDataGrowth',
      'warning',
      // The data of a member with a quota may grow to that.
      '%s > %s\nor\n(%s unless %s) > %d' % [
        query.predicted('quorum_storage_bytes', '1h', config.dataGrowthHours * 3600),
        query.ofMember('quorum_data_quota_bytes'),
        query.predicted('quorum_data_bytes', '1h', config.dataGrowthHours * 3600),
        query.ofMember('quorum_data_quota_bytes'),
        config.dataBytes,
      ],
      'The data grow towards the limit.',
      ('At the pace of the last hour the data of member %(member)s of cluster %(cluster)s reach {{ $value | humanize1024 }}B in ' + config.dataGrowthHours + ' hours, more than they may. Find what writes so much and deletes nothing; on etcd compact and defragment, on ZooKeeper look for parents with very many children.') % words,
    ),
    alert(
      'ZooKeeperUnrecoverableError',
      'critical',
      // A follower that passes on a request while its leader dies counts one, too (FollowerRequestProcessor), and is as new
      // after the election.
      '%s > 0\nunless on (%s)\n%s > 0' % [
        query.overMember('increase', 'quorum_unrecoverable_errors_total', config.longWindow),
        config.clusterLabel,
        query.overCluster('increase', 'quorum_leader_changes_total', config.longWindow),
      ],
      'A ZooKeeper member had an error after which it cannot go on.',
      'Member %(member)s of cluster %(cluster)s had {{ $value | humanize }} unrecoverable errors lately, and no leader died: a request processor of it has ended, and it does not do its part. Save its log, and restart it.' % words,
    ),
    alert(
      'ZooKeeperDigestMismatch',
      'critical',
      '%s > 0' % query.ofMember('quorum_digest_mismatches_total'),
      'The data of a ZooKeeper member are not those of the leader.',
      'Member %(member)s of cluster %(cluster)s counts {{ $value }} times that the digest of its data was not the leader\'s: it may serve wrong data. Take it away from clients, save its data directory for analysis, and let it start with an empty one, so that it takes a snapshot from the leader.' % words,
    ),
    alert(
      'KeeperCommitsFailed',
      'critical',
      '%s > 0' % query.overMember('increase', 'quorum_commits_failed_total', config.longWindow),
      'Commits fail on a ClickHouse Keeper member.',
      'Member %(member)s of cluster %(cluster)s failed to commit {{ $value | humanize }} requests lately. See its log for the reason, its disk for space and errors.' % words,
    ),
    alert(
      'KeeperSnapshotFailed',
      'warning',
      '%s > 0' % query.overMember('increase', 'quorum_snapshots_failed_total', config.longWindow),
      'Snapshots fail on a member.',
      'Member %(member)s of cluster %(cluster)s could not make or apply {{ $value | humanize }} snapshots lately: its log grows, and it takes longer to start each time. See its log for the reason, its snapshot directory for space and permissions.' % words,
    ),
    alert(
      'KeeperMemorySoftLimit',
      'warning',
      '%s == 1' % query.ofMember('quorum_memory_limit_hit'),
      'A ClickHouse Keeper member refuses requests because of its memory.',
      'Member %(member)s of cluster %(cluster)s is over its soft limit of memory (max_memory_usage_soft_limit) and refuses writes of new data. Delete data or give it more memory, and raise the limit with it.' % words,
    ),
    alert(
      'EtcdQuotaLow',
      'critical',
      '%s / %s > %g' % [
        query.ofMember('quorum_storage_bytes'),
        query.ofMember('quorum_data_quota_bytes'),
        config.quotaRatio,
      ],
      'The database of an etcd member is almost full.',
      'The database file of member %(member)s of cluster %(cluster)s is {{ $value | humanizePercentage }} of its quota; at 100 %% the whole cluster refuses writes. Compact, then defragment one member after the other (`etcdctl compact`, `etcdctl defrag`), or raise --quota-backend-bytes; after an alarm `etcdctl alarm disarm`.' % words,
    ),
  ]
