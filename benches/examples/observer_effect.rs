//! What watching does to what is watched: response times and CPU of a real `zookeeper:3` under a fixed load, without polls, with
//! polls (`srvr` of each member, and its `mntr` no more than once a second) at 1 s and at 0.1 s, and of another one with ZooKeeper's
//! own Prometheus provider switched on, which nobody scrapes, without polls.
//!
//! Both ensembles are up all the time, and warm before anything counts. Rounds are interleaved, A B C D and D C B A in turn, so that
//! what drifts with time is not told as an effect, and each is compared with the same round without polls. Every round
//! has the same seed. `--rounds N` (10) and `--measure DURATION` (15s), as in `--rounds 1 --measure 2s`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use quorumeter_benches::machine;
use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_ensemble::launch::{LaunchError, Launched};
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

/// What one round gave: response times in milliseconds, and CPU in cores.
type Measured = [f64; COLUMNS.len()];

const COLUMNS: [&str; 5] =
    ["read p50, ms", "read p99, ms", "write p50, ms", "write p99, ms", "CPU of all members, cores"];

/// Load before anything counts: until then the members' code is being compiled.
const WARM_UP: &str = "60s";

fn main() -> Result<(), Box<dyn Error>> {
    let value = |name: &str| std::env::args().skip_while(|arg| arg != name).nth(1);
    let rounds: usize = value("--rounds").map_or(Ok(10), |rounds| rounds.parse())?;
    let measure = value("--measure").unwrap_or_else(|| "15s".to_owned());
    println!("{}", machine());
    let dir = tempfile::tempdir()?;
    let ensembles = [false, true].map(|has_provider| ensemble(has_provider, dir.path()));
    let [plain, provided] = ensembles;
    let ensembles = [plain?, provided?];
    for ensemble in &ensembles {
        one(ensemble, None, WARM_UP, dir.path())?;
    }
    let mut measured: [Vec<Measured>; CONDITIONS.len()] = Default::default();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..CONDITIONS.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for condition in order {
            let (name, poll_period, has_provider) = CONDITIONS[condition];
            let got = one(&ensembles[usize::from(has_provider)], poll_period, &measure, dir.path())?;
            println!("round {}: {name}: {got:.3?}", round + 1);
            measured[condition].push(got);
        }
    }
    table(&measured);
    Ok(())
}

/// An ensemble, with the provider or without.
fn ensemble(has_provider: bool, dir: &Path) -> Result<Launched, LaunchError> {
    let mut options = Options::new(3, dir.join(format!("provider-{has_provider}")), Wrapper::None);
    if has_provider {
        let class = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
        options.settings = BTreeMap::from([("metricsProvider.className".to_owned(), class.to_owned())]);
    }
    start(&options)
}

/// One round of a condition.
fn one(
    ensemble: &Launched,
    poll_period: Option<Duration>,
    measure: &str,
    dir: &Path,
) -> Result<Measured, Box<dyn Error>> {
    let text = format!(
        "name = \"observer_effect\"\nphases = {{ warmup = \"2s\", measure = \"{measure}\" }}\n\
         dataset = {{ nodes = 1000, value = \"256 B\" }}\n\
         [[stream]]\nname = \"app\"\nsessions = 8\nrate = \"500/s\"\nmix = {{ read = 80, write = 20 }}\n"
    );
    let out = dir.join("run");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    let options = RunOptions {
        workload: Workload::read(&text, &[], || 1)?,
        target: TargetSpec::Url(url_of(ensemble)),
        out: Some(out),
        requirements: Vec::new(),
        command_line: Vec::new(),
        quorumeter: std::env::current_exe()?,
        audience: Audience::default(),
        poll_period,
    };
    let mut cpu = Cpu { ensemble, at_begin_ns: 0, at_end_ns: 0 };
    let finished = run(options, &mut cpu).map_err(|failure| failure.error)?;
    let used_ns = cpu.at_end_ns.saturating_sub(cpu.at_begin_ns);
    let summary = &finished.analysis.summary;
    let of = |op| summary.ops.get(op).ok_or("an op is missing").map(|op| &op.response_ns);
    let (reads, writes) = (of("app.read")?, of("app.write")?);
    let [read_p50, read_p99, write_p50, write_p99] =
        [reads.p50, reads.p99, writes.p50, writes.p99].map(|ns| ns.map_or(f64::NAN, |ns| ns as f64 / 1e6));
    Ok([read_p50, read_p99, write_p50, write_p99, used_ns as f64 / 1e9 / summary.measured_s])
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

/// Prints, of each condition, the median over its rounds, and of its ratios to the same rounds of the first the median with the
/// least and the greatest.
fn table(measured: &[Vec<Measured>; CONDITIONS.len()]) {
    println!("\n| | {} |\n|---{}|", COLUMNS.join(" | "), "|---".repeat(COLUMNS.len()));
    for (rounds, (name, ..)) in measured.iter().zip(CONDITIONS) {
        let cell = |column: usize| {
            let own = sorted(rounds.iter().map(|round| round[column]));
            let ratios = rounds.iter().zip(&measured[0]).map(|(own, first)| own[column] / first[column]);
            let ratios = sorted(ratios);
            let [Some(least), Some(greatest)] = [ratios.first(), ratios.last()] else { return String::new() };
            format!("{:.3}, × {:.2} ({least:.2} to {greatest:.2})", median(&own), median(&ratios))
        };
        let cells: Vec<_> = (0..COLUMNS.len()).map(cell).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}
