//! What a query selects and how, and what is wrong with that by the table of metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr, VectorSelector};
use quorumeter_exporters::catalog::{self, Kind, Metric, Scope};

/// `$__rate_interval` while a query is parsed: a duration that nobody writes.
const RATE_INTERVAL: Duration = Duration::from_secs(4321);

/// Prometheus's own labels of every series.
const TARGET: [&str; 2] = ["job", "instance"];

/// Counters of what must never happen: alerts read their value, because the first time may be before the first scrape.
const MUST_BE_0: [&str; 2] = ["quorum_unrecoverable_errors_total", "quorum_digest_mismatches_total"];

/// One selection of series in a query.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) name: String,
    pub(crate) matchers: Vec<Matched>,
    pub(crate) range: Option<Duration>,
    /// The function whose argument it is.
    pub(crate) function: Option<String>,
    /// Labels of all aggregations around it.
    pub(crate) by: BTreeSet<String>,
}

/// A label that is matched, and by what: as it is, or as a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Matched {
    pub(crate) label: String,
    pub(crate) value: String,
    pub(crate) is_pattern: bool,
}

/// Where a query stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Alert,
    Rule,
    Dashboard,
}

/// What is wrong with a query; nothing when it is as it should be.
pub(crate) fn faults(expr: &str, place: Place) -> Vec<String> {
    let selections = match selections(expr) {
        Ok(selections) => selections,
        Err(error) => return vec![format!("it cannot be parsed: {error}")],
    };
    let mut faults = Vec::new();
    if selections.is_empty() {
        faults.push("it selects nothing".to_owned());
    }
    if place == Place::Dashboard {
        faults.extend(either_faults(&selections));
    }
    for selection in &selections {
        let name = &selection.name;
        if name == "up" && place == Place::Alert {
            continue;
        }
        let Some((metric, suffix)) = metric_of(name) else {
            faults.push(format!("there is no metric {name}"));
            continue;
        };
        faults.extend(kind_faults(selection, metric, suffix, place));
        faults.extend(label_faults(selection, metric, suffix, place));
        if let Some(range) = selection.range
            && place == Place::Dashboard
            && range != RATE_INTERVAL
        {
            faults.push(format!("the window of {name} is {range:?}, and not $__rate_interval"));
        }
    }
    faults
}

/// Whether a selection is of a measurement's histogram as a native one. A measurement alone is pushed to a job of its own.
pub(crate) fn is_native(selection: &Selection, metric: &Metric, suffix: &str, place: Place) -> bool {
    let rates = matches!(selection.function.as_deref(), Some("rate" | "increase"));
    place == Place::Dashboard
        && metric.scope == Scope::Bench
        && metric.kind == Kind::Histogram
        && suffix.is_empty()
        && rates
}

/// A measurement is scraped, and has classic buckets, or is pushed, and has a native histogram: a query that has one has
/// the other, of the same series and by the same labels.
fn either_faults(selections: &[Selection]) -> Vec<String> {
    let mut kinds: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for selection in selections {
        let Some((metric, suffix)) = metric_of(&selection.name) else { continue };
        let kind = match suffix {
            "_bucket" if metric.scope == Scope::Bench => "classic",
            _ if is_native(selection, metric, suffix, Place::Dashboard) => "native",
            _ => continue,
        };
        let mut by = selection.by.clone();
        by.remove("le");
        let key = (metric.name, selection.matchers.clone(), selection.range, selection.function.clone(), by);
        kinds.entry(key).or_default().insert(kind);
    }
    let lone = kinds.iter().filter(|(_, kinds)| kinds.len() == 1);
    lone.map(|((name, ..), kinds)| format!("{name} is read as {kinds:?} only")).collect()
}

fn kind_faults(selection: &Selection, metric: &Metric, suffix: &str, place: Place) -> Vec<String> {
    let name = &selection.name;
    let function = selection.function.as_deref().unwrap_or("");
    let counts = metric.kind == Kind::Counter || !suffix.is_empty();
    let rates = matches!(function, "rate" | "increase");
    let mut faults = Vec::new();
    if is_native(selection, metric, suffix, place) {
        if selection.by.contains("le") {
            faults.push(format!("{name} as a native histogram has no label le"));
        }
    } else if metric.kind == Kind::Histogram && suffix.is_empty() {
        faults.push(format!("{name} is a histogram, and has no series of that name"));
    } else if counts && !rates && !(place == Place::Alert && MUST_BE_0.contains(&name.as_str())) {
        faults.push(format!("{name} is a counter, outside rate and increase"));
    } else if !counts && rates {
        faults.push(format!("{name} is no counter, inside {function}"));
    }
    if suffix == "_bucket" && !selection.by.contains("le") {
        faults.push(format!("{name} is not aggregated by le"));
    }
    faults
}

fn label_faults(selection: &Selection, metric: &Metric, suffix: &str, place: Place) -> Vec<String> {
    let name = &selection.name;
    let own = metric.scope.labels().iter().chain(metric.labels);
    let mut labels: BTreeSet<&str> = own.copied().chain(TARGET).collect();
    if suffix == "_bucket" {
        labels.insert("le");
    }
    let used = selection.by.iter().chain(selection.matchers.iter().map(|matched| &matched.label));
    let mut faults: Vec<String> = used
        .filter(|label| !labels.contains(label.as_str()))
        .map(|label| format!("{name} has no label {label}"))
        .collect();
    let matcher = |label: &str| selection.matchers.iter().find(|matched| matched.label == label);
    let matched = |label: &str| matcher(label).map(|matched| matched.value.as_str());
    match (place, matched("job")) {
        (Place::Dashboard, Some("$job")) | (Place::Alert | Place::Rule, Some("quorumeter")) => {}
        (_, job) => faults.push(format!("{name} is selected by the job {job:?}")),
    }
    let of_cluster = !matches!(metric.scope, Scope::Exporter | Scope::Bench);
    let cluster = matched("cluster").is_some_and(|value| value.starts_with("$cluster"));
    if place == Place::Dashboard && of_cluster && !cluster {
        faults.push(format!("{name} is selected by no cluster"));
    }
    let is_of_runs = matcher("instance").is_some_and(|matched| matched.value == "$run" && matched.is_pattern);
    if place == Place::Dashboard && metric.scope == Scope::Bench && !is_of_runs {
        faults.push(format!("{name} is selected by no run"));
    }
    faults
}

/// The metric that a series is of, and what its name has besides.
pub(crate) fn metric_of(series: &str) -> Option<(&'static Metric, &'static str)> {
    if let Some(metric) = catalog::by_name(series) {
        return Some((metric, ""));
    }
    ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| {
        let metric = catalog::by_name(series.strip_suffix(suffix)?)?;
        (metric.kind == Kind::Histogram).then_some((metric, suffix))
    })
}

/// Every selection of a query, whose `$__rate_interval` may stand for a window.
pub(crate) fn selections(expr: &str) -> Result<Vec<Selection>, String> {
    let expr = expr.replace("$__rate_interval", &format!("{}s", RATE_INTERVAL.as_secs()));
    let mut found = Vec::new();
    walk(&parser::parse(&expr)?, None, &BTreeSet::new(), &mut found);
    Ok(found)
}

fn walk(expr: &Expr, function: Option<&str>, by: &BTreeSet<String>, found: &mut Vec<Selection>) {
    let mut select = |selector: &VectorSelector, range| {
        found.push(Selection {
            name: selector.name.clone().unwrap_or_default(),
            matchers: selector
                .matchers
                .matchers
                .iter()
                .map(|matcher| Matched {
                    label: matcher.name.clone(),
                    value: matcher.value.clone(),
                    is_pattern: matches!(matcher.op, MatchOp::Re(_)),
                })
                .collect(),
            range,
            function: function.map(str::to_owned),
            by: by.clone(),
        });
    };
    match expr {
        Expr::VectorSelector(selector) => select(selector, None),
        Expr::MatrixSelector(selector) => select(&selector.vs, Some(selector.range)),
        Expr::Call(call) => {
            for argument in &call.args.args {
                walk(argument, Some(call.func.name), by, found);
            }
        }
        Expr::Aggregate(aggregate) => {
            let mut by = by.clone();
            by.extend(aggregate.modifier.iter().flat_map(|modifier| modifier.labels().labels.clone()));
            walk(&aggregate.expr, None, &by, found);
        }
        Expr::Binary(binary) => {
            walk(&binary.lhs, None, by, found);
            walk(&binary.rhs, None, by, found);
        }
        Expr::Paren(inner) => walk(&inner.expr, function, by, found),
        Expr::Unary(inner) => walk(&inner.expr, None, by, found),
        Expr::Subquery(inner) => walk(&inner.expr, None, by, found),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

#[test]
fn faults_of_queries_are_found() {
    let cluster = r#"job=~"$job", cluster="$cluster""#;
    for (expr, fault) in [
        ("sum by (cluster) (rate(quorum_commits_total{SEL}[$__rate_interval]))", ""),
        ("max by (member) (quorum_lag_entries{SEL})", ""),
        (
            "histogram_quantile(0.9, sum by (le) (rate(quorum_probe_duration_seconds_bucket{SEL}[$__rate_interval])))",
            "",
        ),
        ("quorum_lag_entries{SEL", "it cannot be parsed"),
        ("1", "it selects nothing"),
        ("quorum_lag{SEL}", "there is no metric quorum_lag"),
        ("quorum_lag_entries_sum{SEL}", "there is no metric quorum_lag_entries_sum"),
        ("quorum_probe_duration_seconds{SEL}", "is a histogram, and has no series of that name"),
        ("quorum_commits_total{SEL}", "is a counter, outside rate and increase"),
        ("quorum_unrecoverable_errors_total{SEL} > 0", "is a counter, outside rate and increase"),
        ("deriv(quorum_commits_total{SEL}[$__rate_interval])", "is a counter, outside rate and increase"),
        ("quorum_log_fsync_duration_seconds_sum{SEL}", "is a counter, outside rate and increase"),
        ("rate(quorum_lag_entries{SEL}[$__rate_interval])", "is no counter, inside rate"),
        ("sum(rate(quorum_probe_duration_seconds_bucket{SEL}[$__rate_interval]))", "is not aggregated by le"),
        ("rate(quorum_commits_total{SEL}[5m])", "and not $__rate_interval"),
        ("sum by (member) (quorum_cluster_term{SEL})", "quorum_cluster_term has no label member"),
        (r#"quorum_term{SEL, role="leader"}"#, "quorum_term has no label role"),
        (r#"quorum_term{cluster="$cluster"}"#, "quorum_term is selected by the job None"),
        (
            r#"quorum_term{cluster="$cluster", job="mine"}"#,
            r#"quorum_term is selected by the job Some("mine")"#,
        ),
        (r#"quorum_term{job=~"$job"}"#, "quorum_term is selected by no cluster"),
        (r#"bench_phase{job=~"$job", instance=~"$run"}"#, ""),
        (r#"bench_phase{job=~"$job"}"#, "bench_phase is selected by no run"),
        (r#"bench_phase{job=~"$job", instance="$run"}"#, "bench_phase is selected by no run"),
        (r#"bench_phase{job=~"$job", instance=~"$run", run="x"}"#, "bench_phase has no label run"),
        (r#"up{job=~"$job"}"#, "there is no metric up"),
    ] {
        let faults = faults(&expr.replace("SEL", cluster), Place::Dashboard);
        match fault {
            "" => assert!(faults.is_empty(), "{expr}: {faults:?}"),
            _ => assert!(faults.len() == 1 && faults[0].contains(fault), "{expr}: {faults:?}"),
        }
    }
}

#[test]
fn a_measurement_that_is_scraped_and_one_that_is_pushed_are_both_read() {
    let classic = "sum by (instance, le) (rate(bench_wait_seconds_bucket{RUN}[$__rate_interval]))";
    let native = "sum by (instance) (rate(bench_wait_seconds{RUN}[$__rate_interval]))";
    let quantile = |inner: &str| format!("histogram_quantile(0.5, {inner})");
    let either = |one: &str, other: &str| format!("{} or {}", quantile(one), quantile(other));
    for (expr, fault) in [
        (either(classic, native), ""),
        (either(native, classic), ""),
        (quantile(classic), r#"bench_wait_seconds is read as {"classic"} only"#),
        (quantile(native), r#"bench_wait_seconds is read as {"native"} only"#),
        (either(classic, &native.replace("RUN", r#"RUN, stream="a""#)), "only"),
        (either(classic, &native.replace("(instance)", "(instance, stream)")), "only"),
        (either(classic, &native.replace("wait", "service")), "only"),
        (either(classic, &native.replace("rate(", "increase(")), "only"),
        (either(classic, &native.replace("(instance)", "(instance, le)")), "has no label le"),
        (either(classic, "bench_wait_seconds{RUN}"), "has no series of that name"),
        (
            quantile("rate(quorum_probe_duration_seconds{RUN}[$__rate_interval])"),
            "has no series of that name",
        ),
    ] {
        let faults = faults(&expr.replace("RUN", r#"job=~"$job", instance=~"$run""#), Place::Dashboard);
        match fault {
            "" => assert!(faults.is_empty(), "{expr}: {faults:?}"),
            _ => assert!(faults.iter().any(|found| found.contains(fault)), "{expr}: {faults:?}"),
        }
    }
    for place in [Place::Alert, Place::Rule] {
        let native = native.replace("RUN", r#"job="quorumeter""#);
        let faults = faults(&native.replace("$__rate_interval", "1m"), place);
        assert!(faults.iter().any(|found| found.contains("has no series of that name")), "{faults:?}");
    }
}
