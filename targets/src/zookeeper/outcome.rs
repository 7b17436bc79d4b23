//! Which error codes prove that a request was not applied.

use std::io;

use quorumeter_zk::ErrorCode;

use crate::session::{ConnectError, Outcome, Waited};

/// What a reply's error code says of a write.
///
/// | code | why it proves that nothing was applied |
/// |---|---|
/// | NoNode, NoAuth, BadVersion, NodeExists, NotEmpty, NoChildrenForEphemerals, InvalidAcl, BadArguments, QuotaExceeded, EphemeralOnLocalSession, ReconfigDisabled | the check before the write failed, and the transaction was turned into an error |
/// | AuthFailed, NotReadOnly, SessionMoved, SessionExpired, UnknownSession, SessionClosedRequireSaslAuth, Unimplemented, MarshallingError | the request was refused before it became a transaction |
/// | ThrottledOp | the throttler dropped the request before it was processed |
///
/// Everything else, codes that are not known included, proves nothing: the outcome is unknown.
pub fn of_write(code: ErrorCode) -> Outcome {
    match code {
        ErrorCode::OK => Outcome::Ok,
        ErrorCode::NO_NODE
        | ErrorCode::NO_AUTH
        | ErrorCode::BAD_VERSION
        | ErrorCode::NODE_EXISTS
        | ErrorCode::NOT_EMPTY
        | ErrorCode::NO_CHILDREN_FOR_EPHEMERALS
        | ErrorCode::INVALID_ACL
        | ErrorCode::BAD_ARGUMENTS
        | ErrorCode::QUOTA_EXCEEDED
        | ErrorCode::EPHEMERAL_ON_LOCAL_SESSION
        | ErrorCode::RECONFIG_DISABLED
        | ErrorCode::AUTH_FAILED
        | ErrorCode::NOT_READ_ONLY
        | ErrorCode::SESSION_MOVED
        | ErrorCode::SESSION_EXPIRED
        | ErrorCode::UNKNOWN_SESSION
        | ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH
        | ErrorCode::UNIMPLEMENTED
        | ErrorCode::MARSHALLING_ERROR
        | ErrorCode::THROTTLED_OP => Outcome::Failed(code.0),
        _ => Outcome::Unknown,
    }
}

/// What a reply's error code says of a read: there is nothing to be applied, so every error is a failure.
pub fn of_read(code: ErrorCode) -> Outcome {
    if code == ErrorCode::OK { Outcome::Ok } else { Outcome::Failed(code.0) }
}

/// What an attempt to connect that failed says of the session that was asked for. Without the request to connect at the
/// member there is none; once it has been sent, only the member's own answer proves that. The code is what ZooKeeper's
/// clients call it.
pub fn of_connecting(error: &ConnectError) -> Outcome {
    let code = match error {
        ConnectError::Timeout { what: Waited::Handshake, .. } => return Outcome::Unknown,
        // A connection that the system lost may have carried the request before.
        ConnectError::Tcp(e) if !is_refusal(e) => return Outcome::Unknown,
        ConnectError::Closed(_) | ConnectError::Protocol(_) => return Outcome::Unknown,
        ConnectError::Timeout { .. } => ErrorCode::OPERATION_TIMEOUT,
        ConnectError::Tcp(_)
        | ConnectError::Rejected(_)
        | ConnectError::ReadOnly(_)
        | ConnectError::Tls(_) => ErrorCode::CONNECTION_LOSS,
        // The session was made, and is of no use.
        ConnectError::AuthFailed => ErrorCode::AUTH_FAILED,
    };
    Outcome::Failed(code.0)
}

/// Whether the error can only come from the making of a TCP connection.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::AddrInUse
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            // No file descriptor is left.
            | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proof_makes_a_write_failed() {
        assert_eq!(of_write(ErrorCode::OK), Outcome::Ok);
        assert_eq!(of_write(ErrorCode::BAD_VERSION), Outcome::Failed(-103));
        for code in [
            ErrorCode::CONNECTION_LOSS,
            ErrorCode::OPERATION_TIMEOUT,
            ErrorCode::REQUEST_TIMEOUT,
            ErrorCode::RUNTIME_INCONSISTENCY,
            ErrorCode::SYSTEM_ERROR,
            ErrorCode::OUT_OF_MEMORY,
            ErrorCode(-9999),
            ErrorCode(7),
        ] {
            assert_eq!(of_write(code), Outcome::Unknown, "{code}");
            assert_eq!(of_read(code), Outcome::Failed(code.0), "{code}");
        }
    }
}
