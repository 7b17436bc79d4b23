//! `quorumeter calibrate`

use std::path::PathBuf;

use quorumeter_experiments::{CalibrateOptions, calibrate, calibration};
use quorumeter_loadgen::plan::units::Dur;
use quorumeter_results::render_calibration;

use crate::progress::Progress;
use crate::run::own_program;
use crate::{EXIT_ENVIRONMENT, diagnose};

/// Ended early.
const EXIT_INCONCLUSIVE: u8 = 4;

/// What an op costs the generator by depth, how well its timers keep time, and the highest rate that it can offer: all
/// against the null server on this machine, in one to two minutes. What it finds is kept, and shown in the reports of
/// later runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the calibration as JSON.
    #[arg(long)]
    json: bool,
    /// Length of each of some 40 steps, as in 3s.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    duration: Dur,
    /// Worker threads of the generator; half of the cores when left out, as in a run on this machine.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    workers: Option<u32>,
    /// Keep the calibration in this file, where later runs do not look; in the user's state folder when left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: Args) -> Result<u8, u8> {
    let options = CalibrateOptions {
        step_ns: args.duration.0,
        workers: args.workers,
        command_line: crate::run::command_line(),
        quorumeter: own_program()?,
    };
    let mut progress = Progress::new();
    let calibration = calibrate(&options, &mut progress);
    progress.finish();
    let calibration = calibration.map_err(|error| diagnose::fail(&error, error.exit_code()))?;
    let text = if args.json {
        let json = serde_json::to_string_pretty(&calibration);
        json.map_err(|error| diagnose::fail(&error, EXIT_ENVIRONMENT))? + "\n"
    } else {
        render_calibration(&calibration)
    };
    if !diagnose::print(&text) {
        return Err(EXIT_ENVIRONMENT);
    }
    if !calibration.complete {
        return Ok(EXIT_INCONCLUSIVE);
    }
    let Some(path) = args.out.or_else(calibration::default_path) else {
        eprintln!(
            "error: there is neither XDG_STATE_HOME nor HOME to keep the calibration below; name a file with --out"
        );
        return Err(EXIT_ENVIRONMENT);
    };
    calibration::store(&path, &calibration).map_err(|error| {
        eprintln!("error: the calibration cannot be kept in {}: {error}", path.display());
        EXIT_ENVIRONMENT
    })?;
    eprintln!("kept in {}", path.display());
    Ok(0)
}
