use quorumeter_record::{
    GateOutcome, GeneratorVerdict, InFlightAtSend, InvalidRepetition, KeyDistribution, LoopKind, Summary,
    ValueBytes, Verdict,
};

use super::*;
use crate::fixture::{analysis, gate_result};

/// The fixture with something of everything.
fn eventful() -> Analysis {
    let mut analysis = analysis();
    let summary = &mut analysis.summary;
    summary.generator.verdict = GeneratorVerdict::Limited;
    summary.generator.reasons = vec!["schedule lag p99 is 5.00 ms, above the limit of 1.00 ms".to_owned()];
    let read = summary.ops.get_mut("app.read").unwrap();
    read.failed.insert("NoNode".to_owned(), 1234);
    (read.unknown, read.shed, read.late) = (5, 6, 7);
    read.response_ns.at_least = vec!["max".to_owned()];
    read.response_ns.max = Some(1_200_000_000);
    read.response_ns.p999 = None;
    read.value_bytes = ValueBytes { count: 2, sum: 300, min: 100, max: 200 };
    read.in_flight_at_send = InFlightAtSend { mean: 2.5, max: 16 };
    let app = summary.streams.get_mut("app").unwrap();
    app.backlog_at_warmup_end = 3;
    app.keys = Some(KeyDistribution {
        keys: 10_000,
        touched: 9_000,
        hottest_share: 0.1,
        top_1_percent_share: 0.4,
        top_10_percent_share: 0.8,
    });
    summary.gates = vec![gate_result(GateOutcome::Passed), gate_result(GateOutcome::Failed)];
    summary.warnings = vec!["a warning with what would help".to_owned()];
    summary.verdict = Verdict::GateFailed;
    summary.reasons = vec!["one".to_owned(), "two".to_owned()];
    analysis.sessions.entry("app".to_owned()).or_default().connected = 4;
    analysis
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_text_says_everything() {
    let text = render_text(&eventful());
    for part in [
        "Run           mixed, 20260101-000000-abcd, with quorumeter 0.1.0 (release build)",
        "embedded ensemble of 1 member, version 0.1.0, durability: fsync",
        "/quorumeter/20260101-000000-abcd at zk://127.0.0.1:2181,127.0.0.1:2182",
        "server and generator share this machine's 4 cores",
        "app: open loop, 1,000/s planned, 1,000/s released, 4 sessions × depth 16, policy ideal",
        "watchers: persistent watches, 2 on each of 10 paths",
        "warm-up 1 s of 1 s planned, measured 20 s of 20 s planned, intervals of 1 s",
        "app.read                 session         500  10,000   1,234        5     6     7",
        "app.read                 response, all ops  500 µs  1.00 ms  2.00 ms        -  ≥1.20 s",
        "                         service, ok ops    500 µs  1.00 ms  2.00 ms  3.00 ms  4.00 ms",
        "rate = ok replies inside the measured window ÷ its length; ok has those of the drain, too",
        "  throughput  ████████████████████  991/s to 1,010/s",
        "  p99         ████████████████████  2.00 ms to 2.00 ms",
        "app: read 52.9 %, write 47.1 % of 21,245 ops as measured",
        "app: 9,000 of 10,000 keys used; the hottest took 10.0 % of the ops, the top 1 % 40.0 %",
        "app.read: 100 B to 200 B, mean 150 B",
        "app.read 2.50 (at most 16)",
        "Backlog       app: 3 ops waiting or in flight when the warm-up ended",
        "app.read: NoNode 1,234",
        "watchers: persistent watches, 2 on each of 10 paths: 10,000 events",
        "min -50.0 µs, p50 500 µs, p99 2.00 ms, max 4.00 ms (negative: before it)",
        "every watcher was told of 4,990 writes, not every one of 10 more; 3 of unknown outcome besides; from a write's intended time on: \
         first p50 500 µs, p90 1.00 ms, p99 2.00 ms, max 4.00 ms; median p50 500 µs, p90 1.00 ms, \
         p99 2.00 ms, max 4.00 ms; \
         last p50 500 µs, p90 1.00 ms, p99 2.00 ms, max 4.00 ms",
        "what the watchers cost the writers is in the latency of app.write",
        "app: 4 connected, 0 lost their connection, 0 expired",
        "scheduled 20,000 = sent 20,000 + shed 0 + waiting 0",
        "sent 20,000 = ok 20,000 + failed 0 + unknown 0 + in flight 0",
        "balanced; 21,000 requests handed over from warm-up to drain",
        "0.60 in flight against 0.60 from rate × service time",
        "0.60 in the system against 0.60 from rate × response time: holds within 5 %",
        "schedule lag p50 500 µs, p99 80.0 µs, max 4.00 ms",
        "CPU 2.00 s, 100 µs per op; the busiest of 1 worker used 10.0 % of its core",
        "  passed        app.read.rate > 1/s: because",
        "  FAILED        app.read.rate > 1/s: because",
        "  - a warning with what would help",
    ] {
        // Where lines end depends on what stands before.
        assert!(words(&text).contains(&words(part)), "{part}\n\n{text}");
    }
    let last = text.lines().rev().take(3).collect::<Vec<_>>();
    assert_eq!(last, ["  - two", "  - one", "Verdict       GATE FAILED"]);
}

#[test]
fn a_target_elsewhere_is_called_what_its_members_say() {
    let told = |version: &str, on_this_machine| {
        let mut elsewhere = analysis();
        let target = elsewhere.manifest.target.as_mut().unwrap();
        target.launched = None;
        target.on_this_machine = on_this_machine;
        target.members[0].version = Some(version.to_owned());
        let kind = target.kind().to_owned();
        (kind, words(&render_text(&elsewhere)))
    };
    for (version, here, kind, text) in [
        (
            "3.9.4-1a2b3c",
            false,
            "zookeeper",
            "Target zookeeper ensemble of 1 member, remote, version 3.9.4-1a2b3c",
        ),
        (
            "3.9.4-1a2b3c",
            true,
            "zookeeper",
            "Target zookeeper ensemble of 1 member, on this machine, version",
        ),
        (
            "3.9.4-quorumeter-0.1.0",
            true,
            "quorumeter",
            "Target quorumeter's own server (embedded or null), ensemble of 1 member, on this machine, version",
        ),
    ] {
        let (told, report) = told(version, here);
        assert_eq!(told, kind);
        assert!(report.contains(text), "{report}");
    }
}

#[test]
fn a_limited_generator_is_the_first_line() {
    let text = render_text(&eventful());
    assert!(
        text.starts_with(
            "GENERATOR LIMITED: these are not the server's numbers: schedule lag p99 is 5.00 ms"
        )
    );
    assert!(!render_text(&analysis()).contains("LIMITED"));
    let markdown = render_markdown(&eventful());
    assert!(markdown.starts_with("### mixed: GATE FAILED, GENERATOR LIMITED\n"), "{markdown}");
    assert!(markdown.lines().nth(2).unwrap().starts_with("> **GENERATOR LIMITED"), "{markdown}");
}

#[test]
fn a_closed_loop_is_labelled_wherever_its_numbers_are() {
    let mut closed = analysis();
    closed.manifest.streams[0].loop_kind = LoopKind::Closed;
    closed.summary.streams.get_mut("app").unwrap().loop_kind = LoopKind::Closed;
    let text = render_text(&closed);
    assert!(
        text.contains("app: closed loop: latencies are of a client that slows down with the server"),
        "{text}"
    );
    assert_eq!(text.matches("app.read (closed loop)").count(), 2, "{text}"); // both tables
    assert!(!text.contains("watch_delivery (closed loop)"));
    assert!(render_markdown(&closed).contains("| app.write (closed loop) |"));
    assert!(render_csv(&closed).contains(",app,write,closed,"));
}

#[test]
fn a_report_is_a_hundred_columns_wide() {
    for analysis in [analysis(), eventful()] {
        for line in render_text(&analysis).lines() {
            assert!(line.chars().count() <= table::WIDTH, "{line}");
        }
    }
}

#[test]
fn the_longest_response_stands_in_where_intervals_have_too_few_for_a_p99() {
    let mut sparse = analysis();
    for point in &mut sparse.series {
        point.response_ns.p99 = None;
    }
    let text = render_text(&sparse);
    assert!(text.contains("  longest     ████████████████████  4.00 ms to 4.00 ms"), "{text}");
}

#[test]
fn lower_bounds_over_time_are_marked() {
    let mut bounded = analysis();
    bounded.series[3].response_ns.at_least = vec!["p99".to_owned()];
    let text = render_text(&bounded);
    assert!(text.contains("  2.00 ms to ≥2.00 ms"), "{text}");
    for point in &mut bounded.series {
        point.response_ns.at_least = vec!["p99".to_owned()];
    }
    let text = render_text(&bounded);
    assert!(text.contains("  ≥2.00 ms to ≥2.00 ms"), "{text}");
}

#[test]
fn an_empty_run_is_reported_too() {
    let mut empty = analysis();
    empty.manifest.target = None;
    empty.summary.ops.clear();
    empty.summary.watches.clear();
    empty.series.clear();
    empty.window = None;
    for format in Format::ALL {
        let text = render(&empty, format);
        assert!(text.ends_with('\n') || (format == Format::Annotations && text.is_empty()), "{format:?}");
    }
    assert!(render_text(&empty).contains("not measured at all"));
}

#[test]
fn the_json_is_the_summary() {
    let analysis = eventful();
    let json = render(&analysis, Format::Json);
    assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), analysis.summary);
}

#[test]
fn markdown_has_tables_that_are_whole() {
    let markdown = render_markdown(&eventful());
    for line in markdown.lines().filter(|line| line.starts_with("| app")) {
        assert_eq!(
            line.matches('|').count() - line.matches("\\|").count(),
            if line.contains("`") { 4 } else { 15 }
        );
    }
    assert!(render_markdown(&analysis()).starts_with("### mixed: PASS\n"));
    assert!(
        markdown.contains(
            "| app.read | session | 500 | 10,000 | 1,234 | 5 | 6 | 7 | 500 µs | 1.00 ms | 2.00 ms | - | ≥1.20 s | 2.00 ms |"
        )
    );
    assert!(markdown.contains("| `app.read.rate > 1/s` | FAILED | because |"));
}

#[test]
fn formats_have_names() {
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
    }
    let error = "yaml".parse::<Format>().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`yaml` is no report format; there are text, json, csv, markdown, junit")
    );
    assert!(Format::ALL.iter().all(|format| error.to_string().contains(format.name())));
}

#[test]
fn a_calibrated_machine_is_told_beside_what_the_run_asked_of_it() {
    let mut analysis = eventful();
    assert!(!render_text(&analysis).contains("calibrated"));
    let note = |highest_rate, highest_rate_is_lower_bound| quorumeter_record::CalibrationNote {
        calibrated: "2026-11-25T10:19:03.123Z".to_owned(),
        workers: 8,
        highest_rate,
        highest_rate_is_lower_bound,
    };
    let told = "this machine's generator was calibrated at 2026-11-25 10:19 UTC with 8 workers and reads: highest rate";
    for (note, rest) in [
        (note(Some(120_000.0), false), "120,000/s; this run offered 1,000/s and did 1,000/s with"),
        (note(Some(2_000.0), true), "at least 2,000/s; this run offered 1,000/s and did 1,000/s with"),
        (note(None, false), "none held; this run offered 1,000/s and did 1,000/s with"),
    ] {
        let share = note.highest_rate.map(|highest| crate::figures::percent(1_000.0 / highest));
        analysis.manifest.environment.calibration = Some(note);
        for text in [render_text(&analysis), render_markdown(&analysis).replace('\\', "")] {
            let text = words(&text);
            assert!(text.contains(&format!("{told} {rest}")), "{text}");
            let of_that = share.as_ref().map(|share| format!("{share} of that"));
            assert!(of_that.is_none_or(|of_that| text.contains(&of_that)), "{text}");
        }
    }
}

#[test]
fn a_failover_is_reported_with_its_numbers_before_everything_else() {
    let text = render_text(&crate::fixture::failover());
    for part in [
        "Failover      kill of the leader: 6 valid of 6 repetitions planned",
        "Resolution    probes every 10 ms, polls every 20 ms",
        "Machine       server and generator share this machine's 4 cores",
        "Probes        2 × write, pinned to a member each, policy ideal; 1 × write, at any member, policy java",
        "ack_gap_any 441 ms 473 ms 441…482 ms (96.9 %) 482 ms 6",
        "write_outage_any 432…450 ms 457…475 ms 432…488 ms (96.9 %) 470…488 ms 6",
        "java.write_outage_client 960…980 ms 1.35…1.37 s 960 ms…1.52 s (96.9 %) 1.50…1.52 s 6",
        "rejoin_outage 0 ns 0 ns n too small 30.0 ms 3",
        "recovery_time 900 ms 960 ms 900 ms…> 60.0 s (96.9 %) > 60.0 s 6 (1)",
        "lost_acked_writes 0 0 0 0 0 0 0",
        "java.connect_failures 2 1 0 2 4 1 10",
        "0 of 6; up to 39.3 % of failovers could still have one, at 95 %",
        "Repetition 1 of 6: hit 127.0.0.1:2181, ack gap 475 ms, write outage 440…460 ms",
    ] {
        assert!(words(&text).contains(&words(part)), "{part}\n\n{text}");
    }
    let at = |part: &str| text.find(part).unwrap();
    assert!(at("ack_gap_any") < at("java.write_outage_client"));
    assert!(at("java.write_outage_client") < at("rejoin_outage"));
    assert!(at("rejoin_outage") < at("recovery_time") && at("recovery_time") < at("detection"));
    assert!(at("detection") < at("baseline_ack_gap_any") && at("Timelines") < at("app.read"));
    assert!(!text.contains("service, ok ops"), "the tables of ops are short: {text}");
    let last = text.lines().last().unwrap();
    assert_eq!(last, "Verdict       PASS");
    assert!(text.contains("n (m): m of the n did not end while they were watched"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= table::WIDTH, "{line}");
    }
}

#[test]
fn repetitions_that_do_not_count_are_told_with_their_reasons() {
    let mut analysis = crate::fixture::failover();
    let failover = analysis.summary.failover.as_mut().unwrap();
    failover.valid = 5;
    failover.unseen_rate_upper = None;
    failover.invalid = vec![InvalidRepetition {
        repetition: 1,
        reasons: vec!["the wrong member was hit".to_owned(), "the generator was late".to_owned()],
    }];
    failover.repetitions[0].valid = false;
    failover.repetitions[0].notes = vec!["a note".to_owned()];
    let told = "repetition 1 does not count: the wrong member was hit; the generator was late";
    for report in [render_text(&analysis), render_markdown(&analysis)] {
        assert!(report.contains(told), "{report}");
        assert!(report.contains("5 valid of 6") && !report.contains("could still have one"), "{report}");
        assert!(report.contains("write outage 440…460 ms, NOT COUNTED\n  - a note\n"), "{report}");
    }
}

#[test]
fn times_that_did_not_end_are_told_as_more_than_their_limit() {
    let shown = |ms: &[Option<u64>]| {
        let durations = crate::fixture::durations(ms);
        use super::failover::Statistic::{Max, Median, Min};
        [Min, Median, Max].map(|statistic| statistic.shown(&durations))
    };
    assert_eq!(shown(&[Some(10), None]), ["10.0 ms", "> 30.0 s", "> 60.0 s"]);
    assert_eq!(shown(&[None, None, None]), ["> 60.0 s"; 3]);
    assert_eq!(shown(&[None, Some(10), None]), ["10.0 ms", "> 60.0 s", "> 60.0 s"]);
    // A time that did end beyond the limit of those that did not.
    assert_eq!(shown(&[Some(70_000), None]), ["70.0 s", "> 65.0 s", "≥ 70.0 s"]);
    assert_eq!(super::failover::Statistic::Min.shown(&quorumeter_record::Durations::default()), "-");
}

#[test]
fn a_failover_in_markdown_has_its_tables_and_drawings() {
    let markdown = render_markdown(&crate::fixture::failover());
    assert!(markdown.starts_with("### failover kill leader on embedded:1: PASS\n"), "{markdown}");
    for line in [
        "| `write_outage_any` | 432…450 ms | 457…475 ms | 432…488 ms (96.9 %) | 470…488 ms | 6 |",
        "| `recovery_time` | 900 ms | 960 ms | 900 ms…&gt; 60.0 s (96.9 %) | &gt; 60.0 s | 6 (1) |",
        "| `sessions_moved` | 3 3 4 3 3 3 | 19 |",
        "<details><summary>Timelines</summary>",
    ] {
        assert!(markdown.lines().any(|other| other == line), "{line}\n\n{markdown}");
    }
    assert_eq!(markdown.matches("```").count(), 2);
}
