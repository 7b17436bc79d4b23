//! What each request does (`FinalRequestProcessor`).

use std::borrow::Cow;

use quorumeter_zk::event::{SessionState, WatchedEvent};
use quorumeter_zk::frame;
use quorumeter_zk::jute::{DecodeError, Item as _, List, Reader, put_buffer, put_i32, put_string};
use quorumeter_zk::multi::{MultiOp, MultiResult};
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::{ClientInfo, Reply, ReplyHeader};
use quorumeter_zk::request::{Request, RequestHeader, SetWatches};
use quorumeter_zk::tree::access::Identity;
use quorumeter_zk::tree::{Change, MultiKind, Node, consumes_zxid};
use quorumeter_zk::watch::WatchTable;
use quorumeter_zk::{ErrorCode, OpCode};

use super::member::{Clients, Member};
use crate::serving::{REPLY_LEN_MAX, WireId};

impl Member {
    /// Answers a request of an established connection.
    pub(super) fn request(
        &mut self,
        clients: &mut Clients,
        id: WireId,
        header: RequestHeader,
        mut input: Reader<'_>,
    ) {
        let request = match Request::decode(header.op, &mut input) {
            Ok(Some(request)) => request,
            Ok(None) => return self.unimplemented(clients, id, header),
            Err(DecodeError::Null("path")) if is_about_watches(header.op) => {
                return self.about_watches_of_null(clients, id, header, input);
            }
            Err(error) => return self.unreadable(clients, id, header, error),
        };
        let Some(wire) = clients.get_mut(id) else { return };
        let client = &mut wire.state;
        client.last_op = short_name(header.op);
        client.last_xid = header.xid;
        let zxid = self.tree.last_zxid();
        let out = &mut *wire.out;
        let start = out.len();
        // Set by whatever stops before its reply is whole.
        let mut is_too_long = false;
        let result = match request {
            Request::GetData(request) => self.tree.readable(&request.path, &client.identities).map(|node| {
                let mark = begin(out, header.xid, zxid);
                put_buffer(out, node.data());
                node.stat().encode(out);
                frame::end(out, mark);
                if request.watch {
                    self.watches.watch_data(&request.path, id);
                }
            }),
            Request::Exists(request) => {
                let result = self.tree.existing(&request.path, &client.identities).map(|node| {
                    let mark = begin(out, header.xid, zxid);
                    node.stat().encode(out);
                    frame::end(out, mark);
                });
                // A watch for the creation of a znode that is not there.
                if request.watch && matches!(result, Ok(()) | Err(ErrorCode::NO_NODE)) {
                    self.watches.watch_data(&request.path, id);
                }
                result
            }
            Request::GetChildren(request) => {
                self.tree.readable(&request.path, &client.identities).map(|node| {
                    let mark = begin(out, header.xid, zxid);
                    is_too_long = !put_children(out, node);
                    frame::end(out, mark);
                    if request.watch {
                        self.watches.watch_children(&request.path, id);
                    }
                })
            }
            Request::GetChildren2(request) => {
                self.tree.readable(&request.path, &client.identities).map(|node| {
                    let mark = begin(out, header.xid, zxid);
                    is_too_long = !put_children(out, node);
                    node.stat().encode(out);
                    frame::end(out, mark);
                    if request.watch {
                        self.watches.watch_children(&request.path, id);
                    }
                })
            }
            Request::GetAcl { path } => self.tree.acl_of(&path, &client.identities).map(|(node, entries)| {
                let reply = Reply::Acl { acl: List::from(&entries[..]), stat: node.stat() };
                reply.encode_frame(out, header.xid, zxid);
            }),
            Request::GetAllChildrenNumber { path } => {
                self.tree.readable(&path, &client.identities).map(|node| {
                    let count = self.tree.descendant_count(node) as i32;
                    // The empty path is the root under a name that upstream does not except from counting it.
                    let count = if path.is_empty() { count + 1 } else { count };
                    Reply::Number(count).encode_frame(out, header.xid, zxid);
                })
            }
            Request::GetEphemerals { prefix } => {
                let paths = self.tree.ephemerals(client.session_id, &prefix);
                is_too_long = !fits(paths.iter().map(|path| path.len()));
                if !is_too_long {
                    let paths: Vec<_> = paths.iter().map(|path| Cow::Borrowed(&**path)).collect();
                    Reply::Paths(List::from(&paths[..])).encode_frame(out, header.xid, zxid);
                }
                Ok(())
            }
            Request::MultiRead(ops) => MultiKind::of(&ops).map(|kind| {
                // Writes fail one by one: upstream sends the results that it has, none, behind the error.
                let is_wrong = kind == MultiKind::Writes;
                let err = if is_wrong { ErrorCode::MARSHALLING_ERROR } else { ErrorCode::OK };
                let mark = frame::begin(out);
                ReplyHeader { xid: header.xid, zxid, err }.encode(out);
                is_too_long = !ops.iter().all(|op| {
                    self.read_op(&client.identities, &op, out) && out.len() - start <= REPLY_LEN_MAX
                });
                MultiOp::encode_end(out);
                frame::end(out, mark);
            }),
            Request::Sync { path } => {
                Reply::Path { path }.encode_frame(out, header.xid, zxid);
                Ok(())
            }
            Request::Ping => {
                empty(out, xid::PING, zxid);
                Ok(())
            }
            Request::WhoAmI => {
                let infos: Vec<_> = client
                    .identities
                    .iter()
                    .map(|identity| ClientInfo {
                        scheme: identity.scheme.clone(),
                        user: Cow::Borrowed(identity.user()),
                    })
                    .collect();
                is_too_long = !fits(infos.iter().map(|info| info.scheme.len() + info.user.len()));
                if !is_too_long {
                    Reply::Clients(List::from(&infos[..])).encode_frame(out, header.xid, zxid);
                }
                Ok(())
            }
            Request::SetWatches(watches) | Request::SetWatches2(watches) => {
                let events = self.set_watches(out, id, &watches);
                client.statistics.sent += events;
                self.statistics.sent += events;
                empty(out, header.xid, zxid);
                Ok(())
            }
            Request::AddWatch { path, mode: kind }
            | Request::CheckWatches { path, kind }
            | Request::RemoveWatches { path, kind } => {
                let result = about_watches(&mut self.watches, header.op, Some(&path), id, kind);
                result.map(|reply| put_about_watches(out, reply, header.xid, zxid))
            }
            Request::Auth { scheme, auth, .. } => {
                let super_digest = self.options.super_digest.as_deref();
                let is_known = client.identities.authenticate(&scheme, auth, super_digest);
                let err = if is_known { ErrorCode::OK } else { ErrorCode::AUTH_FAILED };
                ReplyHeader { xid: header.xid, zxid: 0, err }.encode_frame(out);
                if !is_known {
                    clients.close(id);
                }
                Ok(())
            }
            Request::Sasl { .. } => {
                Reply::Token(None).encode_frame(out, header.xid, 0);
                Ok(())
            }
            Request::CloseSession => {
                let session_id = client.session_id;
                self.close_session(clients, id, header.xid, session_id);
                Ok(())
            }
            request if consumes_zxid(header.op) => {
                let session_id = client.session_id;
                return self.write(clients, id, header.xid, session_id, Change::Request(request));
            }
            _ => return self.unimplemented(clients, id, header),
        };
        if let Some(wire) = clients.get_mut(id) {
            if let Err(code) = result {
                error(&mut wire.out, header.xid, zxid, code);
            } else if is_too_long {
                wire.out.truncate(start);
                return clients.close_now(id);
            }
        }
        self.answered(clients, id);
    }

    /// A request about watches of null, whose path has been read. Upstream only passes the path on to its tables, which
    /// take null for one.
    fn about_watches_of_null(
        &mut self,
        clients: &mut Clients,
        id: WireId,
        header: RequestHeader,
        mut input: Reader<'_>,
    ) {
        let kind = match input.i32("watch mode or watcher type") {
            Ok(kind) => kind,
            Err(error) => return self.unreadable(clients, id, header, error),
        };
        let Some(wire) = clients.get_mut(id) else { return };
        wire.state.last_op = short_name(header.op);
        wire.state.last_xid = header.xid;
        let zxid = self.tree.last_zxid();
        match about_watches(&mut self.watches, header.op, None, id, kind) {
            Ok(reply) => put_about_watches(&mut wire.out, reply, header.xid, zxid),
            Err(code) => error(&mut wire.out, header.xid, zxid, code),
        }
        self.answered(clients, id);
    }

    fn write(&mut self, clients: &mut Clients, id: WireId, xid: i32, session_id: i64, change: Change<'_>) {
        let result = self.propose(clients, session_id, Some(id), change);
        let zxid = self.tree.last_zxid();
        if let Some(wire) = clients.get_mut(id) {
            match result {
                Ok(reply) => {
                    let mark = begin(&mut wire.out, xid, zxid);
                    reply.encode(&mut wire.out);
                    frame::end(&mut wire.out, mark);
                }
                Err(code) => error(&mut wire.out, xid, zxid, code),
            }
        }
        self.answered(clients, id);
    }

    /// The events of the session's own ephemerals come before the reply.
    fn close_session(&mut self, clients: &mut Clients, id: WireId, xid: i32, session_id: i64) {
        if let Some(session) = self.sessions.get_mut(session_id) {
            session.wire = None;
        }
        self.end_session(clients, session_id);
        let zxid = self.tree.last_zxid();
        if let Some(wire) = clients.get_mut(id) {
            empty(&mut wire.out, xid, zxid);
        }
        clients.close(id);
    }

    /// Sets watches again, and appends the events of those that fire at once; returns how many.
    fn set_watches(&mut self, out: &mut Vec<u8>, id: WireId, watches: &SetWatches<'_>) -> u64 {
        let mut events = 0;
        self.watches.set_again(&self.tree, id, watches, |kind, path| {
            let event = WatchedEvent { kind, state: SessionState::SYNC_CONNECTED, path: Cow::Borrowed(path) };
            event.encode_frame(out, -1);
            events += 1;
        });
        events
    }

    /// Appends the result of one op of a multiRead. One that fails has an error for a result, and changes
    /// nothing for the others. Returns whether the result has a length that a reply may have.
    fn read_op(&self, identities: &[Identity], op: &MultiOp<'_>, out: &mut Vec<u8>) -> bool {
        match op {
            MultiOp::GetData { path, .. } => match self.tree.readable(path, identities) {
                Ok(node) => MultiResult::GetData { data: node.data(), stat: node.stat() }.encode(out),
                Err(code) => MultiResult::Error(code).encode(out),
            },
            MultiOp::GetChildren { path, .. } => match self.tree.readable(path, identities) {
                Ok(node) => {
                    if !fits(node.children().map(str::len)) {
                        return false;
                    }
                    let children: Vec<_> = node.children().map(Cow::Borrowed).collect();
                    MultiResult::GetChildren { children: List::from(&children[..]) }.encode(out);
                }
                Err(code) => MultiResult::Error(code).encode(out),
            },
            _ => {}
        }
        true
    }

    /// Answers an op that is not known, or not allowed from clients, and closes the connection.
    fn unimplemented(&mut self, clients: &mut Clients, id: WireId, header: RequestHeader) {
        if let Some(wire) = clients.get_mut(id) {
            error(&mut wire.out, header.xid, -1, ErrorCode::UNIMPLEMENTED);
        }
        self.answered(clients, id);
        clients.close(id);
    }

    /// Answers a request whose record cannot be read. Upstream numbers a multi before it reads it, and looks
    /// at most strings only when it has numbered the request: then the error is a transaction.
    fn unreadable(&mut self, clients: &mut Clients, id: WireId, header: RequestHeader, why: DecodeError) {
        if matches!(header.op, OpCode::AUTH | OpCode::SASL) {
            return clients.close_now(id);
        }
        let Some(wire) = clients.get_mut(id) else { return };
        let code = match (header.op, why) {
            // Its path is looked at for what it must not be; others are used, which fails in another way.
            (OpCode::SET_DATA | OpCode::SET_ACL, DecodeError::Null("path")) => ErrorCode::BAD_ARGUMENTS,
            _ => ErrorCode::MARSHALLING_ERROR,
        };
        let is_numbered = match header.op {
            OpCode::MULTI => true,
            OpCode::DELETE_CONTAINER => false,
            op => consumes_zxid(op) && matches!(why, DecodeError::Null(_)),
        };
        if is_numbered {
            let session_id = wire.state.session_id;
            return self.write(clients, id, header.xid, session_id, Change::Error(code));
        }
        error(&mut wire.out, header.xid, self.tree.last_zxid(), code);
        self.answered(clients, id);
    }
}

/// Opens a frame with the header of a reply without an error.
#[inline]
fn begin(out: &mut Vec<u8>, xid: i32, zxid: i64) -> usize {
    let mark = out.len();
    let mut header = [0; frame::PREFIX_LEN + ReplyHeader::LEN];
    header[4..8].copy_from_slice(&xid.to_be_bytes());
    header[8..16].copy_from_slice(&zxid.to_be_bytes());
    out.extend_from_slice(&header);
    mark
}

fn empty(out: &mut Vec<u8>, xid: i32, zxid: i64) {
    error(out, xid, zxid, ErrorCode::OK);
}

fn error(out: &mut Vec<u8>, xid: i32, zxid: i64, err: ErrorCode) {
    ReplyHeader { xid, zxid, err }.encode_frame(out);
}

/// Appends the names, up to the length that a reply may have; returns whether that was all of them.
fn put_children(out: &mut Vec<u8>, node: &Node) -> bool {
    let start = out.len();
    put_i32(out, node.child_count() as i32);
    node.children().all(|name| {
        put_string(out, name);
        out.len() - start <= REPLY_LEN_MAX
    })
}

/// Whether strings of these lengths fit into a reply.
fn fits(lens: impl Iterator<Item = usize>) -> bool {
    // Each has a length of 4 bytes before it.
    lens.map(|len| len + 4).sum::<usize>() <= REPLY_LEN_MAX
}

fn is_about_watches(op: OpCode) -> bool {
    matches!(op, OpCode::ADD_WATCH | OpCode::CHECK_WATCHES | OpCode::REMOVE_WATCHES)
}

/// Adds, looks for or removes the watch of a mode or type; the record of the reply, if it has one. A mode or type that
/// does not exist cannot even be read.
fn about_watches(
    watches: &mut WatchTable,
    op: OpCode,
    path: Option<&str>,
    id: WireId,
    kind: i32,
) -> Result<Option<Reply<'static>>, ErrorCode> {
    let found = match op {
        OpCode::ADD_WATCH if watches.add_watch(path, id, kind) => return Ok(Some(Reply::AddWatch(0))),
        OpCode::ADD_WATCH => None,
        OpCode::CHECK_WATCHES => watches.has_watch(path, id, kind),
        _ => watches.remove_watch(path, id, kind),
    };
    match found {
        Some(true) => Ok(None),
        Some(false) => Err(ErrorCode::NO_WATCHER),
        None => Err(ErrorCode::MARSHALLING_ERROR),
    }
}

fn put_about_watches(out: &mut Vec<u8>, reply: Option<Reply<'_>>, xid: i32, zxid: i64) {
    match reply {
        Some(reply) => reply.encode_frame(out, xid, zxid),
        None => empty(out, xid, zxid),
    }
}

/// The name of an op in `cons`.
fn short_name(op: OpCode) -> &'static str {
    match op {
        OpCode::PING => "PING",
        OpCode::MULTI => "MULT",
        OpCode::MULTI_READ => "MLTR",
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_TTL | OpCode::CREATE_CONTAINER => "CREA",
        OpCode::DELETE | OpCode::DELETE_CONTAINER => "DELE",
        OpCode::SET_DATA => "SETD",
        OpCode::SET_ACL => "SETA",
        OpCode::CLOSE_SESSION => "CLOS",
        OpCode::SYNC => "SYNC",
        OpCode::EXISTS => "EXIS",
        OpCode::GET_DATA => "GETD",
        OpCode::SET_WATCHES => "SETW",
        OpCode::SET_WATCHES2 => "STW2",
        OpCode::ADD_WATCH => "ADDW",
        OpCode::GET_ACL => "GETA",
        OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2 => "GETC",
        OpCode::GET_ALL_CHILDREN_NUMBER => "GETACN",
        OpCode::CHECK_WATCHES => "CHKW",
        OpCode::REMOVE_WATCHES => "REMW",
        OpCode::WHO_AM_I => "HOMI",
        OpCode::GET_EPHEMERALS => "GETE",
        _ => "NA",
    }
}
