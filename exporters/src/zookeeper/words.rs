//! Four-letter words.

use quorumeter_zk::four_letter::{AnswerError, Mntr, Mode, Srvr};

use super::metrics::{is_known, take_metrics};
use super::position::{take_not_serving, take_role, take_zxid};
use super::version::take_version;
use super::zab_state;
use crate::catalog;
use crate::parse_error::{ParseError, check_text};
use crate::prometheus_text::Scraped;
use crate::sample::{Dialect, Role, Sample};

/// Takes in the answer to `srvr`, of ZooKeeper or of ClickHouse Keeper.
///
/// # Errors
///
/// [`ParseError::Refused`] where the member may not answer it, and what is no answer to this word.
pub fn srvr(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let Some(srvr) = told(sample, answer, Srvr::parse)? else { return Ok(()) };
    take_version(sample, &srvr.version);
    sample.serving = Some(true);
    take_role(sample, role_of(srvr.mode));
    let zxid = srvr.zxid as u64;
    if sample.system == Some(Dialect::Keeper) {
        // A number of its own, without a term in it and apart from that of the log.
        sample.zxid.get_or_insert(zxid);
    } else {
        take_zxid(sample, zxid);
    }
    for (metric, value) in [
        (&catalog::PACKETS_RECEIVED, srvr.received),
        (&catalog::PACKETS_SENT, srvr.sent),
        (&catalog::OUTSTANDING, srvr.outstanding),
        (&catalog::CONNECTIONS, srvr.connections),
        (&catalog::KEYS, srvr.node_count),
    ] {
        sample.push(metric, value as f64);
    }
    Ok(())
}

/// Takes in the answer to `mntr`: of ZooKeeper 3.4 and later with either of its metrics providers, and of ClickHouse Keeper.
///
/// # Errors
///
/// [`ParseError::Refused`] where the member may not answer it, and what is no answer to this word.
/// [`ParseError::Value`] where something that is looked for is no number: all the rest is taken in.
pub fn mntr(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let Some(entries) = told(sample, answer, Mntr::parse_entries)? else { return Ok(()) };
    take_monitor(sample, &entries)?;
    sample.serving = Some(true);
    Ok(())
}

/// Takes in what a member monitors: the keys of `mntr`, without their `zk_`, and their values.
///
/// # Errors
///
/// As [`mntr`]'s.
pub(super) fn take_monitor(sample: &mut Sample, entries: &[(&str, &str)]) -> Result<(), ParseError> {
    let text = |key: &str| entries.iter().find_map(|(k, value)| (*k == key).then_some(*value));
    let state = text("server_state").ok_or(ParseError::Missing("server_state"))?;
    let mode = Mode::from_name(state).ok_or_else(|| ParseError::value("server_state", state))?;
    if let Some(version) = text("version") {
        take_version(sample, version);
    }
    take_role(sample, role_of(mode));
    // `following - synchronization - diff`
    let peer_state = text("peer_state").and_then(|state| state.split(" - ").nth(1));
    if let Some(state) = peer_state.and_then(zab_state) {
        sample.zab_state.get_or_insert_with(|| state.to_owned());
    }
    let mut bad = None;
    // Members tell ten times as much as is made use of.
    let known = entries.iter().filter(|(key, _)| is_known(key));
    let numbers = known.filter_map(|(key, value)| match value.trim().parse() {
        Ok(number) => Some((*key, number)),
        Err(_) => {
            bad.get_or_insert_with(|| ParseError::value(key, value));
            None
        }
    });
    let numbers = Scraped::of_entries(numbers);
    take_metrics(sample, &numbers, mode == Mode::Leader);
    bad.map_or(Ok(()), Err)
}

/// What an answer says, unless it is that the member is not serving.
pub(crate) fn told<'a, T>(
    sample: &mut Sample,
    answer: &'a str,
    parse: impl FnOnce(&'a str) -> Result<T, AnswerError>,
) -> Result<Option<T>, ParseError> {
    check_text(answer)?;
    match parse(whole_lines(answer)) {
        Ok(told) => Ok(Some(told)),
        Err(AnswerError::NotServing) => {
            take_not_serving(sample);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The lines that are whole: a last one without its end was cut off, and its value may have been.
fn whole_lines(answer: &str) -> &str {
    match answer.rfind('\n') {
        Some(end) => &answer[..=end],
        None => answer,
    }
}

fn role_of(mode: Mode) -> Role {
    match mode {
        Mode::Leader => Role::Leader,
        Mode::Follower => Role::Follower,
        Mode::Observer => Role::Observer,
        Mode::Standalone => Role::Standalone,
        Mode::ReadOnly => Role::ReadOnly,
    }
}
