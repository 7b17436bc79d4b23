//! Errors on their way to a person.

use std::error::Error;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report};
use quorumeter_loadgen::plan::PlanError;
use quorumeter_loadgen::plan::read::MAX_FILE;
use quorumeter_targets::TargetUrl;

use crate::EXIT_USAGE;

/// Writes a line to standard error. Who does not read it any more is told nothing: a measurement goes on to its record and
/// leaves nothing behind all the same.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints an error with its causes, and returns the exit code given.
pub(crate) fn fail(error: &dyn Error, code: u8) -> u8 {
    say(&format!("error: {error}"));
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Most errors say their cause themselves.
        if !error.to_string().contains(&inner.to_string()) {
            say(&format!("  because: {inner}"));
        }
        cause = inner.source();
    }
    code
}

/// Prints a message, and returns the exit code for wrong usage.
pub(crate) fn usage(message: &str) -> u8 {
    say(&format!("error: {message}"));
    EXIT_USAGE
}

/// Reads a target URL. What it says of a wrong one repeats no part that may be a secret.
pub(crate) fn target(url: &str) -> Result<TargetUrl, u8> {
    url.parse().map_err(|error| usage(&format!("--target: {error}")))
}

/// Prints a plan's error with the place in the file that it is about.
pub(crate) fn plan(error: &PlanError, name: &str, text: &str) -> u8 {
    let mut diagnostic = MietteDiagnostic::new(error.to_string());
    diagnostic.help = error.help.clone();
    if let Some(span) = &error.span {
        // Whole tables are long: their first line is enough.
        let end = text[span.clone()].find('\n').map_or(span.end, |n| span.start + n);
        diagnostic.labels = Some(vec![LabeledSpan::underline(span.start..end)]);
    }
    let report = Report::new(diagnostic).with_source_code(NamedSource::new(name, text.to_owned()));
    say(&format!("{report:?}"));
    EXIT_USAGE
}

/// Reads a workload file. The error is a whole message.
pub(crate) fn read_workload(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let io = |e: io::Error| format!("cannot read the workload {shown}: {e}");
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return Err(format!(
            "the workload {shown} is a folder; name a TOML file, such as workloads/default.toml"
        ));
    }
    // What a file says of its length is no promise: devices and pipes have none.
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(io)?;
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > MAX_FILE {
        return Err(format!(
            "the workload {shown} has more than {MAX_FILE} bytes, and no workload needs as many; name a TOML file, such \
             as workloads/default.toml"
        ));
    }
    String::from_utf8(bytes).map_err(|_| {
        format!("the workload {shown} is no text; a workload is TOML, such as workloads/default.toml")
    })
}

/// Writes to standard output. A reader that has gone away (`| head`) is no error.
pub(crate) fn print(text: &str) -> bool {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => true,
        Err(e) => {
            say(&format!("error: cannot write to standard output: {e}"));
            false
        }
    }
}
