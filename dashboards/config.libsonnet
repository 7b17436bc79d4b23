// What can be set. `cargo xtask mixin --set KEY=VALUE --out FOLDER` renders with other values, and so does
// `(import 'mixin.libsonnet') + { _config+:: { KEY: VALUE } }`.
{
  _config+:: {
    local config = self,

    // Which series alerts and recording rules read. A benchmark breaks its ensemble on purpose: scrape
    // `quorumeter run --listen` and `quorumeter failover --listen` under another job, and it wakes nobody.
    selector: 'job="quorumeter"',

    // Labels as they are in Prometheus. Where targets have a `cluster` label of their own and `honor_labels` is off, the
    // exporter's arrives as `exported_cluster`.
    clusterLabel: 'cluster',
    memberLabel: 'member',

    // How often Prometheus scrapes the exporter. No window of rules and alerts is shorter than four scrapes.
    scrapeIntervalSeconds: 15,
    shortWindow: '%ds' % std.max(60, 4 * config.scrapeIntervalSeconds),
    rateWindow: '%ds' % std.max(300, 4 * config.scrapeIntervalSeconds),
    longWindow: '%ds' % std.max(900, 12 * config.scrapeIntervalSeconds),

    // Thresholds. Times in seconds, ratios from 0 to 1.
    lagEntries: 1000,
    leaderChanges: 3,
    electionSeconds: 5,
    fsyncMeanSeconds: 0.1,
    fsyncP99Seconds: 0.5,
    outstandingRequests: 100,
    probeP99Seconds: 0.5,
    probeErrorRatio: 0.01,
    probeSilenceSeconds: 60,
    expiredSessions: 10,
    fileDescriptorRatio: 0.8,
    // What the data may grow to where the system has no quota of its own: a ZooKeeper holds all of it in its heap.
    dataBytes: 1024 * 1024 * 1024,
    dataGrowthHours: 4,
    quotaRatio: 0.9,

    // How long an alert's condition must hold before it fires.
    alertFor: {
      QuorumMemberDown: '2m',
      QuorumMemberNotServing: '2m',
      QuorumNoLeader: '1m',
      QuorumMultipleLeaders: '30s',
      QuorumLost: '30s',
      QuorumNoFailureTolerance: '2m',
      QuorumFollowerLagging: '5m',
      QuorumLeaderChanged: '0s',
      QuorumLeaderFlapping: '0s',
      QuorumElectionSlow: '0s',
      QuorumLogFsyncSlow: '5m',
      // Else the first sample of a new series would be all of its window.
      QuorumOutstandingRequestsGrowing: '2m',
      QuorumProbeSlow: '5m',
      QuorumProbeErrors: '2m',
      QuorumSessionsExpiring: '0s',
      QuorumFileDescriptorsHigh: '5m',
      QuorumDataGrowth: '15m',
      ZooKeeperUnrecoverableError: '1m',
      ZooKeeperDigestMismatch: '0s',
      KeeperCommitsFailed: '0s',
      KeeperSnapshotFailed: '0s',
      KeeperMemorySoftLimit: '2m',
      EtcdQuotaLow: '5m',
      ExporterParseErrors: '0s',
      QuorumExporterDown: '2m',
    },
    // One time for all alerts instead; for trials.
    alertForAll: null,

    // Labels that every alert has besides `severity`, and where `runbook_url` points: this, then the alert's name. Without
    // it there is no `runbook_url`.
    alertLabels: {},
    runbookUrlPrefix: null,

    dashboardTags: ['quorumeter'],
    dashboardTimezone: 'browser',
    dashboardRefresh: '30s',
  },
}
