//! `/zookeeper/quota`: the server keeps count of what is below a path with limits, in a znode beside the
//! limits. The limits themselves are advice: they are not enforced unless configured so (`enforceQuota`),
//! which they are not here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{FastSet, QUOTA, Tree, ZOOKEEPER, data_size};
use crate::jute::java_text;
use crate::path;

const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// The paths that have limits.
#[derive(Debug, Clone, Default)]
pub(super) struct Quotas {
    limited: FastSet<String>,
}

impl Quotas {
    /// The longest path with limits that `path` is at or below.
    fn covering<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.limited.is_empty() {
            return None;
        }
        std::iter::successors(Some(path), |path| path::parent(path)).find(|path| self.limited.contains(*path))
    }
}

/// What the znode with the counts holds (`StatsTrack`): `count=2,bytes=30`, and more pairs if somebody wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Usage {
    count: i64,
    bytes: i64,
    others: BTreeMap<String, i64>,
}

impl Usage {
    /// `None` for what makes upstream's server stop.
    fn parse(data: &[u8]) -> Option<Usage> {
        let mut usage = Usage { count: -1, bytes: -1, others: BTreeMap::new() };
        for pair in java_text(data).split([',', ';']).filter(|pair| !pair.is_empty()) {
            let mut parts = pair.split('=');
            let (key, value) = (parts.next()?, parts.next()?);
            let value = match value {
                // `key==…`; without anything behind it Java's `split` has no value at all.
                "" if parts.any(|part| !part.is_empty()) => -1,
                value => value.parse().ok()?,
            };
            match key {
                "count" => usage.count = value,
                "bytes" => usage.bytes = value,
                _ => _ = usage.others.insert(key.to_owned(), value),
            }
        }
        Some(usage)
    }

    fn write(&self) -> Box<[u8]> {
        let mut text = format!("count={},bytes={}", self.count, self.bytes);
        if !self.others.is_empty() {
            text.push('=');
        }
        for (key, value) in &self.others {
            // Writing to a string does not fail.
            let _ = write!(text, ";{key}={value}");
        }
        text.into_bytes().into()
    }
}

impl Tree {
    /// To be called when `path` with `bytes` of data has been created.
    pub(super) fn quota_created(&mut self, path: &str, bytes: i64) {
        if let Some((limited, name)) = quota_node(path) {
            if name == LIMITS && !limited.is_empty() {
                self.quotas.limited.insert(limited.to_owned());
            }
            if name == STATS {
                self.quota_count(limited);
            }
        }
        self.quota_add(path, bytes, 1);
    }

    /// To be called when `path` with `bytes` of data has been deleted.
    pub(super) fn quota_deleted(&mut self, path: &str, bytes: i64) {
        if self.quotas.limited.is_empty() {
            return;
        }
        if let Some((limited, LIMITS)) = quota_node(path) {
            self.quotas.limited.remove(limited);
        }
        self.quota_add(path, -bytes, -1);
    }

    /// To be called when the data of `path` has become larger by `bytes`.
    pub(super) fn quota_set(&mut self, path: &str, bytes: i64) {
        self.quota_add(path, bytes, 0);
    }

    /// Changes the counts without a transaction's marks: version, mzxid and watches know nothing of it.
    fn quota_add(&mut self, path: &str, bytes: i64, count: i64) {
        let Some(limited) = self.quotas.covering(path) else { return };
        let stats = format!("{QUOTA}{limited}/{STATS}");
        if let Some(node) = self.nodes.get_mut(&*stats)
            && let Some(mut usage) = Usage::parse(node.data().unwrap_or_default())
        {
            // Clients may write any numbers there; Java's wrap.
            usage.count = usage.count.wrapping_add(count);
            usage.bytes = usage.bytes.wrapping_add(bytes);
            node.data = Some(usage.write());
        }
    }

    /// Counts what is at and below `limited`.
    fn quota_count(&mut self, limited: &str) {
        let mut usage = Usage { count: 0, bytes: 0, others: BTreeMap::new() };
        let mut open: Vec<_> = self.get(limited).into_iter().collect();
        while let Some(node) = open.pop() {
            usage.count += 1;
            usage.bytes += data_size(node.data());
            open.extend(node.child_paths().filter_map(|path| self.get(path)));
        }
        if let Some(node) = self.nodes.get_mut(&*format!("{QUOTA}{limited}/{STATS}")) {
            node.data = Some(usage.write());
        }
    }
}

/// The limited path and the last name of a path below `/zookeeper/quota`.
fn quota_node(path: &str) -> Option<(&str, &str)> {
    if !path.starts_with(ZOOKEEPER) {
        return None;
    }
    Some((path::parent(path)?.strip_prefix(QUOTA)?, path::name(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_limited_path_counts() {
        let limited = ["/a", "/a/b", "/c"].map(str::to_owned).into_iter().collect();
        let quotas = Quotas { limited };
        for (path, covering) in [
            ("/a", Some("/a")),
            ("/a/b", Some("/a/b")),
            ("/a/b/c", Some("/a/b")),
            ("/a/bc", Some("/a")),
            ("/ab", None),
            ("/", None),
        ] {
            assert_eq!(quotas.covering(path), covering, "{path}");
        }
    }

    #[test]
    fn usage_is_written_as_upstream_writes_what_it_read() {
        // The output of StatsTrack 3.9.4.
        for (data, written) in [
            ("", "count=-1,bytes=-1"),
            ("count=2,bytes=30=;countHardLimit=4", "count=2,bytes=30=;countHardLimit=4"),
            ("count=1;bytes=2,z=3,b=4,byteHardLimit=5", "count=1,bytes=2=;b=4;byteHardLimit=5;z=3"),
            ("a==3", "count=-1,bytes=-1=;a=-1"),
            ("=5", "count=-1,bytes=-1=;=5"),
            ("x=1,x=2", "count=-1,bytes=-1=;x=2"),
            ("count=+5", "count=5,bytes=-1"),
            ("a=1,,b=2", "count=-1,bytes=-1=;a=1;b=2"),
            ("a=1,", "count=-1,bytes=-1=;a=1"),
        ] {
            let usage = Usage::parse(data.as_bytes()).map(|usage| usage.write());
            assert_eq!(usage.as_deref(), Some(written.as_bytes()), "{data}");
        }
        for data in ["count", "count=", "a==", "count=x", "count=9223372036854775808"] {
            assert_eq!(Usage::parse(data.as_bytes()), None, "{data}");
        }
    }
}
