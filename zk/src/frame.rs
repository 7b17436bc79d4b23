//! Frames: a length (int32, big endian, not counting itself) and as many bytes.

use crate::jute::put_i32;
use crate::op::OpCode;

/// Bytes of the length that precedes every frame.
pub const PREFIX_LEN: usize = 4;

/// The frame length that a server accepts unless configured otherwise: `jute.maxbuffer`, 0xfffff.
pub const DEFAULT_MAX_FRAME: usize = 0xf_ffff;

/// A frame's length that is negative or beyond the limit. The stream cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame announces {length} bytes, outside of 0 to {limit}")]
pub struct FrameTooLong {
    /// What it announces.
    pub length: i32,
    /// What is accepted.
    pub limit: usize,
}

/// What the front of a byte stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front<'a> {
    /// A whole frame: its body. It takes [`PREFIX_LEN`] more bytes of the stream than the body has.
    Frame(&'a [u8]),
    /// Part of a frame, which takes so many bytes in all, prefix included, as far as that is known.
    Partial {
        /// Bytes of the whole frame with its prefix; [`PREFIX_LEN`] while the prefix itself is incomplete.
        needed: usize,
    },
}

/// Looks at the front of a byte stream.
#[inline]
pub fn front(bytes: &[u8], limit: usize) -> Result<Front<'_>, FrameTooLong> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_LEN>() else {
        return Ok(Front::Partial { needed: PREFIX_LEN });
    };
    let length = i32::from_be_bytes(*prefix);
    match usize::try_from(length) {
        Ok(n) if n <= limit => match rest.get(..n) {
            Some(body) => Ok(Front::Frame(body)),
            None => Ok(Front::Partial { needed: PREFIX_LEN + n }),
        },
        _ => Err(FrameTooLong { length, limit }),
    }
}

/// Opens a frame at the end of `out`: a length to be filled in by [`end`]. Returns the mark for it.
#[inline]
pub fn begin(out: &mut Vec<u8>) -> usize {
    let mark = out.len();
    out.extend_from_slice(&[0; PREFIX_LEN]);
    mark
}

/// Opens the frame of a request: length, xid and op code.
#[inline]
pub fn begin_request(out: &mut Vec<u8>, xid: i32, op: OpCode) -> usize {
    let mark = out.len();
    let mut header = [0; 12];
    header[4..8].copy_from_slice(&xid.to_be_bytes());
    header[8..12].copy_from_slice(&op.0.to_be_bytes());
    out.extend_from_slice(&header);
    mark
}

/// Closes the frame that was opened at `mark`.
///
/// # Panics
/// When the frame is longer than 2 GiB or `mark` is not one of `out`.
#[inline]
pub fn end(out: &mut [u8], mark: usize) {
    let length = i32::try_from(out.len() - mark - PREFIX_LEN).expect("a frame fits into an int32");
    out[mark..mark + PREFIX_LEN].copy_from_slice(&length.to_be_bytes());
}

/// Appends a whole frame.
pub fn put(out: &mut Vec<u8>, body: &[u8]) {
    put_i32(out, i32::try_from(body.len()).expect("a frame fits into an int32"));
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_of_a_stream() {
        let mut stream = Vec::new();
        put(&mut stream, b"abc");
        put(&mut stream, b"");
        assert_eq!(front(&stream, 10), Ok(Front::Frame(b"abc")));
        assert_eq!(front(&stream[7..], 10), Ok(Front::Frame(b"")));
        assert_eq!(front(&stream[..6], 10), Ok(Front::Partial { needed: 7 }));
        assert_eq!(front(&stream[..3], 10), Ok(Front::Partial { needed: 4 }));
        assert_eq!(front(&stream, 2), Err(FrameTooLong { length: 3, limit: 2 }));
        assert_eq!(front(&(-1i32).to_be_bytes(), 10), Err(FrameTooLong { length: -1, limit: 10 }));
        assert!(front(&i32::MAX.to_be_bytes(), DEFAULT_MAX_FRAME).is_err());
    }
}
