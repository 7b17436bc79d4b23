//! Who may do what: identities of a connection, and access control lists as the tree keeps them.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::hash::FastSet;
use super::names::{java_hash, java_spread};
use crate::acl::{self, Acl};
use crate::error::ErrorCode;
use crate::jute::List;

/// Something that a connection has proven to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `ip`, `digest` or `super`.
    pub scheme: Cow<'static, str>,
    /// The identity, in the scheme's form.
    pub id: Box<str>,
}

impl Identity {
    /// The user without secrets, as whoAmI tells it.
    pub fn user(&self) -> &str {
        match &*self.scheme {
            "digest" => self.id.split(':').next().unwrap_or_default(),
            "ip" => &self.id,
            _ => "",
        }
    }
}

/// The identities of a connection, in the order in which upstream's `ConcurrentHashMap` iterates them: it
/// decides what whoAmI answers and what an `auth` entry of an ACL becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities {
    list: Vec<Identity>,
}

impl Identities {
    /// Those of a new connection: its address.
    pub fn of_peer(address: IpAddr) -> Identities {
        let mut identities = Identities::default();
        identities.add(Identity { scheme: "ip".into(), id: address.to_canonical().to_string().into() });
        identities
    }

    /// Handles an auth packet: true when the scheme is known and the connection has the identity now.
    ///
    /// `super_digest` is the digest id of the user that passes every check
    /// (`zookeeper.DigestAuthenticationProvider.superDigest`).
    pub fn authenticate(&mut self, scheme: &str, auth: Option<&[u8]>, super_digest: Option<&str>) -> bool {
        match (scheme, auth) {
            ("digest", Some(auth)) => {
                let digest = acl::digest_id(&String::from_utf8_lossy(auth));
                if super_digest == Some(&digest) {
                    self.add(Identity { scheme: "super".into(), id: "".into() });
                }
                self.add(Identity { scheme: "digest".into(), id: digest.into() });
                true
            }
            // The address is there from the beginning.
            ("ip", _) => true,
            _ => false,
        }
    }

    /// Adds an identity.
    pub fn add(&mut self, identity: Identity) {
        if self.list.contains(&identity) {
            return;
        }
        self.list.push(identity);
        // The table has 16 chains until it holds 12 entries, and so on.
        let capacity = (self.list.len() * 4 / 3 + 1).next_power_of_two().max(16) as u32;
        self.list.sort_by_key(|identity| {
            let hash = 17u32.wrapping_mul(37).wrapping_add(java_hash(&identity.scheme));
            java_spread(hash.wrapping_mul(37).wrapping_add(java_hash(&identity.id))) & (capacity - 1)
        });
    }
}

impl std::ops::Deref for Identities {
    type Target = [Identity];

    fn deref(&self) -> &[Identity] {
        &self.list
    }
}

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
        "ip" => ip_matches(id, expression).unwrap_or(false),
        _ => false,
    }
}

/// The ACL that a create or setACL request asks for, after `auth` entries became the identities of the
/// connection; `INVALIDACL` when it is not a valid one (`PrepRequestProcessor.fixupACL`).
pub(crate) fn fix_up<'a>(asked: &List<'a, Acl<'a>>, identities: &[Identity]) -> Result<SharedAcl, ErrorCode> {
    let invalid = Err(ErrorCode::INVALID_ACL);
    if asked.len() == 1 && asked.iter().next() == Some(Acl::OPEN) {
        return Ok(None);
    }
    let mut unique: Vec<Acl<'a>> = Vec::with_capacity(asked.len());
    for entry in asked.iter() {
        if !unique.contains(&entry) {
            unique.push(entry);
        }
    }
    let mut fixed = Vec::with_capacity(unique.len());
    for entry in unique {
        match &*entry.scheme {
            "world" if entry.id == "anyone" => fixed.push(owned(&entry)),
            "auth" => {
                let before = fixed.len();
                // An address or being the super user is not authentication in this sense.
                for identity in identities.iter().filter(|identity| identity.scheme == "digest") {
                    fixed.push(Acl {
                        perms: entry.perms,
                        scheme: identity.scheme.clone(),
                        id: Cow::Owned(identity.id.to_string()),
                    });
                }
                if fixed.len() == before {
                    return invalid;
                }
            }
            "digest" if java_split_len(&entry.id) == 2 => fixed.push(owned(&entry)),
            "ip" if ip_expression(&entry.id).is_some() => fixed.push(owned(&entry)),
            _ => return invalid,
        }
    }
    if fixed.is_empty() {
        return invalid;
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

/// Whether the address `id` is in the net `expression`; `None` when one of them is not an address.
fn ip_matches(id: &str, expression: &str) -> Option<bool> {
    let (mut net, bits) = ip_expression(expression)?;
    let mut address = ip_bytes(id)?;
    keep_bits(&mut net, bits);
    keep_bits(&mut address, bits);
    Some(net == address)
}

/// The address and the number of its bits that count, of `address` or `address/bits`.
fn ip_expression(expression: &str) -> Option<(Vec<u8>, usize)> {
    let (address, bits) = match expression.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (expression, None),
    };
    let address = ip_bytes(address)?;
    let all = address.len() * 8;
    let bits = match bits {
        None => all,
        Some(bits) => usize::try_from(bits.parse::<i32>().ok()?).ok().filter(|&bits| bits <= all)?,
    };
    Some((address, bits))
}

fn keep_bits(address: &mut [u8], bits: usize) {
    for (i, byte) in address.iter_mut().enumerate() {
        let kept = bits.saturating_sub(i * 8).min(8);
        *byte &= !(0xff_u16 >> kept) as u8;
    }
}

/// The bytes of an address as `IPAuthenticationProvider` reads it; no dotted quad inside IPv6.
fn ip_bytes(address: &str) -> Option<Vec<u8>> {
    if address.contains(':') {
        let segments = |part: &str| -> Option<Vec<u8>> {
            if part.is_empty() {
                return Some(Vec::new());
            }
            let mut bytes = Vec::new();
            for segment in part.split(':') {
                if segment.is_empty() || segment.len() > 4 {
                    return None;
                }
                bytes.extend_from_slice(&(i32::from_str_radix(segment, 16).ok()? as u16).to_be_bytes());
            }
            Some(bytes)
        };
        let mut parts = address.split("::");
        let (first, second, more) = (parts.next()?, parts.next(), parts.next());
        let mut bytes = segments(first)?;
        match (second, more) {
            (None, _) if !first.is_empty() && bytes.len() == 16 => {}
            (Some(second), None) => {
                let end = segments(second)?;
                if bytes.len() + end.len() >= 16 {
                    return None;
                }
                bytes.resize(16 - end.len(), 0);
                bytes.extend_from_slice(&end);
            }
            _ => return None,
        }
        Some(bytes)
    } else {
        let bytes: Option<Vec<u8>> = address
            .split('.')
            .map(|part| part.parse::<i32>().ok().and_then(|n| u8::try_from(n).ok()))
            .collect();
        bytes.filter(|bytes| bytes.len() == 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn addresses_match_by_their_leading_bits() {
        for (expression, matched) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("127.0.0.2/31", false),
            ("127.0.0.3/30", true),
            ("0.0.0.0/0", true),
            ("128.0.0.0/1", false),
            ("::1", false),
        ] {
            let acl = Some(Arc::from([entry(1, "ip", expression)]));
            assert_eq!(allows(&acl, acl::READ, &peer()), matched, "{expression}");
        }
        let six = Identities::of_peer("fe80::12:1".parse().unwrap());
        assert!(allows(&Some(Arc::from([entry(1, "ip", "fe80::/16")])), acl::READ, &six));
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
