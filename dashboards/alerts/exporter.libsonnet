// Whether what the other alerts read is there.
function(config, query, alert, words)
  [
    alert(
      'QuorumExporterDown',
      'critical',
      'up{%s} == 0\nor\nabsent(up{%s})' % [config.selector, config.selector],
      'The exporter does not answer: nothing watches the clusters.',
      'Prometheus cannot scrape the exporter{{ if $labels.instance }} at {{ $labels.instance }}{{ end }}, so that every other alert on its clusters is silent. See whether `quorumeter export` runs and can be reached, and that it is among Prometheus\'s targets under the job that these rules read.',
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
