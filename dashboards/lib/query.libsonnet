// Pieces of queries. `config` is the mixin's; a matcher is what stands between braces.
{
  // Several exporters may watch one cluster: of what they tell of the same thing one answer is taken, and none is
  // counted twice.
  new(config, matcher):: {
    local query = self,
    local cluster = config.clusterLabel,
    local member = config.memberLabel,

    // A metric's series; `more` are further matchers.
    series(name, more=''):: '%s{%s}' % [name, std.join(', ', std.filter(function(m) m != '', [matcher, more]))],
    // A histogram's quantile over a window, by the labels given besides those of the cluster.
    quantile(q, name, window, by, more='')::
      'histogram_quantile(%s, %s)' % [q, query.rates(name + '_bucket', window, by + ['le'], more)],
    // Of a measurement: Prometheus has classic buckets of one that it scrapes, and a native histogram of one that is pushed to it.
    quantileOfEither(q, name, window, by, more='')::
      '%s\nor\nhistogram_quantile(%s, %s)' % [query.quantile(q, name, window, by, more), q, query.rates(name, window, by, more)],
    // How many of either fell into each bucket in a window, of all series together.
    bucketsOfEither(name, window, more='')::
      'sum by (le) (increase(%s[%s]))\nor\nsum(increase(%s[%s]))' % [query.series(name + '_bucket', more), window, query.series(name, more), window],
    // The mean of what was timed in a window; absent where nothing was. Sum and number are set back independently: of a member
    // that was restarted, and has timed as often as before, the number stands still while the sum may grow, which is no mean.
    mean(name, window, by, more='')::
      '%s / (%s > 0)' % [query.rates(name + '_sum', window, by, more), query.rates(name + '_count', window, by, more)],
    // Rates of a counter by the labels given.
    rates(name, window, by, more='')::
      'sum by (%s) (rate(%s[%s]))' % [std.join(', ', by), query.series(name, more), window],

    // A cluster's value, by what a cluster is told apart.
    ofCluster(name, more='', aggregate='max'):: '%s by (%s) (%s)' % [aggregate, cluster, query.series(name, more)],
    // A member's.
    ofMember(name, more='', by=[], aggregate='max')::
      '%s by (%s) (%s)' % [aggregate, std.join(', ', [cluster, member] + by), query.series(name, more)],
    // What a function over a window makes of a member's series, such as `rate`.
    overMember(func, name, window, more='', by=[])::
      'max by (%s) (%s(%s[%s]))' % [std.join(', ', [cluster, member] + by), func, query.series(name, more), window],
    // What a member's gauge is in some seconds at the pace of a window.
    predicted(name, window, seconds)::
      'max by (%s) (predict_linear(%s[%s], %d))' % [std.join(', ', [cluster, member]), query.series(name), window, seconds],
    overCluster(func, name, window, more='', by=[])::
      'max by (%s) (%s(%s[%s]))' % [std.join(', ', [cluster] + by), func, query.series(name, more), window],
  },
}
