//! Answers that were cut off, and ones that are none: a parser tells what is there, or nothing.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use quorumeter_exporters::{Sample, prometheus_text};

use self::support::{Fixture, fixtures, take};

const QUESTIONS: [(&str, &str); 11] = [
    ("zookeeper", "srvr"),
    ("zookeeper", "mntr"),
    ("zookeeper", "conf"),
    ("zookeeper", "zabstate"),
    ("zookeeper", "voting_view"),
    ("zookeeper", "leader"),
    ("zookeeper", "last_snapshot"),
    ("zookeeper", "monitor"),
    ("zookeeper", "metrics"),
    ("keeper", "metrics"),
    ("keeper", "lgif"),
];

static ALL: LazyLock<Vec<Fixture>> =
    LazyLock::new(|| fixtures("zookeeper").into_iter().chain(fixtures("keeper")).collect());

/// Whether a part of an answer tells nothing that the whole does not.
fn agrees(part: &Sample, whole: &Sample) -> bool {
    fn is_part<T: PartialEq>(part: &Option<T>, whole: &Option<T>) -> bool {
        part.is_none() || part == whole
    }
    is_part(&part.system, &whole.system)
        && is_part(&part.version, &whole.version)
        && is_part(&part.member_id, &whole.member_id)
        && is_part(&part.serving, &whole.serving)
        && is_part(&part.role, &whole.role)
        && is_part(&part.zab_state, &whole.zab_state)
        && is_part(&part.has_leader, &whole.has_leader)
        && is_part(&part.voter, &whole.voter)
        && is_part(&part.voter_ids, &whole.voter_ids)
        && is_part(&part.voters, &whole.voters)
        && is_part(&part.has_majorities, &whole.has_majorities)
        && is_part(&part.term, &whole.term)
        && is_part(&part.commit_index, &whole.commit_index)
        && is_part(&part.applied_index, &whole.applied_index)
        && is_part(&part.applied_term, &whole.applied_term)
        && is_part(&part.zxid, &whole.zxid)
        && is_part(&part.last_index, &whole.last_index)
        && is_part(&part.leader_commit_index, &whole.leader_commit_index)
        && is_part(&part.synced_followers, &whole.synced_followers)
        && part.values.iter().all(|entry| whole.values.contains(entry))
}

/// What is told of a text, as far as it is.
fn told(fixture: &Fixture, text: &str) -> Sample {
    let mut sample = Sample::default();
    // An error has told nothing, or has told the rest.
    let _ = take(&mut sample, &fixture.path, &fixture.question, text);
    sample
}

#[test]
fn an_answer_that_is_cut_off_tells_nothing_wrong() {
    for fixture in ALL.iter() {
        let whole = told(fixture, &fixture.text);
        let lines = fixture.text.match_indices('\n').map(|(at, _)| at);
        for at in lines.flat_map(|at| [at, at + 1, (at + 3).min(fixture.text.len())]) {
            let Some(text) = fixture.text.get(..at) else { continue };
            let part = told(fixture, text);
            assert!(agrees(&part, &whole), "{} cut at {at}:\n{part:?}\n{whole:?}", fixture.path);
        }
    }
}

#[test]
fn a_long_answer_takes_no_longer_than_its_length_asks_for() {
    // Every parser within a time that a quadratic one would miss by far.
    const LIMIT: Duration = Duration::from_secs(20);
    const BYTES: usize = 1 << 20;
    let lines = |line: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for n in 0.. {
            if text.len() > BYTES {
                break;
            }
            text.push_str(&line(n));
        }
        text
    };
    let texts = [
        "{".repeat(BYTES),
        "[".repeat(BYTES),
        "\"\\".repeat(BYTES / 2),
        "\n".repeat(BYTES),
        format!("a{{{}}} 1\n", "x=\"\",".repeat(BYTES / 5)),
        lines(&|n| format!("a{{k=\"{n}\"}} 1\n")),
        lines(&|n| {
            format!("ack_latency_sum{{key=\"{n}\"}} 1\nack_latency_count{{key=\"{n}\"}} 1\nznode_count 1\n")
        }),
        format!("zk_server_state\tleader\n{}", lines(&|n| format!("zk_{n}\t{n}\n"))),
        format!(
            "zk_server_state\tleader\n{}",
            lines(&|n| format!("zk_cnt_{n}_ack_latency\t1\nzk_sum_{n}_ack_latency\t1\n"))
        ),
        format!(
            "zk_server_state\tleader\n{}",
            lines(&|n| format!(
                "zk_ack_latency_count{{key=\"{n}\"}}\t1\nzk_ack_latency_sum{{key=\"{n}\"}}\t1\n"
            ))
        ),
        lines(&|_| "Latency min/avg/max: 0/0/0\n".to_owned()),
        lines(&|_| "last_log_idx\t1\n".to_owned()),
    ];
    for text in &texts {
        for (system, question) in QUESTIONS {
            let begun = Instant::now();
            let _ = take(&mut Sample::default(), system, question, text);
            let took = begun.elapsed();
            assert!(took < LIMIT, "{system} {question} took {took:?} for {:?}…", &text[..40]);
        }
    }
}

proptest! {
    #[test]
    fn no_answer_makes_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let text = String::from_utf8_lossy(&bytes);
        for (system, question) in QUESTIONS {
            let _ = take(&mut Sample::default(), system, question, &text);
        }
    }

    #[test]
    fn no_change_to_an_answer_makes_a_parser_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        length in 0usize..40,
        by in "[\\x00-\\x7fé€0-9.eE+{}\",\\\\\\t\\n-]{0,12}",
    ) {
        let fixture = &ALL[which.index(ALL.len())];
        let text: Vec<char> = fixture.text.chars().collect();
        let from = at.index(text.len() + 1);
        let to = (from + length).min(text.len());
        let changed: String = text[..from].iter().copied().chain(by.chars()).chain(text[to..].iter().copied()).collect();
        for (system, question) in QUESTIONS {
            let _ = take(&mut Sample::default(), system, question, &changed);
        }
    }

    #[test]
    fn what_is_written_in_the_text_format_is_read(
        name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,20}",
        labels in proptest::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,10}", "[ -~é\\n]{0,20}", 0..5),
        value in any::<f64>(),
    ) {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let pairs: Vec<_> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escape(text))).collect();
        let scraped = prometheus_text::parse(&format!("{name}{{{}}} {value:e}\n", pairs.join(","))).unwrap();
        let (read, number) = scraped.with(&name).next().unwrap();
        prop_assert!(number == value || number.is_nan() && value.is_nan());
        prop_assert!(read.iter().eq(labels.iter().map(|(label, text)| (label.as_str(), text.as_str()))));
    }
}
