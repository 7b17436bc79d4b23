//! From the fields of a workload file to the validated workload: ranges, and combinations that make no sense.

use std::fs;

use indexmap::IndexMap;
use quorumeter_targets::spelling::nearest;
use quorumeter_targets::zookeeper::Dataset;
use quorumeter_targets::zookeeper::layout::{MAX_NODES, MAX_PARENTS, MAX_SESSIONS};
use quorumeter_targets::{Change, Nodes, OpKind};

use super::file::{
    AuthTable, Cycle, LifeTable, Members, StreamTable, TimerKind, WatchKind, WatchOn, WorkloadFile,
    default_depth,
};
use super::read::{Origins, PlanError, TOP_LEVEL};
use super::units::Dur;
use super::workload::{Credentials, Life, Load, Stream, StreamOp, Watch, Workload};
use crate::keys::Keys;
use crate::schedule::Arrival;
/// What a stream's backlog holds unless told: what its schedule produces in this time.
const DEFAULT_BACKLOG: Dur = Dur(10_000_000_000);
/// How long before an op the timer `spin` begins to spin unless told.
const DEFAULT_SPIN: Dur = Dur(50_000);
/// The most requests that a multi may take on the wire, in bytes, so that it stays below a server's frame limit.
const MAX_MULTI_BYTES: u64 = 900_000;
/// Ops that may wait, of all sessions of a stream: each takes some 50 bytes.
const MAX_BACKLOG: f64 = 20e6;
/// Ops in flight of one session.
const MAX_DEPTH: u64 = 1 << 14;
/// Kinds of ops in a mix, and streams: each has histograms of its own.
const MAX_KINDS: usize = 256;
/// Names that mean something else in gates.
const RESERVED: [&str; 2] = ["generator", "total"];

/// Completes and checks the fields of a workload file.
pub(super) fn check(
    file: WorkloadFile,
    origins: Origins,
    draw_seed: impl FnOnce() -> u64,
) -> Result<Workload, PlanError> {
    Checker { origins }.check(file, draw_seed)
}

/// Checks one workload; knows where its fields came from.
struct Checker {
    origins: Origins,
}

impl Checker {
    fn error(&self, path: &[&str], message: impl Into<String>, help: impl Into<String>) -> PlanError {
        let path: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
        self.origins.error(&path, message.into(), Some(help.into()))
    }

    fn within(
        &self,
        path: &[&str],
        value: u64,
        range: std::ops::RangeInclusive<u64>,
        show: impl Fn(u64) -> String,
    ) -> Result<(), PlanError> {
        if range.contains(&value) {
            return Ok(());
        }
        let key = path.last().copied().unwrap_or_default();
        Err(self.error(
            path,
            format!("{key} is {}", show(value)),
            format!("it goes from {} to {}", show(*range.start()), show(*range.end())),
        ))
    }

    fn check(&self, mut file: WorkloadFile, draw_seed: impl FnOnce() -> u64) -> Result<Workload, PlanError> {
        let plain = |n: u64| n.to_string();
        let time = |ns: u64| Dur(ns).to_string();
        let (ms, second, hour) = (1_000_000, 1_000_000_000, 3_600_000_000_000);
        if file.name.is_empty() || file.name.len() > 100 || file.name.contains(char::is_control) {
            return Err(self.error(&["name"], "the name will not do", "write 1 to 100 bytes of plain text"));
        }
        self.within(&["phases", "warmup"], file.phases.warmup.0, 0..=24 * hour, time)?;
        self.within(&["phases", "measure"], file.phases.measure.0, 100 * ms..=168 * hour, time)?;
        self.within(&["phases", "drain"], file.phases.drain.0, 0..=10 * second, time)?;
        self.within(&["engine", "interval"], file.engine.interval.0, 100 * ms..=60 * second, time)?;
        self.within(&["engine", "workers"], file.engine.workers.into(), 0..=256, plain)?;
        if let Some(spin) = file.engine.spin {
            self.within(&["engine", "spin"], spin.0, 1000..=10 * ms, time)?;
            if file.engine.timer != TimerKind::Spin {
                return Err(self.error(
                    &["engine", "spin"],
                    "spin is given, and the timer does not spin",
                    "add timer = \"spin\", or leave spin out",
                ));
            }
        }
        let session_timeout =
            |path: &[&str], timeout: Dur| self.within(path, timeout.0, 100 * ms..=hour, time);
        session_timeout(&["client", "session_timeout"], file.client.session_timeout)?;
        self.within(&["client", "connect_limit"], file.client.connect_limit.0, 100 * ms..=hour, time)?;
        self.within(&["abort", "grace"], file.abort.grace.0, 0..=hour, time)?;
        // Whether there is such a metric is checked when it is read; what has no dot is none.
        for (table, key) in file
            .gates
            .keys()
            .map(|key| ("gates", key))
            .chain(file.abort.conditions.keys().map(|key| ("abort", key)))
        {
            if !key.contains('.') {
                let near = nearest(key, ["grace"].into_iter().filter(|_| table == "abort"));
                let near = near.map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
                let help = format!("{near}a metric is written as \"stream.op.metric\" = \"< limit\"");
                return Err(self.error(&[table, key], format!("{key:?} is no metric"), help));
            }
        }
        let dataset =
            Dataset { nodes: file.dataset.nodes, children_per_parent: file.dataset.children_per_parent };
        self.within(&["dataset", "nodes"], dataset.nodes.into(), 1..=MAX_NODES.into(), plain)?;
        let children = dataset.children_per_parent;
        self.within(&["dataset", "children_per_parent"], children.into(), 1..=1_000_000, plain)?;
        if dataset.parents() > MAX_PARENTS {
            return Err(self.error(
                &["dataset", "children_per_parent"],
                format!(
                    "{} nodes with {children} a parent make {} parents",
                    dataset.nodes,
                    dataset.parents()
                ),
                format!("there may be {MAX_PARENTS} parents: use more children per parent"),
            ));
        }
        let credentials = file.client.auth.as_ref().map(|auth| self.credentials(auth)).transpose()?;

        if file.stream.is_empty() {
            return Err(self.error(
                &[],
                "the workload has no stream",
                "add a [[stream]] with a name and a mix",
            ));
        }
        if file.stream.len() > MAX_KINDS {
            return Err(self.error(
                &["stream", &MAX_KINDS.to_string()],
                format!("the workload has {} streams", file.stream.len()),
                format!("there may be {MAX_KINDS}"),
            ));
        }
        let mut streams: Vec<Stream> = Vec::new();
        for i in 0..file.stream.len() {
            let stream = self.stream(i, &file, dataset)?;
            if streams.iter().any(|s| s.name == stream.name) {
                return Err(self.error(
                    &["stream", &i.to_string(), "name"],
                    format!("there are two streams {:?}", stream.name),
                    "give each its own name",
                ));
            }
            complete(&mut file.stream[i], &stream);
            streams.push(stream);
        }
        for (i, stream) in streams.iter().enumerate() {
            let Some(watch) = stream.watch() else { continue };
            if streams.iter().any(|s| s.changes(watch.on.change())) {
                continue;
            }
            let (nobody, help) = match watch.on.change() {
                Change::Data => {
                    ("no stream writes", "add a stream whose mix has write, write_cas or multi(n)")
                }
                Change::Children => (
                    "no stream creates or deletes children of the dataset's nodes",
                    "add a stream whose mix has create_child, and delete to take them away again",
                ),
            };
            return Err(self.error(
                &["stream", &i.to_string(), "watch"],
                format!("stream {:?} watches, and {nobody}", stream.name),
                help,
            ));
        }

        let seed = *file.seed.get_or_insert_with(draw_seed);
        let spin_ns =
            (file.engine.timer == TimerKind::Spin).then(|| file.engine.spin.get_or_insert(DEFAULT_SPIN).0);
        Ok(Workload {
            seed,
            warmup_ns: file.phases.warmup.0,
            measure_ns: file.phases.measure.0,
            drain_ns: file.phases.drain.0,
            interval_ns: file.engine.interval.0,
            dataset,
            dataset_value: file.dataset.value,
            streams,
            credentials,
            spin_ns,
            file,
        })
    }

    fn credentials(&self, auth: &AuthTable) -> Result<Credentials, PlanError> {
        let path = ["client", "auth"];
        if auth.user.is_empty() || auth.user.contains(':') {
            return Err(self.error(
                &["client", "auth", "user"],
                "the user is empty or has a colon in it",
                "the scheme digest separates user and password by a colon",
            ));
        }
        let password = match (&auth.password_file, &auth.password_env) {
            (Some(file), None) => {
                let text = fs::read_to_string(file).map_err(|e| {
                    self.error(
                        &["client", "auth", "password_file"],
                        format!("cannot read the password from {file:?}: {e}"),
                        "name a file whose first line is the password",
                    )
                })?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            (None, Some(name)) => std::env::var(name).map_err(|_| {
                self.error(
                    &["client", "auth", "password_env"],
                    format!("the environment has no variable {name:?}"),
                    format!("set {name} to the password"),
                )
            })?,
            _ => {
                return Err(self.error(
                    &path,
                    "the password is to come from one place",
                    "give either password_file or password_env",
                ));
            }
        };
        if password.is_empty() {
            return Err(self.error(&path, "the password is empty", "put it into the first line"));
        }
        Ok(Credentials { user: auth.user.clone(), password })
    }

    fn stream(&self, i: usize, file: &WorkloadFile, dataset: Dataset) -> Result<Stream, PlanError> {
        let table = &file.stream[i];
        let number = i.to_string();
        let at = |key: &'static str| ["stream", number.as_str(), key];
        let error = |key: &'static str, message: String, help: &str| self.error(&at(key), message, help);
        let name = &table.name;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
            return Err(error(
                "name",
                format!("{name:?} is no name of a stream"),
                "write 1 to 64 small letters, digits, _ or -",
            ));
        }
        if TOP_LEVEL.contains(&name.as_str()) || RESERVED.contains(&name.as_str()) {
            return Err(error(
                "name",
                format!("{name:?} means something else in overrides or gates"),
                "choose another name",
            ));
        }
        let plain = |n: u64| n.to_string();
        self.within(&at("sessions"), table.sessions.into(), 1..=MAX_SESSIONS.into(), plain)?;
        self.within(&at("depth"), table.depth.into(), 1..=MAX_DEPTH, plain)?;
        let session_timeout = table.session_timeout.unwrap_or(file.client.session_timeout);
        self.within(&at("session_timeout"), session_timeout.0, 100_000_000..=3_600_000_000_000, |ns| {
            Dur(ns).to_string()
        })?;
        if let Some(Members::Numbers(numbers)) = &table.members
            && (numbers.is_empty() || numbers.contains(&0))
        {
            return Err(error(
                "members",
                "the list of members is empty, or has a 0 in it".into(),
                "members are numbered from 1, in the order of the target",
            ));
        }
        let mut stream = Stream {
            name: name.clone(),
            sessions: table.sessions,
            depth: table.depth,
            load: Load::Closed,
            ops: Vec::new(),
            life: None,
            keys: table.keys.unwrap_or(Keys::Uniform),
            nodes: self.nodes(&number, table, dataset)?,
            value: table.value.unwrap_or(file.dataset.value),
            placement: table.members.clone().unwrap_or(Members::All),
            policy: table.policy.unwrap_or(file.client.policy).0,
            session_timeout_ms: (session_timeout.0 / 1_000_000) as u32,
            history: table.history,
        };
        if let Some(life) = table.life {
            return self.life(&number, table, life, stream);
        }
        if let Some(watch) = table.watch {
            let given = [
                ("mix", !table.mix.is_empty()),
                ("rate", table.rate.is_some()),
                ("arrival", table.arrival.is_some()),
                ("backlog", table.backlog.is_some()),
                ("keys", table.keys.is_some()),
                ("nodes", table.nodes.is_some()),
                ("value", table.value.is_some()),
            ];
            if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(error(
                    key,
                    format!("a stream of watchers issues no ops, so it has no {key}"),
                    "leave it out, or put the ops into a stream of their own",
                ));
            }
            self.within(&at("watch"), watch.watchers.into(), 1..=table.sessions.into(), |n| {
                format!("watchers = {n}")
            })
            .map_err(|e| {
                e.with_help(format!(
                    "watchers of one path are on distinct sessions: from 1 to the {} sessions of the stream",
                    table.sessions
                ))
            })?;
            if watch.on == WatchOn::Exists && watch.kind != WatchKind::OneShot {
                return Err(error(
                    "watch",
                    format!("a {} watch is set by addWatch, not by {}", watch.kind.name(), watch.on.name()),
                    "leave `on` out, take on = \"children\", or kind = \"one-shot\"",
                ));
            }
            let mut checked = Watch { kind: watch.kind, on: watch.on, watchers: watch.watchers, paths: 0 };
            let most = if checked.is_on_parents() { dataset.parents() } else { dataset.nodes };
            checked.paths = watch.paths.unwrap_or(most);
            self.within(&at("watch"), checked.paths.into(), 1..=most.into(), |n| format!("paths = {n}"))?;
            stream.load = Load::Watch(checked);
            return Ok(stream);
        }
        stream.ops = self.mix(&number, &table.mix)?;
        if !stream.ops.iter().any(|op| op.kind.has_key()) {
            let given = [("keys", table.keys.is_some()), ("nodes", table.nodes.is_some())];
            if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
                let message = "no op of the mix is about a node of the dataset".to_owned();
                return Err(error(key, message, &format!("leave {key} out")));
            }
        }
        if table.value.is_some() && !stream.ops.iter().any(|op| op.kind.has_value()) {
            return Err(error("value", "no op of the mix writes a value".into(), "leave value out"));
        }
        for op in &stream.ops {
            if let OpKind::Multi(n) = op.kind {
                let bytes = u64::from(n) * (stream.value.max() + 100);
                if bytes > MAX_MULTI_BYTES || u32::from(n) > stream.nodes.count {
                    return Err(error(
                        "mix",
                        format!("multi({n}) would take up to {bytes} bytes and {n} nodes"),
                        "a request has at most 900,000 bytes, and its nodes are distinct ones of the stream's",
                    ));
                }
                if stream.keys == Keys::Own {
                    return Err(error(
                        "keys",
                        format!("multi({n}) writes several nodes, and a session has one of its own"),
                        "choose the keys in another way, or leave the multi out",
                    ));
                }
            }
        }
        stream.load = self.load(&number, table)?;
        Ok(stream)
    }

    /// The part of the dataset that a stream's keys are of.
    fn nodes(&self, number: &str, table: &StreamTable, dataset: Dataset) -> Result<Nodes, PlanError> {
        let [first, count] = table.nodes.unwrap_or([0, dataset.nodes]);
        if count == 0 || first.checked_add(count).is_none_or(|end| end > dataset.nodes) {
            return Err(self.error(
                &["stream", number, "nodes"],
                format!("the stream's nodes are {count}, from number {first} on"),
                format!("write [first, how many]: the dataset has {} nodes, numbered from 0", dataset.nodes),
            ));
        }
        if table.keys == Some(Keys::Own) && count < table.sessions {
            let key = if table.nodes.is_some() { "nodes" } else { "keys" };
            return Err(self.error(
                &["stream", number, key],
                format!("{} sessions are to have a node each of {count}", table.sessions),
                "give the stream at least as many nodes as sessions",
            ));
        }
        Ok(Nodes { first, count })
    }

    /// Who decides when a stream's ops start: its schedule, or the replies.
    fn load(&self, number: &str, table: &StreamTable) -> Result<Load, PlanError> {
        let error =
            |key: &str, message: String, help: &str| self.error(&["stream", number, key], message, help);
        let Some(profile) = &table.rate else {
            let given = [("arrival", table.arrival.is_some()), ("backlog", table.backlog.is_some())];
            return match given.into_iter().find(|(_, given)| *given) {
                Some((key, _)) => Err(error(
                    key,
                    format!("without a rate the stream is a closed loop, which has no {key}"),
                    "add a rate, or leave it out",
                )),
                None => Ok(Load::Closed),
            };
        };
        let backlog_s = table.backlog.unwrap_or(DEFAULT_BACKLOG).0 as f64 / 1e9;
        let backlog = profile.peak_rate() * backlog_s;
        let per_session = backlog / f64::from(table.sessions);
        if backlog > MAX_BACKLOG {
            let key = if table.backlog.is_some() { "backlog" } else { "rate" };
            return Err(error(
                key,
                format!("the backlog of {} would hold {backlog:.0} ops", Dur((backlog_s * 1e9) as u64)),
                "a stream's backlog holds at most 20,000,000: give a shorter backlog or a lower rate",
            ));
        }
        Ok(Load::Open {
            profile: profile.clone(),
            arrival: table.arrival.unwrap_or(Arrival::Poisson),
            backlog_per_session: (per_session.ceil() as usize).max(1),
        })
    }

    /// A stream of session lives.
    fn life(
        &self,
        number: &str,
        table: &StreamTable,
        life: LifeTable,
        mut stream: Stream,
    ) -> Result<Stream, PlanError> {
        let error =
            |key: &str, message: String, help: &str| self.error(&["stream", number, key], message, help);
        let cycle = life.cycle;
        let given = [
            ("mix", !table.mix.is_empty()),
            ("watch", table.watch.is_some()),
            ("value", table.value.is_some()),
            ("depth", ![1, default_depth()].contains(&table.depth)),
            ("keys", table.keys.is_some() && !cycle.reads()),
            ("nodes", table.nodes.is_some() && !cycle.reads()),
            ("rate", table.rate.is_some() && cycle == Cycle::Idle),
            ("arrival", table.arrival.is_some() && cycle == Cycle::Idle),
            ("backlog", table.backlog.is_some() && cycle == Cycle::Idle),
        ];
        if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err(error(
                key,
                format!("a stream of lives with cycle = \"{}\" has no {key}", cycle.name()),
                "leave it out, or put the ops into a stream of their own",
            ));
        }
        if life.hold.is_some() && !matches!(cycle, Cycle::Close | Cycle::Drop) {
            return Err(error(
                "life",
                format!("with cycle = \"{}\" no session is held", cycle.name()),
                "leave hold out, or take cycle = \"close\" or \"drop\"",
            ));
        }
        let hold = life.hold.unwrap_or(Dur(0));
        self.within(&["stream", number, "life", "hold"], hold.0, 0..=3_600_000_000_000, |ns| {
            Dur(ns).to_string()
        })?;
        stream.depth = 1;
        stream.life = Some(Life { cycle, hold_ns: hold.0 });
        stream.load = if cycle == Cycle::Idle { Load::Idle } else { self.load(number, table)? };
        Ok(stream)
    }

    fn mix(&self, number: &str, mix: &IndexMap<String, f64>) -> Result<Vec<StreamOp>, PlanError> {
        let error = |key: &str, message: String, help: String| {
            self.error(&["stream", number, "mix", key], message, help)
        };
        if mix.is_empty() {
            return Err(self.error(
                &["stream", number],
                "the stream has no mix",
                "add mix = { read = 90, write = 10 }, or watch = { kind = \"persistent\" }, or life = { cycle = \"close\" }",
            ));
        }
        if mix.len() > MAX_KINDS {
            return Err(self.error(
                &["stream", number, "mix"],
                format!("the mix has {} kinds of ops", mix.len()),
                format!("there may be {MAX_KINDS}"),
            ));
        }
        let mut ops = Vec::new();
        for (name, &weight) in mix {
            let Some(kind) = OpKind::from_name(name) else {
                let mut known: Vec<String> = OpKind::PLAIN.iter().map(ToString::to_string).collect();
                known.push("multi(n)".into());
                let near = nearest(name, known.iter().map(String::as_str))
                    .map(|n| format!("did you mean {n:?}? "))
                    .unwrap_or_default();
                return Err(error(
                    name,
                    format!("there is no op {name:?}"),
                    format!("{near}known: {}; n is 1 to {}", known.join(", "), OpKind::MULTI_MAX),
                ));
            };
            if !(weight > 0.0 && weight <= 1e9) {
                return Err(error(
                    name,
                    format!("the weight of {name} is {weight}"),
                    "write a number above 0, or leave the op out".into(),
                ));
            }
            if ops.iter().any(|op: &StreamOp| op.kind == kind) {
                return Err(error(name, format!("{kind} is there twice"), "write it once".into()));
            }
            ops.push(StreamOp { kind, weight });
        }
        let weight_of =
            |of: fn(OpKind) -> bool| ops.iter().filter(|op| of(op.kind)).map(|op| op.weight).sum::<f64>();
        let created = weight_of(OpKind::creates);
        let deleted = weight_of(|kind| kind == OpKind::Delete);
        if deleted > created {
            return Err(error(
                "delete",
                format!("the mix deletes {deleted} for {created} that it creates"),
                "delete takes what the session created before: give the creates at least the same weight"
                    .into(),
            ));
        }
        Ok(ops)
    }
}

/// Writes the defaults that were used into the fields, so that the record shows what was in effect.
fn complete(table: &mut StreamTable, stream: &Stream) {
    table.policy = Some(super::file::PolicyName(stream.policy));
    table.session_timeout = Some(Dur(u64::from(stream.session_timeout_ms) * 1_000_000));
    table.members = Some(stream.placement.clone());
    match &stream.load {
        Load::Watch(watch) => {
            if let Some(table) = &mut table.watch {
                table.paths = Some(watch.paths);
            }
            return;
        }
        Load::Open { arrival, .. } => {
            table.arrival = Some(*arrival);
            table.backlog.get_or_insert(DEFAULT_BACKLOG);
        }
        Load::Closed | Load::Idle => {}
    }
    if let Some(life) = stream.life {
        table.depth = stream.depth;
        if matches!(life.cycle, Cycle::Close | Cycle::Drop)
            && let Some(table) = &mut table.life
        {
            table.hold = Some(Dur(life.hold_ns));
        }
    }
    let has_key = stream.ops.iter().any(|op| op.kind.has_key());
    if has_key || stream.life.is_some_and(|life| life.cycle.reads()) {
        table.keys = Some(stream.keys);
        table.nodes = Some([stream.nodes.first, stream.nodes.count]);
    }
    if stream.ops.iter().any(|op| op.kind.has_value()) {
        table.value = Some(stream.value);
    }
}

#[cfg(test)]
mod tests;
