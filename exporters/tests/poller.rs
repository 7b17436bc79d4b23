//! The poller against members that are scripts on loopback.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use quorumeter_exporters::poller::{PERIOD_MAX, PERIOD_MIN};
use quorumeter_exporters::{PolledMember, Poller};
use quorumeter_record::{MemberLine, ProcessUse};
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

const SRVR: &str = include_str!("answers/3.9.4/leader.srvr");
const MNTR: &str = include_str!("answers/3.9.4/leader.mntr");
const ZABSTATE: &str = include_str!("answers/3.9.4/leader.zabstate");
const FOLLOWER: &str = include_str!("answers/3.9.4/follower.srvr");
const NOT_SERVING: &str = include_str!("answers/3.9.4/looking.srvr");

/// More than any test waits for anything that is to come.
const LIMIT: Duration = Duration::from_secs(30);

fn on_a_local_runtime(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { timeout(LIMIT, test).await.expect("the test ends in time") });
}

/// What a member does with a question.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    /// It answers `srvr` so, and `mntr` and `zabstate` as a leader does.
    Answers(&'static str),
    /// It takes the question, and says nothing.
    Hangs,
    /// It closes the connection.
    Closes,
    /// It never stops.
    Babbles,
    /// It does not answer `mntr`.
    RefusesMntr,
}

/// A member that is a script, and what it was asked.
struct Script {
    manner: Cell<Manner>,
    /// Questions so far, by what was asked.
    asked: RefCell<BTreeMap<String, usize>>,
    /// Questions that are open, and the most that were at a time.
    open: Cell<(usize, usize)>,
    /// Told when the manner has changed.
    changed: Notify,
    address: SocketAddr,
}

impl Script {
    async fn start(manner: Manner) -> Rc<Script> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let script = Rc::new(Script {
            manner: Cell::new(manner),
            asked: RefCell::default(),
            open: Cell::default(),
            changed: Notify::new(),
            address: listener.local_addr().unwrap(),
        });
        let serving = Rc::clone(&script);
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = Rc::clone(&serving);
                spawn_local(async move {
                    let (open, most) = script.open.get();
                    script.open.set((open + 1, most.max(open + 1)));
                    script.serve(stream).await;
                    let (open, most) = script.open.get();
                    script.open.set((open - 1, most));
                });
            }
        });
        script
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut question = [0; 1024];
        let Ok(length) = stream.read(&mut question).await else { return };
        let question = String::from_utf8_lossy(&question[..length]).into_owned();
        let question = question.strip_prefix("GET /commands/").unwrap_or(&question);
        let question = question.split(' ').next().unwrap();
        *self.asked.borrow_mut().entry(question.to_owned()).or_default() += 1;
        loop {
            let srvr = match self.manner.get() {
                Manner::Answers(srvr) => srvr,
                Manner::RefusesMntr => SRVR,
                Manner::Closes => return,
                Manner::Babbles => {
                    while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
                    return;
                }
                Manner::Hangs => {
                    let mut more = [0; 1];
                    tokio::select! {
                        () = self.changed.notified() => continue,
                        // Whoever asked has gone.
                        _ = stream.read(&mut more) => return,
                    }
                }
            };
            let answer = match question {
                "srvr" => srvr.to_owned(),
                "mntr" if self.manner.get() == Manner::RefusesMntr => {
                    "mntr is not executed because it is not in the whitelist.\n".to_owned()
                }
                "mntr" => MNTR.to_owned(),
                "zabstate" => {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{ZABSTATE}", ZABSTATE.len())
                }
                other => panic!("{other:?} was asked"),
            };
            let _ = stream.write_all(answer.as_bytes()).await;
            return;
        }
    }

    fn becomes(&self, manner: Manner) {
        self.manner.set(manner);
        self.changed.notify_waiters();
    }

    fn asked(&self, question: &str) -> usize {
        self.asked.borrow().get(question).copied().unwrap_or(0)
    }
}

fn polled(address: SocketAddr, admin: Option<SocketAddr>) -> PolledMember {
    PolledMember { member: Member { name: address.to_string(), address, tls: None }, admin }
}

/// The lines that a poller has made.
#[derive(Clone, Default)]
struct Lines {
    lines: Rc<RefCell<Vec<MemberLine>>>,
    more: Rc<Notify>,
}

impl Lines {
    fn poll(&self, members: &[PolledMember], period: Duration, clock: Clock) -> Poller {
        let lines = self.clone();
        let process = |_: &Member| Some(ProcessUse { cpu_ns: 7, ..ProcessUse::default() });
        Poller::start(members, period, clock, process, move |line| {
            lines.lines.borrow_mut().push(line);
            lines.more.notify_one();
        })
    }

    fn of(&self, address: SocketAddr) -> Vec<MemberLine> {
        let address = address.to_string();
        self.lines.borrow().iter().filter(|line| line.member == address).cloned().collect()
    }

    /// Waits for a line of a member.
    async fn wait(&self, address: SocketAddr, is_it: impl Fn(&MemberLine) -> bool) -> MemberLine {
        loop {
            if let Some(line) = self.of(address).into_iter().rev().find(&is_it) {
                return line;
            }
            self.more.notified().await;
        }
    }

    /// Waits until a member has this many lines.
    async fn wait_for(&self, address: SocketAddr, count: usize) -> Vec<MemberLine> {
        loop {
            let lines = self.of(address);
            if lines.len() >= count {
                return lines;
            }
            self.more.notified().await;
        }
    }
}

#[test]
fn one_line_has_what_three_questions_told() {
    on_a_local_runtime(async {
        let clock = Clock::start();
        let (member, admin) =
            (Script::start(Manner::Answers(SRVR)).await, Script::start(Manner::Answers("")).await);
        let without_admin = Script::start(Manner::Answers(SRVR)).await;
        let lines = Lines::default();
        let members = [polled(member.address, Some(admin.address)), polled(without_admin.address, None)];
        let _poller = lines.poll(&members, PERIOD_MAX, clock);
        let line = lines.wait(member.address, |_| true).await;
        assert_eq!(line.role.as_deref(), Some("leader"));
        assert_eq!((line.term, line.zxid), (Some(3), Some(0x3_0000_00f8)));
        assert_eq!((line.zab_state.as_deref(), line.synced_followers), (Some("broadcast"), Some(2)));
        assert_eq!(line.elections.unwrap().count, 2);
        assert_eq!(line.process.as_ref().unwrap().cpu_ns, 7);
        assert!(line.answer_ns.unwrap() > 0 && line.answer_ns.unwrap() <= line.t_ns, "{line:?}");
        assert!(line.t_ns <= clock.now_ns());
        assert_eq!([member.asked("srvr"), member.asked("mntr"), admin.asked("zabstate")], [1; 3]);
        // It tells the state in `mntr`.
        let line = lines.wait(without_admin.address, |_| true).await;
        assert_eq!(line.zab_state.as_deref(), Some("broadcast"));
    });
}

#[test]
fn a_member_that_hangs_delays_no_other_and_is_asked_once() {
    on_a_local_runtime(async {
        let clock = Clock::start();
        let (good, hung) = (Script::start(Manner::Answers(SRVR)).await, Script::start(Manner::Hangs).await);
        let lines = Lines::default();
        let members = [polled(hung.address, None), polled(good.address, None)];
        let poller = lines.poll(&members, PERIOD_MIN, clock);
        let silent = lines.wait_for(hung.address, 10).await;
        for line in &silent {
            assert_eq!((&line.role, line.answer_ns, line.zxid), (&None, None, None));
        }
        // The first of them took the whole patience, ten periods, in which the other has answered.
        let first_ns = silent[0].t_ns;
        assert!(first_ns >= 10 * PERIOD_MIN.as_nanos() as u64, "{first_ns}");
        let before = lines.of(good.address).iter().filter(|line| line.t_ns < first_ns).count();
        assert!(before >= 1, "{before} lines while the other hung");
        assert_eq!([hung.asked("srvr"), hung.asked("mntr")], [1; 2]);

        hung.becomes(Manner::Answers(SRVR));
        let late = lines.wait(hung.address, |line| line.role.is_some()).await;
        // The question is the one that was asked at the start.
        assert!(late.answer_ns.unwrap() >= silent.last().unwrap().t_ns - first_ns, "{late:?}");
        assert_eq!(
            late.synced_followers,
            Some(2),
            "the answer to `mntr` was asked for and waited for as long"
        );
        let next = lines.wait(hung.address, |line| line.role.is_some() && line.t_ns > late.t_ns).await;
        assert!(next.t_ns - next.answer_ns.unwrap() >= late.t_ns, "it is asked anew: {next:?}");
        assert_eq!(hung.open.get().1, 2, "one `srvr` and one `mntr` at a time");

        // A request is answered in time, and says that there is no answer.
        hung.becomes(Manner::Hangs);
        let now_ns = clock.now_ns();
        let asked = poller.poll_now().await;
        assert_eq!(asked.len(), 2);
        assert_eq!((&asked[0].member, asked[0].answer_ns), (&hung.address.to_string(), None));
        assert_eq!(asked[1].role.as_deref(), Some("leader"));
        assert!(asked[1].t_ns - asked[1].answer_ns.unwrap() >= now_ns, "asked after the request");
    });
}

#[test]
fn an_adminserver_that_hangs_delays_one_poll_and_what_it_says_late_is_not_taken_for_new() {
    on_a_local_runtime(async {
        let clock = Clock::start();
        let (member, admin) =
            (Script::start(Manner::Answers(SRVR)).await, Script::start(Manner::Hangs).await);
        let lines = Lines::default();
        let _poller = lines.poll(&[polled(member.address, Some(admin.address))], PERIOD_MIN, clock);
        let told = lines.wait_for(member.address, 6).await;
        assert!(told.iter().all(|line| line.role.is_some() && line.answer_ns.is_some()), "{told:?}");
        // `mntr` of the first poll has the state.
        assert!(told[1..].iter().all(|line| line.zab_state.is_none()), "{told:?}");
        assert_eq!(admin.asked("zabstate"), 1);
        let released_ns = clock.now_ns();
        admin.becomes(Manner::Answers(""));
        let line =
            lines.wait(member.address, |line| line.t_ns > released_ns && line.zab_state.is_some()).await;
        assert!(admin.asked("zabstate") >= 2, "{line:?}");
        assert!(line.t_ns - line.answer_ns.unwrap() >= told.last().unwrap().t_ns, "{line:?}");
    });
}

#[test]
fn zabstate_is_asked_when_a_role_is_new_or_missing() {
    on_a_local_runtime(async {
        let (member, admin) =
            (Script::start(Manner::Answers(SRVR)).await, Script::start(Manner::Answers("")).await);
        let lines = Lines::default();
        let members = [polled(member.address, Some(admin.address))];
        let _poller = lines.poll(&members, PERIOD_MIN, Clock::start());
        let told = lines.wait_for(member.address, 12).await;
        let full = told.iter().filter(|line| line.process.is_some()).count();
        assert_eq!(told.iter().filter(|line| line.zab_state.is_some()).count(), full, "{told:?}");

        member.becomes(Manner::Answers(NOT_SERVING));
        // Not in every poll, but again and again.
        let tells = |line: &MemberLine| line.zab_state.is_some();
        let out = lines.wait(member.address, |line| line.role.is_none() && tells(line)).await;
        lines.wait(member.address, |line| line.role.is_none() && tells(line) && line.t_ns > out.t_ns).await;
        member.becomes(Manner::Answers(FOLLOWER));
        let is_again = |line: &MemberLine| line.role.as_deref() == Some("follower") && tells(line);
        let again = lines.wait(member.address, is_again).await;
        assert_eq!(again.zab_state.as_deref(), Some("broadcast"));
        let told = lines.of(member.address).into_iter().filter(|line| line.role.is_none() && tells(line));
        let times: Vec<u64> = told
            .inspect(|line| {
                assert_eq!((line.zab_state.as_deref(), line.term), (Some("broadcast"), Some(3)), "{line:?}");
            })
            .map(|line| line.t_ns - line.answer_ns.unwrap())
            .collect();
        // Each line's questions begin with its first.
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 200_000_000), "{times:?}");
    });
}

#[test]
fn what_is_no_answer_is_a_line_without_one() {
    on_a_local_runtime(async {
        let clock = Clock::start();
        let refused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let closes = Script::start(Manner::Closes).await;
        let garbage = Script::start(Manner::Answers("220 mail ESMTP\r\n")).await;
        let endless = Script::start(Manner::Babbles).await;
        let looking = Script::start(Manner::Answers(NOT_SERVING)).await;
        let lines = Lines::default();
        let addresses = [refused, closes.address, garbage.address, endless.address, looking.address];
        let members: Vec<_> = addresses.iter().map(|address| polled(*address, None)).collect();
        let poller = lines.poll(&members, PERIOD_MIN, clock);
        let told = poller.poll_now().await;
        assert_eq!(
            told.iter().map(|line| line.member.clone()).collect::<Vec<_>>(),
            addresses.map(|a| a.to_string())
        );
        for line in &told {
            assert_eq!((&line.role, line.zxid), (&None, None), "{line:?}");
            assert_eq!(line.answer_ns.is_some(), line.member == looking.address.to_string(), "{line:?}");
        }
    });
}

#[test]
fn the_period_changes_at_once_and_mntr_stays_at_once_a_second() {
    on_a_local_runtime(async {
        let clock = Clock::start();
        let member = Script::start(Manner::Answers(SRVR)).await;
        let lines = Lines::default();
        let poller = lines.poll(&[polled(member.address, None)], Duration::MAX, clock);
        lines.wait_for(member.address, 1).await;
        poller.set_period(Duration::ZERO);
        let told = lines.wait_for(member.address, 12).await;
        let (first_ns, last_ns) = (told[0].t_ns, told[11].t_ns);
        // Begun 20 ms apart, the first two apart from the others.
        assert!(last_ns - first_ns > 9 * PERIOD_MIN.as_nanos() as u64, "{first_ns} {last_ns}");
        let full = told.iter().filter(|line| line.elections.is_some()).count() as u64;
        let seconds = (last_ns - first_ns) / PERIOD_MAX.as_nanos() as u64;
        assert!(full <= 1 + seconds + 1, "{full} in {seconds} s");
        assert_eq!(full, told.iter().filter(|line| line.process.is_some()).count() as u64);
        for line in &told {
            let told = |series: &str| line.metrics.get(series).copied();
            let is_full = line.process.as_ref().map(|process| (3.0, process.cpu_ns as f64 / 1e9));
            let (term, cpu) = is_full.unzip();
            assert_eq!(told("quorum_term"), term, "{line:?}");
            assert_eq!(told("quorum_process_cpu_seconds_total"), cpu, "{line:?}");
            assert_eq!(line.metrics.is_empty(), is_full.is_none(), "{line:?}");
            let elections = line.elections.map(|elections| elections.count as f64);
            assert_eq!(told("quorum_election_duration_seconds_count"), elections, "{line:?}");
        }
        assert!(member.open.get().1 <= 2, "one `srvr` and one `mntr` at a time");

        poller.set_period(PERIOD_MAX);
        let before = member.asked("mntr");
        poller.poll_now().await;
        assert_eq!(member.asked("mntr"), before + 1, "a request has `mntr`");
        drop(poller);
        // What was open is given up.
        while member.open.get().0 > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let count = lines.of(member.address).len();
        sleep(2 * PERIOD_MIN).await;
        assert_eq!(lines.of(member.address).len(), count, "no line after the poller");
    });
}

#[test]
fn a_member_that_may_not_answer_mntr_is_asked_it_once() {
    on_a_local_runtime(async {
        let member = Script::start(Manner::RefusesMntr).await;
        let lines = Lines::default();
        let poller = lines.poll(&[polled(member.address, None)], PERIOD_MAX, Clock::start());
        for _ in 0..3 {
            let told = poller.poll_now().await;
            assert_eq!((told[0].role.as_deref(), told[0].elections), (Some("leader"), None));
        }
        assert_eq!(member.asked("mntr"), 1);
    });
}
