//! Where a run's nodes are.
//!
//! ```text
//! <root>/lock                                        ephemeral; held while the run lives
//! <root>/data/<parent, 6 digits>/<node, 8 digits>    the dataset
//! <root>/data/…/<node>/<stream's number, 3 digits>-<session>-<n>
//!                                                    created by `create_child`  (6 and 10 digits)
//! <root>/streams/<stream>/<session, 6 digits>/c<n>   created by `create`        (10 digits)
//! <root>/streams/<stream>/<session, 6 digits>/e<n>   created by `create_ephemeral`
//! <root>/streams/<stream>/seq/n-<server's number>    created by `create_sequential`
//! ```

use quorumeter_zk::template::PathPattern;

/// Names of the nodes directly below the root, all of which a run creates and removes.
pub const LOCK: &str = "lock";
/// Parent of the dataset.
pub const DATA: &str = "data";
/// Parent of what the streams create.
pub const STREAMS: &str = "streams";

/// The most nodes a dataset can have.
pub const MAX_NODES: u32 = 99_999_999;
/// The most parents a dataset can have.
pub const MAX_PARENTS: u32 = 999_999;
/// The most sessions a stream can have.
pub const MAX_SESSIONS: u32 = 999_999;

/// The nodes that a run reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dataset {
    /// How many.
    pub nodes: u32,
    /// How many of them each parent has; the last one may have fewer.
    pub children_per_parent: u32,
}

impl Dataset {
    /// The number of parents.
    pub fn parents(&self) -> u32 {
        self.nodes.div_ceil(self.children_per_parent)
    }

    /// The parent of a node.
    #[inline]
    pub fn parent_of(&self, key: u32) -> u32 {
        key / self.children_per_parent
    }
}

/// Paths of a run.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The node below which everything is; never empty, no slash at its end.
    pub root: String,
    /// The dataset.
    pub dataset: Dataset,
    /// Names of the streams, by number.
    pub streams: Vec<String>,
}

impl Layout {
    /// The lock's path.
    pub fn lock(&self) -> String {
        format!("{}/{LOCK}", self.root)
    }

    /// The dataset's own root.
    pub fn data(&self) -> String {
        format!("{}/{DATA}", self.root)
    }

    /// The root of what the streams create.
    pub fn streams_root(&self) -> String {
        format!("{}/{STREAMS}", self.root)
    }

    /// Paths of the dataset's parents: one field, the parent's number.
    pub fn parent_pattern(&self) -> PathPattern {
        PathPattern::below(&self.data(), "/{6}")
    }

    /// Paths of the dataset's nodes: two fields, the parent's number and the node's.
    pub fn node_pattern(&self) -> PathPattern {
        PathPattern::below(&self.data(), "/{6}/{8}")
    }

    /// The path of a node of the dataset.
    pub fn node(&self, key: u32) -> String {
        format!("{}/{:06}/{key:08}", self.data(), self.dataset.parent_of(key))
    }

    /// A stream's own node.
    pub fn stream(&self, stream: usize) -> String {
        format!("{}/{}", self.streams_root(), self.streams[stream])
    }

    /// The node of a session of a stream.
    pub fn session(&self, stream: usize, session: u32) -> String {
        format!("{}/{session:06}", self.stream(stream))
    }

    /// Paths that a stream's sessions create: two fields, the session's number and its own count.
    pub fn created_pattern(&self, stream: usize) -> PathPattern {
        PathPattern::below(&self.stream(stream), "/{6}/c{10}")
    }

    /// Paths of ephemerals that a stream's sessions create: two fields, the session's number and its own count.
    pub fn ephemeral_pattern(&self, stream: usize) -> PathPattern {
        PathPattern::below(&self.stream(stream), "/{6}/e{10}")
    }

    /// Paths of children of the dataset's nodes that a stream's sessions create: four fields, those of the node, the
    /// session's number and its own count.
    pub fn child_pattern(&self, stream: usize) -> PathPattern {
        PathPattern::below(&self.data(), &format!("/{{6}}/{{8}}/{stream:03}-{{6}}-{{10}}"))
    }

    /// The parent of a stream's sequential nodes.
    pub fn sequential_parent(&self, stream: usize) -> String {
        format!("{}/seq", self.stream(stream))
    }

    /// Paths of a stream's sequential nodes: one field, the server's number.
    pub fn sequential_pattern(&self, stream: usize) -> PathPattern {
        PathPattern::below(&self.sequential_parent(stream), "/n-{10}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_taken_as_it_is() {
        for root in ["/a{b/q", "/a{3}/q", "/}/q"] {
            let dataset = Dataset { nodes: 20, children_per_parent: 10 };
            let layout = Layout { root: root.to_owned(), dataset, streams: vec!["s".to_owned()] };
            assert_eq!(layout.parent_pattern().path(&[1]), format!("{root}/data/000001"));
            assert_eq!(layout.node_pattern().path(&[1, 12]), format!("{root}/data/000001/00000012"));
            assert_eq!(
                layout.created_pattern(0).path(&[2, 3]),
                format!("{root}/streams/s/000002/c0000000003")
            );
            assert_eq!(
                layout.ephemeral_pattern(0).path(&[2, 3]),
                format!("{root}/streams/s/000002/e0000000003")
            );
            assert_eq!(
                layout.child_pattern(7).path(&[1, 12, 2, 3]),
                format!("{root}/data/000001/00000012/007-000002-0000000003")
            );
            assert_eq!(layout.sequential_pattern(0).path(&[4]), format!("{root}/streams/s/seq/n-0000000004"));
        }
    }
}
