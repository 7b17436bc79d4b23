// The dashboards, by file name.
{
  local config = self._config,

  grafanaDashboards+:: {
  },
}
