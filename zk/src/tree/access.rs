//! Who may do what: access control lists as the tree keeps them, and the identities of a connection.

mod address;
mod identity;

use std::borrow::Cow;
use std::sync::Arc;

pub use identity::{Identities, Identity, MAX_IDENTITIES, MAX_IDENTITY_BYTES};

use super::hash::FastSet;
use crate::acl::Acl;
use crate::error::ErrorCode;
use crate::frame::DEFAULT_MAX_FRAME;
use crate::jute::List;

/// The most bytes of identities that the `auth` entries of one ACL may become; `INVALIDACL` beyond it. Upstream
/// has no limit of its own, but nobody could set such an ACL in one frame.
pub const MAX_EXPANDED_BYTES: usize = DEFAULT_MAX_FRAME;

/// An ACL as the tree keeps it, shared by all znodes with the same one; `None` is [`Acl::OPEN`] alone.
pub type SharedAcl = Option<Arc<[Acl<'static>]>>;

/// The entries of a shared ACL.
pub fn entries(acl: &SharedAcl) -> &[Acl<'static>] {
    match acl {
        None => &[Acl::OPEN],
        Some(entries) => entries,
    }
}

/// Whether `identities` have one of the rights in `perms` (`ZooKeeperServer.checkACL`).
#[inline]
pub fn allows(acl: &SharedAcl, perms: i32, identities: &[Identity]) -> bool {
    match acl {
        None => true,
        Some(entries) => entries_allow(entries, perms, identities),
    }
}

fn entries_allow(entries: &[Acl<'_>], perms: i32, identities: &[Identity]) -> bool {
    entries.is_empty()
        || identities.iter().any(|identity| identity.scheme == "super")
        || entries.iter().filter(|entry| entry.perms & perms != 0).any(|entry| match &*entry.scheme {
            "world" => entry.id == "anyone",
            scheme => identities
                .iter()
                .any(|identity| identity.scheme == scheme && matches(scheme, &identity.id, &entry.id)),
        })
}

fn matches(scheme: &str, id: &str, expression: &str) -> bool {
    match scheme {
        "digest" => id == expression,
        "ip" => address::matches(id, expression),
        _ => false,
    }
}

/// The ACL that a create or setACL request asks for, after `auth` entries became the identities of the
/// connection; `INVALIDACL` when it is not a valid one (`PrepRequestProcessor.fixupACL`).
pub(crate) fn fix_up<'a>(asked: &List<'a, Acl<'a>>, identities: &[Identity]) -> Result<SharedAcl, ErrorCode> {
    if asked.len() == 1 && asked.iter().next() == Some(Acl::OPEN) {
        return Ok(None);
    }
    let mut seen = FastSet::default();
    let mut fixed = Vec::new();
    let mut expanded_bytes = 0;
    for entry in asked.iter() {
        if seen.contains(&entry) {
            continue;
        }
        match &*entry.scheme {
            "world" if entry.id == "anyone" => fixed.push(owned(&entry)),
            "auth" => {
                let before = fixed.len();
                // An address or being the super user is not authentication in this sense.
                for identity in identities.iter().filter(|identity| identity.scheme == "digest") {
                    expanded_bytes += identity.id.len();
                    if expanded_bytes > MAX_EXPANDED_BYTES {
                        return Err(ErrorCode::INVALID_ACL);
                    }
                    fixed.push(Acl {
                        perms: entry.perms,
                        scheme: identity.scheme.clone(),
                        id: Cow::Owned(identity.id.to_string()),
                    });
                }
                if fixed.len() == before {
                    return Err(ErrorCode::INVALID_ACL);
                }
            }
            "digest" if java_split_len(&entry.id) == 2 => fixed.push(owned(&entry)),
            "ip" if address::is_expression(&entry.id) => fixed.push(owned(&entry)),
            _ => return Err(ErrorCode::INVALID_ACL),
        }
        seen.insert(entry);
    }
    if fixed.is_empty() {
        return Err(ErrorCode::INVALID_ACL);
    }
    Ok(if fixed == [Acl::OPEN] { None } else { Some(fixed.into()) })
}

fn owned(entry: &Acl<'_>) -> Acl<'static> {
    Acl {
        perms: entry.perms,
        scheme: Cow::Owned(entry.scheme.clone().into_owned()),
        id: Cow::Owned(entry.id.clone().into_owned()),
    }
}

/// What somebody without the right ADMIN sees: digests are left out (`GetACLResponse`, since 3.4.14).
pub fn masked(entries: &[Acl<'static>]) -> Vec<Acl<'static>> {
    let mask = |entry: &Acl<'static>| match entry.id.split_once(':') {
        Some((user, _)) if entry.scheme == "digest" => {
            Acl { perms: entry.perms, scheme: entry.scheme.clone(), id: Cow::Owned(format!("{user}:x")) }
        }
        _ => entry.clone(),
    };
    entries.iter().map(mask).collect()
}

/// All ACLs in use, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct AclTable {
    lists: FastSet<Arc<[Acl<'static>]>>,
    prune_at: usize,
}

impl AclTable {
    /// The shared form of an ACL.
    pub(crate) fn intern(&mut self, acl: SharedAcl) -> SharedAcl {
        let list = acl?;
        if let Some(known) = self.lists.get(&list) {
            return Some(Arc::clone(known));
        }
        if self.lists.len() >= self.prune_at.max(64) {
            self.lists.retain(|list| Arc::strong_count(list) > 1);
            self.prune_at = self.lists.len() * 2;
        }
        self.lists.insert(Arc::clone(&list));
        Some(list)
    }
}

/// Number of parts that Java's `split(":")` makes: empty ones at the end do not count, but for a whole string
/// without any colon.
fn java_split_len(text: &str) -> usize {
    if !text.contains(':') {
        return 1;
    }
    let trimmed = text.trim_end_matches(':');
    if trimmed.is_empty() { 0 } else { trimmed.split(':').count() }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::acl;

    fn entry(perms: i32, scheme: &'static str, id: &'static str) -> Acl<'static> {
        Acl { perms, scheme: scheme.into(), id: id.into() }
    }

    fn peer() -> Identities {
        Identities::of_peer(IpAddr::from([127, 0, 0, 1]))
    }

    fn fix(asked: &[Acl<'static>], identities: &[Identity]) -> Result<SharedAcl, ErrorCode> {
        fix_up(&List::from(asked), identities)
    }

    #[test]
    fn acls_are_checked_as_upstream_does() {
        let who = peer();
        for good in [
            entry(31, "world", "anyone"),
            entry(1, "digest", "a:b"),
            entry(1, "digest", ":b"),
            entry(1, "digest", "a:b:"),
            entry(1, "ip", "10.0.0.0/8"),
            entry(1, "ip", "10.0.0.1"),
            entry(1, "ip", "::1/128"),
            entry(0, "ip", "1:2:3:4:5:6:7:8"),
        ] {
            assert!(fix(std::slice::from_ref(&good), &who).is_ok(), "{good:?}");
        }
        for bad in [
            entry(31, "world", "somebody"),
            entry(31, "auth", ""),
            entry(31, "digest", "a"),
            entry(31, "digest", "a:"),
            entry(31, "digest", "a:b:c"),
            entry(31, "ip", "10.0.0"),
            entry(31, "ip", "10.0.0.256"),
            entry(31, "ip", "10.0.0.1/33"),
            entry(31, "ip", "localhost"),
            entry(31, "ip", "1::2::3"),
            entry(31, "ip", ":"),
            entry(31, "super", "a:b"),
            entry(31, "sasl", "a"),
            entry(31, "", ""),
        ] {
            assert_eq!(fix(std::slice::from_ref(&bad), &who), Err(ErrorCode::INVALID_ACL), "{bad:?}");
        }
        assert_eq!(fix(&[], &who), Err(ErrorCode::INVALID_ACL));
        assert_eq!(fix(&[Acl::OPEN, Acl::OPEN], &who), Ok(None));
    }

    #[test]
    fn auth_becomes_the_digests_of_the_connection() {
        let mut who = peer();
        assert!(who.authenticate("digest", Some(b"super:test"), Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=")));
        assert!(who.authenticate("ip", None, None));
        assert!(!who.authenticate("digest", None, None));
        assert!(!who.authenticate("world", Some(b"anyone"), None));
        assert_eq!(who.len(), 3);
        let acl = fix(&[Acl::CREATOR, entry(1, "world", "anyone")], &who).unwrap();
        assert_eq!(
            entries(&acl),
            [entry(31, "digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="), entry(1, "world", "anyone")]
        );
        assert_eq!(masked(entries(&acl))[0].id, "super:x");
        assert!(allows(&acl, acl::WRITE, &who));
        assert!(!allows(&acl, acl::WRITE, &peer()));
        assert!(allows(&acl, acl::WRITE | acl::READ, &peer()), "one of the rights is enough");
        let nobody = Some(Arc::from([entry(31, "digest", "a:b")]));
        assert!(allows(&nobody, acl::ADMIN, &who), "the super user may do everything");
    }

    #[test]
    fn an_acl_may_fill_a_frame() {
        // Comparing each of them with all others would take seconds.
        let entry_of = |n: u32| Acl { perms: 1, scheme: "digest".into(), id: format!("u:{n}").into() };
        let entries: Vec<_> = (0..60_000).map(entry_of).collect();
        assert_eq!(fix(&entries, &peer()).unwrap().unwrap().len(), entries.len());
        let twice = [&entries[..], &entries[..10]].concat();
        assert_eq!(fix(&twice, &peer()), fix(&entries, &peer()));
    }

    #[test]
    fn auth_entries_do_not_multiply_without_bound() {
        let mut who = peer();
        for n in 0..200 {
            assert!(who.authenticate("digest", Some(format!("u{n}:x").as_bytes()), None));
        }
        let auth: Vec<_> = (0..40_000).map(|perms| entry(perms, "auth", "")).collect();
        assert_eq!(fix(&auth, &who), Err(ErrorCode::INVALID_ACL));
        assert_eq!(fix(&auth[..100], &who).unwrap().unwrap().len(), 20_000);
    }

    #[test]
    fn equal_acls_are_kept_once() {
        let mut table = AclTable::default();
        let acl = || Some(Arc::from([entry(1, "digest", "a:b")]));
        let (one, two) = (table.intern(acl()), table.intern(acl()));
        assert!(Arc::ptr_eq(one.as_ref().unwrap(), two.as_ref().unwrap()));
        assert_eq!(table.intern(None), None);
        for n in 0..1000 {
            table.intern(Some(Arc::from([Acl { perms: n, scheme: "ip".into(), id: "1.1.1.1".into() }])));
        }
        assert!(table.lists.len() <= 64, "unused ones go");
        assert!(table.lists.contains(one.as_ref().unwrap()));
    }
}
