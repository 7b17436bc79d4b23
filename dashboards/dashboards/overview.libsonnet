// Is there a quorum, who leads, what do clients feel, and does anything fail?
function(config, kit)
  local panel = kit.panel;
  local shared = kit.shared;
  local variables = kit.dashboard.variables;
  local window = '$__rate_interval';
  local member = config.memberLabel;
  local cluster = 'job=~"$job", %s="$cluster"' % config.clusterLabel;
  local members = '%s, %s=~"$member"' % [cluster, member];
  local felt = '%s, operation=~"$operation"' % cluster;
  kit.dashboard.new(
    'overview',
    'Overview',
    'A cluster at a glance: its leader and quorum, how far members are behind, what clients feel, and what fails.',
    [
      variables.datasource,
      variables.job('quorum_member_up'),
      variables.cluster(),
      variables.member,
      variables.label('operation', 'Operation', 'quorum_probe_duration_seconds_count', cluster),
    ],
    [
      {
        title: 'Quorum',
        panels: [
          panel.number(
            'Leader',
            'none',
            'Whether a member says that it leads, or most voters know a leader.',
            [panel.query('max(quorum_cluster_has_leader{%s})' % cluster, 'leader')],
            [[null, 'red'], [1, 'green']],
            panel.mappings([[0, 'none', 'red'], [1, 'there is one', 'green']])
          ),
          panel.number(
            'Voters that may fail',
            'none',
            'How many more voters may fail before nothing can be written. Below 0 the quorum is lost already.',
            [panel.query('min(quorum_failure_tolerance{%s})' % cluster, 'margin')],
            [[null, 'red'], [0, 'orange'], [1, 'green']]
          ),
          panel.number(
            'Voters that serve',
            'none',
            'Voters that are up and have a leader; of how many, the panel beside it says.',
            [panel.query('max(quorum_cluster_serving_voters{%s})' % cluster, 'serving')],
            [[null, 'text']]
          ),
          panel.number(
            'Voters',
            'none',
            'By the voter map of the members, not by the list of the exporter.',
            [panel.query('max(quorum_cluster_voters{%s})' % cluster, 'voters')],
            [[null, 'text']]
          ),
          panel.number(
            'Term',
            'none',
            'The greatest term that a member tells (ZooKeeper: epoch). It grows with each election.',
            [panel.query('max(quorum_cluster_term{%s})' % cluster, 'term')],
            [[null, 'text']]
          ),
          panel.number(
            'Leaders in one term',
            'none',
            'Members that say to lead in one and the same term. More than one must never be; none does in an election, nor does a member that stands alone.',
            [panel.query('max(quorum_cluster_leaders{%s})' % cluster, 'leaders')],
            [[null, 'text'], [1, 'green'], [2, 'red']]
          ),
          shared.roles(members),
          shared.margin(cluster),
          panel.lines(
            'Leader changes',
            'short',
            'Leaders in a higher term than the last one, in each window, as the exporter has seen them. Two between two scrapes count as one.',
            [panel.query('max(increase(quorum_leader_changes_total{%s}[%s]))' % [cluster, window], 'changes')]
          ),
          panel.lines(
            'Term of each member',
            'none',
            'A line below the others is a member that was cut off, or has yet to hear of the election. Where only the zxid tells the term, the term of a ZooKeeper follower follows with the first write after the election.',
            [panel.query('max by (%s) (quorum_term{%s})' % [member, members], kit.member)]
          ),
          shared.lag(members),
        ],
      },
      {
        title: 'What clients feel',
        panels: [
          panel.heatmap(
            'Latency of the canary, distribution',
            'How many operations of the canary took how long, from when they were due. A second band above the first is a group of clients that wait longer, which no mean shows. Empty without `--canary`.',
            'sum by (le) (increase(quorum_probe_duration_seconds_bucket{%s}[%s]))' % [felt, window]
          ),
          shared.felt(felt),
          panel.stacked(
            'Outcomes of the canary',
            'ops',
            'ok; failed: the reply says no; unknown: no answer; missed: not sent, because an earlier one hung.',
            [panel.query(
              'sum by (outcome) (rate(quorum_probe_operations_total{%s}[%s]))' % [felt, window],
              '{{outcome}}'
            )]
          ),
          panel.lines(
            'Since the last success of the canary',
            's',
            'A saw-tooth near 0 when all is well, by the time that asking the members takes below it; a slope is an outage that goes on.',
            [panel.query(
              'time() - max by (operation) (quorum_probe_last_ok_timestamp_seconds{%s})' % felt,
              '{{operation}}'
            )]
          ),
        ],
      },
      {
        title: 'Errors',
        panels: [
          panel.timeline(
            'Members that answer and serve',
            'serving: takes requests of clients; not serving: answers, and takes none (it has no leader, or with leaderServes=no it is the leader); down: no answer.',
            [panel.query(
              'max by (%s) (quorum_member_up{%s}) + max by (%s) (quorum_member_serving{%s}) or max by (%s) (quorum_member_up{%s})' % [member, members, member, members, member, members],
              kit.member
            )],
            [[0, 'down', 'red'], [1, 'not serving', 'orange'], [2, 'serving', 'green']],
            12
          ),
          panel.lines(
            'What must be 0',
            'none',
            'Unrecoverable errors and digest mismatches of ZooKeeper, failed commits of ClickHouse Keeper, failed snapshots, alarms of etcd. Each system tells some of them; what it does not tell is absent.',
            [
              panel.query('sum(max by (%s) (increase(quorum_unrecoverable_errors_total{%s}[%s])))' % [member, members, window], 'unrecoverable errors'),
              panel.query('sum(max by (%s) (increase(quorum_digest_mismatches_total{%s}[%s])))' % [member, members, window], 'digest mismatches'),
              panel.query('sum(max by (%s) (increase(quorum_commits_failed_total{%s}[%s])))' % [member, members, window], 'failed commits'),
              panel.query('sum(max by (%s) (increase(quorum_proposals_failed_total{%s}[%s])))' % [member, members, window], 'failed proposals'),
              panel.query('sum(max by (%s) (increase(quorum_snapshots_failed_total{%s}[%s])))' % [member, members, window], 'failed snapshots'),
              panel.query('max(quorum_alarms{%s})' % members, 'alarms'),
            ]
          ),
          panel.lines(
            'Elections, mean duration',
            's',
            'From looking for a leader to having one, in whole milliseconds, as each member tells it. ' + kit.caveat.detection + ' A line only after an election; the first one of a member is its own start.',
            [panel.query(kit.queries(members).mean('quorum_election_duration_seconds', window, [member]), kit.member)]
          ),
          panel.lines(
            'Questions without an answer, answers not understood',
            'ops',
            'How asking members fails, by kind. Answers that cannot be understood after an upgrade of a member mean that it speaks a dialect which this exporter does not know.',
            [
              panel.query(
                'sum by (%s, kind) (rate(quorum_scrape_errors_total{%s}[%s]))' % [member, members, window],
                kit.member + ' {{kind}}'
              ),
              panel.query(
                'sum by (%s, kind) (rate(quorum_parse_errors_total{%s}[%s]))' % [member, members, window],
                kit.member + ' not understood: {{kind}}'
              ),
            ]
          ),
          panel.lines(
            'Time to ask each member',
            's',
            'How long the exporter waits for all answers of a member. A member that hangs takes as long as the limit.',
            [panel.query('max by (%s) (quorum_scrape_duration_seconds{%s})' % [member, members], kit.member)]
          ),
        ],
      },
    ]
  )
