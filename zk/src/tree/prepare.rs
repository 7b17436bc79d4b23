//! Whether a change is possible, and what exactly it will be (`PrepRequestProcessor`). Nothing is changed
//! here; the order of the checks is upstream's, because it decides which error a request with several faults
//! gets.

use std::borrow::Cow;
use std::collections::hash_map::Entry;

use super::access::{self, Identity, SharedAcl};
use super::hash::FastMap;
use super::node::{Lifetime, MAX_TTL_MS, Node};
use super::{CONFIG, QUOTA, Tree, ZOOKEEPER};
use crate::acl::{self, Acl};
use crate::error::ErrorCode;
use crate::jute::List;
use crate::multi::MultiOp;
use crate::path;
use crate::request::{Create, create_mode};

/// A change that is possible.
#[derive(Debug)]
pub(super) enum Prepared<'a> {
    Create(PreparedCreate<'a>),
    Delete { path: Cow<'a, str> },
    SetData { path: Cow<'a, str>, data: Option<&'a [u8]>, version: i32 },
    SetAcl { path: Cow<'a, str>, acl: SharedAcl, aversion: i32 },
    Check,
}

#[derive(Debug)]
pub(super) struct PreparedCreate<'a> {
    /// With its number, if it is sequential.
    pub(super) path: Cow<'a, str>,
    pub(super) data: Option<&'a [u8]>,
    pub(super) acl: SharedAcl,
    pub(super) lifetime: Lifetime,
    /// What the parent's count of created children will be.
    pub(super) parent_created: i32,
    /// Whether the reply carries the stat.
    pub(super) with_stat: bool,
    /// Whether later ops of the same multi take it for ephemeral: upstream goes by the flags there, and by
    /// the op code when it creates the znode.
    is_ephemeral_by_flags: bool,
}

/// Which of the create requests it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CreateOp {
    Create,
    Create2,
    Container,
    Ttl { ttl_ms: i64 },
}

/// Who asks for a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) session_id: i64,
    pub(super) identities: &'a [Identity],
}

impl Asker<'_> {
    fn require(&self, perms: i32, record: &Record<'_>) -> Result<(), ErrorCode> {
        if access::allows(record.acl, perms, self.identities) { Ok(()) } else { Err(ErrorCode::NO_AUTH) }
    }
}

/// What the checks need to know of a znode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'v> {
    version: i32,
    aversion: i32,
    created_children: i32,
    child_count: usize,
    is_ephemeral: bool,
    acl: &'v SharedAcl,
}

/// Something in which znodes can be looked up: the tree, or the tree with the changes of a multi before it.
pub(super) trait View {
    fn record(&self, path: &str) -> Option<Record<'_>>;

    fn require(&self, path: &str) -> Result<Record<'_>, ErrorCode> {
        self.record(path).ok_or(ErrorCode::NO_NODE)
    }
}

impl View for Tree {
    fn record(&self, path: &str) -> Option<Record<'_>> {
        self.get(path).map(|node: &Node| Record {
            version: node.version,
            aversion: node.aversion,
            created_children: node.created_children,
            child_count: node.child_count(),
            is_ephemeral: matches!(node.lifetime, Lifetime::Ephemeral(_)),
            acl: &node.acl,
        })
    }
}

pub(super) fn create<'a>(
    view: &impl View,
    asker: Asker<'_>,
    op: CreateOp,
    create: Create<'a>,
) -> Result<Prepared<'a>, ErrorCode> {
    let mode = Mode::of(create.flags).ok_or(ErrorCode::BAD_ARGUMENTS)?;
    let lifetime = match op {
        CreateOp::Ttl { ttl_ms } if mode.has_ttl && (1..=MAX_TTL_MS).contains(&ttl_ms) => {
            Lifetime::TimeToLive(ttl_ms)
        }
        // A createTTL request without the mode: upstream refuses it with a ttl and dies of it without one.
        CreateOp::Ttl { .. } => return Err(ErrorCode::BAD_ARGUMENTS),
        _ if mode.has_ttl => return Err(ErrorCode::BAD_ARGUMENTS),
        // The op code decides, not the mode: create with the container's mode makes a persistent znode.
        CreateOp::Container => Lifetime::Container,
        _ if mode.is_ephemeral => Lifetime::Ephemeral(asker.session_id),
        _ => Lifetime::Persistent,
    };
    let mut path = create.path;
    let parent_path = match path.rfind('/') {
        Some(slash) if !path.contains('\0') => &path[..slash],
        _ => return Err(ErrorCode::BAD_ARGUMENTS),
    };
    let acl = access::fix_up(&create.acl, asker.identities)?;
    let parent = view.require(parent_path)?;
    asker.require(acl::CREATE, &parent)?;
    if mode.is_sequential {
        path = Cow::Owned(format!("{path}{:010}", parent.created_children));
    }
    path::validate(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
    if view.record(&path).is_some() {
        return Err(ErrorCode::NODE_EXISTS);
    }
    if parent.is_ephemeral {
        return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
    }
    Ok(Prepared::Create(PreparedCreate {
        parent_created: parent.created_children.wrapping_add(1),
        path,
        data: create.data,
        acl,
        lifetime,
        with_stat: op != CreateOp::Create,
        is_ephemeral_by_flags: mode.is_ephemeral,
    }))
}

pub(super) fn delete<'a>(
    view: &impl View,
    asker: Asker<'_>,
    path: Cow<'a, str>,
    version: i32,
) -> Result<Prepared<'a>, ErrorCode> {
    let parent = view.require(deletable_parent(&path)?)?;
    asker.require(acl::DELETE, &parent)?;
    let record = view.require(&path)?;
    next_version(record.version, version)?;
    if record.child_count > 0 {
        return Err(ErrorCode::NOT_EMPTY);
    }
    Ok(Prepared::Delete { path })
}

/// Asked by the ensemble itself, for a container or a znode whose time is up. Upstream takes it from clients
/// too, and then deletes whatever is not ephemeral without looking at any ACL.
pub(super) fn delete_container<'a>(view: &impl View, path: Cow<'a, str>) -> Result<Prepared<'a>, ErrorCode> {
    let parent_path = deletable_parent(&path)?;
    let record = view.require(&path)?;
    if record.child_count > 0 {
        return Err(ErrorCode::NOT_EMPTY);
    }
    if record.is_ephemeral {
        return Err(ErrorCode::BAD_VERSION);
    }
    view.require(parent_path)?;
    Ok(Prepared::Delete { path })
}

pub(super) fn set_data<'a>(
    view: &impl View,
    asker: Asker<'_>,
    path: Cow<'a, str>,
    data: Option<&'a [u8]>,
    version: i32,
) -> Result<Prepared<'a>, ErrorCode> {
    path::validate(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
    let record = view.require(&path)?;
    asker.require(acl::WRITE, &record)?;
    let version = next_version(record.version, version)?;
    Ok(Prepared::SetData { path, data, version })
}

pub(super) fn set_acl<'a>(
    view: &impl View,
    asker: Asker<'_>,
    path: Cow<'a, str>,
    acl: &List<'a, Acl<'a>>,
    version: i32,
) -> Result<Prepared<'a>, ErrorCode> {
    path::validate(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
    let acl = access::fix_up(acl, asker.identities)?;
    let record = view.require(&path)?;
    asker.require(acl::ADMIN, &record)?;
    let aversion = next_version(record.aversion, version)?;
    Ok(Prepared::SetAcl { path, acl, aversion })
}

pub(super) fn check<'a>(
    view: &impl View,
    asker: Asker<'_>,
    path: &str,
    version: i32,
) -> Result<Prepared<'a>, ErrorCode> {
    path::validate(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
    let record = view.require(path)?;
    asker.require(acl::READ, &record)?;
    next_version(record.version, version)?;
    Ok(Prepared::Check)
}

/// Prepares every op of a multi, each one with the effects of those before it. The error carries the index of
/// the op that is not possible; no index when the multi as a whole makes no sense.
pub(super) fn multi<'a>(
    tree: &Tree,
    asker: Asker<'_>,
    ops: &List<'a, MultiOp<'a>>,
) -> Result<Vec<Prepared<'a>>, (Option<usize>, ErrorCode)> {
    if !matches!(MultiKind::of(ops), Ok(MultiKind::Empty | MultiKind::Writes)) {
        return Err((None, ErrorCode::MARSHALLING_ERROR));
    }
    let mut overlay = Overlay { tree, pending: FastMap::default() };
    let mut all = Vec::with_capacity(ops.len());
    for (index, op) in ops.iter().enumerate() {
        let prepared = multi_op(&overlay, asker, op).map_err(|code| (Some(index), code))?;
        overlay.note(&prepared);
        all.push(prepared);
    }
    Ok(all)
}

/// What the ops of a multi or multiRead are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiKind {
    /// There is none.
    Empty,
    /// All of them read.
    Reads,
    /// All of them write.
    Writes,
}

impl MultiKind {
    /// Looks at the ops as upstream does when it reads the request (`MultiOperationRecord.deserialize`):
    /// `MARSHALLINGERROR` for a mixture, for a create of a mode that does not exist or takes a time to live, and
    /// for ops that it does not have there.
    pub fn of(ops: &List<'_, MultiOp<'_>>) -> Result<MultiKind, ErrorCode> {
        let mut kind = MultiKind::Empty;
        for op in ops.iter() {
            let next = match &op {
                MultiOp::GetData { .. } | MultiOp::GetChildren { .. } => MultiKind::Reads,
                MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create)
                    if Mode::of(create.flags).is_none_or(|mode| mode.has_ttl) =>
                {
                    return Err(ErrorCode::MARSHALLING_ERROR);
                }
                MultiOp::KeeperCheckNotExists(_)
                | MultiOp::KeeperCheckStat { .. }
                | MultiOp::KeeperExists(_)
                | MultiOp::KeeperGetChildren2(_)
                | MultiOp::KeeperFilteredList { .. } => return Err(ErrorCode::MARSHALLING_ERROR),
                _ => MultiKind::Writes,
            };
            if kind != MultiKind::Empty && kind != next {
                return Err(ErrorCode::MARSHALLING_ERROR);
            }
            kind = next;
        }
        Ok(kind)
    }
}

fn multi_op<'a>(view: &impl View, asker: Asker<'_>, op: MultiOp<'a>) -> Result<Prepared<'a>, ErrorCode> {
    // Inside a multi, unlike outside, the mode may decide the op (`Op.Create.getOpcode`).
    let op_of = |request: &Create<'_>, otherwise| {
        if request.flags == create_mode::CONTAINER { CreateOp::Container } else { otherwise }
    };
    match op {
        MultiOp::Create(request) => create(view, asker, op_of(&request, CreateOp::Create), request),
        MultiOp::Create2(request) => create(view, asker, op_of(&request, CreateOp::Create2), request),
        MultiOp::CreateContainer(request) => create(view, asker, CreateOp::Container, request),
        MultiOp::CreateTtl { create: request, ttl_ms } => {
            let op = match Mode::of(request.flags) {
                Some(mode) if mode.has_ttl => CreateOp::Ttl { ttl_ms },
                _ => op_of(&request, CreateOp::Create),
            };
            create(view, asker, op, request)
        }
        MultiOp::Delete(request) => delete(view, asker, request.path, request.version),
        MultiOp::SetData { path, data, version } => set_data(view, asker, path, data, version),
        MultiOp::Check(request) => check(view, asker, &request.path, request.version),
        MultiOp::GetData { .. }
        | MultiOp::GetChildren { .. }
        | MultiOp::KeeperCheckNotExists(_)
        | MultiOp::KeeperCheckStat { .. }
        | MultiOp::KeeperExists(_)
        | MultiOp::KeeperGetChildren2(_)
        | MultiOp::KeeperFilteredList { .. } => Err(ErrorCode::MARSHALLING_ERROR),
    }
}

/// The tree with the changes of the ops before.
struct Overlay<'t, 'a> {
    tree: &'t Tree,
    /// `None` for a znode that is deleted.
    pending: FastMap<Cow<'a, str>, Option<Pending>>,
}

struct Pending {
    version: i32,
    aversion: i32,
    created_children: i32,
    child_count: usize,
    is_ephemeral: bool,
    acl: SharedAcl,
}

impl View for Overlay<'_, '_> {
    fn record(&self, path: &str) -> Option<Record<'_>> {
        match self.pending.get(if path.is_empty() { "/" } else { path }) {
            None => self.tree.record(path),
            Some(pending) => pending.as_ref().map(|pending| Record {
                version: pending.version,
                aversion: pending.aversion,
                created_children: pending.created_children,
                child_count: pending.child_count,
                is_ephemeral: pending.is_ephemeral,
                acl: &pending.acl,
            }),
        }
    }
}

impl<'a> Overlay<'_, 'a> {
    fn note(&mut self, prepared: &Prepared<'a>) {
        match prepared {
            Prepared::Create(create) => {
                if let Some(parent) = self.pending_mut(parent_of(&create.path)) {
                    parent.created_children = create.parent_created;
                    parent.child_count += 1;
                }
                let created = Pending {
                    version: 0,
                    aversion: 0,
                    created_children: 0,
                    child_count: 0,
                    is_ephemeral: create.is_ephemeral_by_flags,
                    acl: create.acl.clone(),
                };
                self.pending.insert(create.path.clone(), Some(created));
            }
            Prepared::Delete { path } => {
                if let Some(parent) = self.pending_mut(parent_of(path)) {
                    parent.child_count -= 1;
                }
                self.pending.insert(path.clone(), None);
            }
            Prepared::SetData { path, version, .. } => {
                if let Some(pending) = self.pending_mut(path.clone()) {
                    pending.version = *version;
                }
            }
            // Neither is part of a multi, or neither changes anything.
            Prepared::SetAcl { .. } | Prepared::Check => {}
        }
    }

    fn pending_mut(&mut self, path: Cow<'a, str>) -> Option<&mut Pending> {
        let tree = self.tree;
        match self.pending.entry(path) {
            Entry::Occupied(entry) => entry.into_mut().as_mut(),
            Entry::Vacant(entry) => {
                let record = tree.record(entry.key())?;
                let pending = Pending {
                    version: record.version,
                    aversion: record.aversion,
                    created_children: record.created_children,
                    child_count: record.child_count,
                    is_ephemeral: record.is_ephemeral,
                    acl: record.acl.clone(),
                };
                entry.insert(Some(pending)).as_mut()
            }
        }
    }
}

/// The parent of a path that has been checked.
fn parent_of<'a>(path: &Cow<'a, str>) -> Cow<'a, str> {
    match path {
        Cow::Borrowed(path) => Cow::Borrowed(path::parent(path).unwrap_or("/")),
        Cow::Owned(path) => Cow::Owned(path::parent(path).unwrap_or("/").to_owned()),
    }
}

/// The parent of a path to be deleted, as loosely checked as upstream does it.
fn deletable_parent(path: &str) -> Result<&str, ErrorCode> {
    match path.rfind('/') {
        Some(slash) if !path.contains('\0') && !["/", ZOOKEEPER, QUOTA, CONFIG].contains(&path) => {
            Ok(&path[..slash])
        }
        _ => Err(ErrorCode::BAD_ARGUMENTS),
    }
}

fn next_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected == -1 || expected == current {
        Ok(current.wrapping_add(1))
    } else {
        Err(ErrorCode::BAD_VERSION)
    }
}

/// What the flags of a create request say (`CreateMode`).
#[derive(Debug, Clone, Copy, Default)]
struct Mode {
    is_ephemeral: bool,
    is_sequential: bool,
    has_ttl: bool,
}

impl Mode {
    fn of(flags: i32) -> Option<Mode> {
        let mode = Mode::default();
        Some(match flags {
            create_mode::PERSISTENT | create_mode::CONTAINER => mode,
            create_mode::EPHEMERAL => Mode { is_ephemeral: true, ..mode },
            create_mode::PERSISTENT_SEQUENTIAL => Mode { is_sequential: true, ..mode },
            create_mode::EPHEMERAL_SEQUENTIAL => Mode { is_ephemeral: true, is_sequential: true, ..mode },
            create_mode::PERSISTENT_WITH_TTL => Mode { has_ttl: true, ..mode },
            create_mode::PERSISTENT_SEQUENTIAL_WITH_TTL => {
                Mode { has_ttl: true, is_sequential: true, ..mode }
            }
            _ => return None,
        })
    }
}
