//! What the steps of a calibration say of the generator, and of the machine that it runs on.

use quorumeter_record::{
    Calibration, CalibrationNote, DepthCost, RateLimit, RateTrial, Summary, TimerLag, stage,
};

use crate::figures::{counted, decimal, duration, percent, rate, statistic};
use crate::generator::{CORE_LIMIT, LAG_LIMIT_NS};

/// Less than this share of what was offered, done in time, is not what was offered.
const DONE_SHARE: f64 = 0.98;
/// A worker that is late with less than this share of its core was kept from it.
const MODEST_WORKER: f64 = 0.5;

/// What a run in a closed loop of this depth says of the cost of an op.
pub fn depth_cost(summary: &Summary, depth: u32) -> DepthCost {
    DepthCost {
        depth,
        cpu_per_op_ns: summary.generator.cpu_per_op_ns,
        rate: ok_rate(summary),
        busiest_worker: summary.generator.busiest_worker,
    }
}

/// What a run with this timer says of it.
pub fn timer_lag(summary: &Summary, timer: &str, offered_rate: f64) -> TimerLag {
    TimerLag {
        timer: timer.to_owned(),
        offered_rate,
        schedule_lag_ns: Some(summary.generator.schedule_lag_ns.clone()),
        busiest_worker: Some(summary.generator.busiest_worker),
        skipped: None,
    }
}

/// What a run at this offered rate says of the rate: it holds when nothing limits it.
///
/// That is stricter than the judgement on a run, whose lag may go to 10 % of its own response time: here it has to be
/// below 1 ms at p99 whatever the server does. No worker may use more than 90 % of its core, which a run would be told
/// of, too. And 98 % of what the schedule released has to be done inside the window, as a rate that was only offered is
/// nobody's.
pub fn rate_trial(summary: &Summary, offered_rate: f64) -> RateTrial {
    let generator = &summary.generator;
    let rate = ok_rate(summary);
    let released: f64 = summary.streams.values().filter_map(|stream| stream.offered_rate).sum();
    let lag_p99 = generator.schedule_lag_ns.p99;
    let limits = [
        (generator.busiest_worker > CORE_LIMIT, RateLimit::Worker),
        (lag_p99.is_some_and(|p99| p99 >= LAG_LIMIT_NS), RateLimit::Lag),
        (rate < DONE_SHARE * released, RateLimit::Throughput),
        (lag_p99.is_none(), RateLimit::Samples),
    ];
    RateTrial {
        offered_rate,
        rate,
        schedule_lag_ns: generator.schedule_lag_ns.clone(),
        busiest_worker: generator.busiest_worker,
        cpu_per_op_ns: generator.cpu_per_op_ns,
        limits: limits.into_iter().filter_map(|(limits, limit)| limits.then_some(limit)).collect(),
    }
}

/// Ok replies per second, of all ops that somebody issues.
fn ok_rate(summary: &Summary) -> f64 {
    let is_observed = |key: &str| key.split_once('.').is_some_and(|(_, op)| stage::is_observed(op));
    summary.ops.iter().filter(|(key, _)| !is_observed(key)).map(|(_, op)| op.rate).sum()
}

/// What limits, and what would help, in words.
pub fn findings(calibration: &Calibration) -> Vec<String> {
    let mut findings = Vec::new();
    if !calibration.complete {
        findings
            .push("it was ended early: what is missing was not measured, and nothing was kept".to_owned());
    }
    findings.extend(what_limits(calibration));
    let cores = counted(u64::from(calibration.machine.cores), "core");
    findings.push(format!(
        "the null server and the generator share this machine's {cores}: against a target elsewhere the generator has \
         them to itself, and can do more"
    ));
    if let Some([load, ..]) =
        calibration.load_average.filter(|[load, ..]| *load > f64::from(calibration.machine.cores) / 2.0)
    {
        findings.push(format!(
            "the machine was busy: the load average was {} on {cores} before the calibration; repeat on a quiet one",
            decimal(load)
        ));
    }
    if let Some(cpus) =
        calibration.machine.cgroup_cpus.filter(|cpus| *cpus < f64::from(calibration.machine.cores))
    {
        findings.push(format!(
            "the control group allows {} CPUs of {cores}, and throttles what goes beyond: raise its limit",
            decimal(cpus)
        ));
    }
    if calibration.tool.build == "debug" {
        findings.push("this is a debug build, which is many times slower: use --release".to_owned());
    }
    findings
}

/// What kept the lowest rate above the highest that holds from holding.
fn what_limits(calibration: &Calibration) -> Option<String> {
    let highest = calibration.highest_rate.unwrap_or(0.0);
    let mut failed: Vec<&RateTrial> =
        calibration.search.iter().filter(|t| t.offered_rate > highest && !t.limits.is_empty()).collect();
    failed.sort_by(|a, b| a.offered_rate.total_cmp(&b.offered_rate));
    let Some(lowest) = failed.first().map(|trial| trial.offered_rate) else {
        let reached = calibration.highest_rate.filter(|_| calibration.complete)?;
        return Some(format!("nothing limits it up to {}, the highest rate that is tried", rate(reached)));
    };
    failed.retain(|trial| trial.offered_rate == lowest);
    // What most of the attempts tell; of as many, what stands first.
    let votes = |limit: &RateLimit| failed.iter().filter(|trial| trial.limits.contains(limit)).count();
    let kinds = [RateLimit::Samples, RateLimit::Throughput, RateLimit::Lag, RateLimit::Worker];
    let limit = kinds.into_iter().max_by_key(votes)?;
    let trial = failed.iter().find(|trial| trial.limits.contains(&limit))?;
    Some(words(limit, trial, calibration))
}

fn words(limit: RateLimit, trial: &RateTrial, calibration: &Calibration) -> String {
    let offered = rate(trial.offered_rate);
    let share = percent(trial.busiest_worker);
    let cores = counted(u64::from(calibration.machine.cores), "core");
    match limit {
        RateLimit::Worker => format!(
            "the generator's CPU limits: at {offered} a worker used {share} of its core. Add workers (--workers here, \
             --set engine.workers=N in a run) where cores are to spare, or share the load between machines"
        ),
        RateLimit::Lag if trial.busiest_worker < MODEST_WORKER => format!(
            "the schedule limits: at {offered} its lag was {} at p99, though the busiest worker used only {share} of its \
             core. It had to wait for the core, which the server or other work had: leave the generator a machine, or \
             more than {cores}",
            statistic(&trial.schedule_lag_ns, "p99")
        ),
        RateLimit::Lag => format!(
            "the schedule limits: at {offered} its lag was {} at p99, {} or more, and the busiest worker used {share} of \
             its core. Add workers (--workers here, --set engine.workers=N in a run) where cores are to spare: here the \
             server shares the {cores}",
            statistic(&trial.schedule_lag_ns, "p99"),
            duration(LAG_LIMIT_NS)
        ),
        RateLimit::Throughput => format!(
            "the null server or the loopback limits, not the generator: at {offered} only {} were done in time, with the \
             busiest worker at {share} of its core. Against a faster target the generator can do more",
            rate(trial.rate)
        ),
        RateLimit::Samples => format!(
            "the steps are too short to tell: at {offered} there were {}, and a p99 takes 1,000; lengthen --duration",
            counted(trial.schedule_lag_ns.count, "sample")
        ),
    }
}

/// A run beside the calibration of its machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Comparison {
    /// What the schedules released, ops per second; `None` when all loops are closed.
    pub(crate) offered: Option<f64>,
    /// Ok replies per second.
    pub(crate) done: f64,
    /// The larger of the two as a share of the highest rate. `None` without such a rate, and for a run with more workers,
    /// which may well go beyond it.
    pub(crate) share: Option<f64>,
}

impl Comparison {
    pub(crate) fn of(summary: &Summary, note: &CalibrationNote) -> Comparison {
        let offered: Vec<f64> = summary.streams.values().filter_map(|stream| stream.offered_rate).collect();
        let offered = (!offered.is_empty()).then(|| offered.iter().sum::<f64>());
        let done = ok_rate(summary);
        let comparable = note.highest_rate.filter(|_| summary.generator.workers <= note.workers);
        let share = comparable.map(|highest| done.max(offered.unwrap_or(0.0)) / highest);
        Comparison { offered, done, share }
    }
}

/// From this share of the highest rate on a run is near it.
const NEAR: f64 = 0.8;

/// What a run near or above the highest rate of its generator should be told.
pub(crate) fn advice(summary: &Summary, note: &CalibrationNote) -> Option<String> {
    let comparison = Comparison::of(summary, note);
    let share = comparison.share.filter(|share| *share >= NEAR)?;
    let highest = rate(note.highest_rate?);
    let (what, asked) = match comparison.offered {
        Some(offered) if offered >= comparison.done => ("offered", offered),
        _ => ("did", comparison.done),
    };
    let place = if share > 1.0 { "above" } else { "near" };
    Some(format!(
        "this run {what} {}, {place} the highest rate of this machine's generator when it was calibrated ({highest} with \
         {}): what it measured may be the generator's. Lower the rate, add workers with --set engine.workers=N where cores \
         are to spare, or share the load between machines",
        rate(asked),
        counted(u64::from(note.workers), "worker"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use quorumeter_record::{MachineIdentity, Quantiles, Tool, WallStart};

    fn summary(p99: Option<i64>, busiest: f64, done: f64) -> Summary {
        let mut summary = fixture::summary();
        summary.generator.schedule_lag_ns = Quantiles { count: 900, p99, ..Quantiles::default() };
        summary.generator.busiest_worker = busiest;
        summary.streams.get_mut("app").unwrap().offered_rate = Some(1000.0);
        // Events are nobody's ops.
        for (key, op) in &mut summary.ops {
            op.rate = if key == "app.read" { done } else { 0.0 };
        }
        summary.ops.get_mut("watchers.watch_delivery").unwrap().rate = 7.0;
        summary
    }

    #[test]
    fn a_rate_holds_within_all_limits_and_each_of_them_is_told() {
        use RateLimit::{Lag, Samples, Throughput, Worker};
        let cases: [(Option<i64>, f64, f64, &[RateLimit]); 7] = [
            (Some(999_999), 0.9, 980.0, &[]),
            (Some(1_000_000), 0.9, 980.0, &[Lag]),
            (Some(999_999), 0.901, 980.0, &[Worker]),
            (Some(999_999), 0.9, 979.9, &[Throughput]),
            (None, 0.5, 1000.0, &[Samples]),
            (Some(2_000_000), 0.99, 500.0, &[Worker, Lag, Throughput]),
            (None, 0.5, 500.0, &[Throughput, Samples]),
        ];
        for (p99, busiest, done, limits) in cases {
            let trial = rate_trial(&summary(p99, busiest, done), 1000.0);
            assert_eq!(trial.limits, limits, "{p99:?} {busiest} {done}");
            assert_eq!((trial.offered_rate, trial.rate), (1000.0, done));
        }
    }

    fn trial(offered_rate: f64, busiest_worker: f64, limits: &[RateLimit]) -> RateTrial {
        RateTrial {
            offered_rate,
            rate: offered_rate / 2.0,
            schedule_lag_ns: Quantiles { count: 900, p99: Some(2_500_000), ..Quantiles::default() },
            busiest_worker,
            cpu_per_op_ns: Some(1000),
            limits: limits.to_vec(),
        }
    }

    fn calibration(search: Vec<RateTrial>) -> Calibration {
        Calibration {
            schema: Calibration::SCHEMA.to_owned(),
            tool: Tool { version: "1".to_owned(), commit: None, build: "release".to_owned() },
            calibrated: WallStart { rfc3339: "2026-11-25T10:00:00.000Z".to_owned(), unix_ns: 0 },
            machine: MachineIdentity {
                host: String::new(),
                kernel: String::new(),
                cpu_model: None,
                cores: 4,
                cgroup_cpus: None,
            },
            load_average: Some([2.0, 0.0, 0.0]),
            step_ns: 1_000_000_000,
            workers: 2,
            depths: Vec::new(),
            timers: Vec::new(),
            search,
            highest_rate: Some(10_000.0),
            highest_rate_is_lower_bound: false,
            findings: Vec::new(),
            complete: true,
        }
    }

    #[test]
    fn what_limits_is_what_most_attempts_just_above_the_highest_rate_tell() {
        use RateLimit::{Lag, Samples, Throughput, Worker};
        let cases: [(&[RateTrial], &str, &str); 7] = [
            (
                &[trial(20_000.0, 0.95, &[Worker])],
                "CPU limits: at 20,000/s a worker used 95.0 %",
                "--workers",
            ),
            // Both attempts lagged, and one of them used its core up.
            (
                &[trial(20_000.0, 0.8, &[Lag]), trial(20_000.0, 0.95, &[Worker, Lag])],
                "the schedule limits: at 20,000/s its lag was 2.50 ms at p99, 1.00 ms or more",
                "the server shares the 4 cores",
            ),
            (&[trial(20_000.0, 0.3, &[Lag])], "only 30.0 % of its core", "leave the generator a machine"),
            (&[trial(20_000.0, 0.3, &[Throughput])], "only 10,000/s were done", "not the generator"),
            (&[trial(20_000.0, 0.3, &[Samples])], "there were 900 samples", "--duration"),
            // Attempts further up, and a disturbed one below, tell nothing.
            (
                &[
                    trial(40_000.0, 1.0, &[Lag]),
                    trial(5_000.0, 0.1, &[Lag]),
                    trial(20_000.0, 0.95, &[Worker]),
                ],
                "CPU limits: at 20,000/s",
                "",
            ),
            (&[trial(10_000.0, 0.3, &[])], "nothing limits it up to 10,000/s", ""),
        ];
        for (search, what, help) in cases {
            let findings = findings(&calibration(search.to_vec()));
            assert_eq!(findings.len(), 2, "{findings:?}");
            assert!(findings[0].contains(what) && findings[0].contains(help), "{what}: {findings:?}");
            assert!(findings[1].contains("share this machine's 4 cores"), "{findings:?}");
        }
    }

    #[test]
    fn a_run_is_compared_with_its_machine() {
        let note = |highest_rate, workers| CalibrationNote {
            calibrated: String::new(),
            workers,
            highest_rate,
            highest_rate_is_lower_bound: false,
        };
        let mut run = summary(Some(1), 0.5, 900.0);
        run.generator.workers = 2;
        for (highest, workers, share, told) in [
            (Some(2000.0), 2, Some(0.5), None),
            (Some(1251.0), 2, Some(1000.0 / 1251.0), None),
            (Some(1250.0), 2, Some(0.8), Some("this run offered 1,000/s, near the highest rate")),
            (Some(800.0), 3, Some(1.25), Some("this run offered 1,000/s, above the highest rate")),
            // Fewer workers than the run had tell nothing of it.
            (Some(800.0), 1, None, None),
            (None, 2, None, None),
        ] {
            let note = note(highest, workers);
            assert_eq!(Comparison::of(&run, &note), Comparison { offered: Some(1000.0), done: 900.0, share });
            let advice = advice(&run, &note);
            assert_eq!(advice.is_some(), told.is_some(), "{highest:?} {advice:?}");
            assert!(advice.unwrap_or_default().contains(told.unwrap_or_default()), "{highest:?}");
        }
        run.streams.get_mut("app").unwrap().offered_rate = None;
        let closed = advice(&run, &note(Some(1000.0), 2)).unwrap();
        assert!(closed.contains("this run did 900/s, near"), "{closed}");
    }

    #[test]
    fn what_disturbs_a_calibration_is_told() {
        type Change = fn(&mut Calibration);
        let cases: [(Change, &str); 4] = [
            (|c| c.load_average = Some([2.1, 0.0, 0.0]), "the load average was 2.10 on 4 cores"),
            (|c| c.machine.cgroup_cpus = Some(1.5), "allows 1.50 CPUs of 4 cores"),
            (|c| c.tool.build = "debug".to_owned(), "--release"),
            (|c| c.complete = false, "ended early"),
        ];
        let told = |change: Change| {
            let mut calibration = calibration(vec![trial(20_000.0, 0.95, &[RateLimit::Worker])]);
            change(&mut calibration);
            findings(&calibration)
        };
        for (change, what) in cases {
            let findings = told(change);
            assert_eq!(findings.len(), 3, "{findings:?}");
            assert!(findings.iter().any(|finding| finding.contains(what)), "{what}: {findings:?}");
        }
    }
}
