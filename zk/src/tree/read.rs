//! Reads, as far as they are more than a look at a [`Node`].

use std::borrow::Cow;
use std::sync::Arc;

use super::access::{self, Identity};
use super::{Node, Tree};
use crate::acl::{self, Acl};
use crate::error::ErrorCode;

impl Tree {
    /// The znode that getData, getChildren, getChildren2, getAllChildrenNumber and multiRead read: `NONODE`
    /// or `NOAUTH` without.
    #[inline]
    pub fn readable(&self, path: &str, identities: &[Identity]) -> Result<&Node, ErrorCode> {
        let node = self.get(path).ok_or(ErrorCode::NO_NODE)?;
        if access::allows(&node.acl, acl::READ, identities) { Ok(node) } else { Err(ErrorCode::NO_AUTH) }
    }

    /// The znode that exists reads; also `BADARGUMENTS` for a path with a null character.
    pub fn existing(&self, path: &str, identities: &[Identity]) -> Result<&Node, ErrorCode> {
        if path.contains('\0') {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        self.readable(path, identities)
    }

    /// The znode that getACL reads, and the entries to be shown: without the right ADMIN, digests are left
    /// out.
    pub fn acl_of(
        &self,
        path: &str,
        identities: &[Identity],
    ) -> Result<(&Node, Cow<'_, [Acl<'static>]>), ErrorCode> {
        let node = self.get(path).ok_or(ErrorCode::NO_NODE)?;
        if !access::allows(&node.acl, acl::READ | acl::ADMIN, identities) {
            return Err(ErrorCode::NO_AUTH);
        }
        Ok(if access::allows(&node.acl, acl::ADMIN, identities) {
            (node, Cow::Borrowed(node.acl()))
        } else {
            (node, Cow::Owned(access::masked(node.acl())))
        })
    }

    /// Number of all znodes below one that exists.
    pub fn descendant_count(&self, node: &Node) -> usize {
        let mut count = 0;
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            count += node.child_count();
            open.extend(node.child_paths().filter_map(|path| self.get(path)).filter(|n| n.child_count() > 0));
        }
        count
    }

    /// The ephemerals of a session whose paths start with `prefix`, in upstream's order.
    pub fn ephemerals(&self, session_id: i64, prefix: &str) -> Vec<Arc<str>> {
        let Some(paths) = self.ephemerals.get(&session_id) else { return Vec::new() };
        // Java trims everything up to the space.
        let all = matches!(prefix.trim_matches(|c| c <= ' '), "" | "/");
        paths.copy().paths().filter(|path| all || path.starts_with(prefix)).cloned().collect()
    }

    /// Every session that has or had ephemerals, with the paths of those it has.
    pub fn owners(&self) -> impl Iterator<Item = (i64, impl Iterator<Item = &Arc<str>>)> {
        self.ephemerals.iter().map(|(session_id, paths)| (*session_id, paths.paths()))
    }
}
