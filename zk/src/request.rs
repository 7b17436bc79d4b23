//! Requests: a header (xid, op code) and a record.

mod modes;

use std::borrow::Cow;

pub use modes::{create_mode, watch_mode, watcher_type};

use crate::acl::Acl;
use crate::frame;
use crate::jute::{DecodeError, List, Reader, put_bool, put_buffer, put_i32, put_i64, put_string};
use crate::multi::MultiOp;
use crate::op::OpCode;
use crate::stat::Stat;

/// The header of every request but the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader {
    /// The client's number for the request.
    pub xid: i32,
    /// What it asks for.
    pub op: OpCode,
}

impl RequestHeader {
    /// Reads the header, and leaves `input` at the record.
    pub fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(RequestHeader { xid: input.i32("xid")?, op: OpCode(input.i32("op code")?) })
    }
}

/// The record of a create request.
#[derive(Debug, Clone, PartialEq)]
pub struct Create<'a> {
    /// Where; a sequential znode gets its number appended.
    pub path: Cow<'a, str>,
    /// Its data; null is not the same as empty.
    pub data: Option<&'a [u8]>,
    /// Its access control list.
    pub acl: List<'a, Acl<'a>>,
    /// Its [`create_mode`].
    pub flags: i32,
}

/// A path and the flag that asks for a watch.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchedPath<'a> {
    /// Where.
    pub path: Cow<'a, str>,
    /// Whether to set a one-shot watch.
    pub watch: bool,
}

/// A path and a version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionedPath<'a> {
    /// Where.
    pub path: Cow<'a, str>,
    /// The version that is required; −1 for any.
    pub version: i32,
}

/// Watches to set again after a reconnect.
#[derive(Debug, Clone, PartialEq)]
pub struct SetWatches<'a> {
    /// The last zxid that the client has seen: what changed after it fires at once.
    pub relative_zxid: i64,
    /// Paths with a data watch.
    pub data: List<'a, Cow<'a, str>>,
    /// Paths with an exist watch.
    pub exist: List<'a, Cow<'a, str>>,
    /// Paths with a child watch.
    pub child: List<'a, Cow<'a, str>>,
    /// Paths with a persistent watch (setWatches2 only).
    pub persistent: List<'a, Cow<'a, str>>,
    /// Paths with a persistent recursive watch (setWatches2 only).
    pub persistent_recursive: List<'a, Cow<'a, str>>,
}

/// A request of any kind.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants are the op codes, documented there")]
pub enum Request<'a> {
    Create(Create<'a>),
    Create2(Create<'a>),
    CreateContainer(Create<'a>),
    CreateTtl {
        create: Create<'a>,
        ttl_ms: i64,
    },
    Delete(VersionedPath<'a>),
    DeleteContainer(VersionedPath<'a>),
    Exists(WatchedPath<'a>),
    GetData(WatchedPath<'a>),
    SetData {
        path: Cow<'a, str>,
        data: Option<&'a [u8]>,
        version: i32,
    },
    GetAcl {
        path: Cow<'a, str>,
    },
    SetAcl {
        path: Cow<'a, str>,
        acl: List<'a, Acl<'a>>,
        version: i32,
    },
    GetChildren(WatchedPath<'a>),
    GetChildren2(WatchedPath<'a>),
    Sync {
        path: Cow<'a, str>,
    },
    Ping,
    Check(VersionedPath<'a>),
    Multi(List<'a, MultiOp<'a>>),
    MultiRead(List<'a, MultiOp<'a>>),
    /// Upstream's form. ClickHouse Keeper's has an int for a version, and is not made here.
    Reconfig {
        joining: Option<Cow<'a, str>>,
        leaving: Option<Cow<'a, str>>,
        new_members: Option<Cow<'a, str>>,
        config_id: i64,
    },
    CheckWatches {
        path: Cow<'a, str>,
        kind: i32,
    },
    RemoveWatches {
        path: Cow<'a, str>,
        kind: i32,
    },
    Auth {
        kind: i32,
        scheme: Cow<'a, str>,
        auth: Option<&'a [u8]>,
    },
    SetWatches(SetWatches<'a>),
    SetWatches2(SetWatches<'a>),
    Sasl {
        token: Option<&'a [u8]>,
    },
    GetEphemerals {
        prefix: Cow<'a, str>,
    },
    GetAllChildrenNumber {
        path: Cow<'a, str>,
    },
    AddWatch {
        path: Cow<'a, str>,
        mode: i32,
    },
    WhoAmI,
    CloseSession,
    KeeperFilteredList {
        path: WatchedPath<'a>,
        kind: u8,
    },
    KeeperCheckNotExists(VersionedPath<'a>),
    KeeperCreateIfNotExists(Create<'a>),
    KeeperRemoveRecursive {
        path: Cow<'a, str>,
        limit: u32,
    },
    KeeperCheckStat {
        path: VersionedPath<'a>,
        stat: Stat,
    },
    KeeperTryRemove(VersionedPath<'a>),
    KeeperFilteredListWithStatsAndData {
        path: WatchedPath<'a>,
        kind: u8,
        with_stat: bool,
        with_data: bool,
    },
}

impl<'a> Request<'a> {
    /// The op code.
    pub fn op(&self) -> OpCode {
        match self {
            Request::Create(_) => OpCode::CREATE,
            Request::Create2(_) => OpCode::CREATE2,
            Request::CreateContainer(_) => OpCode::CREATE_CONTAINER,
            Request::CreateTtl { .. } => OpCode::CREATE_TTL,
            Request::Delete(_) => OpCode::DELETE,
            Request::DeleteContainer(_) => OpCode::DELETE_CONTAINER,
            Request::Exists(_) => OpCode::EXISTS,
            Request::GetData(_) => OpCode::GET_DATA,
            Request::SetData { .. } => OpCode::SET_DATA,
            Request::GetAcl { .. } => OpCode::GET_ACL,
            Request::SetAcl { .. } => OpCode::SET_ACL,
            Request::GetChildren(_) => OpCode::GET_CHILDREN,
            Request::GetChildren2(_) => OpCode::GET_CHILDREN2,
            Request::Sync { .. } => OpCode::SYNC,
            Request::Ping => OpCode::PING,
            Request::Check(_) => OpCode::CHECK,
            Request::Multi(_) => OpCode::MULTI,
            Request::MultiRead(_) => OpCode::MULTI_READ,
            Request::Reconfig { .. } => OpCode::RECONFIG,
            Request::CheckWatches { .. } => OpCode::CHECK_WATCHES,
            Request::RemoveWatches { .. } => OpCode::REMOVE_WATCHES,
            Request::Auth { .. } => OpCode::AUTH,
            Request::SetWatches(_) => OpCode::SET_WATCHES,
            Request::SetWatches2(_) => OpCode::SET_WATCHES2,
            Request::Sasl { .. } => OpCode::SASL,
            Request::GetEphemerals { .. } => OpCode::GET_EPHEMERALS,
            Request::GetAllChildrenNumber { .. } => OpCode::GET_ALL_CHILDREN_NUMBER,
            Request::AddWatch { .. } => OpCode::ADD_WATCH,
            Request::WhoAmI => OpCode::WHO_AM_I,
            Request::CloseSession => OpCode::CLOSE_SESSION,
            Request::KeeperFilteredList { .. } => OpCode::KEEPER_FILTERED_LIST,
            Request::KeeperCheckNotExists(_) => OpCode::KEEPER_CHECK_NOT_EXISTS,
            Request::KeeperCreateIfNotExists(_) => OpCode::KEEPER_CREATE_IF_NOT_EXISTS,
            Request::KeeperRemoveRecursive { .. } => OpCode::KEEPER_REMOVE_RECURSIVE,
            Request::KeeperCheckStat { .. } => OpCode::KEEPER_CHECK_STAT,
            Request::KeeperTryRemove(_) => OpCode::KEEPER_TRY_REMOVE,
            Request::KeeperFilteredListWithStatsAndData { .. } => {
                OpCode::KEEPER_FILTERED_LIST_WITH_STATS_AND_DATA
            }
        }
    }

    /// Reads the record of an `op` request; `None` when the op is not known. Bytes behind the record are
    /// ignored, as upstream's servers do.
    pub fn decode(op: OpCode, input: &mut Reader<'a>) -> Result<Option<Request<'a>>, DecodeError> {
        Ok(Some(match op {
            OpCode::CREATE => Request::Create(Create::decode(input)?),
            OpCode::CREATE2 => Request::Create2(Create::decode(input)?),
            OpCode::CREATE_CONTAINER => Request::CreateContainer(Create::decode(input)?),
            OpCode::CREATE_TTL => {
                Request::CreateTtl { create: Create::decode(input)?, ttl_ms: input.i64("time to live")? }
            }
            OpCode::DELETE => Request::Delete(VersionedPath::decode(input)?),
            OpCode::DELETE_CONTAINER => Request::DeleteContainer(VersionedPath::decode(input)?),
            OpCode::EXISTS => Request::Exists(WatchedPath::decode(input)?),
            OpCode::GET_DATA => Request::GetData(WatchedPath::decode(input)?),
            OpCode::SET_DATA => Request::SetData {
                path: input.string(PATH)?,
                data: input.buffer("data")?,
                version: input.i32("version")?,
            },
            OpCode::GET_ACL => Request::GetAcl { path: input.string(PATH)? },
            OpCode::SET_ACL => Request::SetAcl {
                path: input.string(PATH)?,
                acl: input.list("ACL")?,
                version: input.i32("version")?,
            },
            OpCode::GET_CHILDREN => Request::GetChildren(WatchedPath::decode(input)?),
            OpCode::GET_CHILDREN2 => Request::GetChildren2(WatchedPath::decode(input)?),
            OpCode::SYNC => Request::Sync { path: input.string(PATH)? },
            OpCode::PING => Request::Ping,
            OpCode::CHECK => Request::Check(VersionedPath::decode(input)?),
            OpCode::MULTI => Request::Multi(MultiOp::decode_list(input)?),
            OpCode::MULTI_READ => Request::MultiRead(MultiOp::decode_list(input)?),
            OpCode::RECONFIG => Request::Reconfig {
                joining: input.nullable_string("joining servers")?,
                leaving: input.nullable_string("leaving servers")?,
                new_members: input.nullable_string("new members")?,
                config_id: input.i64("config id")?,
            },
            OpCode::CHECK_WATCHES => {
                Request::CheckWatches { path: input.string(PATH)?, kind: input.i32("watcher type")? }
            }
            OpCode::REMOVE_WATCHES => {
                Request::RemoveWatches { path: input.string(PATH)?, kind: input.i32("watcher type")? }
            }
            OpCode::AUTH => Request::Auth {
                kind: input.i32("auth type")?,
                scheme: input.string("auth scheme")?,
                auth: input.buffer("auth data")?,
            },
            OpCode::SET_WATCHES => Request::SetWatches(SetWatches::decode(input, false)?),
            OpCode::SET_WATCHES2 => Request::SetWatches2(SetWatches::decode(input, true)?),
            OpCode::SASL => Request::Sasl { token: input.buffer("SASL token")? },
            OpCode::GET_EPHEMERALS => Request::GetEphemerals { prefix: input.string("path prefix")? },
            OpCode::GET_ALL_CHILDREN_NUMBER => Request::GetAllChildrenNumber { path: input.string(PATH)? },
            OpCode::ADD_WATCH => {
                Request::AddWatch { path: input.string(PATH)?, mode: input.i32("watch mode")? }
            }
            OpCode::WHO_AM_I => Request::WhoAmI,
            OpCode::CLOSE_SESSION => Request::CloseSession,
            OpCode::KEEPER_FILTERED_LIST => Request::KeeperFilteredList {
                path: WatchedPath::decode(input)?,
                kind: input.u8("list type")?,
            },
            OpCode::KEEPER_CHECK_NOT_EXISTS => Request::KeeperCheckNotExists(VersionedPath::decode(input)?),
            OpCode::KEEPER_CREATE_IF_NOT_EXISTS => Request::KeeperCreateIfNotExists(Create::decode(input)?),
            OpCode::KEEPER_REMOVE_RECURSIVE => Request::KeeperRemoveRecursive {
                path: input.string(PATH)?,
                limit: input.i32("node limit")? as u32,
            },
            OpCode::KEEPER_CHECK_STAT => {
                Request::KeeperCheckStat { path: VersionedPath::decode(input)?, stat: Stat::decode(input)? }
            }
            OpCode::KEEPER_TRY_REMOVE => Request::KeeperTryRemove(VersionedPath::decode(input)?),
            OpCode::KEEPER_FILTERED_LIST_WITH_STATS_AND_DATA => Request::KeeperFilteredListWithStatsAndData {
                path: WatchedPath::decode(input)?,
                kind: input.u8("list type")?,
                with_stat: input.bool("with_stat")?,
                with_data: input.bool("with_data")?,
            },
            _ => return Ok(None),
        }))
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Request::Create(create)
            | Request::Create2(create)
            | Request::CreateContainer(create)
            | Request::KeeperCreateIfNotExists(create) => create.encode(out),
            Request::CreateTtl { create, ttl_ms } => {
                create.encode(out);
                put_i64(out, *ttl_ms);
            }
            Request::Delete(path)
            | Request::DeleteContainer(path)
            | Request::Check(path)
            | Request::KeeperCheckNotExists(path)
            | Request::KeeperTryRemove(path) => path.encode(out),
            Request::Exists(path)
            | Request::GetData(path)
            | Request::GetChildren(path)
            | Request::GetChildren2(path) => path.encode(out),
            Request::SetData { path, data, version } => {
                put_string(out, path);
                put_buffer(out, *data);
                put_i32(out, *version);
            }
            Request::SetAcl { path, acl, version } => {
                put_string(out, path);
                acl.encode(out);
                put_i32(out, *version);
            }
            Request::GetAcl { path }
            | Request::Sync { path }
            | Request::GetEphemerals { prefix: path }
            | Request::GetAllChildrenNumber { path } => put_string(out, path),
            Request::Ping | Request::WhoAmI | Request::CloseSession => {}
            Request::Multi(ops) | Request::MultiRead(ops) => MultiOp::encode_list(ops, out),
            Request::Reconfig { joining, leaving, new_members, config_id } => {
                for servers in [joining, leaving, new_members] {
                    put_buffer(out, servers.as_ref().map(|s| s.as_bytes()));
                }
                put_i64(out, *config_id);
            }
            Request::CheckWatches { path, kind: number }
            | Request::RemoveWatches { path, kind: number }
            | Request::AddWatch { path, mode: number } => {
                put_string(out, path);
                put_i32(out, *number);
            }
            Request::Auth { kind, scheme, auth } => {
                put_i32(out, *kind);
                put_string(out, scheme);
                put_buffer(out, *auth);
            }
            Request::SetWatches(watches) => watches.encode(out, false),
            Request::SetWatches2(watches) => watches.encode(out, true),
            Request::Sasl { token } => put_buffer(out, *token),
            Request::KeeperFilteredList { path, kind } => {
                path.encode(out);
                out.push(*kind);
            }
            Request::KeeperRemoveRecursive { path, limit } => {
                put_string(out, path);
                put_i32(out, *limit as i32);
            }
            Request::KeeperCheckStat { path, stat } => {
                path.encode(out);
                stat.encode(out);
            }
            Request::KeeperFilteredListWithStatsAndData { path, kind, with_stat, with_data } => {
                path.encode(out);
                out.push(*kind);
                put_bool(out, *with_stat);
                put_bool(out, *with_data);
            }
        }
    }

    /// Appends the whole frame.
    pub fn encode_frame(&self, out: &mut Vec<u8>, xid: i32) {
        let mark = frame::begin_request(out, xid, self.op());
        self.encode(out);
        frame::end(out, mark);
    }
}

const PATH: &str = "path";

impl<'a> Create<'a> {
    pub(crate) fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Create {
            path: input.string(PATH)?,
            data: input.buffer("data")?,
            acl: input.list("ACL")?,
            flags: input.i32("create flags")?,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, &self.path);
        put_buffer(out, self.data);
        self.acl.encode(out);
        put_i32(out, self.flags);
    }
}

impl<'a> WatchedPath<'a> {
    pub(crate) fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(WatchedPath { path: input.string(PATH)?, watch: input.bool("watch flag")? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, &self.path);
        put_bool(out, self.watch);
    }
}

impl<'a> VersionedPath<'a> {
    pub(crate) fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(VersionedPath { path: input.string(PATH)?, version: input.i32("version")? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, &self.path);
        put_i32(out, self.version);
    }
}

impl<'a> SetWatches<'a> {
    fn decode(input: &mut Reader<'a>, with_persistent: bool) -> Result<Self, DecodeError> {
        let mut watches = SetWatches {
            relative_zxid: input.i64("relative zxid")?,
            data: input.list("data watches")?,
            exist: input.list("exist watches")?,
            child: input.list("child watches")?,
            persistent: List::default(),
            persistent_recursive: List::default(),
        };
        if with_persistent {
            watches.persistent = input.list("persistent watches")?;
            watches.persistent_recursive = input.list("persistent recursive watches")?;
        }
        Ok(watches)
    }

    fn encode(&self, out: &mut Vec<u8>, with_persistent: bool) {
        put_i64(out, self.relative_zxid);
        for list in [&self.data, &self.exist, &self.child] {
            list.encode(out);
        }
        if with_persistent {
            self.persistent.encode(out);
            self.persistent_recursive.encode(out);
        }
    }
}
