//! Op codes.

pub mod xid;

use std::fmt;

/// The code of a request's type. Values that are not known are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpCode(pub i32);

macro_rules! op_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl OpCode {
            $($(#[$doc])* pub const $name: OpCode = OpCode($code);)*

            /// Every code that is known.
            pub const ALL: &'static [OpCode] = &[$(OpCode::$name),*];

            /// The name that `ZooDefs.OpCode` gives it, of Keeper's own ones a name in the same style; `unknown`
            /// for others.
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "unknown",
                }
            }
        }
    };
}

op_codes! {
    /// A watch event (server to client; as the type of a request it is not allowed).
    NOTIFICATION = 0, "notification";
    /// Create a znode, answered with its path.
    CREATE = 1, "create";
    /// Delete a znode.
    DELETE = 2, "delete";
    /// Ask for a znode's stat.
    EXISTS = 3, "exists";
    /// Read a znode.
    GET_DATA = 4, "getData";
    /// Write a znode.
    SET_DATA = 5, "setData";
    /// Read a znode's ACL.
    GET_ACL = 6, "getACL";
    /// Write a znode's ACL.
    SET_ACL = 7, "setACL";
    /// List children.
    GET_CHILDREN = 8, "getChildren";
    /// Catch up with the leader.
    SYNC = 9, "sync";
    /// Keep the session alive.
    PING = 11, "ping";
    /// List children, with the parent's stat.
    GET_CHILDREN2 = 12, "getChildren2";
    /// Compare a version; inside a multi only (ZOOKEEPER-2623).
    CHECK = 13, "check";
    /// Several writes in one transaction.
    MULTI = 14, "multi";
    /// Create a znode, answered with path and stat (3.5.0).
    CREATE2 = 15, "create2";
    /// Change the ensemble's members (3.5.0).
    RECONFIG = 16, "reconfig";
    /// Ask whether a watch is set (3.5.0).
    CHECK_WATCHES = 17, "checkWatches";
    /// Remove a watch (3.5.0).
    REMOVE_WATCHES = 18, "removeWatches";
    /// Create a container (3.5.1).
    CREATE_CONTAINER = 19, "createContainer";
    /// Delete an empty container; servers send it to themselves.
    DELETE_CONTAINER = 20, "deleteContainer";
    /// Create a znode with a time to live (3.5.3).
    CREATE_TTL = 21, "createTTL";
    /// Several reads at once (3.6.0).
    MULTI_READ = 22, "multiRead";
    /// Add an identity to the connection.
    AUTH = 100, "auth";
    /// Set watches again after a reconnect.
    SET_WATCHES = 101, "setWatches";
    /// A step of a SASL exchange.
    SASL = 102, "sasl";
    /// List the session's own ephemerals (3.6.0).
    GET_EPHEMERALS = 103, "getEphemerals";
    /// Count descendants (3.6.0).
    GET_ALL_CHILDREN_NUMBER = 104, "getAllChildrenNumber";
    /// Set watches again, persistent ones too (3.6.0).
    SET_WATCHES2 = 105, "setWatches2";
    /// Add a persistent watch (3.6.0).
    ADD_WATCH = 106, "addWatch";
    /// List the connection's identities (3.7.0).
    WHO_AM_I = 107, "whoAmI";
    /// ClickHouse Keeper: list children by kind.
    KEEPER_FILTERED_LIST = 500, "filteredList";
    /// ClickHouse Keeper: fail when a znode exists; inside a multi.
    KEEPER_CHECK_NOT_EXISTS = 501, "checkNotExists";
    /// ClickHouse Keeper: create a znode unless it exists.
    KEEPER_CREATE_IF_NOT_EXISTS = 502, "createIfNotExists";
    /// ClickHouse Keeper: remove a subtree.
    KEEPER_REMOVE_RECURSIVE = 503, "removeRecursive";
    /// ClickHouse Keeper: compare a whole stat; inside a multi.
    KEEPER_CHECK_STAT = 504, "checkStat";
    /// ClickHouse Keeper: delete a znode if it is there.
    KEEPER_TRY_REMOVE = 505, "tryRemove";
    /// ClickHouse Keeper: list children with stats and data.
    KEEPER_FILTERED_LIST_WITH_STATS_AND_DATA = 506, "filteredListWithStatsAndData";
    /// Open a session; servers send it to themselves.
    CREATE_SESSION = -10, "createSession";
    /// End the session.
    CLOSE_SESSION = -11, "closeSession";
    /// A failed op in a multi's results.
    ERROR = -1, "error";
}

impl fmt::Debug for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "unknown" => write!(f, "op {}", self.0),
            name => f.write_str(name),
        }
    }
}
