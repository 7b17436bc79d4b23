//! From TOML to fields, with errors that point at the key.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use quorumeter_targets::spelling::{explain, nearest, unknown_field};
use serde_path_to_error::Segment;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::file::WorkloadFile;

/// The largest workload file, bytes.
pub const MAX_FILE: usize = 1 << 20;

/// A value given on the command line in the place of the file's: `stream.key=value`, or `table.key=value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Where, as given.
    pub path: String,
    /// The value, as given.
    pub value: String,
}

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((path, value)) if !path.trim().is_empty() => {
                Ok(Override { path: path.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(format!("{text:?} is no override; write STREAM.KEY=VALUE, as in app.rate=30k/s")),
        }
    }
}

/// Why a plan will not do.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanError {
    /// What is wrong.
    pub message: String,
    /// What would help.
    pub help: Option<String>,
    /// The place in the file, as a range of bytes, when it is the file's fault.
    pub span: Option<Range<usize>>,
    /// The override, when it is one's fault.
    pub override_path: Option<String>,
}

impl PlanError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> PlanError {
        PlanError { message: message.into(), help: None, span: None, override_path: None }
    }

    /// The same, with what would help.
    pub fn with_help(mut self, help: impl Into<String>) -> PlanError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.override_path {
            Some(path) => write!(f, "--set {path}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for PlanError {}

/// Reads a workload file, and puts the overrides in. Says where each field came from, for later errors.
pub fn read(text: &str, overrides: &[Override]) -> Result<(WorkloadFile, Origins), PlanError> {
    let spanned = DeTable::parse(text).map_err(|e| PlanError {
        message: e.message().to_owned(),
        help: Some("the file is TOML: see https://toml.io".into()),
        span: e.span(),
        override_path: None,
    })?;
    let mut table: Table = toml::from_str(text).map_err(|e| PlanError::new(e.message()))?;
    let mut origins = Origins { spans: Vec::new(), overridden: Vec::new() };
    note_spans(spanned.get_ref(), &mut Vec::new(), &mut origins.spans);
    for o in overrides {
        let path = put_in(&mut table, o)?;
        origins.overridden.push((path, o.path.clone()));
    }
    let file: WorkloadFile = serde_path_to_error::deserialize(Value::Table(table)).map_err(|e| {
        let mut path: Vec<String> = e
            .path()
            .iter()
            .filter_map(|segment| match segment {
                Segment::Seq { index } => Some(index.to_string()),
                Segment::Map { key } => Some(key.clone()),
                Segment::Enum { variant } => Some(variant.clone()),
                Segment::Unknown => None,
            })
            .collect();
        let (message, help) = explain(e.inner().message(), path.last().map(String::as_str));
        if let Some(unknown) = unknown_field(e.inner().message())
            && path.last().map(String::as_str) != Some(unknown)
        {
            path.push(unknown.to_owned());
        }
        origins.error(&path, message, help)
    })?;
    Ok((file, origins))
}

/// Where fields came from.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// Paths in the file, with the place of the key and value.
    spans: Vec<(Vec<String>, Range<usize>)>,
    /// Paths that were overridden, with the override's own text.
    overridden: Vec<(Vec<String>, String)>,
}

impl Origins {
    /// An error about the field at `path`, or about the innermost table around it that is there.
    pub fn error(&self, path: &[String], message: String, help: Option<String>) -> PlanError {
        let of_override = self.overridden.iter().find(|(p, _)| p == path).map(|(_, given)| given.clone());
        let span = (0..=path.len())
            .rev()
            .find_map(|n| self.spans.iter().find(|(p, _)| *p == path[..n]).map(|(_, span)| span.clone()));
        PlanError {
            message,
            help,
            span: if of_override.is_some() { None } else { span },
            override_path: of_override,
        }
    }
}

fn note_spans(table: &DeTable<'_>, path: &mut Vec<String>, spans: &mut Vec<(Vec<String>, Range<usize>)>) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        spans.push((path.clone(), key.span().start..value.span().end.max(key.span().end)));
        match value.get_ref() {
            DeValue::Table(inner) => note_spans(inner, path, spans),
            DeValue::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    path.push(i.to_string());
                    spans.push((path.clone(), item.span()));
                    if let DeValue::Table(inner) = item.get_ref() {
                        note_spans(inner, path, spans);
                    }
                    path.pop();
                }
            }
            _ => {}
        }
        path.pop();
    }
}

/// Keys of the top level, which a stream cannot be named after.
pub(super) const TOP_LEVEL: [&str; 9] =
    ["name", "seed", "phases", "dataset", "client", "engine", "stream", "gates", "abort"];

/// Puts an override's value into the table. Returns its path in the file's own terms.
fn put_in(table: &mut Table, o: &Override) -> Result<Vec<String>, PlanError> {
    let fail = |message: String, help: String| PlanError {
        message,
        help: Some(help),
        span: None,
        override_path: Some(o.path.clone()),
    };
    let value = parse_value(&o.value);
    let (first, rest) = match o.path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (o.path.as_str(), None),
    };
    // A gate's name has dots of its own.
    if let ("gates" | "abort", Some(metric)) = (first, rest) {
        let entry = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(inner) = entry {
            inner.insert(metric.to_owned(), value);
        }
        return Ok(vec![first.to_owned(), metric.to_owned()]);
    }
    let mut path: Vec<String> = Vec::new();
    let mut at = table;
    if !TOP_LEVEL.contains(&first) || first == "stream" {
        let streams = at.get_mut("stream").and_then(Value::as_array_mut);
        let names: Vec<String> = streams
            .iter()
            .flat_map(|s| s.iter())
            .filter_map(|s| s.get("name")?.as_str().map(str::to_owned))
            .collect();
        let place = names.iter().position(|n| n == first);
        let (Some(streams), Some(place)) = (streams, place) else {
            let known = names.iter().map(String::as_str).chain(TOP_LEVEL);
            let nearest = nearest(first, known).map(|n| format!("did you mean {n:?}? ")).unwrap_or_default();
            return Err(fail(
                format!("there is no stream and no table {first:?}"),
                format!("{nearest}streams of this workload: {}", names.join(", ")),
            ));
        };
        path.extend(["stream".to_owned(), place.to_string()]);
        match streams.get_mut(place).and_then(Value::as_table_mut) {
            Some(stream) => at = stream,
            None => return Err(fail("the stream is not a table".into(), "see the workload file".into())),
        }
        if rest.is_none() {
            return Err(fail(
                format!("{first:?} is a whole stream"),
                format!("name one of its keys, as in {first}.rate=30k/s"),
            ));
        }
    } else if rest.is_none() {
        at.insert(first.to_owned(), value);
        return Ok(vec![first.to_owned()]);
    } else {
        path.push(first.to_owned());
        let entry = at.entry(first).or_insert_with(|| Value::Table(Table::new()));
        match entry.as_table_mut() {
            Some(inner) => at = inner,
            None => {
                return Err(fail(format!("{first:?} is no table"), format!("write {first}=VALUE")));
            }
        }
    }
    let keys: Vec<&str> = rest.unwrap_or_default().split('.').collect();
    let (last, tables) = keys.split_last().unwrap_or((&"", &[]));
    for key in tables {
        path.push((*key).to_owned());
        let entry = at.entry(*key).or_insert_with(|| Value::Table(Table::new()));
        match entry.as_table_mut() {
            Some(inner) => at = inner,
            None => return Err(fail(format!("{key:?} is no table"), "name a key of the workload".into())),
        }
    }
    path.push((*last).to_owned());
    at.insert((*last).to_owned(), value);
    Ok(path)
}

/// A TOML value, or, where the text is none, the text itself.
fn parse_value(text: &str) -> Value {
    toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}
