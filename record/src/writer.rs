//! Writing a record, as the run goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::history::MAGIC;
use crate::hlog::LogWriter;
use crate::{
    EVENTS_FILE, Event, HISTORY_DIR, HLOG_FILE, HistoryRow, INTERVALS_FILE, IntervalLine, MANIFEST_FILE,
    MEMBERS_FILE, Manifest, MemberLine, SUMMARY_FILE, Summary,
};

/// Why a record could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The folder exists and holds something.
    #[error(
        "the output folder {0} already holds a record or other files; choose another --out, or remove it"
    )]
    NotEmpty(PathBuf),
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}{}", hint(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space or choose a folder on another disk with --out"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder that may be written with --out"
        }
        _ => "",
    }
}

/// Writes one record. Every method leaves what it wrote with the operating system before it returns, in whole
/// lines, so that the death of this process loses nothing that was given to it.
pub struct RecordWriter {
    dir: PathBuf,
    intervals: LineFile,
    hlog: LineFile,
    members: LineFile,
    events: LineFile,
    log: LogWriter,
    /// By worker; none until it has something to tell.
    histories: Vec<Option<LineFile>>,
}

impl RecordWriter {
    /// Makes the folder (its parents too) and opens the files. An existing folder must be empty.
    pub fn create(dir: &Path, manifest: &Manifest) -> Result<RecordWriter, WriteError> {
        fs::create_dir_all(dir).map_err(|e| io_error("create the folder", dir, e))?;
        let mut entries = fs::read_dir(dir).map_err(|e| io_error("list the folder", dir, e))?;
        if entries.next().is_some() {
            return Err(WriteError::NotEmpty(dir.to_owned()));
        }
        let mut writer = RecordWriter {
            dir: dir.to_owned(),
            intervals: LineFile::create(dir, INTERVALS_FILE)?,
            hlog: LineFile::create(dir, HLOG_FILE)?,
            members: LineFile::create(dir, MEMBERS_FILE)?,
            events: LineFile::create(dir, EVENTS_FILE)?,
            log: LogWriter::new(),
            histories: Vec::new(),
        };
        writer.manifest(manifest)?;
        let start_s = manifest.wall_start.unix_ns as f64 / 1e9;
        writer
            .hlog
            .buffer(|out, log| log.header(out, start_s, &manifest.wall_start.rfc3339), &mut writer.log);
        writer.hlog.flush()?;
        Ok(writer)
    }

    /// The record's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Replaces the manifest.
    pub fn manifest(&self, manifest: &Manifest) -> Result<(), WriteError> {
        self.replace(MANIFEST_FILE, manifest)
    }

    /// Replaces the summary.
    pub fn summary(&self, summary: &Summary) -> Result<(), WriteError> {
        self.replace(SUMMARY_FILE, summary)
    }

    /// Appends lines to `intervals.ndjson`.
    pub fn intervals<'a>(
        &mut self,
        lines: impl IntoIterator<Item = &'a IntervalLine>,
    ) -> Result<(), WriteError> {
        for line in lines {
            self.intervals.json(line);
        }
        self.intervals.flush()
    }

    /// Appends one histogram to the interval log; [`RecordWriter::flush_histograms`] hands it over.
    pub fn histogram(&mut self, tag: &str, start_ns: u64, end_ns: u64, histogram: &Histogram<u64>) {
        self.hlog.buffer(|out, log| log.entry(out, tag, start_ns, end_ns, histogram), &mut self.log);
    }

    /// Hands over the histograms since the last call.
    pub fn flush_histograms(&mut self) -> Result<(), WriteError> {
        self.hlog.flush()
    }

    /// Appends rows to the history of a worker.
    pub fn history<'a>(
        &mut self,
        worker: usize,
        rows: impl IntoIterator<Item = &'a HistoryRow>,
    ) -> Result<(), WriteError> {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        if self.histories.len() <= worker {
            self.histories.resize_with(worker + 1, || None);
        }
        let file = match &mut self.histories[worker] {
            Some(file) => file,
            none => {
                let dir = self.dir.join(HISTORY_DIR);
                fs::create_dir_all(&dir).map_err(|e| io_error("create the folder", &dir, e))?;
                let mut file = LineFile::create(&dir, &format!("worker-{worker}.bin"))?;
                file.buffer.extend(MAGIC);
                none.insert(file)
            }
        };
        rows.for_each(|row| file.buffer.extend(row.to_bytes()));
        file.flush()
    }

    /// Appends an event.
    pub fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        self.events.json(event);
        self.events.flush()
    }

    /// Appends the samples of one poll.
    pub fn members<'a>(&mut self, lines: impl IntoIterator<Item = &'a MemberLine>) -> Result<(), WriteError> {
        for line in lines {
            self.members.json(line);
        }
        self.members.flush()
    }

    fn replace(&self, name: &'static str, value: &impl Serialize) -> Result<(), WriteError> {
        let path = self.dir.join(name);
        let new = self.dir.join(format!("{name}.new"));
        let mut text = serde_json::to_string_pretty(value).expect("record types have string keys only");
        text.push('\n');
        fs::write(&new, text).map_err(|e| io_error("write", &new, e))?;
        fs::rename(&new, &path).map_err(|e| io_error("replace", &path, e))
    }
}

/// A file that grows by whole lines or rows. After a failed write it stays cut at a whole line where the operating
/// system lets it, and the lines that did not fit are dropped.
struct LineFile {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    written: u64,
}

impl LineFile {
    fn create(dir: &Path, name: &str) -> Result<LineFile, WriteError> {
        let path = dir.join(name);
        // Appending: after a cut, the next line follows what is left, and not a hole.
        let file = File::options()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| io_error("create", &path, e))?;
        Ok(LineFile { path, file, buffer: Vec::new(), written: 0 })
    }

    fn json(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.buffer, value).expect("record types have string keys only");
        self.buffer.push(b'\n');
    }

    fn buffer(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, &mut LogWriter) -> io::Result<()>,
        log: &mut LogWriter,
    ) {
        write(&mut self.buffer, log).expect("writing to memory does not fail");
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let result = self.file.write_all(&self.buffer);
        if result.is_ok() {
            self.written += self.buffer.len() as u64;
        } else {
            self.cut();
        }
        self.buffer.clear();
        result.map_err(|e| io_error("write", &self.path, e))
    }

    /// Removes what was written of lines that did not fit.
    fn cut(&self) {
        // Best effort: a record that ends in half a line is still read.
        let _ = self.file.set_len(self.written);
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> WriteError {
    WriteError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_follow_a_failed_write_follow_the_whole_ones() {
        let dir = tempfile::tempdir().unwrap();
        let mut lines = LineFile::create(dir.path(), "lines").unwrap();
        lines.json(&1);
        lines.flush().unwrap();
        // What a full disk leaves of a write.
        lines.file.write_all(b"22222").unwrap();
        lines.cut();
        lines.json(&3);
        lines.flush().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("lines")).unwrap(), "1\n3\n");
    }
}
