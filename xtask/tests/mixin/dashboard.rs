//! What is wrong with a dashboard: the rules of Grafana's dashboard-linter as far as they apply, and ours.

use std::collections::BTreeSet;

use quorumeter_exporters::catalog::{Kind, Scope};
use serde_json::Value;

use crate::query::{self, Place, Selection, metric_of};

/// Units of Grafana that panels use.
const UNITS: [&str; 8] = ["none", "short", "s", "ops", "pps", "bytes", "Bps", "percentunit"];

/// Variables of Grafana itself.
const BUILT_IN: [&str; 2] = ["__rate_interval", "__all"];

/// Metrics that ZooKeeper tells in whole milliseconds.
const MILLISECONDS: [&str; 4] = [
    "quorum_log_fsync_duration_seconds",
    "quorum_write_stage_seconds",
    "quorum_server_request_duration_seconds",
    "quorum_commit_duration_seconds",
];

/// What is wrong with a dashboard; nothing when it is as it should be.
pub(crate) fn faults(dashboard: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (pointer, expected) in
        [("/schemaVersion", Value::from(39)), ("/editable", false.into()), ("/graphTooltip", 1.into())]
    {
        if dashboard.pointer(pointer) != Some(&expected) {
            faults.push(format!("{pointer} is not {expected}"));
        }
    }
    if !text(dashboard, "/uid").starts_with("quorumeter-") || text(dashboard, "/uid").len() > 40 {
        faults.push("its uid is not one of ours".to_owned());
    }
    for pointer in ["/title", "/description"] {
        if text(dashboard, pointer).is_empty() {
            faults.push(format!("{pointer} is empty"));
        }
    }
    faults.extend(variable_faults(dashboard));
    faults.extend(place_faults(dashboard));
    let mut titles = BTreeSet::new();
    for panel in panels(dashboard) {
        let title = text(panel, "/title");
        if !titles.insert(title) {
            faults.push(format!("two panels are called {title}"));
        }
        faults.extend(panel_faults(panel).into_iter().map(|fault| format!("{title}: {fault}")));
    }
    let annotations = list(dashboard, "/annotations/list");
    for annotation in annotations {
        let name = text(annotation, "/name");
        if text(annotation, "/datasource/uid") != "${datasource}" {
            faults.push(format!("{name}: it does not read the data source variable"));
        }
        let expr = text(annotation, "/expr");
        let mut wrong = query::faults(expr, Place::Dashboard);
        let of_runs = |selection: &Selection| {
            metric_of(&selection.name).is_some_and(|(metric, _)| metric.scope == Scope::Bench)
        };
        wrong.extend(
            query::selections(expr).unwrap_or_default().iter().filter(|s| of_runs(s)).filter_map(added_up),
        );
        faults.extend(wrong.into_iter().map(|fault| format!("{name}: {fault}")));
    }
    faults
}

/// Its panels without the headers of rows.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "/panels").iter().filter(|panel| text(panel, "/type") != "row")
}

pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn panel_faults(panel: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let description = text(panel, "/description");
    let unit = text(panel, "/fieldConfig/defaults/unit");
    if text(panel, "/title").is_empty() || !description.ends_with('.') {
        faults.push("it has no title or no description".to_owned());
    }
    if !UNITS.contains(&unit) {
        faults.push(format!("its unit is {unit:?}"));
    }
    if text(panel, "/datasource/uid") != "${datasource}" {
        faults.push("it does not read the data source variable".to_owned());
    }
    let targets = list(panel, "/targets");
    if targets.is_empty() {
        faults.push("it has no query".to_owned());
    }
    let references: BTreeSet<&str> = targets.iter().map(|target| text(target, "/refId")).collect();
    if references.len() != targets.len() {
        faults.push("two queries have the same refId".to_owned());
    }
    for target in targets {
        let expr = text(target, "/expr");
        if text(target, "/datasource/uid") != "${datasource}" {
            faults.push("a query does not read the data source variable".to_owned());
        }
        faults.extend(query::faults(expr, Place::Dashboard));
        faults.extend(legend_faults(expr, text(target, "/legendFormat")));
        faults.extend(unit_faults(expr, unit));
        for selection in query::selections(expr).unwrap_or_default() {
            let Some((metric, _)) = metric_of(&selection.name) else { continue };
            let mean = selection.name.ends_with("_sum");
            if mean && MILLISECONDS.contains(&metric.name) && !description.contains("less than 1 ms, not 0") {
                faults.push(format!(
                    "it does not say that {} are whole milliseconds on ZooKeeper",
                    metric.name
                ));
            }
            // A heat map has one histogram: what it adds up it must say.
            let heatmap = text(panel, "/type") == "heatmap";
            if metric.scope == Scope::Bench && !heatmap {
                faults.extend(added_up(&selection));
                if text(panel, "/fieldConfig/defaults/custom/stacking/mode") == "normal" {
                    faults.push(format!("{} of one run is drawn on top of another's", selection.name));
                }
            }
            if metric.scope == Scope::Bench && heatmap && !description.contains("All runs chosen together") {
                faults.push(format!("it does not say that it adds up {} over runs", selection.name));
            }
            if metric.name == "quorum_peer_ack_seconds" && !description.contains("never alone") {
                faults.push(
                    "it does not say that acknowledgements cannot show the slowest follower".to_owned(),
                );
            }
        }
    }
    faults
}

/// Runs are told apart by the label `instance`.
fn added_up(selection: &Selection) -> Option<String> {
    let is_kept = selection.by.contains("instance");
    (!is_kept).then(|| format!("{} is added up over runs", selection.name))
}

/// A legend names only labels that the query keeps, and says something.
fn legend_faults(expr: &str, legend: &str) -> Vec<String> {
    let kept: BTreeSet<String> =
        query::selections(expr).unwrap_or_default().into_iter().flat_map(|selection| selection.by).collect();
    let mut faults = Vec::new();
    if legend.is_empty() {
        faults.push("a query has no legend".to_owned());
    }
    for label in legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(label, _)| label) {
        if !kept.contains(label) {
            faults.push(format!("its legend has {label}, which the query does not keep"));
        }
    }
    faults
}

/// Sizes are drawn as sizes, and times as times.
fn unit_faults(expr: &str, unit: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for selection in query::selections(expr).unwrap_or_default() {
        let Some((metric, suffix)) = metric_of(&selection.name) else { continue };
        let rate = selection.function.as_deref() == Some("rate");
        let fits = match (metric.unit, suffix) {
            ("bytes", _) if rate => unit == "Bps",
            ("bytes", _) => unit == "bytes",
            ("seconds", "_bucket") => unit == "s",
            // A histogram that is native.
            ("seconds", "") if metric.kind == Kind::Histogram => unit == "s",
            // A sum over a count is a time; a rate of seconds alone is a share of time, or cores; a count alone a rate.
            ("seconds", "_sum" | "_count") => matches!(unit, "s" | "percentunit" | "ops"),
            ("seconds", _) if rate => matches!(unit, "percentunit" | "short"),
            ("seconds", _) => unit == "s",
            _ => !matches!(unit, "s" | "bytes" | "Bps"),
        };
        if !fits {
            faults.push(format!("{} is drawn in {unit:?}", selection.name));
        }
    }
    faults
}

fn variable_faults(dashboard: &Value) -> Vec<String> {
    let variables = list(dashboard, "/templating/list");
    let mut faults = Vec::new();
    let names: Vec<&str> = variables.iter().map(|variable| text(variable, "/name")).collect();
    if names.first() != Some(&"datasource") || text(&variables[0], "/query") != "prometheus" {
        faults.push("its first variable is not the data source".to_owned());
    }
    for variable in &variables[1..] {
        let name = text(variable, "/name");
        if text(variable, "/datasource/uid") != "${datasource}" || text(variable, "/label").is_empty() {
            faults.push(format!("variable {name} has no data source or no label"));
        }
        if variable["refresh"] != 2 {
            faults.push(format!("variable {name} is not read again when the time range changes"));
        }
        if name == "job" && (variable["multi"] != true || variable["allValue"] != ".+") {
            faults.push("the job cannot be all of them".to_owned());
        }
        let query = text(variable, "/query/query");
        let series = query.trim_start_matches("label_values(").split([',', '{']).next().unwrap_or_default();
        match metric_of(series) {
            None => faults.push(format!("variable {name} is of the metric {series}, which there is not")),
            Some((metric, _)) if metric.scope == Scope::Bench && !["job", "run"].contains(&name) => {
                if !query.contains("instance=~\"$run\"") {
                    faults.push(format!("variable {name} has what other runs have"));
                }
            }
            Some(_) => {}
        }
        if name == "run" && (variable["multi"] != true || text(variable, "/description").is_empty()) {
            faults.push("the run cannot be all of them, or what that means is not said".to_owned());
        }
    }
    if !names.contains(&"job") {
        faults.push("it has no variable for the job".to_owned());
    }
    let written = dashboard.to_string();
    let used = used_variables(&written);
    for name in &names {
        if !used.contains(name) {
            faults.push(format!("variable {name} is used nowhere"));
        }
    }
    for name in used {
        if !names.contains(&name) && !BUILT_IN.contains(&name) {
            faults.push(format!("there is no variable {name}"));
        }
    }
    faults
}

/// Names after a `$`, in braces or not.
fn used_variables(text: &str) -> BTreeSet<&str> {
    text.split('$')
        .skip(1)
        .map(|rest| rest.trim_start_matches('{'))
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Panels have a place of their own in the 24 columns.
fn place_faults(dashboard: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in list(dashboard, "/panels") {
        let title = text(panel, "/title");
        if !ids.insert(panel["id"].as_u64()) {
            faults.push(format!("{title}: another panel has its id"));
        }
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or_default());
        if w == 0 || h == 0 || x + w > 24 {
            faults.push(format!("{title}: it has no place in the 24 columns"));
        }
        let overlaps =
            (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))).any(|cell| !taken.insert(cell));
        if overlaps {
            faults.push(format!("{title}: it lies on another panel"));
        }
    }
    faults
}

/// With one thing wrong in a dashboard that is right, that is found. `PANEL` in a pointer is the panel of that title.
fn each_is_found(name: &str, title: &str, wrong: &[(&str, Value, &str)]) {
    let good: Value = crate::rendered(name, &[]);
    assert_eq!(faults(&good), Vec::<String>::new());
    let panel = list(&good, "/panels").iter().position(|panel| text(panel, "/title") == title);
    let panel = panel.unwrap_or_else(|| panic!("{name} has {title}")).to_string();
    for (pointer, value, fault) in wrong {
        let mut broken = good.clone();
        let pointer = pointer.replace("PANEL", &panel);
        *broken.pointer_mut(&pointer).unwrap_or_else(|| panic!("{pointer} is there")) = value.clone();
        let faults = faults(&broken);
        assert!(faults.iter().any(|found| found.contains(fault)), "{pointer} {fault}: {faults:?}");
    }
}

#[test]
fn faults_of_dashboards_are_found() {
    let wrong = [
        ("/schemaVersion", Value::from(38), "schemaVersion"),
        ("/editable", true.into(), "editable"),
        ("/uid", "".into(), "uid"),
        ("/title", "".into(), "title"),
        ("/panels/PANEL/title", "".into(), "no title"),
        ("/panels/PANEL/description", "".into(), "no description"),
        ("/panels/PANEL/fieldConfig/defaults/unit", "".into(), "its unit"),
        ("/panels/PANEL/fieldConfig/defaults/unit", "s".into(), "quorum_lag_entries is drawn in"),
        ("/panels/PANEL/datasource/uid", "prometheus".into(), "data source variable"),
        ("/panels/PANEL/targets/0/datasource/uid", "prometheus".into(), "data source variable"),
        ("/panels/PANEL/targets", Value::Array(Vec::new()), "it has no query"),
        ("/panels/PANEL/targets/0/expr", "quorum_lag_entries".into(), "is selected by the job None"),
        ("/panels/PANEL/targets/0/legendFormat", "{{peer}}".into(), "peer, which the query does not keep"),
        ("/panels/PANEL/targets/0/legendFormat", "".into(), "no legend"),
        ("/panels/PANEL/gridPos/x", 20.into(), "24 columns"),
        ("/panels/PANEL/gridPos/y", 0.into(), "lies on another panel"),
        ("/panels/PANEL/id", 1.into(), "has its id"),
        ("/templating/list/0/query", "loki".into(), "not the data source"),
        ("/templating/list/1/refresh", 1.into(), "not read again"),
        ("/templating/list/1/multi", false.into(), "cannot be all"),
        ("/templating/list/3/name", "membre".into(), "there is no variable member"),
        (
            "/templating/list/2/query/query",
            "label_values(quorum_up, cluster)".into(),
            "quorum_up, which there is not",
        ),
    ];
    each_is_found("overview.json", "Lag behind the leader", &wrong);
}

#[test]
fn faults_of_what_is_told_of_runs_are_found() {
    let rate = |by: &str| {
        let runs = r#"job=~"$job", instance=~"$run", stream=~"$stream""#;
        Value::from(format!("sum by ({by}) (rate(bench_late_operations_total{{{runs}}}[$__rate_interval]))"))
    };
    let wrong = [
        (
            "/panels/PANEL/targets/0/expr",
            rate("stream, op"),
            "bench_late_operations_total is added up over runs",
        ),
        (
            "/annotations/list/0/expr",
            r#"max by (instance, phase) (bench_phase{job=~"$job"}) == 1"#.into(),
            "is selected by no run",
        ),
        (
            "/annotations/list/0/expr",
            r#"max by (phase) (bench_phase{job=~"$job", instance=~"$run"}) == 1"#.into(),
            "Phases: bench_phase is added up over runs",
        ),
        (
            "/panels/PANEL/fieldConfig/defaults/custom/stacking/mode",
            "normal".into(),
            "bench_late_operations_total of one run is drawn on top of another's",
        ),
        ("/templating/list/3/multi", false.into(), "the run cannot be all"),
        ("/templating/list/3/description", "".into(), "what that means is not said"),
        (
            "/templating/list/4/query/query",
            r#"label_values(bench_scheduled_operations_total{job=~"$job"}, stream)"#.into(),
            "variable stream has what other runs have",
        ),
    ];
    each_is_found("benchmark.json", "Sent late", &wrong);
    let wrong = [("/panels/PANEL/description", "All of them.".into(), "it does not say that it adds up")];
    each_is_found("benchmark.json", "Response time", &wrong);
}
