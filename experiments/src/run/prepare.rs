//! Before the load: connect, precheck, prefill, watches.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use quorumeter_loadgen::plan::Stream;
use quorumeter_loadgen::{Engine, Told, WatchFailure, values};
use quorumeter_record::{EventKind, Phase, TargetInfo};
use quorumeter_targets::session::Timeouts;
use quorumeter_targets::zookeeper::driver::resolve;
use quorumeter_targets::zookeeper::root::root_path;
use quorumeter_targets::zookeeper::{Auth, Client, DialSettings, Layout, Root, ZooKeeper};
use quorumeter_targets::{TargetUrl, TlsOptions};
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::{Instant, sleep};

use super::control::{Control, Held, LOOK, Probes, keep_control};
use super::{ENSEMBLE_DIR, RunError, TargetSpec};
use crate::ensembles;
use crate::failover::conduct::roles_now;
use crate::live;
use crate::precheck;
use crate::secrets;

/// How long the target may take to give the first session.
const FIRST_SESSION_LIMIT: Duration = Duration::from_secs(5);
/// How long watches may take to be set.
const ARM_LIMIT: Duration = Duration::from_secs(60);

impl Control<'_> {
    /// Everything before the load.
    pub(super) async fn prepare(&mut self, held: &mut Held) -> Result<(), RunError> {
        let url = self.launch(held).await?;
        self.begin_phase(Phase::Connect, &url.to_string());
        self.live.members(&url, held.launched.as_ref());
        let tls = url.tls.as_ref().map(TlsOptions::load).transpose()?;
        held.members = resolve(&url.members, tls.as_ref()).await.map_err(RunError::Resolve)?;
        if let Some((stream, number)) = precheck::missing_member(&self.workload, held.members.len()) {
            let members = held.members.len();
            return Err(RunError::NoSuchMember { stream, number, members });
        }
        let settings = DialSettings {
            auth: self.workload.credentials.as_ref().map(|c| Auth::digest(&c.user, &c.password)),
            read_only: self.workload.file.client.read_only,
        };
        // Who prepares a run and removes what it made has to write.
        let writing = DialSettings { read_only: false, ..settings.clone() };
        let client = self.connect_control(held, &url, writing).await?;
        // Connections and answers are waited for longer than a short session lives.
        self.keep(held, &client);
        let local = precheck::on_this_machine(&held.members);
        let workers = precheck::workers(&self.workload, local);
        let values = values::pool(self.workload.largest_value(), self.workload.seed);
        let layout = Layout {
            root: root_path(&url.chroot, &self.manifest.run_id),
            dataset: self.workload.dataset,
            streams: self.workload.streams.iter().map(|s| s.name.clone()).collect(),
        };
        let driver =
            ZooKeeper::new(held.members.clone(), settings.clone(), layout.clone(), Arc::clone(&values));
        let (live_in, live_out) = channel();
        held.live = Some(live_out);
        // Only who breaks the members looks at single ops.
        let looked_at = self.faults.is_some();
        let (history_in, history) = channel();
        let live = self.live.clone();
        let write_probes = live::write_probes(&self.workload, self.manifest.failover.as_ref());
        held.probes = Some(Probes { history, dial: settings.clone(), layout: layout.clone() });
        held.engine = Some(Engine::start(
            &driver,
            Arc::clone(&self.workload),
            workers,
            values.len(),
            self.clock,
            Arc::clone(&self.record),
            Box::new(move |told| {
                live.engine(told, &write_probes);
                // Without anybody who looks the run is over.
                let _ = match told {
                    Told::Interval(interval) => live_in.send(interval.lines.to_vec()).is_ok(),
                    Told::Events(_) => true,
                    Told::History(rows) => looked_at && history_in.send(rows.to_vec()).is_ok(),
                };
            }),
        )?);
        self.wait_for_sessions(held).await?;

        self.begin_phase(Phase::Precheck, "");
        self.describe_target(held, &url, &layout, local, &client).await?;
        let members = self.manifest.target.iter().flat_map(|target| &target.members);
        if let Some((stream, cause)) = precheck::missing_watch(&self.workload, members) {
            return Err(self.no_such_watch(stream, cause));
        }
        self.look_for_victims(held).await?;
        held.stop_keeper().await;
        let root = held.root.insert(Root::new(&url.chroot, &self.manifest.run_id));
        root.claim(&mut *client.lock().await).await?;
        self.begin_phase(Phase::Prefill, &format!("{} nodes", self.workload.dataset.nodes));
        self.prefill(held, &layout, &client, &values).await?;
        self.keep(held, &client);
        self.arm(held).await
    }

    /// Whether there is anybody to do the fault to; tells what the user should know of it.
    async fn look_for_victims(&mut self, held: &Held) -> Result<(), RunError> {
        let Some(faults) = &self.faults else { return Ok(()) };
        let (fault, victim) = (faults.settings.fault, faults.settings.victim);
        let roles = roles_now(&held.members).await.map_err(io::Error::other)?;
        for text in fault.needs(victim, &roles)? {
            self.observer.notice(&text);
            self.event(EventKind::Warning { text });
        }
        Ok(())
    }

    /// Keeps the control's session alive, and the run's lock once it is there.
    fn keep(&self, held: &mut Held, client: &Rc<tokio::sync::Mutex<Client>>) {
        let (client, root) = (Rc::clone(client), held.root.clone());
        held.keeper = Some(spawn_local(keep_control(client, root, Arc::clone(&self.record), self.clock)));
    }

    /// Starts the ensemble, if the run is to have one of its own.
    async fn launch(&mut self, held: &mut Held) -> Result<TargetUrl, RunError> {
        let (spec, settings) = match &self.target {
            TargetSpec::Url(url) => return Ok(url.clone()),
            TargetSpec::Ensemble { spec, settings } => (*spec, settings.clone()),
        };
        self.observer.notice(&format!("starting {spec}"));
        let (dir, quorumeter) = (self.dir.join(ENSEMBLE_DIR), self.quorumeter.clone());
        let start = move || ensembles::start(spec, &dir, &settings, &quorumeter);
        let launched = held.starting.insert(spawn_blocking(start)).await;
        held.starting = None;
        let launched = held.launched.insert(Arc::new(launched.map_err(io::Error::from)??));
        Ok(ensembles::url_of(launched))
    }

    async fn connect_control(
        &mut self,
        held: &mut Held,
        url: &TargetUrl,
        settings: DialSettings,
    ) -> Result<Rc<tokio::sync::Mutex<Client>>, RunError> {
        let session_ms = (self.workload.file.client.session_timeout.0 / 1_000_000) as u32;
        let timeouts = Timeouts { session_ms, connect_ms: 2000, read_share: 2.0 / 3.0 };
        let limit = FIRST_SESSION_LIMIT.min(Duration::from_nanos(self.workload.file.client.connect_limit.0));
        let client = Client::connect(held.members.clone(), timeouts, settings, limit).await;
        let client = client.map_err(|source| RunError::Target { target: url.to_string(), source })?;
        Ok(Rc::clone(held.client.insert(Rc::new(tokio::sync::Mutex::new(client)))))
    }

    async fn wait_for_sessions(&mut self, held: &Held) -> Result<(), RunError> {
        let limit = Duration::from_nanos(self.workload.file.client.connect_limit.0);
        let begun = Instant::now();
        loop {
            let Some(engine) = &held.engine else { return Ok(()) };
            let state = engine.connecting();
            if state.connected == state.sessions {
                return Ok(());
            }
            if engine.is_finished() || begun.elapsed() > limit {
                let waited_s = begun.elapsed().as_secs_f64();
                let mut last = state.last_failure.unwrap_or_else(|| "none".into());
                if let Some(reason) = self.read_only_members(held).await {
                    last = format!("{last}\n{reason}");
                }
                return Err(RunError::Sessions {
                    connected: state.connected,
                    sessions: state.sessions,
                    waited_s,
                    last,
                });
            }
            sleep(LOOK).await;
        }
    }

    /// What a read-only member has to do with sessions that get no connection; it closes them without a word.
    async fn read_only_members(&self, held: &Held) -> Option<String> {
        let members = precheck::members(&held.members, &[]).await;
        let found = members.iter().filter(|member| member.role.as_deref() == Some("read-only"));
        let found: Vec<&str> = found.map(|member| member.address.as_str()).collect();
        let advice = match self.workload.file.client.read_only {
            true => "makes sessions only if it has localSessionsEnabled=true",
            false => "takes no sessions without --set client.read_only=true",
        };
        (!found.is_empty())
            .then(|| format!("{} has lost its quorum, is read-only, and {advice}.", found.join(", ")))
    }

    async fn describe_target(
        &mut self,
        held: &Held,
        url: &TargetUrl,
        layout: &Layout,
        on_this_machine: bool,
        client: &Rc<tokio::sync::Mutex<Client>>,
    ) -> Result<(), RunError> {
        let launched = held.launched.as_deref();
        let pids: Vec<_> = launched.iter().flat_map(|l| &l.members).map(|m| (m.address, m.pid)).collect();
        let members = precheck::members(&held.members, &pids).await;
        let told = members.iter().filter_map(|m| Some((m.address.clone(), m.role.clone()?)));
        held.roles.borrow_mut().extend(told);
        self.manifest.target = Some(TargetInfo {
            system: url.system.name().to_owned(),
            launched: launched.map(|l| l.kind.to_string()),
            url: url.to_string(),
            root: layout.root.clone(),
            members,
            settings: launched.map(|l| secrets::settings(&l.settings)).unwrap_or_default(),
            session_timeout_ns: client.lock().await.session_timeout().as_nanos() as u64,
            fsync: launched.map_or_else(|| "unknown".to_owned(), |l| l.fsync.to_string()),
            on_this_machine,
        });
        self.record().manifest(&self.manifest)?;
        Ok(())
    }

    async fn prefill(
        &mut self,
        held: &Held,
        layout: &Layout,
        client: &Rc<tokio::sync::Mutex<Client>>,
        values: &Arc<[u8]>,
    ) -> Result<(), RunError> {
        let Some(root) = &held.root else { return Ok(()) };
        let mut chooser = values::ValueChooser::new(self.workload.dataset_value, values.len());
        let mut random = rand_xoshiro::rand_core::SeedableRng::seed_from_u64(self.workload.seed);
        let value = |_key| {
            let value = chooser.next_value(&mut random);
            &values[value.offset as usize..][..value.len as usize]
        };
        let creating: Vec<u32> = self.workload.streams.iter().map(Stream::creating_sessions).collect();
        let observer = &mut *self.observer;
        let mut client = client.lock().await;
        let progress = |done, total| observer.prefill(done, total);
        Ok(root.prefill(&mut client, layout, &creating, value, progress).await?)
    }

    /// The error that a stream's watches cannot be set.
    fn no_such_watch(&self, stream: usize, cause: String) -> RunError {
        let stream = &self.workload.streams[stream];
        let watch = stream.watch().map(|watch| watch.name()).unwrap_or_default();
        let advice = precheck::watch_advice(&watch);
        RunError::NoSuchWatch { stream: stream.name.clone(), watch, cause, advice }
    }

    async fn arm(&mut self, held: &Held) -> Result<(), RunError> {
        let Some(engine) = &held.engine else { return Ok(()) };
        engine.arm_watches();
        let begun = Instant::now();
        while !engine.watches_are_armed() {
            if let Some(WatchFailure { stream, cause }) = engine.watch_failure() {
                return Err(self.no_such_watch(stream, cause));
            }
            if begun.elapsed() > ARM_LIMIT {
                return Err(RunError::Watches(ARM_LIMIT.as_secs()));
            }
            if engine.is_finished() {
                break;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}
