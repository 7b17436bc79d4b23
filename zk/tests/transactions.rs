//! Transactions and trees on bytes that nobody wrote for them.

#[allow(dead_code, reason = "each test uses its part")]
mod stable;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use quorumeter_zk::jute::{DecodeError, List, put_i32};
use quorumeter_zk::multi::MultiOp;
use quorumeter_zk::request::{Create, VersionedPath};
use quorumeter_zk::tree::access::{Identity, MAX_IDENTITIES};
use quorumeter_zk::tree::{Change, Transaction};
use quorumeter_zk::{Acl, ErrorCode, OpCode, Request};

/// Paths, few enough to meet, quotas among them.
const PATHS: &[&str] = &[
    "/a",
    "/a/b",
    "/a/b/c",
    "/b",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper",
    "/",
    "",
];

const DATA: &[&str] =
    &["", "x", "count=9223372036854775807,bytes=-9223372036854775808", "count=1,bytes=2=;byteHardLimit=3"];

/// Op, path, data and a number for whatever the request needs.
type Choice = (u8, usize, usize, i32);

fn choice() -> impl Strategy<Value = Choice> {
    (0..8u8, 0..PATHS.len(), 0..DATA.len(), -1..7i32)
}

fn with_request(choice: &Choice, use_request: &mut dyn FnMut(&Request<'_>)) {
    let (kind, path, data, number) = *choice;
    let (path, data) = (PATHS[path], Some(DATA[data].as_bytes()));
    let acl = [Acl::OPEN];
    let create = Create { path: path.into(), data, acl: List::from(&acl[..]), flags: number };
    let versioned = VersionedPath { path: path.into(), version: number };
    match kind {
        0 => use_request(&Request::Create(create)),
        1 => use_request(&Request::Create2(create)),
        2 => use_request(&Request::CreateTtl { create, ttl_ms: i64::from(number) }),
        3 => use_request(&Request::Delete(versioned)),
        4 => use_request(&Request::SetData { path: path.into(), data, version: number }),
        5 => use_request(&Request::SetAcl { path: path.into(), acl: List::from(&acl[..]), version: number }),
        6 => use_request(&Request::DeleteContainer(versioned)),
        _ => {
            let set = MultiOp::SetData { path: path.into(), data, version: -1 };
            let ops = [MultiOp::Create(create), set, MultiOp::Delete(versioned)];
            use_request(&Request::Multi(List::from(&ops[..])));
        }
    }
}

/// What `stable::tree` reads.
fn bytes_of(choices: &[Choice]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for choice in choices {
        with_request(choice, &mut |request| {
            let place = OpCode::ALL.iter().position(|op| *op == request.op()).expect("it is known");
            bytes.push(place as u8);
            request.encode(&mut bytes);
        });
    }
    bytes
}

proptest! {
    #[test]
    fn trees_bear_anything(
        choices in vec(choice(), 1..60),
        places in vec((any::<Index>(), 1..=u8::MAX), 0..2),
    ) {
        let mut bytes = bytes_of(&choices);
        for (place, change) in &places {
            let at = place.index(bytes.len());
            bytes[at] ^= change;
        }
        stable::tree(&bytes);
    }

    #[test]
    fn transactions_come_back_and_damaged_ones_do_not_panic(
        choice in choice(),
        session_id in any::<i64>(),
        place in any::<Index>(),
        change in 1..=u8::MAX,
    ) {
        let identities = [("ip", "127.0.0.1"), ("digest", "a:b"), ("super", "")]
            .map(|(scheme, id)| Identity { scheme: scheme.into(), id: id.into() });
        let mut bytes = Vec::new();
        with_request(&choice, &mut |request| {
            let change = Change::Request(request.clone());
            let identities = (&identities[..]).into();
            let transaction = Transaction { zxid: 7, time_ms: 8, session_id, identities, change };
            bytes.clear();
            transaction.encode(&mut bytes);
            assert_eq!(Transaction::decode(&bytes), Ok(transaction));
        });
        let at = place.index(bytes.len());
        bytes[at] ^= change;
        stable::transaction(&bytes);
    }

    #[test]
    fn any_bytes_may_be_a_transaction(
        bytes in vec(prop_oneof![3 => Just(0), 1 => Just(1), 1 => any::<u8>()], 0..200),
    ) {
        stable::transaction(&bytes);
        stable::tree(&bytes);
    }
}

#[test]
fn identities_are_bounded() {
    let front = |announced: i32, identities: usize| {
        let mut bytes = vec![0; 24];
        put_i32(&mut bytes, announced);
        bytes.extend(std::iter::repeat_n(0, identities * 8));
        put_i32(&mut bytes, OpCode::ERROR.0);
        put_i32(&mut bytes, ErrorCode::MARSHALLING_ERROR.0);
        bytes
    };
    let what = "list of identities";
    for announced in [-1, MAX_IDENTITIES as i32 + 1, i32::MAX] {
        let refused = DecodeError::Length { what, length: announced, limit: MAX_IDENTITIES };
        assert_eq!(Transaction::decode(&front(announced, 1000)), Err(refused));
    }
    let truncated = DecodeError::Truncated { what, needed: 24, left: 16 };
    assert_eq!(Transaction::decode(&front(3, 1)), Err(truncated));
    let most = front(MAX_IDENTITIES as i32, MAX_IDENTITIES);
    assert_eq!(Transaction::decode(&most).unwrap().identities.len(), MAX_IDENTITIES);
}
