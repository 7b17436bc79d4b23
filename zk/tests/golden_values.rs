//! The codec against a real server: what the frames of `golden/conversation.txt` say is what was asked and done.

#[path = "golden/conversation.rs"]
mod conversation;

use std::borrow::Cow;

use conversation::{Frame, Message, frames, messages};
use quorumeter_zk::acl::{self, Acl};
use quorumeter_zk::connect::{ConnectRequest, ConnectResponse, PASSWORD_LEN};
use quorumeter_zk::event::{EventType, SessionState};
use quorumeter_zk::jute::{DecodeError, List};
use quorumeter_zk::multi::{MultiOp, MultiResult};
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::{ClientInfo, ReplyHeader};
use quorumeter_zk::request::{
    Create, SetWatches, VersionedPath, WatchedPath, create_mode, watch_mode, watcher_type,
};
use quorumeter_zk::{ErrorCode, OpCode, Reply, Request, Stat};

/// The conversation, by step.
struct Golden<'a>(Vec<(&'static str, Message<'a>)>);

impl<'a> Golden<'a> {
    fn of(frames: &'a [Frame]) -> Golden<'a> {
        Golden(frames.iter().map(|frame| frame.step).zip(messages(frames)).collect())
    }

    fn step<'g>(&'g self, step: &'static str) -> impl Iterator<Item = &'g Message<'a>> {
        assert!(self.0.iter().any(|(name, _)| *name == step), "no step {step}");
        self.0.iter().filter(move |(name, _)| *name == step).map(|(_, message)| message)
    }

    fn requests(&self, step: &'static str) -> Vec<Request<'a>> {
        self.step(step)
            .filter_map(|message| match message {
                Message::Request(_, request) => request.clone(),
                _ => None,
            })
            .collect()
    }

    /// Records, or errors without one.
    fn replies(&self, step: &'static str) -> Vec<Result<Reply<'a>, ErrorCode>> {
        self.step(step)
            .filter_map(|message| match message {
                Message::Reply(_, ReplyHeader { err: ErrorCode::OK, .. }, reply) => reply.clone().map(Ok),
                Message::Reply(_, header, _) => Some(Err(header.err)),
                _ => None,
            })
            .collect()
    }

    fn errors(&self, step: &'static str) -> Vec<ErrorCode> {
        self.replies(step).into_iter().filter_map(Result::err).collect()
    }

    fn headers(&self, step: &'static str) -> Vec<ReplyHeader> {
        self.step(step)
            .filter_map(|message| match message {
                Message::Reply(_, header, _) | Message::Event(header, _) => Some(*header),
                _ => None,
            })
            .collect()
    }

    fn events(&self, step: &'static str) -> Vec<(EventType, String)> {
        self.step(step)
            .filter_map(|message| match message {
                Message::Event(_, event) => {
                    assert_eq!(event.state, SessionState::SYNC_CONNECTED);
                    Some((event.kind, event.path.to_string()))
                }
                _ => None,
            })
            .collect()
    }

    fn hellos(&self, step: &'static str) -> Vec<ConnectRequest<'a>> {
        self.step(step)
            .filter_map(|message| if let Message::Hello(hello) = message { Some(*hello) } else { None })
            .collect()
    }

    fn welcomes(&self, step: &'static str) -> Vec<Result<ConnectResponse<'a>, DecodeError>> {
        self.step(step)
            .filter_map(|message| if let Message::Welcome(welcome) = message { Some(*welcome) } else { None })
            .collect()
    }
}

fn path<'a>(path: &'a str) -> Cow<'a, str> {
    path.into()
}

fn watched(path: &str, watch: bool) -> WatchedPath<'_> {
    WatchedPath { path: path.into(), watch }
}

fn versioned(path: &str, version: i32) -> VersionedPath<'_> {
    VersionedPath { path: path.into(), version }
}

const OPEN: &[Acl<'static>] = &[Acl::OPEN];

fn create<'a>(path: &'a str, data: Option<&'a [u8]>, flags: i32) -> Create<'a> {
    Create { path: path.into(), data, acl: List::from(OPEN), flags }
}

const DATA: Option<&[u8]> = Some(b"data");

#[test]
fn handshakes() {
    let frames = frames();
    let golden = Golden::of(&frames);
    let hello = golden.hellos("connect")[0];
    let new = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 30_000,
        session_id: 0,
        password: Some(&[0; PASSWORD_LEN]),
        read_only: Some(false),
    };
    assert_eq!(hello, new);
    let welcome = golden.welcomes("connect")[0].unwrap();
    assert_eq!((welcome.protocol_version, welcome.timeout_ms, welcome.read_only), (0, 30_000, Some(false)));
    assert_ne!(welcome.session_id, 0);
    assert_eq!(welcome.password.map(<[u8]>::len), Some(PASSWORD_LEN));

    // The same session again, in whatever order the two clients come back.
    let again = golden.hellos("reconnect").into_iter().find(|hello| hello.session_id == welcome.session_id);
    let again = again.expect("the client comes back");
    assert_eq!(again.password, welcome.password);
    assert!(again.last_zxid_seen > 0);
    assert!(golden.welcomes("reconnect").contains(&Ok(welcome)));

    let expired = golden.welcomes("connect-again-expired")[0].unwrap();
    assert_eq!((expired.session_id, expired.timeout_ms), (0, 0));
    assert_eq!(expired.password, Some(&[0; PASSWORD_LEN][..]));

    assert_eq!(golden.hellos("by-hand-without-flag")[0].read_only, None);
    assert_eq!(golden.welcomes("by-hand-without-flag")[0].unwrap().read_only, None);
    assert_eq!(golden.hellos("by-hand-null-password")[0].password, None);
    assert_eq!(golden.welcomes("by-hand-null-password")[0].unwrap().timeout_ms, 10_000);
    assert_eq!(golden.hellos("connect-read-only")[0].read_only, Some(true));
    assert_eq!(golden.welcomes("connect-read-only")[0].unwrap().read_only, Some(true));
    assert!(matches!(golden.welcomes("by-hand-refused-read-only")[0], Err(DecodeError::Truncated { .. })));
}

#[test]
fn creates() {
    let frames = frames();
    let golden = Golden::of(&frames);
    let created = |path: &'static str| vec![Ok(Reply::Path { path: path.into() })];
    let asked = |step, request| assert_eq!(golden.requests(step), [request], "{step}");
    asked("create", Request::Create(create("/golden", DATA, create_mode::PERSISTENT)));
    assert_eq!(golden.replies("create"), created("/golden"));
    asked("create-null", Request::Create(create("/golden/null", None, create_mode::PERSISTENT)));
    let sequential = create("/golden/seq-", Some(b""), create_mode::PERSISTENT_SEQUENTIAL);
    asked("create-sequential", Request::Create(sequential));
    assert_eq!(golden.replies("create-sequential"), created("/golden/seq-0000000001"));
    let ephemeral = create("/golden/eph-", DATA, create_mode::EPHEMERAL_SEQUENTIAL);
    asked("create-ephemeral-sequential", Request::Create(ephemeral));
    asked("create2", Request::Create2(create("/golden/ephemeral", DATA, create_mode::EPHEMERAL)));
    let container = create("/golden/container", DATA, create_mode::CONTAINER);
    asked("create-container", Request::CreateContainer(container));
    let ttl = create("/golden/ttl", DATA, create_mode::PERSISTENT_WITH_TTL);
    asked("create-ttl", Request::CreateTtl { create: ttl, ttl_ms: 3_600_000 });
    let ttl = create("/golden/ttl-", DATA, create_mode::PERSISTENT_SEQUENTIAL_WITH_TTL);
    asked("create-sequential-ttl", Request::CreateTtl { create: ttl, ttl_ms: 86_400_000 });

    // The owner of containers and TTL znodes is the server's secret.
    let session = golden.welcomes("connect")[0].unwrap().session_id;
    for (step, path, owner) in [
        ("create2", "/golden/ephemeral", session),
        ("create-container", "/golden/container", 0),
        ("create-ttl", "/golden/ttl", 0),
        ("create-sequential-ttl", "/golden/ttl-0000000006", 0),
    ] {
        let [Ok(Reply::PathAndStat { path: created, stat })] = &golden.replies(step)[..] else {
            panic!("{step}")
        };
        let zxid = golden.headers(step)[0].zxid;
        assert_eq!(created, path, "{step}");
        assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (zxid, zxid, zxid), "{step}");
        assert_eq!((stat.ephemeral_owner, stat.data_length, stat.version), (owner, 4, 0), "{step}");
    }
    let errors = [
        ErrorCode::NODE_EXISTS,
        ErrorCode::NO_NODE,
        ErrorCode::NO_CHILDREN_FOR_EPHEMERALS,
        ErrorCode::INVALID_ACL,
    ];
    assert_eq!(golden.errors("create-fails"), errors);
}

#[test]
fn reads_and_writes() {
    let frames = frames();
    let golden = Golden::of(&frames);
    assert_eq!(golden.requests("exists")[0], Request::Exists(watched("/golden", false)));
    let Ok(Reply::Stat(parent)) = golden.replies("exists")[0] else { panic!() };
    assert_eq!((parent.num_children, parent.cversion, parent.version), (7, 7, 0));
    assert_eq!(golden.errors("exists"), [ErrorCode::NO_NODE]);

    assert_eq!(golden.requests("get-data")[2], Request::GetData(watched("/golden/seq-0000000001", true)));
    let data: Vec<_> = golden
        .replies("get-data")
        .into_iter()
        .map(|reply| match reply {
            Ok(Reply::Data { data, stat }) => Ok((data, stat.data_length)),
            Ok(other) => panic!("{other:?}"),
            Err(code) => Err(code),
        })
        .collect();
    assert_eq!(data, [Ok((DATA, 4)), Ok((None, 0)), Ok((Some(&b""[..]), 0)), Err(ErrorCode::NO_NODE)]);

    let set = |data, version| Request::SetData { path: path("/golden"), data, version };
    assert_eq!(golden.requests("set-data")[..2], [set(Some(b"more data"), -1), set(DATA, 1)]);
    let Ok(Reply::Stat(stat)) = golden.replies("set-data")[1] else { panic!() };
    assert_eq!((stat.version, stat.data_length, stat.mzxid), (2, 4, golden.headers("set-data")[1].zxid));
    assert_eq!(golden.errors("set-data"), [ErrorCode::BAD_VERSION]);

    assert_eq!(golden.requests("get-children")[1], Request::GetChildren(watched("/golden/null", true)));
    let [Ok(Reply::Paths(names)), Ok(Reply::Paths(none))] = &golden.replies("get-children")[..] else {
        panic!()
    };
    let mut sorted: Vec<_> = names.iter().collect();
    sorted.sort();
    assert_eq!(
        sorted,
        ["container", "eph-0000000002", "ephemeral", "null", "seq-0000000001", "ttl", "ttl-0000000006"]
    );
    assert!(none.is_empty());
    assert_eq!(golden.requests("get-children2"), [Request::GetChildren2(watched("/golden", false))]);
    let [Ok(Reply::Children { children, stat })] = &golden.replies("get-children2")[..] else { panic!() };
    assert_eq!((children, stat.num_children), (names, 7));

    assert_eq!(golden.requests("sync"), [Request::Sync { path: path("/golden") }]);
    assert_eq!(golden.replies("sync"), [Ok(Reply::Path { path: path("/golden") })]);
    assert_eq!(golden.requests("delete")[0], Request::Delete(versioned("/golden/null/child", 0)));
    assert_eq!(golden.replies("delete")[0], Ok(Reply::Empty));
    assert_eq!(golden.errors("delete"), [ErrorCode::BAD_VERSION, ErrorCode::NOT_EMPTY, ErrorCode::NO_NODE]);
    let of = |prefix| Request::GetEphemerals { prefix: path(prefix) };
    assert_eq!(golden.requests("get-ephemerals"), [of("/"), of("/golden/eph-")]);
    assert_eq!(
        golden.replies("get-ephemerals")[1],
        Ok(Reply::Paths(List::from(&[path("/golden/eph-0000000002")][..])))
    );
    let count = golden.requests("get-all-children-number");
    assert_eq!(count, [Request::GetAllChildrenNumber { path: path("/golden") }]);
    assert_eq!(golden.replies("get-all-children-number"), [Ok(Reply::Number(11))]);

    assert_eq!(golden.errors("write-to-read-only"), [ErrorCode::NOT_READ_ONLY]);
    let Ok(Reply::Stat(root)) = golden.replies("write-to-read-only")[1] else { panic!() };
    assert_eq!(root, Stat { cversion: -1, num_children: 1, ..Stat::default() });
}

#[test]
fn identities_and_access_control() {
    let frames = frames();
    let golden = Golden::of(&frames);
    let auth = |scheme, auth| Request::Auth { kind: 0, scheme: path(scheme), auth: Some(auth) };
    assert_eq!(golden.requests("auth")[0], auth("digest", b"bench:secret"));
    let header = *golden.headers("auth").iter().find(|header| header.xid == xid::AUTH).unwrap();
    assert_eq!(header, ReplyHeader { xid: xid::AUTH, zxid: 0, err: ErrorCode::OK });
    assert_eq!(golden.requests("auth-fails"), [auth("nonsense", b"data")]);
    assert_eq!(golden.errors("auth-fails"), [ErrorCode::AUTH_FAILED]);
    let who = |scheme, user| ClientInfo { scheme: path(scheme), user: path(user) };
    let clients = [who("digest", "bench"), who("ip", "127.0.0.1")];
    assert_eq!(golden.requests("who-am-i"), [Request::WhoAmI]);
    assert_eq!(golden.replies("who-am-i"), [Ok(Reply::Clients(List::from(&clients[..])))]);

    // The client writes a character outside of the basic plane as two surrogates, which the server does not read.
    let entry = |perms, scheme, id| Acl { perms, scheme: path(scheme), id };
    let anyone = entry(acl::READ, "world", path("anyone"));
    let asked =
        [entry(acl::ALL, "auth", path("")), entry(acl::WRITE, "digest", path("\u{1f980}:x")), anyone.clone()];
    let set = |acl, version| Request::SetAcl { path: path("/golden/null"), acl, version };
    assert_eq!(golden.requests("set-acl"), [set(List::from(&asked[..]), 0), set(List::from(OPEN), 7)]);
    let Ok(Reply::Stat(stat)) = golden.replies("set-acl")[0] else { panic!() };
    assert_eq!(stat.aversion, 1);
    assert_eq!(golden.errors("set-acl"), [ErrorCode::BAD_VERSION]);
    for (step, id) in
        [("get-acl", path(&acl::digest_id("bench:secret"))), ("get-acl-masked", path("bench:x"))]
    {
        assert_eq!(golden.requests(step)[0], Request::GetAcl { path: path("/golden/null") });
        let stored = [
            entry(acl::ALL, "digest", id),
            entry(acl::WRITE, "digest", path("\u{fffd}\u{fffd}:x")),
            anyone.clone(),
        ];
        assert_eq!(golden.replies(step)[0], Ok(Reply::Acl { acl: List::from(&stored[..]), stat }));
    }
    assert_eq!(golden.errors("get-acl-masked"), [ErrorCode::NO_AUTH]);

    let tokens = |step| -> Vec<_> {
        golden
            .step(step)
            .filter_map(|message| match message {
                Message::Reply(_, header, Some(Reply::Token(token))) => Some((header.err, *token)),
                _ => None,
            })
            .collect()
    };
    assert_eq!(golden.requests("sasl")[0], Request::Sasl { token: Some(b"") });
    let [(ErrorCode::OK, Some(challenge)), (ErrorCode::OK, Some(proof))] = tokens("sasl")[..] else {
        panic!()
    };
    assert!(challenge.starts_with(b"realm=\"zk-sasl-md5\",nonce=") && proof.starts_with(b"rspauth="));
    assert_eq!(tokens("sasl-fails")[1], (ErrorCode::AUTH_FAILED, None));
}

#[test]
fn multis() {
    let frames = frames();
    let golden = Golden::of(&frames);
    let set = |path: &'static str, data| MultiOp::SetData { path: path.into(), data, version: 0 };
    let ops = [
        MultiOp::Check(versioned("/golden", 2)),
        MultiOp::Create(create("/golden/multi", DATA, create_mode::PERSISTENT)),
        MultiOp::CreateContainer(create("/golden/multi/container", None, create_mode::CONTAINER)),
        MultiOp::CreateTtl {
            create: create("/golden/multi/ttl", DATA, create_mode::PERSISTENT_WITH_TTL),
            ttl_ms: 3_600_000,
        },
        set("/golden/multi", Some(b"set")),
        MultiOp::Delete(versioned("/golden/multi/ttl", -1)),
    ];
    assert_eq!(golden.requests("multi"), [Request::Multi(List::from(&ops[..]))]);
    let [Ok(Reply::Multi(results))] = &golden.replies("multi")[..] else { panic!() };
    assert_eq!(MultiResult::failure(results), None);
    let results: Vec<_> = results.iter().collect();
    let zxid = golden.headers("multi")[0].zxid;
    assert_eq!(results[0], MultiResult::Check);
    assert_eq!(results[1], MultiResult::Create { path: path("/golden/multi") });
    for (n, path) in [(2, "/golden/multi/container"), (3, "/golden/multi/ttl")] {
        let MultiResult::Create2 { path: created, stat } = &results[n] else { panic!("{:?}", results[n]) };
        assert_eq!((&created[..], stat.czxid), (path, zxid));
    }
    let MultiResult::SetData { stat } = results[4] else { panic!("{:?}", results[4]) };
    assert_eq!((stat.version, stat.mzxid), (1, zxid));
    assert_eq!(results[5..], [MultiResult::Delete]);

    let [header] = golden.headers("multi-fails")[..] else { panic!() };
    assert_eq!(header.err, ErrorCode::OK);
    let [Ok(Reply::Multi(results))] = &golden.replies("multi-fails")[..] else { panic!() };
    assert_eq!(MultiResult::failure(results), Some(ErrorCode::BAD_VERSION));
    let codes = [ErrorCode::OK, ErrorCode::OK, ErrorCode::BAD_VERSION, ErrorCode::RUNTIME_INCONSISTENCY];
    assert_eq!(results.iter().collect::<Vec<_>>(), codes.map(MultiResult::Error));

    let read = |path: &'static str| MultiOp::GetData { path: path.into(), watch: false };
    let list = MultiOp::GetChildren { path: path("/golden"), watch: false };
    let ops = [read("/golden"), list, read("/missing"), read("/golden/multi/container")];
    assert_eq!(golden.requests("multi-read"), [Request::MultiRead(List::from(&ops[..]))]);
    let [Ok(Reply::Multi(results))] = &golden.replies("multi-read")[..] else { panic!() };
    let results: Vec<_> = results.iter().collect();
    assert!(matches!(results[0], MultiResult::GetData { data: Some(b"data"), .. }));
    assert!(matches!(&results[1], MultiResult::GetChildren { children } if children.len() == 8));
    assert_eq!(results[2], MultiResult::Error(ErrorCode::NO_NODE));
    assert!(matches!(results[3], MultiResult::GetData { data: None, .. }));

    let [Ok(Reply::Multi(none)), Ok(Reply::Multi(two)), _] = &golden.replies("by-hand-multi")[..] else {
        panic!()
    };
    assert!(none.is_empty());
    let two: Vec<_> = two.iter().collect();
    assert!(matches!(&two[0], MultiResult::Create2 { path, .. } if path == "/golden-by-hand"));
    assert_eq!(two[1], MultiResult::Delete);
}

#[test]
fn watches_and_events() {
    let frames = frames();
    let golden = Golden::of(&frames);
    let add = |path: &'static str, mode| Request::AddWatch { path: path.into(), mode };
    let both =
        [add("/golden/multi", watch_mode::PERSISTENT), add("/golden", watch_mode::PERSISTENT_RECURSIVE)];
    assert_eq!(golden.requests("add-watch"), both);
    assert_eq!(golden.replies("add-watch"), [Ok(Reply::AddWatch(0)), Ok(Reply::AddWatch(0))]);

    let created = |path: &str| (EventType::NODE_CREATED, path.to_owned());
    let deleted = |path: &str| (EventType::NODE_DELETED, path.to_owned());
    let changed = |path: &str| (EventType::NODE_DATA_CHANGED, path.to_owned());
    let children = |path: &str| (EventType::NODE_CHILDREN_CHANGED, path.to_owned());
    for (step, events) in [
        ("event-created", vec![created("/golden/watched-exists")]),
        ("event-data-changed", vec![changed("/golden/seq-0000000001")]),
        (
            "event-children-changed",
            vec![
                created("/golden/null/child"),
                children("/golden/null"),
                created("/golden/multi/child"),
                children("/golden/multi"),
            ],
        ),
        ("event-deleted", vec![deleted("/golden/multi/child"), children("/golden/multi")]),
    ] {
        assert_eq!(golden.events(step), events, "{step}");
        // Events carry the zxid of the transaction, and come before its reply.
        let mut pending = Vec::new();
        for header in golden.headers(step) {
            if header.xid == xid::NOTIFICATION {
                pending.push(header.zxid);
            } else {
                assert!(!pending.is_empty() && pending.iter().all(|zxid| *zxid == header.zxid), "{step}");
                pending.clear();
            }
        }
        assert_eq!(pending, [], "{step}");
    }

    let check = |path: &'static str, kind| Request::CheckWatches { path: path.into(), kind };
    let checks = [check("/golden/multi", watcher_type::DATA), check("/golden", watcher_type::CHILDREN)];
    assert_eq!(golden.requests("check-watches")[2..], checks);
    assert_eq!(golden.replies("check-watches")[2..], [Ok(Reply::Empty), Err(ErrorCode::NO_WATCHER)]);
    let remove = |path: &'static str| Request::RemoveWatches { path: path.into(), kind: watcher_type::ANY };
    assert_eq!(golden.requests("remove-watches"), [remove("/golden/multi"), remove("/missing")]);
    assert_eq!(golden.replies("remove-watches"), [Ok(Reply::Empty), Err(ErrorCode::NO_WATCHER)]);

    let again = |step| -> Vec<_> {
        golden
            .requests(step)
            .into_iter()
            .filter_map(|request| match request {
                Request::SetWatches(watches) => Some((OpCode::SET_WATCHES, watches)),
                Request::SetWatches2(watches) => Some((OpCode::SET_WATCHES2, watches)),
                _ => None,
            })
            .collect()
    };
    let (data, exist, child) = ([path("/golden")], [path("/golden/watched-again")], [path("/golden/null")]);
    let watches = SetWatches {
        relative_zxid: golden.hellos("reconnect").iter().map(|hello| hello.last_zxid_seen).max().unwrap(),
        data: List::from(&data[..]),
        exist: List::from(&exist[..]),
        child: List::from(&child[..]),
        persistent: List::default(),
        persistent_recursive: List::from(&data[..]),
    };
    assert_eq!(again("reconnect"), [(OpCode::SET_WATCHES2, watches.clone())]);
    let number = golden.step("reconnect").find_map(|message| match message {
        Message::Request(header, Some(Request::SetWatches2(_))) => Some(header.xid),
        _ => None,
    });
    assert!(number.is_some_and(|xid| xid > 0), "the Java client counts it like any other request");
    let plain = SetWatches { child: List::from(&data[..]), persistent_recursive: List::default(), ..watches };
    assert!(again("reconnect-without-persistent").contains(&(OpCode::SET_WATCHES, plain)));

    let fired = [changed("/golden"), created("/golden"), deleted("/missing")];
    assert_eq!(golden.events("by-hand-set-watches"), fired);
    let headers = golden.headers("by-hand-set-watches");
    assert!(headers[..3].iter().all(|header| header.zxid == -1), "{headers:?}");
    assert_eq!((headers[3].xid, headers[3].err), (xid::SET_WATCHES, ErrorCode::OK));
}

#[test]
fn sessions_and_the_rest() {
    let frames = frames();
    let golden = Golden::of(&frames);
    assert_eq!(golden.requests("ping")[0], Request::Ping);
    assert_eq!(golden.replies("ping")[0], Ok(Reply::Empty));
    assert_eq!(golden.headers("ping")[0].xid, xid::PING);
    assert_eq!(golden.welcomes("ping")[0].unwrap().timeout_ms, 4_000);
    assert_eq!(golden.requests("close-session"), [const { Request::CloseSession }; 3]);
    // The ephemerals go before the reply, so that the session hears of them.
    assert_eq!(golden.events("close-session").len(), 2);

    let unknown = ReplyHeader { xid: 1, zxid: -1, err: ErrorCode::UNIMPLEMENTED };
    assert_eq!(golden.headers("by-hand-unknown-op"), [unknown]);

    let Request::Reconfig { joining, leaving, new_members, config_id } =
        &golden.requests("reconfig-disabled")[0]
    else {
        panic!()
    };
    assert_eq!((joining.as_deref(), leaving, new_members), (Some("server.9=127.0.0.1:1:2;3"), &None, &None));
    assert_eq!(*config_id, -1);
    assert_eq!(golden.errors("reconfig-disabled"), [ErrorCode::RECONFIG_DISABLED]);
    assert_eq!(golden.errors("reconfig"), [ErrorCode::BAD_VERSION, ErrorCode::NEW_CONFIG_NO_QUORUM]);
    let Request::Reconfig { leaving, config_id, .. } = &golden.requests("reconfig")[2] else { panic!() };
    assert_eq!((leaving.as_deref(), *config_id), (Some("3"), 77));
    let Ok(Reply::Data { data: Some(config), .. }) = golden.replies("reconfig")[1] else { panic!() };
    assert!(config.starts_with(b"server.1=127.0.0.1:"));
}
