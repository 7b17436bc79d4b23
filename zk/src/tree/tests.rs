//! Whole transactions against a tree. What is expected here was compared with Apache ZooKeeper 3.9.4.

use std::borrow::Cow;

use super::access::{Identities, Identity};
use super::*;
use crate::acl::digest_id;
use crate::error::ErrorCode;
use crate::event::EventType;
use crate::jute::List;
use crate::multi::MultiOp;
use crate::path;
use crate::request::{Create, Request, VersionedPath, create_mode};
use crate::stat::Stat;

mod quota;
mod random;

const SESSION: i64 = 0x100;
const OTHER: i64 = 0x101;

/// A tree and whoever writes to it.
pub(super) struct Fixture {
    pub(super) tree: Tree,
    identities: Vec<Identity>,
    triggers: Vec<Trigger>,
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        let mut fixture = Fixture { tree: Tree::new(), identities: Vec::new(), triggers: Vec::new() };
        for session in [SESSION, OTHER] {
            assert_eq!(
                fixture.apply(session, Change::CreateSession { timeout_ms: 1 }),
                Ok(WriteReply::Empty)
            );
        }
        fixture
    }

    fn apply(&mut self, session_id: i64, change: Change<'_>) -> Result<WriteReply, ErrorCode> {
        let zxid = self.tree.last_zxid() + 1;
        self.triggers.clear();
        let identities = Cow::Borrowed(&self.identities[..]);
        let transaction = Transaction { zxid, time_ms: zxid * 1000, session_id, identities, change };
        let mut bytes = Vec::new();
        transaction.encode(&mut bytes);
        assert_eq!(Transaction::decode(&bytes).unwrap(), transaction);
        let reply = self.tree.apply(&transaction, &mut self.triggers);
        assert_eq!(self.tree.last_zxid(), zxid, "a transaction that fails has a zxid, too");
        reply
    }

    pub(super) fn request(&mut self, request: Request<'_>) -> Result<WriteReply, ErrorCode> {
        self.apply(SESSION, Change::Request(request))
    }

    fn create(&mut self, path: &str, flags: i32) -> Result<String, ErrorCode> {
        match self.request(Request::Create(create(path, flags)))? {
            WriteReply::Path(path) => Ok(path.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<WriteReply, ErrorCode> {
        self.request(Request::Delete(VersionedPath { path: path.into(), version }))
    }

    fn set(&mut self, path: &str, data: &[u8], version: i32) -> Result<Stat, ErrorCode> {
        match self.request(Request::SetData { path: path.into(), data: Some(data), version })? {
            WriteReply::Stat(stat) => Ok(stat),
            other => panic!("{other:?}"),
        }
    }

    fn multi(&mut self, ops: &[MultiOp<'_>]) -> Result<Vec<OpResult>, ErrorCode> {
        match self.request(Request::Multi(List::from(ops)))? {
            WriteReply::Multi(results) => Ok(results),
            other => panic!("{other:?}"),
        }
    }

    fn stat(&self, path: &str) -> Stat {
        self.tree.get(path).unwrap().stat()
    }

    /// Kinds (c, d, s for data, C for children) and paths of the triggers.
    fn triggers(&self) -> String {
        let letter = |kind| match kind {
            EventType::NODE_CREATED => 'c',
            EventType::NODE_DELETED => 'd',
            EventType::NODE_DATA_CHANGED => 's',
            EventType::NODE_CHILDREN_CHANGED => 'C',
            other => panic!("{other:?}"),
        };
        let all: Vec<_> = self.triggers.iter().map(|t| format!("{}{}", letter(t.kind), t.path)).collect();
        all.join(" ")
    }
}

fn create(path: &str, flags: i32) -> Create<'_> {
    Create { path: path.into(), data: Some(b"data"), acl: List::from(&[Acl::OPEN][..]), flags }
}

fn versioned(path: &str, version: i32) -> VersionedPath<'_> {
    VersionedPath { path: path.into(), version }
}

/// Path, data, stat and children of a znode.
type Seen = (String, Option<Vec<u8>>, Stat, Vec<String>);

/// Everything that a client can see.
pub(super) fn dump(tree: &Tree) -> Vec<Seen> {
    let mut all: Vec<_> = tree
        .nodes
        .values()
        .map(|node| {
            let children = node.children().map(str::to_owned).collect();
            (node.path().to_string(), node.data().map(<[u8]>::to_vec), node.stat(), children)
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn a_new_tree_is_upstreams() {
    let tree = Tree::new();
    assert_eq!((tree.node_count(), tree.approximate_data_size(), tree.last_zxid()), (5, 44, 0));
    assert_eq!(tree.get("/").unwrap().stat(), Stat { cversion: -1, num_children: 1, ..Stat::default() });
    assert_eq!(tree.get("").unwrap().path(), tree.get("/").unwrap().path());
    assert_eq!(tree.get(ZOOKEEPER).unwrap().stat().cversion, -2);
    let config = tree.get(CONFIG).unwrap();
    assert_eq!((config.stat().aversion, config.acl()[0].perms), (-1, acl::READ));
    assert_eq!(tree.descendant_count(tree.get("/").unwrap()), 3);
}

#[test]
fn stats_follow_the_changes() {
    let mut it = Fixture::new();
    it.create("/a", 0).unwrap();
    let new =
        Stat { czxid: 3, mzxid: 3, pzxid: 3, ctime: 3000, mtime: 3000, data_length: 4, ..Stat::default() };
    assert_eq!(it.stat("/a"), new);
    assert_eq!(
        it.set("/a", b"longer", -1),
        Ok(Stat { mzxid: 4, mtime: 4000, version: 1, data_length: 6, ..new })
    );
    it.create("/a/b", 0).unwrap();
    it.create("/a/c", 0).unwrap();
    let parent = Stat { cversion: 2, num_children: 2, pzxid: 6, ..it.stat("/a") };
    assert_eq!(it.stat("/a"), parent);
    assert_eq!((it.stat("/a").mzxid, it.stat("/a").version), (4, 1), "children are not data");
    it.delete("/a/b", 0).unwrap();
    // Two creations and one deletion.
    assert_eq!(it.stat("/a"), Stat { cversion: 3, num_children: 1, pzxid: 7, ..parent });
    let acl = [Acl::OPEN];
    let reply =
        it.request(Request::SetAcl { path: "/a".into(), acl: List::from(&acl[..]), version: 0 }).unwrap();
    assert_eq!(reply, WriteReply::Stat(Stat { aversion: 1, ..it.stat("/a") }));
    assert_eq!(it.stat("/a").mzxid, 4, "nor is the ACL");
    assert_eq!(it.triggers(), "", "there is no watch for ACLs");
    let (data, null) = (it.tree.approximate_data_size(), None);
    it.request(Request::SetData { path: "/a".into(), data: null, version: -1 }).unwrap();
    assert_eq!(it.tree.get("/a").unwrap().data(), None);
    assert_eq!(it.tree.approximate_data_size(), data - 6);
}

#[test]
fn sequence_numbers_count_creations() {
    let mut it = Fixture::new();
    it.create("/q", 0).unwrap();
    let sequential = create_mode::PERSISTENT_SEQUENTIAL;
    assert_eq!(it.create("/q/n-", sequential).unwrap(), "/q/n-0000000000");
    assert_eq!(it.create("/q/n-", create_mode::EPHEMERAL_SEQUENTIAL).unwrap(), "/q/n-0000000001");
    it.delete("/q/n-0000000001", -1).unwrap();
    assert_eq!(it.create("/q/", sequential).unwrap(), "/q/0000000002", "deletions do not count");
    it.create("/q/x", 0).unwrap();
    assert_eq!(it.create("/q/x", 0), Err(ErrorCode::NODE_EXISTS));
    assert_eq!(
        it.create("/q/n-", sequential).unwrap(),
        "/q/n-0000000004",
        "failures neither, other names do"
    );
    it.tree.nodes.get_mut("/q").unwrap().created_children = i32::MAX;
    assert_eq!(it.create("/q/n-", sequential).unwrap(), "/q/n-2147483647");
    // Upstream never lets the count become smaller: it stands still at its end.
    assert_eq!(it.create("/q/n-", sequential), Err(ErrorCode::NODE_EXISTS));
}

#[test]
fn requests_with_several_faults_get_upstreams_error() {
    let mut it = Fixture::new();
    it.create("/a", 0).unwrap();
    it.create("/a/child", 0).unwrap();
    it.create("/e", create_mode::EPHEMERAL).unwrap();
    let nobody = [Acl { perms: 31, scheme: "digest".into(), id: "u:x".into() }];
    let closed = Create { acl: List::from(&nobody[..]), ..create("/closed", 0) };
    it.request(Request::Create(closed)).unwrap();
    for (path, flags, code) in [
        ("/a", 0, ErrorCode::NODE_EXISTS),
        ("/", 0, ErrorCode::NODE_EXISTS),
        ("/x/y", 0, ErrorCode::NO_NODE),
        ("/e/y", 0, ErrorCode::NO_CHILDREN_FOR_EPHEMERALS),
        ("/closed/y", 0, ErrorCode::NO_AUTH),
        ("/closed//", 0, ErrorCode::NO_NODE),
        ("/closed/..", 0, ErrorCode::NO_AUTH),
        ("/a/..", 0, ErrorCode::BAD_ARGUMENTS),
        ("/a/", 0, ErrorCode::BAD_ARGUMENTS),
        ("//a", 0, ErrorCode::BAD_ARGUMENTS),
        ("", 0, ErrorCode::BAD_ARGUMENTS),
        ("a", 0, ErrorCode::BAD_ARGUMENTS),
        ("a/b", 0, ErrorCode::NO_NODE),
        ("/x\0/y", 0, ErrorCode::BAD_ARGUMENTS),
        ("/x", 7, ErrorCode::BAD_ARGUMENTS),
        ("/x", create_mode::PERSISTENT_WITH_TTL, ErrorCode::BAD_ARGUMENTS),
        ("/x\u{1f980}", 0, ErrorCode::BAD_ARGUMENTS),
    ] {
        assert_eq!(it.create(path, flags), Err(code), "create {path:?} {flags}");
    }
    let no_acl = Create { acl: List::default(), ..create("/x/y", 0) };
    assert_eq!(
        it.request(Request::Create(no_acl)),
        Err(ErrorCode::INVALID_ACL),
        "before the parent is looked at"
    );
    for (path, version, code) in [
        ("/a", 7, ErrorCode::BAD_VERSION),
        ("/a", 0, ErrorCode::NOT_EMPTY),
        ("/x", 7, ErrorCode::NO_NODE),
        ("/x/y", 0, ErrorCode::NO_NODE),
        ("/closed/y", 0, ErrorCode::NO_AUTH),
        ("/a/", -1, ErrorCode::NO_NODE),
        ("", -1, ErrorCode::BAD_ARGUMENTS),
        ("/", -1, ErrorCode::BAD_ARGUMENTS),
        (ZOOKEEPER, -1, ErrorCode::BAD_ARGUMENTS),
        (CONFIG, -1, ErrorCode::BAD_ARGUMENTS),
    ] {
        assert_eq!(it.delete(path, version), Err(code), "delete {path:?} {version}");
    }
    for (path, version, code) in [
        ("/a", 7, ErrorCode::BAD_VERSION),
        ("/x", 7, ErrorCode::NO_NODE),
        ("/closed", 7, ErrorCode::NO_AUTH),
        ("/a/", -1, ErrorCode::BAD_ARGUMENTS),
        ("", -1, ErrorCode::BAD_ARGUMENTS),
        (CONFIG, -1, ErrorCode::NO_AUTH),
    ] {
        assert_eq!(it.set(path, b"", version), Err(code), "setData {path:?} {version}");
    }
    let check = Request::Check(versioned("/a", 0));
    assert_eq!(it.request(check), Err(ErrorCode::UNIMPLEMENTED), "inside a multi only");
    let reconfig = Request::Reconfig { joining: None, leaving: None, new_members: None, config_id: -1 };
    assert_eq!(it.request(reconfig), Err(ErrorCode::RECONFIG_DISABLED));
    let late = Change::Request(Request::Create(create("/x", 0)));
    assert_eq!(it.apply(0x999, late), Err(ErrorCode::SESSION_EXPIRED));
    assert_eq!(
        it.apply(SESSION, Change::Error(ErrorCode::MARSHALLING_ERROR)),
        Err(ErrorCode::MARSHALLING_ERROR)
    );
}

#[test]
fn triggers_are_in_upstreams_order() {
    let mut it = Fixture::new();
    it.create("/a", 0).unwrap();
    assert_eq!(it.triggers(), "c/a C/");
    it.create("/a/b", 0).unwrap();
    assert_eq!(it.triggers(), "c/a/b C/a");
    it.set("/a", b"", -1).unwrap();
    assert_eq!(it.triggers(), "s/a");
    it.delete("/a/b", -1).unwrap();
    assert_eq!(it.triggers(), "d/a/b C/a");
    assert!(it.delete("/a/b", -1).is_err());
    assert_eq!(it.triggers(), "");
    let ops = [
        MultiOp::Create(create("/m", 0)),
        MultiOp::SetData { path: "/m".into(), data: None, version: 0 },
        MultiOp::Check(versioned("/m", 1)),
        MultiOp::Delete(versioned("/m", 1)),
    ];
    it.multi(&ops).unwrap();
    assert_eq!(it.triggers(), "c/m C/ s/m d/m C/");
}

#[test]
fn a_multi_is_one_transaction() {
    let mut it = Fixture::new();
    it.create("/a", 0).unwrap();
    let ops = [
        MultiOp::Create(create("/a/n", create_mode::PERSISTENT_SEQUENTIAL)),
        MultiOp::Create2(create("/a/n", create_mode::PERSISTENT_SEQUENTIAL)),
        MultiOp::SetData { path: "/a/n0000000001".into(), data: Some(b"1"), version: 0 },
        MultiOp::Delete(versioned("/a/n0000000000", 0)),
        MultiOp::Create(create("/a/n0000000000", create_mode::EPHEMERAL)),
        MultiOp::Check(versioned("/a/n0000000001", 1)),
    ];
    let results = it.multi(&ops).unwrap();
    assert_eq!(results[0], OpResult::Create("/a/n0000000000".into()));
    let OpResult::Create2(path, stat) = &results[1] else { panic!() };
    assert_eq!(
        (&**path, stat.czxid, stat.version),
        ("/a/n0000000001", 4, 0),
        "as it was when it was created"
    );
    assert_eq!((it.stat("/a/n0000000001").mzxid, it.stat("/a").pzxid), (4, 4));
    assert_eq!(it.stat("/a").cversion, 4);
    assert_eq!(&*it.tree.ephemerals(SESSION, "/")[0], "/a/n0000000000");
    assert_eq!(it.multi(&[]), Ok(vec![]));
}

#[test]
fn a_failed_multi_changes_nothing() {
    let mut it = Fixture::new();
    it.create("/a", 0).unwrap();
    let before = dump(&it.tree);
    for (last, code) in [
        (MultiOp::Check(versioned("/a", 7)), ErrorCode::BAD_VERSION),
        (MultiOp::Check(versioned("/m", 1)), ErrorCode::BAD_VERSION),
        (MultiOp::Delete(versioned("/a", -1)), ErrorCode::NOT_EMPTY),
        (MultiOp::Delete(versioned("/a/gone", -1)), ErrorCode::NO_NODE),
        (MultiOp::Create(create("/a/gone/x", 0)), ErrorCode::NO_NODE),
        (MultiOp::Create(create("/a/b", 0)), ErrorCode::NODE_EXISTS),
        (MultiOp::Create(create("/e/x", 0)), ErrorCode::NO_CHILDREN_FOR_EPHEMERALS),
        (MultiOp::Create(create("x", 0)), ErrorCode::BAD_ARGUMENTS),
    ] {
        let ops = [
            MultiOp::Create(create("/m", 0)),
            MultiOp::Create(create("/e", create_mode::EPHEMERAL)),
            MultiOp::Create(create("/a/b", 0)),
            MultiOp::Create(create("/a/gone", 0)),
            MultiOp::Delete(versioned("/a/gone", 0)),
            last.clone(),
            MultiOp::SetData { path: "/a".into(), data: None, version: -1 },
        ];
        let mut expected = vec![OpResult::Error(ErrorCode::OK); 5];
        expected.extend([OpResult::Error(code), OpResult::Error(ErrorCode::RUNTIME_INCONSISTENCY)]);
        let results = it.multi(&ops).unwrap();
        assert_eq!(results, expected, "{last:?}");
        assert_eq!(WriteReply::Multi(results).failure(), Some(code));
        assert_eq!(dump(&it.tree), before);
        assert_eq!(it.triggers(), "");
    }
    let reads = [MultiOp::GetData { path: "/".into(), watch: false }];
    assert_eq!(it.multi(&reads), Err(ErrorCode::MARSHALLING_ERROR));
    let ttl = [MultiOp::Create(create("/t", create_mode::PERSISTENT_WITH_TTL))];
    assert_eq!(it.multi(&ttl), Err(ErrorCode::MARSHALLING_ERROR));
}

#[test]
fn the_op_decides_the_lifetime_but_in_a_multi_the_mode_may() {
    let mut it = Fixture::new();
    let container = create_mode::CONTAINER;
    it.create("/a", container).unwrap();
    assert_eq!(it.tree.get("/a").unwrap().lifetime(), Lifetime::Persistent);
    it.request(Request::CreateContainer(create("/b", 0))).unwrap();
    assert_eq!(it.tree.get("/b").unwrap().lifetime(), Lifetime::Container);
    let results = it.multi(&[MultiOp::Create(create("/c", container))]).unwrap();
    assert!(matches!(results[0], OpResult::Create2(..)));
    assert_eq!(it.tree.get("/c").unwrap().lifetime(), Lifetime::Container);
    assert_eq!(it.stat("/c").ephemeral_owner, 0, "which no client sees");
    for (flags, ttl_ms, code) in [
        (create_mode::PERSISTENT_WITH_TTL, 0, ErrorCode::BAD_ARGUMENTS),
        (create_mode::PERSISTENT_WITH_TTL, MAX_TTL_MS + 1, ErrorCode::BAD_ARGUMENTS),
        (create_mode::PERSISTENT, 1, ErrorCode::BAD_ARGUMENTS),
        (create_mode::PERSISTENT_WITH_TTL, MAX_TTL_MS, ErrorCode::OK),
    ] {
        let reply = it.request(Request::CreateTtl { create: create("/t", flags), ttl_ms });
        assert_eq!(reply.err().unwrap_or(ErrorCode::OK), code, "{flags} {ttl_ms}");
    }
    assert_eq!(it.tree.get("/t").unwrap().lifetime(), Lifetime::TimeToLive(MAX_TTL_MS));
}

#[test]
fn containers_and_ttl_nodes_become_due() {
    let mut it = Fixture::new();
    it.request(Request::CreateContainer(create("/c", create_mode::CONTAINER))).unwrap();
    let ttl = create("/t", create_mode::PERSISTENT_WITH_TTL);
    it.request(Request::CreateTtl { create: ttl, ttl_ms: 500 }).unwrap();
    let due = |it: &Fixture, now_ms| it.tree.due(now_ms).iter().map(ToString::to_string).collect::<Vec<_>>();
    // Its mtime is 4000 (see `Fixture::apply`). A container that never had children stays.
    assert_eq!(due(&it, 4500), [""; 0]);
    assert_eq!(due(&it, 4501), ["/t"]);
    it.set("/t", b"", -1).unwrap();
    assert_eq!(due(&it, 5500), [""; 0], "writing to it prolongs it");
    it.create("/t/child", 0).unwrap();
    it.create("/c/child", 0).unwrap();
    assert_eq!(due(&it, 1 << 50), [""; 0], "as long as there are children");
    it.delete("/c/child", -1).unwrap();
    it.delete("/t/child", -1).unwrap();
    assert_eq!(due(&it, 1 << 50), ["/c", "/t"]);
    for (path, reply) in [("/c", Ok(WriteReply::Empty)), ("/c", Err(ErrorCode::NO_NODE))] {
        let request = Request::DeleteContainer(versioned(path, -1));
        assert_eq!(it.apply(0, Change::Request(request)), reply);
    }
    assert_eq!(due(&it, 1 << 50), ["/t"]);
    it.create("/e", create_mode::EPHEMERAL).unwrap();
    it.create("/full", 0).unwrap();
    it.create("/full/child", 0).unwrap();
    for (path, code) in
        [("/e", ErrorCode::BAD_VERSION), ("/full", ErrorCode::NOT_EMPTY), ("/", ErrorCode::BAD_ARGUMENTS)]
    {
        assert_eq!(it.request(Request::DeleteContainer(versioned(path, -1))), Err(code), "{path}");
    }
}

#[test]
fn a_closing_session_takes_its_ephemerals_along() {
    let mut it = Fixture::new();
    it.create("/p", 0).unwrap();
    for n in 0..12 {
        it.create(&format!("/e{n}"), create_mode::EPHEMERAL).unwrap();
    }
    it.apply(OTHER, Change::Request(Request::Create(create("/other", create_mode::EPHEMERAL)))).unwrap();
    assert_eq!((it.tree.ephemerals_count(), it.stat("/other").ephemeral_owner), (13, OTHER));
    assert_eq!(it.tree.ephemerals(SESSION, "/e1").len(), 3);
    assert_eq!(it.apply(SESSION, Change::CloseSession), Ok(WriteReply::Empty));
    // The order of a clone of a java.util.HashSet, see `names`.
    let order = ["/e6", "/e11", "/e7", "/e8", "/e9", "/e10", "/e0", "/e1", "/e2", "/e3", "/e4", "/e5"];
    assert_eq!(it.triggers(), order.map(|path| format!("d{path} C/")).join(" "));
    assert_eq!((it.tree.ephemerals_count(), it.tree.session_count()), (1, 1));
    assert_eq!(it.stat("/").pzxid, it.tree.last_zxid());
    assert_eq!(it.create("/late", 0), Err(ErrorCode::SESSION_EXPIRED));
    assert_eq!(it.apply(SESSION, Change::CloseSession), Ok(WriteReply::Empty), "once more does no harm");
}

#[test]
fn every_right_is_asked_for_where_upstream_asks() {
    let mut it = Fixture::new();
    let mut who = Identities::default();
    assert!(who.authenticate("digest", Some(b"u:p"), None));
    let digest = digest_id("u:p");
    for (perms, can) in [
        (acl::READ, "read"),
        (acl::WRITE, "write"),
        (acl::CREATE, "create"),
        (acl::DELETE, "delete"),
        (acl::ADMIN, "admin"),
        (0, ""),
    ] {
        let acl = [Acl { perms, scheme: "digest".into(), id: digest.as_str().into() }];
        let path = format!("/{perms}");
        it.identities.clear();
        it.create(&path, 0).unwrap();
        it.create(&format!("{path}/child"), 0).unwrap();
        it.request(Request::SetAcl { path: path.as_str().into(), acl: List::from(&acl[..]), version: -1 })
            .unwrap();
        assert_eq!(it.set(&path, b"", -1), Err(ErrorCode::NO_AUTH), "a stranger");
        it.identities = who.to_vec();
        let ok = |done: bool, name: &str| assert_eq!(done, can == name, "{name} with {perms}");
        ok(it.tree.readable(&path, &who).is_ok(), "read");
        ok(it.multi(&[MultiOp::Check(versioned(&path, 0))]).unwrap() == [OpResult::Check], "read");
        ok(it.set(&path, b"", -1).is_ok(), "write");
        ok(it.create(&format!("{path}/x"), 0).is_ok(), "create");
        ok(it.delete(&format!("{path}/child"), -1).is_ok(), "delete");
        let shown = it.tree.acl_of(&path, &who).map(|(_, entries)| entries[0].id.clone().into_owned());
        match can {
            "read" => assert_eq!(shown.unwrap(), "u:x"),
            "admin" => assert_eq!(shown.unwrap(), digest),
            _ => assert_eq!(shown, Err(ErrorCode::NO_AUTH)),
        }
        let open = [Acl::OPEN];
        let path = path.as_str().into();
        ok(it.request(Request::SetAcl { path, acl: List::from(&open[..]), version: -1 }).is_ok(), "admin");
    }
    assert_eq!(it.tree.existing("/x\0", &who).err(), Some(ErrorCode::BAD_ARGUMENTS));
    assert_eq!(it.tree.existing("/x", &who).err(), Some(ErrorCode::NO_NODE));
}

/// The counts are those of the znodes that are there.
pub(super) fn check_invariants(tree: &Tree) {
    let size: i64 = tree.nodes.values().map(|node| path_size(&node.path) + data_size(node.data())).sum();
    assert_eq!(tree.approximate_data_size(), size);
    assert_eq!(tree.descendant_count(tree.get("/").unwrap()) + 2, tree.node_count());
    for node in tree.nodes.values() {
        if let Some(parent) = path::parent(&node.path) {
            let parent = tree.get(parent).expect("a parent");
            assert!(parent.children().any(|name| name == path::name(&node.path)));
            assert!(parent.pzxid >= node.czxid);
        }
        let is_listed = |set: &NameSet| set.paths().any(|path| *path == node.path);
        assert_eq!(is_listed(&tree.containers), node.lifetime == Lifetime::Container);
        assert_eq!(is_listed(&tree.with_ttl), matches!(node.lifetime, Lifetime::TimeToLive(_)));
        if let Lifetime::Ephemeral(session_id) = node.lifetime {
            assert!(is_listed(&tree.ephemerals[&session_id]));
            assert!(tree.session_timeout_ms(session_id).is_some());
            assert_eq!(node.child_count(), 0);
        }
    }
}
