//! Faults of members that are processes of this test's own, and of ones that do as a file says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorumeter_record::FaultStage;
use quorumeter_targets::session::Member;
use quorumeter_zk::ErrorCode;
use quorumeter_zk::connect::{ConnectResponse, PASSWORD_LEN};
use quorumeter_zk::four_letter::{Mode, NOT_SERVING, Srvr};
use quorumeter_zk::reply::ReplyHeader;

use super::*;
use crate::embedded;
use crate::launch::child::{ChildSpec, Children, State, Wrapper};
use crate::launch::ports::free_port;
use crate::launch::{self, DataDirLock, Fsync, Kind, Launched};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// What was told.
type Told = Vec<(FaultStage, Vec<usize>, String)>;

fn stages(told: &Told) -> Vec<FaultStage> {
    told.iter().map(|(stage, ..)| *stage).collect()
}

/// Calls with something that keeps what it is told.
fn telling<T>(told: &mut Told, call: impl FnOnce(Tell<'_>) -> T) -> T {
    call(&mut |stage, victims, detail| told.push((stage, victims.to_vec(), detail.to_owned())))
}

// ---- Members that are processes.

const ADDRESS: &str = "QUORUMETER_TEST_MEMBER_ADDRESS";

/// Not a test of its own: what the child processes of the tests below run.
#[test]
fn member_process() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let options = embedded::Options { address: address.parse().unwrap(), ..embedded::Options::default() };
    if let Err(error) = embedded::serve(options) {
        eprintln!("cannot serve: {error}");
        std::process::exit(3);
    }
}

/// An ensemble of standalone members, each of which is this test program.
fn processes(dir: &Path, count: u32, kind: Kind) -> (Arc<Launched>, Vec<Member>) {
    let children = Children::new(Wrapper::None).unwrap();
    let (dir, lock) = DataDirLock::take(dir).unwrap();
    let mut own = Vec::new();
    for id in 1..=count {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let home = dir.join(format!("member-{id}"));
        std::fs::create_dir_all(home.join("data/version-2")).unwrap();
        std::fs::write(home.join("data/version-2/snapshot.0"), "").unwrap();
        let log = home.join("log");
        let program = std::env::current_exe().unwrap();
        let args = ["--exact", "faults::tests::member_process", "--nocapture", "--test-threads=1"];
        let child = children
            .start(ChildSpec {
                name: format!("member {id}"),
                program: "env".into(),
                args: [format!("{ADDRESS}={address}").into(), program.into()]
                    .into_iter()
                    .chain(args.map(Into::into))
                    .collect(),
                dir: home.clone(),
                log: log.clone(),
                announcement: None,
            })
            .unwrap();
        let pid = children.pid(child);
        own.push(launch::Member { id, address, pid, child, dir: home, log, admin: None, secure: None });
    }
    let members: Vec<Member> = own.iter().map(|own| crate::ask::at(own.address)).collect();
    let asker = Asker::new().unwrap();
    let begun = Instant::now();
    for member in &members {
        while let Err(error) = asker.check_serving(member, Duration::from_secs(1)) {
            assert!(begun.elapsed() < LONG, "{error}");
            thread::sleep(Duration::from_millis(5));
        }
    }
    let launched = Launched::new(kind, own, Default::default(), Fsync::Memory, children, lock);
    (Arc::new(launched), members)
}

/// An injector goes from one blocking thread to another.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Injector>();
};

fn injector(kind: FaultKind, victim: Victim, launched: &Arc<Launched>, members: &[Member]) -> Injector {
    Injector::new(kind, victim, members.to_vec(), Means::Launched(launched.clone())).unwrap()
}

#[test]
fn a_member_is_broken_is_proven_to_be_and_serves_again() {
    use FaultStage::*;
    let dir = tempfile::tempdir().unwrap();
    let (launched, members) = processes(dir.path(), 1, Kind::Embedded);
    for (kind, state, how) in [
        (FaultKind::Kill, State::Gone, "refused"),
        (FaultKind::Stop, State::Gone, "refused"),
        (FaultKind::Pause, State::Stopped, "its process is stopped"),
        (FaultKind::Kill, State::Gone, "refused"),
    ] {
        let pid = launched.pid(1).unwrap();
        let mut told = Told::new();
        let mut fault = injector(kind, Victim::Leader, &launched, &members);
        telling(&mut told, |tell| fault.prepare(&[0], tell)).unwrap();
        for _ in 0..2 {
            let asked = Instant::now();
            telling(&mut told, |tell| fault.inject(tell)).unwrap();
            let since = telling(&mut told, |tell| fault.prove_active(LONG, tell)).unwrap();
            assert!(since <= Instant::now() && (since >= asked || told.len() > 3), "{kind}");
            telling(&mut told, |tell| fault.confirm_victim(tell)).unwrap();
        }
        assert_eq!(launched.state(1).unwrap(), state, "{kind}");
        assert_eq!(launched.pid(1), (state == State::Stopped).then_some(pid), "{kind}");
        launched.check().unwrap();
        for _ in 0..2 {
            telling(&mut told, |tell| fault.clear(tell)).unwrap();
            telling(&mut told, |tell| fault.prove_cleared(LONG, tell)).unwrap();
        }
        assert_eq!(
            stages(&told),
            [Prepared, Asked, Active, VictimConfirmed, ClearAsked, Cleared],
            "{kind}: nothing is done or told twice"
        );
        assert!(told.iter().all(|(_, victims, _)| victims == &[0]), "{told:?}");
        assert!(told[2].2.contains(how) && told[5].2.contains("serves as standalone"), "{told:?}");
        assert_eq!(
            (launched.state(1).unwrap(), launched.pid(1) == Some(pid)),
            (State::Running, kind == FaultKind::Pause)
        );
        launched.check().unwrap();
    }
}

#[test]
fn a_fault_of_several_steps_goes_through_all_of_them() {
    use FaultStage::*;
    let dir = tempfile::tempdir().unwrap();
    let (launched, members) = processes(dir.path(), 2, Kind::Embedded);
    let pids = || [1, 2].map(|id| launched.pid(id).unwrap());
    for (kind, victim, steps) in [
        (
            FaultKind::Restart,
            Victim::Number(2),
            vec![(Asked, vec![1]), (Active, vec![1]), (VictimConfirmed, vec![1]), (Cleared, vec![1])],
        ),
        (
            FaultKind::RestartAll,
            Victim::All,
            vec![
                (Asked, vec![0, 1]),
                (Active, vec![0, 1]),
                (VictimConfirmed, vec![0, 1]),
                (Cleared, vec![0, 1]),
            ],
        ),
        (
            FaultKind::RollingRestart,
            Victim::All,
            vec![
                (Asked, vec![0]),
                (Active, vec![0]),
                (VictimConfirmed, vec![0, 1]),
                (Cleared, vec![0]),
                (Asked, vec![1]),
                (Active, vec![1]),
                (Cleared, vec![1]),
            ],
        ),
    ] {
        let before = pids();
        let mut told = Told::new();
        let mut fault = injector(kind, victim, &launched, &members);
        let roles: Vec<Role> = fault.roles(LONG).iter().map(|seen| seen.role).collect();
        let victims = victim.choose(&roles, 1).unwrap();
        telling(&mut told, |tell| fault.prepare(&victims, tell)).unwrap();
        telling(&mut told, |tell| fault.inject(tell)).unwrap();
        telling(&mut told, |tell| fault.prove_active(LONG, tell)).unwrap();
        telling(&mut told, |tell| fault.confirm_victim(tell)).unwrap();
        telling(&mut told, |tell| fault.clear(tell)).unwrap();
        telling(&mut told, |tell| fault.prove_cleared(LONG, tell)).unwrap();
        let seen: Vec<_> = told.iter().map(|(stage, victims, _)| (*stage, victims.clone())).collect();
        let begin = [(Prepared, victims.clone())];
        let end = [(ClearAsked, victims.clone()), (Cleared, victims.clone())];
        assert_eq!(seen, [&begin[..], &steps, &end].concat(), "{kind}: {told:?}");
        for (place, (before, now)) in before.into_iter().zip(pids()).enumerate() {
            assert_eq!(before != now, victims.contains(&place), "{kind}: {place}");
        }
    }
}

#[test]
fn a_member_that_finds_its_port_taken_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let (launched, members) = processes(dir.path(), 1, Kind::Embedded);
    let mut told = Told::new();
    let mut fault = injector(FaultKind::Kill, Victim::Any, &launched, &members);
    telling(&mut told, |tell| fault.prepare(&[0], tell)).unwrap();
    telling(&mut told, |tell| fault.inject(tell)).unwrap();
    telling(&mut told, |tell| fault.prove_active(LONG, tell)).unwrap();
    let _thief = TcpListener::bind(members[0].address).unwrap();
    telling(&mut told, |tell| fault.clear(tell)).unwrap();
    let error = telling(&mut told, |tell| fault.prove_cleared(LONG, tell)).unwrap_err().to_string();
    assert!(error.contains("a port of it is taken by another process"), "{error}");
    assert_eq!(stages(&told).last(), Some(&FaultStage::Failed));
}

#[test]
fn a_member_whose_data_is_gone_is_not_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let (launched, members) = processes(dir.path(), 1, Kind::Zookeeper);
    let mut told = Told::new();
    let mut fault = injector(FaultKind::Kill, Victim::Any, &launched, &members);
    telling(&mut told, |tell| fault.prepare(&[0], tell)).unwrap();
    telling(&mut told, |tell| fault.inject(tell)).unwrap();
    telling(&mut told, |tell| fault.prove_active(LONG, tell)).unwrap();
    let snapshot = launched.members[0].dir.join("data/version-2/snapshot.0");
    std::fs::remove_file(&snapshot).unwrap();
    let error = telling(&mut told, |tell| fault.clear(tell)).unwrap_err().to_string();
    assert!(error.contains("is not started again, as its data is gone"), "{error}");
    assert_eq!(launched.state(1).unwrap(), State::Gone);
    // What could not be done can be done once its reason is gone.
    std::fs::write(&snapshot, "").unwrap();
    telling(&mut told, |tell| fault.clear(tell)).unwrap();
    telling(&mut told, |tell| fault.prove_cleared(LONG, tell)).unwrap();
    use FaultStage::*;
    assert_eq!(stages(&told), [Prepared, Asked, Active, ClearAsked, Failed, Cleared]);
}

#[test]
fn a_member_that_is_paused_goes_on_when_the_fault_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (launched, members) = processes(dir.path(), 1, Kind::Embedded);
    let mut fault = injector(FaultKind::Pause, Victim::Any, &launched, &members);
    telling(&mut Told::new(), |tell| fault.prepare(&[0], tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.inject(tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.prove_active(LONG, tell)).unwrap();
    drop(fault);
    let begun = Instant::now();
    while launched.state(1).unwrap() != State::Running {
        assert!(begun.elapsed() < LONG);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn nothing_is_started_again_after_the_ensemble_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (launched, members) = processes(dir.path(), 1, Kind::Embedded);
    let mut fault = injector(FaultKind::Kill, Victim::Any, &launched, &members);
    telling(&mut Told::new(), |tell| fault.prepare(&[0], tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.inject(tell)).unwrap();
    launched.stop(LONG);
    let error = telling(&mut Told::new(), |tell| fault.clear(tell)).unwrap_err();
    assert!(matches!(error, FaultError::Launch(LaunchError::Stopped)), "{error}");
    assert_eq!(launched.state(1).unwrap(), State::Gone);
    assert!(matches!(launched.kill(2), Err(LaunchError::NoSuchMember { id: 2, members: 1 })));
}

// ---- Members that do as a file says.

/// A member on a thread. Its file holds its role, term and number (`follower 3 2`), `election`, `silent` or `closed`.
struct Actor {
    member: Member,
    file: PathBuf,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Actor {
    fn start(dir: &Path, says: &str) -> Actor {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let file = dir.join(address.to_string());
        std::fs::write(&file, format!("{says}\n")).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (own, ends) = (file.clone(), is_over.clone());
        let thread = thread::spawn(move || {
            // Connections that are not answered stay open.
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let says = line_of(&own);
                match says.as_str() {
                    "silent" => silent.push(stream),
                    "closed" => {
                        // Unread bytes would make a reset of the end.
                        let _ = stream.read(&mut [0; 4]);
                    }
                    says => {
                        // A client that goes away is no failure.
                        let _ = answer(&mut stream, says);
                    }
                }
            }
        });
        Actor { member: crate::ask::at(address), file, is_over, thread: Some(thread) }
    }

    fn say(&self, says: &str) {
        std::fs::write(&self.file, format!("{says}\n")).unwrap();
    }

    fn says(&self) -> String {
        line_of(&self.file)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.member.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Who writes the file makes it empty first.
fn line_of(file: &Path) -> String {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.ends_with('\n') || begun.elapsed() > LONG {
            return text.trim().to_owned();
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn answer(stream: &mut TcpStream, says: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LONG))?;
    let mut front = [0; 4];
    stream.read_exact(&mut front)?;
    let words: Vec<&str> = says.split_whitespace().collect();
    let [role, term, id] = words.as_slice() else { return stream.write_all(NOT_SERVING.as_bytes()) };
    match &front {
        b"conf" => stream.write_all(format!("serverId={id}\n").as_bytes()),
        b"srvr" => {
            let srvr = Srvr {
                version: "3.9.4".to_owned(),
                latency_ms: (0.0, 0.0, 0.0),
                received: 0,
                sent: 0,
                connections: 1,
                outstanding: 0,
                zxid: term.parse::<i64>().unwrap() << 32,
                mode: Mode::from_name(role).unwrap(),
                proposal_sizes: None,
                node_count: 5,
            };
            stream.write_all(srvr.write().as_bytes())
        }
        length => {
            stream.read_exact(&mut vec![0; u32::from_be_bytes(*length) as usize])?;
            let mut out = Vec::new();
            ConnectResponse {
                protocol_version: 0,
                timeout_ms: 4_000,
                session_id: 1,
                password: Some(&[7; PASSWORD_LEN]),
                read_only: Some(false),
            }
            .encode_frame(&mut out);
            stream.write_all(&out)?;
            stream.read_exact(&mut front)?;
            stream.read_exact(&mut vec![0; u32::from_be_bytes(front) as usize])?;
            out.clear();
            ReplyHeader { xid: 1, zxid: 5, err: ErrorCode::OK }.encode_frame(&mut out);
            stream.write_all(&out)
        }
    }
}

fn three(dir: &Path) -> Vec<Actor> {
    ["leader 3 1", "follower 3 2", "follower 3 3"].map(|says| Actor::start(dir, says)).into()
}

fn of(actors: &[Actor]) -> Vec<Member> {
    actors.iter().map(|actor| actor.member.clone()).collect()
}

/// Commands in whose text `FILE` is the victim's file.
fn commands(dir: &Path, fault: &str, clear: Option<&str>) -> Means {
    let file = format!("'{}'/$QUORUMETER_VICTIM", dir.display());
    let text = |command: &str| command.replace("FILE", &file).replace("DIR", &format!("'{}'", dir.display()));
    Means::Commands { fault: text(fault), clear: clear.map(text), timeout: LONG }
}

fn by_commands(
    dir: &Path,
    kind: FaultKind,
    victim: Victim,
    actors: &[Actor],
    fault: &str,
    clear: Option<&str>,
) -> Injector {
    Injector::new(kind, victim, of(actors), commands(dir, fault, clear)).unwrap()
}

#[test]
fn commands_break_and_mend_members_elsewhere() {
    use FaultStage::*;
    let dir = tempfile::tempdir().unwrap();
    let environment =
        "echo $QUORUMETER_VICTIM $QUORUMETER_ROLE $QUORUMETER_FAULT $QUORUMETER_MEMBERS >> DIR/told; ";
    for (kind, says, how) in [
        (FaultKind::Kill, "closed", "closed the connection without an answer"),
        (FaultKind::Stop, "closed", "closed the connection without an answer"),
        (FaultKind::Pause, "silent", "has not answered for 300 ms"),
        (FaultKind::Command, "silent", "has not answered for 300 ms"),
        (FaultKind::Command, "closed", "without an answer"),
        (FaultKind::Command, "election", "not serving"),
        (FaultKind::Command, "follower 4 1", "it was leader and is follower"),
        (FaultKind::Command, "leader 4 1", "it was leader in term 3, and is in term 4"),
    ] {
        let actors = three(dir.path());
        let (fault, clear) = (format!("{environment} echo {says} > FILE"), "echo follower 4 1 > FILE");
        let mut fault = by_commands(dir.path(), kind, Victim::Leader, &actors, &fault, Some(clear));
        let mut told = Told::new();
        telling(&mut told, |tell| fault.prepare(&[0], tell)).unwrap();
        telling(&mut told, |tell| fault.inject(tell)).unwrap();
        let since = telling(&mut told, |tell| fault.prove_active(LONG, tell)).unwrap();
        // What did not answer was in effect when it was asked.
        assert!(says != "silent" || since.elapsed() >= Duration::from_millis(300), "{kind}");
        telling(&mut told, |tell| fault.confirm_victim(tell)).unwrap();
        telling(&mut told, |tell| fault.clear(tell)).unwrap();
        telling(&mut told, |tell| fault.prove_cleared(LONG, tell)).unwrap();
        assert_eq!(
            stages(&told),
            [Prepared, Asked, Active, VictimConfirmed, ClearAsked, Cleared],
            "{told:?}"
        );
        assert!(told[2].2.contains(how), "{told:?}");
        assert!(told[5].2.ends_with("serves as follower"), "{told:?}");
        let all: Vec<String> = actors.iter().map(|actor| actor.member.address.to_string()).collect();
        let line = std::fs::read_to_string(dir.path().join("told")).unwrap();
        assert_eq!(line.lines().last().unwrap(), format!("{} leader {kind} {}", all[0], all.join(",")));
    }
}

#[test]
fn a_fault_that_nobody_sees_is_not_proven() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, fault, seen) in [
        (FaultKind::Command, "true", "it answers as before, as leader in term 3"),
        (FaultKind::Kill, "true", "it answers as leader"),
        (FaultKind::Kill, "echo election > FILE", "it answers"),
        (FaultKind::Kill, "echo silent > FILE", "has not answered"),
        (FaultKind::Pause, "echo closed > FILE", "is gone"),
    ] {
        let actors = three(dir.path());
        let mut fault = by_commands(dir.path(), kind, Victim::Leader, &actors, fault, Some("true"));
        let mut told = Told::new();
        telling(&mut told, |tell| fault.prepare(&[0], tell)).unwrap();
        telling(&mut told, |tell| fault.inject(tell)).unwrap();
        let error = telling(&mut told, |tell| fault.prove_active(SHORT, tell)).unwrap_err();
        assert!(matches!(error, FaultError::NotProven { .. }), "{error}");
        assert!(error.to_string().contains(seen), "{kind}: {error}");
        use FaultStage::*;
        assert_eq!(stages(&told), [Prepared, Asked, Failed]);
    }
}

#[test]
fn commands_that_fail_or_hang_are_told_without_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let actors = three(dir.path());
    let start = |fault: &str, clear: &str, timeout| {
        let Means::Commands { fault, clear, .. } = commands(dir.path(), fault, Some(clear)) else {
            unreachable!()
        };
        let means = Means::Commands { fault, clear, timeout };
        let mut fault = Injector::new(FaultKind::Kill, Victim::Leader, of(&actors), means).unwrap();
        telling(&mut Told::new(), |tell| fault.prepare(&[0], tell)).unwrap();
        telling(&mut Told::new(), |tell| fault.inject(tell)).unwrap();
        fault
    };
    let leader = actors[0].member.address;
    for (command, timeout, expected) in [
        ("secret=hunter22; echo no such host >&2; exit 4", LONG, "it failed (exit status: 4): no such host"),
        ("secret=hunter22; sleep 600", SHORT, "it did not end within 0.1 s, and was killed"),
        // It has done its work, and hangs all the same.
        ("secret=hunter22; echo closed > FILE; sleep 600", Duration::from_millis(400), "was killed"),
    ] {
        let mut fault = start(command, "echo leader 3 1 > FILE", timeout);
        let error = telling(&mut Told::new(), |tell| fault.prove_active(LONG, tell)).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.starts_with(&format!("the fault command for {leader}: ")),
            "{error}"
        );
        assert!(!error.contains("hunter22") && !format!("{fault:?}").contains("hunter22"), "{error}");
        // The time-out is one for both commands, and may be too short for the other.
        drop(fault);
        actors[0].say("leader 3 1");
    }
    // The first time it fails, and so it is run a second time.
    let clear = "[ -e DIR/again ] || { touch DIR/again; exit 5; }; echo leader 3 1 > FILE";
    let mut fault = start("echo closed > FILE", clear, LONG);
    telling(&mut Told::new(), |tell| fault.prove_active(LONG, tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.clear(tell)).unwrap();
    let error = telling(&mut Told::new(), |tell| fault.prove_cleared(LONG, tell)).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("the clear command for {leader}: it failed (exit status: 5)")),
        "{error}"
    );
    telling(&mut Told::new(), |tell| fault.clear(tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.prove_cleared(LONG, tell)).unwrap();
    assert_eq!(actors[0].says(), "leader 3 1");
}

#[test]
fn a_fault_that_is_dropped_is_cleared_by_its_command() {
    let dir = tempfile::tempdir().unwrap();
    let actors = three(dir.path());
    let mut fault = by_commands(
        dir.path(),
        FaultKind::Kill,
        Victim::Leader,
        &actors,
        "echo closed > FILE",
        Some("echo follower 4 1 > FILE"),
    );
    telling(&mut Told::new(), |tell| fault.prepare(&[0], tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.inject(tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.prove_active(LONG, tell)).unwrap();
    assert_eq!(actors[0].says(), "closed");
    drop(fault);
    assert_eq!(actors[0].says(), "follower 4 1");
}

#[test]
fn a_victim_that_does_not_lead_any_more_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let actors = three(dir.path());
    let mut fault =
        by_commands(dir.path(), FaultKind::Kill, Victim::Leader, &actors, "echo closed > FILE", Some("true"));
    let mut told = Told::new();
    telling(&mut told, |tell| fault.prepare(&[0], tell)).unwrap();
    actors[0].say("follower 4 1");
    let error = telling(&mut told, |tell| fault.inject(tell)).unwrap_err().to_string();
    assert!(error.contains("is follower, and was to be leader; nothing was done to it"), "{error}");
    use FaultStage::*;
    assert_eq!(stages(&told), [Prepared, WrongVictim]);
    assert_eq!(actors[0].says(), "follower 4 1");
    // And so there is nothing to clear.
    telling(&mut told, |tell| fault.clear(tell)).unwrap();
    assert_eq!(told.len(), 2);
}

#[test]
fn another_member_that_leads_at_once_makes_the_victim_the_wrong_one() {
    let dir = tempfile::tempdir().unwrap();
    // In term 2 it led before the victim did, and has not noticed.
    for (says, is_at_once, is_wrong) in [
        ("leader 4 2", true, true),
        ("leader 3 2", true, true),
        ("leader 2 2", true, false),
        ("follower 3 2", true, false),
        ("leader 4 2", false, false),
    ] {
        let actors = three(dir.path());
        let broken = "echo closed > FILE";
        let mut fault =
            by_commands(dir.path(), FaultKind::Command, Victim::Leader, &actors, broken, Some("true"));
        let mut told = Told::new();
        telling(&mut told, |tell| fault.prepare(&[0], tell)).unwrap();
        telling(&mut told, |tell| fault.inject(tell)).unwrap();
        telling(&mut told, |tell| fault.prove_active(LONG, tell)).unwrap();
        actors[1].say(says);
        // Whatever the machine's speed, the answer comes before an election could be over, or after it.
        let now = Instant::now();
        fault.asked = Some(if is_at_once { now + LONG } else { now - Duration::from_millis(200) });
        for _ in 0..2 {
            let confirmed = telling(&mut told, |tell| fault.confirm_victim(tell));
            assert_eq!(confirmed.is_err(), is_wrong, "{says}: {confirmed:?}");
            if let Err(error) = confirmed {
                assert!(
                    error.to_string().contains("sooner after the fault than an election takes"),
                    "{error}"
                );
            }
        }
        let stage = if is_wrong { FaultStage::WrongVictim } else { FaultStage::VictimConfirmed };
        assert_eq!(stages(&told)[3..], [stage], "{told:?}");
    }
}

#[test]
fn a_member_that_comes_back_as_another_one_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let actors = three(dir.path());
    let clear = "echo follower 4 7 > FILE";
    let mut fault =
        by_commands(dir.path(), FaultKind::Kill, Victim::Leader, &actors, "echo closed > FILE", Some(clear));
    telling(&mut Told::new(), |tell| fault.prepare(&[0], tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.inject(tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.prove_active(LONG, tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.clear(tell)).unwrap();
    let error = telling(&mut Told::new(), |tell| fault.prove_cleared(LONG, tell)).unwrap_err().to_string();
    assert!(error.contains("came back as another member: its serverId was 1 and is 7"), "{error}");
}

#[test]
fn a_member_that_does_not_come_back_is_said_to_and_waiting_can_be_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    for (clear, reason) in [
        ("true", "srvr: "),
        ("echo election > FILE", "not serving requests"),
        ("echo read-only 3 1 > FILE", "its mode is read-only"),
    ] {
        let actors = three(dir.path());
        let mut fault = by_commands(
            dir.path(),
            FaultKind::Kill,
            Victim::Leader,
            &actors,
            "echo closed > FILE",
            Some(clear),
        );
        telling(&mut Told::new(), |tell| fault.prepare(&[0], tell)).unwrap();
        telling(&mut Told::new(), |tell| fault.inject(tell)).unwrap();
        telling(&mut Told::new(), |tell| fault.prove_active(LONG, tell)).unwrap();
        telling(&mut Told::new(), |tell| fault.clear(tell)).unwrap();
        let begun = Instant::now();
        while clear != "true" && actors[0].says() == "closed" {
            assert!(begun.elapsed() < LONG);
            thread::sleep(Duration::from_millis(1));
        }
        let limit = Duration::from_millis(500);
        let error =
            telling(&mut Told::new(), |tell| fault.prove_cleared(limit, tell)).unwrap_err().to_string();
        assert!(error.contains("does not serve again within 0.5 s") && error.contains(reason), "{error}");

        let interruption = fault.interruption();
        interruption.store(true, Ordering::Relaxed);
        let error = telling(&mut Told::new(), |tell| fault.prove_cleared(LONG, tell)).unwrap_err();
        assert!(matches!(error, FaultError::Interrupted), "{error}");
    }
}

#[test]
fn members_restart_one_after_the_other_the_leader_last() {
    use FaultStage::*;
    let dir = tempfile::tempdir().unwrap();
    let actors = three(dir.path());
    // Whoever comes back follows; what the leader was, the first one becomes.
    let clear = "[ $QUORUMETER_ROLE = leader ] && for f in DIR/*:*; do [ $f != FILE ] && echo leader 4 9 > $f; break; done; \
                 echo follower 4 9 > FILE";
    let all = |role: &str| actors.iter().filter(|actor| actor.says().starts_with(role)).count();
    let fault_command = "echo was $(cat FILE) >> DIR/order; echo closed > FILE";
    // The numbers of the members are not looked at here: they do not stay the same.
    actors.iter().for_each(|actor| actor.say(&format!("{} 9", actor.says().rsplit_once(' ').unwrap().0)));
    let mut fault =
        by_commands(dir.path(), FaultKind::RollingRestart, Victim::All, &actors, fault_command, Some(clear));
    let mut told = Told::new();
    telling(&mut told, |tell| fault.prepare(&[0, 1, 2], tell)).unwrap();
    telling(&mut told, |tell| fault.inject(tell)).unwrap();
    telling(&mut told, |tell| fault.prove_active(LONG, tell)).unwrap();
    let steps: Vec<_> = told[1..].iter().filter(|(stage, ..)| *stage != VictimConfirmed).collect();
    let order: Vec<_> = steps.iter().map(|(stage, victims, _)| (*stage, victims[0])).collect();
    let step = |victim| [(Asked, victim), (Active, victim), (Cleared, victim)];
    assert_eq!(order, [step(1), step(2), step(0)].concat());
    let order = std::fs::read_to_string(dir.path().join("order")).unwrap();
    assert_eq!(order, "was follower 3 9\nwas follower 3 9\nwas leader 3 9\n");
    assert_eq!(all("closed"), 0);
}

#[test]
fn each_new_leader_is_killed_once_it_serves() {
    use FaultStage::*;
    let dir = tempfile::tempdir().unwrap();
    let actors = three(dir.path());
    actors.iter().for_each(|actor| actor.say(&format!("{} 9", actor.says().rsplit_once(' ').unwrap().0)));
    // The first other member that is up leads, a moment later.
    let elect = "echo closed > FILE; sleep 0.3; for f in DIR/*:*; do \
                 [ $f != FILE ] && grep -q follower $f && { echo leader 4 9 > $f; break; }; done; true";
    let mut fault = by_commands(
        dir.path(),
        FaultKind::KillRepeat,
        Victim::Leader,
        &actors,
        elect,
        Some("echo follower 4 9 > FILE"),
    );
    let mut told = Told::new();
    telling(&mut told, |tell| fault.prepare(&[0], tell)).unwrap();
    telling(&mut told, |tell| fault.inject(tell)).unwrap();
    telling(&mut told, |tell| fault.prove_active(LONG, tell)).unwrap();
    assert_eq!(
        stages(&told),
        [Prepared, Asked, Active, VictimConfirmed, Asked, Active, Asked, Active],
        "{told:?}"
    );
    let victims: Vec<usize> = [1, 4, 6].map(|place| told[place].1[0]).into();
    assert!(victims[0] == 0 && victims[1] != victims[0] && victims[2] != victims[1], "{victims:?}");
    let down: Vec<_> = (0..3).filter(|place| actors[*place].says() == "closed").collect();
    assert_eq!(down, [victims[2]], "the earlier ones are back");
    telling(&mut told, |tell| fault.clear(tell)).unwrap();
    telling(&mut told, |tell| fault.prove_cleared(LONG, tell)).unwrap();
    let (stage, cleared, _) = told.last().unwrap();
    let hit: std::collections::BTreeSet<usize> = victims.into_iter().collect();
    assert_eq!((*stage, cleared.clone()), (Cleared, hit.into_iter().collect::<Vec<_>>()));
}

// ---- Connections of the load, and what cannot be done.

#[test]
fn connections_that_were_reset_prove_the_fault_and_none_do_not() {
    use FaultStage::*;
    let dir = tempfile::tempdir().unwrap();
    let actors = three(dir.path());
    for (kind, victim, victims, expected) in [
        (FaultKind::Reset, Victim::Majority, vec![0, 2], "0 2"),
        (FaultKind::SessionStorm, Victim::All, vec![0, 1, 2], "all"),
    ] {
        for count in [0, 3] {
            let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
            let asked = calls.clone();
            let means = Means::Client(Box::new(move |member: Option<usize>| {
                asked.lock().unwrap().push(member.map_or("all".to_owned(), |member| member.to_string()));
                Ok(count)
            }));
            let mut fault = Injector::new(kind, victim, of(&actors), means).unwrap();
            let mut told = Told::new();
            telling(&mut told, |tell| fault.prepare(&victims, tell)).unwrap();
            telling(&mut told, |tell| fault.inject(tell)).unwrap();
            assert_eq!(calls.lock().unwrap().join(" "), expected);
            let proven = telling(&mut told, |tell| fault.prove_active(SHORT, tell));
            if count == 0 {
                let error = proven.unwrap_err().to_string();
                assert!(error.contains("has reset no connection"), "{error}");
                continue;
            }
            proven.unwrap();
            telling(&mut told, |tell| fault.confirm_victim(tell)).unwrap();
            telling(&mut told, |tell| fault.clear(tell)).unwrap();
            telling(&mut told, |tell| fault.prove_cleared(LONG, tell)).unwrap();
            assert_eq!(stages(&told), [Prepared, Asked, Active, VictimConfirmed, ClearAsked, Cleared]);
            assert!(told[2].2.ends_with("connections were reset"), "{told:?}");
        }
    }
}

#[test]
fn a_victim_of_a_reset_is_asked_itself() {
    let dir = tempfile::tempdir().unwrap();
    let actors = three(dir.path());
    let count = Arc::new(AtomicU32::new(0));
    let (file, counted) = (actors[0].file.clone(), count.clone());
    let means = Means::Client(Box::new(move |_| {
        std::fs::write(&file, "follower 4 1\n").unwrap();
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(1)
    }));
    let mut fault = Injector::new(FaultKind::Reset, Victim::Leader, of(&actors), means).unwrap();
    telling(&mut Told::new(), |tell| fault.prepare(&[0], tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.inject(tell)).unwrap();
    telling(&mut Told::new(), |tell| fault.prove_active(SHORT, tell)).unwrap();
    let error = telling(&mut Told::new(), |tell| fault.confirm_victim(tell)).unwrap_err().to_string();
    assert!(error.contains("is leader before the fault, and does not lead now"), "{error}");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn what_cannot_be_done_is_skipped_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let actors = three(dir.path());
    let client = || Means::Client(Box::new(|_| Ok(1)));
    for (kind, means, reason) in [
        (FaultKind::Pause, client(), "cannot be done by connections of the load"),
        (FaultKind::Reset, commands(dir.path(), "true", Some("true")), "only be done by the load itself"),
        (FaultKind::Kill, commands(dir.path(), "true", None), "none was given for that"),
    ] {
        let mut fault = Injector::new(kind, Victim::Any, of(&actors), means).unwrap();
        let mut told = Told::new();
        let error = telling(&mut told, |tell| fault.prepare(&[0], tell)).unwrap_err();
        assert!(matches!(&error, FaultError::Skipped(why) if why.contains(reason)), "{error}");
        assert_eq!(stages(&told), [FaultStage::Skipped]);
    }
    let mut fault = by_commands(dir.path(), FaultKind::Kill, Victim::Any, &actors, "true", Some("true"));
    let error = telling(&mut Told::new(), |tell| fault.inject(tell)).unwrap_err();
    assert!(matches!(error, FaultError::TooEarly("prepared")), "{error}");
    let error = telling(&mut Told::new(), |tell| fault.prove_active(SHORT, tell)).unwrap_err();
    assert!(matches!(error, FaultError::TooEarly("injected")), "{error}");
    let error = telling(&mut Told::new(), |tell| fault.prepare(&[3], tell)).unwrap_err().to_string();
    assert!(error.contains("no member 4"), "{error}");
    actors[1].say("election");
    let error = telling(&mut Told::new(), |tell| fault.prepare(&[1], tell)).unwrap_err().to_string();
    assert!(error.contains("does not serve before the fault"), "{error}");
}

#[test]
fn roles_are_those_that_the_members_tell() {
    let dir = tempfile::tempdir().unwrap();
    let actors: Vec<Actor> = ["follower 3 1", "leader 3 2", "closed", "observer 2 4"]
        .map(|says| Actor::start(dir.path(), says))
        .into();
    let seen = roles(&of(&actors), LONG).unwrap();
    let told: Vec<_> = seen.iter().map(|seen| (seen.role, seen.term())).collect();
    assert_eq!(
        told,
        [
            (Some(Mode::Follower), Some(3)),
            (Some(Mode::Leader), Some(3)),
            (None, None),
            (Some(Mode::Observer), Some(2))
        ]
    );
}
