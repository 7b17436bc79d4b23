//! Commands of the AdminServer: JSON with `command` and `error` in every answer, of HTTP status 200 whatever it says.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::position::{take_not_serving, take_role, take_term, take_zxid};
use super::words::take_monitor;
use super::zab_state;
use crate::catalog;
use crate::parse_error::{ParseError, json, shown};
use crate::sample::{Role, Sample};

/// Takes in the answer to `zabstate`: id, part in the protocol, term and position. A member between two servers of its
/// own leaves it empty, and so do one that is alone and one that is read-only, which serve: one that does not is a
/// candidate.
///
/// # Errors
///
/// [`ParseError::Refused`] before 3.6, and what is no answer to this command.
pub fn zabstate(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let Some(told) = command::<ZabState>(sample, answer)? else { return Ok(()) };
    let state = match told.zabstate.as_str() {
        "" => None,
        text => Some(zab_state(text).ok_or_else(|| ParseError::value("zabstate", text))?),
    };
    let zxid = match &told.last_zxid {
        Some(text) => Some(hexadecimal(text).ok_or_else(|| ParseError::value("last_zxid", text))?),
        None => None,
    };
    if sample.role.is_none() && sample.serving == Some(false) && matches!(state, None | Some("election")) {
        take_role(sample, Role::Candidate);
    }
    let Some(state) = state else { return Ok(()) };
    sample.zab_state = Some(state.to_owned());
    if let Some(id) = told.myid {
        sample.member_id.get_or_insert_with(|| id.to_string());
    }
    if let Some(zxid) = zxid {
        take_zxid(sample, zxid);
    }
    take_term(sample, told.zab_epoch.and_then(|epoch| u64::try_from(epoch).ok()).unwrap_or(0));
    if state == "broadcast" {
        sample.serving.get_or_insert(true);
        match (told.is_leader, told.voting) {
            (Some(true), _) => take_role(sample, Role::Leader),
            (Some(false), Some(true)) => take_role(sample, Role::Follower),
            (Some(false), Some(false)) => take_role(sample, Role::Observer),
            _ => {}
        }
    }
    sample.voter = told.voting.or(sample.voter);
    Ok(())
}

/// What of `zabstate` is made use of.
#[derive(Deserialize)]
struct ZabState {
    zabstate: String,
    myid: Option<i64>,
    is_leader: Option<bool>,
    voting: Option<bool>,
    last_zxid: Option<String>,
    zab_epoch: Option<i64>,
}

/// Takes in the answer to `voting_view`: the ids of all voters. A member that is alone has none.
///
/// # Errors
///
/// [`ParseError::Refused`] before 3.6, and what is no answer to this command.
pub fn voting_view(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let Some(told) = command::<VotingView>(sample, answer)? else { return Ok(()) };
    let mut ids: Vec<_> = told.current_config.keys().cloned().collect();
    ids.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    if !ids.is_empty() {
        sample.voter_ids.get_or_insert(ids);
    }
    Ok(())
}

/// What of `voting_view` is made use of.
#[derive(Deserialize)]
struct VotingView {
    current_config: Map<String, Value>,
}

/// Takes in the answer to `leader`: whether the member knows one.
///
/// # Errors
///
/// [`ParseError::Refused`] before 3.6, and what is no answer to this command.
pub fn leader(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let Some(told) = command::<Leader>(sample, answer)? else { return Ok(()) };
    // −1 is nobody.
    sample.has_leader.get_or_insert(told.leader_id >= 0);
    Ok(())
}

/// What of `leader` is made use of.
#[derive(Deserialize)]
struct Leader {
    leader_id: i64,
}

/// Takes in the answer to `last_snapshot`: when it was made.
///
/// # Errors
///
/// [`ParseError::Refused`] before 3.6, and what is no answer to this command.
pub fn last_snapshot(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let Some(told) = command::<LastSnapshot>(sample, answer)? else { return Ok(()) };
    // −1 is none.
    if told.timestamp > 0 {
        sample.push(&catalog::LAST_SNAPSHOT, told.timestamp as f64);
    }
    Ok(())
}

/// What of `last_snapshot` is made use of.
#[derive(Deserialize)]
struct LastSnapshot {
    /// Unix time, seconds.
    timestamp: i64,
}

/// Takes in the answer to `monitor`: what [`mntr`](super::mntr) tells, also of a leader that serves no clients.
///
/// # Errors
///
/// As [`mntr`](super::mntr)'s.
pub fn monitor(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    let Some(told) = command::<Map<String, Value>>(sample, answer)? else { return Ok(()) };
    // What is no number in Java's view of JSON is a string.
    let texts: Vec<_> = told
        .iter()
        .filter_map(|(key, value)| match value {
            Value::String(text) => Some((key.as_str(), text.clone())),
            Value::Number(number) => Some((key.as_str(), number.to_string())),
            _ => None,
        })
        .collect();
    let entries: Vec<_> = texts.iter().map(|(key, value)| (*key, value.as_str())).collect();
    take_monitor(sample, &entries)
}

/// What a command answers, unless it is that the member is not serving, or that there is no ensemble.
fn command<T: DeserializeOwned>(sample: &mut Sample, answer: &str) -> Result<Option<T>, ParseError> {
    let told: Map<String, Value> = json(answer)?;
    match told.get("error") {
        Some(Value::String(error)) if error.contains("not currently serving requests") => {
            take_not_serving(sample);
            return Ok(None);
        }
        // Of `leader` where the member is alone.
        Some(Value::String(error)) if error == "server is not initialized" => return Ok(None),
        Some(Value::String(error)) if error.starts_with("Unknown command") => {
            return Err(ParseError::Refused);
        }
        Some(Value::String(error)) => return Err(ParseError::Failed(shown(error))),
        _ if !told.contains_key("command") => return Err(ParseError::Missing("command")),
        _ => {}
    }
    let told = serde_json::from_value(Value::Object(told));
    told.map(Some).map_err(|error| ParseError::value("the answer's JSON", &error.to_string()))
}

fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'))?;
    u64::from_str_radix(digits, 16).ok()
}
