//! What the rows of a history tell, of streams that keep one.

use quorumeter_record::{HistoryRow, RowKind};
use quorumeter_targets::session::WatchEvent;
use quorumeter_targets::{Completion, Outcome};

use super::recorder::Tag;
use crate::plan::Stream;

/// The key of what is about no node of the dataset.
const NO_KEY: u32 = u32::MAX;

/// Where something happens: a session of a stream whose history is kept, and the connection that it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    stream: u16,
    session: u32,
    /// Connections that the session has had.
    connections: u32,
    /// The member that it is connected to.
    member: Option<u16>,
}

impl Place {
    /// Session number `session` of this stream; `None` when the stream keeps no history.
    pub(super) fn of(stream: &Stream, number: usize, session: u32) -> Option<Place> {
        let place = Place { stream: number as u16, session, connections: 0, member: None };
        stream.history.then_some(place)
    }

    /// The session has another connection.
    pub(super) fn connected(&mut self, member: usize) {
        self.connections += 1;
        self.member = Some(member as u16);
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.member = None;
    }

    /// An op that was handed over on this connection has ended.
    pub(super) fn op(&self, tag: &Tag, key: Option<u32>, completion: &Completion) -> HistoryRow {
        let row = self.row(usize::from(tag.op), key, completion);
        HistoryRow { intended_ns: tag.intended_ns, released_ns: tag.released_ns, ..row }
    }

    /// An op was given up of which no byte was handed over.
    pub(super) fn shed(&self, tag: &Tag, key: Option<u32>, now_ns: u64) -> HistoryRow {
        let nowhere = Place { member: None, ..*self };
        let row = nowhere.op(tag, key, &Completion { done_ns: now_ns, ..Completion::NOTHING });
        HistoryRow { sent_ns: None, kind: RowKind::Shed, ..row }
    }

    /// A watch event came.
    pub(super) fn event(&self, key: u32, event: &WatchEvent) -> HistoryRow {
        let (sent_ns, done_ns) = (event.received_ns, event.received_ns);
        let zxid = event.zxid.unwrap_or(0);
        let row = self.row(0, Some(key), &Completion { sent_ns, done_ns, zxid, ..Completion::NOTHING });
        HistoryRow { sent_ns: None, kind: RowKind::Event, ..row }
    }

    /// Something that was not scheduled took from `began_ns` to `ended_ns`. It is the stream's op number `op`.
    pub(super) fn observed(&self, op: usize, began_ns: u64, ended_ns: u64, outcome: Outcome) -> HistoryRow {
        let completion = Completion { sent_ns: began_ns, done_ns: ended_ns, outcome, ..Completion::NOTHING };
        self.row(op, None, &completion)
    }

    /// What began when it was sent.
    fn row(&self, op: usize, key: Option<u32>, completion: &Completion) -> HistoryRow {
        let (kind, code) = match completion.outcome {
            Outcome::Ok => (RowKind::Ok, 0),
            Outcome::Failed(code) => (RowKind::Failed, code),
            Outcome::Unknown => (RowKind::Unknown, completion.code),
        };
        HistoryRow {
            intended_ns: completion.sent_ns,
            released_ns: completion.sent_ns,
            sent_ns: Some(completion.sent_ns),
            ended_ns: completion.done_ns,
            zxid: completion.zxid,
            session: self.session,
            connection: if self.member.is_some() { self.connections } else { 0 },
            key: key.unwrap_or(NO_KEY),
            code,
            version: completion.version,
            stream: self.stream,
            member: self.member,
            op: op as u8,
            kind,
        }
    }
}
