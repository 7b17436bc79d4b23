//! Which server it is, by the version that it tells.

use crate::sample::{Dialect, Sample};

/// Digits of a commit at least.
const COMMIT_DIGITS: usize = 7;

/// Takes in the text of a version: `3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC`,
/// `3.4.5--1, built on …` where the build knew no commit, ClickHouse Keeper's `v24.3.1.2672-lts-2c5c589a882c`.
pub(super) fn take_version(sample: &mut Sample, text: &str) {
    let version = text.split(',').next().unwrap_or(text).trim();
    if version.is_empty() {
        return;
    }
    let is_keeper =
        version.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let system = if is_keeper {
        Dialect::Keeper
    } else if version.contains("-quorumeter-") {
        Dialect::Embedded
    } else {
        Dialect::ZooKeeper
    };
    sample.system.get_or_insert(system);
    sample.version.get_or_insert_with(|| without_commit(version).to_owned());
}

fn without_commit(version: &str) -> &str {
    if let Some(before) = version.strip_suffix("--1") {
        return before;
    }
    // Of 3.8.0, whose build left the commit's placeholder in: `3.8.0-${mvngit.commit.id}`.
    if let Some((before, _)) = version.split_once("-${") {
        return before;
    }
    match version.rsplit_once('-') {
        Some((before, commit))
            if commit.len() >= COMMIT_DIGITS && commit.bytes().all(|b| b.is_ascii_hexdigit()) =>
        {
            before
        }
        _ => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_members_tell_them() {
        use Dialect::{Embedded, Keeper, ZooKeeper};
        for (text, system, version) in [
            (
                "3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC",
                ZooKeeper,
                "3.9.4",
            ),
            (
                "3.4.14-4c25d480e66aadd371de8bd2fd8da255ac140bcf, built on 03/06/2019 16:18 GMT",
                ZooKeeper,
                "3.4.14",
            ),
            ("3.4.6-1569965, built on 02/20/2014 09:09 GMT", ZooKeeper, "3.4.6"),
            ("3.4.5--1, built on 06/10/2013 17:26 GMT", ZooKeeper, "3.4.5"),
            ("3.5.0-alpha-1615249, built on 08/01/2014 22:13 GMT", ZooKeeper, "3.5.0-alpha"),
            ("3.10.0-SNAPSHOT-0123456789abcdef, built on 2026-07-17 10:00 UTC", ZooKeeper, "3.10.0-SNAPSHOT"),
            ("3.8.0-${mvngit.commit.id}, built on 2022-02-25 08:49 UTC", ZooKeeper, "3.8.0"),
            ("3.9.4", ZooKeeper, "3.9.4"),
            ("3.9.4-quorumeter-0.1.0, built on 2026-11-24 00:00 UTC", Embedded, "3.9.4-quorumeter-0.1.0"),
            ("v24.3.1.2672-lts-2c5c589a882ceec35439650337b92db3e76f0081", Keeper, "v24.3.1.2672-lts"),
            ("v21.11.1.1-prestable-7a4a0b0edef0ad6e0aa662cd3b90c3f4e9f5a2c0", Keeper, "v21.11.1.1-prestable"),
        ] {
            let mut sample = Sample::default();
            take_version(&mut sample, text);
            assert_eq!((sample.system, sample.version.as_deref()), (Some(system), Some(version)), "{text}");
        }
    }
}
