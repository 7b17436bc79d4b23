// A dashboard of rows of panels, and the variables by which they are selected.
{
  new(config):: {
    local dashboard = self,
    local datasource = { type: 'prometheus', uid: '${datasource}' },
    local variable(name, label, query, more) = {
      name: name,
      label: label,
      type: 'query',
      datasource: datasource,
      query: { query: query, refId: 'variable-' + name },
      definition: query,
      // On a change of the time range, so that members and clusters that are new appear.
      refresh: 2,
      sort: 1,
      hide: 0,
      includeAll: false,
      multi: false,
      regex: '',
      options: [],
      current: {},
    } + more,
    local all = {
      includeAll: true,
      multi: true,
      allValue: '.+',
      current: { selected: true, text: ['All'], value: ['$__all'] },
    },

    variables: {
      datasource: {
        name: 'datasource',
        label: 'Data source',
        type: 'datasource',
        query: 'prometheus',
        refresh: 1,
        hide: 0,
        includeAll: false,
        multi: false,
        regex: '',
        options: [],
        current: {},
      },
      job(metric):: variable('job', 'Job', 'label_values(%s, job)' % metric, all),
      cluster(name='cluster', label='Cluster')::
        variable(name, label, 'label_values(quorum_member_up{job=~"$job"}, %s)' % config.clusterLabel, {}),
      member: variable(
        'member',
        'Member',
        'label_values(quorum_member_up{job=~"$job", %s="$cluster"}, %s)' % [config.clusterLabel, config.memberLabel],
        all
      ),
      // Measurements: the address that was scraped, or the id of a run that is pushed.
      run: variable('run', 'Run', 'label_values(bench_run_info{job=~"$job"}, instance)', all {
        description: 'A run that is scraped goes by its address, and so do those after it at the same address; one that is pushed goes by its id. All are those of the time shown, beside each other: what one does is never added to what another does, except in the heat map.',
      }),
      // Of another label of a metric.
      label(name, label, metric, matcher)::
        variable(name, label, 'label_values(%s{%s}, %s)' % [metric, matcher, name], all),
    },

    // `rows` are `{ title, panels }`. Panels stand beside each other while there is room in the 24 columns.
    new(name, title, description, variables, rows, annotations=[]):: {
      local place(state, panel) =
        local wraps = state.x + panel.gridPos.w > 24;
        local x = if wraps then 0 else state.x;
        local y = if wraps then state.y + state.height else state.y;
        local height = if wraps then panel.gridPos.h else std.max(state.height, panel.gridPos.h);
        {
          x: x + panel.gridPos.w,
          y: y,
          height: height,
          panels: state.panels + [panel { id: std.length(state.panels) + 1, gridPos+: { x: x, y: y } }],
        },
      local header(title) = { type: 'row', title: title, collapsed: false, panels: [], gridPos: { w: 24, h: 1 } },
      local flat = std.flattenArrays([[header(row.title)] + row.panels for row in rows]),

      uid: 'quorumeter-' + name,
      title: 'Quorumeter / ' + title,
      description: description,
      tags: config.dashboardTags,
      timezone: config.dashboardTimezone,
      refresh: config.dashboardRefresh,
      time: { from: 'now-1h', to: 'now' },
      schemaVersion: 39,
      version: 1,
      editable: false,
      // One cross-hair over all panels: what happened at the same time is seen.
      graphTooltip: 1,
      fiscalYearStartMonth: 0,
      liveNow: false,
      weekStart: '',
      links: [{
        type: 'dashboards',
        title: 'Quorumeter',
        tags: config.dashboardTags,
        asDropdown: true,
        includeVars: true,
        keepTime: true,
        icon: 'external link',
        targetBlank: false,
        tooltip: '',
        url: '',
      }],
      annotations: { list: annotations },
      templating: { list: variables },
      panels: std.foldl(place, flat, { x: 0, y: 0, height: 0, panels: [] }).panels,
    },

    // Marks on every panel while an expression has a value.
    annotation(name, expr, title, color):: {
      name: name,
      datasource: datasource,
      enable: true,
      hide: false,
      iconColor: color,
      expr: expr,
      titleFormat: title,
      textFormat: '',
      tagKeys: '',
      step: '5s',
      useValueForTime: false,
    },
  },
}
