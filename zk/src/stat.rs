//! The metadata of a znode.

use crate::jute::{DecodeError, Item, Reader, put_i32, put_i64};

/// A znode's metadata, as replies carry it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat {
    /// zxid of the transaction that created the znode.
    pub czxid: i64,
    /// zxid of the transaction that last changed the data.
    pub mzxid: i64,
    /// Wall time of the creation, milliseconds since 1970.
    pub ctime: i64,
    /// Wall time of the last change of the data, milliseconds since 1970.
    pub mtime: i64,
    /// Changes of the data.
    pub version: i32,
    /// Changes of the set of children.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Session that owns an ephemeral znode; else 0. Servers mark containers and TTL znodes here in their own files,
    /// and tell clients 0.
    pub ephemeral_owner: i64,
    /// Bytes of data.
    pub data_length: i32,
    /// Children.
    pub num_children: i32,
    /// zxid of the transaction that last changed the set of children.
    pub pzxid: i64,
}

impl Stat {
    /// Bytes on the wire.
    pub const LEN: usize = 68;

    /// Reads one.
    pub fn decode(input: &mut Reader<'_>) -> Result<Stat, DecodeError> {
        const WHAT: &str = "stat";
        let mut input = Reader::new(input.take(Stat::LEN, WHAT)?);
        Ok(Stat {
            czxid: input.i64(WHAT)?,
            mzxid: input.i64(WHAT)?,
            ctime: input.i64(WHAT)?,
            mtime: input.i64(WHAT)?,
            version: input.i32(WHAT)?,
            cversion: input.i32(WHAT)?,
            aversion: input.i32(WHAT)?,
            ephemeral_owner: input.i64(WHAT)?,
            data_length: input.i32(WHAT)?,
            num_children: input.i32(WHAT)?,
            pzxid: input.i64(WHAT)?,
        })
    }

    /// Appends one.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for v in [self.czxid, self.mzxid, self.ctime, self.mtime] {
            put_i64(out, v);
        }
        for v in [self.version, self.cversion, self.aversion] {
            put_i32(out, v);
        }
        put_i64(out, self.ephemeral_owner);
        put_i32(out, self.data_length);
        put_i32(out, self.num_children);
        put_i64(out, self.pzxid);
    }

    /// The data version in the encoded form, without decoding the rest; `None` when `bytes` is too short.
    pub fn peek_version(bytes: &[u8]) -> Option<i32> {
        peek(bytes, 32)
    }

    /// The same of the version of the node's children, which each that comes or goes raises by one.
    pub fn peek_cversion(bytes: &[u8]) -> Option<i32> {
        peek(bytes, 36)
    }
}

fn peek(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_be_bytes)
}

impl<'a> Item<'a> for Stat {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Stat::decode(input)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        Stat::encode(self, out);
    }
}
