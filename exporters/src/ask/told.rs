//! What a member told, as its answers come.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::asked::{Asked, Problem, ProblemKind};
use crate::parse_error::{ParseError, shown};
use crate::sample::Sample;

/// How long a question that a member refuses is not asked again.
pub const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Reads an answer.
pub(super) type Parse = fn(&mut Sample, &str) -> Result<(), ParseError>;

/// An answer, or why there is none.
pub(super) type Answer = Result<String, Failure>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The member does not answer this question.
    Refused,
    /// Something went wrong.
    Problem(ProblemKind, String),
}

/// The questions that a member refuses.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<&'static str, Instant>>);

impl Refusals {
    fn until(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a question, unless the member has just refused it.
    pub(super) async fn put(&self, source: &'static str, answer: impl Future<Output = Answer>) -> Answer {
        if self.are_in_force(source) { Err(Failure::Refused) } else { answer.await }
    }

    fn are_in_force(&self, source: &'static str) -> bool {
        self.until().get(source).is_some_and(|until| Instant::now() < *until)
    }
}

/// What a member told until now.
pub(super) struct Told<'a> {
    sample: Sample,
    /// Whether anything came that is an answer of its kind.
    is_up: bool,
    problems: Vec<Problem>,
    sources: Vec<(&'static str, bool)>,
    refusals: &'a Refusals,
}

impl<'a> Told<'a> {
    pub(super) fn new(refusals: &'a Refusals) -> Told<'a> {
        Told { sample: Sample::default(), is_up: false, problems: Vec::new(), sources: Vec::new(), refusals }
    }

    /// What was told, for questions that follow from it.
    pub(super) fn sample(&mut self) -> &mut Sample {
        &mut self.sample
    }

    /// The questions that are not to be put now.
    pub(super) fn refusals(&self) -> &'a Refusals {
        self.refusals
    }

    /// Takes in an answer.
    pub(super) fn take(&mut self, source: &'static str, answer: Answer, parse: Parse) {
        match answer {
            Ok(text) => match parse(&mut self.sample, &text) {
                Ok(()) => {
                    self.is_up = true;
                    self.sources.push((source, true));
                    self.refusals.until().remove(source);
                }
                Err(error) if error.is_refusal() => {
                    // To say so is an answer.
                    self.is_up = true;
                    self.refuse(source);
                }
                Err(error) => self.problem(source, error.kind(), &error.to_string()),
            },
            Err(Failure::Refused) => self.refuse(source),
            Err(Failure::Problem(kind, detail)) => self.problem(source, kind, &detail),
        }
    }

    fn refuse(&mut self, source: &'static str) {
        self.sources.push((source, false));
        if !self.refusals.are_in_force(source) {
            self.refusals.until().insert(source, Instant::now() + REFUSED_FOR);
        }
    }

    fn problem(&mut self, source: &'static str, kind: ProblemKind, detail: &str) {
        self.problems.push(Problem { source, kind, detail: shown(detail) });
    }

    pub(super) fn into_asked(self, member: String, took: Duration) -> Asked {
        let Told { sample, is_up, problems, sources, .. } = self;
        Asked { member, sample: is_up.then_some(sample), took, problems, sources, is_counted: false }
    }
}
