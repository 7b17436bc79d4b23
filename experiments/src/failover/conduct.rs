//! The repetitions: one fault after the other, beside the load.
//!
//! ```text
//! settled ─► baseline ─► t0 fault ─► proven ─► clients recover ─► clear ─► member rejoins ─► audit ─► over
//!                │         at a random phase        │ or the limit    │ t8       │ or the limit
//! ```
//!
//! What is judged is judged from the record. What the probes show while it goes decides only when the next step comes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorumeter_ensemble::faults::{FaultError, Injector, Means, Role, roles};
use quorumeter_exporters::Poller;
use quorumeter_loadgen::Engine;
use quorumeter_record::{
    Event, EventKind, FailoverPlan, FaultStage, HistoryRow, Manifest, MemberLine, RecordWriter,
};
use quorumeter_results::failover::{recovered_ns, rejoined_ns};
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::audit::audit;
use super::plan::Settings;
use crate::live::Live;
use crate::members::Latest;
use crate::run::Probes;

/// Between two looks at what the probes saw.
const LOOK: Duration = Duration::from_millis(50);
/// Between two looks at the members' roles while they are waited for.
const ROLES_LOOK: Duration = Duration::from_millis(250);
/// How long before a fault the members are polled at the short period.
const POLLED_BEFORE: Duration = Duration::from_secs(1);
/// Time between two polls when nothing happens.
const QUIET_POLLS: Duration = Duration::from_secs(1);
/// How long a fault may take to be proven, and again to be proven cleared beyond the limit of recovery.
const PROOF_LIMIT: Duration = Duration::from_secs(15);
/// How long the load goes on after the member is back: the windows that tell whether it is as before.
const AFTER_REJOIN: Duration = Duration::from_millis(6_500);
/// How late an op of a probe may be answered to count as served while it goes, nanoseconds, unless the user says. The
/// judgement is the record's.
const THRESHOLD_NS: u64 = 100_000_000;
/// How long members may take to tell their roles.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// How old what a member told may be to count, nanoseconds.
const STALE_NS: u64 = 4_000_000_000;
/// How long workers may take to reset their connections.
const RESET_LIMIT: Duration = Duration::from_secs(2);

/// What the conductor works with.
pub(crate) struct Scene<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) poller: &'e Poller,
    pub(crate) clock: Clock,
    pub(crate) record: Arc<Mutex<RecordWriter>>,
    pub(crate) members: Vec<Member>,
    pub(crate) manifest: Manifest,
    pub(crate) probes: Probes,
    pub(crate) latest: Latest,
    /// What the user should be told now.
    pub(crate) notices: &'e RefCell<Vec<String>>,
    /// Whether the series is to end: the fault is cleared first.
    pub(crate) stop: &'e Stop,
    /// What others are told.
    pub(crate) live: Live,
}

/// The wish that a series ends.
#[derive(Default)]
pub(crate) struct Stop {
    wanted: Cell<bool>,
    told: Notify,
}

impl Stop {
    /// Wishes it.
    pub(crate) fn ask(&self) {
        self.wanted.set(true);
        self.told.notify_waiters();
    }

    fn is_asked(&self) -> bool {
        self.wanted.get()
    }

    /// Waits until it is wished.
    async fn asked(&self) {
        let told = self.told.notified();
        if !self.is_asked() {
            told.await;
        }
    }

    /// Waits, but no longer than until it is wished.
    async fn sleep(&self, duration: Duration) {
        // Either way it is over.
        let _ = timeout(duration, self.asked()).await;
    }
}

/// Why a series does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All repetitions were done.
    Done,
    /// It was asked to.
    Stopped,
    /// The ensemble or a fault left it no sense: in words.
    Broken(String),
}

/// Does the repetitions of one fault.
pub(crate) struct Conductor {
    pub(crate) settings: Settings,
    pub(crate) plan: FailoverPlan,
    /// What faults are done with, made anew for each repetition.
    pub(crate) means: Box<dyn Fn(ClientResets) -> Means>,
    pub(crate) seed: u64,
    /// Length of the servers' tick: the time over which the moment of the fault is drawn.
    pub(crate) tick: Duration,
}

/// The way from a fault, on its own thread, to the load's connections.
#[derive(Clone)]
pub(crate) struct ClientResets(mpsc::UnboundedSender<ResetRequest>);

struct ResetRequest {
    member: Option<usize>,
    done: oneshot::Sender<Result<u32, String>>,
}

impl ClientResets {
    /// Resets the load's connections to a member, or all of them; returns how many. Blocks.
    pub(crate) fn reset(&self, member: Option<usize>) -> Result<u32, String> {
        let (done, answer) = oneshot::channel();
        let gone = || "the load has ended".to_owned();
        self.0.send(ResetRequest { member, done }).map_err(|_| gone())?;
        answer.blocking_recv().map_err(|_| gone())?
    }
}

/// A stage as the thread of the fault told it.
type Told = (u64, FaultStage, Vec<usize>, String);

/// Is told of stages.
type Tell<'a> = &'a mut dyn FnMut(Told);

/// Tells of each stage as of now.
fn now<'a>(clock: Clock, tell: Tell<'a>) -> impl FnMut(FaultStage, &[usize], &str) + 'a {
    move |stage, victims, detail| tell((clock.now_ns(), stage, victims.to_vec(), detail.to_owned()))
}

/// Proves that the fault is in effect. That it is may show later than it was: the first `Active` is told as of the instant
/// since which it has been, with what came after it behind it.
fn prove(injector: &mut Injector, clock: Clock, tell: Tell<'_>) -> Result<(), FaultError> {
    let mut held: Vec<Told> = Vec::new();
    let result = injector.prove_active(PROOF_LIMIT, &mut |stage, victims: &[usize], detail: &str| {
        let told = (clock.now_ns(), stage, victims.to_vec(), detail.to_owned());
        match held.is_empty() && stage != FaultStage::Active {
            true => tell(told),
            false => held.push(told),
        }
    });
    if let (Ok(since), Some(first)) = (&result, held.first_mut()) {
        first.0 = first.0.min(clock.now_ns() - since.elapsed().as_nanos() as u64);
    }
    held.into_iter().for_each(tell);
    result.map(|_| ())
}

/// A repetition that goes on.
struct Repetition<'c, 'e> {
    number: u32,
    conductor: &'c Conductor,
    scene: &'c Scene<'e>,
    resets: (ClientResets, mpsc::UnboundedReceiver<ResetRequest>),
    injector: Option<Injector>,
    rows: Vec<HistoryRow>,
    /// Positions of the members that were hit, and when the last was: until then there is no recovery to wait for.
    victims: BTreeSet<usize>,
    asked_ns: Option<u64>,
    clear_asked_ns: Option<u64>,
}

impl Conductor {
    /// Does them, until all are done, the user stops, or there is no sense in going on.
    pub(crate) async fn conduct(&self, scene: &Scene<'_>) -> Ended {
        let warmup_ns = scene.engine.measure_ns().saturating_sub(scene.clock.now_ns());
        scene.stop.sleep(Duration::from_nanos(warmup_ns)).await;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.seed ^ 0xfa11_07e5);
        for number in 1..=self.plan.repetitions {
            let phase = Duration::from_nanos(random.next_u64() % self.tick.as_nanos().max(1) as u64);
            let resets = mpsc::unbounded_channel();
            let mut repetition = Repetition {
                number,
                conductor: self,
                scene,
                resets: (ClientResets(resets.0), resets.1),
                injector: None,
                rows: Vec::new(),
                victims: BTreeSet::new(),
                asked_ns: None,
                clear_asked_ns: None,
            };
            let done = repetition.conduct(phase).await;
            scene.poller.set_period(QUIET_POLLS);
            match done {
                _ if scene.stop.is_asked() => return Ended::Stopped,
                Ok(()) => {}
                Err(cause) => return Ended::Broken(cause),
            }
            if number < self.plan.repetitions {
                scene.stop.sleep(self.settings.settle).await;
            }
        }
        Ended::Done
    }
}

impl Repetition<'_, '_> {
    /// One repetition. An error, in words, when no further one makes sense.
    async fn conduct(&mut self, phase: Duration) -> Result<(), String> {
        let settings = &self.conductor.settings;
        self.settled(settings.limit + PROOF_LIMIT).await?;
        self.tell(FaultStage::Baseline, &[], String::new());
        self.notice(format!("baseline of {} s", settings.baseline.as_secs_f64()));
        self.scene.stop.sleep(settings.baseline.saturating_sub(POLLED_BEFORE) + phase).await;
        self.scene.poller.set_period(settings.poll_period);
        // Its lines go to the record, whether they are waited for or not.
        drop(self.scene.poller.poll_now());
        self.scene.stop.sleep(POLLED_BEFORE).await;
        if self.scene.stop.is_asked() {
            return Ok(());
        }
        let injected = self.inject().await;
        // What was begun is undone, also when the series is to end.
        let recovered = match &injected {
            Ok(()) => self.wait_for_recovery().await,
            Err(_) => None,
        };
        let cleared = self.clear().await;
        if let Err(error) = &injected {
            self.notice(error.clone());
        }
        cleared?;
        if self.scene.stop.is_asked() {
            return Ok(());
        }
        self.wait_for_rejoin().await;
        self.scene.poller.poll_now().await;
        self.audit().await;
        self.tell(FaultStage::Over, &[], String::new());
        if recovered.is_none() && injected.is_ok() {
            self.notice(format!("not all clients were back within {} s", settings.limit.as_secs()));
        }
        // A fault that could not be done or proven once may be the next time; one that cannot be done here never is.
        Ok(())
    }

    /// Waits until the ensemble is whole, or the series is to end.
    async fn settled(&self, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while !self.scene.stop.is_asked() {
            let now_ns = self.scene.clock.now_ns();
            match unsettled(&self.scene.members, &self.scene.latest.borrow(), now_ns) {
                None => break,
                Some(cause) if begun.elapsed() > limit => {
                    let waited = begun.elapsed().as_secs();
                    return Err(format!("the ensemble is not whole after {waited} s: {cause}"));
                }
                Some(_) => {}
            }
            self.scene.stop.sleep(ROLES_LOOK).await;
        }
        Ok(())
    }

    /// Does the fault, proves it, and looks whether it hit whom it should.
    async fn inject(&mut self) -> Result<(), String> {
        let members = self.scene.members.clone();
        let (fault, victim) = (self.conductor.settings.fault, self.conductor.settings.victim);
        let victims = victim.choose(&roles_now(&members).await?, self.number).map_err(in_words)?;
        let means = (self.conductor.means)(self.resets.0.clone());
        self.injector = Some(Injector::new(fault, victim, members, means).map_err(in_words)?);
        let names: Vec<String> = victims.iter().map(|v| self.scene.members[*v].address.to_string()).collect();
        self.notice(format!("{} of {}", self.conductor.plan.fault, names.join(", ")));
        let clock = self.scene.clock;
        self.step(true, move |injector, tell| {
            injector.prepare(&victims, &mut now(clock, tell))?;
            injector.inject(&mut now(clock, tell))?;
            prove(injector, clock, tell)?;
            injector.confirm_victim(&mut now(clock, tell))
        })
        .await?;
        drop(self.scene.poller.poll_now());
        Ok(())
    }

    /// Waits until the clients are back and a while has passed since, but no longer than the limit. Returns when the last
    /// was.
    async fn wait_for_recovery(&mut self) -> Option<u64> {
        let asked_ns = self.asked_ns?;
        let settings = &self.conductor.settings;
        let clear_after_ns = settings.clear_after.as_nanos() as u64;
        let limit_ns = asked_ns + settings.limit.as_nanos() as u64;
        let (mut recovered, mut told) = (None, false);
        loop {
            let has_news = self.take_history();
            let victims: Vec<u32> = self.victims.iter().map(|v| *v as u32).collect();
            if has_news {
                recovered =
                    recovered_ns(&self.scene.manifest, self.threshold_ns(), &self.rows, &victims, asked_ns);
            }
            let now_ns = self.scene.clock.now_ns();
            if let Some(t6_ns) = recovered {
                if !told {
                    told = true;
                    self.tell(FaultStage::Recovered, &[], String::new());
                    let seconds = t6_ns.saturating_sub(asked_ns) as f64 / 1e9;
                    self.notice(format!("all clients are back after {seconds:.2} s"));
                }
                if now_ns >= t6_ns + clear_after_ns {
                    return recovered;
                }
            }
            if now_ns >= limit_ns || self.scene.stop.is_asked() {
                return recovered;
            }
            self.scene.stop.sleep(LOOK).await;
        }
    }

    /// Clears the fault, if there is one, and proves that it is gone.
    async fn clear(&mut self) -> Result<(), String> {
        let limit = self.conductor.settings.limit + PROOF_LIMIT;
        let clock = self.scene.clock;
        let cleared = self
            .step(false, move |injector, tell| {
                injector.clear(&mut now(clock, tell))?;
                injector.prove_cleared(limit, &mut now(clock, tell))
            })
            .await;
        self.injector = None;
        cleared
    }

    /// Waits until the members that were hit serve like the others, but no longer than the limit, and then for the time in
    /// which that shows.
    async fn wait_for_rejoin(&mut self) {
        let Some(t8_ns) = self.clear_asked_ns else { return };
        let limit_ns = t8_ns + self.conductor.settings.limit.as_nanos() as u64;
        let victims: Vec<u32> = self.victims.iter().map(|v| *v as u32).collect();
        let mut rejoined = None;
        loop {
            if self.take_history() {
                rejoined =
                    rejoined_ns(&self.scene.manifest, self.threshold_ns(), &self.rows, &victims, t8_ns);
            }
            if let Some(t9_ns) = rejoined {
                self.tell(FaultStage::Rejoined, &[], String::new());
                self.notice(format!("rejoined after {:.2} s", t9_ns.saturating_sub(t8_ns) as f64 / 1e9));
                break;
            }
            if self.scene.clock.now_ns() >= limit_ns || self.scene.stop.is_asked() {
                self.notice(format!("not rejoined within {} s", self.conductor.settings.limit.as_secs()));
                break;
            }
            self.scene.stop.sleep(LOOK).await;
        }
        self.scene.stop.sleep(AFTER_REJOIN).await;
    }

    /// Reads from every member what the write probes left.
    async fn audit(&self) {
        let nodes = super::plan::probe_nodes(&self.conductor.settings, self.scene.members.len() as u32);
        for member in &self.scene.members {
            let (dial, layout) = (self.scene.probes.dial.clone(), &self.scene.probes.layout);
            match audit(member, dial, layout, nodes, self.number, self.scene.clock).await {
                Ok(found) => found.into_iter().for_each(|(t_ns, kind)| self.event(t_ns, kind)),
                Err(error) => {
                    let text = format!("repetition {}: the audit of {error}", self.number);
                    self.event(self.scene.clock.now_ns(), EventKind::Warning { text: text.clone() });
                    self.notice(text);
                }
            }
        }
    }

    /// Does a step of the fault on a thread of its own, and meanwhile what it asks for.
    async fn step(
        &mut self,
        is_interruptible: bool,
        step: impl FnOnce(&mut Injector, Tell<'_>) -> Result<(), FaultError> + Send + 'static,
    ) -> Result<(), String> {
        let Some(mut injector) = self.injector.take() else { return Ok(()) };
        let interruption = injector.interruption();
        let (told_in, mut told) = mpsc::unbounded_channel::<Told>();
        let mut task = spawn_blocking(move || {
            let mut tell = |told: Told| {
                // Without a listener the measurement is over.
                let _ = told_in.send(told);
            };
            let result = step(&mut injector, &mut tell);
            (injector, result)
        });
        let (injector, result) = loop {
            tokio::select! {
                Some(stage) = told.recv() => self.note(stage),
                Some(request) = self.resets.1.recv() => {
                    // Whoever asked has gone when this does not arrive.
                    let _ = request.done.send(self.reset(request.member).await);
                }
                // What is being undone is waited for, whatever the user wishes.
                () = self.scene.stop.asked(), if is_interruptible && !interruption.load(Ordering::Relaxed) => {
                    interruption.store(true, Ordering::Relaxed);
                }
                ended = &mut task => break ended.map_err(in_words)?,
            }
        };
        while let Ok(stage) = told.try_recv() {
            self.note(stage);
        }
        interruption.store(false, Ordering::Relaxed);
        self.injector = Some(injector);
        result.map_err(in_words)
    }

    /// Resets connections of the load; returns how many, once all workers have done it.
    async fn reset(&self, member: Option<usize>) -> Result<u32, String> {
        let before = self.scene.engine.resets().connections;
        self.scene.engine.reset_connections(member);
        let begun = Instant::now();
        loop {
            let resets = self.scene.engine.resets();
            if resets.are_done() {
                return Ok((resets.connections - before) as u32);
            }
            if begun.elapsed() > RESET_LIMIT {
                return Err("the load did not reset its connections in time".to_owned());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn note(&mut self, (t_ns, stage, victims, detail): Told) {
        match stage {
            FaultStage::Asked => {
                self.asked_ns = Some(t_ns);
                self.victims.extend(&victims);
            }
            FaultStage::ClearAsked => {
                self.clear_asked_ns.get_or_insert(t_ns);
            }
            _ => {}
        }
        self.tell_at(t_ns, stage, &victims, detail);
    }

    /// How late an op may be answered to count as served while it goes, nanoseconds.
    fn threshold_ns(&self) -> u64 {
        self.conductor.plan.slow_threshold_ns.unwrap_or(THRESHOLD_NS)
    }

    /// Takes what the probes have seen since; returns whether there is anything.
    fn take_history(&mut self) -> bool {
        let before = self.rows.len();
        self.rows.extend(self.scene.probes.history.try_iter().flatten());
        self.rows.len() > before
    }

    fn tell(&self, stage: FaultStage, victims: &[usize], detail: String) {
        self.tell_at(self.scene.clock.now_ns(), stage, victims, detail);
    }

    fn tell_at(&self, t_ns: u64, stage: FaultStage, victims: &[usize], detail: String) {
        let victims = victims.iter().map(|v| self.scene.members[*v].address.to_string()).collect();
        let fault = self.conductor.plan.fault.clone();
        self.scene.live.fault(t_ns, self.number, stage);
        self.event(t_ns, EventKind::Fault { repetition: self.number, fault, stage, victims, detail });
    }

    fn event(&self, t_ns: u64, kind: EventKind) {
        // A record that cannot be written ends the run through the engine's aggregator.
        let mut record = self.scene.record.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = record.event(&Event { t_ns, kind });
    }

    fn notice(&self, text: String) {
        let of = self.conductor.plan.repetitions;
        self.scene.notices.borrow_mut().push(format!("repetition {} of {of}: {text}", self.number));
    }
}

/// What the members say that they are, asked now.
pub(crate) async fn roles_now(members: &[Member]) -> Result<Vec<Role>, String> {
    let members = members.to_vec();
    let seen = spawn_blocking(move || roles(&members, ANSWER_LIMIT)).await.map_err(in_words)?;
    Ok(seen.map_err(in_words)?.into_iter().map(|seen| seen.role).collect())
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What keeps an ensemble from being whole, as the members told it last; `None` when nothing does.
///
/// Whole: every member has a role, one of them leads (or stands alone), and the leader counts as many synced followers as
/// there are, where it tells.
fn unsettled(members: &[Member], latest: &BTreeMap<String, MemberLine>, now_ns: u64) -> Option<String> {
    let mut leaders = Vec::new();
    let mut followers = 0;
    for member in members {
        let address = member.address.to_string();
        let line = latest.get(&address).filter(|line| now_ns.saturating_sub(line.t_ns) < STALE_NS);
        match line.and_then(|line| line.role.as_deref()) {
            Some("leader" | "standalone") => leaders.push((address, line.and_then(|l| l.synced_followers))),
            Some("follower") => followers += 1,
            Some("observer") => {}
            Some(role) => return Some(format!("{address} is {role}")),
            None => return Some(format!("{address} does not serve")),
        }
    }
    match &leaders[..] {
        [(address, Some(synced))] if *synced != followers => {
            Some(format!("{address} leads, and {synced} of {followers} followers are synced"))
        }
        [_] => None,
        [] => Some("no member leads".to_owned()),
        _ => Some(format!("{} members lead", leaders.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn member(port: u16) -> Member {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Member { name: address.to_string(), address, tls: None }
    }

    #[test]
    fn an_ensemble_is_whole_when_all_serve_and_follow() {
        let members: Vec<Member> = (1..=3).map(member).collect();
        let told = |roles: [Option<&str>; 3], synced: Option<u64>, t_ns: u64| {
            let line = |(member, role): (&Member, &Option<&str>)| {
                let member = member.address.to_string();
                let synced_followers = synced.filter(|_| *role == Some("leader"));
                let role = role.map(str::to_owned);
                (member.clone(), MemberLine { t_ns, member, role, synced_followers, ..MemberLine::default() })
            };
            let latest = members.iter().zip(&roles).map(line).collect();
            unsettled(&members, &latest, 10_000_000_000)
        };
        let (l, f, o) = (Some("leader"), Some("follower"), Some("observer"));
        for (roles, synced, says) in [
            ([l, f, f], Some(2), None),
            ([f, f, l], None, None),
            ([l, f, o], Some(1), None),
            ([l, f, f], Some(1), Some("1 of 2 followers")),
            ([f, f, f], None, Some("no member leads")),
            ([l, l, f], None, Some("2 members lead")),
            ([l, f, None], Some(1), Some("127.0.0.1:3 does not serve")),
            ([l, f, Some("read-only")], Some(1), Some("is read-only")),
        ] {
            let cause = told(roles, synced, 9_000_000_000);
            assert_eq!(cause.is_none(), says.is_none(), "{cause:?}");
            assert!(cause.unwrap_or_default().contains(says.unwrap_or_default()));
        }
        assert!(told([l, f, f], Some(2), 5_000_000_000).is_some(), "that was long ago");
    }
}
