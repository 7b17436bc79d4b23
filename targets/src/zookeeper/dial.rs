//! Connection, handshake and credentials.

use std::fmt;
use std::io;
use std::time::Duration;

use quorumeter_zk::connect::{ConnectRequest, ConnectResponse, KEEPER_REJECTED, PASSWORD_LEN};
use quorumeter_zk::frame::{self, Front};
use quorumeter_zk::jute::DecodeError;
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::Request;
use quorumeter_zk::{Acl, ErrorCode};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::session::{Attached, ConnectError, Dialled, Identity, Member, Stages, Timeouts, Waited};
use crate::stream::Stream;
use crate::tls::{self, TlsFailure};

/// Credentials of the scheme `digest`. Neither `Debug` nor any message shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// `user:password`.
    secret: String,
}

impl Auth {
    /// Credentials of a user.
    pub fn digest(user: &str, password: &str) -> Auth {
        Auth { secret: format!("{user}:{password}") }
    }

    fn request(&self) -> Request<'_> {
        Request::Auth { kind: 0, scheme: "digest".into(), auth: Some(self.secret.as_bytes()) }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(…)")
    }
}

/// What all connections of a run have in common.
#[derive(Debug, Clone, Default)]
pub struct DialSettings {
    /// Credentials to present after every handshake.
    pub auth: Option<Auth>,
    /// Whether a member that serves reads alone will do.
    pub read_only: bool,
}

impl DialSettings {
    /// The ACL for what a run creates: the creator's alone when there are credentials, else everybody's.
    pub fn acl(&self) -> [Acl<'static>; 1] {
        if self.auth.is_some() { [Acl::CREATOR] } else { [Acl::OPEN] }
    }
}

/// A handshake's answer never has more bytes than this.
const MAX_RESPONSE: usize = 1024;

/// Connects, shakes hands, and presents the credentials. The stream is left behind the last byte of that.
/// [`Attached::Expired`] comes without a stream.
pub async fn dial(
    member: &Member,
    identity: &Identity,
    timeouts: Timeouts,
    settings: &DialSettings,
    clock: &Clock,
) -> Result<(Dialled<Stream>, Identity), ConnectError> {
    let limit = Duration::from_millis(timeouts.connect_ms);
    let expired = |what| ConnectError::Timeout { what, timeout_ms: timeouts.connect_ms };
    let began_ns = clock.now_ns();
    let mut connected_ns = began_ns;
    let mut stream = Stream::open(member, limit, || connected_ns = clock.now_ns()).await?;
    let secured_ns = if member.tls.is_some() { clock.now_ns() } else { connected_ns };
    stream.reset_when_dropped(true).map_err(ConnectError::Tcp)?;
    let (attached, identity) = timeout(limit, shake_hands(&mut stream, identity, timeouts, settings))
        .await
        .map_err(|_| expired(Waited::Handshake))??;
    let stages = Stages { began_ns, connected_ns, secured_ns, attached_ns: clock.now_ns() };
    stream.reset_when_dropped(false).map_err(ConnectError::Tcp)?;
    let connection = if attached == Attached::Expired { None } else { Some(stream) };
    Ok((Dialled { attached, connection, stages }, identity))
}

async fn shake_hands(
    stream: &mut Stream,
    identity: &Identity,
    timeouts: Timeouts,
    settings: &DialSettings,
) -> Result<(Attached, Identity), ConnectError> {
    let mut bytes = Vec::new();
    let no_password = [0; PASSWORD_LEN];
    // A session that a read-only member made has not expired where it is not known: as with Apache's client, it is
    // replaced without asking for it.
    let asked = if identity.is_local {
        &Identity { last_zxid: identity.last_zxid, ..Identity::default() }
    } else {
        identity
    };
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: asked.last_zxid,
        timeout_ms: timeouts.session_ms.try_into().unwrap_or(i32::MAX),
        session_id: asked.session_id,
        password: Some(if asked.password.is_empty() { &no_password } else { &asked.password }),
        read_only: Some(settings.read_only),
    }
    .encode_frame(&mut bytes);
    stream.send(&bytes).await.map_err(|e| lost(e, "while it was sent the handshake"))?;
    let body = read_frame(stream, "instead of answering the handshake").await?;
    let response = ConnectResponse::decode(&body).map_err(|e| not_a_handshake(&body, &e))?;
    if response.protocol_version == KEEPER_REJECTED {
        return Err(ConnectError::Rejected("it has no leader"));
    }
    if response.session_id == 0 || response.timeout_ms <= 0 {
        return if asked.session_id == 0 {
            Err(ConnectError::Rejected("it gave no session"))
        } else {
            Ok((Attached::Expired, Identity::default()))
        };
    }
    if response.protocol_version != 0 {
        return Err(ConnectError::Protocol(format!("protocol version {}", response.protocol_version)));
    }
    if let Some(auth) = &settings.auth {
        authenticate(stream, auth).await?;
    }
    let same = asked.session_id != 0 && response.session_id == asked.session_id;
    let attached = match same {
        true => Attached::Again,
        // ClickHouse Keeper gives a new session to whoever asks for an old one.
        false => Attached::New,
    };
    let read_only = response.read_only == Some(true);
    let identity = Identity {
        session_id: response.session_id,
        password: response.password.unwrap_or_default().to_vec(),
        last_zxid: asked.last_zxid,
        timeout_ms: response.timeout_ms as u32,
        read_only,
        is_local: read_only && !same,
    };
    Ok((attached, identity))
}

/// A read-only member refuses a new session with the header of a reply, unless it has `localSessionsEnabled`.
fn not_a_handshake(body: &[u8], error: &DecodeError) -> ConnectError {
    match ReplyHeader::split(body) {
        Ok((header, [])) if header.err == ErrorCode::NOT_READ_ONLY => ConnectError::Rejected(
            "it is read-only, and makes new sessions only with localSessionsEnabled=true",
        ),
        _ => ConnectError::Protocol(error.to_string()),
    }
}

async fn authenticate(stream: &mut Stream, auth: &Auth) -> Result<(), ConnectError> {
    let mut bytes = Vec::new();
    auth.request().encode_frame(&mut bytes, xid::AUTH);
    stream.send(&bytes).await.map_err(|e| lost(e, "while it was sent the credentials"))?;
    let body = read_frame(stream, "instead of answering to the credentials").await?;
    let (header, _) = ReplyHeader::split(&body).map_err(|e| ConnectError::Protocol(e.to_string()))?;
    match (header.xid, header.err) {
        (xid::AUTH, ErrorCode::OK) => Ok(()),
        (xid::AUTH, _) => Err(ConnectError::AuthFailed),
        (other, _) => {
            Err(ConnectError::Protocol(format!("a reply with xid {other} where {} was due", xid::AUTH)))
        }
    }
}

/// Reads exactly one frame, so that nothing of what follows is lost.
async fn read_frame(stream: &mut Stream, instead: &'static str) -> Result<Vec<u8>, ConnectError> {
    let mut bytes = vec![0; frame::PREFIX_LEN];
    stream.read_exact(&mut bytes).await.map_err(|e| lost(e, instead))?;
    if matches!(stream, Stream::Plain(_)) && tls::begins_record(&bytes) {
        return Err(TlsFailure::NotExpected.into());
    }
    let needed = match frame::front(&bytes, MAX_RESPONSE) {
        Ok(Front::Frame(body)) => return Ok(body.to_vec()),
        Ok(Front::Partial { needed }) => needed,
        Err(e) => return Err(ConnectError::Protocol(e.to_string())),
    };
    bytes.resize(needed, 0);
    stream
        .read_exact(&mut bytes[frame::PREFIX_LEN..])
        .await
        .map_err(|e| lost(e, "in the middle of a frame"))?;
    bytes.drain(..frame::PREFIX_LEN);
    Ok(bytes)
}

fn lost(error: io::Error, when: &'static str) -> ConnectError {
    // With TLS 1.3 the member judges the client's certificate when the handshake is over for the client already.
    if let Some(failure) = TlsFailure::of(&error) {
        return failure.into();
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            ConnectError::Closed(when)
        }
        _ => ConnectError::Tcp(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_members_refusal_is_told_from_what_is_no_handshake() {
        let header = |err| {
            let mut frame = Vec::new();
            ReplyHeader { xid: 0, zxid: 7, err }.encode_frame(&mut frame);
            frame.split_off(frame::PREFIX_LEN)
        };
        for (body, expected) in [
            (header(ErrorCode::NOT_READ_ONLY), "localSessionsEnabled=true"),
            (header(ErrorCode::NO_AUTH), "does not speak the protocol"),
            ([header(ErrorCode::NOT_READ_ONLY), vec![0]].concat(), "does not speak the protocol"),
            (b"HTTP/1.1".to_vec(), "does not speak the protocol"),
        ] {
            let error = ConnectResponse::decode(&body).unwrap_err();
            let error = not_a_handshake(&body, &error).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
