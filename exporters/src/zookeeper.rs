//! The answers to `srvr`, `mntr` and the AdminServer's `zabstate`, as fields of a member's line.
//!
//! | field | of | |
//! |---|---|---|
//! | role, packets, connections, … | `srvr` | |
//! | zxid | `srvr` | or else `zabstate`, which also tells it while the member synchronises |
//! | term | the zxid | see [`srvr`] |
//! | `zab_state` | `zabstate` | or else `mntr`; neither tells it while the member has no leader |
//! | `synced_followers`, elections, times without service | `mntr` | 3.7 and later; no followers before 3.6 |
//!
//! A member that says that it is not serving has answered, and has told nothing: that is no error. A field that was
//! not told is left as it is.

use quorumeter_record::{MemberLine, TimeSum};
use quorumeter_zk::four_letter::{AnswerError, Mntr, Mode, Srvr};
use serde::Deserialize;

/// What a member's part in the protocol is called.
const ZAB_STATES: [&str; 4] = ["election", "discovery", "synchronization", "broadcast"];

/// Why an answer tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A four-letter word's.
    #[error(transparent)]
    Word(#[from] AnswerError),
    /// The AdminServer's is not the JSON that it should be.
    #[error("the AdminServer's answer cannot be read: {0}")]
    Json(String),
    /// The AdminServer says why it has no other answer.
    #[error("the AdminServer says: {0}")]
    Failed(String),
    /// A value is not what it should be.
    #[error("{field} is {value:?}")]
    Value {
        /// Its name.
        field: &'static str,
        /// What was found.
        value: String,
    },
}

/// Takes in the answer to `srvr`.
///
/// The term is the upper half of the zxid. A leader's is in force from its first moment; a follower's follows with the
/// first transaction that it applies after the election. A zxid without one is of no term, which begin at 1.
///
/// # Errors
///
/// [`ParseError::Word`] for anything that is no answer to this word.
pub fn srvr(line: &mut MemberLine, answer: &str) -> Result<(), ParseError> {
    let Some(srvr) = unless_not_serving(Srvr::parse(answer))? else { return Ok(()) };
    line.role = Some(srvr.mode.name().to_owned());
    line.packets_received = Some(srvr.received);
    line.packets_sent = Some(srvr.sent);
    line.outstanding_requests = Some(srvr.outstanding);
    line.connections = Some(srvr.connections);
    line.znodes = Some(srvr.node_count);
    line.zxid = Some(srvr.zxid);
    take_term(line, srvr.zxid >> 32);
    Ok(())
}

/// Takes in the answer to `mntr`.
///
/// # Errors
///
/// [`ParseError::Word`] for anything that is no answer to this word, and [`AnswerError::NotWhitelisted`] in it for a
/// member that may not answer it.
pub fn mntr(line: &mut MemberLine, answer: &str) -> Result<(), ParseError> {
    let Some(mntr) = unless_not_serving(Mntr::parse(answer))? else { return Ok(()) };
    // ClickHouse Keeper's followers tell 0.
    if mntr.get("server_state") == Some(Mode::Leader.name()) {
        line.synced_followers = mntr.number("synced_followers").and_then(whole);
    }
    line.elections = time_sum(&mntr, "election_time");
    line.unavailable = time_sum(&mntr, "unavailable_time");
    line.leader_unavailable = time_sum(&mntr, "leader_unavailable_time");
    // `following - synchronization - diff`
    let state = mntr.get("peer_state").and_then(|state| state.split(" - ").nth(1));
    if let Some(state) = state.and_then(known_zab_state) {
        line.zab_state.get_or_insert(state);
    }
    Ok(())
}

/// Takes in the AdminServer's answer to `zabstate`.
///
/// # Errors
///
/// [`ParseError::Json`], [`ParseError::Failed`] for a command that it does not know (before 3.6), and
/// [`ParseError::Value`]. Nothing is taken in then.
pub fn zabstate(line: &mut MemberLine, answer: &str) -> Result<(), ParseError> {
    let told: ZabState = serde_json::from_str(answer).map_err(|error| ParseError::Json(error.to_string()))?;
    if let Some(error) = told.error {
        let is_not_serving = error.contains("not currently serving requests");
        return if is_not_serving { Ok(()) } else { Err(ParseError::Failed(error)) };
    }
    // A member between two servers of its own, and one that is no part of an ensemble, leave it empty.
    let Some(state) = told.zabstate.filter(|state| !state.is_empty()) else { return Ok(()) };
    let bad = |field, value: &str| ParseError::Value { field, value: value.to_owned() };
    let known = known_zab_state(&state).ok_or_else(|| bad("zabstate", &state))?;
    let zxid = match &told.last_zxid {
        Some(text) => Some(hexadecimal(text).ok_or_else(|| bad("last_zxid", text))?),
        None => None,
    };
    line.zab_state = Some(known);
    if let Some(zxid) = zxid {
        line.zxid.get_or_insert(zxid);
        take_term(line, zxid >> 32);
    }
    if let Some(epoch) = told.zab_epoch {
        take_term(line, epoch);
    }
    Ok(())
}

/// What of `zabstate` is made use of.
#[derive(Deserialize)]
struct ZabState {
    zabstate: Option<String>,
    last_zxid: Option<String>,
    zab_epoch: Option<i64>,
    error: Option<String>,
}

/// Terms rise: of two that a member has told at about the same time the later one is the greater.
fn take_term(line: &mut MemberLine, term: i64) {
    if term > 0 {
        line.term = line.term.max(Some(term));
    }
}

fn known_zab_state(state: &str) -> Option<String> {
    let state = state.to_ascii_lowercase();
    ZAB_STATES.contains(&state.as_str()).then_some(state)
}

fn hexadecimal(text: &str) -> Option<i64> {
    let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'))?;
    u64::from_str_radix(digits, 16).ok().map(|zxid| zxid as i64)
}

fn unless_not_serving<T>(answer: Result<T, AnswerError>) -> Result<Option<T>, AnswerError> {
    match answer {
        Ok(told) => Ok(Some(told)),
        Err(AnswerError::NotServing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How often and how long, under the names of either of ZooKeeper's metrics providers; told in milliseconds.
fn time_sum(mntr: &Mntr, name: &str) -> Option<TimeSum> {
    let either =
        |default: String, prometheus: String| mntr.number(&default).or_else(|| mntr.number(&prometheus));
    let times = either(format!("cnt_{name}"), format!("{name}_count"))?;
    let sum_ms = either(format!("sum_{name}"), format!("{name}_sum"))?;
    Some(TimeSum { count: whole(times)?, sum_ns: whole(sum_ms * 1e6)? })
}

/// A number that counts something; `None` for one that cannot.
fn whole(number: f64) -> Option<u64> {
    (number >= 0.0 && number < u64::MAX as f64).then(|| number.round() as u64)
}
