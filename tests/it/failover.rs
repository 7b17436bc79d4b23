//! Failover measurements on two members that are not there for a time that is known.

use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorumeter_ensemble::faults::{FaultKind, Victim};
use quorumeter_experiments::failover::{Commands, Settings};
use quorumeter_experiments::observe::{Nobody, Numbers, Observer};
use quorumeter_experiments::{Audience, FailoverOptions, Failure, Finished, TargetSpec, failover};
use quorumeter_loadgen::plan::Workload;
use quorumeter_record::{FailoverSummary, Phase, RepetitionSummary, Verdict};

use crate::support::http::{get, sample, samples};
use crate::support::pair::{Hole, How, Pair};
use crate::support::{self, QUORUMETER};

const MS: Duration = Duration::from_millis(1);
const BOTH: &[usize] = &[0, 1];

/// Probes of two measurements at once would be late for each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What runs beside the probes.
const LOAD: &str = "phases = { warmup = \"500ms\" }\ndataset = { nodes = 100 }\n\
                    [[stream]]\nname = \"app\"\nsessions = 2\nrate = \"100/s\"\nmix = { read = 1, write = 1 }\n";

fn hole(members: &'static [usize], how: How, length: Duration) -> Hole {
    Hole { members, how, after: 50 * MS, length: Some(length) }
}

/// Short waits: the relays are on this machine.
fn settings(repetitions: usize) -> Settings {
    Settings {
        repetitions: repetitions as u32,
        baseline: Duration::from_secs(3),
        settle: Duration::ZERO,
        limit: Duration::from_secs(8),
        clear_after: Duration::from_secs(1),
        poll_period: 50 * MS,
        ..Settings::new(FaultKind::Command, Victim::Leader)
    }
}

struct Measured {
    result: Result<Finished, Failure>,
    _dir: tempfile::TempDir,
}

impl Measured {
    fn finished(&self) -> &Finished {
        self.result.as_ref().unwrap_or_else(|failure| panic!("{}", failure.error))
    }

    fn failover(&self) -> &FailoverSummary {
        self.finished().analysis.summary.failover.as_ref().unwrap()
    }
}

fn measure(pair: &Pair, settings: Settings, commands: (String, String)) -> Measured {
    measure_before(Audience::default(), &mut Nobody, pair, settings, commands)
}

fn measure_before(
    audience: Audience,
    observer: &mut dyn Observer,
    pair: &Pair,
    settings: Settings,
    commands: (String, String),
) -> Measured {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = pair.addresses();
    let (fault, clear) = commands;
    let options = FailoverOptions {
        settings,
        workload: Workload::read(LOAD, &[], || 1).unwrap(),
        target: TargetSpec::Url(format!("zk://{first},{second}").parse().unwrap()),
        commands: Some(Commands { fault, clear: Some(clear), timeout: Duration::from_secs(10) }),
        out: Some(dir.path().join("run")),
        requirements: Vec::new(),
        command_line: Vec::new(),
        quorumeter: QUORUMETER.into(),
        audience,
    };
    Measured { result: failover(options, observer), _dir: dir }
}

/// Measures holes, one series each repetition, and hands over, of each that counts, its number, the lengths of its holes,
/// the time from the first one's start to the last one's end, in nanoseconds, and what was measured.
///
/// A repetition in which the machine stalled does not count; when none does, all are done again, up to three times.
fn check(series: &[&[Hole]], mut each: impl FnMut(usize, &[u64], u64, &dyn Fn(&str) -> Option<u64>)) {
    assert!((0..3).any(|_| check_once(series, &mut each)), "no repetition of three times as many counts");
}

/// Returns whether any repetition counts.
fn check_once(
    series: &[&[Hole]],
    each: &mut impl FnMut(usize, &[u64], u64, &dyn Fn(&str) -> Option<u64>),
) -> bool {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = Pair::start(series);
    let measured = measure(&pair, settings(series.len()), pair.commands());
    let failover = measured.failover();
    let made = pair.made();
    for (number, (repetition, holes)) in failover.repetitions.iter().zip(&made).enumerate() {
        if !repetition.valid {
            assert!(was_stalled(failover, repetition), "{:?}", failover.invalid);
            continue;
        }
        let ns = |from: Instant, to: Option<Instant>| (to.unwrap() - from).as_nanos() as u64;
        let lengths: Vec<u64> = holes.iter().map(|(start, end)| ns(*start, *end)).collect();
        let whole = ns(holes[0].0, holes.last().unwrap().1);
        println!("{number}: {lengths:?} {:?}", repetition.values);
        each(number, &lengths, whole, &|name| repetition.values.get(name).copied());
    }
    failover.repetitions.iter().any(|repetition| repetition.valid)
}

/// Whether a repetition does not count because the machine was too busy.
fn was_stalled(failover: &FailoverSummary, repetition: &RepetitionSummary) -> bool {
    let because = ["late, more than", "baseline's slots", "after it was asked for"];
    let mut invalid = failover.invalid.iter().filter(|invalid| invalid.repetition == repetition.repetition);
    invalid.any(|invalid| invalid.reasons.iter().any(|r| because.iter().any(|part| r.contains(part))))
}

/// Whatever the members do, the bounds enclose how long they were gone.
#[test]
fn bounds_enclose_what_is_known() {
    check(
        &[
            &[hole(BOTH, How::Hang, 37 * MS)],
            &[hole(BOTH, How::Refuse, 500 * MS)],
            &[hole(BOTH, How::Hang, 1_230 * MS)],
            &[hole(BOTH, How::Refuse, 5_000 * MS)],
        ],
        |number, lengths, _, value| {
            let length = lengths[0];
            let (lower, upper) = (
                value("write_outage_any_lower_ns").unwrap_or(0),
                value("write_outage_any_upper_ns").unwrap(),
            );
            assert!(lower <= length && length <= upper, "{number}: {lower} {length} {upper}");
            let gap = value("ack_gap_any_ns").unwrap();
            // Between two probes' slots, or two attempts to connect, or a little later on a busy machine.
            assert!(gap >= length && gap < length + 150_000_000, "{number}: {gap} {length}");
        },
    );
}

/// An observer that passes on what it is told.
struct Notices(Sender<String>);

impl Observer for Notices {
    fn phase(&mut self, _: Phase, _: &str) {}
    fn prefill(&mut self, _: u64, _: u64) {}
    fn interval(&mut self, _: &Numbers, _: f64, _: f64) {}
    fn notice(&mut self, text: &str) {
        // Who looks for the address may have found it.
        let _ = self.0.send(text.to_owned());
    }
}

/// Scrapes until nobody answers any more: phase `measure`, fault, outage in seconds.
fn scrape_all(address: SocketAddr) -> Vec<(f64, f64, Option<f64>)> {
    let mut scrapes = Vec::new();
    while let Some((_, text)) = get(address, "/metrics") {
        let samples = samples(&text);
        let value = |series: &str| sample(&samples, series);
        let fault = value("bench_fault_active{fault=\"command\"}").expect("a planned fault is told");
        let measure = value("bench_phase{phase=\"measure\"}").expect("every phase is told");
        scrapes.push((measure, fault, value("bench_outage_seconds")));
        std::thread::sleep(20 * MS);
    }
    scrapes
}

/// Whoever scrapes a measurement sees the fault come and go, and the outage grow while it goes on.
#[test]
fn a_fault_and_its_outage_show_while_they_go_on() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = Pair::start(&[&[hole(BOTH, How::Refuse, 2_500 * MS)]]);
    let (notices, told) = channel();
    let scraper = std::thread::spawn(move || {
        let address =
            |text: String| Some(text.strip_prefix("metrics: http://")?.strip_suffix("/metrics")?.to_owned());
        let address: String = told.iter().find_map(address).expect("the address is told");
        scrape_all(address.parse().unwrap())
    });
    let audience = Audience { listen: Some(([127, 0, 0, 1], 0).into()), otlp: None };
    let measured = measure_before(audience, &mut Notices(notices), &pair, settings(1), pair.commands());
    let scrapes = scraper.join().unwrap();
    measured.finished();
    let mut course: Vec<f64> = scrapes.iter().map(|(_, fault, _)| *fault).collect();
    course.dedup();
    assert_eq!(course, [0.0, 1.0, 0.0]);
    assert!(scrapes.iter().filter(|(_, fault, _)| *fault == 1.0).all(|(measure, ..)| *measure == 1.0));
    let (start, end) = pair.made()[0][0];
    let length = (end.unwrap() - start).as_secs_f64();
    let outages: Vec<f64> = scrapes.iter().filter_map(|(_, _, outage)| *outage).collect();
    let last = *outages.last().expect("the load writes");
    // Nothing was acknowledged in the hole; how much more there was to it is the machine's affair.
    assert!(last >= length, "{last} of {length}");
    let while_it_goes = outages.iter().filter(|outage| **outage > 0.5 && **outage < length).count();
    assert!(while_it_goes > 0, "it was told before it was over: {outages:?}");
}

/// One member that is gone, a service that comes and goes, and reads alone: each is told from the others.
#[test]
fn kinds_of_outages_are_told_apart() {
    check(
        &[
            &[hole(&[0], How::Refuse, 800 * MS)],
            &[
                hole(BOTH, How::Refuse, 400 * MS),
                Hole { after: 20 * MS, ..hole(BOTH, How::Refuse, 300 * MS) },
            ],
            &[hole(BOTH, How::HangReads, 600 * MS)],
        ],
        |number, lengths, whole, value| {
            let upper = |name: &str| value(&format!("{name}_upper_ns")).unwrap();
            let lower = |name: &str| value(&format!("{name}_lower_ns")).unwrap_or(0);
            match number {
                0 => {
                    assert!(upper("write_outage_any") < 200_000_000, "the other member serves");
                    assert!(value("ack_gap_any_ns").unwrap() < 200_000_000);
                }
                1 => {
                    // Slots at the end of the first hole are answered in time: then five in a row may be good between the two,
                    // and these are two outages. Otherwise it is one, with both holes in it.
                    let (count, bad) = (value("outage_count").unwrap(), value("bad_time_total_ns").unwrap());
                    let length = if count == 2 { lengths[0] } else { whole };
                    assert!(lower("write_outage_any") <= length && length <= upper("write_outage_any"));
                    assert!((1..=2).contains(&count) && bad >= lengths[0] + lengths[1], "{count} {bad}");
                }
                _ => {
                    let length = lengths[0];
                    assert!(lower("read_outage_any") <= length && length <= upper("read_outage_any"));
                    assert!(upper("write_outage_any") < 200_000_000, "writes go on");
                }
            }
        },
    );
}

/// A hole without an end is told as more than the limit, and is not left out.
#[test]
fn an_outage_without_an_end_is_censored() {
    let endless = Hole { members: BOTH, how: How::Hang, after: 50 * MS, length: None };
    let pair = Pair::start(&[&[endless]]);
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let settings = Settings { limit: Duration::from_secs(5), ..settings(1) };
    let measured = measure(&pair, settings, pair.commands());
    let failover = measured.failover();
    let repetition = &failover.repetitions[0];
    println!("{repetition:#?}");
    if !repetition.valid {
        assert!(was_stalled(failover, repetition), "{:?}", failover.invalid);
        return;
    }
    let upper = &failover.durations["write_outage_any_upper_ns"];
    assert_eq!((upper.n, upper.censored, upper.max), (1, 1, None));
    assert!(upper.values[0] >= 4_000_000_000, "{upper:?}");
    assert!(repetition.censored.iter().any(|name| name == "write_outage_any_upper_ns"), "{repetition:?}");
}

/// A fault that changes nothing is no fault: nothing is concluded.
#[test]
fn a_fault_that_does_nothing_is_inconclusive() {
    let pair = Pair::start(&[]);
    let measured = measure(&pair, settings(1), ("true".to_owned(), "true".to_owned()));
    let summary = &measured.finished().analysis.summary;
    assert_eq!(summary.verdict, Verdict::Inconclusive, "{:?}", summary.reasons);
    let failover = measured.failover();
    assert_eq!((failover.valid, failover.invalid.len()), (0, 1));
    assert!(!failover.invalid[0].reasons.is_empty());
}

/// Commands that fail or hang are told with what they said, and end the repetition, not the tool.
#[test]
fn a_fault_command_that_fails_is_told() {
    let pair = Pair::start(&[]);
    let failing = ("echo no such machine >&2; exit 3".to_owned(), "true".to_owned());
    let measured = measure(&pair, settings(1), failing);
    let summary = &measured.finished().analysis.summary;
    assert_eq!(summary.verdict, Verdict::Inconclusive, "{:?}", summary.reasons);
    let reasons = measured.failover().invalid[0].reasons.join("\n");
    assert!(reasons.contains("no such machine"), "{reasons}");
}

/// What cannot be done is said before anything is started.
#[test]
fn what_makes_no_sense_is_told_with_a_next_step() {
    let dir = tempfile::tempdir().unwrap();
    for (args, code, says) in [
        (&["--target", "zk://127.0.0.1:1"][..], 1, "--fault-command"),
        (&["--fault", "command"], 1, "--fault-command"),
        (&["--target", "zk://127.0.0.1:1", "--fault-command", "true"], 1, "--clear-command"),
        (&["--target", "zk://127.0.0.1:1", "--fault-command", "true", "--fault", "reset"], 1, "leave"),
        (&["--policy", "java", "--policy", "java"], 1, "java is given twice"),
        (&["--ensemble", "embedded:1"], 1, "zookeeper:3"),
        (&["--fault", "explode"], 1, "kill"),
        (&["--victim", "boss"], 1, "leader"),
        (&["--repetitions", "0"], 1, "1 to 1000"),
        (&["--probe-period", "1ms"], 1, "5ms to 1s"),
        (&["--require", "write_outage_any.p99 < 2s"], 1, "median"),
        (&["--require", "write_outage_some.median < 2s"], 1, "write_outage"),
    ] {
        let args: Vec<&str> = ["failover"].iter().chain(args).copied().collect();
        let output = support::quorumeter(dir.path(), &args);
        let said = support::words(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was begun");
}
