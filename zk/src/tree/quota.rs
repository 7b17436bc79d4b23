//! `/zookeeper/quota`: the server keeps count of what is below a path with limits, in a znode beside the
//! limits. The limits themselves are advice: they are not enforced unless configured so (`enforceQuota`),
//! which they are not here.

use super::{QUOTA, Tree, ZOOKEEPER, data_size};
use crate::path;

const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// The paths that have limits.
#[derive(Debug, Clone, Default)]
pub(super) struct Quotas {
    limited: Vec<String>,
}

impl Quotas {
    /// The longest path with limits that `path` is at or below.
    fn covering(&self, path: &str) -> Option<&str> {
        self.limited
            .iter()
            .filter(|limited| {
                path.strip_prefix(&***limited).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .max_by_key(|limited| limited.len())
            .map(String::as_str)
    }
}

/// What the znode with the counts holds (`StatsTrack`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    count: i64,
    bytes: i64,
}

impl Usage {
    fn parse(data: &[u8]) -> Option<Usage> {
        let mut usage = Usage { count: -1, bytes: -1 };
        for pair in std::str::from_utf8(data).ok()?.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let mut parts = pair.split('=');
            match (parts.next()?, parts.next()?.parse().ok()?) {
                ("count", count) => usage.count = count,
                ("bytes", bytes) => usage.bytes = bytes,
                _ => {}
            }
        }
        Some(usage)
    }

    fn write(self) -> Box<[u8]> {
        format!("count={},bytes={}", self.count, self.bytes).into_bytes().into()
    }
}

impl Tree {
    /// To be called when `path` with `bytes` of data has been created.
    pub(super) fn quota_created(&mut self, path: &str, bytes: i64) {
        if let Some((limited, name)) = quota_node(path) {
            if name == LIMITS && !limited.is_empty() {
                self.quotas.limited.retain(|known| known != limited);
                self.quotas.limited.push(limited.to_owned());
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
            self.quotas.limited.retain(|known| known != limited);
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
            && let Some(usage) = Usage::parse(node.data().unwrap_or_default())
        {
            // Clients may write any numbers there; Java's wrap.
            let usage =
                Usage { count: usage.count.wrapping_add(count), bytes: usage.bytes.wrapping_add(bytes) };
            node.data = Some(usage.write());
        }
    }

    /// Counts what is at and below `limited`.
    fn quota_count(&mut self, limited: &str) {
        let mut usage = Usage { count: 0, bytes: 0 };
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
        let quotas = Quotas { limited: vec!["/a".into(), "/a/b".into(), "/c".into()] };
        for (path, covering) in [
            ("/a", Some("/a")),
            ("/a/b", Some("/a/b")),
            ("/a/b/c", Some("/a/b")),
            ("/a/bc", Some("/a")),
            ("/ab", None),
        ] {
            assert_eq!(quotas.covering(path), covering, "{path}");
        }
    }

    #[test]
    fn usage_is_written_as_it_is_read() {
        assert_eq!(Usage::parse(b"count=2,bytes=30=;countHardLimit=4"), Some(Usage { count: 2, bytes: 30 }));
        assert_eq!(Usage::parse(b""), Some(Usage { count: -1, bytes: -1 }));
        assert_eq!(Usage::parse(b"x"), None);
        assert_eq!(&*Usage { count: 1, bytes: -1 }.write(), b"count=1,bytes=-1");
    }
}
