//! What came of asking the members of a cluster once.

use std::time::Duration;

use crate::sample::Sample;

/// What came of asking one member.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// The member: the host and port of its client address, as it was given.
    pub member: String,
    /// What it told; `None` when nothing came that is an answer of its kind, and the member counts as not up.
    pub sample: Option<Sample>,
    /// How long it took to ask all.
    pub took: Duration,
    /// What went wrong, by source. A source that is refused or not there is no error.
    pub problems: Vec<Problem>,
    /// Whether somebody else who asked at the same time has the same answers, and counts what went wrong.
    pub is_counted: bool,
    /// Whether the member answers this kind of question, by source; of those that were asked.
    pub sources: Vec<(&'static str, bool)>,
}

/// A question that has not told what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What was asked: `srvr`, `mntr`, `lgif`, `zabstate`, `metrics`, `status`, …
    pub source: &'static str,
    /// What went wrong.
    pub kind: ProblemKind,
    /// In words, for the log: the answer's own text is shortened and made printable.
    pub detail: String,
}

/// What may go wrong with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// There is no connection to be had.
    Connect,
    /// TLS was not agreed upon.
    Tls,
    /// The answer was not complete in time.
    Timeout,
    /// The connection ended before the answer did.
    Closed,
    /// The answer was longer than one may be.
    TooLong,
    /// The network, otherwise.
    Io,
    /// HTTP with a status that is none of an answer.
    Status,
    /// Understood by nobody: there is nothing in it.
    Empty,
    /// It is no text.
    Binary,
    /// It lacks what it must have.
    Missing,
    /// A value in it is not what it should be.
    Value,
    /// Its form is not what it should be.
    Syntax,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [ProblemKind; 12] = [
        ProblemKind::Connect,
        ProblemKind::Tls,
        ProblemKind::Timeout,
        ProblemKind::Closed,
        ProblemKind::TooLong,
        ProblemKind::Io,
        ProblemKind::Status,
        ProblemKind::Empty,
        ProblemKind::Binary,
        ProblemKind::Missing,
        ProblemKind::Value,
        ProblemKind::Syntax,
    ];

    /// Its name in labels.
    pub fn name(self) -> &'static str {
        match self {
            ProblemKind::Connect => "connect",
            ProblemKind::Tls => "tls",
            ProblemKind::Timeout => "timeout",
            ProblemKind::Closed => "closed",
            ProblemKind::TooLong => "too_long",
            ProblemKind::Io => "io",
            ProblemKind::Status => "status",
            ProblemKind::Empty => "empty",
            ProblemKind::Binary => "binary",
            ProblemKind::Missing => "missing",
            ProblemKind::Value => "value",
            ProblemKind::Syntax => "syntax",
        }
    }

    /// Whether there was an answer, which could not be understood: `quorum_parse_errors_total` counts it, and
    /// `quorum_scrape_errors_total` the others.
    pub fn is_of_parsing(self) -> bool {
        matches!(
            self,
            ProblemKind::Empty
                | ProblemKind::Binary
                | ProblemKind::Missing
                | ProblemKind::Value
                | ProblemKind::Syntax
        )
    }
}
