//! What watching does to what is watched: response times and CPU of a real `zookeeper:3` under a fixed load, without polls, with
//! polls at 1 s and at 0.1 s, and with the server's own Prometheus provider switched on (which nobody scrapes, without
//! polls).
//!
//! Rounds are interleaved, A B C D and D C B A in turn, so that what drifts with time is not told as an effect. Each has an
//! ensemble of its own and the same seed. `--rounds N` (6) and `--measure DURATION` (20s), as in `--rounds 1 --measure 2s`.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use quorumeter_benches::machine;
use quorumeter_ensemble::launch::Launched;
use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_experiments::ensembles::url_of;
use quorumeter_experiments::{Audience, Numbers, Observer, RunOptions, TargetSpec, run};
use quorumeter_loadgen::Workload;
use quorumeter_record::Phase;

/// What is compared: its name, time between polls, and whether the provider is on.
const CONDITIONS: [(&str, Option<Duration>, bool); 4] = [
    ("no polls", None, false),
    ("polls at 1 s", Some(Duration::from_secs(1)), false),
    ("polls at 0.1 s", Some(Duration::from_millis(100)), false),
    ("provider on", None, true),
];

/// What one round gave: median and 99th percentile of the response time, milliseconds, and the members' CPU, cores.
type Measured = [f64; 3];

const COLUMNS: [&str; 3] = ["p50", "p99", "CPU of all members"];

fn main() -> Result<(), Box<dyn Error>> {
    let value = |name: &str| std::env::args().skip_while(|arg| arg != name).nth(1);
    let rounds: usize = value("--rounds").map_or(Ok(6), |rounds| rounds.parse())?;
    let measure = value("--measure").unwrap_or_else(|| "20s".to_owned());
    println!("{}", machine());
    let mut measured: [Vec<Measured>; CONDITIONS.len()] = Default::default();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..CONDITIONS.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for condition in order {
            let got = one(condition, &measure)?;
            println!("round {}: {}: {got:.3?}", round + 1, CONDITIONS[condition].0);
            measured[condition].push(got);
        }
    }
    table(&measured);
    Ok(())
}

/// One round of a condition.
fn one(condition: usize, measure: &str) -> Result<Measured, Box<dyn Error>> {
    let (_, poll_period, has_provider) = CONDITIONS[condition];
    let dir = tempfile::tempdir()?;
    let mut options = Options::new(3, dir.path().join("ensemble"), Wrapper::None);
    if has_provider {
        let class = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
        options.settings = BTreeMap::from([("metricsProvider.className".to_owned(), class.to_owned())]);
    }
    let ensemble = start(&options)?;
    let text = format!(
        "name = \"observer_effect\"\nphases = {{ warmup = \"5s\", measure = \"{measure}\" }}\n\
         dataset = {{ nodes = 1000, value = \"256 B\" }}\n\
         [[stream]]\nname = \"app\"\nsessions = 8\nrate = \"2k/s\"\nmix = {{ read = 80, write = 20 }}\n"
    );
    let options = RunOptions {
        workload: Workload::read(&text, &[], || 1)?,
        target: TargetSpec::Url(url_of(&ensemble)),
        out: Some(dir.path().join("run")),
        requirements: Vec::new(),
        command_line: Vec::new(),
        quorumeter: std::env::current_exe()?,
        audience: Audience::default(),
        poll_period,
    };
    let mut cpu = Cpu { ensemble: &ensemble, at_begin_ns: 0, at_end_ns: 0 };
    let finished = run(options, &mut cpu).map_err(|failure| failure.error)?;
    let used_ns = cpu.at_end_ns.saturating_sub(cpu.at_begin_ns);
    let summary = &finished.analysis.summary;
    let reads = summary.ops.get("app.read").ok_or("there are no reads")?;
    let ms = |ns: Option<i64>| ns.map_or(f64::NAN, |ns| ns as f64 / 1e6);
    Ok([ms(reads.response_ns.p50), ms(reads.response_ns.p99), used_ns as f64 / 1e9 / summary.measured_s])
}

/// Notes the members' CPU time at both ends of the measured window.
struct Cpu<'e> {
    ensemble: &'e Launched,
    at_begin_ns: u64,
    at_end_ns: u64,
}

impl Observer for Cpu<'_> {
    fn phase(&mut self, phase: Phase, _: &str) {
        let members = &self.ensemble.members;
        let used_ns =
            members.iter().filter_map(|member| self.ensemble.process_use(member.id)).map(|used| used.cpu_ns);
        match phase {
            Phase::Measure => self.at_begin_ns = used_ns.sum(),
            Phase::Drain => self.at_end_ns = used_ns.sum(),
            _ => {}
        }
    }

    fn prefill(&mut self, _: u64, _: u64) {}
    fn interval(&mut self, _: &Numbers, _: f64, _: f64) {}
    fn notice(&mut self, _: &str) {}
}

/// Prints, of each condition, the median over its rounds with the least and the greatest, and its ratio to the first's.
fn table(measured: &[Vec<Measured>; CONDITIONS.len()]) {
    println!("\n| | {} |\n|---|---|---|---|", COLUMNS.join(" | "));
    let sorted = |condition: usize, column: usize| {
        let mut values: Vec<f64> = measured[condition].iter().map(|round| round[column]).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |values: &[f64]| match values.len() {
        0 => f64::NAN,
        n => (values[(n - 1) / 2] + values[n / 2]) / 2.0,
    };
    for (condition, (name, ..)) in CONDITIONS.iter().enumerate() {
        let cell = |column: usize| {
            let (values, first) = (sorted(condition, column), sorted(0, column));
            let (least, greatest) = (values.first().unwrap_or(&f64::NAN), values.last().unwrap_or(&f64::NAN));
            let unit = if column == 2 { "cores" } else { "ms" };
            let own = median(&values);
            format!("{own:.3} {unit} ({least:.3} to {greatest:.3}), × {:.3}", own / median(&first))
        };
        println!("| {name} | {} | {} | {} |", cell(0), cell(1), cell(2));
    }
}
