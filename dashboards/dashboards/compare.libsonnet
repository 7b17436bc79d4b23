// Two clusters side by side: the same panels, the left of one and the right of the other.
function(config, kit)
  local panel = kit.panel;
  local shared = kit.shared;
  local variables = kit.dashboard.variables;
  local beside(make) = [
    make('job=~"$job", %s="$%s"' % [config.clusterLabel, variable], 12, ': $' + variable)
    for variable in ['cluster_a', 'cluster_b']
  ];
  local rows(title, makers) = { title: title, panels: std.flatMap(beside, makers) };
  kit.dashboard.new(
    'compare',
    'Compare',
    'Two clusters side by side, of the same system or not. What one of them does not tell stays empty; look at the scale of both axes before comparing, and at what a system measures (the descriptions say it).',
    [
      variables.datasource,
      variables.job('quorum_member_up'),
      variables.cluster('cluster_a', 'Left'),
      variables.cluster('cluster_b', 'Right'),
    ],
    [
      rows('Quorum', [shared.roles, shared.margin, shared.lag]),
      rows('What clients feel', [shared.felt]),
      rows('Writes', [shared.applied, shared.stages, shared.fsync, shared.requests]),
      rows('Processes', [shared.cpu, shared.memory]),
    ]
  )
