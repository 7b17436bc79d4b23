//! The handshake: one frame each way, without headers.

use crate::frame;
use crate::jute::{DecodeError, Reader, put_bool, put_buffer, put_i32, put_i64};

/// Bytes of a session's password.
pub const PASSWORD_LEN: usize = 16;

/// ClickHouse Keeper's answer when it takes no connections (no leader yet): this protocol version.
pub const KEEPER_REJECTED: i32 = 42;

/// What a client sends first. With a 16-byte password and the read-only flag the record has 45 bytes, 44
/// without the flag; ClickHouse Keeper takes no other length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Always 0. ClickHouse Keeper knows 10 (a compressed stream), 11 (xids of 64 bits) and 12 (requests with traces),
    /// too; they are other formats, which are not made here.
    pub protocol_version: i32,
    /// The last zxid that the client has seen: a member that is behind it refuses the connection. 0 for none.
    pub last_zxid_seen: i64,
    /// The session timeout that the client asks for, milliseconds.
    pub timeout_ms: i32,
    /// The session to continue; 0 for a new one.
    pub session_id: i64,
    /// Its password; `None` is null on the wire.
    pub password: Option<&'a [u8]>,
    /// Whether a read-only member will do; `None` when the record ends before the flag.
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    /// Reads the body of the first frame. Bytes behind the record are ignored, as upstream's servers do.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(body);
        Ok(ConnectRequest {
            protocol_version: input.i32("protocol version")?,
            last_zxid_seen: input.i64("last zxid seen")?,
            timeout_ms: input.i32("session timeout")?,
            session_id: input.i64("session id")?,
            password: input.buffer("session password")?,
            read_only: optional_flag(&mut input)?,
        })
    }

    /// Appends the whole frame.
    pub fn encode_frame(&self, out: &mut Vec<u8>) {
        let mark = frame::begin(out);
        put_i32(out, self.protocol_version);
        put_i64(out, self.last_zxid_seen);
        put_i32(out, self.timeout_ms);
        put_i64(out, self.session_id);
        put_buffer(out, self.password);
        if let Some(flag) = self.read_only {
            put_bool(out, flag);
        }
        frame::end(out, mark);
    }
}

/// The server's answer. Session id 0 with timeout 0 says that the session to be continued has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectResponse<'a> {
    /// 0; [`KEEPER_REJECTED`] from a Keeper that takes no connections.
    pub protocol_version: i32,
    /// The session timeout granted, milliseconds.
    pub timeout_ms: i32,
    /// The session.
    pub session_id: i64,
    /// Its password; `None` is null on the wire.
    pub password: Option<&'a [u8]>,
    /// Whether the member is read-only; `None` when the record ends before the flag, which a server sends only
    /// to a client that sent its own.
    pub read_only: Option<bool>,
}

impl<'a> ConnectResponse<'a> {
    /// Reads the body of the first frame. A read-only member without `localSessionsEnabled` refuses with a reply's
    /// header instead (error −119), which is truncated as a handshake.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(body);
        let response = ConnectResponse {
            protocol_version: input.i32("protocol version")?,
            timeout_ms: input.i32("session timeout")?,
            session_id: input.i64("session id")?,
            password: input.buffer("session password")?,
            read_only: optional_flag(&mut input)?,
        };
        input.end("connect response")?;
        Ok(response)
    }

    /// Appends the whole frame.
    pub fn encode_frame(&self, out: &mut Vec<u8>) {
        let mark = frame::begin(out);
        put_i32(out, self.protocol_version);
        put_i32(out, self.timeout_ms);
        put_i64(out, self.session_id);
        put_buffer(out, self.password);
        if let Some(flag) = self.read_only {
            put_bool(out, flag);
        }
        frame::end(out, mark);
    }
}

fn optional_flag(input: &mut Reader<'_>) -> Result<Option<bool>, DecodeError> {
    if input.is_empty() { Ok(None) } else { input.bool("read-only flag").map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_are_those_that_every_server_takes() {
        let mut request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms: 10_000,
            session_id: 0,
            password: Some(&[0; PASSWORD_LEN]),
            read_only: Some(false),
        };
        for (flag, length) in [(Some(true), 45), (Some(false), 45), (None, 44)] {
            request.read_only = flag;
            let mut bytes = Vec::new();
            request.encode_frame(&mut bytes);
            assert_eq!(bytes.len(), frame::PREFIX_LEN + length);
            assert_eq!(ConnectRequest::decode(&bytes[4..]), Ok(request));
            if flag.is_some() {
                bytes.extend_from_slice(b"more");
                assert_eq!(ConnectRequest::decode(&bytes[4..]), Ok(request));
            }
        }
    }
}
