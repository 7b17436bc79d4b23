//! Warm-up, measured window and drain, watched from the outside.

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use quorumeter_loadgen::Engine;
use quorumeter_record::{EventKind, IntervalLine, Phase, StopReason};
use tokio::time::sleep;

use super::RunError;
use super::control::{Control, Held, LOOK};
use crate::failover;
use crate::failover::conduct::{Conductor, Ended, Scene, Stop};
use crate::members::{self, Latest};
use crate::observe::Numbers;
use crate::secrets;
use crate::signals::Signals;

/// Faults beside the load.
struct Conducting<'s> {
    /// Whether they go on.
    is_on: bool,
    faults: Pin<&'s mut dyn Future<Output = Ended>>,
    stop: &'s Stop,
    notices: &'s RefCell<Vec<String>>,
}

/// Between the decision to begin and the beginning, so that every worker sees it before.
const LEAD_NS: u64 = 50_000_000;

impl Control<'_> {
    /// Warm-up, measured window and drain.
    pub(super) async fn load(&mut self, held: &mut Held, signals: &mut Signals) -> Result<(), RunError> {
        let (Some(engine), Some(live)) = (held.engine.take(), held.live.take()) else { return Ok(()) };
        let start_ns = self.clock.now_ns() + LEAD_NS;
        self.shown_ns = start_ns;
        engine.begin(start_ns);
        let (members, launched) = (&held.members, held.launched.as_ref());
        let (record, roles, latest) = (Arc::clone(&self.record), Rc::clone(&held.roles), Latest::default());
        let shown = Rc::clone(&latest);
        let poller = self
            .poll_period
            .map(|period| members::poll(members, launched, period, self.clock, record, roles, shown));
        let stop = Stop::default();
        let notices = RefCell::default();
        let conductor = self.conductor(held);
        let result = {
            let scene = held.probes.take().zip(poller.as_ref()).map(|(probes, poller)| Scene {
                engine: &engine,
                poller,
                clock: self.clock,
                record: Arc::clone(&self.record),
                members: held.members.clone(),
                manifest: self.manifest.clone(),
                probes,
                latest,
                notices: &notices,
                stop: &stop,
                live: self.live.clone(),
            });
            let conducted = async {
                match (&conductor, &scene) {
                    (Some(conductor), Some(scene)) => conductor.conduct(scene).await,
                    // Without faults the load's own end is the end.
                    _ => std::future::pending().await,
                }
            };
            let conducting = Conducting {
                is_on: conductor.is_some(),
                faults: pin!(conducted),
                stop: &stop,
                notices: &notices,
            };
            self.watch_load(&engine, &live, held, signals, start_ns, conducting).await
        };
        drop(poller);
        if result.is_err() {
            engine.cancel();
        }
        let finished = engine.finish();
        self.show(&live, start_ns);
        self.announce(u64::MAX);
        result?;
        Ok(finished?)
    }

    async fn watch_load(
        &mut self,
        engine: &Engine,
        live: &Receiver<Vec<IntervalLine>>,
        held: &Held,
        signals: &mut Signals,
        start_ns: u64,
        mut conducting: Conducting<'_>,
    ) -> Result<(), RunError> {
        let mut stopped = false;
        let mut died = false;
        while conducting.is_on || !engine.is_finished() {
            tokio::select! {
                () = sleep(LOOK) => {}
                ended = &mut conducting.faults, if conducting.is_on => {
                    conducting.is_on = false;
                    if let Ended::Broken(cause) = ended {
                        let text = format!("no further repetition: {cause}");
                        self.observer.notice(&text);
                        self.event(EventKind::Warning { text });
                    }
                    engine.end_early(self.clock.now_ns() + LEAD_NS);
                }
                n = signals.next() => {
                    if n > 1 {
                        return Err(RunError::Killed);
                    }
                    stopped = true;
                    self.observer.notice("stopping early; once more stops at once");
                    let kind = EventKind::Stop { reason: StopReason::Signal, detail: String::new() };
                    self.event(kind);
                    self.end_early(engine, &conducting);
                }
            }
            for notice in conducting.notices.take().into_iter().chain(self.live.take_notices()) {
                self.observer.notice(&notice);
            }
            if engine.is_finished() {
                conducting.stop.ask();
            }
            let now_ns = self.clock.now_ns();
            for (t_ns, phase) in phases(engine, start_ns) {
                if now_ns >= t_ns {
                    self.begin_phase_at(t_ns, phase);
                }
            }
            if let Some(broken) = self.show(live, start_ns).filter(|_| !stopped) {
                stopped = true;
                self.observer.notice(&format!("stopping early: {broken}"));
                self.event(EventKind::Stop { reason: StopReason::Abort, detail: broken });
                self.end_early(engine, &conducting);
            }
            if let Some(Err(error)) = held.launched.as_ref().filter(|_| !died).map(|l| l.check()) {
                died = true;
                self.observer.notice(&format!("stopping early: {error}"));
                let detail = secrets::text(&error.to_string(), &self.settings);
                self.event(EventKind::Stop { reason: StopReason::Error, detail });
                self.end_early(engine, &conducting);
            }
        }
        // An engine that failed ends before its time: a window that has begun ends with it.
        let now_ns = self.clock.now_ns();
        if now_ns >= engine.measure_ns() {
            for (t_ns, phase) in phases(engine, start_ns) {
                self.begin_phase_at(t_ns.min(now_ns), phase);
            }
        }
        Ok(())
    }

    /// Ends the load before its time: a fault is cleared first.
    fn end_early(&self, engine: &Engine, conducting: &Conducting<'_>) {
        if conducting.is_on {
            conducting.stop.ask();
        } else {
            engine.end_early(self.clock.now_ns() + LEAD_NS);
        }
    }

    /// Who does the faults, if there are to be any.
    fn conductor(&mut self, held: &Held) -> Option<Conductor> {
        let faults = self.faults.take()?;
        let launched = held.launched.clone();
        Some(Conductor {
            settings: faults.settings.clone(),
            plan: faults.plan.clone(),
            tick: failover::tick(launched.as_deref()),
            means: Box::new(move |resets| faults.means(launched.as_ref(), resets)),
            seed: self.workload.seed,
        })
    }

    /// Shows the intervals that have ended. Returns the `[abort]` expression that has not held for its grace
    /// period, if there is one.
    fn show(&mut self, live: &Receiver<Vec<IntervalLine>>, start_ns: u64) -> Option<String> {
        let mut broken = None;
        for lines in live.try_iter() {
            // What is answered in the drain has no rate, and stopping it early would save nothing.
            let Some((from_ns, to_ns)) = lines.iter().find_map(|line| match line {
                IntervalLine::Generator(g) if g.during != Phase::Drain => Some((g.start_ns, g.end_ns)),
                _ => None,
            }) else {
                continue;
            };
            self.announce(from_ns);
            let elapsed_s = to_ns.saturating_sub(start_ns) as f64 / 1e9;
            let planned_s = self.workload.scheduled_ns() as f64 / 1e9;
            self.observer.interval(&Numbers::of(&lines), elapsed_s, planned_s);
            self.shown_ns = to_ns;
            let grace_ns = self.workload.file.abort.grace.0;
            for brake in &mut self.aborts {
                match brake.gate.holds_in_interval(&lines) {
                    Some(false) => {
                        let since_ns = *brake.violated_since_ns.get_or_insert(from_ns);
                        if to_ns - since_ns >= grace_ns {
                            broken.get_or_insert_with(|| format!("`{}` does not hold", brake.gate.text()));
                        }
                    }
                    // An interval without data says nothing, and interrupts nothing.
                    None => {}
                    Some(true) => brake.violated_since_ns = None,
                }
            }
        }
        self.announce(self.shown_ns);
        broken
    }
}

/// The phases of the load and when they begin, as things stand.
fn phases(engine: &Engine, start_ns: u64) -> [(u64, Phase); 3] {
    [(start_ns, Phase::Warmup), (engine.measure_ns(), Phase::Measure), (engine.end_ns(), Phase::Drain)]
}
