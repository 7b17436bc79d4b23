//! Lengths, nulls and nesting that the protocol does not have, one by one.

use quorumeter_zk::frame::{self, DEFAULT_MAX_FRAME, FrameTooLong};
use quorumeter_zk::jute::{DecodeError, List, MAX_VECTOR_LEN, Reader, put_i32, put_string};
use quorumeter_zk::multi::MultiOp;
use quorumeter_zk::request::{Create, WatchedPath};
use quorumeter_zk::{OpCode, Reply, Request, Stat};

fn decode_request(op: OpCode, record: &[u8]) -> Result<Option<Request<'_>>, DecodeError> {
    Request::decode(op, &mut Reader::new(record))
}

#[test]
fn lengths_and_nulls() {
    /// A record: lengths and numbers as ints, text with its length, bytes as they are.
    enum Piece {
        Int(i32),
        Text(&'static str),
        Bytes(&'static [u8]),
    }
    use Piece::{Bytes, Int, Text};
    let path_length = |length, limit| DecodeError::Length { what: "path", length, limit };
    let list = |what, length| DecodeError::Length { what, length, limit: MAX_VECTOR_LEN };
    let cut = |what, needed, left| DecodeError::Truncated { what, needed, left };
    let null = DecodeError::Null;
    let most = MAX_VECTOR_LEN as i32;
    let stat = || Bytes(&[0; Stat::LEN]);

    let requests: Vec<(OpCode, Vec<Piece>, DecodeError)> = vec![
        (OpCode::SYNC, vec![], cut("path", 4, 0)),
        (OpCode::SYNC, vec![Int(-1)], null("path")),
        (OpCode::SYNC, vec![Int(-2)], path_length(-2, 0)),
        (OpCode::SYNC, vec![Int(i32::MIN), Bytes(b"abc")], path_length(i32::MIN, 3)),
        (OpCode::SYNC, vec![Int(i32::MAX), Bytes(b"abc")], cut("path", i32::MAX as usize, 3)),
        (OpCode::SYNC, vec![Int(4), Bytes(b"abc")], cut("path", 4, 3)),
        (OpCode::SYNC, vec![Int(1), Bytes(b"\xff")], DecodeError::Text("path")),
        (OpCode::SYNC, vec![Int(3), Bytes(b"\xed\xa0\xbe")], DecodeError::Text("path")),
        (OpCode::SYNC, vec![Int(2), Bytes(b"\xc0\x80")], DecodeError::Text("path")),
        (OpCode::DELETE, vec![Int(-1), Int(0)], null("path")),
        (OpCode::EXISTS, vec![Text("/")], cut("watch flag", 1, 0)),
        (OpCode::GET_EPHEMERALS, vec![Int(-1)], null("path prefix")),
        (OpCode::AUTH, vec![Int(0), Int(-1), Int(-1)], null("auth scheme")),
        (OpCode::SASL, vec![Int(-5)], DecodeError::Length { what: "SASL token", length: -5, limit: 0 }),
        (
            OpCode::SET_DATA,
            vec![Text("/"), Int(-2), Int(0)],
            DecodeError::Length { what: "data", length: -2, limit: 4 },
        ),
        (OpCode::SET_ACL, vec![Text("/"), Int(-2)], list("ACL", -2)),
        (OpCode::SET_ACL, vec![Text("/"), Int(most + 1)], list("ACL", most + 1)),
        (OpCode::SET_ACL, vec![Text("/"), Int(i32::MAX)], list("ACL", i32::MAX)),
        (OpCode::SET_ACL, vec![Text("/"), Int(most)], cut("ACL permissions", 4, 0)),
        (OpCode::SET_ACL, vec![Text("/"), Int(1), Int(31), Int(-1), Text("x"), Int(0)], null("ACL scheme")),
        (OpCode::SET_ACL, vec![Text("/"), Int(1), Int(31), Text("x"), Int(-1), Int(0)], null("ACL id")),
        (OpCode::SET_WATCHES, vec![Int(0), Int(0), Int(1), Int(-1)], null("string in a vector")),
        (OpCode::SET_WATCHES2, vec![Int(0), Int(0), Int(0), Int(0), Int(0)], cut("persistent watches", 4, 0)),
        (OpCode::KEEPER_CHECK_STAT, vec![Text("/"), Int(0), Int(0)], cut("stat", Stat::LEN, 4)),
    ];
    let replies: Vec<(OpCode, Vec<Piece>, DecodeError)> = vec![
        (OpCode::CREATE, vec![Int(-1)], null("path")),
        (OpCode::EXISTS, vec![Bytes(&[0; Stat::LEN - 1])], cut("stat", Stat::LEN, Stat::LEN - 1)),
        (OpCode::EXISTS, vec![stat(), Bytes(b"x")], DecodeError::Trailing { what: "reply", left: 1 }),
        (OpCode::PING, vec![Int(0)], DecodeError::Trailing { what: "reply", left: 4 }),
        (OpCode::GET_CHILDREN, vec![Int(2), Text("a"), Int(-1)], null("string in a vector")),
        (OpCode::GET_CHILDREN, vec![Int(most + 1)], list("paths", most + 1)),
        (OpCode::GET_CHILDREN, vec![Int(0), Int(0)], DecodeError::Trailing { what: "reply", left: 4 }),
        (OpCode::WHO_AM_I, vec![Int(1), Text("ip"), Int(-1)], null("user")),
        (OpCode::ADD_WATCH, vec![Bytes(&[0; 3])], cut("error", 4, 3)),
        (OpCode::ADD_WATCH, vec![Int(0), Int(0)], DecodeError::Trailing { what: "reply", left: 4 }),
    ];
    let record = |pieces: Vec<Piece>| {
        let mut out = Vec::new();
        for piece in pieces {
            match piece {
                Int(number) => put_i32(&mut out, number),
                Text(text) => put_string(&mut out, text),
                Bytes(bytes) => out.extend_from_slice(bytes),
            }
        }
        out
    };
    for (op, pieces, error) in requests {
        let record = record(pieces);
        assert_eq!(decode_request(op, &record), Err(error), "{op} {record:?}");
    }
    for (op, pieces, error) in replies {
        let record = record(pieces);
        assert_eq!(Reply::decode(op, &record), Err(error), "{op} {record:?}");
    }

    // Null where it is allowed: data, tokens, the servers of a reconfiguration; and a vector, which is then empty.
    let null_data = record(vec![Text("/"), Int(-1), Int(-1), Int(0)]);
    let create = Create { path: "/".into(), data: None, acl: List::default(), flags: 0 };
    assert_eq!(decode_request(OpCode::CREATE, &null_data), Ok(Some(Request::Create(create))));
    let null_list = record(vec![Int(-1)]);
    assert_eq!(Reply::decode(OpCode::GET_CHILDREN, &null_list), Ok(Some(Reply::Paths(List::default()))));
    assert_eq!(Reply::decode(OpCode::SASL, &null_list), Ok(Some(Reply::Token(None))));
    // A flag is set when it is not 0.
    let flag = record(vec![Text("/"), Bytes(b"\x80")]);
    let exists = WatchedPath { path: "/".into(), watch: true };
    assert_eq!(decode_request(OpCode::EXISTS, &flag), Ok(Some(Request::Exists(exists))));
}

#[test]
fn a_multi_cannot_nest() {
    let mut inner = Vec::new();
    Request::Multi(List::default()).encode(&mut inner);
    for op in [OpCode::MULTI, OpCode::MULTI_READ, OpCode::PING, OpCode::ERROR, OpCode(77)] {
        let mut record = Vec::new();
        MultiOp::encode_header(op, &mut record);
        record.extend_from_slice(&inner);
        MultiOp::encode_end(&mut record);
        let refused = |what| Some(DecodeError::Value { what, value: op.0 });
        assert_eq!(decode_request(OpCode::MULTI, &record).err(), refused("multi op code"));
        assert_eq!(decode_request(OpCode::MULTI_READ, &record).err(), refused("multi op code"));
        if op != OpCode::ERROR {
            // A result without an error in its header.
            record[5..9].fill(0);
            assert_eq!(Reply::decode(OpCode::MULTI, &record).err(), refused("multi result code"));
        }
    }
}

#[test]
fn a_frame_has_limits() {
    let front = |length: i32, limit| frame::front(&length.to_be_bytes(), limit).map(|_| ());
    let refused = |length, limit| Err(FrameTooLong { length, limit });
    assert_eq!(front(DEFAULT_MAX_FRAME as i32, DEFAULT_MAX_FRAME), Ok(()));
    for length in [DEFAULT_MAX_FRAME as i32 + 1, i32::MAX, -1, i32::MIN, i32::from_be_bytes(*b"ruok")] {
        assert_eq!(front(length, DEFAULT_MAX_FRAME), refused(length, DEFAULT_MAX_FRAME));
    }
    assert_eq!(front(i32::MAX, usize::MAX), Ok(()));
    assert_eq!(front(-1, usize::MAX), refused(-1, usize::MAX));
}
