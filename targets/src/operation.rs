//! The operations of a workload.

use std::fmt;

/// A kind of operation, as a workload's mix names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// Read a node, from whatever the session's member has.
    Read,
    /// Read a node after the member has caught up with the leader.
    ReadFresh,
    /// The strongest read that the system has.
    ReadStrongest,
    /// Ask whether a node exists.
    Exists,
    /// List a parent's children.
    List,
    /// Write a node.
    Write,
    /// Read a node, then write it if it is still at the version read.
    WriteCas,
    /// Create a node of the session's own.
    Create,
    /// Create a node that the system numbers, below a parent that the stream shares.
    CreateSequential,
    /// Create a node that goes with its session.
    CreateEphemeral,
    /// Create a child of a node of the dataset.
    CreateChild,
    /// Delete the oldest node that the session created.
    Delete,
    /// Write so many nodes in one transaction.
    Multi(u16),
    /// Catch up with the leader.
    Sync,
}

impl OpKind {
    /// The kinds whose names have no parameter.
    pub const PLAIN: [OpKind; 13] = [
        OpKind::Read,
        OpKind::ReadFresh,
        OpKind::ReadStrongest,
        OpKind::Exists,
        OpKind::List,
        OpKind::Write,
        OpKind::WriteCas,
        OpKind::Create,
        OpKind::CreateSequential,
        OpKind::CreateEphemeral,
        OpKind::CreateChild,
        OpKind::Delete,
        OpKind::Sync,
    ];

    /// The most ops that one multi may have.
    pub const MULTI_MAX: u16 = 1000;

    /// The kind of this name: one of [`OpKind::PLAIN`], or `multi(n)` with n from 1 to [`OpKind::MULTI_MAX`].
    pub fn from_name(name: &str) -> Option<OpKind> {
        if let Some(kind) = OpKind::PLAIN.into_iter().find(|kind| kind.to_string() == name) {
            return Some(kind);
        }
        let n = name.strip_prefix("multi(")?.strip_suffix(')')?.trim().parse().ok()?;
        (1..=OpKind::MULTI_MAX).contains(&n).then_some(OpKind::Multi(n))
    }

    /// Whether it changes the tree.
    pub fn is_write(self) -> bool {
        match self {
            OpKind::Read
            | OpKind::ReadFresh
            | OpKind::ReadStrongest
            | OpKind::Exists
            | OpKind::List
            | OpKind::Sync => false,
            OpKind::Write
            | OpKind::WriteCas
            | OpKind::Create
            | OpKind::CreateSequential
            | OpKind::CreateEphemeral
            | OpKind::CreateChild
            | OpKind::Delete
            | OpKind::Multi(_) => true,
        }
    }

    /// Whether it changes data of the dataset's nodes, which data watches tell.
    pub fn changes_data(self) -> bool {
        matches!(self, OpKind::Write | OpKind::WriteCas | OpKind::Multi(_))
    }

    /// Whether it creates a node that a later `delete` may take.
    pub fn creates(self) -> bool {
        self == OpKind::CreateChild || self.creates_own()
    }

    /// Whether it creates a node below its stream's own, not below the dataset.
    pub fn creates_own(self) -> bool {
        matches!(self, OpKind::Create | OpKind::CreateSequential | OpKind::CreateEphemeral)
    }

    /// Whether it is about a node of the dataset, so that the choice of keys matters to it.
    pub fn has_key(self) -> bool {
        !self.creates_own() && self != OpKind::Delete
    }

    /// Whether it carries a value.
    pub fn has_value(self) -> bool {
        self.is_write() && self != OpKind::Delete
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpKind::Read => "read",
            OpKind::ReadFresh => "read_fresh",
            OpKind::ReadStrongest => "read_strongest",
            OpKind::Exists => "exists",
            OpKind::List => "list",
            OpKind::Write => "write",
            OpKind::WriteCas => "write_cas",
            OpKind::Create => "create",
            OpKind::CreateSequential => "create_sequential",
            OpKind::CreateEphemeral => "create_ephemeral",
            OpKind::CreateChild => "create_child",
            OpKind::Delete => "delete",
            OpKind::Multi(n) => return write!(f, "multi({n})"),
            OpKind::Sync => "sync",
        })
    }
}

/// A value: a piece of the pool of random bytes that all sessions of a run share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Value {
    /// Where it starts.
    pub offset: u32,
    /// Its length in bytes.
    pub len: u32,
}

/// A part of the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nodes {
    /// Its first node.
    pub first: u32,
    /// How many it has.
    pub count: u32,
}

impl Nodes {
    /// The node that lies `i` behind `key`, one of these; after the last one comes the first.
    pub fn behind(self, key: u32, i: u32) -> u32 {
        let place = u64::from(key - self.first) + u64::from(i);
        self.first + (place % u64::from(self.count)) as u32
    }
}

/// A node that a session created, by the number it has among its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// By [`Operation::Create`]: the session's own count.
    Plain(u32),
    /// By [`Operation::CreateSequential`]: the system's number.
    Sequential(u32),
    /// By [`Operation::CreateEphemeral`]: the session's own count.
    Ephemeral(u32),
    /// By [`Operation::CreateChild`]: the dataset's node that it is a child of, and the session's own count.
    Child {
        /// The parent.
        key: u32,
        /// The count.
        serial: u32,
    },
}

/// What of a node of the dataset an op changes, and a watch tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Its data. Each change raises its version by one.
    Data,
    /// Which children it has. Each that comes or goes raises their version by one.
    Children,
}

/// One operation, ready to be submitted. Keys are nodes of the dataset, numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the kinds are documented at OpKind")]
pub enum Operation {
    Read {
        key: u32,
    },
    ReadFresh {
        key: u32,
    },
    ReadStrongest {
        key: u32,
    },
    Exists {
        key: u32,
    },
    /// The parent of this key's node.
    List {
        key: u32,
    },
    Write {
        key: u32,
        value: Value,
    },
    WriteCas {
        key: u32,
        value: Value,
    },
    Create {
        serial: u32,
        value: Value,
    },
    CreateSequential {
        value: Value,
    },
    CreateEphemeral {
        serial: u32,
        value: Value,
    },
    CreateChild {
        key: u32,
        serial: u32,
        value: Value,
    },
    Delete {
        node: Created,
    },
    /// `count` of `nodes` from `key` on, in their order, from their end back to their start.
    Multi {
        key: u32,
        count: u16,
        nodes: Nodes,
        value: Value,
    },
    Sync {
        key: u32,
    },
    /// Set a one-shot data watch, and read.
    WatchOnce {
        key: u32,
    },
    /// Set a one-shot watch with `exists`, which tells the version, too.
    WatchExists {
        key: u32,
    },
    /// Add a persistent watch, and read.
    WatchAlways {
        key: u32,
    },
    /// Add a persistent watch to all that is below the parent of this key's node, and read the node.
    WatchBelow {
        key: u32,
    },
    /// Set a one-shot watch with `exists` on an ephemeral node of one of the stream's sessions, after the member has
    /// caught up with the leader.
    WatchEphemeral {
        session: u32,
        serial: u32,
    },
    /// End the session.
    Close,
    /// Set a one-shot watch on the children of a node, and list them.
    WatchChildrenOnce {
        key: u32,
    },
    /// Add a persistent watch to a node, and ask for its children's version.
    WatchChildrenAlways {
        key: u32,
    },
    /// Add a persistent watch to a node and all that is below it, and ask for its children's version.
    WatchChildrenBelow {
        key: u32,
    },
    /// Ask for the version of a node's children.
    ChildrenVersion {
        key: u32,
    },
}

impl Operation {
    /// The dataset's node that it is about: of a multi the first one, of a child its parent.
    pub fn key(self) -> Option<u32> {
        match self {
            Operation::Read { key }
            | Operation::ReadFresh { key }
            | Operation::ReadStrongest { key }
            | Operation::Exists { key }
            | Operation::List { key }
            | Operation::Write { key, .. }
            | Operation::WriteCas { key, .. }
            | Operation::CreateChild { key, .. }
            | Operation::Delete { node: Created::Child { key, .. } }
            | Operation::Multi { key, .. }
            | Operation::Sync { key }
            | Operation::WatchOnce { key }
            | Operation::WatchExists { key }
            | Operation::WatchAlways { key }
            | Operation::WatchBelow { key }
            | Operation::WatchChildrenOnce { key }
            | Operation::WatchChildrenAlways { key }
            | Operation::WatchChildrenBelow { key }
            | Operation::ChildrenVersion { key } => Some(key),
            Operation::Create { .. }
            | Operation::CreateSequential { .. }
            | Operation::CreateEphemeral { .. }
            | Operation::Delete { .. }
            | Operation::WatchEphemeral { .. }
            | Operation::Close => None,
        }
    }
}
