// Every rendered file: its name, and its text. `knobs` is an object to be added to `_config`.
function(knobs)
  local mixin = (import 'mixin.libsonnet') + knobs;
  local header = '# Rendered from the mixin by `cargo xtask generate`. Do not edit.\n';
  local yaml(value) = header + std.manifestYamlDoc(value, indent_array_in_object=true, quote_keys=false) + '\n';
  local prometheusRule = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'quorumeter', labels: { 'app.kubernetes.io/name': 'quorumeter' } },
    spec: { groups: mixin.prometheusAlerts.groups + [
      group { name: group.name + '-rules' }
      for group in mixin.prometheusRules.groups
    ] },
  };
  {
    'alerts.yaml': yaml(mixin.prometheusAlerts),
    'rules.yaml': yaml(mixin.prometheusRules),
    'prometheus-rule.yaml': yaml(prometheusRule),
  } + {
    [name]: std.manifestJsonEx(mixin.grafanaDashboards[name], '  ') + '\n'
    for name in std.objectFields(mixin.grafanaDashboards)
  }
