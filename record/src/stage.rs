//! Ops that no mix draws: what is observed beside the ops that were scheduled. They have lines, histograms and
//! summaries as other ops have, and are in no sum over ops.

/// A change reaches a watcher.
pub const WATCH_DELIVERY: &str = "watch_delivery";
/// A session's TCP connection is made: connect to established.
pub const TCP: &str = "tcp";
/// It is secured: established to the end of the TLS handshake.
pub const TLS: &str = "tls";
/// The session is made or taken up again: the request to connect to its answer, credentials included.
pub const HANDSHAKE: &str = "handshake";
/// Its first op: sent to done.
pub const FIRST_OP: &str = "first_op";
/// It is closed: the request to its answer.
pub const CLOSE: &str = "close";
/// It is kept alive: the ping to its answer.
pub const PING: &str = "ping";
/// A silent session ends: from the moment at which its timeout had passed since its last request was sent, to the
/// moment at which another session was told that its ephemeral node is gone.
pub const EXPIRY: &str = "expiry";

/// The stages of a session's life.
pub const OF_SESSIONS: [&str; 7] = [TCP, TLS, HANDSHAKE, FIRST_OP, CLOSE, PING, EXPIRY];

/// Whether an op of this name is a stage of a session's life.
pub fn is_of_sessions(op: &str) -> bool {
    OF_SESSIONS.contains(&op)
}

/// Whether an op of this name is a part of a scheduled one, or comes with each of them.
pub fn is_part(op: &str) -> bool {
    [TCP, TLS, HANDSHAKE, FIRST_OP, CLOSE].contains(&op)
}

/// Whether an op of this name was not scheduled, and only observed.
pub fn is_observed(op: &str) -> bool {
    op == WATCH_DELIVERY || is_of_sessions(op)
}
