//! The answers that ClickHouse Keeper alone gives, as a [`Sample`]. Those to `srvr` and `mntr` are read by
//! [`zookeeper`](crate::zookeeper), which tells the two apart.
//!
//! | function | of | tells |
//! |---|---|---|
//! | [`lgif`] | four-letter word | term, and where in the log the member and its leader are |
//! | [`prometheus`] | its Prometheus endpoint | the same, what it counts, and how long requests take |

mod families;

pub use self::families::prometheus;

use quorumeter_zk::four_letter::{self, AnswerError};

use crate::parse_error::ParseError;
use crate::sample::{Dialect, Sample};
use crate::zookeeper::told;

/// Takes in the answer to `lgif`.
///
/// `first_log_term` is not read: some releases write `first_log_idx` there.
///
/// # Errors
///
/// [`ParseError::Refused`] where the member may not answer it; what is no answer to this word, of which nothing is taken in.
pub fn lgif(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let Some([term, last, committed, of_leader]) = told(sample, answer, rows)? else { return Ok(()) };
    sample.system.get_or_insert(Dialect::Keeper);
    take_log(sample, term, last, committed);
    // A member that knows no leader has it at 0.
    if of_leader > 0 {
        sample.leader_commit_index.get_or_insert(of_leader);
    }
    Ok(())
}

/// The rows of `lgif` that are made use of: term, last entry, committed ones, and those that the leader has committed.
fn rows(answer: &str) -> Result<[u64; 4], AnswerError> {
    four_letter::check(answer)?;
    let row = |name: &'static str| {
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
        let value = value.ok_or(AnswerError::Missing(name))?.trim();
        value.parse().map_err(|_| AnswerError::Value { field: name, value: value.to_owned() })
    };
    Ok([
        row("last_log_term")?,
        row("last_log_idx")?,
        row("last_committed_log_idx")?,
        row("leader_committed_log_idx")?,
    ])
}

/// Takes in where in the log the member is. What is committed is applied.
fn take_log(sample: &mut Sample, term: u64, last: u64, committed: u64) {
    sample.term.get_or_insert(term);
    sample.last_index.get_or_insert(last);
    sample.commit_index.get_or_insert(committed);
    sample.applied_index.get_or_insert(committed);
}
