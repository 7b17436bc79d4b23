//! `history/worker-<n>.bin`: every op of the streams whose history is kept, and every watch event of theirs, in the
//! order in which they ended.
//!
//! A file begins with [`MAGIC`]; a row has [`ROW_BYTES`] bytes, little-endian, without padding:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `intended_ns` |
//! | 8 | 8 | `released_ns` |
//! | 16 | 8 | `sent_ns`; `u64::MAX` when no byte was handed over |
//! | 24 | 8 | `ended_ns` |
//! | 32 | 8 | `zxid` |
//! | 40 | 4 | `session` |
//! | 44 | 4 | `connection` |
//! | 48 | 4 | `key` |
//! | 52 | 4 | `code` |
//! | 56 | 4 | `version` |
//! | 60 | 2 | `stream` |
//! | 62 | 2 | `member`; `u16::MAX` when there was none |
//! | 64 | 1 | `op` |
//! | 65 | 1 | `kind`: 0 ok, 1 failed, 2 unknown, 3 shed, 4 event |
//! | 66 | 6 | 0 |
//!
//! A file that a killed process left may end within a row: what is left of it is no row.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::ReadError;

/// The folder of the histories within a record.
pub const HISTORY_DIR: &str = "history";

/// What a file of histories begins with: the name and version of the format.
pub const MAGIC: [u8; 16] = *b"quorumeter.hist1";

/// Length of a row, bytes.
pub const ROW_BYTES: usize = 72;

/// An op that ended, or a watch event that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRow {
    /// When the schedule says that the op starts; of an event, when it came. Nanoseconds since the run's start, as all
    /// times.
    pub intended_ns: u64,
    /// When the worker noticed that it was due.
    pub released_ns: u64,
    /// The clock before the write that handed its last byte over; `None` when no byte was handed over on its last
    /// connection.
    pub sent_ns: Option<u64>,
    /// When its reply came, or when it was given up or shed.
    pub ended_ns: u64,
    /// The reply's transaction id, or the event's where the system tells it; 0 when there is none.
    pub zxid: i64,
    /// Session within the stream, from 0.
    pub session: u32,
    /// Which of the session's connections it was handed over on, from 1; 0 when on none.
    pub connection: u32,
    /// Number of the dataset's node that it is about; `u32::MAX` when about none.
    pub key: u32,
    /// The reply's error code; 0 when there is none.
    pub code: i32,
    /// The node's data version in the reply to a read or write; −1 when there is none.
    pub version: i32,
    /// Position of the stream in the manifest's `streams`.
    pub stream: u16,
    /// Position of the member in the manifest's `target.members` that the connection was to; `None` when it was to none.
    pub member: Option<u16>,
    /// Position of the op in the stream's `ops` of the manifest.
    pub op: u8,
    /// What became of it.
    pub kind: RowKind,
}

/// What a row tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RowKind {
    /// The op succeeded.
    Ok = 0,
    /// The reply proves that nothing was applied.
    Failed = 1,
    /// Handed over, and nothing is proven.
    Unknown = 2,
    /// No byte was ever handed over.
    Shed = 3,
    /// A watch event.
    Event = 4,
}

impl RowKind {
    const ALL: [RowKind; 5] = [RowKind::Ok, RowKind::Failed, RowKind::Unknown, RowKind::Shed, RowKind::Event];
}

impl HistoryRow {
    /// The row's bytes.
    pub fn to_bytes(&self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        let mut at = 0;
        let mut put = |value: &[u8]| {
            bytes[at..at + value.len()].copy_from_slice(value);
            at += value.len();
        };
        put(&self.intended_ns.to_le_bytes());
        put(&self.released_ns.to_le_bytes());
        put(&self.sent_ns.unwrap_or(u64::MAX).to_le_bytes());
        put(&self.ended_ns.to_le_bytes());
        put(&self.zxid.to_le_bytes());
        put(&self.session.to_le_bytes());
        put(&self.connection.to_le_bytes());
        put(&self.key.to_le_bytes());
        put(&self.code.to_le_bytes());
        put(&self.version.to_le_bytes());
        put(&self.stream.to_le_bytes());
        put(&self.member.unwrap_or(u16::MAX).to_le_bytes());
        put(&[self.op, self.kind as u8]);
        bytes
    }

    /// The row of these bytes. An error says in words what no row has.
    pub fn from_bytes(bytes: &[u8; ROW_BYTES]) -> Result<HistoryRow, String> {
        fn piece<const N: usize>(bytes: &[u8; ROW_BYTES], at: usize) -> [u8; N] {
            std::array::from_fn(|i| bytes[at + i])
        }
        let u64_at = |at| u64::from_le_bytes(piece(bytes, at));
        let kind = usize::from(bytes[65]);
        let kind = RowKind::ALL.get(kind).ok_or_else(|| format!("a row has the unknown kind {kind}"))?;
        if bytes[66..] != [0; 6] {
            return Err("a row does not end in zeros".to_owned());
        }
        Ok(HistoryRow {
            intended_ns: u64_at(0),
            released_ns: u64_at(8),
            sent_ns: Some(u64_at(16)).filter(|t| *t != u64::MAX),
            ended_ns: u64_at(24),
            zxid: i64::from_le_bytes(piece(bytes, 32)),
            session: u32::from_le_bytes(piece(bytes, 40)),
            connection: u32::from_le_bytes(piece(bytes, 44)),
            key: u32::from_le_bytes(piece(bytes, 48)),
            code: i32::from_le_bytes(piece(bytes, 52)),
            version: i32::from_le_bytes(piece(bytes, 56)),
            stream: u16::from_le_bytes(piece(bytes, 60)),
            member: Some(u16::from_le_bytes(piece(bytes, 62))).filter(|m| *m != u16::MAX),
            op: bytes[64],
            kind: *kind,
        })
    }
}

/// The rows of one file.
#[derive(Debug)]
pub struct HistoryRows {
    path: PathBuf,
    file: BufReader<File>,
    /// Number of the next row, from 1.
    next: u64,
    over: bool,
}

impl HistoryRows {
    /// Opens a file of histories.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is none.
    pub fn open(path: &Path) -> Result<HistoryRows, ReadError> {
        let io = |source| ReadError::Io { path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let mut magic = [0; MAGIC.len()];
        match file.read_exact(&mut magic) {
            // Killed before anything was written.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => magic = MAGIC,
            result => result.map_err(io)?,
        }
        if magic != MAGIC {
            let cause = "it does not begin as a history does".to_owned();
            return Err(ReadError::Damaged { path: path.to_owned(), line: 1, cause });
        }
        Ok(HistoryRows { path: path.to_owned(), file, next: 1, over: false })
    }
}

impl Iterator for HistoryRows {
    type Item = Result<HistoryRow, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let mut bytes = [0; ROW_BYTES];
        let row = match self.file.read_exact(&mut bytes) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => None,
            Err(source) => Some(Err(ReadError::Io { path: self.path.clone(), source })),
            Ok(()) => Some(HistoryRow::from_bytes(&bytes).map_err(|cause| ReadError::Damaged {
                path: self.path.clone(),
                line: self.next,
                cause,
            })),
        };
        self.next += 1;
        self.over = !matches!(row, Some(Ok(_)));
        row
    }
}

/// The files of histories in a record's folder, by name; none when no history was kept.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let dir = dir.join(HISTORY_DIR);
    let io = |source| ReadError::Io { path: dir.clone(), source };
    let entries = match std::fs::read_dir(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u64) -> HistoryRow {
        HistoryRow {
            intended_ns: n,
            released_ns: n + 1,
            sent_ns: (!n.is_multiple_of(3)).then_some(n + 2),
            ended_ns: n + 3,
            zxid: -5 + n as i64,
            session: 6,
            connection: 7,
            key: u32::MAX,
            code: -101,
            version: -1,
            stream: 8,
            member: (!n.is_multiple_of(2)).then_some(9),
            op: 10,
            kind: RowKind::ALL[n as usize % 5],
        }
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        for n in 0..10 {
            assert_eq!(HistoryRow::from_bytes(&row(n).to_bytes()), Ok(row(n)));
        }
        let mut bytes = row(0).to_bytes();
        bytes[65] = 5;
        assert!(HistoryRow::from_bytes(&bytes).unwrap_err().contains("unknown kind 5"));
        let mut bytes = row(0).to_bytes();
        bytes[71] = 1;
        assert!(HistoryRow::from_bytes(&bytes).is_err());
    }

    #[test]
    fn a_file_that_was_cut_has_its_whole_rows_and_a_damaged_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker-0.bin");
        let mut content = MAGIC.to_vec();
        content.extend((0..3).flat_map(|n| row(n).to_bytes()));
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            HistoryRows::open(&path).map(Iterator::collect::<Vec<_>>)
        };
        let rows = read(&content).unwrap();
        assert_eq!(rows.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [row(0), row(1), row(2)]);
        for cut in [1, ROW_BYTES - 1] {
            assert_eq!(read(&content[..content.len() - cut]).unwrap().len(), 2);
        }
        assert!(read(&MAGIC[..7]).unwrap().is_empty());
        content[16 + ROW_BYTES + 65] = 77;
        let rows = read(&content).unwrap();
        assert_eq!(rows.len(), 2, "nothing is read beyond the damage");
        assert!(matches!(&rows[1], Err(ReadError::Damaged { line: 2, .. })), "{rows:?}");
        content[0] = b'Q';
        assert!(matches!(read(&content), Err(ReadError::Damaged { .. })));
    }
}
