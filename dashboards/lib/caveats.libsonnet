// What must be known to read a panel, said in its description.
{
  milliseconds: 'ZooKeeper tells whole milliseconds, truncated: a line at 0 means less than 1 ms, not 0.',
  fsync: 'ZooKeeper truncates to whole milliseconds: a line at 0 means less than 1 ms, not 0. The lowest bucket of etcd is 1 ms.',
  means: 'Means of the window (sum by count), not percentiles: one slow write among many fast ones hardly shows. For that see what clients feel.',
  detection: 'A server counts from when it noticed: the time until then is not in it. What clients felt is in the canary and in bench_outage_seconds.',
  absent: 'A gap means that the system did not tell, never 0.',
  lag: 'Members are asked at slightly different instants, so a busy cluster shows small lags that are none. Absent across terms, and while nobody leads.',
}
