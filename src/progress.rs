//! What a run shows while it goes, on standard error: one bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quorumeter_experiments::{Numbers, Observer};
use quorumeter_record::Phase;
use quorumeter_results::figures;

use crate::diagnose::say;

/// Shows a run.
pub(crate) enum Progress {
    /// One line that changes.
    Bar(ProgressBar),
    /// One line per interval.
    Lines {
        /// The tenth of the prefill that was told last.
        tenth: u64,
    },
}

impl Progress {
    /// The right one for standard error.
    pub(crate) fn new() -> Progress {
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{msg}"));
            Progress::Bar(bar)
        } else {
            Progress::Lines { tenth: 0 }
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        match self {
            Progress::Bar(bar) => bar.println(text),
            Progress::Lines { .. } => say(text),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Connect => "connect",
        Phase::Precheck => "precheck",
        Phase::Prefill => "prefill",
        Phase::Warmup => "warm-up",
        Phase::Measure => "measure",
        Phase::Drain => "drain",
        Phase::Cleanup => "clean up",
    }
}

impl Observer for Progress {
    fn phase(&mut self, phase: Phase, detail: &str) {
        let text =
            if detail.is_empty() { name(phase).to_owned() } else { format!("{}: {detail}", name(phase)) };
        match self {
            Progress::Bar(bar) => {
                let template = match phase {
                    Phase::Prefill | Phase::Warmup | Phase::Measure => "{prefix:9} {bar:24} {msg}",
                    _ => "{prefix:9} {msg}",
                };
                bar.set_style(style(template));
                bar.set_prefix(name(phase));
                bar.set_message(detail.to_owned());
                bar.tick();
            }
            Progress::Lines { .. } => say(&text),
        }
    }

    fn prefill(&mut self, done: u64, total: u64) {
        match self {
            Progress::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Progress::Lines { tenth } => {
                let now = done * 10 / total.max(1);
                if now > *tenth && total >= 100_000 {
                    *tenth = now;
                    say(&format!("prefill: {done} of {total}"));
                }
            }
        }
    }

    fn interval(&mut self, numbers: &Numbers, elapsed_s: f64, planned_s: f64) {
        let p99 = numbers.p99_ns.map_or_else(|| "-".to_owned(), figures::duration);
        let p99 = if numbers.p99_is_lower_bound { format!("≥{p99}") } else { p99 };
        let text = format!(
            "{} ok, p99 {p99}, errors {}, in flight {}, waiting {}",
            figures::rate(numbers.rate),
            numbers.errors,
            numbers.in_flight,
            numbers.waiting
        );
        match self {
            Progress::Bar(bar) => {
                bar.set_length((planned_s * 1000.0) as u64);
                bar.set_position((elapsed_s * 1000.0) as u64);
                bar.set_message(text);
            }
            Progress::Lines { .. } => say(&format!("{elapsed_s:7.1} s  {text}")),
        }
    }

    fn notice(&mut self, text: &str) {
        self.say(text);
    }
}
