//! The command line of Quorumeter: one file per command. Arguments in, presentation out; the work is done in the
//! rooms below.

mod audience;
mod calibrate;
mod ci;
mod clean;
mod compare;
mod diagnose;
mod ensemble;
mod export;
mod failover;
mod measured;
mod member;
mod progress;
mod report;
mod run;
mod schema;
mod targets;
mod tls;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmark and observability suite for ZooKeeper-compatible ensembles.
///
/// Exit codes: 0 pass, 1 usage or configuration, 2 gate failed, 3 safety violated, 4 inconclusive, 5 environment.
#[derive(Debug, Parser)]
#[command(name = "quorumeter", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure: run a workload, and report what the ensemble did.
    Run(Box<run::Args>),
    /// Measure how long clients are without the ensemble when a member dies, hangs or goes.
    Failover(Box<failover::Args>),
    /// Report on a run record that was made before.
    Report(report::Args),
    /// Put records side by side, or judge them against a baseline.
    Compare(compare::Args),
    /// Tell of ensembles over HTTP, for Prometheus.
    Export(Box<export::Args>),
    /// Start ensembles to measure.
    Ensemble(ensemble::Args),
    /// Measure what this machine's generator can do, against a server that does nothing.
    Calibrate(calibrate::Args),
    /// Remove what killed runs left behind at a target.
    Clean(clean::Args),
    /// Show what each kind of system can do, and what every op means there.
    Targets(targets::Args),
    /// Print the JSON Schema of workload files.
    Schema,
    /// Be a member of an ensemble; for this program itself.
    #[command(hide = true)]
    Member(member::Args),
    /// Become another program that ends when the parent does; for this program itself.
    #[command(hide = true)]
    Child(member::ChildArgs),
}

/// Usage or configuration.
const EXIT_USAGE: u8 = 1;
/// Environment or harness.
const EXIT_ENVIRONMENT: u8 = 5;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let code = match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Failover(args) => failover::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Ensemble(args) => ensemble::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Clean(args) => clean::run(&args),
        Command::Targets(args) => targets::run(&args),
        Command::Schema => schema::run(),
        Command::Member(args) => member::run(&args),
        Command::Child(args) => member::become_child(&args),
    };
    ExitCode::from(code)
}
