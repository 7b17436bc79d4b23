// Whether what the other alerts read is there.
function(config, query, alert, words)
  [
    alert(
      'QuorumExporterDown',
      'critical',
      // One that only pushes is no target: as long as it tells of itself it is there.
      'up{%s} == 0\nor\n(\n  absent(up{%s})\nand\n  absent(%s)\n)' % [
        config.selector,
        config.selector,
        query.series('quorum_exporter_build_info'),
      ],
      'The exporter does not answer: nothing watches the clusters.',
      'Prometheus cannot scrape the exporter{{ if $labels.instance }} at {{ $labels.instance }}{{ else }}, and none pushes to it{{ end }}, so that every other alert on its clusters is silent. See whether `quorumeter export` runs and can be reached, or can reach Prometheus where it pushes, and that it is known under the job that these rules read.',
    ),
    alert(
      'ExporterParseErrors',
      'warning',
      'sum by (%s, %s, source, kind) (increase(%s[%s])) > 0' % [
        config.clusterLabel,
        config.memberLabel,
        query.series('quorum_parse_errors_total'),
        config.longWindow,
      ],
      'The exporter does not understand a member.',
      'Answers of member %(member)s of cluster %(cluster)s to {{ $labels.source }} cannot be understood ({{ $labels.kind }}), so that some of its metrics are missing. If the member was upgraded, it speaks a dialect that this exporter does not know: upgrade the exporter, and report the answer if that does not help.' % words,
    ),
  ]
