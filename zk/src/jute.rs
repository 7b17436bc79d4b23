//! Jute, the serialisation of ZooKeeper's wire protocol: big-endian fixed-width numbers, length-prefixed
//! strings and buffers (length −1 is null), count-prefixed vectors, records without any tags.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The largest element count that a vector may announce. A frame's own limit bounds it further, because every
/// element takes at least one byte.
pub const MAX_VECTOR_LEN: usize = 4_000_000;

/// Why bytes are not the record they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("{what} needs {needed} bytes, and {left} are left")]
    Truncated {
        /// The value.
        what: &'static str,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A length that is negative and not the null marker, or beyond its limit.
    #[error("{what} has the length {length}, outside of 0 to {limit}")]
    Length {
        /// The value.
        what: &'static str,
        /// Its announced length.
        length: i32,
        /// The limit.
        limit: usize,
    },
    /// Null where the protocol has no null.
    #[error("{0} is null")]
    Null(&'static str),
    /// Text that is neither UTF-8 nor Java's form of it.
    #[error("{0} is not text")]
    Text(&'static str),
    /// A value outside of its enumeration.
    #[error("{what} has the value {value}, which the protocol does not know")]
    Value {
        /// The value's name.
        what: &'static str,
        /// What was found.
        value: i32,
    },
    /// More bytes than the record has.
    #[error("{left} bytes follow the end of {what}")]
    Trailing {
        /// The record.
        what: &'static str,
        /// Bytes that follow.
        left: usize,
    },
}

/// Reads jute values from a byte slice, front to back.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    malformed: Malformed,
}

/// What becomes of text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Java's form of characters outside the basic plane is understood; anything else is an error.
    Refused,
    /// As [`java_text`] has it.
    Replaced,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`. Text is UTF-8 or Java's form of it (each surrogate as three bytes).
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, malformed: Malformed::Refused }
    }

    /// A reader that takes any text, as upstream's servers do (`BinaryInputArchive.readString`): what is not UTF-8 is
    /// replaced by U+FFFD. Java's own form of characters outside the basic plane is not UTF-8 to them.
    pub fn replacing(bytes: &'a [u8]) -> Self {
        Reader { bytes, malformed: Malformed::Replaced }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `n` bytes as they are.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.bytes.split_at_checked(n) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(DecodeError::Truncated { what, needed: n, left: self.bytes.len() }),
        }
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        match self.bytes.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(*taken)
            }
            None => Err(DecodeError::Truncated { what, needed: N, left: self.bytes.len() }),
        }
    }

    /// A byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[b]| b)
    }

    /// A boolean: one byte, true when it is not 0 (as `DataInput.readBoolean` has it).
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        self.u8(what).map(|b| b != 0)
    }

    /// An int.
    pub fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        self.array(what).map(i32::from_be_bytes)
    }

    /// A long.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.array(what).map(i64::from_be_bytes)
    }

    /// A buffer; `None` is null.
    pub fn buffer(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32(what)? {
            -1 => Ok(None),
            n => match usize::try_from(n) {
                Ok(n) => self.take(n, what).map(Some),
                Err(_) => Err(DecodeError::Length { what, length: n, limit: self.bytes.len() }),
            },
        }
    }

    /// A string; `None` is null.
    pub fn nullable_string(&mut self, what: &'static str) -> Result<Option<Cow<'a, str>>, DecodeError> {
        match self.buffer(what)? {
            None => Ok(None),
            Some(bytes) => match self.malformed {
                Malformed::Refused => text(bytes).map(Some).ok_or(DecodeError::Text(what)),
                Malformed::Replaced => Ok(Some(java_text(bytes))),
            },
        }
    }

    /// A string that must not be null.
    pub fn string(&mut self, what: &'static str) -> Result<Cow<'a, str>, DecodeError> {
        self.nullable_string(what)?.ok_or(DecodeError::Null(what))
    }

    /// A vector; null is an empty one. Every element is decoded once here, so that iterating cannot fail.
    pub fn list<T: Item<'a>>(&mut self, what: &'static str) -> Result<List<'a, T>, DecodeError> {
        let count = self.i32(what)?;
        if count == -1 {
            return Ok(List::default());
        }
        let count = match usize::try_from(count) {
            Ok(n) if n <= MAX_VECTOR_LEN => n,
            _ => return Err(DecodeError::Length { what, length: count, limit: MAX_VECTOR_LEN }),
        };
        let start = self.clone();
        for _ in 0..count {
            T::decode(self)?;
        }
        Ok(List::from_wire(start, self, count))
    }

    /// Fails unless everything has been read.
    pub fn end(&self, what: &'static str) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing { what, left: self.bytes.len() })
        }
    }
}

/// Text as it is, or after Java's form of characters outside the basic plane (each surrogate as three bytes) has
/// been turned into UTF-8.
fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(Cow::Borrowed(text)),
        Err(_) => from_surrogates(bytes).map(Cow::Owned),
    }
}

fn from_surrogates(mut bytes: &[u8]) -> Option<String> {
    fn surrogate(b: &[u8], second: std::ops::RangeInclusive<u8>) -> Option<u32> {
        match b {
            [0xed, s, t, ..] if second.contains(s) && (0x80..=0xbf).contains(t) => {
                Some(0xd000 | u32::from(s & 0x3f) << 6 | u32::from(t & 0x3f))
            }
            _ => None,
        }
    }
    let mut text = String::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let valid = match std::str::from_utf8(bytes) {
            Ok(rest) => rest,
            Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).ok()?,
        };
        text.push_str(valid);
        bytes = &bytes[valid.len()..];
        if !bytes.is_empty() {
            let high = surrogate(bytes, 0xa0..=0xaf)?;
            let low = surrogate(&bytes[3..], 0xb0..=0xbf)?;
            text.push(char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?);
            bytes = &bytes[6..];
        }
    }
    Some(text)
}

/// Bytes as `new String(bytes, UTF_8)` has them. Like the standard library's lossy conversion, Java puts one U+FFFD in
/// the place of each malformed sequence; unlike there, three bytes that would be a surrogate are one of them.
pub(crate) fn java_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut len = 0;
    java_pieces(bytes, |piece| len += piece.len());
    let mut text = String::with_capacity(len);
    java_pieces(bytes, |piece| text.push_str(piece));
    Cow::Owned(text)
}

fn java_pieces(mut bytes: &[u8], mut each: impl FnMut(&str)) {
    while !bytes.is_empty() {
        // The first chunk: valid text, and the malformed sequence that ends it, if there is one.
        let Some(chunk) = bytes.utf8_chunks().next() else { return };
        each(chunk.valid());
        bytes = &bytes[chunk.valid().len()..];
        if !chunk.invalid().is_empty() {
            each("\u{fffd}");
            let len = match bytes {
                [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
                [0xed, 0xa0..=0xbf, ..] => 2,
                _ => chunk.invalid().len(),
            };
            bytes = &bytes[len..];
        }
    }
}

/// Something that can stand in a jute vector.
pub trait Item<'a>: Sized + Clone {
    /// Reads one.
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError>;
    /// Appends one.
    fn encode(&self, out: &mut Vec<u8>);
}

impl<'a> Item<'a> for Cow<'a, str> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        input.string("string in a vector")
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self);
    }
}

/// A vector: either still in its wire form, or a slice that is about to be encoded. Neither side allocates.
#[derive(Clone)]
pub struct List<'a, T> {
    items: Items<'a, T>,
    of: PhantomData<T>,
}

#[derive(Clone)]
enum Items<'a, T> {
    Wire { input: Reader<'a>, count: usize },
    Slice(&'a [T]),
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        List { items: Items::Slice(&[]), of: PhantomData }
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(slice: &'a [T]) -> Self {
        List { items: Items::Slice(slice), of: PhantomData }
    }
}

impl<'a, T: Item<'a>> List<'a, T> {
    /// `count` elements in their wire form between two places of the same input, every one of which has been decoded
    /// before.
    pub(crate) fn from_wire(start: Reader<'a>, end: &Reader<'a>, count: usize) -> Self {
        let bytes = &start.bytes[..start.bytes.len() - end.bytes.len()];
        List { items: Items::Wire { input: Reader { bytes, ..start }, count }, of: PhantomData }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self.items {
            Items::Wire { count, .. } => count,
            Items::Slice(slice) => slice.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements in their order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let (mut wire, slice) = match &self.items {
            Items::Wire { input, .. } => (input.clone(), &[][..]),
            Items::Slice(slice) => (Reader::new(&[]), *slice),
        };
        let mut slice = slice.iter();
        std::iter::from_fn(move || match slice.next() {
            Some(item) => Some(item.clone()),
            None if wire.is_empty() => None,
            // `Reader::list` has decoded every element of these bytes before.
            None => T::decode(&mut wire).ok(),
        })
    }

    /// Appends count and elements.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_i32(out, i32::try_from(self.len()).unwrap_or(i32::MAX));
        self.encode_items(out);
    }

    /// Appends the elements.
    pub(crate) fn encode_items(&self, out: &mut Vec<u8>) {
        match &self.items {
            Items::Wire { input, .. } => out.extend_from_slice(input.bytes),
            Items::Slice(slice) => slice.iter().for_each(|item| item.encode(out)),
        }
    }
}

impl<'a, T: Item<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Item<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Appends a boolean.
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// Appends an int.
pub fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a long.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a buffer; `None` is null.
///
/// # Panics
/// Above 2 GiB, which no frame can hold.
pub fn put_buffer(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => put_i32(out, -1),
        Some(bytes) => {
            put_i32(out, i32::try_from(bytes.len()).expect("a buffer fits into a frame"));
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends a string.
pub fn put_string(out: &mut Vec<u8>, value: &str) {
    put_buffer(out, Some(value.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_javas_form_is_understood() {
        // U+1F980 as Java's writer has it: the surrogates d83e dd80, three bytes each.
        let java = [b'a', 0xed, 0xa0, 0xbe, 0xed, 0xb6, 0x80, b'z'];
        assert_eq!(text(&java).as_deref(), Some("a\u{1f980}z"));
        assert_eq!(text("a\u{1f980}z".as_bytes()).as_deref(), Some("a\u{1f980}z"));
        for bad in [
            &[0xff][..],
            &[0xed, 0xa0, 0xbe],
            &[0xed, 0xa0, 0xbe, 0x41],
            &[0xed, 0xb6, 0x80, 0xed, 0xa0, 0xbe],
        ] {
            assert_eq!(text(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn malformed_text_is_replaced_as_java_does_it() {
        // The output of OpenJDK 17.
        for (bytes, text) in [
            (&b"a\xffz"[..], "a\u{fffd}z"),
            (b"a\xc0\x80b", "a\u{fffd}\u{fffd}b"),
            (b"\xed\xa0\xbe\xed\xb6\x80", "\u{fffd}\u{fffd}"),
            (b"\xed\xbf\xbfy", "\u{fffd}y"),
            (b"\xed\xa0x", "\u{fffd}x"),
            (b"\xed\xa0", "\u{fffd}"),
            (b"\xed", "\u{fffd}"),
            (b"\xe2\x98x", "\u{fffd}x"),
            (b"\xe0\x80\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf0\x9f\xa6", "\u{fffd}"),
            (b"\xf4\x90\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            ("a\u{1f980}".as_bytes(), "a\u{1f980}"),
        ] {
            assert_eq!(java_text(bytes), text, "{bytes:x?}");
        }
        let mut record = Vec::new();
        put_i32(&mut record, 1);
        put_buffer(&mut record, Some(b"\xff"));
        assert!(Reader::new(&record).list::<Cow<'_, str>>("l").is_err());
        let list = Reader::replacing(&record).list::<Cow<'_, str>>("l").unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), ["\u{fffd}"]);
    }

    #[test]
    fn lengths_are_checked() {
        let mut bytes = Vec::new();
        put_i32(&mut bytes, -2);
        assert!(matches!(Reader::new(&bytes).buffer("b"), Err(DecodeError::Length { length: -2, .. })));
        bytes.clear();
        put_i32(&mut bytes, i32::MAX);
        assert!(matches!(Reader::new(&bytes).buffer("b"), Err(DecodeError::Truncated { .. })));
        assert!(matches!(Reader::new(&bytes).list::<Cow<'_, str>>("l"), Err(DecodeError::Length { .. })));
        bytes.clear();
        put_i32(&mut bytes, 3_000_000);
        assert!(matches!(Reader::new(&bytes).list::<Cow<'_, str>>("l"), Err(DecodeError::Truncated { .. })));
    }

    #[test]
    fn a_list_is_the_same_in_both_forms() {
        let slice = [Cow::Borrowed("a"), Cow::Borrowed("bc")];
        let list = List::from(&slice[..]);
        let mut bytes = Vec::new();
        list.encode(&mut bytes);
        let read = Reader::new(&bytes).list::<Cow<'_, str>>("l").unwrap();
        assert_eq!(read, list);
        let mut again = Vec::new();
        read.encode(&mut again);
        assert_eq!(again, bytes);
    }
}
