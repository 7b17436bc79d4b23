//! multi and multiRead: several ops in one request, several results in one reply.
//!
//! ```text
//! request:  { MultiHeader(type, false, −1) record }…  MultiHeader(−1, true, −1)
//! reply:    { MultiHeader(type, false, err) record }… MultiHeader(−1, true, −1)
//! ```
//!
//! The reply to a failed multi has err 0 in its own header. Its results are all errors: 0 for the ops before the
//! failing one, the failing one's code, and −2 for those behind it.
//!
//! Upstream's results with an error have the type −1 and a record with the code. ClickHouse Keeper has results
//! of other types with an error, too, and then there is no record (`ZooKeeperMultiResponse::readImpl`). It also has ops
//! of its own in a multi, and more of upstream's in a multiRead.

use std::borrow::Cow;

use crate::error::ErrorCode;
use crate::jute::{DecodeError, Item, List, Reader, put_bool, put_buffer, put_i32, put_i64, put_string};
use crate::op::OpCode;
use crate::request::{Create, VersionedPath, WatchedPath};
use crate::stat::Stat;

/// One op of a multi or multiRead.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants are the op codes, documented there")]
pub enum MultiOp<'a> {
    Create(Create<'a>),
    Create2(Create<'a>),
    CreateContainer(Create<'a>),
    CreateTtl { create: Create<'a>, ttl_ms: i64 },
    Delete(VersionedPath<'a>),
    SetData { path: Cow<'a, str>, data: Option<&'a [u8]>, version: i32 },
    Check(VersionedPath<'a>),
    GetData { path: Cow<'a, str>, watch: bool },
    GetChildren { path: Cow<'a, str>, watch: bool },
    KeeperCheckNotExists(VersionedPath<'a>),
    KeeperCheckStat { path: VersionedPath<'a>, stat: Stat },
    KeeperExists(WatchedPath<'a>),
    KeeperGetChildren2(WatchedPath<'a>),
    KeeperFilteredList { path: WatchedPath<'a>, kind: u8 },
}

/// The result of one op of a multi or multiRead.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants are the op codes, documented there")]
pub enum MultiResult<'a> {
    Create {
        path: Cow<'a, str>,
    },
    /// Also the result of createContainer and createTTL.
    Create2 {
        path: Cow<'a, str>,
        stat: Stat,
    },
    Delete,
    SetData {
        stat: Stat,
    },
    Check,
    GetData {
        data: Option<&'a [u8]>,
        stat: Stat,
    },
    GetChildren {
        children: List<'a, Cow<'a, str>>,
    },
    KeeperCheckNotExists,
    KeeperCheckStat,
    KeeperExists {
        stat: Stat,
    },
    KeeperGetChildren2 {
        children: List<'a, Cow<'a, str>>,
        stat: Stat,
    },
    KeeperFilteredList {
        children: List<'a, Cow<'a, str>>,
        stat: Stat,
    },
    /// The op failed, or was not looked at, or (code 0) would have succeeded. Read from a header with an error
    /// alone (ClickHouse Keeper), it is encoded in upstream's form.
    Error(ErrorCode),
}

/// The header before every op and result, and at the end.
struct MultiHeader {
    op: OpCode,
    done: bool,
    err: i32,
}

const END: MultiHeader = MultiHeader { op: OpCode(-1), done: true, err: -1 };

impl MultiHeader {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(MultiHeader {
            op: OpCode(input.i32("multi op code")?),
            done: input.bool("multi done flag")?,
            err: input.i32("multi error")?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_i32(out, self.op.0);
        put_bool(out, self.done);
        put_i32(out, self.err);
    }
}

impl<'a> MultiOp<'a> {
    /// The op code.
    pub fn op(&self) -> OpCode {
        match self {
            MultiOp::Create(_) => OpCode::CREATE,
            MultiOp::Create2(_) => OpCode::CREATE2,
            MultiOp::CreateContainer(_) => OpCode::CREATE_CONTAINER,
            MultiOp::CreateTtl { .. } => OpCode::CREATE_TTL,
            MultiOp::Delete(_) => OpCode::DELETE,
            MultiOp::SetData { .. } => OpCode::SET_DATA,
            MultiOp::Check(_) => OpCode::CHECK,
            MultiOp::GetData { .. } => OpCode::GET_DATA,
            MultiOp::GetChildren { .. } => OpCode::GET_CHILDREN,
            MultiOp::KeeperCheckNotExists(_) => OpCode::KEEPER_CHECK_NOT_EXISTS,
            MultiOp::KeeperCheckStat { .. } => OpCode::KEEPER_CHECK_STAT,
            MultiOp::KeeperExists(_) => OpCode::EXISTS,
            MultiOp::KeeperGetChildren2(_) => OpCode::GET_CHILDREN2,
            MultiOp::KeeperFilteredList { .. } => OpCode::KEEPER_FILTERED_LIST,
        }
    }

    /// Reads the ops of a multi or multiRead up to its end mark.
    pub fn decode_list(input: &mut Reader<'a>) -> Result<List<'a, MultiOp<'a>>, DecodeError> {
        decode_until_end(input)
    }

    /// Appends ops and end mark.
    pub fn encode_list(ops: &List<'a, MultiOp<'a>>, out: &mut Vec<u8>) {
        encode_until_end(ops, out);
    }

    /// Appends the header that stands before an op of this kind.
    pub fn encode_header(op: OpCode, out: &mut Vec<u8>) {
        MultiHeader { op, done: false, err: -1 }.encode(out);
    }

    /// Appends the mark behind the last op or result.
    pub fn encode_end(out: &mut Vec<u8>) {
        END.encode(out);
    }
}

impl<'a> MultiResult<'a> {
    /// Reads the results up to their end mark.
    pub fn decode_list(input: &mut Reader<'a>) -> Result<List<'a, MultiResult<'a>>, DecodeError> {
        decode_until_end(input)
    }

    /// Appends results and end mark.
    pub fn encode_list(results: &List<'a, MultiResult<'a>>, out: &mut Vec<u8>) {
        encode_until_end(results, out);
    }

    /// The error of the op that made a multi fail; `None` when it succeeded.
    pub fn failure(results: &List<'a, MultiResult<'a>>) -> Option<ErrorCode> {
        results.iter().find_map(|result| match result {
            MultiResult::Error(code) if code != ErrorCode::OK => Some(code),
            _ => None,
        })
    }
}

/// A list of headed items up to the end mark is kept as its bytes, the end mark left out.
fn decode_until_end<'a, T: Item<'a>>(input: &mut Reader<'a>) -> Result<List<'a, T>, DecodeError> {
    let start = input.clone();
    let mut count = 0;
    loop {
        let mut ahead = input.clone();
        if MultiHeader::decode(&mut ahead)?.done {
            let end = std::mem::replace(input, ahead);
            return Ok(List::from_wire(start, &end, count));
        }
        T::decode(input)?;
        count += 1;
    }
}

fn encode_until_end<'a, T: Item<'a>>(items: &List<'a, T>, out: &mut Vec<u8>) {
    items.encode_items(out);
    END.encode(out);
}

impl<'a> Item<'a> for MultiOp<'a> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let op = MultiHeader::decode(input)?.op;
        Ok(match op {
            OpCode::CREATE => MultiOp::Create(Create::decode(input)?),
            OpCode::CREATE2 => MultiOp::Create2(Create::decode(input)?),
            OpCode::CREATE_CONTAINER => MultiOp::CreateContainer(Create::decode(input)?),
            OpCode::CREATE_TTL => {
                MultiOp::CreateTtl { create: Create::decode(input)?, ttl_ms: input.i64("time to live")? }
            }
            OpCode::DELETE => MultiOp::Delete(VersionedPath::decode(input)?),
            OpCode::SET_DATA => MultiOp::SetData {
                path: input.string("path")?,
                data: input.buffer("data")?,
                version: input.i32("version")?,
            },
            OpCode::CHECK => MultiOp::Check(VersionedPath::decode(input)?),
            OpCode::GET_DATA => {
                MultiOp::GetData { path: input.string("path")?, watch: input.bool("watch flag")? }
            }
            OpCode::GET_CHILDREN => {
                MultiOp::GetChildren { path: input.string("path")?, watch: input.bool("watch flag")? }
            }
            OpCode::KEEPER_CHECK_NOT_EXISTS => MultiOp::KeeperCheckNotExists(VersionedPath::decode(input)?),
            OpCode::KEEPER_CHECK_STAT => {
                MultiOp::KeeperCheckStat { path: VersionedPath::decode(input)?, stat: Stat::decode(input)? }
            }
            OpCode::EXISTS => MultiOp::KeeperExists(WatchedPath::decode(input)?),
            OpCode::GET_CHILDREN2 => MultiOp::KeeperGetChildren2(WatchedPath::decode(input)?),
            OpCode::KEEPER_FILTERED_LIST => MultiOp::KeeperFilteredList {
                path: WatchedPath::decode(input)?,
                kind: input.u8("list type")?,
            },
            other => return Err(DecodeError::Value { what: "multi op code", value: other.0 }),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        MultiOp::encode_header(self.op(), out);
        match self {
            MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
                create.encode(out);
            }
            MultiOp::CreateTtl { create, ttl_ms } => {
                create.encode(out);
                put_i64(out, *ttl_ms);
            }
            MultiOp::Delete(path) | MultiOp::Check(path) | MultiOp::KeeperCheckNotExists(path) => {
                path.encode(out);
            }
            MultiOp::SetData { path, data, version } => {
                put_string(out, path);
                put_buffer(out, *data);
                put_i32(out, *version);
            }
            MultiOp::GetData { path, watch } | MultiOp::GetChildren { path, watch } => {
                put_string(out, path);
                put_bool(out, *watch);
            }
            MultiOp::KeeperCheckStat { path, stat } => {
                path.encode(out);
                stat.encode(out);
            }
            MultiOp::KeeperExists(path) | MultiOp::KeeperGetChildren2(path) => path.encode(out),
            MultiOp::KeeperFilteredList { path, kind } => {
                path.encode(out);
                out.push(*kind);
            }
        }
    }
}

impl<'a> Item<'a> for MultiResult<'a> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let MultiHeader { op, err, .. } = MultiHeader::decode(input)?;
        if err != 0 && op != OpCode::ERROR {
            return Ok(MultiResult::Error(ErrorCode(err)));
        }
        Ok(match op {
            OpCode::CREATE => MultiResult::Create { path: input.string("path")? },
            OpCode::CREATE2 => {
                MultiResult::Create2 { path: input.string("path")?, stat: Stat::decode(input)? }
            }
            OpCode::DELETE => MultiResult::Delete,
            OpCode::SET_DATA => MultiResult::SetData { stat: Stat::decode(input)? },
            OpCode::CHECK => MultiResult::Check,
            OpCode::GET_DATA => {
                MultiResult::GetData { data: input.buffer("data")?, stat: Stat::decode(input)? }
            }
            OpCode::GET_CHILDREN => MultiResult::GetChildren { children: input.list("children")? },
            OpCode::KEEPER_CHECK_NOT_EXISTS => MultiResult::KeeperCheckNotExists,
            OpCode::KEEPER_CHECK_STAT => MultiResult::KeeperCheckStat,
            OpCode::EXISTS => MultiResult::KeeperExists { stat: Stat::decode(input)? },
            OpCode::GET_CHILDREN2 => MultiResult::KeeperGetChildren2 {
                children: input.list("children")?,
                stat: Stat::decode(input)?,
            },
            OpCode::KEEPER_FILTERED_LIST => MultiResult::KeeperFilteredList {
                children: input.list("children")?,
                stat: Stat::decode(input)?,
            },
            OpCode::ERROR => MultiResult::Error(ErrorCode(input.i32("error")?)),
            other => return Err(DecodeError::Value { what: "multi result code", value: other.0 }),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (op, err) = match self {
            MultiResult::Create { .. } => (OpCode::CREATE, 0),
            MultiResult::Create2 { .. } => (OpCode::CREATE2, 0),
            MultiResult::Delete => (OpCode::DELETE, 0),
            MultiResult::SetData { .. } => (OpCode::SET_DATA, 0),
            MultiResult::Check => (OpCode::CHECK, 0),
            MultiResult::GetData { .. } => (OpCode::GET_DATA, 0),
            MultiResult::GetChildren { .. } => (OpCode::GET_CHILDREN, 0),
            MultiResult::KeeperCheckNotExists => (OpCode::KEEPER_CHECK_NOT_EXISTS, 0),
            MultiResult::KeeperCheckStat => (OpCode::KEEPER_CHECK_STAT, 0),
            MultiResult::KeeperExists { .. } => (OpCode::EXISTS, 0),
            MultiResult::KeeperGetChildren2 { .. } => (OpCode::GET_CHILDREN2, 0),
            MultiResult::KeeperFilteredList { .. } => (OpCode::KEEPER_FILTERED_LIST, 0),
            MultiResult::Error(code) => (OpCode::ERROR, code.0),
        };
        MultiHeader { op, done: false, err }.encode(out);
        match self {
            MultiResult::Create { path } => put_string(out, path),
            MultiResult::Create2 { path, stat } => {
                put_string(out, path);
                stat.encode(out);
            }
            MultiResult::Delete
            | MultiResult::Check
            | MultiResult::KeeperCheckNotExists
            | MultiResult::KeeperCheckStat => {}
            MultiResult::SetData { stat } | MultiResult::KeeperExists { stat } => stat.encode(out),
            MultiResult::GetData { data, stat } => {
                put_buffer(out, *data);
                stat.encode(out);
            }
            MultiResult::GetChildren { children } => children.encode(out),
            MultiResult::KeeperGetChildren2 { children, stat }
            | MultiResult::KeeperFilteredList { children, stat } => {
                children.encode(out);
                stat.encode(out);
            }
            MultiResult::Error(code) => put_i32(out, code.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(out: &mut Vec<u8>, op: OpCode, err: i32) {
        MultiHeader { op, done: false, err }.encode(out);
    }

    #[test]
    fn a_result_with_an_error_in_its_header_has_no_record() {
        let stat = Stat { version: 7, ..Stat::default() };
        let read = MultiResult::GetData { data: Some(b"x"), stat };
        let mut bytes = Vec::new();
        header(&mut bytes, OpCode::GET_DATA, -101);
        read.encode(&mut bytes);
        header(&mut bytes, OpCode::EXISTS, -101);
        MultiOp::encode_end(&mut bytes);
        let mut input = Reader::new(&bytes);
        let results = MultiResult::decode_list(&mut input).unwrap();
        assert!(input.is_empty());
        let error = MultiResult::Error(ErrorCode::NO_NODE);
        assert_eq!(results.iter().collect::<Vec<_>>(), [error.clone(), read, error]);
        assert_eq!(MultiResult::failure(&results), Some(ErrorCode::NO_NODE));
    }

    #[test]
    fn headers_are_upstreams() {
        for (result, op, err) in [
            (MultiResult::Check, OpCode::CHECK, 0),
            (MultiResult::Error(ErrorCode::BAD_VERSION), OpCode::ERROR, -103),
            (MultiResult::Error(ErrorCode::OK), OpCode::ERROR, 0),
        ] {
            let mut expected = Vec::new();
            header(&mut expected, op, err);
            if op == OpCode::ERROR {
                put_i32(&mut expected, err);
            }
            let mut bytes = Vec::new();
            result.encode(&mut bytes);
            assert_eq!(bytes, expected);
        }
        let mut bytes = Vec::new();
        MultiOp::Check(VersionedPath { path: "/".into(), version: 3 }).encode(&mut bytes);
        assert_eq!(bytes[..9], [0, 0, 0, 13, 0, 0xff, 0xff, 0xff, 0xff]);
    }
}
