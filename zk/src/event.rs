//! Watch events.

use std::borrow::Cow;

use crate::frame;
use crate::jute::{DecodeError, Reader, put_i32, put_i64, put_string};
use crate::op::xid;

/// What happened to a znode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub i32);

impl EventType {
    /// Nothing: the event tells the session's state.
    pub const NONE: EventType = EventType(-1);
    /// It was created.
    pub const NODE_CREATED: EventType = EventType(1);
    /// It was deleted.
    pub const NODE_DELETED: EventType = EventType(2);
    /// Its data were set.
    pub const NODE_DATA_CHANGED: EventType = EventType(3);
    /// A child was created or deleted.
    pub const NODE_CHILDREN_CHANGED: EventType = EventType(4);
    /// A data watch was removed (made by clients).
    pub const DATA_WATCH_REMOVED: EventType = EventType(5);
    /// A child watch was removed (made by clients).
    pub const CHILD_WATCH_REMOVED: EventType = EventType(6);
    /// A persistent watch was removed (made by clients).
    pub const PERSISTENT_WATCH_REMOVED: EventType = EventType(7);

    /// Upstream's name, `unknown` for others.
    pub fn name(self) -> &'static str {
        match self {
            EventType::NONE => "None",
            EventType::NODE_CREATED => "NodeCreated",
            EventType::NODE_DELETED => "NodeDeleted",
            EventType::NODE_DATA_CHANGED => "NodeDataChanged",
            EventType::NODE_CHILDREN_CHANGED => "NodeChildrenChanged",
            EventType::DATA_WATCH_REMOVED => "DataWatchRemoved",
            EventType::CHILD_WATCH_REMOVED => "ChildWatchRemoved",
            EventType::PERSISTENT_WATCH_REMOVED => "PersistentWatchRemoved",
            _ => "unknown",
        }
    }
}

/// The state of a session, as an event tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionState(pub i32);

impl SessionState {
    /// The session has expired.
    pub const EXPIRED: SessionState = SessionState(-112);
    /// Not known; deprecated, servers never send it.
    pub const UNKNOWN: SessionState = SessionState(-1);
    /// There is no connection.
    pub const DISCONNECTED: SessionState = SessionState(0);
    /// Connected to a member without a quorum; deprecated, servers never send it.
    pub const NO_SYNC_CONNECTED: SessionState = SessionState(1);
    /// Connected to a member with a quorum: what servers send with watch events.
    pub const SYNC_CONNECTED: SessionState = SessionState(3);
    /// Authentication failed.
    pub const AUTH_FAILED: SessionState = SessionState(4);
    /// Connected to a read-only member.
    pub const CONNECTED_READ_ONLY: SessionState = SessionState(5);
    /// SASL authentication is done.
    pub const SASL_AUTHENTICATED: SessionState = SessionState(6);
    /// The session is closed (3.5.5).
    pub const CLOSED: SessionState = SessionState(7);
}

/// The record of a watch event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedEvent<'a> {
    /// What happened.
    pub kind: EventType,
    /// The session's state.
    pub state: SessionState,
    /// Where.
    pub path: Cow<'a, str>,
}

impl<'a> WatchedEvent<'a> {
    /// Reads the record behind a reply header with [`xid::NOTIFICATION`].
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(body);
        let event = WatchedEvent {
            kind: EventType(input.i32("event type")?),
            state: SessionState(input.i32("event state")?),
            path: input.string("event path")?,
        };
        input.end("watch event")?;
        Ok(event)
    }

    /// Appends the whole frame. `zxid` is the triggering transaction's since 3.9.0 (ZOOKEEPER-4655); −1 before, and
    /// for what setWatches finds to have changed.
    pub fn encode_frame(&self, out: &mut Vec<u8>, zxid: i64) {
        let mark = frame::begin(out);
        put_i32(out, xid::NOTIFICATION);
        put_i64(out, zxid);
        put_i32(out, 0);
        put_i32(out, self.kind.0);
        put_i32(out, self.state.0);
        put_string(out, &self.path);
        frame::end(out, mark);
    }
}
