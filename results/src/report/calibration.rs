//! A calibration for a terminal.

use quorumeter_record::{Calibration, RateLimit, RateTrial};

use super::table::{paragraph, table};
use super::wording::minute;
use crate::figures::{UNTOLD, counted, duration, percent, rate, span, statistic};

/// Where the text beside a label begins.
const INDENT: usize = 14;

/// The calibration as text of at most 100 columns where names and numbers allow it, without colour.
pub fn render_calibration(calibration: &Calibration) -> String {
    let (tool, machine) = (&calibration.tool, &calibration.machine);
    let mut out = paragraph(
        "Calibration",
        INDENT,
        &format!(
            "{}, with quorumeter {} ({} build), {}, steps of {}",
            minute(&calibration.calibrated.rfc3339),
            tool.version,
            tool.build,
            counted(u64::from(calibration.workers), "worker"),
            span(calibration.step_ns)
        ),
    );
    let cpu = machine.cpu_model.as_deref().unwrap_or("CPU unknown");
    let cores = counted(u64::from(machine.cores), "core");
    let shared = format!("{cpu}, {}; server and generator share the {cores}", machine.kernel);
    out.push_str(&paragraph("Machine", INDENT, &shared));
    out.push_str(
        "\nWhat an op costs: reads of 256 B in a closed loop, 1 session per worker, best of 2 rounds\n\n",
    );
    out.push_str(&depths(calibration));
    out.push_str("\nHow timers keep the schedule: schedule lag, Poisson arrivals, best of 2 rounds\n\n");
    out.push_str(&timers(calibration));
    out.push_str("\nHighest rate: open loop, Poisson arrivals, 4 sessions per worker × depth 256\n\n");
    out.push_str(&search(calibration));
    out.push('\n');
    out.push_str(&paragraph("Highest rate", INDENT, &highest(calibration)));
    for finding in &calibration.findings {
        out.push_str(&paragraph("  -", 4, finding));
    }
    out
}

fn depths(calibration: &Calibration) -> String {
    let rows = calibration.depths.iter().map(|cost| {
        vec![
            cost.depth.to_string(),
            cost.cpu_per_op_ns.map_or(UNTOLD.to_owned(), |ns| duration(ns as i64)),
            rate(cost.rate),
            percent(cost.busiest_worker),
        ]
    });
    table(&["depth", "client CPU per op", "rate", "busiest worker"], 0, rows.collect())
}

fn timers(calibration: &Calibration) -> String {
    const SHOWN: [&str; 4] = ["p50", "p90", "p99", "max"];
    let rows = calibration.timers.iter().map(|timer| {
        let mut row = vec![timer.timer.clone(), rate(timer.offered_rate)];
        let lag = timer.schedule_lag_ns.as_ref();
        row.extend(SHOWN.map(|name| lag.map_or(UNTOLD.to_owned(), |lag| statistic(lag, name))));
        row.push(timer.busiest_worker.map_or(UNTOLD.to_owned(), percent));
        row
    });
    let mut header = vec!["timer", "offered"];
    header.extend(SHOWN);
    header.push("busiest worker");
    let mut out = table(&header, 1, rows.collect());
    for (timer, why) in calibration.timers.iter().filter_map(|t| Some((&t.timer, t.skipped.as_ref()?))) {
        out.push_str(&paragraph("", 0, &format!("{timer} was not measured: {why}")));
    }
    out
}

fn search(calibration: &Calibration) -> String {
    let mut trials: Vec<&RateTrial> = calibration.search.iter().collect();
    trials.sort_by(|a, b| a.offered_rate.total_cmp(&b.offered_rate));
    let rows = trials.iter().map(|trial| {
        vec![
            rate(trial.offered_rate),
            rate(trial.rate),
            statistic(&trial.schedule_lag_ns, "p50"),
            statistic(&trial.schedule_lag_ns, "p99"),
            percent(trial.busiest_worker),
            trial.cpu_per_op_ns.map_or(UNTOLD.to_owned(), |ns| duration(ns as i64)),
            outcome(&trial.limits),
        ]
    });
    let header = ["offered", "done", "lag p50", "lag p99", "busiest worker", "CPU per op", "limited by"];
    table(&header, 0, rows.collect())
}

fn outcome(limits: &[RateLimit]) -> String {
    let names = limits.iter().map(|limit| match limit {
        RateLimit::Worker => "worker",
        RateLimit::Lag => "lag",
        RateLimit::Throughput => "throughput",
        RateLimit::Samples => "too few samples",
    });
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn highest(calibration: &Calibration) -> String {
    let held = "held twice: schedule lag below 1 ms at p99, no worker above 90 % of its core, and at least 98 % done in \
                time";
    match calibration.highest_rate {
        Some(highest) => {
            let at_least = if calibration.highest_rate_is_lower_bound { "at least " } else { "" };
            format!("{at_least}{}; it {held}", rate(highest))
        }
        None => format!("none of those that were tried has {held}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorumeter_record::{DepthCost, MachineIdentity, Quantiles, TimerLag, Tool, WallStart};

    fn trial(offered_rate: f64, limits: &[RateLimit]) -> RateTrial {
        RateTrial {
            offered_rate,
            rate: offered_rate,
            schedule_lag_ns: Quantiles {
                count: 10_000,
                p50: Some(31_000),
                p99: Some(412_000),
                ..Quantiles::default()
            },
            busiest_worker: 0.5,
            cpu_per_op_ns: Some(1_500),
            limits: limits.to_vec(),
        }
    }

    #[test]
    fn it_is_read_like_this() {
        let calibration = Calibration {
            schema: Calibration::SCHEMA.to_owned(),
            tool: Tool { version: "1.0.0".to_owned(), commit: None, build: "release".to_owned() },
            calibrated: WallStart { rfc3339: "2026-11-25T10:19:03.123Z".to_owned(), unix_ns: 0 },
            machine: MachineIdentity {
                host: String::new(),
                kernel: "Linux 6.1".to_owned(),
                cpu_model: Some("A CPU".to_owned()),
                cores: 2,
                cgroup_cpus: None,
            },
            load_average: None,
            step_ns: 1_000_000_000,
            workers: 1,
            depths: vec![DepthCost {
                depth: 16,
                cpu_per_op_ns: Some(812),
                rate: 345_678.0,
                busiest_worker: 0.281,
            }],
            timers: vec![
                TimerLag {
                    timer: "timerfd".to_owned(),
                    offered_rate: 10_000.0,
                    schedule_lag_ns: Some(trial(0.0, &[]).schedule_lag_ns),
                    busiest_worker: Some(0.2),
                    skipped: None,
                },
                TimerLag {
                    timer: "spin".to_owned(),
                    offered_rate: 10_000.0,
                    schedule_lag_ns: None,
                    busiest_worker: None,
                    skipped: Some("no core to spare".to_owned()),
                },
            ],
            search: vec![trial(20_000.0, &[RateLimit::Worker, RateLimit::Lag]), trial(10_000.0, &[])],
            highest_rate: Some(10_000.0),
            highest_rate_is_lower_bound: true,
            findings: vec!["something limits".to_owned()],
            complete: true,
        };
        let expected = "\
Calibration   2026-11-25 10:19 UTC, with quorumeter 1.0.0 (release build), 1 worker, steps of 1 s
Machine       A CPU, Linux 6.1; server and generator share the 2 cores

What an op costs: reads of 256 B in a closed loop, 1 session per worker, best of 2 rounds

depth  client CPU per op       rate  busiest worker
───────────────────────────────────────────────────
   16             812 ns  345,678/s          28.1 %

How timers keep the schedule: schedule lag, Poisson arrivals, best of 2 rounds

timer     offered      p50  p90     p99  max  busiest worker
────────────────────────────────────────────────────────────
timerfd  10,000/s  31.0 µs    -  412 µs    -          20.0 %
spin     10,000/s        -    -       -    -               -
spin was not measured: no core to spare

Highest rate: open loop, Poisson arrivals, 4 sessions per worker × depth 256

 offered      done  lag p50  lag p99  busiest worker  CPU per op   limited by
─────────────────────────────────────────────────────────────────────────────
10,000/s  10,000/s  31.0 µs   412 µs          50.0 %     1.50 µs      nothing
20,000/s  20,000/s  31.0 µs   412 µs          50.0 %     1.50 µs  worker, lag

Highest rate  at least 10,000/s; it held twice: schedule lag below 1 ms at p99, no worker above 90 %
              of its core, and at least 98 % done in time
  - something limits
";
        let text = render_calibration(&calibration);
        assert_eq!(text, expected, "\n{text}");
    }
}
