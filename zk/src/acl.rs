//! Access control lists.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest, Sha1};

use crate::jute::{DecodeError, Item, Reader, put_i32, put_string};

/// The right to read data and list children.
pub const READ: i32 = 1;
/// The right to write data.
pub const WRITE: i32 = 2;
/// The right to create children.
pub const CREATE: i32 = 4;
/// The right to delete children.
pub const DELETE: i32 = 8;
/// The right to change the ACL.
pub const ADMIN: i32 = 16;
/// All rights.
pub const ALL: i32 = 31;

/// One entry of an ACL: rights for an identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acl<'a> {
    /// A sum of the rights.
    pub perms: i32,
    /// Scheme of the identity: `world`, `auth`, `digest`, `ip`, …
    pub scheme: Cow<'a, str>,
    /// The identity, in the scheme's form.
    pub id: Cow<'a, str>,
}

impl Acl<'static> {
    /// All rights for everybody (`ZooDefs.Ids.OPEN_ACL_UNSAFE`).
    pub const OPEN: Acl<'static> =
        Acl { perms: ALL, scheme: Cow::Borrowed("world"), id: Cow::Borrowed("anyone") };

    /// All rights for whoever creates the znode (`ZooDefs.Ids.CREATOR_ALL_ACL`).
    pub const CREATOR: Acl<'static> =
        Acl { perms: ALL, scheme: Cow::Borrowed("auth"), id: Cow::Borrowed("") };
}

impl<'a> Item<'a> for Acl<'a> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Acl {
            perms: input.i32("ACL permissions")?,
            scheme: input.string("ACL scheme")?,
            id: input.string("ACL id")?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_i32(out, self.perms);
        put_string(out, &self.scheme);
        put_string(out, &self.id);
    }
}

/// The id that the scheme `digest` stores for `user:password`: the user, and the SHA-1 of the whole in base64
/// (`DigestAuthenticationProvider.generateDigest`).
pub fn digest_id(user_and_password: &str) -> String {
    let user = user_and_password.split(':').next().unwrap_or_default();
    format!("{user}:{}", BASE64.encode(Sha1::digest(user_and_password.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_upstreams() {
        // Computed with Apache ZooKeeper 3.9.4:
        // java -cp 'lib/*' org.apache.zookeeper.server.auth.DigestAuthenticationProvider super:test
        assert_eq!(digest_id("super:test"), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    }
}
