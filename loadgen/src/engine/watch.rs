//! Sessions that watch.
//!
//! What a watcher missed is told by the node's own version, which every write raises by one. It is read when the
//! watch is set and again later, on the same connection, where an event always comes before the reply that would
//! show its change. So, with v the version:
//!
//! | kind | when | count |
//! |---|---|---|
//! | one-shot | set again after an event: v₀ → v₁ | merged += v₁ − v₀ − 1, or duplicate += 1 if v₁ = v₀ |
//! | one-shot | set and unfired at the end: v₀ → v₁ | if v₁ > v₀: lost += 1, merged += v₁ − v₀ − 1 |
//! | persistent | at the end, e events since it was set: v₀ → v₁ | lost or duplicate += the difference of v₁ − v₀ and e |
//! | recursive | the same for each node below the parent, e events of that node | the same, node by node |
//!
//! Of watches on children, v is the version of a node's children, which each that comes or goes raises by one. Such a
//! recursive watch is set on the node itself.
//!
//! A recursive watch on a parent is one watch, and the versions are many: it is set with the read of the parent's first node, and
//! the reads of the others are pipelined behind it. So each node's v₀ is read when the watch is live, and what was told
//! before that reply is in v₀.
//!
//! This holds for writes whose outcome is unknown and for writers elsewhere, too.

use std::collections::VecDeque;

use quorumeter_targets::session::WatchEvent;
use quorumeter_targets::zookeeper::Dataset;
use quorumeter_targets::{Change, Completion, Connection, Operation, Outcome, Sink};

use super::history::Place;
use super::join::NoticeRow;
use super::link::Part;
use super::recorder::Recorder;
use crate::plan::{Stream, Watch, WatchKind, WatchOn};

/// The watches of one session.
pub(super) struct WatchPart {
    stream: usize,
    /// The session's number: tells watchers of the same node apart.
    session: u32,
    kind: WatchKind,
    on: WatchOn,
    depth: usize,
    /// By key, ascending.
    watches: Vec<KeyWatch>,
    /// Places of watches that are to be set, or read a last time.
    to_submit: VecDeque<u32>,
    /// The nodes are there: watches may be set.
    enabled: bool,
    ending: bool,
    setting: Setting,
    /// Where events come, if their history is kept.
    place: Option<Place>,
}

/// How setting watches has gone wrong, if it has.
#[derive(Debug, Default)]
struct Setting {
    /// The error that the member answered with.
    refused: Option<i32>,
    /// The connection that is being given up had requests to set watches on it that were not answered.
    is_cut_off: bool,
    /// Such connections since a watch was set.
    closed: u32,
}

/// Why watches cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SettingFailure {
    /// The member answers with this error.
    Refused(i32),
    /// The connection is lost each time they are asked for.
    Closed,
}

/// Connections that may be lost in a row while watches are asked for, before that is taken for the member's answer.
const MAX_CLOSED: u32 = 3;

/// One watch on one node.
#[derive(Debug, Clone, Copy)]
struct KeyWatch {
    key: u32,
    /// A watch is set with it; else that of the places before it tells of this node, too.
    is_set_here: bool,
    state: WatchState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WatchState {
    /// Not set. `after` is the version at which it was set before it fired, if it fired.
    Unset { after: Option<i32> },
    /// Set when the node had this version; so many events since. `zxid` is that of the reply which said so.
    Armed { version: i32, events: i64, zxid: i64 },
    /// Everything that is owed on it has been found out.
    Settled,
}

/// What a request of a watcher is for: the place of its watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchTag {
    place: u32,
    last_read: bool,
}

impl WatchPart {
    /// The watches of session number `session` of a stream.
    pub(super) fn new(
        number: usize,
        session: u32,
        stream: &Stream,
        watch: Watch,
        dataset: Dataset,
    ) -> WatchPart {
        let sessions = stream.sessions;
        // Path p is watched by the sessions p·w, p·w + 1, … of w watchers, modulo the sessions.
        let watches: Vec<KeyWatch> = (0..watch.paths)
            .filter(|p| {
                let first = u64::from(*p) * u64::from(watch.watchers) % u64::from(sessions);
                let distance = (u64::from(session) + u64::from(sessions) - first) % u64::from(sessions);
                distance < u64::from(watch.watchers)
            })
            .flat_map(|p| {
                let keys = watch.keys(p, dataset);
                let state = WatchState::Unset { after: None };
                keys.clone().map(move |key| KeyWatch { key, is_set_here: key == keys.start, state })
            })
            .collect();
        WatchPart {
            stream: number,
            session,
            kind: watch.kind,
            on: watch.on,
            depth: stream.depth as usize,
            watches,
            to_submit: VecDeque::new(),
            enabled: false,
            ending: false,
            setting: Setting::default(),
            place: Place::of(stream, number, session),
        }
    }

    /// The nodes are there: the watches are to be set.
    pub(super) fn enable(&mut self) {
        if !self.enabled {
            self.enabled = true;
            self.to_submit = (0..self.watches.len() as u32).collect();
        }
    }

    /// Whether every watch is set.
    pub(super) fn is_armed(&self) -> bool {
        self.watches.iter().all(|w| matches!(w.state, WatchState::Armed { .. }))
    }

    /// Why the watches cannot be set, as far as that is known.
    pub(super) fn failure(&self) -> Option<SettingFailure> {
        let Setting { refused, closed, .. } = self.setting;
        let closed = (closed >= MAX_CLOSED).then_some(SettingFailure::Closed);
        refused.map(SettingFailure::Refused).or(closed)
    }

    /// All writers have ended: what is owed is to be found out.
    pub(super) fn end(&mut self) {
        self.ending = true;
        for (place, watch) in self.watches.iter().enumerate() {
            if matches!(watch.state, WatchState::Armed { .. }) {
                self.to_submit.push_back(place as u32);
            }
        }
    }

    /// Whether that has been found out, of all watches that are or will be set.
    pub(super) fn has_ended(&self) -> bool {
        self.ending
            && self
                .watches
                .iter()
                .all(|w| matches!(w.state, WatchState::Settled | WatchState::Unset { after: None }))
    }

    fn place_of(&self, key: u32) -> Option<usize> {
        self.watches.binary_search_by_key(&key, |w| w.key).ok()
    }

    /// The reply that set a watch: the node has this version.
    fn set(&mut self, place: u32, completion: &Completion, recorder: &mut Recorder) {
        let watch = &mut self.watches[place as usize];
        let WatchState::Unset { after } = watch.state else { return };
        self.setting.closed = 0;
        let version = completion.version;
        watch.state = WatchState::Armed { version, events: 0, zxid: completion.zxid };
        recorder.armed(self.stream, i64::from(watch.is_set_here));
        if let Some(after) = after {
            let writes = i64::from(version) - i64::from(after);
            let counts = recorder.watch(self.stream);
            if writes >= 1 {
                counts.merged += (writes - 1) as u64;
            } else {
                counts.duplicate += 1;
            }
        }
        if self.ending {
            self.to_submit.push_back(place);
        }
    }

    /// The reply to the last read: everything before it has been told, or never will be.
    fn settle(&mut self, place: u32, version: i32, recorder: &mut Recorder) {
        let watch = &mut self.watches[place as usize];
        let WatchState::Armed { version: set_at, events, .. } = watch.state else { return };
        watch.state = WatchState::Settled;
        let key = watch.key;
        let writes = i64::from(version) - i64::from(set_at);
        let mut lost = 0;
        let counts = recorder.watch(self.stream);
        match self.kind {
            WatchKind::OneShot => {
                if writes > 0 {
                    lost = 1;
                    counts.merged += (writes - 1) as u64;
                }
            }
            WatchKind::Persistent | WatchKind::Recursive => {
                if writes > events {
                    lost = (writes - events) as u64;
                } else {
                    counts.duplicate += (events - writes) as u64;
                }
            }
        }
        counts.lost += lost;
        for _ in 0..lost {
            recorder.notice_row(NoticeRow::lost(self.stream, self.session, (key, self.on.change())));
        }
    }
}

impl WatchPart {
    /// A request for a watch failed.
    fn give_up(&mut self, tag: WatchTag, code: i32) {
        if !tag.last_read {
            self.setting.refused = Some(code);
        }
        let mut watches = self.watches[tag.place as usize..].iter_mut();
        let Some(watch) = watches.next() else { return };
        watch.state = WatchState::Unset { after: None };
        if watch.is_set_here && !tag.last_read {
            // With the watch not set, nothing is owed for the nodes that it was to tell of.
            watches.take_while(|w| !w.is_set_here).for_each(|w| w.state = WatchState::Settled);
        }
    }
}

impl Part for WatchPart {
    type Tag = WatchTag;

    fn fill(&mut self, connection: &mut impl Connection<WatchTag>, _: &mut Recorder, _: u64) {
        while connection.open_ops() < self.depth {
            let Some(place) = self.to_submit.pop_front() else { break };
            let watch = &self.watches[place as usize];
            let key = watch.key;
            let last_read = self.ending && matches!(watch.state, WatchState::Armed { .. });
            let op = match (self.on.change(), self.kind) {
                (Change::Data, _) if last_read => Operation::Read { key },
                (Change::Data, WatchKind::OneShot) if self.on == WatchOn::Exists => {
                    Operation::WatchExists { key }
                }
                (Change::Data, WatchKind::OneShot) => Operation::WatchOnce { key },
                (Change::Data, WatchKind::Persistent) => Operation::WatchAlways { key },
                (Change::Data, WatchKind::Recursive) if watch.is_set_here => Operation::WatchBelow { key },
                (Change::Data, WatchKind::Recursive) => Operation::Read { key },
                (Change::Children, _) if last_read => Operation::ChildrenVersion { key },
                (Change::Children, WatchKind::OneShot) => Operation::WatchChildrenOnce { key },
                (Change::Children, WatchKind::Persistent) => Operation::WatchChildrenAlways { key },
                (Change::Children, WatchKind::Recursive) => Operation::WatchChildrenBelow { key },
            };
            connection.submit(op, WatchTag { place, last_read });
        }
    }

    fn sink<'a>(&'a mut self, recorder: &'a mut Recorder, _: bool) -> impl Sink<WatchTag> + 'a {
        WatchSink { part: self, recorder }
    }

    fn attached(&mut self, member: usize, _: bool, _: &mut Recorder, _: u64) {
        self.place.iter_mut().for_each(|place| place.connected(member));
        // The watches of a connection that is gone were counted when it went.
        if self.enabled && !self.ending {
            self.to_submit = (0..self.watches.len() as u32).collect();
        }
    }

    fn detached(&mut self, recorder: &mut Recorder, _: u64) {
        self.place.iter_mut().for_each(Place::disconnected);
        let mut interrupted = 0;
        for watch in &mut self.watches {
            if matches!(watch.state, WatchState::Armed { .. }) {
                interrupted += i64::from(watch.is_set_here);
            }
            watch.state = WatchState::Unset { after: None };
        }
        self.setting.closed += u32::from(std::mem::take(&mut self.setting.is_cut_off));
        recorder.armed(self.stream, -interrupted);
        recorder.watch(self.stream).interrupted += interrupted as u64;
        self.to_submit.clear();
    }
}

/// Takes what one connection tells.
struct WatchSink<'a> {
    part: &'a mut WatchPart,
    recorder: &'a mut Recorder,
}

impl Sink<WatchTag> for WatchSink<'_> {
    fn sent(&mut self, _: &WatchTag, _: u64, _: u64) {}

    fn done(&mut self, tag: WatchTag, _: Operation, completion: Completion) {
        self.recorder.advance(completion.done_ns);
        match (completion.outcome, tag.last_read) {
            (Outcome::Ok, false) => self.part.set(tag.place, &completion, self.recorder),
            (Outcome::Ok, true) => self.part.settle(tag.place, completion.version, self.recorder),
            // With the connection gone, so is the watch; `detached` counts it.
            (Outcome::Unknown, last_read) => self.part.setting.is_cut_off |= !last_read,
            // Nothing can be told of a watch whose node cannot be read.
            (Outcome::Failed(code), _) => {
                self.recorder.watch(self.part.stream).interrupted += 1;
                self.part.give_up(tag, code);
            }
        }
    }

    fn not_sent(&mut self, _: WatchTag, _: Operation) {}

    fn event(&mut self, event: WatchEvent) {
        self.recorder.advance(event.received_ns);
        let part = &mut *self.part;
        let of_ours = event.changed.filter(|(_, change)| *change == part.on.change());
        let Some(place) = of_ours.and_then(|(key, _)| part.place_of(key)) else { return };
        let watch = &mut part.watches[place];
        if let Some(place) = &part.place {
            self.recorder.history(place.event(watch.key, &event));
        }
        let counts = self.recorder.watch(part.stream);
        let WatchState::Armed { version, events, zxid } = &mut watch.state else {
            // A persistent watch is live from its own request on, before the reply that tells the version:
            // that version has the change in it. A one-shot watch has fired before.
            if part.kind == WatchKind::OneShot && watch.state != WatchState::Settled {
                counts.duplicate += 1;
            }
            return;
        };
        counts.events += 1;
        let row = NoticeRow {
            stream: part.stream as u16,
            session: part.session,
            key: watch.key,
            change: part.on.change(),
            zxid: event.zxid,
            set_at_zxid: *zxid,
            received_ns: event.received_ns,
            lost: false,
        };
        match part.kind {
            WatchKind::OneShot => {
                watch.state = WatchState::Unset { after: Some(*version) };
                self.recorder.armed(part.stream, -1);
                part.to_submit.push_back(place as u32);
            }
            WatchKind::Persistent | WatchKind::Recursive => *events += 1,
        }
        self.recorder.notice_row(row);
    }
}
