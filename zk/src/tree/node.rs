//! A znode.

use std::sync::Arc;

use super::access::{self, SharedAcl};
use super::names::NameSet;
use crate::acl::Acl;
use crate::stat::Stat;

/// What `ephemeralOwner` says of a znode (`EphemeralType`, with extended types enabled).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is deleted.
    Persistent,
    /// As long as this session.
    Ephemeral(i64),
    /// Until some time after its last child is gone.
    Container,
    /// Until it has not changed and had no children for so many milliseconds.
    TimeToLive(i64),
}

/// The longest time to live, milliseconds: 40 bits.
pub const MAX_TTL_MS: i64 = (1 << 40) - 1;

/// A znode with its data, metadata and the names of its children.
#[derive(Debug, Clone)]
pub struct Node {
    pub(super) path: Arc<str>,
    pub(super) data: Option<Box<[u8]>>,
    pub(super) acl: SharedAcl,
    pub(super) lifetime: Lifetime,
    pub(super) children: Option<Box<NameSet>>,
    pub(super) czxid: i64,
    pub(super) mzxid: i64,
    pub(super) pzxid: i64,
    pub(super) ctime_ms: i64,
    pub(super) mtime_ms: i64,
    pub(super) version: i32,
    /// Children created so far: the number of the next sequential one.
    pub(super) created_children: i32,
    pub(super) aversion: i32,
}

impl Node {
    pub(super) fn new(
        path: Arc<str>,
        data: Option<&[u8]>,
        acl: SharedAcl,
        lifetime: Lifetime,
        zxid: i64,
        time_ms: i64,
    ) -> Node {
        Node {
            path,
            data: data.map(Box::from),
            acl,
            lifetime,
            children: None,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            version: 0,
            created_children: 0,
            aversion: 0,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Its data; null is not the same as empty.
    #[inline]
    pub fn data(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    /// Its ACL, to be checked with [`access::allows`].
    #[inline]
    pub fn shared_acl(&self) -> &SharedAcl {
        &self.acl
    }

    /// The entries of its ACL.
    pub fn acl(&self) -> &[Acl<'static>] {
        access::entries(&self.acl)
    }

    /// How long it stays.
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Number of its children.
    #[inline]
    pub fn child_count(&self) -> usize {
        self.children.as_ref().map_or(0, |children| children.len())
    }

    /// The names of its children, in upstream's order.
    pub fn children(&self) -> impl Iterator<Item = &str> {
        self.children.iter().flat_map(|children| children.names())
    }

    /// The paths of its children.
    pub(super) fn child_paths(&self) -> impl Iterator<Item = &Arc<str>> {
        self.children.iter().flat_map(|children| children.paths())
    }

    /// Its metadata. Upstream counts the creations of children and reports changes: a child that is gone was
    /// created and deleted. Container and time to live are not reported as an owner.
    #[inline]
    pub fn stat(&self) -> Stat {
        let child_count = self.child_count() as i32;
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime_ms,
            mtime: self.mtime_ms,
            version: self.version,
            cversion: self.created_children.wrapping_mul(2).wrapping_sub(child_count),
            aversion: self.aversion,
            ephemeral_owner: match self.lifetime {
                Lifetime::Ephemeral(session_id) => session_id,
                _ => 0,
            },
            data_length: self.data().map_or(0, <[u8]>::len) as i32,
            num_children: child_count,
            pzxid: self.pzxid,
        }
    }
}
