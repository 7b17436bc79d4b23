// Panels. Each has a title, a unit and a description; where it stands is decided by the dashboard.
{
  local panels = self,
  local datasource = { type: 'prometheus', uid: '${datasource}' },

  // A query of a panel, and how its series are named in the legend.
  query(expr, legend, more={}):: {
    datasource: datasource,
    expr: expr,
    legendFormat: legend,
    editorMode: 'code',
    range: true,
  } + more,

  local panel(type, title, unit, description, targets, width) = {
    type: type,
    title: title,
    description: description,
    datasource: datasource,
    targets: std.mapWithIndex(function(i, target) target { refId: std.char(65 + i) }, targets),
    fieldConfig: { defaults: { unit: unit }, overrides: [] },
    options: {},
    gridPos: { w: width, h: 8 },
  },

  // Lines over time. An absent value leaves a gap: it is not drawn as 0, and not bridged.
  lines(title, unit, description, targets, width=12):: panel('timeseries', title, unit, description, targets, width) {
    fieldConfig+: {
      defaults+: {
        custom: {
          drawStyle: 'line',
          lineWidth: 1,
          fillOpacity: 0,
          spanNulls: false,
          showPoints: 'auto',
          axisSoftMin: 0,
          stacking: { mode: 'none', group: 'A' },
        },
      },
    },
    options: {
      legend: { displayMode: 'table', placement: 'bottom', showLegend: true, calcs: ['mean', 'max', 'lastNotNull'] },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  },

  // Areas on top of each other: parts of a whole.
  stacked(title, unit, description, targets, width=12)::
    panels.lines(title, unit, description, targets, width) {
      fieldConfig+: {
        defaults+: { custom+: { fillOpacity: 40, stacking: { mode: 'normal', group: 'A' } } },
      },
    },

  // The value at the end of the time shown, large; nothing where there is none by then: what was told an hour ago is not
  // shown as if it were so. `steps` are thresholds from below: `[value, colour]`, the first one's value null.
  number(title, unit, description, targets, steps, mappings=[], width=4):: panel('stat', title, unit, description, [target { instant: true, range: false } for target in targets], width) {
    gridPos+: { h: 5 },
    fieldConfig+: {
      defaults+: {
        mappings: mappings,
        thresholds: { mode: 'absolute', steps: [{ value: step[0], color: step[1] } for step in steps] },
      },
    },
    options: {
      colorMode: 'value',
      graphMode: 'none',
      textMode: 'auto',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    },
  },

  // States over time, a band for each series. `states` are `[value, text, colour]`.
  timeline(title, description, targets, states, width=24):: panel('state-timeline', title, 'none', description, targets, width) {
    fieldConfig+: {
      defaults+: {
        color: { mode: 'thresholds' },
        custom: { fillOpacity: 80, lineWidth: 0, spanNulls: false },
        mappings: panels.mappings(states),
        thresholds: { mode: 'absolute', steps: [{ value: null, color: 'text' }] },
      },
    },
    options: {
      mergeValues: true,
      showValue: 'auto',
      rowHeight: 0.8,
      alignValue: 'left',
      legend: { displayMode: 'list', placement: 'bottom', showLegend: false },
      tooltip: { mode: 'single', sort: 'none' },
    },
  },

  mappings(states):: [{
    type: 'value',
    options: {
      [std.toString(states[i][0])]: { index: i, text: states[i][1], color: states[i][2] }
      for i in std.range(0, std.length(states) - 1)
    },
  }],

  // How many observations fall into each bucket, over time.
  heatmap(title, description, expr, width=12):: panel('heatmap', title, 's', description, [
    panels.query(expr, '{{le}}', { format: 'heatmap' }),
  ], width) {
    options: {
      calculate: false,
      cellGap: 1,
      color: { mode: 'scheme', scheme: 'Spectral', steps: 64, exponent: 0.5, reverse: true, fill: 'dark-orange' },
      filterValues: { le: 1e-9 },
      yAxis: { unit: 's', axisPlacement: 'left', reverse: false },
      rowsFrame: { layout: 'auto' },
      legend: { show: true },
      tooltip: { mode: 'single', yHistogram: true, showColorScale: false },
    },
  },
}
