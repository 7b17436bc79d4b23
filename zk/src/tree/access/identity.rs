//! Who a connection is.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::acl;
use crate::frame::DEFAULT_MAX_FRAME;
use crate::jute::java_text;
use crate::tree::names::{java_hash, java_spread};

/// The most identities of a connection: an auth packet beyond it fails. Upstream has no such limit.
pub const MAX_IDENTITIES: usize = 256;

/// The most bytes that the identities of a connection have together; as [`MAX_IDENTITIES`].
pub const MAX_IDENTITY_BYTES: usize = DEFAULT_MAX_FRAME;

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
    /// Of the identities in `list`.
    hashes: Vec<u32>,
}

impl Identities {
    /// Those of a new connection: its address.
    pub fn of_peer(address: IpAddr) -> Identities {
        let mut identities = Identities::default();
        identities.add(Identity { scheme: "ip".into(), id: java_address(address).into() });
        identities
    }

    /// Handles an auth packet: true when the scheme is known and the connection has the identity now.
    ///
    /// `super_digest` is the digest id of the user that passes every check
    /// (`zookeeper.DigestAuthenticationProvider.superDigest`).
    pub fn authenticate(&mut self, scheme: &str, auth: Option<&[u8]>, super_digest: Option<&str>) -> bool {
        match (scheme, auth) {
            ("digest", Some(auth)) => {
                let digest = acl::digest_id(&java_text(auth));
                let is_super = super_digest == Some(&digest);
                (!is_super || self.add(Identity { scheme: "super".into(), id: "".into() }))
                    && self.add(Identity { scheme: "digest".into(), id: digest.into() })
            }
            // The address is there from the beginning.
            ("ip", _) => true,
            _ => false,
        }
    }

    /// Adds an identity, unless it is there; false when there are too many.
    pub fn add(&mut self, identity: Identity) -> bool {
        if self.list.contains(&identity) {
            return true;
        }
        let bytes: usize = self.list.iter().map(|identity| identity.id.len()).sum();
        if self.list.len() == MAX_IDENTITIES || bytes + identity.id.len() > MAX_IDENTITY_BYTES {
            return false;
        }
        let hash = java_hash_of(&identity);
        let capacity = table_len(self.list.len() + 1);
        if capacity != table_len(self.list.len()) {
            self.grow(capacity);
        }
        let chain = |hash: u32| hash & (capacity - 1);
        let at = self.hashes.partition_point(|&other| chain(other) <= chain(hash));
        self.list.insert(at, identity);
        self.hashes.insert(at, hash);
        true
    }

    /// Puts the identities into the order that they have in a table of so many chains.
    fn grow(&mut self, capacity: u32) {
        let mut all: Vec<_> = self.hashes.drain(..).zip(self.list.drain(..)).collect();
        all.sort_by_key(|(hash, _)| hash & (capacity - 1));
        (self.hashes, self.list) = all.into_iter().unzip();
    }
}

impl std::ops::Deref for Identities {
    type Target = [Identity];

    fn deref(&self) -> &[Identity] {
        &self.list
    }
}

/// The number of chains of a table with so many entries: 16 until it holds 12 of them, and so on.
fn table_len(entries: usize) -> u32 {
    (entries * 4 / 3 + 1).next_power_of_two().max(16) as u32
}

/// The hash of an `org.apache.zookeeper.data.Id`, spread as the table does it.
fn java_hash_of(identity: &Identity) -> u32 {
    let hash = 17u32.wrapping_mul(37).wrapping_add(java_hash(&identity.scheme));
    java_spread(hash.wrapping_mul(37).wrapping_add(java_hash(&identity.id)))
}

/// An address as `InetAddress.getHostAddress` writes it: IPv6 is eight groups, none of them left out.
fn java_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let mut text = String::new();
            for group in address.segments() {
                let colon = if text.is_empty() { "" } else { ":" };
                // A `String` takes everything that is written to it.
                let _ = write!(text, "{colon}{group:x}");
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_java_does() {
        for (address, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("fe80::12:1", "fe80:0:0:0:0:0:12:1"),
        ] {
            let who = Identities::of_peer(address.parse().unwrap());
            assert_eq!((who.len(), who[0].user()), (1, expected), "{address}");
        }
    }

    #[test]
    fn identities_are_limited() {
        let mut who = Identities::of_peer(IpAddr::from([127, 0, 0, 1]));
        for n in 1..MAX_IDENTITIES {
            assert!(who.authenticate("digest", Some(format!("u{n}:x").as_bytes()), None), "{n}");
        }
        assert!(!who.authenticate("digest", Some(b"more:x"), None));
        assert!(who.authenticate("digest", Some(b"u7:x"), None), "it is there");
        assert_eq!(who.len(), MAX_IDENTITIES);
        let mut who = Identities::default();
        let user = "u".repeat(MAX_IDENTITY_BYTES / 2);
        assert!(who.authenticate("digest", Some(user.as_bytes()), None));
        assert!(!who.authenticate("digest", Some(format!("{user}u").as_bytes()), None));
    }

    #[test]
    fn the_order_is_that_of_a_table_of_all() {
        let mut who = Identities::default();
        for n in 0..200 {
            assert!(who.add(Identity { scheme: "digest".into(), id: format!("u{n}:x").into() }));
            let chains: Vec<_> = who.iter().map(|id| java_hash_of(id) & (table_len(who.len()) - 1)).collect();
            assert!(chains.is_sorted(), "{n}");
        }
    }
}
