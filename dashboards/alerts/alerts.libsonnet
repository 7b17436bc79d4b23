// The alerts: by what they are about, one file each.
{
  local config = self._config,
  local query = (import '../lib/query.libsonnet').new(config, config.selector),

  // Completes an alert. `severity` is critical (clients are without the service, or data are in danger), warning (soon
  // they will be) or info.
  local alert(name, severity, expr, summary, description) = {
    alert: name,
    expr: expr,
    'for': if config.alertForAll != null then config.alertForAll else config.alertFor[name],
    labels: { severity: severity } + config.alertLabels,
    annotations: {
      summary: summary,
      description: description,
    } + (if config.runbookUrlPrefix == null then {} else { runbook_url: config.runbookUrlPrefix + name }),
  },
  // How a cluster and a member are named in a description.
  local words = {
    cluster: '{{ $labels.%s }}' % config.clusterLabel,
    member: '{{ $labels.%s }}' % config.memberLabel,
  },

  prometheusAlerts+:: {
    groups+: [
      { name: 'quorumeter-' + group.name, rules: group.alerts(config, query, alert, words) }
      for group in [
        { name: 'quorum', alerts: import 'quorum.libsonnet' },
        { name: 'members', alerts: import 'members.libsonnet' },
        { name: 'clients', alerts: import 'clients.libsonnet' },
        { name: 'exporter', alerts: import 'exporter.libsonnet' },
      ]
    ],
  },
}
