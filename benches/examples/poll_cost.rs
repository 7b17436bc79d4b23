//! What polling costs: CPU of the poller and of the members of a real `zookeeper:3`, which is otherwise idle, in 10 s
//! each without polling, at the slowest and at the fastest period.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_ensemble::launch::{self, Launched};
use quorumeter_exporters::poller::{PERIOD_MAX, PERIOD_MIN};
use quorumeter_exporters::{PolledMember, Poller};
use quorumeter_targets::Clock;
use quorumeter_targets::clock::thread_cpu_ns;
use quorumeter_targets::session::Member;
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::sleep;

const WINDOW: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let ensemble = Rc::new(start(&Options::new(3, dir.path(), Wrapper::None))?);
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    println!(
        "| period | lines | answered in (median) | poller | a member (mean) |\n|---|---:|---:|---:|---:|"
    );
    // The first round is for the members' compiler.
    for period in [Some(PERIOD_MIN), None, Some(PERIOD_MAX), Some(PERIOD_MIN)] {
        runtime.block_on(measure(&ensemble, period));
    }
    Ok(())
}

/// Prints a line of the table.
async fn measure(ensemble: &Rc<Launched>, period: Option<Duration>) {
    let answers_ns = Rc::new(RefCell::new(Vec::new()));
    let poller = period.map(|period| poll(ensemble, period, Rc::clone(&answers_ns)));
    let (begun, own_ns, theirs_ns) = (Instant::now(), thread_cpu_ns(), members_cpu_ns(ensemble));
    sleep(WINDOW).await;
    let window_ns = begun.elapsed().as_nanos() as f64;
    let share = |cpu_ns: u64| cpu_ns as f64 / window_ns * 100.0;
    let own = share(thread_cpu_ns() - own_ns);
    let theirs = share(members_cpu_ns(ensemble) - theirs_ns) / ensemble.members.len() as f64;
    drop(poller);
    let mut answers_ns = answers_ns.borrow_mut();
    answers_ns.sort_unstable();
    let median = answers_ns.get(answers_ns.len() / 2).map(|ns| format!("{:.1} ms", *ns as f64 / 1e6));
    let period = period.map_or_else(|| "none".to_owned(), |period| format!("{period:?}"));
    let lines = answers_ns.len();
    println!("| {period} | {lines} | {} | {own:.1} % | {theirs:.1} % |", median.unwrap_or_default());
}

fn poll(ensemble: &Rc<Launched>, period: Duration, answers_ns: Rc<RefCell<Vec<u64>>>) -> Poller {
    let of = |own: &launch::Member| PolledMember {
        member: Member { name: own.address.to_string(), address: own.address, tls: None },
        admin: own.admin,
    };
    let members: Vec<_> = ensemble.members.iter().map(of).collect();
    let launched = Rc::clone(ensemble);
    let process = move |member: &Member| {
        launched.process_use(launched.members.iter().find(|own| own.address == member.address)?.id)
    };
    Poller::start(&members, period, Clock::start(), process, move |line| {
        answers_ns.borrow_mut().extend(line.answer_ns);
    })
}

/// CPU time of all members, nanoseconds.
fn members_cpu_ns(ensemble: &Launched) -> u64 {
    ensemble.members.iter().filter_map(|own| ensemble.process_use(own.id)).map(|used| used.cpu_ns).sum()
}
