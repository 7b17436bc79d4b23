//! What GitHub's runner shows of a step: its summary and its annotations, within the runner's limits.

use super::checks::{Inconclusive, Outcome, cases, title};
use super::markdown::render_markdown;
use crate::Analysis;

/// Bytes of a step's summary; the runner takes nothing of a longer one.
pub const STEP_SUMMARY_BYTES: usize = 1024 * 1024;
/// Annotations of one type that a step may have; the runner drops what comes after them.
const ANNOTATIONS_OF_A_TYPE: usize = 10;

const CUT: &str =
    "\n\n> The rest was cut, as a step's summary holds 1 MiB. `quorumeter report RUN` prints all of it.\n";

/// The reports as Markdown in at most `room` bytes ([`STEP_SUMMARY_BYTES`] less what the step's summary holds already):
/// what is longer is cut at the end of a line, and says so. Without room for that, nothing.
pub fn render_step_summary(records: &[&Analysis], room: usize) -> String {
    let whole = records.iter().map(|analysis| render_markdown(analysis)).collect::<Vec<_>>().join("\n");
    if whole.len() <= room {
        return whole;
    }
    // What the cut leaves open has to be closed.
    let closing = |kept: &str| {
        let fence = if kept.matches("```").count() % 2 == 1 { "\n```\n" } else { "" };
        let is_folded = kept.matches("<details>").count() > kept.matches("</details>").count();
        format!("{fence}{}{CUT}", if is_folded { "\n</details>\n" } else { "" })
    };
    let mut kept = whole.as_str();
    while let Some(end) = kept.rfind('\n') {
        kept = &kept[..end];
        if kept.len() > room {
            // Far too long: the line's end before the room's.
            let mut end = room;
            while !kept.is_char_boundary(end) {
                end -= 1;
            }
            kept = &kept[..end];
            continue;
        }
        let closing = closing(kept);
        if kept.len() + closing.len() <= room {
            return kept.to_owned() + &closing;
        }
    }
    String::new()
}

/// Workflow commands, a line each: an error per gate or check that does not hold, a warning per one that was skipped and
/// per warning of the record. Of each type there are as many as the runner shows, the last of which counts the rest.
pub fn render_annotations(records: &[&Analysis], inconclusive: Inconclusive) -> String {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for analysis in records {
        let record = title(analysis);
        for case in cases(analysis) {
            let annotations = match (case.outcome, inconclusive) {
                (Outcome::Passed, _) => continue,
                (Outcome::Failed | Outcome::Error, _) | (Outcome::Inconclusive, Inconclusive::Fail) => {
                    &mut errors
                }
                (Outcome::Skipped, _) | (Outcome::Inconclusive, Inconclusive::Warn) => &mut warnings,
            };
            annotations.push((format!("{record}: {}", case.name), case.reason));
        }
        warnings.extend(analysis.summary.warnings.iter().map(|text| (record.clone(), text.clone())));
    }
    commands("error", &errors) + &commands("warning", &warnings)
}

fn commands(kind: &str, annotations: &[(String, String)]) -> String {
    let shown = match annotations.len() {
        n if n <= ANNOTATIONS_OF_A_TYPE => n,
        _ => ANNOTATIONS_OF_A_TYPE - 1,
    };
    let mut out: String =
        annotations[..shown].iter().map(|(title, text)| command(kind, title, text)).collect();
    if shown < annotations.len() {
        let rest = format!("{} more of this type: see the report", annotations.len() - shown);
        out.push_str(&command(kind, "quorumeter", &rest));
    }
    out
}

/// `::error title=…::…`. A command without a message is not shown, so that the title stands in for it.
fn command(kind: &str, title: &str, message: &str) -> String {
    let message = if message.trim().is_empty() { title } else { message };
    let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{kind} title={title}::{}\n", escaped(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use quorumeter_record::{GateOutcome, GateResult};

    fn failed(n: usize) -> Analysis {
        let mut analysis = fixture::analysis();
        let gate = |i| GateResult {
            gate: format!("gate {i}"),
            measured: None,
            outcome: GateOutcome::Failed,
            reason: format!("reason {i}"),
        };
        analysis.summary.gates = (0..n).map(gate).collect();
        analysis
    }

    #[test]
    fn annotations_tell_what_does_not_hold() {
        assert_eq!(render_annotations(&[&fixture::analysis()], Inconclusive::Fail), "");
        let mut analysis = failed(1);
        analysis.summary.warnings = vec!["a warning".to_owned()];
        analysis.summary.gates[0].gate = "app.write: 5%, or so".to_owned();
        analysis.summary.gates[0].reason = "100% off,\r\nas: it\nis".to_owned();
        assert_eq!(
            render_annotations(&[&analysis], Inconclusive::Fail),
            "::error title=mixed on embedded%3A1%3A app.write%3A 5%25%2C or so::100%25 off,%0D%0Aas: it%0Ais\n\
             ::warning title=mixed on embedded%3A1::a warning\n"
        );
    }

    #[test]
    fn there_are_no_more_annotations_than_the_runner_shows() {
        for (gates, lines) in [(9, 9), (10, 10), (11, 10), (60, 10)] {
            let analysis = failed(gates);
            let annotations = render_annotations(&[&analysis], Inconclusive::Fail);
            assert_eq!(annotations.lines().count(), lines, "{annotations}");
            let last = annotations.lines().last().unwrap();
            assert_eq!(last.contains("more of this type"), gates > 10, "{last}");
        }
        let last = render_annotations(&[&failed(60)], Inconclusive::Fail);
        assert!(last.ends_with("::51 more of this type: see the report\n"), "{last}");
    }

    #[test]
    fn what_cannot_be_told_is_a_warning_where_it_is_to_be_one() {
        let mut analysis = failed(1);
        analysis.summary.gates[0].outcome = GateOutcome::Inconclusive;
        assert!(render_annotations(&[&analysis], Inconclusive::Fail).starts_with("::error "));
        assert!(render_annotations(&[&analysis], Inconclusive::Warn).starts_with("::warning "));
    }

    #[test]
    fn a_summary_that_is_too_long_is_cut_where_it_can_be_and_says_so() {
        let analysis = fixture::failover();
        let whole = render_step_summary(&[&analysis, &analysis], STEP_SUMMARY_BYTES);
        assert_eq!(whole.matches("### ").count(), 2);
        assert!(!whole.contains("was cut"));
        let mut fits = 0;
        for room in (0..whole.len()).step_by(7) {
            let cut = render_step_summary(&[&analysis, &analysis], room);
            assert!(cut.len() <= room);
            if !cut.is_empty() {
                fits += 1;
                assert!(cut.ends_with(CUT), "{cut}");
                assert_eq!(cut.matches("```").count() % 2, 0);
                assert_eq!(cut.matches("<details>").count(), cut.matches("</details>").count(), "{cut}");
            }
        }
        assert!(fits > 100);
    }
}
