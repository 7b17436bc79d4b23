//! The answers of ZooKeeper, and of what speaks like it, as a [`Sample`].
//!
//! | function | of | tells |
//! |---|---|---|
//! | [`srvr`] | four-letter word, never refused | role, zxid, packets, connections, nodes |
//! | [`mntr`] | four-letter word, where it is allowed | role, and everything that the member counts |
//! | [`conf`] | four-letter word, where it is allowed | whether any majority of the voters is a quorum |
//! | [`zabstate`], [`voting_view`], [`leader`], [`last_snapshot`], [`monitor`] | AdminServer | part in the protocol, term, voters; what `mntr` tells; also of a member that serves no clients |
//! | [`prometheus`] | its own Prometheus endpoint | what it counts, and its process |
//!
//! All take one answer into a sample; what an earlier one has told stays. Read the four-letter words first: what a member
//! is without a server of its own follows from what they say.
//!
//! "Not serving" is an answer, and no error. It says nothing of the role: with `leaderServes=no` a leader says so as long as
//! it leads. On an error nothing is taken in, except where it says so.
//!
//! Never read: percentiles, least and greatest values, and means. They are of the whole life of the member, and say
//! nothing of now.

mod admin;
mod membership;
mod metrics;
mod position;
mod version;
mod words;

pub use self::admin::{last_snapshot, leader, monitor, voting_view, zabstate};
pub use self::membership::conf;
pub(crate) use self::position::take_role;
pub(crate) use self::words::told;
pub use self::words::{mntr, srvr};

use self::metrics::take_metrics;
use crate::parse_error::ParseError;
use crate::prometheus_text::parse;
use crate::sample::{Dialect, Role, Sample};

/// Takes in what ZooKeeper's own Prometheus endpoint answers: names of 3.6 to 3.9, and those of later releases, which add
/// `_total` to counters.
///
/// It does not tell the role. What only leaders count is taken of a member that is known to be one.
///
/// # Errors
///
/// Those of [`parse`], and [`ParseError::Missing`] where no series is ZooKeeper's.
pub fn prometheus(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let told = parse(answer)?;
    if !told.is_declared("znode_count") {
        return Err(ParseError::Missing("znode_count"));
    }
    sample.system.get_or_insert(Dialect::ZooKeeper);
    let is_leader = sample.role == Some(Role::Leader);
    take_metrics(sample, &told, is_leader);
    Ok(())
}

/// What a member's part in the protocol is called, if it is that.
fn zab_state(text: &str) -> Option<&'static str> {
    ["election", "discovery", "synchronization", "broadcast"]
        .into_iter()
        .find(|state| state.eq_ignore_ascii_case(text))
}
