//! JUnit XML: a suite per record, a case per gate and per check.
//!
//! | of a case | is |
//! |---|---|
//! | `failure` | a gate or a guarantee that does not hold; what cannot be concluded, unless that is to be a warning |
//! | `error` | the environment or the tool failed |
//! | `skipped` | what was not done here, and what cannot be concluded where that is a warning |

use std::fmt::Write;

use super::checks::{Case, Inconclusive, Outcome, cases, title};
use crate::Analysis;

/// The records as one document.
pub fn render_junit(records: &[&Analysis], inconclusive: Inconclusive) -> String {
    let mut totals = [0; 4];
    let mut suites = String::new();
    for analysis in records {
        let cases = cases(analysis);
        let counts = counts(&cases, inconclusive);
        for (total, n) in totals.iter_mut().zip(counts) {
            *total += n;
        }
        let started = &analysis.manifest.wall_start.rfc3339;
        let _ = writeln!(
            suites,
            r#"  <testsuite name="{}" {} time="{}" timestamp="{}">"#,
            attribute(&title(analysis)),
            attributes(counts),
            analysis.end_ns as f64 / 1e9,
            attribute(started.trim_end_matches('Z'))
        );
        let properties = [
            ("run_id", &analysis.summary.run_id),
            ("quorumeter", &analysis.manifest.tool.version),
            ("kernel", &analysis.manifest.environment.kernel),
        ];
        suites.push_str("    <properties>\n");
        for (name, value) in properties {
            let _ = writeln!(suites, r#"      <property name="{name}" value="{}"/>"#, attribute(value));
        }
        suites.push_str("    </properties>\n");
        for case in &cases {
            suites.push_str(&testcase(&title(analysis), case, inconclusive));
        }
        suites.push_str("  </testsuite>\n");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"quorumeter\" {}>\n{suites}</testsuites>\n",
        attributes(totals)
    )
}

/// The element that an outcome becomes; `None` of what passed.
fn element(outcome: Outcome, inconclusive: Inconclusive) -> Option<&'static str> {
    match (outcome, inconclusive) {
        (Outcome::Passed, _) => None,
        (Outcome::Failed, _) | (Outcome::Inconclusive, Inconclusive::Fail) => Some("failure"),
        (Outcome::Error, _) => Some("error"),
        (Outcome::Skipped, _) | (Outcome::Inconclusive, Inconclusive::Warn) => Some("skipped"),
    }
}

/// Cases, failures, errors, skipped ones.
fn counts(cases: &[Case], inconclusive: Inconclusive) -> [usize; 4] {
    let of =
        |name: &str| cases.iter().filter(|case| element(case.outcome, inconclusive) == Some(name)).count();
    [cases.len(), of("failure"), of("error"), of("skipped")]
}

fn attributes([tests, failures, errors, skipped]: [usize; 4]) -> String {
    format!(r#"tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}""#)
}

fn testcase(suite: &str, case: &Case, inconclusive: Inconclusive) -> String {
    let (class, name) = (attribute(&format!("{suite}.{}", case.class)), attribute(&case.name));
    let open = format!(r#"    <testcase classname="{class}" name="{name}" time="0""#);
    let reason = attribute(&case.reason);
    match element(case.outcome, inconclusive) {
        None if case.reason.is_empty() => format!("{open}/>\n"),
        None => format!("{open}>\n      <system-out>{}</system-out>\n    </testcase>\n", text(&case.reason)),
        Some("skipped") => format!("{open}>\n      <skipped message=\"{reason}\"/>\n    </testcase>\n"),
        Some(element) => {
            let kind = match case.outcome {
                Outcome::Inconclusive => "inconclusive",
                Outcome::Error => "harness",
                _ => case.class,
            };
            format!(
                "{open}>\n      <{element} type=\"{kind}\" message=\"{reason}\">{}</{element}>\n    </testcase>\n",
                text(&case.reason)
            )
        }
    }
}

/// Text between tags. What XML 1.0 has no way to say becomes a replacement character.
fn text(raw: &str) -> String {
    let mut escaped = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            // Bare, it would end a CDATA section that is none: `]]>` must not stand in text.
            '>' => escaped.push_str("&gt;"),
            '\t' | '\n' => escaped.push(c),
            '\r' => escaped.push_str("&#13;"),
            c if c.is_control() && c < '\u{80}' => escaped.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text between double quotes, where a reader would make blanks of line ends and tabs.
fn attribute(raw: &str) -> String {
    text(raw).replace('"', "&quot;").replace('\n', "&#10;").replace('\t', "&#9;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use quorumeter_record::{GateOutcome, GateResult, Verdict};

    fn gate(gate: &str, outcome: GateOutcome, reason: &str) -> GateResult {
        GateResult { gate: gate.to_owned(), measured: None, outcome, reason: reason.to_owned() }
    }

    /// Every tag is closed by its own name, and nothing that is not XML stands between them.
    fn check_well_formed(xml: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest =
            xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("a declaration");
        while let Some(at) = rest.find('<') {
            let (between, tag) = rest.split_at(at);
            assert!(!between.contains("]]>") && !between.contains('>'), "{between}");
            assert!(is_escaped(between), "{between}");
            let end = tag.find('>').expect("an end of the tag");
            let inside = &tag[1..end];
            assert_eq!(inside.matches('"').count() % 2, 0, "{inside}");
            assert!(is_escaped(inside) && !inside.contains('<'), "{inside}");
            let name = inside.trim_matches('/').split(' ').next().unwrap();
            if inside.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "{inside}");
            } else if !inside.ends_with('/') {
                open.push(name);
            }
            rest = &tag[end + 1..];
        }
        assert!(open.is_empty() && rest.trim().is_empty());
        assert!(xml.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()));
    }

    fn is_escaped(text: &str) -> bool {
        const NAMED: [&str; 7] = ["amp;", "lt;", "gt;", "quot;", "#10;", "#9;", "#13;"];
        text.match_indices('&').all(|(at, _)| NAMED.iter().any(|name| text[at + 1..].starts_with(name)))
    }

    #[test]
    fn a_suite_has_a_case_per_check_and_gate() {
        let mut analysis = fixture::analysis();
        analysis.summary.verdict = Verdict::GateFailed;
        analysis.summary.reasons = vec!["a gate does not hold".to_owned()];
        analysis.summary.gates = vec![
            gate("app.read.rate > 1/s", GateOutcome::Passed, ""),
            gate("app.read.response.p99 < 1ms", GateOutcome::Failed, "measured 2.00 ms"),
            gate("app.write.response.p9999 < 1s", GateOutcome::Inconclusive, "too few samples"),
        ];
        let xml = render_junit(&[&analysis], Inconclusive::Fail);
        check_well_formed(&xml);
        assert_eq!(
            xml,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="quorumeter" tests="7" failures="3" errors="0" skipped="0">
  <testsuite name="mixed on embedded:1" tests="7" failures="3" errors="0" skipped="0" time="22" timestamp="2026-01-01T00:00:00.000">
    <properties>
      <property name="run_id" value="20260101-000000-abcd"/>
      <property name="quorumeter" value="0.1.0"/>
      <property name="kernel" value="Linux 6"/>
    </properties>
    <testcase classname="mixed on embedded:1.check" name="verdict" time="0">
      <failure type="check" message="GATE FAILED: a gate does not hold">GATE FAILED: a gate does not hold</failure>
    </testcase>
    <testcase classname="mixed on embedded:1.check" name="record complete" time="0"/>
    <testcase classname="mixed on embedded:1.check" name="accounting balanced" time="0">
      <system-out>scheduled 20000, sent 20000, shed 0, waiting 0, ok 20000, failed 0, unknown 0, in flight 0</system-out>
    </testcase>
    <testcase classname="mixed on embedded:1.check" name="generator not limited" time="0"/>
    <testcase classname="mixed on embedded:1.gate" name="app.read.rate &gt; 1/s" time="0"/>
    <testcase classname="mixed on embedded:1.gate" name="app.read.response.p99 &lt; 1ms" time="0">
      <failure type="gate" message="measured 2.00 ms">measured 2.00 ms</failure>
    </testcase>
    <testcase classname="mixed on embedded:1.gate" name="app.write.response.p9999 &lt; 1s" time="0">
      <failure type="inconclusive" message="too few samples">too few samples</failure>
    </testcase>
  </testsuite>
</testsuites>
"#
        );
        let warned = render_junit(&[&analysis], Inconclusive::Warn);
        check_well_formed(&warned);
        assert!(
            warned
                .contains(r#"<testsuites name="quorumeter" tests="7" failures="2" errors="0" skipped="1">"#)
        );
        assert!(warned.contains(r#"<skipped message="too few samples"/>"#), "{warned}");
    }

    #[test]
    fn a_record_without_an_end_is_an_error_and_several_records_are_several_suites() {
        let mut killed = fixture::failover();
        killed.summary.complete = false;
        killed.summary.verdict = Verdict::Error;
        let xml = render_junit(&[&fixture::analysis(), &killed], Inconclusive::Fail);
        check_well_formed(&xml);
        assert_eq!(xml.matches("<testsuite ").count(), 2);
        assert!(
            xml.contains(
                r#"<testsuite name="failover kill leader on embedded:1" tests="7" failures="0" errors="2""#
            ),
            "{xml}"
        );
        assert_eq!(xml.matches(r#"<error type="harness""#).count(), 2);
    }

    #[test]
    fn whatever_a_reason_says_the_document_stays_whole() {
        let mut analysis = fixture::analysis();
        let nasty = "a <b> & \"c\" ]]> \u{0}\u{1b}[31m\u{ffff}\r\n\t<![CDATA[ é";
        analysis.summary.gates = vec![gate(nasty, GateOutcome::Failed, nasty)];
        analysis.manifest.workload = serde_json::json!({ "name": nasty });
        let xml = render_junit(&[&analysis], Inconclusive::Fail);
        check_well_formed(&xml);
        assert!(
            xml.contains("a &lt;b&gt; &amp; &quot;c&quot; ]]&gt; \u{fffd}\u{fffd}[31m\u{fffd}&#13;&#10;&#9;")
        );
    }
}
