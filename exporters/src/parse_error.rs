//! Why an answer tells nothing, whatever the dialect.

use std::fmt::Write as _;

use quorumeter_zk::four_letter::AnswerError;
use serde::de::DeserializeOwned;

use crate::asked::ProblemKind;

/// Characters of an answer that an error shows at most.
const SHOWN_MAX: usize = 80;

/// Why an answer tells nothing. What it shows of the answer is short and printable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is nothing in it.
    #[error("the answer is empty")]
    Empty,
    /// It is no text.
    #[error("the answer is no text")]
    Binary,
    /// It lacks what it must have.
    #[error("the answer has no {0}")]
    Missing(&'static str),
    /// A value is not what it should be.
    #[error("{field} is {value:?}")]
    Value {
        /// Its name.
        field: String,
        /// What was found.
        value: String,
    },
    /// Its form is not what it should be.
    #[error("the answer cannot be read: {0}")]
    Syntax(String),
    /// The member says why it has no other answer.
    #[error("the member says: {0}")]
    Failed(String),
    /// The member does not answer this question: it is not on its whitelist, or not known to it. That is a state of
    /// the member, not an error.
    #[error("the member does not answer this question")]
    Refused,
}

impl ParseError {
    /// A value that is not what it should be.
    pub(crate) fn value(field: &str, value: &str) -> ParseError {
        ParseError::Value { field: shown(field), value: shown(value) }
    }

    /// A form that is not what it should be.
    pub(crate) fn syntax(what: &str) -> ParseError {
        ParseError::Syntax(shown(what))
    }

    /// Whether it is none: [`ParseError::Refused`].
    pub fn is_refusal(&self) -> bool {
        *self == ParseError::Refused
    }

    /// What kind of problem it is. Ask [`ParseError::is_refusal`] first: a refusal is none, and would be the one of an
    /// answer that lacks what it must have.
    pub fn kind(&self) -> ProblemKind {
        match self {
            ParseError::Empty => ProblemKind::Empty,
            ParseError::Binary => ProblemKind::Binary,
            ParseError::Missing(_) | ParseError::Refused => ProblemKind::Missing,
            ParseError::Value { .. } | ParseError::Failed(_) => ProblemKind::Value,
            ParseError::Syntax(_) => ProblemKind::Syntax,
        }
    }
}

impl From<AnswerError> for ParseError {
    /// A member that is not serving is for its parser to tell; what comes here has told nothing.
    fn from(error: AnswerError) -> ParseError {
        match error {
            AnswerError::NotWhitelisted => ParseError::Refused,
            AnswerError::NotServing => ParseError::Failed("not serving".to_owned()),
            AnswerError::Empty => ParseError::Empty,
            AnswerError::Missing(what) => ParseError::Missing(what),
            AnswerError::Value { field, value } => ParseError::value(field, &value),
        }
    }
}

/// Refuses what is empty or no text: a control character, or what stands for a byte that could not be decoded.
pub(crate) fn check_text(answer: &str) -> Result<(), ParseError> {
    let is_of_text = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    if answer.trim().is_empty() {
        Err(ParseError::Empty)
    } else if answer.chars().all(|c| is_of_text(c) && c != char::REPLACEMENT_CHARACTER) {
        Ok(())
    } else {
        Err(ParseError::Binary)
    }
}

/// Reads JSON. Unknown fields are passed over.
///
/// # Errors
///
/// [`ParseError::Empty`], [`ParseError::Binary`], [`ParseError::Syntax`], and [`ParseError::Value`] for JSON of another shape.
pub fn json<T: DeserializeOwned>(answer: &str) -> Result<T, ParseError> {
    check_text(answer)?;
    serde_json::from_str(answer).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ParseError::value("the JSON", &error.to_string()),
        _ => ParseError::syntax(&error.to_string()),
    })
}

/// A part of an answer as an error may show it.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(SHOWN_MAX) {
        if c.is_control() {
            // Writing to a string does not fail.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_shows_is_short_and_printable() {
        assert_eq!(shown("plain"), "plain");
        assert_eq!(shown("\u{1b}[31m\n"), "\\u{1b}[31m\\n");
        assert_eq!(shown(&"é".repeat(1_000_000)), format!("{}…", "é".repeat(SHOWN_MAX)));
    }

    #[test]
    fn each_error_is_of_a_kind() {
        type Any = serde_json::Map<String, serde_json::Value>;
        for (answer, kind) in [
            ("", ProblemKind::Empty),
            (" \r\n", ProblemKind::Empty),
            ("\0", ProblemKind::Binary),
            ("{\"a\": \"\u{fffd}\"}", ProblemKind::Binary),
            ("<html>", ProblemKind::Syntax),
            ("{\"a\": 1", ProblemKind::Syntax),
            ("[]", ProblemKind::Value),
        ] {
            assert_eq!(json::<Any>(answer).map_err(|error| error.kind()), Err(kind), "{answer:?}");
        }
        assert!(json::<Any>("{\"a\": 1}").is_ok());
        let refused = ParseError::from(AnswerError::NotWhitelisted);
        assert!(refused.is_refusal() && !ParseError::Empty.is_refusal());
    }
}
