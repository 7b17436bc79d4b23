//! Error codes.

use std::borrow::Cow;
use std::fmt;

/// The error in a reply's header, 0 for none. Values that are not known are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i32);

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode($code);)*

            /// Every code that is known.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name),*];

            /// Its name: that of the exception (`KeeperException`) or of the C client's constant, in one style;
            /// `Other(n)` for the rest. The texts of upstream's exceptions may differ.
            pub fn name(self) -> Cow<'static, str> {
                match self.0 {
                    $($code => Cow::Borrowed($text),)*
                    other => Cow::Owned(format!("Other({other})")),
                }
            }
        }
    };
}

error_codes! {
    /// No error.
    OK = 0, "Ok";
    /// Start of the system errors; also an unnamed one.
    SYSTEM_ERROR = -1, "SystemError";
    /// An op of a multi that was not looked at because an earlier one failed.
    RUNTIME_INCONSISTENCY = -2, "RuntimeInconsistency";
    /// The data are not consistent.
    DATA_INCONSISTENCY = -3, "DataInconsistency";
    /// The connection is lost (made by clients).
    CONNECTION_LOSS = -4, "ConnectionLoss";
    /// A request or reply could not be (de)serialised.
    MARSHALLING_ERROR = -5, "MarshallingError";
    /// The server does not know the op.
    UNIMPLEMENTED = -6, "Unimplemented";
    /// A time-out (made by clients).
    OPERATION_TIMEOUT = -7, "OperationTimeout";
    /// An argument makes no sense.
    BAD_ARGUMENTS = -8, "BadArguments";
    /// The handle is in a state that does not allow it (C client).
    INVALID_STATE = -9, "InvalidState";
    /// ClickHouse Keeper: the soft memory limit is reached.
    OUT_OF_MEMORY = -10, "OutOfMemory";
    /// The session is not known (3.5.0).
    UNKNOWN_SESSION = -12, "UnknownSession";
    /// A reconfiguration without a quorum of the new members (3.5.0).
    NEW_CONFIG_NO_QUORUM = -13, "NewConfigNoQuorum";
    /// A reconfiguration is in progress (3.5.0).
    RECONFIG_IN_PROGRESS = -14, "ReconfigInProgress";
    /// Start of the API errors.
    API_ERROR = -100, "ApiError";
    /// There is no such znode.
    NO_NODE = -101, "NoNode";
    /// The ACL does not allow it.
    NO_AUTH = -102, "NoAuth";
    /// The version is another one.
    BAD_VERSION = -103, "BadVersion";
    /// An ephemeral znode has no children.
    NO_CHILDREN_FOR_EPHEMERALS = -108, "NoChildrenForEphemerals";
    /// The znode exists.
    NODE_EXISTS = -110, "NodeExists";
    /// The znode has children.
    NOT_EMPTY = -111, "NotEmpty";
    /// The session has expired.
    SESSION_EXPIRED = -112, "SessionExpired";
    /// A callback that makes no sense (clients).
    INVALID_CALLBACK = -113, "InvalidCallback";
    /// The ACL is not a valid one.
    INVALID_ACL = -114, "InvalidAcl";
    /// Authentication failed.
    AUTH_FAILED = -115, "AuthFailed";
    /// The client is closing (C client).
    CLOSING = -116, "Closing";
    /// No response to process (C client).
    NOTHING = -117, "Nothing";
    /// The session is at another member now.
    SESSION_MOVED = -118, "SessionMoved";
    /// A write at a read-only member.
    NOT_READ_ONLY = -119, "NotReadOnly";
    /// An ephemeral znode in a local session (3.5.0).
    EPHEMERAL_ON_LOCAL_SESSION = -120, "EphemeralOnLocalSession";
    /// No such watch (3.5.0).
    NO_WATCHER = -121, "NoWatcher";
    /// The server gave the request up (3.5.5).
    REQUEST_TIMEOUT = -122, "RequestTimeout";
    /// Reconfiguration is switched off (3.5.3).
    RECONFIG_DISABLED = -123, "ReconfigDisabled";
    /// The server wants SASL authentication (3.5.9).
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124, "SessionClosedRequireSaslAuth";
    /// A quota is exceeded (3.7.0).
    QUOTA_EXCEEDED = -125, "QuotaExceeded";
    /// The request throttler dropped the request (3.7.0).
    THROTTLED_OP = -127, "ThrottledOp";
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
