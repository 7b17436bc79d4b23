//! Families as Prometheus's text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::{Registry, TextEncoder, proto};

use crate::catalog::{Kind, Metric};
use crate::family::{Family, Series};
use crate::sample::{Histogram, Value};

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The longest value of a label, bytes. What members tell is theirs to choose, and a longer one is shortened.
const LABEL_MAX: usize = 256;

/// The families as text, by name. Series that have become the same because their labels were shortened are left out but
/// for the first.
///
/// # Errors
///
/// When a metric of the catalog is none that Prometheus takes.
pub fn text(families: &[Family]) -> Result<String, prometheus::Error> {
    let registry = Registry::new();
    registry.register(Box::new(Families::new(families)?))?;
    TextEncoder::new().encode_to_string(&registry.gather())
}

/// What was gathered for one scrape. It is collected once.
struct Families {
    descriptions: Vec<Desc>,
    families: Mutex<Vec<proto::MetricFamily>>,
}

impl Families {
    fn new(families: &[Family]) -> Result<Families, prometheus::Error> {
        let description = |family: &Family| {
            let labels = family.label_names().map(str::to_owned).collect();
            Desc::new(family.metric.name.to_owned(), help(family.metric), labels, Default::default())
        };
        Ok(Families {
            descriptions: families.iter().map(description).collect::<Result<_, _>>()?,
            families: Mutex::new(families.iter().map(of_family).collect()),
        })
    }
}

impl Collector for Families {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        std::mem::take(&mut *self.families.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the metric means, and the first sentence of what to keep in mind.
fn help(metric: &Metric) -> String {
    match metric.caveat.split_inclusive(". ").next().map(str::trim_end) {
        Some(caveat) if !caveat.is_empty() => format!("{} {caveat}", metric.help),
        _ => metric.help.to_owned(),
    }
}

fn of_family(family: &Family) -> proto::MetricFamily {
    let mut to = proto::MetricFamily::default();
    to.set_name(family.metric.name.to_owned());
    to.set_help(help(family.metric));
    to.set_field_type(match family.metric.kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Histogram => proto::MetricType::HISTOGRAM,
        Kind::Gauge | Kind::Info | Kind::StateSet => proto::MetricType::GAUGE,
    });
    let names: Vec<&str> = family.label_names().collect();
    let labels: Vec<Vec<Cow<'_, str>>> =
        family.series.iter().map(|one| one.labels.iter().map(|value| shortened(value)).collect()).collect();
    // Labels that are as they were are of one series.
    let may_repeat = labels.iter().flatten().any(|value| matches!(value, Cow::Owned(_)));
    let mut seen = HashSet::new();
    let told = family.series.iter().zip(&labels);
    let told = told.filter(|(_, labels)| !may_repeat || seen.insert(labels.as_slice()));
    let kind = family.metric.kind;
    to.set_metric(told.filter_map(|(one, labels)| of_series(kind, one, labels, &names)).collect());
    to
}

/// A series, unless its value is not of its metric's type.
fn of_series(kind: Kind, series: &Series, labels: &[Cow<'_, str>], names: &[&str]) -> Option<proto::Metric> {
    let pairs = names.iter().zip(labels).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((**value).to_owned());
        pair
    });
    let mut to = proto::Metric::from_label(pairs.collect());
    match (&series.value, kind) {
        (Value::Histogram(histogram), Kind::Histogram) => to.set_histogram(of_histogram(histogram)),
        (Value::Number(number), Kind::Counter) => {
            let mut counter = proto::Counter::default();
            counter.set_value(*number);
            to.set_counter(counter);
        }
        (Value::Number(number), Kind::Gauge | Kind::Info | Kind::StateSet) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*number);
            to.set_gauge(gauge);
        }
        (Value::Histogram(_), _) | (Value::Number(_), Kind::Histogram) => {
            debug_assert!(false, "a value of another type than its metric's");
            return None;
        }
    }
    Some(to)
}

/// The encoder adds the bucket `+Inf` itself.
fn of_histogram(histogram: &Histogram) -> proto::Histogram {
    let bucket = |(bound, count): &(f64, u64)| {
        let mut to = proto::Bucket::default();
        to.set_upper_bound(*bound);
        to.set_cumulative_count(*count);
        to
    };
    let mut to = proto::Histogram::default();
    to.set_bucket(histogram.buckets.iter().map(bucket).collect());
    to.set_sample_count(histogram.count);
    to.set_sample_sum(histogram.sum);
    to
}

/// A label's value without control characters, and no longer than [`LABEL_MAX`]; an ellipsis shows that it was.
fn shortened(value: &str) -> Cow<'_, str> {
    const ELLIPSIS: char = '…';
    let is_hidden = |c: char| c.is_control() && c != '\n';
    if value.len() <= LABEL_MAX && !value.contains(is_hidden) {
        return Cow::Borrowed(value);
    }
    let (end, ellipsis) = match value.len() {
        0..=LABEL_MAX => (value.len(), None),
        _ => (value.floor_char_boundary(LABEL_MAX - ELLIPSIS.len_utf8()), Some(ELLIPSIS)),
    };
    let printable = |c: char| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c };
    value[..end].chars().map(printable).chain(ellipsis).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::family::Families;

    fn labels(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn told(metric: &'static Metric, values: &[&str], value: Value) -> String {
        let mut families = Families::default();
        families.add(metric, labels(values), value);
        text(&families.into_sorted()).unwrap()
    }

    #[test]
    fn every_type_has_its_form() {
        assert_eq!(
            told(&catalog::KEYS, &["c", "a:1"], Value::Number(1_234_567.0)),
            "# HELP quorum_keys Nodes or keys in the member's data.\n# TYPE quorum_keys gauge\n\
             quorum_keys{cluster=\"c\",member=\"a:1\"} 1234567\n"
        );
        let counter = told(&catalog::PACKETS_SENT, &["c", "a:1"], Value::Number(0.0));
        assert!(counter.contains("# TYPE quorum_packets_sent_total counter\n"), "{counter}");
        for (metric, values) in
            [(&catalog::ROLE, &["c", "a:1", "leader"][..]), (&catalog::BUILD_INFO, &["0.1.0"])]
        {
            let gauge = told(metric, values, Value::Number(1.0));
            assert!(gauge.contains(" gauge\n") && gauge.ends_with("} 1\n"), "{gauge}");
        }
    }

    #[test]
    fn histograms_end_with_infinity() {
        let with = Histogram { buckets: vec![(0.00005, 1), (0.1, 3)], count: 4, sum: 1.5 };
        let without = Histogram { buckets: vec![], count: 4, sum: 1.5 };
        for (histogram, buckets) in
            [(with, &["0.00005\"} 1", "0.1\"} 3", "+Inf\"} 4"][..]), (without, &["+Inf\"} 4"])]
        {
            let text = told(&catalog::PROBE_DURATION, &["c", "write"], Value::Histogram(histogram));
            let lines: Vec<&str> = text.lines().skip(2).collect();
            let series = "{cluster=\"c\",operation=\"write\"";
            let name = "quorum_probe_duration_seconds";
            let mut expected: Vec<String> =
                buckets.iter().map(|bucket| format!("{name}_bucket{series},le=\"{bucket}")).collect();
            expected.push(format!("{name}_sum{series}}} 1.5"));
            expected.push(format!("{name}_count{series}}} 4"));
            assert_eq!(lines, expected);
        }
    }

    #[test]
    fn labels_of_any_content_stay_one_value_on_one_line() {
        let long = "x".repeat(10_000);
        let wide = "é".repeat(10_000);
        for (value, written) in [
            ("a\nb", "a\\nb".to_owned()),
            ("\"} 1\nquorum_keys{", "\\\"} 1\\nquorum_keys{".to_owned()),
            ("back\\slash", "back\\\\slash".to_owned()),
            ("été 日本", "été 日本".to_owned()),
            ("\r\0\u{1b}[31m", "\u{fffd}\u{fffd}\u{fffd}[31m".to_owned()),
            (&long, format!("{}…", "x".repeat(253))),
            (&wide, format!("{}…", "é".repeat(126))),
        ] {
            let text = told(&catalog::KEYS, &["c", value], Value::Number(1.0));
            let line = format!("quorum_keys{{cluster=\"c\",member=\"{written}\"}} 1");
            assert_eq!(text.lines().nth(2), Some(line.as_str()));
            assert_eq!(text.lines().count(), 3, "{text}");
        }
    }

    #[test]
    fn labels_that_become_the_same_are_told_once() {
        let mut families = Families::default();
        for end in ["1", "2"] {
            let member = "x".repeat(1000) + end;
            families.add(&catalog::KEYS, vec!["c".into(), member], Value::Number(1.0));
        }
        assert_eq!(text(&families.into_sorted()).unwrap().lines().count(), 3);
    }

    #[test]
    fn the_whole_catalog_can_be_told() {
        let mut families = Families::default();
        for metric in catalog::ALL {
            let values = vec!["x".to_owned(); metric.scope.labels().len() + metric.labels.len()];
            let value = match metric.kind {
                Kind::Histogram => {
                    Value::Histogram(Histogram { buckets: vec![(0.1, 1)], count: 2, sum: 0.5 })
                }
                _ => Value::Number(1.0),
            };
            families.add(metric, values, value);
        }
        let text = text(&families.into_sorted()).unwrap();
        for metric in catalog::ALL {
            assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
        }
        assert_eq!(text.matches("# TYPE ").count(), catalog::ALL.len());
    }

    #[test]
    fn nothing_is_no_text() {
        assert_eq!(text(&[]).unwrap(), "");
    }
}
