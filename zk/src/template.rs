//! Requests that are encoded once and then patched.
//!
//! A load generator sends the same few requests with another xid and another path each time. A template holds
//! the encoded record of such a request; writing one is a copy, a few decimal digits, and the frame's length.
//!
//! ```
//! use quorumeter_zk::template::{PathPattern, Template};
//! use quorumeter_zk::OpCode;
//!
//! let read = Template::flagged(OpCode::GET_DATA, &PathPattern::new("/bench/{4}/{8}"), false);
//! let mut out = Vec::new();
//! read.write(&mut out, 7, &[3, 42]);
//! assert!(out.windows(19).any(|w| w == b"/bench/0003/0000004"));
//! ```

use crate::acl::Acl;
use crate::frame;
use crate::jute::{List, put_bool, put_buffer, put_i32, put_string};
use crate::multi::MultiOp;
use crate::op::OpCode;

/// A path with decimal fields of fixed width: `{8}` stands for 8 digits with leading zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    fields: Vec<Field>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    start: usize,
    width: usize,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Panics
    /// When a brace is not part of a field `{1}` to `{19}`: patterns are written by programmers.
    pub fn new(pattern: &str) -> PathPattern {
        PathPattern::below("", pattern)
    }

    /// Reads a pattern that goes on behind `prefix`, which is taken as it is: braces are allowed in paths.
    ///
    /// # Panics
    /// As [`PathPattern::new`] does, because of `pattern` alone.
    pub fn below(prefix: &str, pattern: &str) -> PathPattern {
        let mut text = prefix.to_owned();
        let mut fields = Vec::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once('{') {
            let (width, behind) = after.split_once('}').expect("a field ends with }");
            let width: usize = width.parse().expect("a field is a number of digits");
            assert!((1..=19).contains(&width), "a field has 1 to 19 digits");
            text.push_str(before);
            fields.push(Field { start: text.len(), width });
            text.extend(std::iter::repeat_n('0', width));
            rest = behind;
        }
        assert!(!rest.contains('}'), "a }} without its {{");
        text.push_str(rest);
        PathPattern { text, fields }
    }

    /// The path with these numbers in its fields.
    pub fn path(&self, numbers: &[u64]) -> String {
        let mut bytes = self.text.clone().into_bytes();
        fill(&mut bytes, 0, &self.fields, numbers);
        String::from_utf8(bytes).expect("digits replace digits")
    }

    /// Bytes of the path.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether the path is empty.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The numbers in the fields of `path`, if it is one of this pattern's.
    pub fn parse(&self, path: &str, numbers: &mut [u64]) -> Option<()> {
        let path = path.as_bytes();
        if path.len() != self.text.len() || numbers.len() != self.fields.len() {
            return None;
        }
        let mut done = 0;
        for (field, number) in self.fields.iter().zip(numbers) {
            let end = field.start + field.width;
            if path[done..field.start] != self.text.as_bytes()[done..field.start] {
                return None;
            }
            *number = 0;
            for digit in &path[field.start..end] {
                if !digit.is_ascii_digit() {
                    return None;
                }
                *number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            }
            done = end;
        }
        (path[done..] == self.text.as_bytes()[done..]).then_some(())
    }
}

/// A request without data, encoded with a pattern for its path.
#[derive(Debug, Clone)]
pub struct Template {
    op: OpCode,
    head: Head,
    /// The record behind the path.
    tail: Vec<u8>,
}

impl Template {
    /// A request of a path alone.
    ///
    /// # Panics
    /// Unless `op` is sync, getACL or getAllChildrenNumber.
    pub fn plain(op: OpCode, path: &PathPattern) -> Template {
        assert!(matches!(op, OpCode::SYNC | OpCode::GET_ACL | OpCode::GET_ALL_CHILDREN_NUMBER), "{op}");
        Template { op, head: Head::new(path), tail: Vec::new() }
    }

    /// A request of a path and a watch flag.
    ///
    /// # Panics
    /// Unless `op` is exists, getData, getChildren or getChildren2.
    pub fn flagged(op: OpCode, path: &PathPattern, watch: bool) -> Template {
        let has_flag =
            matches!(op, OpCode::EXISTS | OpCode::GET_DATA | OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2);
        assert!(has_flag, "{op}");
        let mut tail = Vec::new();
        put_bool(&mut tail, watch);
        Template { op, head: Head::new(path), tail }
    }

    /// A request of a path and an int.
    ///
    /// # Panics
    /// Unless `op` is delete (the int is a version), addWatch (a mode), checkWatches or removeWatches (a type).
    pub fn numbered(op: OpCode, path: &PathPattern, number: i32) -> Template {
        let has_number =
            matches!(op, OpCode::DELETE | OpCode::ADD_WATCH | OpCode::CHECK_WATCHES | OpCode::REMOVE_WATCHES);
        assert!(has_number, "{op}");
        let mut tail = Vec::new();
        put_i32(&mut tail, number);
        Template { op, head: Head::new(path), tail }
    }

    /// Appends the frame of a request.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, xid: i32, numbers: &[u64]) {
        let mark = frame::begin_request(out, xid, self.op);
        self.head.write(out, numbers);
        out.extend_from_slice(&self.tail);
        frame::end(out, mark);
    }
}

/// A request with data, encoded with a pattern for its path.
#[derive(Debug, Clone)]
pub struct DataTemplate {
    op: OpCode,
    head: Head,
    /// The record behind the data.
    tail: Vec<u8>,
}

impl DataTemplate {
    /// setData of any version.
    pub fn set_data(path: &PathPattern) -> DataTemplate {
        let mut tail = Vec::new();
        put_i32(&mut tail, -1);
        DataTemplate { op: OpCode::SET_DATA, head: Head::new(path), tail }
    }

    /// One of the creates without a time to live.
    ///
    /// # Panics
    /// Unless `op` is create, create2 or createContainer.
    pub fn create(op: OpCode, path: &PathPattern, acl: &[Acl<'_>], flags: i32) -> DataTemplate {
        assert!(matches!(op, OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER), "{op}");
        let mut tail = Vec::new();
        List::from(acl).encode(&mut tail);
        put_i32(&mut tail, flags);
        DataTemplate { op, head: Head::new(path), tail }
    }

    /// Appends the frame of a request.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, xid: i32, numbers: &[u64], data: &[u8]) {
        let mark = frame::begin_request(out, xid, self.op);
        self.head.write(out, numbers);
        put_buffer(out, Some(data));
        out.extend_from_slice(&self.tail);
        frame::end(out, mark);
    }

    /// Appends the frame of a setData request that requires a version.
    ///
    /// # Panics
    /// Unless the template is one of [`DataTemplate::set_data`].
    #[inline]
    pub fn write_versioned(&self, out: &mut Vec<u8>, xid: i32, numbers: &[u64], data: &[u8], version: i32) {
        assert_eq!(self.op, OpCode::SET_DATA, "other requests have no version behind their data");
        let mark = frame::begin_request(out, xid, self.op);
        self.head.write(out, numbers);
        put_buffer(out, Some(data));
        put_i32(out, version);
        frame::end(out, mark);
    }

    /// Appends the request as one op of a multi.
    #[inline]
    pub fn write_multi_op(&self, out: &mut Vec<u8>, numbers: &[u64], data: &[u8]) {
        MultiOp::encode_header(self.op, out);
        self.head.write(out, numbers);
        put_buffer(out, Some(data));
        out.extend_from_slice(&self.tail);
    }
}

/// A record up to and including the path.
#[derive(Debug, Clone)]
struct Head {
    bytes: Vec<u8>,
    /// Fields of the path, relative to the start of `bytes`.
    fields: Vec<Field>,
}

impl Head {
    fn new(path: &PathPattern) -> Head {
        let mut bytes = Vec::new();
        put_string(&mut bytes, &path.text);
        let offset = bytes.len() - path.text.len();
        let fields = path.fields.iter().map(|f| Field { start: f.start + offset, width: f.width }).collect();
        Head { bytes, fields }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>, numbers: &[u64]) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        fill(out, start, &self.fields, numbers);
    }
}

/// Writes each number into its field, the lowest digits last. Digits beyond the field's width are lost: whoever
/// lays out the paths chooses a width that holds them all.
#[inline]
fn fill(bytes: &mut [u8], start: usize, fields: &[Field], numbers: &[u64]) {
    debug_assert_eq!(fields.len(), numbers.len());
    for (field, &number) in fields.iter().zip(numbers) {
        let digits = &mut bytes[start + field.start..][..field.width];
        let mut left = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        debug_assert_eq!(left, 0, "the number {number} is wider than its field");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Reader;
    use crate::request::{Create, Request, RequestHeader, VersionedPath, WatchedPath, create_mode};

    fn frame_of(request: &Request<'_>, xid: i32) -> Vec<u8> {
        let mut out = Vec::new();
        request.encode_frame(&mut out, xid);
        out
    }

    #[test]
    fn a_template_writes_what_the_encoder_writes() {
        let pattern = PathPattern::new("/a/{3}/n{10}");
        let (numbers, path) = ([7, 1234567], "/a/007/n0001234567");
        assert_eq!(pattern.path(&numbers), path);
        let watched = |watch| WatchedPath { path: path.into(), watch };
        let mut out = Vec::new();

        Template::flagged(OpCode::GET_DATA, &pattern, false).write(&mut out, 9, &numbers);
        assert_eq!(out, frame_of(&Request::GetData(watched(false)), 9));
        out.clear();
        Template::flagged(OpCode::GET_CHILDREN2, &pattern, true).write(&mut out, 9, &numbers);
        assert_eq!(out, frame_of(&Request::GetChildren2(watched(true)), 9));
        out.clear();
        Template::plain(OpCode::SYNC, &pattern).write(&mut out, 9, &numbers);
        assert_eq!(out, frame_of(&Request::Sync { path: path.into() }, 9));
        out.clear();
        Template::numbered(OpCode::DELETE, &pattern, -1).write(&mut out, 9, &numbers);
        assert_eq!(out, frame_of(&Request::Delete(VersionedPath { path: path.into(), version: -1 }), 9));
        out.clear();
        let set = DataTemplate::set_data(&pattern);
        set.write(&mut out, 9, &numbers, b"xyz");
        let request = |version| Request::SetData { path: path.into(), data: Some(b"xyz"), version };
        assert_eq!(out, frame_of(&request(-1), 9));
        out.clear();
        set.write_versioned(&mut out, 9, &numbers, b"xyz", 4);
        assert_eq!(out, frame_of(&request(4), 9));
        out.clear();
        let acl = [Acl::OPEN];
        DataTemplate::create(OpCode::CREATE, &pattern, &acl, create_mode::EPHEMERAL)
            .write(&mut out, 9, &numbers, b"");
        let create = Create {
            path: path.into(),
            data: Some(b""),
            acl: List::from(&acl[..]),
            flags: create_mode::EPHEMERAL,
        };
        assert_eq!(out, frame_of(&Request::Create(create), 9));
    }

    #[test]
    fn ops_of_another_shape_are_refused() {
        let pattern = PathPattern::new("/a");
        let taken = |make: &dyn Fn(OpCode)| {
            let refused = OpCode::ALL
                .iter()
                .filter(|op| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| make(**op))).is_err());
            OpCode::ALL.len() - refused.count()
        };
        assert_eq!(taken(&|op| _ = Template::plain(op, &pattern)), 3);
        assert_eq!(taken(&|op| _ = Template::flagged(op, &pattern, true)), 4);
        assert_eq!(taken(&|op| _ = Template::numbered(op, &pattern, 1)), 4);
        assert_eq!(taken(&|op| _ = DataTemplate::create(op, &pattern, &[], 0)), 3);
    }

    #[test]
    fn a_multi_of_templates_is_a_multi() {
        let set = DataTemplate::set_data(&PathPattern::new("/{2}"));
        let mut out = Vec::new();
        let mark = frame::begin_request(&mut out, 1, OpCode::MULTI);
        set.write_multi_op(&mut out, &[1], b"a");
        set.write_multi_op(&mut out, &[2], b"b");
        MultiOp::encode_end(&mut out);
        frame::end(&mut out, mark);
        let mut input = Reader::new(&out[frame::PREFIX_LEN..]);
        let header = RequestHeader::decode(&mut input).unwrap();
        let Some(Request::Multi(ops)) = Request::decode(header.op, &mut input).unwrap() else { panic!() };
        let ops: Vec<_> = ops.iter().collect();
        assert_eq!(ops[1], MultiOp::SetData { path: "/02".into(), data: Some(b"b"), version: -1 });
        assert_eq!(ops.len(), 2);
        assert!(input.is_empty());
    }

    #[test]
    fn braces_in_a_prefix_are_text() {
        for prefix in ["/a{b", "/a{3}", "/}", "/{20}/{", ""] {
            let pattern = PathPattern::below(prefix, "/d/{3}");
            let path = format!("{prefix}/d/042");
            assert_eq!((pattern.path(&[42]), pattern.len()), (path.clone(), path.len()));
            let mut numbers = [0];
            assert_eq!(pattern.parse(&path, &mut numbers), Some(()));
            assert_eq!(numbers, [42]);
            let mut out = Vec::new();
            Template::plain(OpCode::SYNC, &pattern).write(&mut out, 1, &[42]);
            assert_eq!(out, frame_of(&Request::Sync { path: path.into() }, 1));
        }
    }

    #[test]
    fn a_pattern_reads_its_own_paths_only() {
        let pattern = PathPattern::new("/a/{3}/n{10}");
        let mut numbers = [0, 0];
        assert_eq!(pattern.parse("/a/007/n0001234567", &mut numbers), Some(()));
        assert_eq!(numbers, [7, 1234567]);
        for other in
            ["/a/007/m0001234567", "/a/0x7/n0001234567", "/a/007/n000123456", "/a/007/n00012345678", ""]
        {
            assert_eq!(pattern.parse(other, &mut numbers), None, "{other}");
        }
    }
}
