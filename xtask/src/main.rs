//! Automation: real servers, tests, generated files. `cargo xtask help` tells what there is.

mod bench;
mod capture;
mod generate;
mod metrics;
mod servers;
mod test;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use xtask::root;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Automation of this repository")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install pinned real servers, and tools that tests need, into the cache.
    Servers {
        /// Which; all of them when none is given.
        names: Vec<String>,
        /// Tell what there is and what is installed, and do nothing.
        #[arg(long)]
        list: bool,
    },
    /// Write the files that are generated from code.
    Generate {
        /// Write nothing, and fail when a file is not what it should be.
        #[arg(long)]
        check: bool,
    },
    /// Render the monitoring mixin with other knobs than those of the committed files.
    Mixin {
        /// A knob of dashboards/config.libsonnet, as often as wanted; `a.b` is a key inside another.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        knobs: Vec<String>,
        /// Folder to write into; made if it is not there.
        #[arg(long)]
        out: PathBuf,
    },
    /// Write what real members tell into the fixtures of the exporters' tests.
    Capture {
        /// Of which system; all of them when none is given.
        systems: Vec<capture::System>,
    },
    /// Build for release, run the benchmarks that compare, and print the README's table of them.
    Bench,
    /// Check format, lints and generated files, then run every test and every sample workload.
    Test {
        /// Do not install real servers. Tests that need one which is not there are skipped, and named.
        #[arg(long)]
        no_servers: bool,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Servers { list: true, .. } => servers::list(),
        Task::Servers { names, .. } => servers::install(&names),
        Task::Generate { check: true } => generate::check(),
        Task::Generate { .. } => generate::write(),
        Task::Mixin { knobs, out } => generate::write_mixin(&knobs, &out),
        Task::Capture { systems } => capture::run(&systems),
        Task::Bench => bench::run(),
        Task::Test { no_servers } => return test::run(!no_servers),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs cargo at the root of the checkout.
fn cargo(args: &[&str]) -> Result<(), String> {
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    match Command::new("cargo").args(args).current_dir(root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo {} failed ({status})", args[0])),
        Err(error) => Err(format!("cargo cannot be run: {error}")),
    }
}
