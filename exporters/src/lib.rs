//! What members tell of themselves, as lines of the run record.
//!
//! | module | what it knows |
//! |---|---|
//! | [`zookeeper`] | the answers of ZooKeeper and of what speaks like it; text in, fields or an error out |
//! | [`poller`] | asking every member again and again, without one of them holding up another |

pub mod poller;
pub mod zookeeper;

pub use poller::{PolledMember, Poller};
