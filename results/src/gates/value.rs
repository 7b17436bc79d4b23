//! The value that a metric is compared with.

use super::GateError;
use super::metric::{Count, Figure, Metric};
use crate::figures;

/// The value, in the metric's own unit: nanoseconds, per second, a count, or a share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bound {
    pub(super) value: f64,
    /// A count is compared as a share of all ops of its row.
    pub(super) is_share: bool,
}

/// Units of durations: name, power of ten to nanoseconds, and factor.
const DURATIONS: [(&str, i32, f64); 8] = [
    ("ns", 0, 1.0),
    ("us", 3, 1.0),
    ("µs", 3, 1.0),
    ("μs", 3, 1.0),
    ("ms", 6, 1.0),
    ("s", 9, 1.0),
    ("m", 9, 60.0),
    ("h", 9, 3600.0),
];

/// Units of rates.
const RATES: [(&str, i32, f64); 3] = [("/s", 0, 1.0), ("k/s", 3, 1.0), ("M/s", 6, 1.0)];
/// Counts have none, shares a percent sign.
const COUNTS: [(&str, i32, f64); 1] = [("", 0, 1.0)];
const SHARES: [(&str, i32, f64); 1] = [("%", -2, 1.0)];

impl Bound {
    /// Parses a value for `metric`.
    pub(super) fn parse(text: &str, metric: &Metric) -> Result<Bound, GateError> {
        let expected = match metric.figure {
            Figure::Time(..) | Figure::Repeated(_) => {
                "is a duration: a number with ns, us, ms, s, m or h, such as 10ms"
            }
            Figure::Count(Count::Rate) => "is a rate: a number with /s, k/s or M/s, such as 10k/s",
            Figure::Count(_) => {
                "is a count: a whole number such as 0, or a percentage of the ops such as 0.1%"
            }
            Figure::Watch(_) | Figure::Life(_) | Figure::Sum(_) => "is a count: a whole number such as 0",
        };
        let error = |expected: &str| GateError::Value {
            metric: metric.to_string(),
            value: text.to_owned(),
            expected: expected.to_owned(),
        };
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '_' | '-')).unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim());
        let is_share = unit == "%" && matches!(metric.figure, Figure::Count(c) if c != Count::Rate);
        let units: &[(&str, i32, f64)] = match metric.figure {
            Figure::Time(..) | Figure::Repeated(_) => &DURATIONS,
            Figure::Count(Count::Rate) => &RATES,
            _ if is_share => &SHARES,
            _ => &COUNTS,
        };
        let (_, exponent, factor) =
            units.iter().find(|(name, ..)| *name == unit).ok_or_else(|| error(expected))?;
        let value = decimal(number, *exponent).ok_or_else(|| error(expected))? * factor;
        if value < 0.0 && !metric.is_signed() {
            return Err(error("is never negative"));
        }
        let whole = match metric.figure {
            // Nanoseconds are whole; 1.5 µs is, 1.5 ns is not.
            Figure::Time(..) | Figure::Repeated(_) => return Ok(Bound { value: value.round(), is_share }),
            Figure::Count(Count::Rate) => false,
            Figure::Count(_) => !is_share,
            Figure::Watch(_) | Figure::Life(_) | Figure::Sum(_) => true,
        };
        if whole && value.fract() != 0.0 { Err(error(expected)) } else { Ok(Bound { value, is_share }) }
    }

    /// The least and the largest value that can be measured.
    pub(super) fn range(self, metric: &Metric) -> (f64, f64) {
        let low = if metric.is_signed() { f64::NEG_INFINITY } else { 0.0 };
        (low, if self.is_share { 1.0 } else { f64::INFINITY })
    }

    /// A measured value as people read it.
    pub(super) fn show(self, value: f64, metric: &Metric) -> String {
        match metric.figure {
            Figure::Time(..) | Figure::Repeated(_) => figures::duration(value as i64),
            Figure::Count(Count::Rate) => figures::rate(value),
            _ if self.is_share => figures::percent(value),
            _ => figures::count(value as u64),
        }
    }
}

/// The decimal number times ten to the `exponent`, rounded once: 0.1 % is the same 0.001 as 1 ÷ 1,000.
fn decimal(text: &str, exponent: i32) -> Option<f64> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let magnitude = digits.strip_prefix('-').unwrap_or(&digits);
    let well_formed = magnitude.starts_with(|c: char| c.is_ascii_digit())
        && magnitude.ends_with(|c: char| c.is_ascii_digit())
        && !magnitude.contains('-');
    let number = well_formed.then(|| format!("{digits}e{exponent}").parse::<f64>().ok())??;
    number.is_finite().then_some(number)
}
