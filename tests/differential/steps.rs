//! Random steps, made from a seed alone: nothing in them depends on what a server answers, so that any part
//! of a sequence can be run by itself.

use quorumeter_zk::OpCode;
use quorumeter_zk::acl::{self, Acl};
use quorumeter_zk::jute::{List, put_buffer};
use quorumeter_zk::multi::MultiOp;
use quorumeter_zk::request::{Create, Request, VersionedPath, WatchedPath, watch_mode, watcher_type};

/// Sessions at a time.
pub(crate) const SESSIONS: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) session: usize,
    pub(crate) action: Action,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Request(Encoded),
    /// Several requests in one write, before any of their answers is read.
    Pipeline(Vec<Encoded>),
    /// setWatches2, or setWatches with the first three lists, as of some zxids before the last one that the session
    /// has seen.
    SetWatches {
        is_first_version: bool,
        back: i64,
        lists: [Vec<String>; 5],
    },
    /// The connection breaks, and the session goes on with another one.
    Reconnect,
    /// The session ends, and another one begins.
    Renew,
}

/// A request, encoded.
#[derive(Clone)]
pub(crate) struct Encoded {
    pub(crate) op: OpCode,
    pub(crate) record: Vec<u8>,
    text: String,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Encoded {
    /// The same request, which begins with a path, with another one.
    pub(crate) fn with_path(mut self, path: Option<&[u8]>) -> Encoded {
        let Some((length, rest)) = self.record.split_first_chunk::<4>() else { return self };
        let rest = rest[u32::from_be_bytes(*length) as usize..].to_vec();
        self.record.clear();
        put_buffer(&mut self.record, path);
        self.record.extend_from_slice(&rest);
        self.text = format!("{} with the path {path:x?}", self.text);
        self
    }
}

/// The steps of a seed.
pub(crate) fn generate(seed: u64, count: usize) -> Vec<Step> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678);
    (0..count).map(|_| Step { session: random.below(SESSIONS), action: random.action() }).collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn action(&mut self) -> Action {
        match self.below(100) {
            0..=4 => {
                let count = 2 + self.below(5);
                Action::Pipeline(std::iter::repeat_with(|| self.piped()).take(count).collect())
            }
            5 => self.watch_and_remove(),
            6 => Action::Request(self.odd_text()),
            7..=8 => {
                let lists = std::array::from_fn(|_| (0..self.below(4)).map(|_| self.path()).collect());
                let is_first_version = self.one_in(3);
                Action::SetWatches { is_first_version, back: self.below(12) as i64, lists }
            }
            9..=10 => Action::Reconnect,
            11 => Action::Renew,
            12 => self.auth(),
            13 if self.one_in(3) => self.odd(),
            14 if self.one_in(2) => self.quota_and_changes(),
            _ => Action::Request(self.request()),
        }
    }

    /// A request after which the connection stays open, whatever the answer.
    fn piped(&mut self) -> Encoded {
        if self.one_in(20) { self.odd_text() } else { self.request() }
    }

    fn request(&mut self) -> Encoded {
        let path = self.path();
        let watched = WatchedPath { path: path.as_str().into(), watch: self.one_in(3) };
        let versioned = VersionedPath { path: path.as_str().into(), version: self.version() };
        let acl = self.acl();
        let data = self.data();
        match self.below(94) {
            0..=21 => {
                let create = Create {
                    path: path.as_str().into(),
                    data: data.as_deref(),
                    acl: List::from(&acl[..]),
                    flags: self.flags(),
                };
                self.create(create)
            }
            22..=32 => request(&Request::Delete(versioned)),
            33..=35 => self.quota(),
            36..=44 => request(&Request::SetData {
                path: path.as_str().into(),
                data: data.as_deref(),
                version: versioned.version,
            }),
            45..=48 => request(&Request::SetAcl {
                path: path.as_str().into(),
                acl: List::from(&acl[..]),
                version: versioned.version,
            }),
            49..=53 => request(&Request::GetData(watched)),
            54..=58 => request(&Request::Exists(watched)),
            59..=61 => request(&Request::GetChildren(watched)),
            62..=65 => request(&Request::GetChildren2(watched)),
            66..=67 => request(&Request::GetAcl { path: path.as_str().into() }),
            68..=77 => self.multi(false),
            78 => self.multi(true),
            79..=83 => {
                let mode = if self.one_in(30) { 2 } else { self.below(2) as i32 };
                request(&Request::AddWatch { path: path.as_str().into(), mode })
            }
            84 => request(&Request::RemoveWatches { path: path.as_str().into(), kind: self.below(7) as i32 }),
            85 => request(&Request::CheckWatches { path: path.as_str().into(), kind: self.below(7) as i32 }),
            86 => request(&Request::Sync { path: path.as_str().into() }),
            87 => request(&Request::GetEphemerals { prefix: path.as_str().into() }),
            88 => request(&Request::GetAllChildrenNumber { path: path.as_str().into() }),
            89..=90 => request(&Request::WhoAmI),
            91..=92 => request(&Request::DeleteContainer(versioned)),
            _ => request(&Request::Ping),
        }
    }

    fn create(&mut self, create: Create<'_>) -> Encoded {
        match self.below(10) {
            0..=4 => request(&Request::Create(create)),
            5..=7 => request(&Request::Create2(create)),
            8 => {
                let flags = if self.one_in(3) { create.flags } else { 4 };
                request(&Request::CreateContainer(Create { flags, ..create }))
            }
            _ => {
                // A createTTL without the mode and with a negative ttl kills upstream's server.
                let flags = if self.one_in(5) { create.flags } else { 5 + self.below(2) as i32 };
                let ttl_ms = self.ttl(flags);
                request(&Request::CreateTtl { create: Create { flags, ..create }, ttl_ms })
            }
        }
    }

    fn ttl(&mut self, flags: i32) -> i64 {
        let ttls = [&1_000_000_000, &1_099_511_627_775, &1_099_511_627_776, &0, &-1, &i64::MAX];
        let ttl_ms = if self.one_in(4) { *self.pick(&ttls) } else { 3_600_000 };
        if (5..=6).contains(&flags) { ttl_ms } else { ttl_ms.max(0) }
    }

    fn multi(&mut self, reads: bool) -> Encoded {
        let count = if self.one_in(12) { 0 } else { 1 + self.below(5) };
        let mut parts = Vec::new();
        for _ in 0..count {
            if self.one_in(15) {
                parts.push((self.quota_path(), Some(self.quota_data()), vec![Acl::OPEN]));
            } else {
                parts.push((self.path(), self.data(), self.acl()));
            }
        }
        let mut ops = Vec::new();
        for (path, data, acl) in &parts {
            let path = path.as_str();
            let data = data.as_deref();
            let versioned = VersionedPath { path: path.into(), version: self.version() };
            let flags = if self.one_in(12) { self.flags() } else { self.below(5) as i32 };
            let flags = if path.starts_with("/zookeeper/quota/") { 0 } else { flags };
            let create = Create { path: path.into(), data, acl: List::from(&acl[..]), flags };
            let reads = reads != self.one_in(40);
            ops.push(match self.below(if reads { 2 } else { 10 }) {
                0 if reads => MultiOp::GetData { path: path.into(), watch: true },
                1 if reads => MultiOp::GetChildren { path: path.into(), watch: true },
                0..=2 => MultiOp::Create(create),
                3 => MultiOp::Create2(create),
                4 if self.one_in(2) => MultiOp::CreateContainer(create),
                4 => {
                    let flags = if self.one_in(4) { flags } else { 5 + self.below(2) as i32 };
                    MultiOp::CreateTtl { ttl_ms: self.ttl(flags), create: Create { flags, ..create } }
                }
                5..=6 => MultiOp::Delete(versioned),
                7..=8 => MultiOp::SetData { path: path.into(), data, version: versioned.version },
                _ => MultiOp::Check(versioned),
            });
        }
        let ops = List::from(&ops[..]);
        request(&if reads { Request::MultiRead(ops) } else { Request::Multi(ops) })
    }

    fn auth(&mut self) -> Action {
        let scheme = if self.one_in(8) { self.pick(&["world", "sasl", "", "super"]) } else { "digest" };
        let scheme = if self.one_in(10) { "ip" } else { scheme };
        let auths: [&[u8]; 11] = [
            b"root:secret",
            b"u:p",
            b"u:q",
            b"v:p",
            b"root:secret",
            b"nothing",
            b"",
            b"a:b:c",
            "ü:ß".as_bytes(),
            b"u\xff:p",
            b"\xed\xa0\xbe\xed\xb6\x80:p",
        ];
        let auth = Some(self.pick(&auths));
        Action::Request(request(&Request::Auth { kind: 0, scheme: scheme.into(), auth }))
    }

    /// A watch, and its removal by each type of its own.
    fn watch_and_remove(&mut self) -> Action {
        let path = self.path();
        let watched = WatchedPath { path: path.as_str().into(), watch: true };
        let add = |mode| request(&Request::AddWatch { path: path.as_str().into(), mode });
        let (watch, kind) = match self.below(5) {
            0 => (request(&Request::GetChildren(watched)), watcher_type::CHILDREN),
            1 => (request(&Request::Exists(watched)), watcher_type::DATA),
            2 => (request(&Request::GetData(watched)), watcher_type::ANY),
            3 => (add(watch_mode::PERSISTENT), watcher_type::PERSISTENT),
            _ => (add(watch_mode::PERSISTENT_RECURSIVE), watcher_type::PERSISTENT_RECURSIVE),
        };
        let path = path.as_str();
        let check = request(&Request::CheckWatches { path: path.into(), kind });
        let remove = request(&Request::RemoveWatches { path: path.into(), kind });
        let mut all = vec![watch, check.clone(), remove, check];
        // Of null, too, where there can be such a watch.
        if all[0].op == OpCode::ADD_WATCH && self.one_in(3) {
            all = all.into_iter().map(|encoded| encoded.with_path(None)).collect();
        }
        Action::Pipeline(all)
    }

    /// A request whose path is no UTF-8, or null.
    fn odd_text(&mut self) -> Encoded {
        let encoded = loop {
            let encoded = self.request();
            // Those that begin with a path.
            if ![OpCode::MULTI, OpCode::MULTI_READ, OpCode::WHO_AM_I, OpCode::PING].contains(&encoded.op) {
                break encoded;
            }
        };
        let texts: [&[u8]; 6] =
            [b"/\xff", b"\xff", b"/a\xc3", b"/b/\xed\xa0\xbe\xed\xb6\x80", b"/\xed\xa0\xbe", b"/a/\xe2\x98x"];
        // Upstream takes null for a path where it only passes it on: it syncs nothing, and lists all ephemerals. And it
        // finds a wrong mode of a create before a wrong path.
        let may_be_null = match encoded.op {
            OpCode::SYNC | OpCode::GET_EPHEMERALS | OpCode::CREATE_TTL => false,
            OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER => {
                (0..5).any(|flags: i32| encoded.record.ends_with(&flags.to_be_bytes()))
            }
            _ => true,
        };
        let is_null = may_be_null && self.one_in(4);
        let text = if is_null { None } else { Some(self.pick(&texts)) };
        encoded.with_path(text)
    }

    /// Requests that a server does not serve.
    fn odd(&mut self) -> Action {
        Action::Request(match self.below(6) {
            0 => request(&Request::Check(VersionedPath { path: self.path().into(), version: -1 })),
            1 => Encoded { op: OpCode(507), record: vec![0; 9], text: "op 507".into() },
            2 => {
                request(&Request::Reconfig { joining: None, leaving: None, new_members: None, config_id: -1 })
            }
            3 => Encoded { op: OpCode::SASL, record: vec![0; 4], text: "sasl".into() },
            4 => {
                let op =
                    *self.pick(&[&OpCode::CREATE, &OpCode::GET_DATA, &OpCode::MULTI, &OpCode::SET_WATCHES]);
                Encoded { op, record: vec![0, 0, 0, 9, 1], text: format!("half a {op}") }
            }
            _ => request(&Request::Auth { kind: 0, scheme: "digest".into(), auth: None }),
        })
    }

    /// Znodes that make upstream count what is below a path. Data of another form in them kills its server, so that no
    /// other step touches them.
    fn quota(&mut self) -> Encoded {
        let path = self.quota_path();
        let path = path.as_str().into();
        let open = [Acl::OPEN];
        let data = self.quota_data();
        match self.below(9) {
            0..=3 => request(&Request::Create2(Create {
                path,
                data: Some(&data),
                acl: List::from(&open[..]),
                flags: 0,
            })),
            4..=5 => request(&Request::SetData { path, data: Some(&data), version: -1 }),
            6..=7 => request(&Request::GetData(WatchedPath { path, watch: true })),
            _ => request(&Request::Delete(VersionedPath { path, version: -1 })),
        }
    }

    /// A quota, changes below it, and what they make of its counts.
    fn quota_and_changes(&mut self) -> Action {
        let limited = self.pick(&["/a", "/b"]);
        let open = [Acl::OPEN];
        let create = |path: &str, data: &[u8]| {
            request(&Request::Create(Create {
                path: path.into(),
                data: Some(data),
                acl: List::from(&open[..]),
                flags: 0,
            }))
        };
        let folder = format!("/zookeeper/quota{limited}");
        let (limits, stats) = (format!("{folder}/zookeeper_limits"), format!("{folder}/zookeeper_stats"));
        let data = self.quota_data();
        Action::Pipeline(vec![
            create(limited, b"limited"),
            create(&folder, b""),
            create(&limits, &data),
            create(&stats, &data),
            request(&Request::SetData { path: stats.as_str().into(), data: Some(&data), version: -1 }),
            create(&format!("{limited}/c"), &data),
            request(&Request::SetData { path: limited.into(), data: None, version: -1 }),
            request(&Request::GetData(WatchedPath { path: stats.as_str().into(), watch: false })),
        ])
    }

    fn quota_path(&mut self) -> String {
        let limited = self.pick(&["", "/a", "/a", "/a/a", "/b"]);
        let name = self.pick(&["", "/zookeeper_limits", "/zookeeper_stats", "/zookeeper_stats"]);
        let name = if limited.is_empty() { "/zookeeper_stats" } else { name };
        format!("/zookeeper/quota{limited}{name}")
    }

    fn quota_data(&mut self) -> Vec<u8> {
        let data = self.pick(&[
            "count=5,bytes=100",
            "count=5,bytes=100",
            "count=1,bytes=2=;byteHardLimit=9;countHardLimit=7",
            "count=9223372036854775807,bytes=-9223372036854775807",
            "bytes=3;z=1,a==1,a=+2",
            "",
        ]);
        data.as_bytes().to_vec()
    }

    fn path(&mut self) -> String {
        if self.one_in(25) {
            return self
                .pick(&[
                    "",
                    "/",
                    "a",
                    "a/b",
                    "//",
                    "//a",
                    "/a/",
                    "/a//b",
                    "/.",
                    "/a/..",
                    "/a/./b",
                    "/a\0",
                    "/\u{1}",
                    "/a/\u{7f}",
                    "/a/\u{1f980}",
                    "/zookeeper",
                    "/zookeeper/",
                    "/zookeeper/quota",
                    "/zookeeper/config",
                    "/zookeeper/a",
                    "/b/\u{e000}",
                    "/\u{fffd}",
                ])
                .to_owned();
        }
        let mut path = String::new();
        for _ in 0..1 + self.below(3) {
            path.push('/');
            path.push_str(self.pick(&["a", "b", "a", "b", "c", "ä☃", "a0000000001"]));
        }
        if self.one_in(6) {
            // What a sequential znode may be called.
            path.push_str(&format!("{:010}", self.below(4)));
        }
        path
    }

    fn version(&mut self) -> i32 {
        match self.below(10) {
            0 => self.below(4) as i32,
            1 => *self.pick(&[&-2, &i32::MAX, &i32::MIN, &7]),
            _ => -1,
        }
    }

    fn flags(&mut self) -> i32 {
        if self.one_in(20) { *self.pick(&[&-1, &7, &100, &5, &6]) } else { self.below(5) as i32 }
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        match self.below(8) {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(vec![b'x'; self.below(20)]),
        }
    }

    fn acl(&mut self) -> Vec<Acl<'static>> {
        if !self.one_in(5) {
            return vec![Acl::OPEN];
        }
        (0..self.below(4)).map(|_| self.acl_entry()).collect()
    }

    fn acl_entry(&mut self) -> Acl<'static> {
        let perms = if self.one_in(2) { acl::ALL } else { self.below(40) as i32 };
        let digest = acl::digest_id("u:p");
        let (scheme, id) = match self.below(14) {
            0..=4 => ("world", "anyone"),
            5..=6 => ("auth", ""),
            7..=8 => ("digest", digest.as_str()),
            9 => ("ip", "127.0.0.1"),
            10 => ("ip", "10.0.0.0/8"),
            11 => ("digest", self.pick(&["a", "a:", ":", "a:b:c", ":b", "a:b:"])),
            12 => (
                "ip",
                self.pick(&[
                    "x",
                    "1.2.3",
                    "::1",
                    "1.2.3.4/33",
                    "127.0.0.9/24",
                    "fe80::/10",
                    "1.2.3.4/-1",
                    "/8",
                ]),
            ),
            _ => (self.pick(&["world", "sasl", "super", "", "x509"]), "somebody"),
        };
        Acl { perms, scheme: scheme.into(), id: id.to_owned().into() }
    }
}

pub(crate) fn request(request: &Request<'_>) -> Encoded {
    let mut record = Vec::new();
    request.encode(&mut record);
    Encoded { op: request.op(), record, text: format!("{request:?}") }
}
