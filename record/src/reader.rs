//! Reading a record.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::history::{self, HistoryRow, HistoryRows};
use crate::hlog::{self, Entry};
use crate::line::WholeLines;
use crate::{
    EVENTS_FILE, Event, HLOG_FILE, INTERVALS_FILE, IntervalLine, MANIFEST_FILE, MEMBERS_FILE, Manifest,
    MemberLine, SUMMARY_FILE, Summary,
};

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no manifest.
    #[error(
        "{0} is not a run record: it has no {MANIFEST_FILE}; name the folder that `quorumeter run` wrote"
    )]
    NotARecord(PathBuf),
    /// The record's format is not one that this version knows.
    #[error(
        "{path} has the format {found:?}, and this version reads {known:?}; read it with the version that wrote it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The one that is known.
        known: &'static str,
    },
    /// The operating system refused.
    #[error("cannot read {path}: {source}{}", hint(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A file is damaged.
    #[error("{path}, line {line}: {cause}; the file was changed or damaged after it was written")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong, in words.
        cause: String,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; a record is read as a whole: copy its folder again, or run again",
        io::ErrorKind::PermissionDenied => "; make it readable, or read it as the user who ran it",
        _ => "",
    }
}

/// More bytes than a manifest or a summary has: a workload file has at most one million.
const MAX_JSON: u64 = 64 << 20;

/// An opened record. Files are read as they are asked for, a line at a time. A last line that is cut short (the
/// writer was killed) is left out; damage anywhere else is an error.
#[derive(Debug, Clone)]
pub struct RecordReader {
    dir: PathBuf,
    manifest: Manifest,
}

impl RecordReader {
    /// Opens the record in `dir` and checks its version.
    pub fn open(dir: &Path) -> Result<RecordReader, ReadError> {
        let path = dir.join(MANIFEST_FILE);
        let manifest = match read_versioned(&path, Manifest::SCHEMA) {
            Err(ReadError::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Err(ReadError::NotARecord(dir.to_owned()));
            }
            manifest => manifest?,
        };
        Ok(RecordReader { dir: dir.to_owned(), manifest })
    }

    /// The record's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The lines of `intervals.ndjson`.
    pub fn intervals(&self) -> Result<Lines<IntervalLine>, ReadError> {
        Lines::open(self.dir.join(INTERVALS_FILE))
    }

    /// The events.
    pub fn events(&self) -> Result<Lines<Event>, ReadError> {
        Lines::open(self.dir.join(EVENTS_FILE))
    }

    /// The member samples.
    pub fn members(&self) -> Result<Lines<MemberLine>, ReadError> {
        Lines::open(self.dir.join(MEMBERS_FILE))
    }

    /// The rows of all workers' histories, a worker's after the other's; none where no history was kept.
    pub fn history(&self) -> Result<impl Iterator<Item = Result<HistoryRow, ReadError>>, ReadError> {
        let files = history::files(&self.dir)?;
        let opened: Vec<HistoryRows> =
            files.iter().map(|f| HistoryRows::open(f)).collect::<Result<_, _>>()?;
        Ok(opened.into_iter().flatten())
    }

    /// The entries of the interval log, each with the number of its line.
    pub fn histograms(&self) -> Result<impl Iterator<Item = Result<(u64, Entry), ReadError>>, ReadError> {
        let path = self.dir.join(HLOG_FILE);
        let file = File::open(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
        Ok(hlog::entries(BufReader::new(file)).map(move |(line, entry)| match entry {
            Ok(Ok(entry)) => Ok((line, entry)),
            Ok(Err(e)) => Err(ReadError::Damaged { path: path.clone(), line, cause: e.to_string() }),
            Err(source) => Err(ReadError::Io { path: path.clone(), source }),
        }))
    }

    /// The summary, if one was written.
    pub fn summary(&self) -> Result<Option<Summary>, ReadError> {
        match read_versioned(&self.dir.join(SUMMARY_FILE), Summary::SCHEMA) {
            Ok(summary) => Ok(Some(summary)),
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Reads a summary that stands by itself, as one that was kept of a record.
///
/// # Errors
///
/// It cannot be read, is none, or has a format that this version does not know.
pub fn read_summary(path: &Path) -> Result<Summary, ReadError> {
    read_versioned(path, Summary::SCHEMA)
}

/// Reads a file that is one JSON value. Looks at its `schema` field before anything else, so that a newer format is
/// named and not called damaged.
fn read_versioned<T: DeserializeOwned>(path: &Path, known: &'static str) -> Result<T, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let damaged = |line, cause| ReadError::Damaged { path: path.to_owned(), line, cause };
    let of_json = |e: serde_json::Error| damaged(e.line() as u64, e.to_string());
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(MAX_JSON + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_JSON {
        return Err(damaged(1, format!("it has more than {MAX_JSON} bytes, and no such file has")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        damaged(1 + before.iter().filter(|b| **b == b'\n').count() as u64, "it is no text (UTF-8)".to_owned())
    })?;
    let value: serde_json::Value = serde_json::from_str(text).map_err(of_json)?;
    let found = value.get("schema").and_then(|s| s.as_str()).unwrap_or("none");
    if found != known {
        return Err(ReadError::Version { path: path.to_owned(), found: found.to_owned(), known });
    }
    // From the text once more, which knows its lines.
    serde_json::from_str(text).map_err(of_json)
}

/// The lines of one `.ndjson` file.
#[derive(Debug)]
pub struct Lines<T> {
    path: PathBuf,
    lines: WholeLines<BufReader<File>>,
    of: PhantomData<T>,
}

impl<T> Lines<T> {
    fn open(path: PathBuf) -> Result<Lines<T>, ReadError> {
        match File::open(&path) {
            Ok(file) => Ok(Lines { path, lines: WholeLines::new(BufReader::new(file)), of: PhantomData }),
            Err(source) => Err(ReadError::Io { path, source }),
        }
    }
}

impl<T: DeserializeOwned> Iterator for Lines<T> {
    type Item = Result<T, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (line, text) = self.lines.next()?;
        let damaged = |cause| ReadError::Damaged { path: self.path.clone(), line, cause };
        Some(match text {
            Ok(Ok(text)) => serde_json::from_str(text).map_err(|e| damaged(e.to_string())),
            Ok(Err(bad)) => Err(damaged(bad.to_string())),
            Err(source) => Err(ReadError::Io { path: self.path.clone(), source }),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::line::MAX_LINE;

    fn error(file: &str, content: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let manifest = r#"{
  "schema": "quorumeter.run/1",
  "run_id": 7
}"#;
        let content = if content.is_empty() { manifest.as_bytes() } else { content };
        fs::write(dir.path().join(file), content).unwrap();
        let error = match file {
            MANIFEST_FILE => RecordReader::open(dir.path()).map(|_| ()).unwrap_err(),
            _ => {
                let mut lines = Lines::<Event>::open(dir.path().join(file)).unwrap();
                lines.find_map(Result::err).unwrap()
            }
        };
        error.to_string().replace(dir.path().to_str().unwrap(), "")
    }

    #[test]
    fn errors_name_the_line() {
        let event = r#"{"t_ns":1,"event":"end"}"#;
        for (file, content, says) in [
            (MANIFEST_FILE, Vec::new(), "/run.json, line 3: invalid type: integer `7`"),
            (MANIFEST_FILE, b"{\n\n\xff}".to_vec(), "/run.json, line 3: it is no text (UTF-8)"),
            (MANIFEST_FILE, b"{".to_vec(), "/run.json, line 1: EOF"),
            (
                EVENTS_FILE,
                format!("{event}\n{event}\n{{}}\n").into_bytes(),
                "/events.ndjson, line 3: missing",
            ),
            (
                EVENTS_FILE,
                [event.as_bytes(), b"\n\xff\n"].concat(),
                "/events.ndjson, line 2: the line is no text",
            ),
            (EVENTS_FILE, vec![0; MAX_LINE + 1], "/events.ndjson, line 1: the line is longer than"),
        ] {
            let error = error(file, &content);
            assert!(error.starts_with(says), "{says}: {error}");
        }
    }

    #[test]
    fn a_missing_file_has_a_next_step() {
        let dir = tempfile::tempdir().unwrap();
        let error = Lines::<Event>::open(dir.path().join(EVENTS_FILE)).unwrap_err().to_string();
        assert!(error.contains("copy its folder again"), "{error}");
    }
}
