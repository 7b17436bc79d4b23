//! Replies: a header (xid, zxid, error) and, without an error, a record. One error has a record too: a failed SASL
//! step (−115 or −124) is followed by its null token.

use std::borrow::Cow;

use crate::acl::Acl;
use crate::error::ErrorCode;
use crate::frame;
use crate::jute::{DecodeError, Item, List, Reader, put_buffer, put_i32, put_i64, put_string};
use crate::multi::MultiResult;
use crate::op::OpCode;
use crate::stat::Stat;

/// The header of every reply but the handshake's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The request's number, or one of [`crate::op::xid`].
    pub xid: i32,
    /// The last zxid that the member had applied when it answered; the event's own zxid in a watch event
    /// (since 3.9.0); 0 in the answers to auth and sasl, −1 in the one to an unknown op.
    pub zxid: i64,
    /// The error.
    pub err: ErrorCode,
}

impl ReplyHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 16;

    /// Splits a frame's body into header and record.
    #[inline]
    pub fn split(body: &[u8]) -> Result<(ReplyHeader, &[u8]), DecodeError> {
        let Some((header, record)) = body.split_first_chunk::<{ ReplyHeader::LEN }>() else {
            return Err(DecodeError::Truncated {
                what: "reply header",
                needed: ReplyHeader::LEN,
                left: body.len(),
            });
        };
        let [x0, x1, x2, x3, z0, z1, z2, z3, z4, z5, z6, z7, e0, e1, e2, e3] = *header;
        let header = ReplyHeader {
            xid: i32::from_be_bytes([x0, x1, x2, x3]),
            zxid: i64::from_be_bytes([z0, z1, z2, z3, z4, z5, z6, z7]),
            err: ErrorCode(i32::from_be_bytes([e0, e1, e2, e3])),
        };
        Ok((header, record))
    }

    /// Appends the header.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_i32(out, self.xid);
        put_i64(out, self.zxid);
        put_i32(out, self.err.0);
    }

    /// Appends a whole frame without a record.
    pub fn encode_frame(&self, out: &mut Vec<u8>) {
        let mark = frame::begin(out);
        self.encode(out);
        frame::end(out, mark);
    }
}

/// An identity of a connection, as whoAmI tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo<'a> {
    /// Scheme of the identity.
    pub scheme: Cow<'a, str>,
    /// The user, without secrets.
    pub user: Cow<'a, str>,
}

impl<'a> Item<'a> for ClientInfo<'a> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(ClientInfo { scheme: input.string("auth scheme")?, user: input.string("user")? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, &self.scheme);
        put_string(out, &self.user);
    }
}

/// A reply's record.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply<'a> {
    /// No record: delete, ping, auth, setWatches, closeSession, … and addWatch of ClickHouse Keeper.
    Empty,
    /// create, sync, Keeper's createIfNotExists.
    Path {
        /// The znode's path; for a sequential one with its number.
        path: Cow<'a, str>,
    },
    /// create2, createContainer, createTTL.
    PathAndStat {
        /// The znode's path.
        path: Cow<'a, str>,
        /// Its metadata.
        stat: Stat,
    },
    /// exists, setData, setACL.
    Stat(Stat),
    /// getData, reconfig.
    Data {
        /// The data; null is not the same as empty.
        data: Option<&'a [u8]>,
        /// The metadata.
        stat: Stat,
    },
    /// getACL.
    Acl {
        /// The access control list.
        acl: List<'a, Acl<'a>>,
        /// The metadata.
        stat: Stat,
    },
    /// getChildren, getEphemerals.
    Paths(List<'a, Cow<'a, str>>),
    /// getChildren2, Keeper's filteredList.
    Children {
        /// Names of the children.
        children: List<'a, Cow<'a, str>>,
        /// The parent's metadata.
        stat: Stat,
    },
    /// multi, multiRead.
    Multi(List<'a, MultiResult<'a>>),
    /// sasl.
    Token(Option<&'a [u8]>),
    /// getAllChildrenNumber.
    Number(i32),
    /// whoAmI.
    Clients(List<'a, ClientInfo<'a>>),
    /// addWatch of Apache ZooKeeper: an error record, always 0.
    AddWatch(i32),
    /// Keeper's filteredListWithStatsAndData.
    ChildrenWithStatsAndData {
        /// Names of the children.
        children: List<'a, Cow<'a, str>>,
        /// The parent's metadata.
        stat: Stat,
        /// The children's metadata; empty when not asked for.
        stats: List<'a, Stat>,
        /// The children's data; empty when not asked for.
        data: List<'a, Option<&'a [u8]>>,
    },
}

impl<'a> Reply<'a> {
    /// Reads the record behind a header without an error, given the request's op; `None` when the op is not
    /// known.
    pub fn decode(op: OpCode, record: &'a [u8]) -> Result<Option<Reply<'a>>, DecodeError> {
        let mut input = Reader::new(record);
        let reply = match op {
            OpCode::DELETE
            | OpCode::DELETE_CONTAINER
            | OpCode::PING
            | OpCode::AUTH
            | OpCode::SET_WATCHES
            | OpCode::SET_WATCHES2
            | OpCode::CHECK
            | OpCode::CHECK_WATCHES
            | OpCode::REMOVE_WATCHES
            | OpCode::CLOSE_SESSION
            | OpCode::KEEPER_CHECK_NOT_EXISTS
            | OpCode::KEEPER_CHECK_STAT
            | OpCode::KEEPER_REMOVE_RECURSIVE
            | OpCode::KEEPER_TRY_REMOVE => Reply::Empty,
            OpCode::CREATE | OpCode::SYNC | OpCode::KEEPER_CREATE_IF_NOT_EXISTS => {
                Reply::Path { path: input.string("path")? }
            }
            OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                Reply::PathAndStat { path: input.string("path")?, stat: Stat::decode(&mut input)? }
            }
            OpCode::EXISTS | OpCode::SET_DATA | OpCode::SET_ACL => Reply::Stat(Stat::decode(&mut input)?),
            OpCode::GET_DATA | OpCode::RECONFIG => {
                Reply::Data { data: input.buffer("data")?, stat: Stat::decode(&mut input)? }
            }
            OpCode::GET_ACL => Reply::Acl { acl: input.list("ACL")?, stat: Stat::decode(&mut input)? },
            OpCode::GET_CHILDREN | OpCode::GET_EPHEMERALS => Reply::Paths(input.list("paths")?),
            OpCode::GET_CHILDREN2 | OpCode::KEEPER_FILTERED_LIST => {
                Reply::Children { children: input.list("children")?, stat: Stat::decode(&mut input)? }
            }
            OpCode::MULTI | OpCode::MULTI_READ => Reply::Multi(MultiResult::decode_list(&mut input)?),
            OpCode::SASL => Reply::Token(input.buffer("SASL token")?),
            OpCode::GET_ALL_CHILDREN_NUMBER => Reply::Number(input.i32("number of children")?),
            OpCode::WHO_AM_I => Reply::Clients(input.list("client identities")?),
            OpCode::ADD_WATCH if input.is_empty() => Reply::Empty,
            OpCode::ADD_WATCH => Reply::AddWatch(input.i32("error")?),
            OpCode::KEEPER_FILTERED_LIST_WITH_STATS_AND_DATA => Reply::ChildrenWithStatsAndData {
                children: input.list("children")?,
                stat: Stat::decode(&mut input)?,
                stats: input.list("stats")?,
                data: input.list("data")?,
            },
            _ => return Ok(None),
        };
        input.end("reply")?;
        Ok(Some(reply))
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Empty => {}
            Reply::Path { path } => put_string(out, path),
            Reply::PathAndStat { path, stat } => {
                put_string(out, path);
                stat.encode(out);
            }
            Reply::Stat(stat) => stat.encode(out),
            Reply::Data { data, stat } => {
                put_buffer(out, *data);
                stat.encode(out);
            }
            Reply::Acl { acl, stat } => {
                acl.encode(out);
                stat.encode(out);
            }
            Reply::Paths(paths) => paths.encode(out),
            Reply::Children { children, stat } => {
                children.encode(out);
                stat.encode(out);
            }
            Reply::Multi(results) => MultiResult::encode_list(results, out),
            Reply::Token(token) => put_buffer(out, *token),
            Reply::Number(number) | Reply::AddWatch(number) => put_i32(out, *number),
            Reply::Clients(clients) => clients.encode(out),
            Reply::ChildrenWithStatsAndData { children, stat, stats, data } => {
                children.encode(out);
                stat.encode(out);
                stats.encode(out);
                data.encode(out);
            }
        }
    }

    /// Appends the whole frame of a reply without an error.
    pub fn encode_frame(&self, out: &mut Vec<u8>, xid: i32, zxid: i64) {
        let mark = frame::begin(out);
        ReplyHeader { xid, zxid, err: ErrorCode::OK }.encode(out);
        self.encode(out);
        frame::end(out, mark);
    }
}

impl<'a> Item<'a> for Option<&'a [u8]> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        input.buffer("data")
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_buffer(out, *self);
    }
}
