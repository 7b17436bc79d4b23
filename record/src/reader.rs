//! Reading a record.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::hlog::{self, Entry};
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
    #[error("cannot read {path}: {source}")]
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
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(ReadError::NotARecord(dir.to_owned()));
            }
            Err(source) => return Err(ReadError::Io { path, source }),
        };
        let manifest = parse_versioned(&path, &text, Manifest::SCHEMA)?;
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

    /// The entries of the interval log.
    pub fn histograms(&self) -> Result<impl Iterator<Item = Result<Entry, ReadError>>, ReadError> {
        let path = self.dir.join(HLOG_FILE);
        let file = File::open(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
        Ok(hlog::entries(BufReader::new(file)).map(move |entry| match entry {
            Ok((_, Ok(entry))) => Ok(entry),
            Ok((line, Err(e))) => Err(ReadError::Damaged { path: path.clone(), line, cause: e.to_string() }),
            Err(source) => Err(ReadError::Io { path: path.clone(), source }),
        }))
    }

    /// The summary, if one was written.
    pub fn summary(&self) -> Result<Option<Summary>, ReadError> {
        let path = self.dir.join(SUMMARY_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => parse_versioned(&path, &text, Summary::SCHEMA).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ReadError::Io { path, source }),
        }
    }
}

/// Looks at the `schema` field before anything else, so that a newer format is named and not called damaged.
fn parse_versioned<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    known: &'static str,
) -> Result<T, ReadError> {
    let damaged = |e: serde_json::Error| ReadError::Damaged {
        path: path.to_owned(),
        line: e.line() as u64,
        cause: e.to_string(),
    };
    let value: serde_json::Value = serde_json::from_str(text).map_err(damaged)?;
    let found = value.get("schema").and_then(|s| s.as_str()).unwrap_or("none");
    if found != known {
        return Err(ReadError::Version { path: path.to_owned(), found: found.to_owned(), known });
    }
    serde_json::from_value(value).map_err(damaged)
}

/// The lines of one `.ndjson` file.
#[derive(Debug)]
pub struct Lines<T> {
    path: PathBuf,
    input: BufReader<File>,
    buffer: String,
    number: u64,
    of: PhantomData<T>,
}

impl<T> Lines<T> {
    fn open(path: PathBuf) -> Result<Lines<T>, ReadError> {
        match File::open(&path) {
            Ok(file) => Ok(Lines {
                path,
                input: BufReader::new(file),
                buffer: String::new(),
                number: 0,
                of: PhantomData,
            }),
            Err(source) => Err(ReadError::Io { path, source }),
        }
    }
}

impl<T: DeserializeOwned> Iterator for Lines<T> {
    type Item = Result<T, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.buffer.clear();
        self.number += 1;
        match self.input.read_line(&mut self.buffer) {
            Ok(_) if !self.buffer.ends_with('\n') => None,
            Ok(_) => Some(serde_json::from_str(&self.buffer).map_err(|e| ReadError::Damaged {
                path: self.path.clone(),
                line: self.number,
                cause: e.to_string(),
            })),
            Err(source) => Some(Err(ReadError::Io { path: self.path.clone(), source })),
        }
    }
}
