//! Metrics as OTLP has them.
//!
//! Names are those of the [catalog](crate::catalog), and units such that Prometheus's translation, which adds units and
//! `_total` to names that lack them, leaves every name as it is. Labels are attributes of data points.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    self, AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
    HistogramDataPoint, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::bench::Exponential;
use crate::catalog::{Kind, Metric, Scope};
use crate::family::{Family, Series};
use crate::sample::{Histogram, Value};

/// What was read at an instant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Every family.
    pub families: Vec<Family>,
    /// Histograms that are told as exponential ones instead: metric, labels, histogram.
    pub exponentials: Vec<(&'static Metric, Vec<String>, Exponential)>,
}

/// When what is told began and when it is told, Unix time in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    start: u64,
    now: u64,
}

/// A request that tells a reading, taken at `now_unix_ns`. What this process counts itself began at `start_unix_ns`; since
/// when servers count is not known, and not told.
pub fn encode(
    reading: &Reading,
    resource: &[(&'static str, String)],
    start_unix_ns: u64,
    now_unix_ns: u64,
) -> ExportMetricsServiceRequest {
    let metrics = reading.families.iter().map(|family| {
        let metric = family.metric;
        let start = if metric.scope == Scope::Member { 0 } else { start_unix_ns };
        let times = Times { start, now: now_unix_ns };
        let is_it = |(of, ..): &&(&Metric, _, _)| of.name == metric.name;
        let mut exponentials = reading.exponentials.iter().filter(is_it).peekable();
        let data = match metric.kind {
            Kind::Histogram if exponentials.peek().is_some() => {
                let point = |(_, labels, exponential): &(_, Vec<String>, Exponential)| {
                    exponential_point(attributes(family, labels), exponential, times)
                };
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: exponentials.map(point).collect(),
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                })
            }
            Kind::Histogram => Data::Histogram(v1::Histogram {
                data_points: classic_points(family, times),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            }),
            Kind::Counter => Data::Sum(Sum {
                data_points: number_points(family, times),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            }),
            Kind::Gauge | Kind::Info | Kind::StateSet => {
                // Gauges have no beginning.
                Data::Gauge(Gauge { data_points: number_points(family, Times { start: 0, ..times }) })
            }
        };
        v1::Metric {
            name: metric.name.to_owned(),
            description: metric.help.to_owned(),
            unit: unit(metric),
            metadata: Vec::new(),
            data: Some(data),
        }
    });
    let scope_metrics = ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: "quorumeter".to_owned(),
            ..InstrumentationScope::default()
        }),
        metrics: metrics.collect(),
        ..ScopeMetrics::default()
    };
    let resource = resource.iter().map(|(key, value)| attribute(key, value)).collect();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: resource, ..Resource::default() }),
            scope_metrics: vec![scope_metrics],
            ..ResourceMetrics::default()
        }],
    }
}

/// The unit in UCUM. Of mere numbers it is an annotation, which takes no part in names; `1` would make ratios of them.
fn unit(metric: &Metric) -> String {
    match metric.unit {
        "seconds" => "s".to_owned(),
        "bytes" => "By".to_owned(),
        "" => String::new(),
        things => format!("{{{things}}}"),
    }
}

fn attributes(family: &Family, labels: &[String]) -> Vec<KeyValue> {
    // A label without a value is one that is not there.
    let given = family.label_names().zip(labels).filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn number_points(family: &Family, times: Times) -> Vec<NumberDataPoint> {
    let point = |series: &Series| match series.value {
        Value::Number(number) => Some(NumberDataPoint {
            attributes: attributes(family, &series.labels),
            start_time_unix_nano: times.start,
            time_unix_nano: times.now,
            value: Some(Number::AsDouble(number)),
            ..NumberDataPoint::default()
        }),
        Value::Histogram(_) => None,
    };
    family.series.iter().filter_map(point).collect()
}

fn classic_points(family: &Family, times: Times) -> Vec<HistogramDataPoint> {
    let point = |series: &Series| match &series.value {
        Value::Histogram(histogram) => Some(HistogramDataPoint {
            attributes: attributes(family, &series.labels),
            start_time_unix_nano: times.start,
            time_unix_nano: times.now,
            count: histogram.count,
            sum: Some(histogram.sum),
            bucket_counts: bucket_counts(histogram),
            explicit_bounds: histogram.buckets.iter().map(|(bound, _)| *bound).collect(),
            ..HistogramDataPoint::default()
        }),
        Value::Number(_) => None,
    };
    family.series.iter().filter_map(point).collect()
}

/// The number in each bucket alone, that beyond the last bound included.
fn bucket_counts(histogram: &Histogram) -> Vec<u64> {
    let below = histogram.buckets.iter().map(|(_, count)| *count).chain([histogram.count]);
    let counts = below.scan(0, |before, below| {
        let own = below.saturating_sub(*before);
        *before = below;
        Some(own)
    });
    counts.collect()
}

fn exponential_point(
    attributes: Vec<KeyValue>,
    exponential: &Exponential,
    times: Times,
) -> ExponentialHistogramDataPoint {
    let buckets = Buckets { offset: exponential.offset, bucket_counts: exponential.buckets.clone() };
    ExponentialHistogramDataPoint {
        attributes,
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: exponential.count,
        sum: Some(exponential.sum),
        scale: exponential.scale,
        zero_count: exponential.zeros,
        positive: Some(buckets),
        ..ExponentialHistogramDataPoint::default()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::catalog;
    use crate::family::Families;

    const START: u64 = 1_000;
    const NOW: u64 = 5_000;

    fn text(attributes: &[KeyValue]) -> String {
        let pair = |pair: &KeyValue| match &pair.value {
            Some(AnyValue { value: Some(Any::StringValue(value)) }) => format!("{}={value}", pair.key),
            other => panic!("{other:?}"),
        };
        attributes.iter().map(pair).collect::<Vec<_>>().join(",")
    }

    /// Through bytes and back.
    fn round_trip(reading: &Reading) -> Vec<v1::Metric> {
        let resource = crate::otlp::resource(crate::otlp::EXPORTER, "1.2.3", "r1");
        let bytes = encode(reading, &resource, START, NOW).encode_to_vec();
        let mut request = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
        let of = request.resource_metrics.pop().unwrap();
        let resource = text(&of.resource.unwrap().attributes);
        assert_eq!(resource, "service.name=quorumeter,service.version=1.2.3,service.instance.id=r1");
        of.scope_metrics.into_iter().next().unwrap().metrics
    }

    #[test]
    fn each_kind_has_its_form() {
        let histogram = Histogram { buckets: vec![(0.1, 2), (0.2, 2), (0.4, 5)], count: 6, sum: 1.5 };
        let member = |labels: &[&str]| {
            ["c", "h:1"].iter().chain(labels).map(|label| (*label).to_owned()).collect::<Vec<_>>()
        };
        let mut families = Families::default();
        families.add(&catalog::TERM, member(&[]), Value::Number(7.0));
        families.add(&catalog::INFO, member(&["zookeeper", "", "3"]), Value::Number(1.0));
        families.add(&catalog::BENCH_CPU, vec![], Value::Number(1.25));
        families.add(&catalog::PROBE_DURATION, vec!["c".into(), "write".into()], Value::Histogram(histogram));
        let reading = Reading { families: families.into_sorted(), exponentials: Vec::new() };
        let [info, term, probe, cpu] = &round_trip(&reading)[..] else { panic!("four metrics") };

        let Some(Data::Gauge(gauge)) = &term.data else { panic!("{term:?}") };
        assert_eq!((term.name.as_str(), term.description.as_str()), ("quorum_term", catalog::TERM.help));
        let point = &gauge.data_points[0];
        assert_eq!(
            (point.value, text(&point.attributes).as_str()),
            (Some(Number::AsDouble(7.0)), "cluster=c,member=h:1")
        );
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (0, NOW));

        let Some(Data::Gauge(gauge)) = &info.data else { panic!("{info:?}") };
        let attributes = text(&gauge.data_points[0].attributes);
        assert_eq!(
            attributes, "cluster=c,member=h:1,system=zookeeper,member_id=3",
            "what is empty is not there"
        );

        let Some(Data::Sum(sum)) = &cpu.data else { panic!("{cpu:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality() == AggregationTemporality::Cumulative);
        assert_eq!(cpu.unit, "s");
        assert_eq!(
            (sum.data_points[0].start_time_unix_nano, sum.data_points[0].time_unix_nano),
            (START, NOW)
        );

        let Some(Data::Histogram(classic)) = &probe.data else { panic!("{probe:?}") };
        assert_eq!(classic.aggregation_temporality(), AggregationTemporality::Cumulative);
        let point = &classic.data_points[0];
        assert_eq!(point.explicit_bounds, [0.1, 0.2, 0.4]);
        assert_eq!(point.bucket_counts, [2, 0, 3, 1], "each bucket alone, and what is beyond the last bound");
        assert_eq!((point.count, point.sum), (6, Some(1.5)));
    }

    #[test]
    fn what_servers_count_has_no_known_beginning() {
        let counter =
            catalog::ALL.iter().find(|m| m.kind == Kind::Counter && m.scope == Scope::Member).unwrap();
        let labels = vec!["x".to_owned(); 2 + counter.labels.len()];
        let mut families = Families::default();
        families.add(counter, labels, Value::Number(1.0));
        let metrics = round_trip(&Reading { families: families.into_sorted(), exponentials: Vec::new() });
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert_eq!(sum.data_points[0].start_time_unix_nano, 0);
    }

    #[test]
    fn exponential_histograms_take_the_place_of_classic_ones() {
        let exponential =
            Exponential { scale: 3, count: 10, sum: 2.5, zeros: 1, offset: -40, buckets: vec![4, 0, 5] };
        let labels = vec!["app".to_owned(), "read".to_owned()];
        let classic = Value::Histogram(Histogram { buckets: vec![(1.0, 10)], count: 10, sum: 2.5 });
        let mut families = Families::default();
        families.add(&catalog::BENCH_RESPONSE, labels.clone(), classic);
        let reading = Reading {
            families: families.into_sorted(),
            exponentials: vec![
                (&catalog::BENCH_WAIT, vec!["of another metric".into(), "x".into()], exponential.clone()),
                (&catalog::BENCH_RESPONSE, labels, exponential),
            ],
        };
        let [response] = &round_trip(&reading)[..] else { panic!("one metric") };
        let Some(Data::ExponentialHistogram(told)) = &response.data else { panic!("{response:?}") };
        assert_eq!((response.name.as_str(), response.unit.as_str()), ("bench_response_seconds", "s"));
        assert_eq!(told.aggregation_temporality(), AggregationTemporality::Cumulative);
        let [point] = &told.data_points[..] else { panic!("one series") };
        assert_eq!((point.scale, point.count, point.sum, point.zero_count), (3, 10, Some(2.5), 1));
        assert_eq!(point.positive, Some(Buckets { offset: -40, bucket_counts: vec![4, 0, 5] }));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (START, NOW));
        assert_eq!(text(&point.attributes), "stream=app,op=read");
    }

    /// Prometheus adds a unit to a name that does not have it, and `_ratio` where the unit is 1.
    #[test]
    fn units_leave_names_as_they_are() {
        for metric in catalog::ALL {
            match unit(metric).as_str() {
                "s" => assert!(metric.name.contains("_seconds"), "{}", metric.name),
                "By" => assert!(metric.name.contains("_bytes"), "{}", metric.name),
                unit => assert!(unit.is_empty() || unit.starts_with('{'), "{}: {unit}", metric.name),
            }
        }
    }
}
