//! Members are polled: the embedded one, and real ones through an election.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_ensemble::launch::{Kind, Launched, own};
use quorumeter_exporters::poller::{PERIOD_MAX, PERIOD_MIN};
use quorumeter_exporters::{PolledMember, Poller};
use quorumeter_record::MemberLine;
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::{sleep, timeout};

use support::{QUORUMETER, real_zookeeper};

mod support;

/// More than any test waits for anything that is to come.
const LIMIT: Duration = Duration::from_secs(90);

fn on_a_local_runtime(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { timeout(LIMIT, test).await.expect("the test ends in time") });
}

/// Lines, as they come.
type Lines = Rc<RefCell<Vec<MemberLine>>>;

fn poll(ensemble: &Rc<Launched>, period: Duration, clock: Clock) -> (Poller, Lines) {
    let polled: Vec<_> = ensemble
        .members
        .iter()
        .map(|own| PolledMember {
            member: Member { name: own.address.to_string(), address: own.address, tls: None },
            admin: own.admin,
        })
        .collect();
    let launched = Rc::clone(ensemble);
    let process = move |member: &Member| {
        launched.process_use(launched.members.iter().find(|own| own.address == member.address)?.id)
    };
    let lines = Lines::default();
    let own = Rc::clone(&lines);
    (Poller::start(&polled, period, clock, process, move |line| own.borrow_mut().push(line)), lines)
}

#[test]
fn the_embedded_member_tells_its_counters_and_of_no_ensemble() {
    let dir = tempfile::tempdir().unwrap();
    let ensemble = own::start(Kind::Embedded, 1, dir.path(), &BTreeMap::new(), QUORUMETER.as_ref()).unwrap();
    assert!(ensemble.members[0].admin.is_some(), "it has an AdminServer");
    let ensemble = Rc::new(ensemble);
    on_a_local_runtime(async {
        let (poller, lines) = poll(&ensemble, PERIOD_MAX, Clock::start());
        let told = poller.poll_now().await.remove(0);
        assert_eq!(told.role.as_deref(), Some("standalone"));
        assert_eq!((told.term, &told.zab_state, told.synced_followers), (None, &None, None));
        assert_eq!((told.elections, told.unavailable, told.leader_unavailable), (None, None, None));
        assert!(told.answer_ns.is_some() && told.zxid.is_some() && told.znodes >= Some(5), "{told:?}");
        assert!(told.process.as_ref().is_some_and(|process| process.resident_bytes > 0), "{told:?}");
        assert!(lines.borrow().contains(&told));
    });
}

/// What of a line shows a member's part in the protocol.
fn part(line: &MemberLine) -> (Option<&str>, Option<&str>) {
    (line.role.as_deref(), line.zab_state.as_deref())
}

#[test]
fn polling_sees_a_real_ensemble_through_an_election() {
    if real_zookeeper("polling_sees_a_real_ensemble_through_an_election").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(3, dir.path(), Wrapper::Quorumeter(QUORUMETER.into()));
    options.ready_timeout = Duration::from_secs(120);
    options.settings.insert("tickTime".to_owned(), "500".to_owned());
    let ensemble = Rc::new(start(&options).unwrap());
    let clock = Clock::start();
    on_a_local_runtime(async {
        let (poller, lines) = poll(&ensemble, PERIOD_MIN, clock);
        let before = loop {
            let told = poller.poll_now().await;
            // A member that has just started may be slow to tell.
            let is_whole = |line: &MemberLine| line.zab_state.is_some() && line.elections.is_some();
            if told.iter().all(is_whole) && told.iter().any(|line| line.synced_followers == Some(2)) {
                break told;
            }
        };
        let leads = |line: &&MemberLine| part(line) == (Some("leader"), Some("broadcast"));
        let leader = before.iter().find(leads).unwrap_or_else(|| panic!("{before:?}"));
        let term = leader.term.unwrap();
        for line in &before {
            assert_eq!(line.zab_state.as_deref(), Some("broadcast"), "{line:?}");
            assert!(line.term.is_none_or(|own| own <= term), "{line:?}");
            assert!(line.process.is_some() && line.elections.unwrap().count >= 1, "{line:?}");
            assert_eq!(line.synced_followers.is_some(), line.member == leader.member, "{line:?}");
        }

        let victim = ensemble.members.iter().find(|m| m.address.to_string() == leader.member).unwrap();
        kill_process(Pid::from_raw(victim.pid as i32).unwrap(), Signal::KILL).unwrap();
        let killed_ns = clock.now_ns();
        let after = loop {
            let told = poller.poll_now().await;
            let parts: Vec<_> = told.iter().map(part).collect();
            let has = |role| parts.contains(&(Some(role), Some("broadcast")));
            let counted = told.iter().filter(|line| line.elections.is_some()).count();
            if counted == 2
                && has("leader")
                && has("follower")
                && told.iter().any(|line| line.synced_followers == Some(1))
            {
                break told;
            }
            sleep(PERIOD_MIN).await;
        };
        let new = after.iter().find(leads).unwrap();
        assert!(new.term.unwrap() > term && new.member != leader.member, "{new:?} after {leader:?}");
        assert!(new.leader_unavailable.unwrap().count >= 1, "{new:?}");
        for (was, is) in before.iter().zip(&after) {
            if is.member == leader.member {
                assert_eq!((part(is), is.answer_ns, is.zxid), ((None, None), None, None));
                continue;
            }
            assert!(is.elections.unwrap().count > was.elections.unwrap().count, "{was:?} {is:?}");
            assert!(is.unavailable.unwrap().sum_ns > was.unavailable.unwrap().sum_ns, "{was:?} {is:?}");
            let lines = lines.borrow();
            let between = lines.iter().filter(|l| l.member == is.member && l.t_ns > killed_ns);
            let out: Vec<_> = between.filter(|l| l.role.is_none() && l.answer_ns.is_some()).collect();
            assert!(!out.is_empty(), "{} is seen to be without a leader", is.member);
        }
    });
}
