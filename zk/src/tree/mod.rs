//! The tree of znodes and what transactions do to it, as Apache ZooKeeper 3.9.4 does it. Clients could tell the two
//! apart by the order of many names with the same hash (see `names`), by the limits of [`access`], which upstream
//! does not have, and by nothing else that is known.
//!
//! ```text
//! request ─► Transaction(zxid, time, session, identities, change) ─► Tree::apply ─► reply or error code
//!                                                                             └──► triggers ─► watch table
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | [`transaction`] | what changes the tree, and what comes of it |
//! | `prepare` | whether a change is possible, and what it will be (`PrepRequestProcessor`) |
//! | `apply` | doing it (`DataTree.processTxn`) |
//! | `read` | what reads need besides a [`Node`] |
//! | [`access`] | identities and ACLs |
//! | `node`, `names`, `hash` | a znode; sets of names in upstream's order; the hash function |
//! | `expiry` | which containers and znodes with a time to live are due |
//! | `quota` | `/zookeeper/quota` |
//!
//! There is no clock, no I/O and no randomness here: applying the same transactions in the same order makes
//! the same tree. Reading is `&self` and hands out borrowed data.

pub mod access;
mod apply;
mod expiry;
mod hash;
mod names;
mod node;
mod prepare;
mod quota;
mod read;
#[cfg(test)]
mod tests;
pub mod transaction;

use std::sync::Arc;

pub(crate) use hash::{FastMap, FastSet};
pub use node::{Lifetime, MAX_TTL_MS, Node};
pub use prepare::MultiKind;
pub use transaction::{Change, OpResult, Transaction, Trigger, WriteReply, consumes_zxid};

use crate::acl::{self, Acl};
use access::AclTable;
use names::NameSet;
use quota::Quotas;

/// Parent of the znodes that the server itself makes.
pub const ZOOKEEPER: &str = "/zookeeper";
/// Where quotas are.
pub const QUOTA: &str = "/zookeeper/quota";
/// Where the ensemble's configuration is.
pub const CONFIG: &str = "/zookeeper/config";

/// A tree of znodes, and the sessions that own ephemeral ones.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: FastMap<Arc<str>, Node>,
    acls: AclTable,
    /// Timeout of every open session, milliseconds.
    sessions: FastMap<i64, i32>,
    ephemerals: FastMap<i64, NameSet>,
    containers: NameSet,
    with_ttl: NameSet,
    quotas: Quotas,
    last_zxid: i64,
    /// Lengths of all paths (in UTF-16) and data.
    data_size: i64,
}

impl Default for Tree {
    fn default() -> Self {
        Tree::new()
    }
}

impl Tree {
    /// The tree of a new ensemble: the root and the server's own znodes.
    pub fn new() -> Tree {
        let mut tree = Tree {
            nodes: FastMap::default(),
            acls: AclTable::default(),
            sessions: FastMap::default(),
            ephemerals: FastMap::default(),
            containers: NameSet::new(16, 0),
            with_ttl: NameSet::new(16, 0),
            quotas: Quotas::default(),
            last_zxid: 0,
            data_size: 0,
        };
        for path in ["/", ZOOKEEPER, QUOTA, CONFIG] {
            tree.insert(Node::new(path.into(), Some(b""), None, Lifetime::Persistent, 0, 0));
        }
        let read_only = Some(Arc::from([Acl { perms: acl::READ, ..Acl::OPEN }]));
        let read_only = tree.acls.intern(read_only);
        if let Some(config) = tree.nodes.get_mut(CONFIG) {
            config.acl = read_only;
            config.aversion = -1;
        }
        tree
    }

    /// The znode at `path`. The empty path is another name of the root, as upstream has it.
    #[inline]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(if path.is_empty() { "/" } else { path })
    }

    #[inline]
    fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.nodes.get_mut(if path.is_empty() { "/" } else { path })
    }

    /// The zxid of the last transaction applied.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Number of znodes as upstream counts them: the root is there twice.
    pub fn node_count(&self) -> usize {
        self.nodes.len() + 1
    }

    /// Number of ephemeral znodes.
    pub fn ephemerals_count(&self) -> usize {
        self.ephemerals.values().map(NameSet::len).sum()
    }

    /// Size of all paths and data, bytes (of paths: UTF-16 units); as upstream has it, what the server itself
    /// writes below `/zookeeper/quota` is not followed.
    pub fn approximate_data_size(&self) -> i64 {
        self.data_size
    }

    /// The open sessions and their timeouts, milliseconds, in no particular order.
    pub fn sessions(&self) -> impl Iterator<Item = (i64, i32)> {
        self.sessions.iter().map(|(id, timeout_ms)| (*id, *timeout_ms))
    }

    /// Number of open sessions.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The timeout of a session, milliseconds; `None` when there is no such session.
    pub fn session_timeout_ms(&self, session_id: i64) -> Option<i32> {
        self.sessions.get(&session_id).copied()
    }

    /// Puts a znode into the map and its name into its parent.
    fn insert(&mut self, node: Node) {
        self.data_size += node_size(&node);
        if let Some(parent) = crate::path::parent(&node.path).and_then(|path| self.nodes.get_mut(path)) {
            let prefix_len = if parent.path.len() == 1 { 1 } else { parent.path.len() + 1 };
            // Upstream's HashSet of children starts with a table of 8.
            let children = parent.children.get_or_insert_with(|| Box::new(NameSet::new(8, prefix_len)));
            children.insert(Arc::clone(&node.path));
        }
        self.nodes.insert(Arc::clone(&node.path), node);
    }
}

fn node_size(node: &Node) -> i64 {
    path_size(&node.path) + data_size(node.data())
}

fn path_size(path: &str) -> i64 {
    (if path.is_ascii() { path.len() } else { path.encode_utf16().count() }) as i64
}

fn data_size(data: Option<&[u8]>) -> i64 {
    data.map_or(0, <[u8]>::len) as i64
}
