//! Faults of Apache ZooKeeper itself.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorumeter_ensemble::faults::{FaultError, FaultKind, Injector, Means, Role, Victim};
use quorumeter_ensemble::launch::child::{State, Wrapper};
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_ensemble::launch::{self, Kind, Launched, own};
use quorumeter_record::FaultStage;
use quorumeter_targets::session::Member;
use quorumeter_zk::four_letter::Mode;

use support::{QUORUMETER, real_zookeeper};

mod support;

/// Three Java processes are enough for one machine at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const LIMIT: Duration = Duration::from_secs(60);

/// What was told, and how long after `Asked`.
type Told = Vec<(FaultStage, Vec<usize>, String, Duration)>;

fn zookeeper(dir: &tempfile::TempDir) -> Arc<Launched> {
    let mut options = Options::new(3, dir.path().join("zk"), Wrapper::Quorumeter(QUORUMETER.into()));
    options.ready_timeout = Duration::from_secs(120);
    options.settings = BTreeMap::from(
        [("tickTime", "500"), ("syncLimit", "4"), ("jvm.Xmx", "128m")]
            .map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    Arc::new(start(&options).unwrap())
}

fn members(launched: &Launched) -> Vec<Member> {
    let member =
        |own: &launch::Member| Member { name: own.address.to_string(), address: own.address, tls: None };
    launched.members.iter().map(member).collect()
}

fn injector(kind: FaultKind, victim: Victim, launched: &Arc<Launched>) -> Injector {
    Injector::new(kind, victim, members(launched), Means::Launched(launched.clone())).unwrap()
}

/// Waits until somebody leads and all answer, and chooses.
fn choose(fault: &Injector, victim: Victim) -> Vec<usize> {
    let begun = Instant::now();
    loop {
        let roles: Vec<Role> = fault.roles(Duration::from_secs(2)).iter().map(|seen| seen.role).collect();
        if roles.contains(&Some(Mode::Leader)) && !roles.contains(&None) {
            return victim.choose(&roles, 1).unwrap();
        }
        assert!(begun.elapsed() < LIMIT, "{roles:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The fault from its beginning to the confirmation of its victim.
fn broken(mut fault: Injector, victim: Victim, told: &mut Told) -> Injector {
    let victims = choose(&fault, victim);
    let mut asked = Instant::now();
    let mut tell = |stage, victims: &[usize], detail: &str| {
        if stage == FaultStage::Asked {
            asked = Instant::now();
        }
        told.push((stage, victims.to_vec(), detail.to_owned(), asked.elapsed()));
    };
    fault.prepare(&victims, &mut tell).unwrap();
    fault.inject(&mut tell).unwrap();
    fault.prove_active(LIMIT, &mut tell).unwrap();
    fault.confirm_victim(&mut tell).unwrap();
    fault
}

fn cleared(mut fault: Injector, told: &mut Told) {
    let begun = Instant::now();
    let mut tell = |stage, victims: &[usize], detail: &str| {
        told.push((stage, victims.to_vec(), detail.to_owned(), begun.elapsed()));
    };
    fault.clear(&mut tell).unwrap();
    fault.prove_cleared(LIMIT, &mut tell).unwrap();
}

fn show(kind: FaultKind, told: &Told) {
    for (stage, victims, detail, after) in told {
        println!("{kind}: {stage:?} {victims:?} after {:.1} ms: {detail}", after.as_secs_f64() * 1e3);
    }
}

fn id(place: usize) -> u32 {
    place as u32 + 1
}

/// Waits until another member than this leads: so the others have noticed.
fn wait_for_another_leader(fault: &Injector, than: usize) {
    let begun = Instant::now();
    loop {
        let roles = fault.roles(Duration::from_millis(500));
        if (0..3).any(|place| place != than && roles[place].role == Some(Mode::Leader)) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{roles:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_leader_is_killed_stopped_and_paused_and_comes_back() {
    use FaultStage::*;
    if real_zookeeper("a_leader_is_killed_stopped_and_paused_and_comes_back").is_none() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let launched = zookeeper(&dir);
    for (kind, state) in
        [(FaultKind::Kill, State::Gone), (FaultKind::Stop, State::Gone), (FaultKind::Pause, State::Stopped)]
    {
        let mut told = Told::new();
        let fault = broken(injector(kind, Victim::Leader, &launched), Victim::Leader, &mut told);
        let leader = told[0].1[0];
        assert_eq!(launched.state(id(leader)).unwrap(), state);
        launched.check().unwrap();
        wait_for_another_leader(&fault, leader);
        cleared(fault, &mut told);
        show(kind, &told);
        let stages: Vec<FaultStage> = told.iter().map(|(stage, ..)| *stage).collect();
        assert_eq!(stages, [Prepared, Asked, Active, VictimConfirmed, ClearAsked, Cleared], "{told:?}");
        assert!(told.iter().all(|(_, victims, ..)| *victims == [leader]), "{told:?}");
        assert!(told[5].2.ends_with("serves as follower"), "the new leader stays one: {told:?}");
        assert_eq!(launched.state(id(leader)).unwrap(), State::Running);
    }

    // The same from outside: a process that hangs shows in its silence alone.
    let signal = |signal: &str| {
        let of = |own: &launch::Member| {
            format!("{}) kill -{signal} {};; ", own.address, launched.pid(own.id).unwrap())
        };
        format!(
            "case $QUORUMETER_VICTIM in {}*) exit 9;; esac",
            launched.members.iter().map(of).collect::<String>()
        )
    };
    let means = Means::Commands { fault: signal("STOP"), clear: Some(signal("CONT")), timeout: LIMIT };
    let fault = Injector::new(FaultKind::Pause, Victim::Leader, members(&launched), means).unwrap();
    let mut told = Told::new();
    let fault = broken(fault, Victim::Leader, &mut told);
    let leader = told[0].1[0];
    assert_eq!(launched.state(id(leader)).unwrap(), State::Stopped);
    wait_for_another_leader(&fault, leader);
    cleared(fault, &mut told);
    show(FaultKind::Pause, &told);
    assert!(told[2].2.contains("takes connections and has not answered for 300 ms"), "{told:?}");
    assert_eq!(launched.state(id(leader)).unwrap(), State::Running);
}

#[test]
fn faults_of_several_steps_leave_a_whole_ensemble_and_lost_data_is_seen() {
    use FaultStage::*;
    if real_zookeeper("faults_of_several_steps_leave_a_whole_ensemble_and_lost_data_is_seen").is_none() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let launched = zookeeper(&dir);
    for (kind, middle) in [
        (FaultKind::Restart, vec![VictimConfirmed, Cleared]),
        (
            FaultKind::RollingRestart,
            vec![VictimConfirmed, Cleared, Asked, Active, Cleared, Asked, Active, Cleared],
        ),
        (FaultKind::KillRepeat, vec![VictimConfirmed, Asked, Active, Asked, Active]),
        (FaultKind::RestartAll, vec![VictimConfirmed, Cleared]),
    ] {
        let mut told = Told::new();
        let fault =
            broken(injector(kind, kind.default_victim(), &launched), kind.default_victim(), &mut told);
        launched.check().unwrap();
        cleared(fault, &mut told);
        show(kind, &told);
        let stages: Vec<FaultStage> = told.iter().map(|(stage, ..)| *stage).collect();
        assert_eq!(stages, [&[Prepared, Asked, Active][..], &middle, &[ClearAsked, Cleared]].concat());
        let all = injector(FaultKind::Kill, Victim::Any, &launched);
        choose(&all, Victim::Leader);
    }

    let mut told = Told::new();
    let mut fault =
        broken(injector(FaultKind::Kill, Victim::Follower, &launched), Victim::Follower, &mut told);
    let home = &launched.members[told[0].1[0]].dir;
    std::fs::remove_dir_all(home.join("data/version-2")).unwrap();
    let error = fault.clear(&mut |_, _, _| {}).unwrap_err();
    assert!(matches!(error, FaultError::DataGone { .. }), "{error}");
}

/// What is in the memory of such a member is gone then; its addresses stay.
#[test]
fn an_embedded_member_comes_back_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let launched =
        Arc::new(own::start(Kind::Embedded, 1, dir.path(), &BTreeMap::new(), QUORUMETER.as_ref()).unwrap());
    let admin = launched.members[0].admin.unwrap();
    let pid = launched.pid(1).unwrap();
    for kind in [FaultKind::Kill, FaultKind::Pause, FaultKind::Restart] {
        let mut told = Told::new();
        let mut fault = injector(kind, Victim::Leader, &launched);
        let mut tell = |stage, victims: &[usize], detail: &str| {
            told.push((stage, victims.to_vec(), detail.to_owned(), Duration::ZERO));
        };
        fault.prepare(&[0], &mut tell).unwrap();
        fault.inject(&mut tell).unwrap();
        fault.prove_active(LIMIT, &mut tell).unwrap();
        fault.confirm_victim(&mut tell).unwrap();
        // The thread that starts it again ends at once, and it lives on.
        std::thread::scope(|threads| threads.spawn(|| cleared(fault, &mut told)).join().unwrap());
        assert!(told.last().unwrap().2.ends_with("serves as standalone"), "{told:?}");
        assert!(std::net::TcpStream::connect(admin).is_ok(), "its AdminServer is back, too");
    }
    assert!(launched.pid(1).is_some_and(|now| now != pid), "{:?}", launched.state(1));
    launched.check().unwrap();
}
