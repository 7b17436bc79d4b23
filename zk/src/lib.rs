//! ZooKeeper's protocol and data model, without any I/O.
//!
//! | module | what it knows |
//! |---|---|
//! | [`jute`] | primitives of the serialisation, bounded reading |
//! | [`frame`] | length-prefixed frames in a byte stream |
//! | [`connect`] | the handshake |
//! | [`op`], [`error`] | op codes and error codes, raw values kept |
//! | [`request`], [`reply`], [`multi`], [`event`], [`stat`], [`acl`] | the records, for both sides |
//! | [`template`] | requests that are encoded once and then patched |
//! | [`four_letter`] | four-letter words, written and parsed |
//! | [`keeper`] | the feature flags of ClickHouse Keeper |
//! | [`path`] | paths and chroots |
//! | [`tree`] | the znode tree: transactions, reads, access control |
//! | [`watch`] | the watch table: which event goes to whom |
//!
//! Decoding takes `&[u8]` and borrows from it; no input makes it panic or allocate more than the input's own
//! size, three times that where malformed text is replaced ([`jute::Reader::replacing`]), and for a
//! [`tree::Transaction`] up to [`tree::access::MAX_IDENTITIES`] identities more. Encoding appends to a caller's `Vec<u8>`. Facts are those of Apache ZooKeeper 3.9 (`zookeeper.jute`,
//! `ZooDefs`, `KeeperException`) unless a doc comment names another source.

pub mod acl;
pub mod connect;
pub mod error;
pub mod event;
pub mod four_letter;
pub mod frame;
pub mod jute;
pub mod keeper;
pub mod multi;
pub mod op;
pub mod path;
pub mod reply;
pub mod request;
pub mod stat;
pub mod template;
pub mod tree;
pub mod watch;

pub use acl::Acl;
pub use error::ErrorCode;
pub use op::OpCode;
pub use reply::Reply;
pub use request::Request;
pub use stat::Stat;
