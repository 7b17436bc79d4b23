//! Numbers in requests that choose between kinds of the same op.

/// The flags of a create request (`CreateMode.toFlag`).
pub mod create_mode {
    /// Stays until it is deleted.
    pub const PERSISTENT: i32 = 0;
    /// Goes with its session.
    pub const EPHEMERAL: i32 = 1;
    /// Persistent, with a number appended to its name.
    pub const PERSISTENT_SEQUENTIAL: i32 = 2;
    /// Ephemeral, with a number appended to its name.
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    /// Deleted by the server some time after its last child (3.5.1).
    pub const CONTAINER: i32 = 4;
    /// Deleted by the server when it has not changed for its time to live (3.5.3).
    pub const PERSISTENT_WITH_TTL: i32 = 5;
    /// The same, with a number appended to its name.
    pub const PERSISTENT_SEQUENTIAL_WITH_TTL: i32 = 6;
}

/// The mode of an addWatch request.
pub mod watch_mode {
    /// Data and children of one znode, until removed.
    pub const PERSISTENT: i32 = 0;
    /// A znode and all below it, until removed.
    pub const PERSISTENT_RECURSIVE: i32 = 1;
}

/// The type in checkWatches and removeWatches.
pub mod watcher_type {
    /// Child watches.
    pub const CHILDREN: i32 = 1;
    /// Data watches.
    pub const DATA: i32 = 2;
    /// All kinds.
    pub const ANY: i32 = 3;
    /// Persistent watches (3.9.0, ZOOKEEPER-4472).
    pub const PERSISTENT: i32 = 4;
    /// Persistent recursive watches (3.9.0, ZOOKEEPER-4472).
    pub const PERSISTENT_RECURSIVE: i32 = 5;
}
