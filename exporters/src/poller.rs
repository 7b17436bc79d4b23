//! Asking every member again and again.

mod question;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use quorumeter_record::{MemberLine, ProcessUse};
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use quorumeter_targets::zookeeper::admin::{self, AdminError};
use quorumeter_targets::zookeeper::admin_server;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep_until};

use self::question::{Answer, Question};
use crate::parse_error::ParseError;
use crate::sample::{Role, Sample};
use crate::{record_line, zookeeper};

/// The shortest period between two polls of a member: 50 a second.
pub const PERIOD_MIN: Duration = Duration::from_millis(20);

/// The longest one.
pub const PERIOD_MAX: Duration = Duration::from_secs(1);

/// How long a member may take to answer before there is a line without its answer: at most, and in periods.
const PATIENCE_MAX: Duration = Duration::from_millis(900);
const PATIENCE_PERIODS: u32 = 10;

/// How long a question stays open. A member that hangs keeps every connection that was made to it in its queue, which
/// is also the one of its clients: they must not find it full because of the polls.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// Between two questions for `zabstate`, nanoseconds: an election must not be slower because somebody watches it.
const STATE_PERIOD_NS: u64 = 200_000_000;

/// Between two looks at what costs more: `mntr`, and the process.
const FULL_PERIOD: Duration = Duration::from_secs(1);

/// A member to poll.
#[derive(Debug, Clone)]
pub struct PolledMember {
    /// Where four-letter words are asked, in plain text or over TLS.
    pub member: Member,
    /// Where its AdminServer is, if that is known. No other address is ever connected to.
    pub admin: Option<SocketAddr>,
}

/// Polls members until it is dropped.
///
/// Each poll of a member gives one [`MemberLine`]. What is asked:
///
/// | | when |
/// |---|---|
/// | `srvr` | in every poll |
/// | `mntr`, the process | at most once a second, and when a poll is asked for |
/// | `zabstate` of the AdminServer, where its address is known | when `srvr` tells no role, or one that is new; at most five times a second |
///
/// A member that keeps its role takes part, as `mntr` confirms: `zabstate` in every poll would tell nothing more, at five
/// times the cost of `srvr` to the member.
///
/// Members are polled by tasks of their own: one that hangs delays no other. None is asked a second question of a kind
/// while the first is open.
///
/// `t_ns` is when the last of the answers was complete and `answer_ns` how long ago the first question was asked: what
/// a line tells is of instants between the two. A member that has not answered `srvr` after ten periods, and after
/// 900 ms at the latest, has a line without a role and without `answer_ns`; the question stays open for 5 s, with such a
/// line a period, and is answered late when the member goes on. "Not serving" is an answer.
///
/// # What it costs
///
/// `cargo run --release -p quorumeter-benches --example poll_cost` measures it, on a ZooKeeper 3.9.4 of three members that
/// is idle otherwise. On two cores at 50 polls a second each member used 6.6 % of a core (0.1 % without polls) and the
/// poller, for all three, 3.1 %; the median answer took 1.1 ms. Members that have just started, whose code is not compiled
/// yet, use two to three times as much. A member logs each four-letter word, about 100 bytes.
#[derive(Debug)]
pub struct Poller {
    period: watch::Sender<Duration>,
    requests: Vec<mpsc::UnboundedSender<oneshot::Sender<MemberLine>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Poller {
    /// Starts to poll, at once, on the current thread's local runtime. `period` is between [`PERIOD_MIN`] and
    /// [`PERIOD_MAX`]; the nearer one is taken for one that is not. `process` says what the operating system tells of a
    /// member, and `on_line` has every line as it is complete, those of one member by ascending time.
    pub fn start(
        members: &[PolledMember],
        period: Duration,
        clock: Clock,
        process: impl FnMut(&Member) -> Option<ProcessUse> + 'static,
        on_line: impl FnMut(MemberLine) + 'static,
    ) -> Poller {
        let (period, periods) = watch::channel(period.clamp(PERIOD_MIN, PERIOD_MAX));
        let (process, on_line) = (Rc::new(RefCell::new(process)), Rc::new(RefCell::new(on_line)));
        let mut poller = Poller { period, requests: Vec::new(), tasks: Vec::new() };
        for polled in members {
            let (request, requests) = mpsc::unbounded_channel();
            let polls = Polls {
                polled: polled.clone(),
                clock,
                process: Rc::clone(&process),
                srvr: Question::default(),
                zabstate: Question::default(),
                next_state_ns: 0,
                mntr: Question::default(),
                role_with_state: None,
                mntr_is_refused: false,
            };
            poller.requests.push(request);
            poller.tasks.push(spawn_local(poll_member(
                polls,
                periods.clone(),
                requests,
                Rc::clone(&on_line),
            )));
        }
        poller
    }

    /// Changes the time between two polls of a member, for the polls from now on.
    pub fn set_period(&self, period: Duration) {
        self.period.send_replace(period.clamp(PERIOD_MIN, PERIOD_MAX));
    }

    /// Polls every member once more now, with `mntr`; a poll that goes on already is waited for first. Its lines, in
    /// the order of the members, go to the poller's callback as well, also when the future is dropped. Each member has
    /// 900 ms to answer, whatever the period: the whole takes 1.8 s at most.
    pub fn poll_now(&self) -> impl Future<Output = Vec<MemberLine>> + use<> {
        let asked: Vec<_> = self
            .requests
            .iter()
            .map(|request| {
                let (reply, line) = oneshot::channel();
                // A task that is there no more gives no line.
                let _ = request.send(reply);
                line
            })
            .collect();
        async move {
            let mut lines = Vec::with_capacity(asked.len());
            for line in asked {
                lines.extend(line.await.ok());
            }
            lines
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Polls a member by the clock and on request, for as long as the poller is there.
async fn poll_member<P, F>(
    mut polls: Polls<P>,
    mut periods: watch::Receiver<Duration>,
    mut requests: mpsc::UnboundedReceiver<oneshot::Sender<MemberLine>>,
    on_line: Rc<RefCell<F>>,
) where
    P: FnMut(&Member) -> Option<ProcessUse>,
    F: FnMut(MemberLine),
{
    let mut last: Option<Instant> = None;
    let mut next_full = Instant::now();
    let mut waiting = Vec::new();
    loop {
        let period = *periods.borrow_and_update();
        let due = last.map_or_else(Instant::now, |last| last + period);
        tokio::select! {
            biased;
            request = requests.recv() => match request {
                Some(reply) => waiting.push(reply),
                None => return,
            },
            changed = periods.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = sleep_until(due) => {}
        }
        while let Ok(reply) = requests.try_recv() {
            waiting.push(reply);
        }
        let now = Instant::now();
        // On the grid that the period draws; what a slow answer has covered is not made up for.
        let begun = if waiting.is_empty() && now < due + period { due } else { now };
        let patience = if waiting.is_empty() { period * PATIENCE_PERIODS } else { PATIENCE_MAX };
        let is_full = !waiting.is_empty() || begun >= next_full;
        if is_full {
            next_full = begun + FULL_PERIOD;
        }
        last = Some(begun);
        let line = polls.poll(period, patience.min(PATIENCE_MAX), is_full).await;
        for reply in waiting.drain(..) {
            // Whoever asked may have gone.
            let _ = reply.send(line.clone());
        }
        on_line.borrow_mut()(line);
    }
}

/// The polls of one member, and the questions to it that are open.
struct Polls<P> {
    polled: PolledMember,
    clock: Clock,
    process: Rc<RefCell<P>>,
    srvr: Question,
    zabstate: Question,
    mntr: Question,
    /// When `zabstate` may be asked again at the earliest.
    next_state_ns: u64,
    /// The role that the member had when `zabstate` had nothing more to tell of it.
    role_with_state: Option<Role>,
    /// A member that may not answer `mntr` is not asked again.
    mntr_is_refused: bool,
}

impl<P: FnMut(&Member) -> Option<ProcessUse>> Polls<P> {
    /// One poll: one line.
    async fn poll(&mut self, period: Duration, patience: Duration, is_full: bool) -> MemberLine {
        let member = &self.polled.member;
        // A member that owes an answer is asked nothing else.
        let owes = self.srvr.is_open();
        let deadline = Instant::now() + if owes { period } else { patience };
        if !owes {
            self.srvr.ask(self.clock, deadline, word(member.clone(), "srvr"));
            if is_full && !self.mntr_is_refused {
                self.mntr.ask(self.clock, deadline, word(member.clone(), "mntr"));
            }
        }
        let mut line = MemberLine { member: member.address.to_string(), ..MemberLine::default() };
        let mut sample = Sample::default();
        let srvr = self.srvr.answer_by(deadline).await;
        let told = srvr.filter(|srvr| answer_is_taken(&srvr.text, |text| zookeeper::srvr(&mut sample, text)));
        // The one that its clients have to do with. A member that serves none has no part that matters to them.
        let role = sample.role;
        line.t_ns = told.as_ref().map_or_else(|| self.clock.now_ns(), |srvr| srvr.done_ns);
        if let Some(srvr) = told {
            let done_ns = self.add_to(&mut sample, role, srvr.asked_ns, deadline).await;
            line.t_ns = line.t_ns.max(done_ns);
            line.answer_ns = Some(line.t_ns - srvr.asked_ns);
        }
        line.role = role.map(|role| role.name().to_owned());
        record_line::fill(&mut line, &sample);
        if is_full {
            line.process = (self.process.borrow_mut())(&self.polled.member);
            line.metrics = record_line::metrics(&sample, line.process.as_ref());
        }
        line
    }

    /// Adds what `zabstate` and `mntr` tell to what `srvr` has told, the role and others, which was asked at `since_ns`. Returns when the last
    /// of them was complete; 0 without any.
    async fn add_to(
        &mut self,
        sample: &mut Sample,
        role: Option<Role>,
        since_ns: u64,
        deadline: Instant,
    ) -> u64 {
        let mut last_ns = 0;
        if let Some(address) = self.polled.admin
            && (role.is_none() || role != self.role_with_state)
            && since_ns >= self.next_state_ns
        {
            self.next_state_ns = since_ns + STATE_PERIOD_NS;
            let get = async move { admin_server::get(address, "zabstate", OPEN_LIMIT).await };
            self.zabstate.ask(self.clock, deadline, get);
        }
        // What an earlier poll has asked for would make the instant of this one a vague one.
        let of_this_poll = |answer: &Answer| answer.asked_ns >= since_ns;
        if let Some(zabstate) = self.zabstate.answer_in_time().await.filter(of_this_poll)
            && answer_is_taken(&zabstate.text, |text| zookeeper::zabstate(sample, text))
        {
            last_ns = zabstate.done_ns;
            // Until it takes part there is more to come.
            if sample.zab_state.as_deref().is_none_or(|state| state == "broadcast") {
                self.role_with_state = role;
            }
        }
        if let Some(Answer { done_ns, text: Ok(text), .. }) =
            self.mntr.answer_in_time().await.filter(of_this_poll)
        {
            match zookeeper::mntr(sample, &text) {
                Ok(()) => last_ns = last_ns.max(done_ns),
                Err(error) => self.mntr_is_refused = error.is_refusal(),
            }
        }
        last_ns
    }
}

/// Asks a four-letter word.
async fn word(member: Member, word: &'static str) -> Result<String, AdminError> {
    admin::four_letter_word(&member, word, OPEN_LIMIT).await
}

/// Whether there is an answer, and it tells what it should.
fn answer_is_taken(
    answer: &Result<String, AdminError>,
    take: impl FnOnce(&str) -> Result<(), ParseError>,
) -> bool {
    answer.as_ref().is_ok_and(|text| take(text).is_ok())
}
