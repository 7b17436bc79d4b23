//! Why a run could not be done, and the exit code that this is.

use std::io;

use crate::failover::SettingsError;
use crate::live::AudienceError;
use quorumeter_ensemble::faults::NoVictim;
use quorumeter_ensemble::launch::LaunchError;
use quorumeter_loadgen::EngineError;
use quorumeter_record::{ReadError, WriteError};
use quorumeter_results::GateError;
use quorumeter_targets::TlsError;
use quorumeter_targets::session::ConnectError;
use quorumeter_targets::zookeeper::RootError;
use quorumeter_targets::zookeeper::client::ClientError;

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A requirement will not do.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The workload asks for a member that is not there.
    #[error("stream {stream:?} asks for member {number}, and the target has {members}")]
    NoSuchMember {
        /// The stream.
        stream: String,
        /// The number it asks for.
        number: u32,
        /// How many members there are.
        members: usize,
    },
    /// A failover measurement makes no sense as it was asked for.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is nobody to do the fault to.
    #[error(transparent)]
    Victim(#[from] NoVictim),
    /// Nothing is known of how to do a fault there.
    #[error(
        "an ensemble elsewhere has to be told how a fault is done: give --fault-command and --clear-command, or \
         measure one that this tool starts, as with --ensemble zookeeper:3"
    )]
    NoMeans,
    /// The fault cannot be done by what was given for it.
    #[error("{0}")]
    Means(String),
    /// The fault would take away what the member has, by its very nature.
    #[error(
        "a member of kind {kind} keeps everything in memory, so that its end loses what it acknowledged; measure \
         zookeeper:3, or take --fault pause"
    )]
    NothingKept {
        /// What the member is.
        kind: String,
    },
    /// The ensemble could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A member's name has no address.
    #[error("{0}")]
    Resolve(String),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There was no session to be had for the control of the run.
    #[error("cannot connect to {target}: {source}\n{}", next_step(source))]
    Target {
        /// The target.
        target: String,
        /// Why not.
        source: ClientError,
    },
    /// Not all sessions got a connection.
    #[error(
        "only {connected} of {sessions} sessions are connected after {waited_s:.0} s; the last failure: {last}\n\
         See maxClientCnxns of the servers, or allow more time with --set client.connect_limit=60s"
    )]
    Sessions {
        /// How many did.
        connected: u32,
        /// How many should have.
        sessions: u32,
        /// How long they had.
        waited_s: f64,
        /// The last failure.
        last: String,
    },
    /// The watches were not set in time.
    #[error("the watches are not set after {0} s; use fewer paths or watchers")]
    Watches(u64),
    /// A stream's watches are none that the target has.
    #[error("stream {stream:?} cannot set its {watch} watches: {cause}; {advice}")]
    NoSuchWatch {
        /// The stream.
        stream: String,
        /// What kind of watches, on what.
        watch: String,
        /// How that is known.
        cause: String,
        /// What to do.
        advice: String,
    },
    /// The root could not be claimed or filled.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The record could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The record could not be read again.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nobody can be told of it.
    #[error(transparent)]
    Audience(#[from] AudienceError),
    /// The operating system.
    #[error("cannot set the run up: {0}")]
    Setup(#[from] io::Error),
    /// A second signal came.
    #[error("stopped at once by a second signal; `quorumeter clean` removes what is left at the target")]
    Killed,
}

/// What to do about a target that gives no session.
fn next_step(error: &ClientError) -> &'static str {
    match error {
        ClientError::Connect(ConnectError::ReadOnly(_)) => {
            "A run writes before it reads: it makes znodes of its own. What a member does that becomes read-only while \
             it is measured can be seen with --set client.read_only=true."
        }
        _ => "Is the target running, and does it speak ZooKeeper's protocol?",
    }
}

impl RunError {
    /// The exit code: 1 for what the user asked wrongly, 5 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Gate(_)
            | RunError::Settings(_)
            | RunError::Victim(_)
            | RunError::NoMeans
            | RunError::Means(_)
            | RunError::NothingKept { .. }
            | RunError::NoSuchMember { .. }
            | RunError::Tls(_)
            | RunError::Audience(_)
            | RunError::Launch(LaunchError::Setting { .. } | LaunchError::Members { .. })
            | RunError::Write(WriteError::NotEmpty(_)) => 1,
            _ => 5,
        }
    }
}
