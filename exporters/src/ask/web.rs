//! Questions over HTTP.

use quorumeter_targets::http::{Answer as HttpAnswer, Http, HttpError, Limits};
use tokio::time::Instant;

use super::told::{Answer, Failure};
use crate::asked::ProblemKind;

/// The longest answer that is taken, bytes: many times what the longest of real servers has.
pub(super) const ANSWER_MAX: usize = 8 << 20;

/// A question, and which statuses mean what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// Behind the address.
    pub(super) path: &'static str,
    /// What is sent with a POST; a GET without.
    pub(super) json: Option<&'static str>,
    /// Statuses beside 200 with an answer like it.
    pub(super) answered: &'static [u16],
    /// Statuses by which a member says that it does not answer this question.
    pub(super) refused: &'static [u16],
    /// Statuses by which something else than the system says that it does not know the question.
    pub(super) foreign: &'static [u16],
}

impl Question {
    /// Only 200 is an answer, and 404 says that there is none to be had.
    pub(super) const fn get(path: &'static str) -> Question {
        Question { path, json: None, answered: &[], refused: &[404], foreign: &[] }
    }

    pub(super) async fn ask(&self, http: &Http, deadline: Instant) -> Answer {
        let limits = Limits { time: deadline.saturating_duration_since(Instant::now()), bytes: ANSWER_MAX };
        let answer = match self.json {
            Some(json) => http.post(self.path, json, limits).await,
            None => http.get(self.path, limits).await,
        };
        let HttpAnswer { status, body } = answer.map_err(failure)?;
        if self.refused.contains(&status) {
            return Err(Failure::Refused);
        }
        if self.foreign.contains(&status) {
            let detail = format!("nobody knows {} there (status {status})", self.path);
            return Err(Failure::Problem(ProblemKind::Missing, detail));
        }
        if status != 200 && !self.answered.contains(&status) {
            let said = String::from_utf8_lossy(&body);
            let detail = format!("{} is answered with status {status}: {}", self.path, said.trim());
            return Err(Failure::Problem(ProblemKind::Status, detail));
        }
        let not_text = |_| Failure::Problem(ProblemKind::Binary, "the answer is no text".to_owned());
        String::from_utf8(body).map_err(not_text)
    }
}

fn failure(error: HttpError) -> Failure {
    let kind = match &error {
        HttpError::Connect(_) => ProblemKind::Connect,
        HttpError::Tls(_) => ProblemKind::Tls,
        HttpError::Timeout(_) => ProblemKind::Timeout,
        HttpError::Closed => ProblemKind::Closed,
        HttpError::TooLong(_) => ProblemKind::TooLong,
        HttpError::NotHttp(_) => ProblemKind::Syntax,
        HttpError::Io(_) => ProblemKind::Io,
    };
    Failure::Problem(kind, error.to_string())
}
