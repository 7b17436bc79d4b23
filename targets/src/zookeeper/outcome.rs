//! Which error codes prove that a request was not applied.

use quorumeter_zk::ErrorCode;

use crate::session::Outcome;

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
