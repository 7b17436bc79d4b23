//! The hidden commands behind launched members.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use quorumeter_ensemble::launch::child;
use quorumeter_ensemble::{embedded, null};

use crate::run::key_value;
use crate::{EXIT_ENVIRONMENT, diagnose};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    kind: Kind,
    /// File to write the address to.
    #[arg(long)]
    announce: PathBuf,
    /// Where to listen.
    #[arg(long)]
    address: SocketAddr,
    /// Setting of the server, checked by whoever starts it.
    #[arg(long, value_parser = key_value)]
    setting: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Embedded,
    Null,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ChildArgs {
    /// The process that this one is to end with.
    #[arg(long)]
    parent_pid: u32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> u8 {
    let result = match args.kind {
        Kind::Embedded => {
            let announce = Some(args.announce.clone());
            let mut options = embedded::Options { announce, address: args.address, ..Default::default() };
            let set = args.setting.iter().try_for_each(|(key, value)| options.set(key, value));
            set.map_err(io::Error::other).and_then(|()| embedded::serve(options))
        }
        Kind::Null => {
            let announce = Some(args.announce.clone());
            let mut options = null::Options { announce, address: args.address, ..Default::default() };
            let value_len = args.setting.iter().find(|(key, _)| key == "valueBytes");
            options.value_len = value_len.and_then(|(_, v)| v.parse().ok()).unwrap_or(options.value_len);
            null::serve(&options)
        }
    };
    match result {
        Ok(()) => 0,
        Err(error) => diagnose::fail(&error, EXIT_ENVIRONMENT),
    }
}

pub(crate) fn become_child(args: &ChildArgs) -> u8 {
    let Some((program, arguments)) = args.command.split_first() else { return EXIT_ENVIRONMENT };
    // It only comes back when it failed.
    let error = child::become_child(args.parent_pid, program, arguments);
    diagnose::fail(&error, EXIT_ENVIRONMENT)
}
