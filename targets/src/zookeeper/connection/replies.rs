//! What a reply's record tells of its op.

use quorumeter_zk::Stat;
use quorumeter_zk::jute::Reader;
use quorumeter_zk::multi::MultiResult;

use crate::operation::Operation;
use crate::session::{Completion, ConnectionError};
use crate::zookeeper::outcome;

pub(super) fn is_write(op: Operation) -> bool {
    match op {
        Operation::Read { .. }
        | Operation::ReadFresh { .. }
        | Operation::ReadStrongest { .. }
        | Operation::Exists { .. }
        | Operation::List { .. }
        | Operation::Sync { .. }
        | Operation::WatchOnce { .. }
        | Operation::WatchExists { .. }
        | Operation::WatchAlways { .. }
        | Operation::WatchBelow { .. }
        | Operation::WatchEphemeral { .. }
        | Operation::WatchChildrenOnce { .. }
        | Operation::WatchChildrenAlways { .. }
        | Operation::WatchChildrenBelow { .. }
        | Operation::ChildrenVersion { .. } => false,
        Operation::Write { .. }
        | Operation::WriteCas { .. }
        | Operation::Create { .. }
        | Operation::CreateSequential { .. }
        | Operation::CreateEphemeral { .. }
        | Operation::CreateChild { .. }
        | Operation::Delete { .. }
        | Operation::Multi { .. }
        | Operation::Close => true,
    }
}

/// Checks that the record has the shape of this op's, and takes from it what the engine wants to know. A record
/// is not decoded further than that.
#[inline]
pub(super) fn read_record(
    op: Operation,
    record: &[u8],
    completion: &mut Completion,
) -> Result<(), ConnectionError> {
    match op {
        Operation::Read { .. } | Operation::ReadFresh { .. } | Operation::ReadStrongest { .. } => {
            let (len, stat) = data_and_stat(record).ok_or_else(|| shape("getData"))?;
            completion.value_bytes = Some(len as u32);
            completion.version = Stat::peek_version(&record[stat..]).unwrap_or(-1);
        }
        Operation::WatchOnce { .. } | Operation::WatchAlways { .. } | Operation::WatchBelow { .. } => {
            completion.version = data_version(record).ok_or_else(|| shape("getData"))?;
        }
        Operation::Exists { .. } | Operation::WatchExists { .. } | Operation::WatchEphemeral { .. } => {
            if record.len() != Stat::LEN {
                return Err(shape("exists"));
            }
            completion.version = Stat::peek_version(record).unwrap_or(-1);
        }
        Operation::Write { value, .. } | Operation::WriteCas { value, .. } => {
            if record.len() != Stat::LEN {
                return Err(shape("setData"));
            }
            completion.version = Stat::peek_version(record).unwrap_or(-1);
            completion.value_bytes = Some(value.len);
        }
        Operation::List { .. } => {
            list_stat(record).ok_or_else(|| shape("getChildren2"))?;
        }
        Operation::WatchChildrenOnce { .. } => {
            let stat = list_stat(record).ok_or_else(|| shape("getChildren2"))?;
            completion.version = Stat::peek_cversion(stat).unwrap_or(-1);
        }
        Operation::WatchChildrenAlways { .. }
        | Operation::WatchChildrenBelow { .. }
        | Operation::ChildrenVersion { .. } => {
            if record.len() != Stat::LEN {
                return Err(shape("exists"));
            }
            completion.version = Stat::peek_cversion(record).unwrap_or(-1);
        }
        Operation::Create { value, .. }
        | Operation::CreateEphemeral { value, .. }
        | Operation::CreateChild { value, .. } => {
            string(record).ok_or_else(|| shape("create"))?;
            completion.value_bytes = Some(value.len);
        }
        Operation::CreateSequential { value } => {
            let path = string(record).ok_or_else(|| shape("create"))?;
            completion.number = Some(sequence_number(path).ok_or_else(|| shape("sequential create"))?);
            completion.value_bytes = Some(value.len);
        }
        Operation::Delete { .. } => {
            if !record.is_empty() {
                return Err(shape("delete"));
            }
        }
        Operation::Close => {
            if !record.is_empty() {
                return Err(shape("closeSession"));
            }
        }
        Operation::Sync { .. } => {
            string(record).ok_or_else(|| shape("sync"))?;
        }
        Operation::Multi { count, value, .. } => {
            let mut input = Reader::new(record);
            let results = MultiResult::decode_list(&mut input).map_err(|e| protocol(&e))?;
            if results.len() != usize::from(count) || !input.is_empty() {
                return Err(shape("multi"));
            }
            match MultiResult::failure(&results) {
                Some(code) => {
                    completion.outcome = outcome::of_write(code);
                    completion.code = code.0;
                }
                None => completion.value_bytes = Some(value.len),
            }
        }
    }
    Ok(())
}

/// Length of the data, and where the stat starts, in the record of getData.
#[inline]
fn data_and_stat(record: &[u8]) -> Option<(usize, usize)> {
    let (prefix, rest) = record.split_first_chunk::<4>()?;
    let len = usize::try_from(i32::from_be_bytes(*prefix).max(0)).ok()?;
    (rest.len() == len + Stat::LEN).then_some((len, 4 + len))
}

pub(super) fn data_version(record: &[u8]) -> Option<i32> {
    let (_, stat) = data_and_stat(record)?;
    Stat::peek_version(&record[stat..])
}

/// The stat at the end of a record of getChildren2, behind the list.
fn list_stat(record: &[u8]) -> Option<&[u8]> {
    (record.len() >= 4 + Stat::LEN).then(|| &record[record.len() - Stat::LEN..])
}

/// The bytes of a record that is one string.
#[inline]
fn string(record: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = record.split_first_chunk::<4>()?;
    (usize::try_from(i32::from_be_bytes(*prefix)).ok()? == rest.len()).then_some(rest)
}

/// The number in the last ten characters of a sequential node's path.
fn sequence_number(path: &[u8]) -> Option<u32> {
    let digits = path.last_chunk::<10>()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

pub(super) fn protocol(error: &quorumeter_zk::jute::DecodeError) -> ConnectionError {
    ConnectionError::Protocol(error.to_string())
}

pub(super) fn shape(op: &str) -> ConnectionError {
    ConnectionError::Protocol(format!("a reply to {op} has not the form of one"))
}
