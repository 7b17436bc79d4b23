//! The numbers of requests, xids: a client's own count, and those that are not part of it.

/// A watch event.
pub const NOTIFICATION: i32 = -1;
/// A ping and its reply.
pub const PING: i32 = -2;
/// An auth packet and its reply; the reply may overtake others.
pub const AUTH: i32 = -4;
/// SetWatches and its reply. Upstream's Java client counts them like any other request.
pub const SET_WATCHES: i32 = -8;
/// closeSession, for ClickHouse Keeper (`Coordination::CLOSE_XID`): it takes any request with this number for the
/// session's last one.
pub const KEEPER_CLOSE: i32 = i32::MAX;

/// The number after `xid` in a client's count: 1 follows the largest that is not [`KEEPER_CLOSE`].
#[inline]
pub fn next(xid: i32) -> i32 {
    if xid >= KEEPER_CLOSE - 1 { 1 } else { xid + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_leaves_out_what_means_something_else() {
        assert_eq!([0, 1, KEEPER_CLOSE - 2].map(next), [1, 2, KEEPER_CLOSE - 1]);
        assert_eq!([KEEPER_CLOSE - 1, KEEPER_CLOSE].map(next), [1, 1]);
    }
}
