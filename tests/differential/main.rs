//! The embedded member and a real Apache ZooKeeper 3.9.4 get the same random steps, and must answer the same:
//! reply codes, zxids, every field of every stat but the times, data, children, every watch event in its order,
//! and who watches what.
//!
//! `QUORUMETER_SEED` (default 1), `QUORUMETER_SEEDS` (number of seeds, default 3) and `QUORUMETER_STEPS`
//! (steps of each, default 2,500) choose more.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod compare;
#[path = "../../ensemble/tests/raw/mod.rs"]
mod raw;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod words;

use compare::{Coverage, SPECIAL, Side};
use quorumeter_ensemble::launch::Launched;
use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_ensemble::{Running, embedded};
use quorumeter_zk::acl::digest_id;
use quorumeter_zk::{ErrorCode, Request};
use steps::{Step, generate};

#[test]
fn the_embedded_member_answers_as_zookeeper_does() {
    if support::real_zookeeper("the_embedded_member_answers_as_zookeeper_does").is_none() {
        return;
    }
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let first: u64 = number("QUORUMETER_SEED", 1);
    let (seeds, steps) = (number("QUORUMETER_SEEDS", 3), number("QUORUMETER_STEPS", 2_500));
    let mut coverage = Coverage::default();
    for seed in first..first + seeds {
        let steps = generate(seed, steps as usize);
        let Some(difference) = first_difference(&steps, &mut coverage) else { continue };
        let steps = shrink(steps[..=difference.step.min(steps.len() - 1)].to_vec());
        let difference = first_difference(&steps, &mut coverage).unwrap_or(difference);
        for (index, step) in steps.iter().enumerate() {
            println!("{index:4} session {} {:?}", step.session, step.action);
        }
        panic!(
            "seed {seed}: step {} of {} above\nreal:\n{}\nembedded:\n{}",
            difference.step,
            steps.len(),
            difference.real,
            difference.embedded
        );
    }
    // By chance one seed may have few of something; all together must not.
    let steps = seeds * steps;
    if steps >= 7_500 {
        assert_eq!(coverage.events.len(), 4, "every kind of event");
        assert!(coverage.events.values().all(|&count| count as u64 >= steps / 125), "{coverage:?}");
        assert!(coverage.codes.len() >= 10 && coverage.failed_multis.len() >= 3, "{coverage:?}");
        assert!(coverage.codes[&ErrorCode::OK] as u64 > steps / 4, "{coverage:?}");
        let missing: Vec<_> = SPECIAL.iter().filter(|name| !coverage.done.contains_key(**name)).collect();
        assert!(missing.is_empty(), "nothing of this succeeded: {missing:?}");
    }
}

struct Difference {
    /// Index of the step; the number of steps for the last look at all sessions.
    step: usize,
    real: String,
    embedded: String,
}

/// A standalone server with everything on that the embedded member has on, and no expiry that it would begin itself.
fn real(folder: &std::path::Path) -> Launched {
    let mut options = Options::new(1, folder, Wrapper::Quorumeter(support::QUORUMETER.into()));
    let settings = [
        ("jvm.zookeeper.DigestAuthenticationProvider.superDigest", &super_digest()[..]),
        ("jvm.zookeeper.extendedTypesEnabled", "true"),
        // Older Javas write words in the encoding of the environment.
        ("jvm.file.encoding", "UTF-8"),
        ("jvm.zookeeper.forceSync", "no"),
        ("jvm.znode.container.checkIntervalMs", "3600000"),
    ];
    options.settings = settings.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    start(&options).unwrap()
}

/// The same, embedded.
fn embedded() -> Running {
    let member = embedded::Options {
        container_check_interval_ms: 3_600_000,
        super_digest: Some(super_digest()),
        ..embedded::Options::default()
    };
    let member = embedded::start(member).unwrap();
    // The launcher has had a session of the real one, to see that it serves; both are to have had the same.
    let mut first = raw::Raw::connect(member.address());
    assert_eq!(first.code(&Request::CloseSession), ErrorCode::OK);
    member
}

/// Of a user whom some of the steps are.
fn super_digest() -> String {
    digest_id("root:secret")
}

/// Runs steps against two new servers; adds what they touched once they went to the end.
fn first_difference(steps: &[Step], coverage: &mut Coverage) -> Option<Difference> {
    let folder = tempfile::tempdir().unwrap();
    let (real_server, member) = (real(folder.path()), embedded());
    let mut real = Side::new(real_server.members[0].address);
    let mut embedded = Side::new(member.address());
    for (index, step) in steps.iter().enumerate() {
        let (real_seen, embedded_seen) = (real.run(step), embedded.run(step));
        if real_seen != embedded_seen {
            return Some(Difference { step: index, real: real_seen, embedded: embedded_seen });
        }
        if index % 500 == 499 {
            // Before sessions expire; what it tells is looked at in the same way.
            let (real_seen, embedded_seen) = (real.look(), embedded.look());
            if real_seen != embedded_seen {
                return Some(Difference { step: index, real: real_seen, embedded: embedded_seen });
            }
        }
    }
    let (real_seen, embedded_seen) = (real.look(), embedded.look());
    println!("{} steps: {:?}", steps.len(), real.coverage);
    coverage.add(real.coverage);
    (real_seen != embedded_seen).then_some(Difference {
        step: steps.len(),
        real: real_seen,
        embedded: embedded_seen,
    })
}

/// Fewer steps that still make a difference: halves, quarters, … are left out as long as it stays, for a
/// limited number of attempts, because each one starts two servers.
fn shrink(mut steps: Vec<Step>) -> Vec<Step> {
    let mut attempts = 60;
    let mut length = steps.len() / 2;
    while length > 0 && attempts > 0 {
        let mut start = 0;
        while start < steps.len() && attempts > 0 {
            let mut fewer = steps.clone();
            fewer.drain(start..(start + length).min(steps.len()));
            attempts -= 1;
            match first_difference(&fewer, &mut Coverage::default()) {
                Some(difference) => {
                    fewer.truncate(difference.step + 1);
                    steps = fewer;
                }
                None => start += length,
            }
        }
        length /= 2;
    }
    steps
}
