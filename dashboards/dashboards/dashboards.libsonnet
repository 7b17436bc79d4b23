// The dashboards, by file name.
{
  local config = self._config,
  local kit = {
    panel: import '../lib/panel.libsonnet',
    dashboard: (import '../lib/dashboard.libsonnet').new(config),
    caveat: import '../lib/caveats.libsonnet',
    // Queries of series that some matchers select.
    queries(matcher):: (import '../lib/query.libsonnet').new(config, matcher),
    member: '{{%s}}' % config.memberLabel,
    // Panels that more than one dashboard has.
    shared: (import 'shared.libsonnet')(config, kit),
  },

  grafanaDashboards+:: {
    'overview.json': (import 'overview.libsonnet')(config, kit),
    'write-path.json': (import 'write-path.libsonnet')(config, kit),
    'sessions.json': (import 'sessions.libsonnet')(config, kit),
    'storage.json': (import 'storage.libsonnet')(config, kit),
    'benchmark.json': (import 'benchmark.libsonnet')(config, kit),
    'compare.json': (import 'compare.libsonnet')(config, kit),
  },
}
