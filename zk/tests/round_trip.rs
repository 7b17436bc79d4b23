//! The codec against itself: every record comes back as it was, and no bytes make it panic.

#[allow(dead_code, reason = "each test uses its part")]
mod stable;

use std::borrow::Cow;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use quorumeter_zk::connect::{ConnectRequest, ConnectResponse};
use quorumeter_zk::event::{EventType, SessionState, WatchedEvent};
use quorumeter_zk::frame::{self, DEFAULT_MAX_FRAME, Front, PREFIX_LEN};
use quorumeter_zk::jute::{DecodeError, List, Reader, put_i32};
use quorumeter_zk::multi::{MultiOp, MultiResult};
use quorumeter_zk::reply::{ClientInfo, ReplyHeader};
use quorumeter_zk::request::{Create, RequestHeader, SetWatches, VersionedPath, WatchedPath};
use quorumeter_zk::{Acl, ErrorCode, OpCode, Reply, Request, Stat};

type Text = Cow<'static, str>;

/// What every record is put together from.
#[derive(Debug, Clone)]
struct Parts {
    texts: [Text; 3],
    names: Vec<Text>,
    data: Option<Vec<u8>>,
    all_data: Vec<Option<Vec<u8>>>,
    acl: Vec<Acl<'static>>,
    clients: Vec<ClientInfo<'static>>,
    stats: Vec<Stat>,
    int: i32,
    long: i64,
    flag: bool,
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof!["[a-z/]{0,12}", "\\PC{0,6}", Just("\0\u{7ff}\u{ffff}\u{10ffff}".to_owned())]
        .prop_map(Cow::Owned)
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 0..12))
}

prop_compose! {
    fn stat()(longs in any::<[i64; 6]>(), ints in any::<[i32; 5]>()) -> Stat {
        let [czxid, mzxid, ctime, mtime, ephemeral_owner, pzxid] = longs;
        let [version, cversion, aversion, data_length, num_children] = ints;
        Stat {
            czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeral_owner, data_length, num_children, pzxid,
        }
    }
}

prop_compose! {
    fn parts()(
        texts in [text(), text(), text()],
        names in vec(text(), 0..4),
        data in bytes(),
        all_data in vec(bytes(), 0..4),
        acl in vec((any::<i32>(), text(), text()).prop_map(|(perms, scheme, id)| Acl { perms, scheme, id }), 0..4),
        clients in vec((text(), text()).prop_map(|(scheme, user)| ClientInfo { scheme, user }), 0..4),
        stats in vec(stat(), 1..4),
        int in any::<i32>(),
        long in any::<i64>(),
        flag in any::<bool>(),
    ) -> Parts {
        Parts { texts, names, data, all_data, acl, clients, stats, int, long, flag }
    }
}

impl Parts {
    fn path(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.texts[0])
    }

    fn data(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    fn create(&self) -> Create<'_> {
        Create { path: self.path(), data: self.data(), acl: List::from(&self.acl[..]), flags: self.int }
    }

    fn versioned(&self) -> VersionedPath<'_> {
        VersionedPath { path: self.path(), version: self.int }
    }

    fn watched(&self) -> WatchedPath<'_> {
        WatchedPath { path: self.path(), watch: self.flag }
    }

    fn optional(&self, n: usize) -> Option<Cow<'_, str>> {
        (self.int >> n & 1 == 1).then_some(Cow::Borrowed(&self.texts[n]))
    }

    fn set_watches<'a>(&'a self, persistent: List<'a, Text>) -> SetWatches<'a> {
        SetWatches {
            relative_zxid: self.long,
            data: List::from(&self.names[..]),
            exist: List::default(),
            child: List::from(&self.texts[..]),
            persistent: persistent.clone(),
            persistent_recursive: persistent,
        }
    }

    fn ops(&self) -> Vec<MultiOp<'_>> {
        vec![
            MultiOp::Create(self.create()),
            MultiOp::Create2(self.create()),
            MultiOp::CreateContainer(self.create()),
            MultiOp::CreateTtl { create: self.create(), ttl_ms: self.long },
            MultiOp::Delete(self.versioned()),
            MultiOp::SetData { path: self.path(), data: self.data(), version: self.int },
            MultiOp::Check(self.versioned()),
            MultiOp::GetData { path: self.path(), watch: self.flag },
            MultiOp::GetChildren { path: self.path(), watch: self.flag },
            MultiOp::KeeperCheckNotExists(self.versioned()),
            MultiOp::KeeperCheckStat { path: self.versioned(), stat: self.stats[0] },
            MultiOp::KeeperExists(self.watched()),
            MultiOp::KeeperGetChildren2(self.watched()),
            MultiOp::KeeperFilteredList { path: self.watched(), kind: self.int as u8 },
        ]
    }

    fn results(&self) -> Vec<MultiResult<'_>> {
        let stat = self.stats[0];
        vec![
            MultiResult::Create { path: self.path() },
            MultiResult::Create2 { path: self.path(), stat },
            MultiResult::Delete,
            MultiResult::SetData { stat },
            MultiResult::Check,
            MultiResult::GetData { data: self.data(), stat },
            MultiResult::GetChildren { children: List::from(&self.names[..]) },
            MultiResult::KeeperCheckNotExists,
            MultiResult::KeeperCheckStat,
            MultiResult::KeeperExists { stat },
            MultiResult::KeeperGetChildren2 { children: List::from(&self.names[..]), stat },
            MultiResult::KeeperFilteredList { children: List::from(&self.names[..]), stat },
            MultiResult::Error(ErrorCode(self.int)),
        ]
    }

    /// A request of every kind.
    fn requests<'a>(&'a self, ops: &'a [MultiOp<'a>]) -> Vec<Request<'a>> {
        vec![
            Request::Create(self.create()),
            Request::Create2(self.create()),
            Request::CreateContainer(self.create()),
            Request::CreateTtl { create: self.create(), ttl_ms: self.long },
            Request::Delete(self.versioned()),
            Request::DeleteContainer(self.versioned()),
            Request::Exists(self.watched()),
            Request::GetData(self.watched()),
            Request::SetData { path: self.path(), data: self.data(), version: self.int },
            Request::GetAcl { path: self.path() },
            Request::SetAcl { path: self.path(), acl: List::from(&self.acl[..]), version: self.int },
            Request::GetChildren(self.watched()),
            Request::GetChildren2(self.watched()),
            Request::Sync { path: self.path() },
            Request::Ping,
            Request::Check(self.versioned()),
            Request::Multi(List::from(ops)),
            Request::MultiRead(List::from(&ops[ops.len() / 2..])),
            Request::Reconfig {
                joining: self.optional(0),
                leaving: self.optional(1),
                new_members: self.optional(2),
                config_id: self.long,
            },
            Request::CheckWatches { path: self.path(), kind: self.int },
            Request::RemoveWatches { path: self.path(), kind: self.int },
            Request::Auth { kind: self.int, scheme: self.path(), auth: self.data() },
            Request::SetWatches(self.set_watches(List::default())),
            Request::SetWatches2(self.set_watches(List::from(&self.texts[..]))),
            Request::Sasl { token: self.data() },
            Request::GetEphemerals { prefix: self.path() },
            Request::GetAllChildrenNumber { path: self.path() },
            Request::AddWatch { path: self.path(), mode: self.int },
            Request::WhoAmI,
            Request::CloseSession,
            Request::KeeperFilteredList { path: self.watched(), kind: self.int as u8 },
            Request::KeeperCheckNotExists(self.versioned()),
            Request::KeeperCreateIfNotExists(self.create()),
            Request::KeeperRemoveRecursive { path: self.path(), limit: self.int as u32 },
            Request::KeeperCheckStat { path: self.versioned(), stat: self.stats[0] },
            Request::KeeperTryRemove(self.versioned()),
            Request::KeeperFilteredListWithStatsAndData {
                path: self.watched(),
                kind: self.int as u8,
                with_stat: self.flag,
                with_data: !self.flag,
            },
        ]
    }

    /// A reply to every op.
    fn replies<'a>(
        &'a self,
        results: &'a [MultiResult<'a>],
        data: &'a [Option<&'a [u8]>],
    ) -> Vec<(OpCode, Reply<'a>)> {
        let stat = self.stats[0];
        let names = List::from(&self.names[..]);
        let empty = [
            OpCode::DELETE,
            OpCode::DELETE_CONTAINER,
            OpCode::PING,
            OpCode::AUTH,
            OpCode::SET_WATCHES,
            OpCode::SET_WATCHES2,
            OpCode::CHECK,
            OpCode::CHECK_WATCHES,
            OpCode::REMOVE_WATCHES,
            OpCode::CLOSE_SESSION,
            OpCode::ADD_WATCH,
            OpCode::KEEPER_CHECK_NOT_EXISTS,
            OpCode::KEEPER_CHECK_STAT,
            OpCode::KEEPER_REMOVE_RECURSIVE,
            OpCode::KEEPER_TRY_REMOVE,
        ];
        let path = || Reply::Path { path: self.path() };
        let path_and_stat = || Reply::PathAndStat { path: self.path(), stat };
        let read = || Reply::Data { data: self.data(), stat };
        let children = || Reply::Children { children: names.clone(), stat };
        let others = vec![
            (OpCode::CREATE, path()),
            (OpCode::SYNC, path()),
            (OpCode::KEEPER_CREATE_IF_NOT_EXISTS, path()),
            (OpCode::CREATE2, path_and_stat()),
            (OpCode::CREATE_CONTAINER, path_and_stat()),
            (OpCode::CREATE_TTL, path_and_stat()),
            (OpCode::EXISTS, Reply::Stat(stat)),
            (OpCode::SET_DATA, Reply::Stat(stat)),
            (OpCode::SET_ACL, Reply::Stat(stat)),
            (OpCode::GET_DATA, read()),
            (OpCode::RECONFIG, read()),
            (OpCode::GET_ACL, Reply::Acl { acl: List::from(&self.acl[..]), stat }),
            (OpCode::GET_CHILDREN, Reply::Paths(names.clone())),
            (OpCode::GET_EPHEMERALS, Reply::Paths(names.clone())),
            (OpCode::GET_CHILDREN2, children()),
            (OpCode::KEEPER_FILTERED_LIST, children()),
            (OpCode::MULTI, Reply::Multi(List::from(results))),
            (OpCode::MULTI_READ, Reply::Multi(List::from(&results[results.len() / 2..]))),
            (OpCode::SASL, Reply::Token(self.data())),
            (OpCode::GET_ALL_CHILDREN_NUMBER, Reply::Number(self.int)),
            (OpCode::WHO_AM_I, Reply::Clients(List::from(&self.clients[..]))),
            (OpCode::ADD_WATCH, Reply::AddWatch(self.int)),
            (
                OpCode::KEEPER_FILTERED_LIST_WITH_STATS_AND_DATA,
                Reply::ChildrenWithStatsAndData {
                    children: names.clone(),
                    stat,
                    stats: List::from(&self.stats[..]),
                    data: List::from(data),
                },
            ),
        ];
        empty.map(|op| (op, Reply::Empty)).into_iter().chain(others).collect()
    }

    /// Every request's record, encoded.
    fn request_records(&self) -> Vec<(OpCode, Vec<u8>)> {
        let ops = self.ops();
        let record = |request: &Request<'_>| {
            let mut out = Vec::new();
            request.encode(&mut out);
            (request.op(), out)
        };
        self.requests(&ops).iter().map(record).collect()
    }

    /// Every reply's record, encoded.
    fn reply_records(&self) -> Vec<(OpCode, Vec<u8>)> {
        let (results, data) = (self.results(), self.children_data());
        let record = |(op, reply): &(OpCode, Reply<'_>)| {
            let mut out = Vec::new();
            reply.encode(&mut out);
            (*op, out)
        };
        self.replies(&results, &data).iter().map(record).collect()
    }

    fn children_data(&self) -> Vec<Option<&[u8]>> {
        self.all_data.iter().map(Option::as_deref).collect()
    }

    fn hello(&self) -> ConnectRequest<'_> {
        ConnectRequest {
            protocol_version: self.int,
            last_zxid_seen: self.long,
            timeout_ms: !self.int,
            session_id: !self.long,
            password: self.data(),
            read_only: (self.int % 2 == 0).then_some(self.flag),
        }
    }

    fn welcome(&self) -> ConnectResponse<'_> {
        ConnectResponse {
            protocol_version: self.int,
            timeout_ms: !self.int,
            session_id: self.long,
            password: self.data(),
            read_only: (self.int % 2 == 0).then_some(self.flag),
        }
    }

    fn event(&self) -> WatchedEvent<'_> {
        WatchedEvent { kind: EventType(self.int), state: SessionState(!self.int), path: self.path() }
    }
}

/// The body of a frame, which must be all there is.
fn body(bytes: &[u8]) -> &[u8] {
    let Ok(Front::Frame(body)) = frame::front(bytes, DEFAULT_MAX_FRAME) else {
        panic!("not a frame: {bytes:?}")
    };
    assert_eq!(bytes.len(), PREFIX_LEN + body.len());
    body
}

fn decode_request(op: OpCode, record: &[u8]) -> Result<Option<Request<'_>>, DecodeError> {
    Request::decode(op, &mut Reader::new(record))
}

proptest! {
    #[test]
    fn requests_come_back(parts in parts(), xid in any::<i32>()) {
        let ops = parts.ops();
        for request in parts.requests(&ops) {
            let mut out = Vec::new();
            request.encode_frame(&mut out, xid);
            let mut input = Reader::new(body(&out));
            let header = RequestHeader::decode(&mut input).unwrap();
            prop_assert_eq!(header, RequestHeader { xid, op: request.op() });
            prop_assert_eq!(Request::decode(header.op, &mut input), Ok(Some(request)));
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn replies_come_back(parts in parts(), xid in any::<i32>(), zxid in any::<i64>()) {
        let (results, data) = (parts.results(), parts.children_data());
        for (op, reply) in parts.replies(&results, &data) {
            let mut out = Vec::new();
            reply.encode_frame(&mut out, xid, zxid);
            let (header, record) = ReplyHeader::split(body(&out)).unwrap();
            prop_assert_eq!(header, ReplyHeader { xid, zxid, err: ErrorCode::OK });
            prop_assert_eq!(Reply::decode(op, record), Ok(Some(reply)));
        }
        let header = ReplyHeader { xid, zxid, err: ErrorCode(parts.int) };
        let mut out = Vec::new();
        header.encode_frame(&mut out);
        prop_assert_eq!(ReplyHeader::split(body(&out)), Ok((header, &[][..])));
    }

    #[test]
    fn handshakes_and_events_come_back(parts in parts(), zxid in any::<i64>()) {
        let mut out = Vec::new();
        parts.hello().encode_frame(&mut out);
        prop_assert_eq!(ConnectRequest::decode(body(&out)), Ok(parts.hello()));
        out.clear();
        parts.welcome().encode_frame(&mut out);
        prop_assert_eq!(ConnectResponse::decode(body(&out)), Ok(parts.welcome()));
        out.clear();
        parts.event().encode_frame(&mut out, zxid);
        let (header, record) = ReplyHeader::split(body(&out)).unwrap();
        prop_assert_eq!(header, ReplyHeader { xid: -1, zxid, err: ErrorCode::OK });
        prop_assert_eq!(WatchedEvent::decode(record), Ok(parts.event()));
    }

    /// What Java writes for characters outside of the basic plane is read as if it were UTF-8.
    #[test]
    fn text_in_javas_form_comes_back(text in "\\PC{0,8}") {
        let java: Vec<u8> = text.encode_utf16().flat_map(javas_form).collect();
        let mut out = Vec::new();
        put_i32(&mut out, java.len() as i32);
        out.extend_from_slice(&java);
        prop_assert_eq!(decode_request(OpCode::SYNC, &out), Ok(Some(Request::Sync { path: text.into() })));
    }

    #[test]
    fn bytes_behind_a_record_are_left_or_refused(parts in parts(), extra in vec(any::<u8>(), 1..4)) {
        for (op, mut record) in parts.request_records() {
            record.extend_from_slice(&extra);
            let mut input = Reader::new(&record);
            prop_assert!(Request::decode(op, &mut input).is_ok());
            prop_assert_eq!(input.rest(), &extra[..]);
        }
        for (op, mut record) in parts.reply_records() {
            // Four bytes are its other form.
            let optional = op == OpCode::ADD_WATCH && record.is_empty();
            record.extend_from_slice(&extra);
            let refused = Err(DecodeError::Trailing { what: "reply", left: extra.len() });
            prop_assert!(optional || Reply::decode(op, &record) == refused, "{op}");
        }
    }

    #[test]
    fn changed_bytes_do_not_panic(parts in parts(), places in vec((any::<Index>(), 1..=u8::MAX), 1..4)) {
        let change = |record: &mut Vec<u8>| {
            for (place, change) in &places {
                if let Some(byte) = (!record.is_empty()).then(|| place.index(record.len())) {
                    record[byte] ^= change;
                }
            }
        };
        for (op, mut record) in parts.request_records() {
            change(&mut record);
            stable::request(op, &record);
        }
        for (op, mut record) in parts.reply_records() {
            change(&mut record);
            stable::reply(op, &record);
        }
    }

    #[test]
    fn any_bytes_do_not_panic(bytes in vec(prop_oneof![Just(0), Just(1), Just(0xff), any::<u8>()], 0..200)) {
        for op in OpCode::ALL.iter().copied().chain([OpCode(i32::MIN), OpCode(999)]) {
            stable::request(op, &bytes);
            stable::reply(op, &bytes);
        }
    }

    #[test]
    fn any_text_does_not_panic(lines in vec(
        prop_oneof![
            "zk_[a-z]{0,3}[\t ]{0,2}\\PC{0,5}",
            "(Received|Sent|Connections|Outstanding|Zxid|Mode|Node count|version|Latency min/avg/max)?: \\PC{0,5}",
            "\\PC{0,5}",
        ],
        0..12,
    )) {
        stable::four_letter(&lines.join("\n"));
        stable::four_letter(&lines.join("\r\n"));
    }
}

proptest! {
    // Every record is decoded as often as it has bytes.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_record_that_is_cut_off_is_truncated(parts in parts()) {
        for (op, record) in parts.request_records() {
            for end in 0..record.len() {
                let cut = decode_request(op, &record[..end]);
                prop_assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{op} {end}: {cut:?}");
            }
        }
        for (op, record) in parts.reply_records() {
            for end in 0..record.len() {
                let cut = Reply::decode(op, &record[..end]);
                // The one optional record: ClickHouse Keeper has none.
                let optional = op == OpCode::ADD_WATCH && end == 0 && cut == Ok(Some(Reply::Empty));
                prop_assert!(optional || matches!(cut, Err(DecodeError::Truncated { .. })), "{op} {end}: {cut:?}");
            }
        }
        let (mut hello, mut welcome, mut event) = (Vec::new(), Vec::new(), Vec::new());
        parts.hello().encode_frame(&mut hello);
        parts.welcome().encode_frame(&mut welcome);
        parts.event().encode_frame(&mut event, 0);
        let (hello, welcome, event) = (body(&hello), body(&welcome), &body(&event)[ReplyHeader::LEN..]);
        // The flag at the end of a handshake is the one optional field.
        for end in 0..hello.len() {
            let expected = (end + 1 == hello.len() && parts.hello().read_only.is_some())
                .then_some(ConnectRequest { read_only: None, ..parts.hello() });
            prop_assert_eq!(ConnectRequest::decode(&hello[..end]).ok(), expected);
        }
        for end in 0..welcome.len() {
            let expected = (end + 1 == welcome.len() && parts.welcome().read_only.is_some())
                .then_some(ConnectResponse { read_only: None, ..parts.welcome() });
            prop_assert_eq!(ConnectResponse::decode(&welcome[..end]).ok(), expected);
        }
        for end in 0..event.len() {
            let cut = WatchedEvent::decode(&event[..end]);
            prop_assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{end}: {cut:?}");
        }
    }
}

fn javas_form(unit: u16) -> Vec<u8> {
    let last = |shift: u16| 0x80 | (unit >> shift & 0x3f) as u8;
    match unit {
        0..=0x7f => vec![unit as u8],
        0x80..=0x7ff => vec![0xc0 | (unit >> 6) as u8, last(0)],
        _ => vec![0xe0 | (unit >> 12) as u8, last(6), last(0)],
    }
}

/// So that an op that is added later is in the properties above.
#[test]
fn every_op_that_decodes_is_covered() {
    let parts = Parts {
        texts: [const { Cow::Borrowed("/a") }; 3],
        names: vec!["b".into()],
        data: None,
        all_data: Vec::new(),
        acl: vec![Acl::OPEN],
        clients: Vec::new(),
        stats: vec![Stat::default()],
        int: 0,
        long: 0,
        flag: false,
    };
    let known = |decodes: &dyn Fn(OpCode) -> bool| -> BTreeSet<OpCode> {
        OpCode::ALL.iter().copied().filter(|op| decodes(*op)).collect()
    };
    let covered =
        |records: Vec<(OpCode, Vec<u8>)>| records.into_iter().map(|(op, _)| op).collect::<BTreeSet<_>>();
    let requests = known(&|op| !matches!(decode_request(op, &[]), Ok(None)));
    assert_eq!(covered(parts.request_records()), requests);
    let replies = known(&|op| !matches!(Reply::decode(op, &[]), Ok(None)));
    assert_eq!(covered(parts.reply_records()), replies);
    assert_eq!(requests, replies);
    assert_eq!(
        requests.len(),
        OpCode::ALL.len() - 3,
        "notification, createSession and error are no requests"
    );
}
