//! Distorting output.

use std::borrow::Cow;

use quorumeter_zk::event::{SessionState, WatchedEvent};
use quorumeter_zk::frame::{self, Front, PREFIX_LEN};
use quorumeter_zk::op::xid;

use super::ReplyFault;

/// What is to be done with the connection after its reply was distorted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// Send this behind the next reply.
    Withhold(Vec<u8>),
    Silence,
    Close,
    Reset,
}

/// Where the reply begins in what was appended to `out` behind `mark`: its last frame, unless that is an
/// event.
pub(super) fn reply_start(out: &[u8], mark: usize) -> Option<usize> {
    let mut at = mark;
    let mut reply = None;
    while let Ok(Front::Frame(body)) = frame::front(&out[at..], usize::MAX) {
        let is_event = body.starts_with(&xid::NOTIFICATION.to_be_bytes());
        reply = if is_event { reply } else { Some(at) };
        at += PREFIX_LEN + body.len();
    }
    reply
}

/// Distorts the reply that begins at `start` and ends `out`.
pub(super) fn distort(out: &mut Vec<u8>, start: usize, fault: &ReplyFault) -> Then {
    match fault {
        ReplyFault::Drop => {
            out.truncate(start);
            Then::GoOn
        }
        ReplyFault::WrongXid => {
            if let Some(xid) = out[start..].get_mut(PREFIX_LEN..PREFIX_LEN + 4) {
                let number = xid.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
                xid.copy_from_slice(&number.wrapping_add(1000).to_be_bytes());
            }
            Then::GoOn
        }
        ReplyFault::Swap => Then::Withhold(out.split_off(start)),
        ReplyFault::HalfThenSilence => {
            halve(out, start);
            Then::Silence
        }
        ReplyFault::HalfThenClose => {
            halve(out, start);
            Then::Close
        }
        ReplyFault::HugeLength => {
            out.truncate(start);
            out.extend_from_slice(&i32::MAX.to_be_bytes());
            out.extend_from_slice(&[0; 64]);
            Then::Silence
        }
        ReplyFault::Garbage(bytes) => {
            out.splice(start..start, bytes.iter().copied());
            Then::GoOn
        }
        ReplyFault::Notification(kind, path) => {
            let mut event = Vec::new();
            let path = Cow::Borrowed(path.as_str());
            WatchedEvent { kind: *kind, state: SessionState::SYNC_CONNECTED, path }
                .encode_frame(&mut event, -1);
            out.splice(start..start, event);
            Then::GoOn
        }
        ReplyFault::Close => {
            out.truncate(start);
            Then::Close
        }
        ReplyFault::Reset => {
            out.truncate(start);
            Then::Reset
        }
    }
}

/// Keeps half of what begins at `start`.
pub(super) fn halve(out: &mut Vec<u8>, start: usize) {
    out.truncate(start + (out.len() - start) / 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_is_found_behind_events() {
        let mut out = b"sent before".to_vec();
        let mark = out.len();
        assert_eq!(reply_start(&out, mark), None);
        let event = |out: &mut Vec<u8>| frame::put(out, &[255, 255, 255, 255, 0]);
        event(&mut out);
        assert_eq!(reply_start(&out, mark), None);
        let start = out.len();
        frame::put(&mut out, &[0, 0, 0, 7, 1, 2, 3, 4]);
        assert_eq!(reply_start(&out, mark), Some(start));
        let whole = out.clone();
        assert_eq!(distort(&mut out, start, &ReplyFault::WrongXid), Then::GoOn);
        assert_eq!(out[start + 4..start + 8], 1007u32.to_be_bytes());
        halve(&mut out, start);
        assert_eq!(out, [&whole[..start], &[0, 0, 0, 8, 0, 0][..]].concat());
    }
}
