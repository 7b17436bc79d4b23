//! Answers of members, from `fixtures/`.

#![allow(dead_code, reason = "no test uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};

use quorumeter_exporters::{ParseError, Sample, keeper, zookeeper};

/// A file of answers: `fixtures/SYSTEM/FOLDER/MEMBER.QUESTION.(txt|json)`.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    /// `SYSTEM/FOLDER/MEMBER.QUESTION.txt`
    pub(crate) path: String,
    /// What was asked.
    pub(crate) question: String,
    /// What was answered.
    pub(crate) text: String,
}

/// Reads a fixture.
pub(crate) fn fixture(path: &str) -> Fixture {
    let text = fs::read_to_string(folder().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let question = path.rsplit('.').nth(1).unwrap().to_owned();
    Fixture { path: path.to_owned(), question, text }
}

/// All fixtures of a system, in the order of their paths.
pub(crate) fn fixtures(system: &str) -> Vec<Fixture> {
    let mut all = Vec::new();
    for sub in entries(&folder().join(system)).into_iter().filter(|sub| sub.is_dir()) {
        for file in entries(&sub).into_iter().filter(|file| file.extension() != Some("md".as_ref())) {
            let path = file.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned();
            all.push(fixture(&path));
        }
    }
    assert!(!all.is_empty(), "{system} has fixtures");
    all
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

impl Fixture {
    /// Takes it into a sample.
    pub(crate) fn take(&self, sample: &mut Sample) -> Result<(), ParseError> {
        take(sample, &self.path, &self.question, &self.text)
    }

    /// What it tells alone.
    pub(crate) fn told(&self) -> Sample {
        let mut sample = Sample::default();
        self.take(&mut sample).unwrap_or_else(|error| panic!("{}: {error}", self.path));
        sample
    }
}

/// Takes an answer to a question into a sample. The path tells of which system it is.
pub(crate) fn take(sample: &mut Sample, path: &str, question: &str, text: &str) -> Result<(), ParseError> {
    let parse = match question {
        "srvr" => zookeeper::srvr,
        "mntr" => zookeeper::mntr,
        "conf" => zookeeper::conf,
        "zabstate" => zookeeper::zabstate,
        "voting_view" => zookeeper::voting_view,
        "leader" => zookeeper::leader,
        "last_snapshot" => zookeeper::last_snapshot,
        "monitor" => zookeeper::monitor,
        "lgif" => keeper::lgif,
        "metrics" if path.starts_with("keeper") => keeper::prometheus,
        "metrics" => zookeeper::prometheus,
        other => panic!("{path}: {other} is no question"),
    };
    parse(sample, text)
}
