//! The Prometheus text format 0.0.4, as servers write it: read strictly, in linear time and bounded memory.
//!
//! What counts is on the lines of the series. Types are not needed to read them: a histogram is told by `_bucket`,
//! `_sum` and `_count`, and a summary by the last two. Quantiles of a summary are series like others, and of no use here:
//! most servers compute them over their own lifetime.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::parse_error::{ParseError, check_text, shown};
use crate::sample::Histogram;

/// Series of an answer at most.
pub const SERIES_MAX: usize = 200_000;

/// Labels of a series at most.
pub const LABELS_MAX: usize = 64;

/// Values of a label by which series are told apart at most: peers, and kinds of requests. Servers have a few; each costs a
/// look at all series of its name.
pub const VALUES_MAX: usize = 256;

/// An answer, taken apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scraped {
    declared: HashSet<String>,
    series: HashMap<String, Vec<(Labels, f64)>>,
}

/// The labels of a series, in the order of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(label, value)| (label == name).then_some(value))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether these are among them.
    fn have(&self, wanted: &[(&str, &str)]) -> bool {
        wanted.iter().all(|(name, value)| self.get(name) == Some(*value))
    }
}

/// Reads an answer.
///
/// # Errors
///
/// [`ParseError::Empty`] and [`ParseError::Binary`]; [`ParseError::Syntax`] for a line of another form, one that is cut
/// off, and more than [`SERIES_MAX`] series; [`ParseError::Value`] for what is no number; [`ParseError::Missing`] where
/// there is no series at all.
pub fn parse(text: &str) -> Result<Scraped, ParseError> {
    check_text(text)?;
    let mut scraped = Scraped::default();
    let mut series = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bad = |error| match error {
            Bad::Form => ParseError::Syntax(format!("line {}: {:?}", number + 1, shown(line.trim_end()))),
            Bad::Value { name, value } => ParseError::value(name, value),
        };
        // The format ends every line with a newline: one without was cut off, and its value may have been.
        let content = line.strip_suffix('\n').ok_or_else(|| bad(Bad::Form))?.trim_matches(BLANK);
        if content.is_empty() {
            continue;
        }
        if let Some(comment) = content.strip_prefix('#') {
            if let Some(name) = declaration(comment).map_err(bad)? {
                scraped.declared.insert(name.to_owned());
            }
            continue;
        }
        series += 1;
        if series > SERIES_MAX {
            return Err(ParseError::Syntax(format!("there are more than {SERIES_MAX} series")));
        }
        let (name, labels, value) = one_series(content).map_err(bad)?;
        scraped.add(name, labels, value);
    }
    if series == 0 { Err(ParseError::Missing("series")) } else { Ok(scraped) }
}

impl Scraped {
    /// Series of another format: `name` or `name{label="value"}`, and the value. What is no name is passed over, and so
    /// is what goes beyond [`SERIES_MAX`].
    pub(crate) fn of_entries<'a>(entries: impl Iterator<Item = (&'a str, f64)>) -> Scraped {
        let mut scraped = Scraped::default();
        for (key, value) in entries.take(SERIES_MAX) {
            if let Some((name, labels, "")) = name_and_labels(key) {
                scraped.add(name, labels, value);
            }
        }
        scraped
    }

    fn add(&mut self, name: &str, labels: Labels, value: f64) {
        match self.series.get_mut(name) {
            Some(others) => others.push((labels, value)),
            None => _ = self.series.insert(name.to_owned(), vec![(labels, value)]),
        }
    }

    /// The names of all series, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// The value of the only series of this name, whatever its labels; `None` where there are none or several. NaN is
    /// one.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.number_with(name, &[])
    }

    /// The same of the series that have these labels, whatever their others.
    pub fn number_with(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.with(name).filter(|(of, _)| of.have(labels));
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }

    /// All series of this name, in the order of the answer.
    pub fn with(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.series.get(name).into_iter().flatten().map(|(labels, value)| (labels, *value))
    }

    /// The values that a label has in the series of this name, sorted, the first [`VALUES_MAX`] of them.
    pub(crate) fn values_of(&self, name: &str, label: &str) -> Vec<&str> {
        let values: BTreeSet<_> = self.with(name).filter_map(|(labels, _)| labels.get(label)).collect();
        values.into_iter().take(VALUES_MAX).collect()
    }

    /// The histogram of this name with these labels, or the sum and number of a summary, in the server's own unit.
    /// Where several series differ by other labels, their sum; `None` where that makes no sense: other buckets, a number
    /// that is none, buckets that are not cumulative, a part that is not there.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Option<Histogram> {
        let counts = self.part(name, "_count", labels);
        let sums = self.part(name, "_sum", labels);
        if counts.is_empty() || counts.len() != sums.len() {
            return None;
        }
        let mut count: u64 = 0;
        for (_, one) in &counts {
            count = count.checked_add(whole(*one)?)?;
        }
        let sum: f64 = sums.iter().map(|(_, one)| one).sum();
        if !sum.is_finite() {
            return None;
        }
        let mut buckets: Vec<(f64, u64, usize)> = Vec::new();
        for (of, value) in self.part(name, "_bucket", labels) {
            let (bound, value) =
                (of.get("le")?.parse::<f64>().ok().filter(|le| !le.is_nan())?, whole(value)?);
            buckets.push((bound, value, 1));
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets.dedup_by(|next, first| {
            let is_same = next.0 == first.0;
            if is_same {
                (first.1, first.2) = (first.1.saturating_add(next.1), first.2 + 1);
            }
            is_same
        });
        let is_complete = buckets.iter().all(|(.., of)| *of == counts.len());
        let is_cumulative = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
        if !is_complete || !is_cumulative {
            return None;
        }
        // A server may count on between two lines: what stands in the buckets is of one instant.
        match buckets.pop() {
            Some((bound, all, _)) if bound == f64::INFINITY => count = all,
            Some(_) => return None,
            None => {}
        }
        let buckets = buckets.into_iter().map(|(bound, count, _)| (bound, count)).collect();
        Some(Histogram { buckets, count, sum })
    }

    fn part(&self, name: &str, suffix: &str, labels: &[(&str, &str)]) -> Vec<(&Labels, f64)> {
        self.with(&format!("{name}{suffix}")).filter(|(of, _)| of.have(labels)).collect()
    }

    /// Whether the answer says something of a family of this name, be it that it has no series.
    pub fn is_declared(&self, name: &str) -> bool {
        self.declared.contains(name) || self.series.contains_key(name)
    }
}

/// What stands between the parts of a line.
const BLANK: [char; 2] = [' ', '\t'];

/// What is wrong with a line.
enum Bad<'a> {
    Form,
    Value { name: &'a str, value: &'a str },
}

/// The name of which a comment is the help or the type.
fn declaration(comment: &str) -> Result<Option<&str>, Bad<'_>> {
    let mut words = comment.split(BLANK).filter(|word| !word.is_empty());
    let is_type = match words.next() {
        Some("TYPE") => true,
        Some("HELP") => false,
        _ => return Ok(None),
    };
    let name = words.next().filter(|name| is_name(name, true)).ok_or(Bad::Form)?;
    if is_type {
        let kind = words.next().ok_or(Bad::Form)?;
        let is_known = ["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind);
        if !is_known || words.next().is_some() {
            return Err(Bad::Value { name, value: kind });
        }
    }
    Ok(Some(name))
}

/// `name{label="value",…} value [timestamp]`
fn one_series(line: &str) -> Result<(&str, Labels, f64), Bad<'_>> {
    let (name, labels, rest) = name_and_labels(line).ok_or(Bad::Form)?;
    let mut words = rest.split(BLANK).filter(|word| !word.is_empty());
    let value = words.next().ok_or(Bad::Form)?;
    let number = value.parse().map_err(|_| Bad::Value { name, value })?;
    if let Some(time) = words.next() {
        time.parse::<i64>().map_err(|_| Bad::Value { name, value: time })?;
    }
    if words.next().is_some() { Err(Bad::Form) } else { Ok((name, labels, number)) }
}

/// `name` or `name{label="value",…}`, and what comes after it.
fn name_and_labels(text: &str) -> Option<(&str, Labels, &str)> {
    let end = text.find(|c| c == '{' || BLANK.contains(&c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start_matches(BLANK);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::default(), rest),
    };
    is_name(name, true).then_some((name, labels, rest))
}

/// What stands behind the brace that begins the labels, and what comes after the one that ends them.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::default();
    loop {
        rest = rest.trim_start_matches(BLANK);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim_end_matches(BLANK);
        let is_new = labels.get(name).is_none() && labels.0.len() < LABELS_MAX;
        if !is_name(name, false) || !is_new {
            return None;
        }
        let (value, behind) = quoted(behind.trim_start_matches(BLANK))?;
        labels.0.push((name.to_owned(), value));
        rest = behind.trim_start_matches(BLANK);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// The text between quotes, without its escapes, and what comes after them.
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

/// Whether it is the name of a metric, which may have colons, or of a label.
fn is_name(name: &str, colons: bool) -> bool {
    let is_first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colons && b == b':');
    name.bytes().next().is_some_and(is_first) && name.bytes().all(|b| is_first(b) || b.is_ascii_digit())
}

/// A number that counts something; `None` for one that cannot.
pub(crate) fn whole(number: f64) -> Option<u64> {
    (number >= 0.0 && number < u64::MAX as f64).then(|| number.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asked::ProblemKind;

    fn parsed(text: &str) -> Scraped {
        parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_form_of_the_format_is_read() {
        let text = "# HELP a_total What it counts: \\\\ and \\n.\n# TYPE a_total counter\na_total 1.027e3 1395066363000\n\
                    #comment\n# EOF\n\n\t a:b { x = \"1\" , y=\"q\\\"\\\\\\n{}=,é\" , } +Inf\nnan{} NaN\n\
                    # TYPE none summary\nsci 1.6308337E7\nminus -Inf -5\n";
        let scraped = parsed(text);
        assert_eq!(scraped.number("a_total"), Some(1027.0));
        assert_eq!(scraped.number("sci"), Some(16_308_337.0));
        assert_eq!(scraped.number("minus"), Some(f64::NEG_INFINITY));
        assert!(scraped.number("nan").unwrap().is_nan());
        let (labels, value) = scraped.with("a:b").next().unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("x", "1"), ("y", "q\"\\\n{}=,é")]);
        assert_eq!((labels.get("z"), value), (None, f64::INFINITY));
        for (name, declared) in [("a_total", true), ("sci", true), ("none", true), ("other", false)] {
            assert_eq!(scraped.is_declared(name), declared, "{name}");
        }
        assert_eq!(scraped.number("none"), None);
    }

    #[test]
    fn several_series_have_no_one_value() {
        let scraped = parsed("a{k=\"1\",r=\"x\"} 1\na{k=\"1\",r=\"y\"} 2\na{k=\"2\"} 3\n");
        assert_eq!(scraped.number("a"), None);
        assert_eq!(scraped.number_with("a", &[("k", "1")]), None);
        assert_eq!(scraped.number_with("a", &[("k", "1"), ("r", "y")]), Some(2.0));
        assert_eq!(scraped.number_with("a", &[("k", "2")]), Some(3.0));
        assert_eq!(scraped.with("a").count(), 3);
    }

    #[test]
    fn histograms_and_summaries() {
        let histogram = |text: &str, labels: &[(&str, &str)]| parsed(text).histogram("h", labels);
        let plain =
            "h_bucket{le=\"0.1\"} 2\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 9.5\nh_count 4\n";
        let whole = Histogram { buckets: vec![(0.1, 2), (1.0, 3)], count: 4, sum: 9.5 };
        assert_eq!(histogram(plain, &[]), Some(whole.clone()));
        // Another order, and counted on meanwhile.
        let other =
            "h_count 5\nh_bucket{le=\"+Inf\"} 4\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"0.1\"} 2\nh_sum 9.5\n";
        assert_eq!(histogram(other, &[]), Some(whole));
        let summary = "h{quantile=\"0.5\"} NaN\nh_sum 12\nh_count 3.0\n";
        let sum = Histogram { buckets: vec![], count: 3, sum: 12.0 };
        assert_eq!(histogram(summary, &[]), Some(sum.clone()));
        let set = "h_sum{key=\"2\"} 12\nh_count{key=\"2\"} 3\nh_sum{key=\"3\"} 1\nh_count{key=\"3\"} 1\n";
        assert_eq!(histogram(set, &[("key", "2")]), Some(sum));
        assert_eq!(histogram(set, &[]), Some(Histogram { buckets: vec![], count: 4, sum: 13.0 }));
        assert_eq!(histogram(set, &[("key", "4")]), None);
        let two = "h_bucket{le=\"1\",s=\"a\"} 1\nh_bucket{le=\"+Inf\",s=\"a\"} 1\nh_bucket{le=\"1\",s=\"b\"} 2\n\
                   h_bucket{le=\"+Inf\",s=\"b\"} 3\nh_sum{s=\"a\"} 1\nh_sum{s=\"b\"} 4\nh_count{s=\"a\"} 1\nh_count{s=\"b\"} 3\n";
        assert_eq!(histogram(two, &[]), Some(Histogram { buckets: vec![(1.0, 3)], count: 4, sum: 5.0 }));
        for broken in [
            "h_sum 1\n",
            "h_count 1\n",
            "h_sum NaN\nh_count 0\n",
            "h_sum 1\nh_count -1\n",
            "h_sum 1\nh_count NaN\n",
            "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
            "h_bucket{le=\"x\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
            "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
            "h_bucket 2\nh_sum 1\nh_count 2\n",
            &two.replace("le=\"1\",s=\"a\"", "le=\"2\",s=\"a\""),
        ] {
            assert_eq!(histogram(broken, &[]), None, "{broken}");
        }
    }

    #[test]
    fn what_is_of_another_form_is_an_error_that_names_the_line() {
        use ProblemKind::{Binary, Empty, Missing, Syntax, Value};
        for (text, kind) in [
            ("", Empty),
            ("\n\n", Empty),
            ("a 1\n\0\n", Binary),
            ("# TYPE a counter\n", Missing),
            ("a 1\nb 2", Syntax),
            ("a\n", Syntax),
            ("a 1 2 3\n", Syntax),
            ("1a 1\n", Syntax),
            ("a.b 1\n", Syntax),
            ("a{x} 1\n", Syntax),
            ("a{x=1} 1\n", Syntax),
            ("a{x=\"1\" 1\n", Syntax),
            ("a{x=\"1\"y=\"2\"} 1\n", Syntax),
            ("a{x=\"1\",x=\"2\"} 1\n", Syntax),
            ("a{x:y=\"1\"} 1\n", Syntax),
            ("a{x=\"\\t\"} 1\n", Syntax),
            ("a{,} 1\n", Syntax),
            ("a{x=\"1\"}\n", Syntax),
            ("a one\n", Value),
            ("a 1 1.5\n", Value),
            ("a 1\r\n", Value),
            ("a 0x10\n", Value),
            ("# TYPE a rapture\na 1\n", Value),
            ("# TYPE\na 1\n", Syntax),
            ("# TYPE a\na 1\n", Syntax),
            ("<html>\n<body>\n", Syntax),
            ("HTTP/1.1 400 Bad Request\n", Syntax),
        ] {
            assert_eq!(parse(text).map_err(|error| error.kind()), Err(kind), "{text:?}");
        }
        let error = parse("a 1\nb{ 2\n").unwrap_err();
        assert_eq!(error, ParseError::Syntax("line 2: \"b{ 2\"".to_owned()));
    }

    #[test]
    fn values_of_a_label_are_told_once_and_there_are_only_so_many() {
        let scraped = parsed("a{k=\"2\",r=\"x\"} 1\na{k=\"1\"} 2\na{k=\"2\"} 3\na{r=\"y\"} 4\n");
        assert_eq!(scraped.values_of("a", "k"), ["1", "2"]);
        let many: String = (0..VALUES_MAX + 9).map(|n| format!("a{{k=\"{n}\"}} 1\n")).collect();
        assert_eq!(parsed(&many).values_of("a", "k").len(), VALUES_MAX);
    }

    #[test]
    fn there_are_only_so_many_series_and_labels() {
        assert!(parse(&"a 1\n".repeat(SERIES_MAX)).is_ok());
        assert!(parse(&"a 1\n".repeat(SERIES_MAX + 1)).is_err());
        let with = |labels: usize| {
            let labels: String = (0..labels).map(|n| format!("l{n}=\"\",")).collect();
            parse(&format!("a{{{labels}}} 1\n"))
        };
        assert!(with(LABELS_MAX).is_ok());
        assert!(with(LABELS_MAX + 1).is_err());
    }
}
