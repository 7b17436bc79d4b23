//! The verdict on the load generator itself.

use quorumeter_record::{Generator, GeneratorVerdict, Quantiles};

use crate::figures::{counted, duration, percent};
use crate::tally::GeneratorTally;

/// Lag that is never held against the generator.
pub(crate) const LAG_LIMIT_NS: i64 = 1_000_000;
/// A worker above this share of its core is a limit.
pub(crate) const CORE_LIMIT: f64 = 0.9;

/// Judges the generator: `limited` when its schedule lag p99 is above 1 ms and above 10 % of the response time's
/// median over all open-loop ops, or when a worker used more than 90 % of its core.
///
/// Where there are too few samples for a p99, the highest quantile that can be told is judged instead. A pure
/// closed loop has no schedule to lag behind, and is judged by CPU alone.
pub(crate) fn judge(lag: Quantiles, open_response: &Quantiles, tally: &GeneratorTally) -> Generator {
    let cpu_ns: u64 = tally.workers.iter().map(|w| w.cpu_ns).sum();
    let shares =
        tally.workers.iter().map(|w| if w.wall_ns == 0 { 0.0 } else { w.cpu_ns as f64 / w.wall_ns as f64 });
    let (busiest, busiest_worker) =
        shares.enumerate().fold((0, 0.0), |most, worker| if worker.1 > most.1 { worker } else { most });
    let reasons: Vec<String> =
        lag_reason(&lag, open_response).into_iter().chain(core_reason(busiest, busiest_worker)).collect();
    Generator {
        verdict: if reasons.is_empty() { GeneratorVerdict::Ok } else { GeneratorVerdict::Limited },
        reasons,
        schedule_lag_ns: lag,
        cpu_s: cpu_ns as f64 / 1e9,
        cpu_per_op_ns: cpu_ns.checked_div(tally.departed),
        busiest_worker,
        workers: u32::try_from(tally.workers.len()).unwrap_or(u32::MAX),
    }
}

fn lag_reason(lag: &Quantiles, open_response: &Quantiles) -> Option<String> {
    let (name, measured) = ["p99", "p95", "p90", "p50"].into_iter().find_map(|n| Some((n, lag.get(n)?)))?;
    let tenth_of_median = open_response.p50.map(|p50| p50 / 10);
    let limit = LAG_LIMIT_NS.max(tenth_of_median.unwrap_or(0));
    if measured <= limit {
        return None;
    }
    let why = match tenth_of_median {
        Some(tenth) if tenth > LAG_LIMIT_NS => "10 % of the response time's p50".to_owned(),
        Some(tenth) => format!("10 % of the response time's p50 is {}", duration(tenth)),
        None => "the response time's p50 cannot be told".to_owned(),
    };
    let few =
        if name == "p99" { String::new() } else { format!(" (of {} only)", counted(lag.count, "sample")) };
    let (measured, limit) = (duration(measured), duration(limit));
    Some(format!("schedule lag {name} is {measured}{few}, above the limit of {limit} ({why})"))
}

fn core_reason(busiest: usize, share: f64) -> Option<String> {
    let limit = percent(CORE_LIMIT);
    (share > CORE_LIMIT)
        .then(|| format!("worker {busiest} used {} of its core, above the limit of {limit}", percent(share)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorumeter_record::WorkerUse;

    fn lag(p99: i64) -> Quantiles {
        Quantiles { count: 1000, p50: Some(1000), p99: Some(p99), ..Quantiles::default() }
    }

    fn response(p50: i64) -> Quantiles {
        Quantiles { count: 1000, p50: Some(p50), ..Quantiles::default() }
    }

    fn workers(cpu_ns: &[u64]) -> GeneratorTally {
        let workers = cpu_ns.iter().map(|cpu_ns| WorkerUse { cpu_ns: *cpu_ns, wall_ns: 1000 }).collect();
        GeneratorTally { workers, departed: 100, ..GeneratorTally::default() }
    }

    #[test]
    fn lag_is_held_against_a_millisecond_and_a_tenth_of_the_median() {
        for (p99, p50, limited) in [
            (1_000_000, 2_000_000, false),
            (1_000_001, 2_000_000, true),
            (3_000_000, 30_000_000, false), // 10 % of 30 ms
            (3_000_001, 30_000_000, true),
        ] {
            let generator = judge(lag(p99), &response(p50), &workers(&[0]));
            assert_eq!(generator.verdict == GeneratorVerdict::Limited, limited, "{p99} {p50}");
            assert_eq!(!generator.reasons.is_empty(), limited);
        }
        let reasons = judge(lag(2_346_000), &response(2_000_000), &workers(&[0])).reasons;
        assert_eq!(
            reasons,
            [
                "schedule lag p99 is 2.35 ms, above the limit of 1.00 ms (10 % of the response time's p50 is 200 µs)"
            ]
        );
    }

    #[test]
    fn few_samples_are_judged_by_the_highest_quantile_they_tell() {
        let few = Quantiles {
            count: 100,
            p50: Some(1000),
            p90: Some(5_000_000),
            max: Some(9_000_000),
            ..Quantiles::default()
        };
        let generator = judge(few, &response(1000), &workers(&[0]));
        assert!(generator.reasons[0].starts_with("schedule lag p90 is 5.00 ms (of 100 samples only)"));
    }

    #[test]
    fn a_worker_is_held_against_its_own_core() {
        let generator = judge(Quantiles::default(), &Quantiles::default(), &workers(&[100, 901, 300]));
        assert_eq!(generator.verdict, GeneratorVerdict::Limited);
        assert_eq!(generator.reasons, ["worker 1 used 90.1 % of its core, above the limit of 90.0 %"]);
        assert_eq!((generator.busiest_worker, generator.workers), (0.901, 3));
        // 1,301 ns of CPU over 100 ops.
        assert_eq!((generator.cpu_per_op_ns, generator.cpu_s), (Some(13), 1301e-9));
        assert_eq!(
            judge(Quantiles::default(), &Quantiles::default(), &workers(&[900])).verdict,
            GeneratorVerdict::Ok
        );
    }

    #[test]
    fn nothing_done_has_no_cost_per_op() {
        let generator = judge(Quantiles::default(), &Quantiles::default(), &GeneratorTally::default());
        assert_eq!((generator.verdict, generator.cpu_per_op_ns), (GeneratorVerdict::Ok, None));
    }
}
