// promtool's tests of the alerts, for 3 and for 5 voters, and of the recording rules: file names and their text.
local mixin = import '../mixin.libsonnet';
local cluster = import 'cluster.libsonnet';
local alertCases = import 'alerts.libsonnet';
local ruleCases = import 'rules.libsonnet';

local alerts = { [rule.alert]: rule for group in mixin.prometheusAlerts.groups for rule in group.rules };

// A description with its templates filled in as Prometheus is to do it.
local filled(template, labels, expected) =
  local replaced(text, name) = std.strReplace(text, '{{ $labels.%s }}' % name, labels[name]);
  local values = ['', ' | humanize', ' | humanizeDuration', ' | humanizePercentage', ' | humanize1024'];
  std.foldl(
    function(text, form) std.strReplace(text, '{{ $value%s }}' % form, std.get(expected, 'value', '')),
    values,
    std.strReplace(
      std.foldl(replaced, std.objectFields(labels), template),
      '{{ if $labels.instance }} at %s{{ else }}, and none pushes to it{{ end }}' % std.get(labels, 'instance', '{{ $labels.instance }}'),
      std.get(expected, 'at', '')
    )
  );

local labels(expected) = std.get(expected, 'own', { cluster: 'main' } + std.get(expected, 'labels', {}));

local alertTest(n, case) =
  local about = std.get(case, 'fires', std.get(case, 'silent', ''));
  local firing = std.filter(function(expected) expected.alert == about, case.expect);
  local series = std.prune(cluster.healthy(n) + case.series);
  {
    name: '%d voters: %s%s%s' % [
      n,
      if about == '' then 'nothing fires' else about + (if std.objectHas(case, 'fires') then ' fires' else ' is silent'),
      if std.get(case, 'why', '') == '' then '' else ': ',
      std.get(case, 'why', ''),
    ],
    interval: '30s',
    input_series: [{ series: name, values: series[name] } for name in std.objectFields(series)],
    // No other alert fires.
    promql_expr_test: [{
      expr: 'ALERTS{alertstate="firing"}',
      eval_time: case.at,
      exp_samples: [
        {
          local all = { alertname: expected.alert, alertstate: 'firing', severity: alerts[expected.alert].labels.severity } + labels(expected),
          labels: 'ALERTS{%s}' % std.join(', ', ['%s="%s"' % [name, all[name]] for name in std.objectFields(all)]),
          value: 1,
        }
        for expected in case.expect
      ],
    }],
  } + (if about == '' then {} else {
    alert_rule_test: [{
      eval_time: case.at,
      alertname: about,
      exp_alerts: [
        {
          exp_labels: { severity: alerts[about].labels.severity } + labels(expected),
          exp_annotations: {
            summary: alerts[about].annotations.summary,
            description: filled(alerts[about].annotations.description, labels(expected), expected),
          },
        }
        for expected in firing
      ],
    }],
  });

// The same series of other jobs, which no rule reads: larger and smaller.
local ofOthers(series) = {
  [std.strReplace(name, 'job="quorumeter"', 'job="%s"' % other[0])]: other[1]
  for name in std.objectFields(series)
  for other in [['larger', '0+100x150'], ['smaller', '0-100x150']]
};

local ruleTest(case) =
  local series = case.series + ofOthers(case.series);
  {
    name: '%s: %s' % [case.record, case.why],
    interval: '30s',
    input_series: [{ series: name, values: series[name] } for name in std.objectFields(series)],
    promql_expr_test: [
      {
        expr: case.record,
        eval_time: at,
        exp_samples: [
          {
            local all = { cluster: 'main' } + sample.labels,
            labels: '%s{%s}' % [case.record, std.join(', ', ['%s="%s"' % [name, all[name]] for name in std.objectFields(all)])],
            value: sample.value,
          }
          for sample in case.told[at]
        ],
      }
      for at in std.objectFields(case.told)
    ],
  };

// A test in YAML whose lists are of a line each, because there are many.
local text(test) =
  local lines(list) = std.join('', ['\n      - ' + std.manifestJsonMinified(item) for item in list]);
  '  - name: %s\n    interval: %s' % [std.manifestJsonMinified(test.name), test.interval]
  + std.join('', [
    '\n    %s:%s' % [key, lines(test[key])]
    for key in ['input_series', 'promql_expr_test', 'alert_rule_test']
    if std.objectHas(test, key)
  ]) + '\n';

local file(source, rules, tests, more='') = |||
  # Rendered from dashboards/tests/%s by `cargo xtask generate`. Do not edit.
  rule_files: [../out/%s]
  evaluation_interval: 30s
  %stests:
||| % [source, rules, more] + std.join('', [text(test) for test in tests]);

{
  ['%d-voters.yaml' % n]: file('alerts.libsonnet', 'alerts.yaml', [alertTest(n, case) for case in alertCases(n)])
  for n in [3, 5]
} + {
  // A value may be off by the last bit.
  'rules.yaml': file('rules.libsonnet', 'rules.yaml', [ruleTest(case) for case in ruleCases], 'fuzzy_compare: true\n'),
}
