// A measurement that goes on: what was asked of the servers, what came of it, and what the servers did meanwhile.
function(config, kit)
  local panel = kit.panel;
  local shared = kit.shared;
  local dashboard = kit.dashboard;
  local variables = dashboard.variables;
  local window = '$__rate_interval';
  // Runs overlap: one that is only pushed is seen for five minutes after its end. What is told of each stays its own.
  local run = 'job=~"$job", instance=~"$run"';
  local streams = run + ', stream=~"$stream"';
  local members = 'job=~"$job", %s="$cluster"' % config.clusterLabel;
  local quantiles = [{ q: 0.5, name: 'p50' }, { q: 0.99, name: 'p99' }, { q: 0.999, name: 'p99.9' }];
  local percentiles(title, description, metric, by=['instance', 'stream', 'op'], matcher=streams, width=12) = panel.lines(
    title,
    's',
    description,
    [
      panel.query(
        kit.queries(matcher).quantileOfEither(quantile.q, metric, window, by),
        std.join(' ', ['{{%s}}' % label for label in by] + [quantile.name])
      )
      for quantile in quantiles
    ],
    width
  );
  dashboard.new(
    'benchmark',
    'Benchmark run',
    'A run or a failover measurement: the rate that was offered and what was achieved, latency as clients feel it, faults and outages, and the servers under it. Runs stand beside each other and are not added up, except in the heat map; servers are those of the cluster chosen, whoever measures them.',
    [
      variables.datasource,
      variables.job('bench_phase'),
      variables.cluster(),
      variables.run,
      variables.label('stream', 'Stream', 'bench_scheduled_operations_total', run),
    ],
    [
      {
        title: 'Load',
        panels: [
          panel.timeline(
            'Phase and fault',
            'The phase of the measurement, and whether a fault is in effect.',
            [
              panel.query('max by (instance, phase) (bench_phase{%s}) == 1' % run, '{{instance}} {{phase}}'),
              panel.query('2 * max by (instance, fault) (bench_fault_active{%s}) == 2' % run, '{{instance}} fault: {{fault}}'),
            ],
            [[1, 'on', 'blue'], [2, 'in effect', 'red']]
          ),
          panel.lines(
            'Rate: offered and achieved',
            'ops',
            'Offered is what the schedule asked for; achieved is what came back ok. Where the lines part, the system under test is behind, or the generator is: see its schedule lag.',
            [
              panel.query('sum by (instance, stream) (rate(bench_scheduled_operations_total{%s}[%s]))' % [streams, window], '{{instance}} {{stream}} offered'),
              panel.query('sum by (instance, stream) (rate(bench_operations_total{%s, outcome="ok"}[%s]))' % [streams, window], '{{instance}} {{stream}} achieved'),
            ]
          ),
          panel.lines(
            'Outcomes other than ok',
            'ops',
            'failed: the reply proves that it was not applied; unknown: sent, and nothing proves what became of it; shed: never sent. All at 0 while all is well.',
            [panel.query(
              'sum by (instance, stream, op, outcome) (rate(bench_operations_total{%s, outcome!="ok"}[%s]))' % [streams, window],
              '{{instance}} {{stream}} {{op}} {{outcome}}'
            )]
          ),
        ],
      },
      {
        title: 'Latency',
        panels: [
          panel.heatmap(
            'Response time',
            'How many operations took how long, from when they were intended: waiting counts. All outcomes, so that a stall is not hidden by those that never came back. All runs chosen together: choose one. Of runs that are scraped and others that are pushed, which have finer buckets, those that are pushed are drawn alone; it takes Grafana 10.3 to draw them.',
            kit.queries(streams).bucketsOfEither('bench_response_seconds', window)
          ),
          percentiles(
            'Response time, percentiles',
            'From when an operation was intended until it was done, given up or shed. Interpolated within buckets that double from 50 µs to 6.6 s where a run is scraped, and known to 9 % or better where it is pushed; the exact ones are in the record of the run.',
            'bench_response_seconds'
          ),
          percentiles(
            'Service time, percentiles',
            'From when an operation was sent until it was done, of those that succeeded. It hides waiting: compare systems by response time.',
            'bench_service_seconds'
          ),
          percentiles(
            'Wait, percentiles',
            'From when an operation was intended until it was sent, of those that succeeded.',
            'bench_wait_seconds'
          ),
          percentiles(
            'Delivery of watches, percentiles',
            'From when a write was intended until a watcher had its event, or until that was given up. Empty without watchers in the workload.',
            'bench_watch_delivery_seconds',
            ['instance', 'stream']
          ),
          panel.lines(
            'Outage',
            's',
            'The longest time without a single acknowledged write since the last fault, or since the load began without one. It grows while the outage goes on, and stays until the next fault. A lower bound, as fine as a 128th of the interval, or as the probes of a failover measurement; the load\'s own pauses between writes are in it.',
            [panel.query('max by (instance) (bench_outage_seconds{%s})' % run, '{{instance}} without an acknowledged write')]
          ),
        ],
      },
      {
        title: 'Generator',
        panels: [
          percentiles(
            'Schedule lag, percentiles',
            'From when an operation was due until the generator noticed: its own fault. Above 1 ms and a tenth of the response time, the run says more about the generator than about the servers.',
            'bench_schedule_lag_seconds',
            ['instance'],
            run
          ),
          panel.lines(
            'In flight and waiting',
            'short',
            'Sent and not answered; due and not sent. Waiting that grows: more is asked than the system can do.',
            [
              panel.query('sum by (instance, stream) (bench_in_flight{%s})' % streams, '{{instance}} {{stream}} in flight'),
              panel.query('sum by (instance, stream) (bench_waiting{%s})' % streams, '{{instance}} {{stream}} waiting'),
            ]
          ),
          panel.lines(
            'Sent late',
            'ops',
            'Operations that were sent later than intended, because others were in their way.',
            [panel.query('sum by (instance, stream, op) (rate(bench_late_operations_total{%s}[%s]))' % [streams, window], '{{instance}} {{stream}} {{op}}')]
          ),
          panel.lines(
            'Sessions and CPU of the generator',
            'short',
            'Sessions that are connected; cores that the workers keep busy.',
            [
              panel.query('sum by (instance, stream) (bench_sessions_connected{%s})' % streams, '{{instance}} {{stream}} sessions'),
              panel.query('sum by (instance) (rate(bench_generator_cpu_seconds_total{%s}[%s]))' % [run, window], '{{instance}} cores'),
            ]
          ),
        ],
      },
      {
        title: 'Servers under it',
        panels: [
          shared.roles(members),
          shared.stages(members),
          shared.fsync(members),
          shared.margin(members),
          shared.lag(members),
          shared.requests(members),
          shared.cpu(members),
        ],
      },
    ],
    [
      dashboard.annotation('Phases', 'max by (instance, phase) (bench_phase{%s}) == 1' % run, '{{instance}} {{phase}}', 'blue'),
      dashboard.annotation('Faults', 'max by (instance, fault) (bench_fault_active{%s}) == 1' % run, '{{instance}} fault: {{fault}}', 'red'),
    ]
  )
