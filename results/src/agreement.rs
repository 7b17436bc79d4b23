//! Whether the two files that tell of every op agree: in a complete record, each op that `intervals.ndjson` counts has
//! its place in the histograms of `latency.hlog`.

use std::fmt;

use quorumeter_record::stage;

use crate::figures::{count, percent};
use crate::latencies::Latencies;
use crate::tally::{OpKey, Tally};

/// A kind of op whose histograms are not of the ops that were counted. Its times are no results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Untimed {
    /// Which.
    pub(crate) key: OpKey,
    counted: u64,
    timed: u64,
}

/// Every kind of op for which that is so, in a record that is complete.
pub(crate) fn untimed(tally: &Tally, latencies: &Latencies) -> Vec<Untimed> {
    let ops = tally.ops.iter().filter(|((_, op), _)| op != stage::WATCH_DELIVERY);
    ops.filter_map(|(key, op)| {
        let timed = latencies.ops.get(key);
        let counted = op.measure;
        let [ok, others] = timed.map_or([0, 0], |timed| {
            let (ok, all) = (timed.ok_response().count, timed.response().count);
            [ok, all - ok]
        });
        let of_ok = timed.map_or([0, 0], |timed| [timed.wait().count, timed.service().count]);
        let agrees = ok == counted.ok && others == counted.total() - counted.ok && of_ok == [counted.ok; 2];
        let (counted, timed) = (counted.total(), ok + others);
        (!agrees).then(|| Untimed { key: key.clone(), counted, timed })
    })
    .collect()
}

impl fmt::Display for Untimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stream, op) = &self.key;
        let (counted, timed) = (self.counted, self.timed);
        let how = if counted == timed {
            "not with the same outcomes or times".to_owned()
        } else {
            percent(timed as f64 / counted.max(1) as f64)
        };
        write!(
            f,
            "{stream}.{op}: intervals.ndjson counts {} and latency.hlog has {} ({how}): the record was changed after it \
             was written, or its recorder has a bug",
            count(counted),
            count(timed)
        )
    }
}
