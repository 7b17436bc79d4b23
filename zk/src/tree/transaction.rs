//! What changes the tree, and what comes of it.

use std::borrow::Cow;
use std::sync::Arc;

use super::access::{Identity, MAX_IDENTITIES, SharedAcl};
use crate::error::ErrorCode;
use crate::event::EventType;
use crate::jute::{DecodeError, Item, Reader, put_i32, put_i64, put_string};
use crate::multi::{MultiOp, MultiResult};
use crate::op::OpCode;
use crate::request::Request;
use crate::stat::Stat;

/// A change, with everything that decides its outcome: every tree that applies the same transactions in the
/// same order is the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction<'a> {
    /// Its number. Each transaction takes the next one, also one that fails.
    pub zxid: i64,
    /// Wall time, milliseconds since 1970: what becomes ctime and mtime.
    pub time_ms: i64,
    /// The session that asks for it; 0 for the ensemble itself.
    pub session_id: i64,
    /// The identities of the connection that asks for it.
    pub identities: Cow<'a, [Identity]>,
    /// The change.
    pub change: Change<'a>,
}

/// The change that a [`Transaction`] makes.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<'a> {
    /// A session begins.
    CreateSession {
        /// Its timeout, milliseconds.
        timeout_ms: i32,
    },
    /// The session ends: its ephemerals are deleted.
    CloseSession,
    /// A client's write; see [`consumes_zxid`].
    Request(Request<'a>),
    /// Nothing: a request that was found wrong after it had been given a zxid.
    Error(ErrorCode),
}

/// Whether a request is ordered as a transaction. All others are answered from the tree as it is.
pub fn consumes_zxid(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::CREATE
            | OpCode::CREATE2
            | OpCode::CREATE_CONTAINER
            | OpCode::CREATE_TTL
            | OpCode::DELETE
            | OpCode::DELETE_CONTAINER
            | OpCode::SET_DATA
            | OpCode::SET_ACL
            | OpCode::MULTI
            | OpCode::RECONFIG
            | OpCode::CREATE_SESSION
            | OpCode::CLOSE_SESSION
    )
}

/// What a transaction without an error answers.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteReply {
    /// delete, closeSession, createSession.
    Empty,
    /// create: the znode's path.
    Path(Arc<str>),
    /// create2, createContainer, createTTL.
    PathAndStat(Arc<str>, Stat),
    /// setData, setACL.
    Stat(Stat),
    /// multi: the result of each op. After a failure all of them are errors, and nothing was changed.
    Multi(Vec<OpResult>),
}

/// The result of one op of a multi.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants are the op codes, documented there")]
pub enum OpResult {
    Create(Arc<str>),
    Create2(Arc<str>, Stat),
    Delete,
    SetData(Stat),
    Check,
    Error(ErrorCode),
}

impl WriteReply {
    /// Appends the record of the reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            WriteReply::Empty => {}
            WriteReply::Path(path) => put_string(out, path),
            WriteReply::PathAndStat(path, stat) => {
                put_string(out, path);
                stat.encode(out);
            }
            WriteReply::Stat(stat) => stat.encode(out),
            WriteReply::Multi(results) => {
                for result in results {
                    result.as_wire().encode(out);
                }
                MultiOp::encode_end(out);
            }
        }
    }

    /// The code of the op that made a multi fail.
    pub fn failure(&self) -> Option<ErrorCode> {
        let WriteReply::Multi(results) = self else { return None };
        results.iter().find_map(|result| match result {
            OpResult::Error(code) if *code != ErrorCode::OK => Some(*code),
            _ => None,
        })
    }
}

impl OpResult {
    fn as_wire(&self) -> MultiResult<'_> {
        match self {
            OpResult::Create(path) => MultiResult::Create { path: Cow::Borrowed(path) },
            OpResult::Create2(path, stat) => MultiResult::Create2 { path: Cow::Borrowed(path), stat: *stat },
            OpResult::Delete => MultiResult::Delete,
            OpResult::SetData(stat) => MultiResult::SetData { stat: *stat },
            OpResult::Check => MultiResult::Check,
            OpResult::Error(code) => MultiResult::Error(*code),
        }
    }
}

/// Something that happened to a znode: what the watch table turns into events. The triggers of a transaction
/// are in the order in which upstream delivers their events.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// What happened.
    pub kind: EventType,
    /// To which znode.
    pub path: Arc<str>,
    /// Its ACL: who may not read the znode gets no event (since 3.8.4 and 3.9.2).
    pub acl: SharedAcl,
}

impl Transaction<'_> {
    /// Appends the transaction in a form of its own, to be stored or sent to other members.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for value in [self.zxid, self.time_ms, self.session_id] {
            put_i64(out, value);
        }
        put_i32(out, i32::try_from(self.identities.len()).unwrap_or(i32::MAX));
        for identity in self.identities.iter() {
            put_string(out, &identity.scheme);
            put_string(out, &identity.id);
        }
        match &self.change {
            Change::CreateSession { timeout_ms } => {
                put_i32(out, OpCode::CREATE_SESSION.0);
                put_i32(out, *timeout_ms);
            }
            Change::CloseSession => put_i32(out, OpCode::CLOSE_SESSION.0),
            Change::Request(request) => {
                put_i32(out, request.op().0);
                request.encode(out);
            }
            Change::Error(code) => {
                put_i32(out, OpCode::ERROR.0);
                put_i32(out, code.0);
            }
        }
    }
}

impl<'a> Transaction<'a> {
    /// Reads what [`Transaction::encode`] wrote.
    pub fn decode(bytes: &'a [u8]) -> Result<Transaction<'a>, DecodeError> {
        // Lists in requests are stored as they came.
        let input = &mut Reader::replacing(bytes);
        let (zxid, time_ms, session_id) = (input.i64("zxid")?, input.i64("time")?, input.i64("session id")?);
        let identities = decode_identities(input)?;
        let change = match OpCode(input.i32("op code")?) {
            OpCode::CREATE_SESSION => Change::CreateSession { timeout_ms: input.i32("session timeout")? },
            OpCode::CLOSE_SESSION => Change::CloseSession,
            OpCode::ERROR => Change::Error(ErrorCode(input.i32("error code")?)),
            op => match Request::decode(op, input)? {
                Some(request) => Change::Request(request),
                None => return Err(DecodeError::Value { what: "op code", value: op.0 }),
            },
        };
        input.end("transaction")?;
        Ok(Transaction { zxid, time_ms, session_id, identities: Cow::Owned(identities), change })
    }
}

/// Bytes of an identity without any text.
const IDENTITY_LEN_MIN: usize = 8;

fn decode_identities(input: &mut Reader<'_>) -> Result<Vec<Identity>, DecodeError> {
    const WHAT: &str = "list of identities";
    let announced = input.i32(WHAT)?;
    let count = match usize::try_from(announced) {
        Ok(count) if count <= MAX_IDENTITIES => count,
        _ => return Err(DecodeError::Length { what: WHAT, length: announced, limit: MAX_IDENTITIES }),
    };
    let (needed, left) = (count * IDENTITY_LEN_MIN, input.rest().len());
    if needed > left {
        return Err(DecodeError::Truncated { what: WHAT, needed, left });
    }
    let mut identities = Vec::with_capacity(count);
    for _ in 0..count {
        let scheme = match input.string("scheme")? {
            known if known == "ip" => Cow::Borrowed("ip"),
            known if known == "digest" => Cow::Borrowed("digest"),
            other => Cow::Owned(other.into_owned()),
        };
        identities.push(Identity { scheme, id: input.string("identity")?.into() });
    }
    Ok(identities)
}
