//! What Prometheus's own tool says of alerts, recording rules and queries of dashboards.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use xtask::mixin;

/// promtool, or `None` after saying that `test` is skipped.
fn promtool(test: &str) -> Option<PathBuf> {
    support::prometheus::installed("promtool", test)
}

/// What promtool says of some files; an error when it is not content.
fn ask(promtool: &Path, arguments: &[&str], files: &[PathBuf]) -> Result<String, String> {
    let output =
        Command::new(promtool).args(arguments).args(files).output().map_err(|error| error.to_string())?;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn rendered(name: &str) -> PathBuf {
    xtask::root().join(mixin::RENDERED).join(name)
}

/// A rendered file's text, of the mixin or of its tests.
fn text_of(files: Vec<(PathBuf, String)>, name: &str) -> String {
    files.into_iter().find(|(path, _)| path == Path::new(name)).expect("the mixin renders it").1
}

/// What is at a key of every item of lists inside each other.
fn all<'a>(value: &'a Value, lists: &[&str], key: &str) -> Vec<&'a Value> {
    match lists {
        [] => value.get(key).into_iter().collect(),
        [list, inner @ ..] => {
            value[list].as_array().into_iter().flatten().flat_map(|item| all(item, inner, key)).collect()
        }
    }
}

#[test]
fn promtool_finds_alerts_and_rules_right() {
    let Some(promtool) = promtool("promtool_finds_alerts_and_rules_right") else { return };
    let files = ["alerts.yaml", "rules.yaml"].map(rendered);
    let said = ask(&promtool, &["check", "rules", "--lint-fatal"], &files).unwrap();
    assert_eq!(said.matches("SUCCESS").count(), files.len(), "{said}");
}

#[test]
fn promtool_finds_them_right_with_other_knobs() {
    let Some(promtool) = promtool("promtool_finds_them_right_with_other_knobs") else { return };
    let folder = tempfile::tempdir().unwrap();
    let knobs =
        ["clusterLabel=exported_cluster", "memberLabel=server", "scrapeIntervalSeconds=1", "alertForAll=1s"];
    let mut files = Vec::new();
    for (name, text) in mixin::render(&knobs).unwrap() {
        if ["alerts.yaml", "rules.yaml"].map(Path::new).contains(&name.as_path()) {
            files.push(folder.path().join(name));
            std::fs::write(files.last().unwrap(), text).unwrap();
        }
    }
    let said = ask(&promtool, &["check", "rules", "--lint-fatal"], &files).unwrap();
    assert_eq!(said.matches("SUCCESS").count(), 2, "{said}");
}

/// The tests of alerts are bound to their rules: with one threshold moved they fail, and say which alert.
#[test]
fn every_alert_fires_and_stays_silent_as_promtool_tests_it() {
    let Some(promtool) = promtool("every_alert_fires_and_stays_silent_as_promtool_tests_it") else { return };
    let tests = ["3-voters.yaml", "5-voters.yaml"].map(|name| xtask::root().join(mixin::TESTS).join(name));
    ask(&promtool, &["test", "rules"], &tests).unwrap();
}

#[test]
fn a_threshold_that_is_moved_is_noticed() {
    let Some(promtool) = promtool("a_threshold_that_is_moved_is_noticed") else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    for (name, text) in mixin::render(&["lagEntries=1001"]).unwrap() {
        write(&format!("out/{}", name.display()), &text);
    }
    let (_, tests) = mixin::render_tests().unwrap().remove(0);
    let tests = write("tests/3-voters.yaml", &tests);
    let said = ask(&promtool, &["test", "rules", "--run=QuorumFollowerLagging"], &[tests]).unwrap_err();
    assert!(said.contains("3 voters: QuorumFollowerLagging fires"), "{said}");
}

#[test]
fn every_recording_rule_records_what_was_worked_out_by_hand() {
    let Some(promtool) = promtool("every_recording_rule_records_what_was_worked_out_by_hand") else { return };
    ask(&promtool, &["test", "rules"], &[xtask::root().join(mixin::TESTS).join("rules.yaml")]).unwrap();
}

/// Recording rules of which no case expects a value.
fn rules_without_a_case(rules: &str, tests: &str) -> BTreeSet<String> {
    let [rules, tests] = [rules, tests].map(|text| mixin::parse_yaml(text).unwrap());
    let names = |values: Vec<&Value>| -> BTreeSet<String> {
        values.into_iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let recorded = names(all(&rules, &["groups", "rules"], "record"));
    let expected = names(all(&tests, &["tests", "promql_expr_test", "exp_samples"], "labels"));
    let is_expected =
        |record: &String| expected.iter().any(|labels| labels.split_once('{').unwrap().0 == record);
    recorded.into_iter().filter(|record| !is_expected(record)).collect()
}

#[test]
fn every_recording_rule_has_a_case() {
    let rules = text_of(mixin::render(&[]).unwrap(), "rules.yaml");
    let tests = text_of(mixin::render_tests().unwrap(), "rules.yaml");
    assert_eq!(rules_without_a_case(&rules, &tests), BTreeSet::new());

    let added = rules + "      - { expr: \"vector(1)\", record: \"cluster:quorum_added:max\" }\n";
    assert_eq!(rules_without_a_case(&added, &tests), ["cluster:quorum_added:max".to_owned()].into());
}

/// What makes a rule wrong: what stands in it, and what is put in its place. Each is tried wherever it stands in a rule.
const BREAKS: [(&str, &str); 16] = [
    // What two exporters tell, or two members, counts twice, or one of them not at all.
    ("max by", "sum by"),
    ("sum by", "max by"),
    ("max by", "min by"),
    ("min by", "max by"),
    // Labels that are not kept, and those that are not told apart.
    ("(cluster, member", "(cluster"),
    (", operation", ""),
    (", stage", ""),
    (", op)", ")"),
    // Another job, window, function or quantile.
    ("job=\"quorumeter\"", "job=~\".+\""),
    ("[1h]", "[40m]"),
    ("increase(", "rate("),
    ("rate(", "deriv("),
    ("histogram_quantile(0.", "histogram_quantile(0.0"),
    // Arithmetic.
    ("_count", "_sum"),
    (" > 0", ""),
    (" / 2", " / 3"),
];

/// The cases are bound to their rules: whatever is broken of one, a case of that rule says so.
#[test]
fn a_rule_that_is_broken_is_noticed() {
    let Some(promtool) = promtool("a_rule_that_is_broken_is_noticed") else { return };
    let folder = tempfile::tempdir().unwrap();
    let rules = mixin::parse_yaml(&text_of(mixin::render(&[]).unwrap(), "rules.yaml")).unwrap();
    let tests = folder.path().join("tests.yaml");
    let text = text_of(mixin::render_tests().unwrap(), "rules.yaml");
    std::fs::write(&tests, text.replace("../out/rules.yaml", "rule.yaml")).unwrap();
    // What promtool says of a rule that stands alone.
    let ask_of = |name: &str, expr: &str| {
        let file = json!({ "groups": [{ "name": "alone", "rules": [{ "record": name, "expr": expr }] }] });
        std::fs::write(folder.path().join("rule.yaml"), file.to_string()).unwrap();
        ask(&promtool, &["test", "rules", &format!("--run=^{name}:")], std::slice::from_ref(&tests))
    };
    let mut unnoticed = Vec::new();
    let mut used = BTreeSet::new();
    for rule in all(&rules, &["groups"], "rules").iter().flat_map(|rules| rules.as_array().unwrap()) {
        let [name, expr] = ["record", "expr"].map(|key| rule[key].as_str().unwrap());
        ask_of(name, expr).unwrap();
        let mut tried = 0;
        for (what, instead) in BREAKS {
            for (at, _) in expr.match_indices(what) {
                let broken = format!("{}{instead}{}", &expr[..at], &expr[at + what.len()..]);
                match ask_of(name, &broken) {
                    Err(said) if said.contains(&format!("expr: \"{name}\"")) => {}
                    other => unnoticed.push(format!("{name}: {broken}: {other:?}")),
                }
                used.insert((what, instead));
                tried += 1;
            }
        }
        assert!(tried > 0, "nothing of {name} is broken");
    }
    assert_eq!(used.len(), BREAKS.len(), "each breaks a rule: {used:?}");
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

/// Queries of the dashboard of measurements that read histograms: of all runs, streams and jobs, over a minute.
fn queries_of_histograms() -> Vec<String> {
    let dashboard = text_of(mixin::render(&[]).unwrap(), "benchmark.json");
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut queries: Vec<String> = all(&dashboard, &["panels", "targets"], "expr")
        .into_iter()
        .map(|expr| expr.as_str().unwrap().replace("$__rate_interval", "1m"))
        .filter(|expr| expr.contains("_bucket{") && expr.contains("bench_"))
        .collect();
    for query in &mut queries {
        for variable in ["$job", "$run", "$stream"] {
            *query = query.replace(variable, ".+");
        }
    }
    queries
}

/// A histogram of a run in each of the two forms: of 100 operations each half a minute, half are in each of two classic buckets,
/// or all in the native one from 0.5 to 1 s.
fn series_of_a_run(metric: &str, is_pushed: bool) -> Vec<Value> {
    let series = |name: &str, instance: &str, more: &str, values: &str| {
        let labels = format!("job=\"bench\", instance=\"{instance}\", stream=\"app\", op=\"read\"");
        json!({ "series": format!("{name}{{{labels}{more}}}"), "values": values })
    };
    if is_pushed {
        let values = "{{schema:0 sum:0 count:0 buckets:[0]}}+{{schema:0 sum:70 count:100 buckets:[100]}}x20";
        return vec![series(metric, "pushed", "", values)];
    }
    let buckets = [("0.4096", 0), ("0.8192", 50), ("1.6384", 100), ("+Inf", 100)];
    let bucket = |(le, count): (&str, u32)| {
        let le = format!(", le=\"{le}\"");
        series(&format!("{metric}_bucket"), "scraped:1", &le, &format!("0+{count}x20"))
    };
    buckets.map(bucket).into()
}

/// What a query gives of such runs, worked out by hand: within a classic bucket values are spread evenly, and within a native
/// one the logarithms of values are.
fn drawn(query: &str, is_scraped: bool, is_pushed: bool) -> Vec<Value> {
    let Some((_, quantile)) = query.split_once("histogram_quantile(") else {
        let mut cells = Vec::new();
        if is_scraped {
            let buckets = [("0.4096", 0), ("0.8192", 100), ("1.6384", 200), ("+Inf", 200)];
            cells.extend(
                buckets.map(|(le, count)| json!({ "labels": format!("{{le=\"{le}\"}}"), "value": count })),
            );
        }
        if is_pushed {
            let histogram = "{{sum:140 count:200 counter_reset_hint:gauge buckets:[200]}}";
            cells.push(json!({ "labels": "{}", "histogram": histogram }));
        }
        return cells;
    };
    let (scraped, pushed) = match quantile.split_once(',').unwrap().0 {
        "0.5" => (0.8192, std::f64::consts::FRAC_1_SQRT_2),
        "0.99" => (1.622_016, 0.993_092_495_437_036),
        "0.999" => (1.636_761_6, 0.999_307_092_990_452_6),
        other => panic!("no value was worked out for {other}"),
    };
    let by = query.split_once("sum by (").unwrap().1.split_once(')').unwrap().0;
    let labels = |instance: &str| {
        let kept = [("stream", "app"), ("op", "read")]
            .into_iter()
            .filter(|(label, _)| by.split(", ").any(|kept| kept == *label));
        let kept: String = kept.map(|(label, value)| format!(", {label}=\"{value}\"")).collect();
        format!("{{instance=\"{instance}\"{kept}}}")
    };
    [(is_scraped, "scraped:1", scraped), (is_pushed, "pushed", pushed)]
        .into_iter()
        .filter(|(is_there, ..)| *is_there)
        .map(|(_, instance, value)| json!({ "labels": labels(instance), "value": value }))
        .collect()
}

#[test]
fn runs_that_are_scraped_and_runs_that_are_pushed_are_drawn() {
    let test = "runs_that_are_scraped_and_runs_that_are_pushed_are_drawn";
    let Some(promtool) = promtool(test) else { return };
    let queries = queries_of_histograms();
    // A heat map, and three percentiles each of response, service and wait, of deliveries, and of the schedule's lag.
    assert_eq!(queries.len(), 16, "{queries:#?}");
    let metrics: BTreeSet<&str> = queries
        .iter()
        .map(|query| &query[query.find("bench_").unwrap()..query.find("_bucket{").unwrap()])
        .collect();
    let tests: Vec<Value> = [(true, false), (false, true), (true, true)]
        .into_iter()
        .map(|(is_scraped, is_pushed)| {
            let forms =
                [(is_scraped, false), (is_pushed, true)].into_iter().filter(|(is_there, _)| *is_there);
            let series: Vec<Value> = forms
                .flat_map(|(_, form)| metrics.iter().flat_map(move |metric| series_of_a_run(metric, form)))
                .collect();
            let asked: Vec<Value> = queries
                .iter()
                .map(|query| {
                    let samples = drawn(query, is_scraped, is_pushed);
                    json!({ "expr": query, "eval_time": "5m", "exp_samples": samples })
                })
                .collect();
            json!({
                "name": format!("scraped: {is_scraped}, pushed: {is_pushed}"),
                "interval": "30s",
                "input_series": series,
                "promql_expr_test": asked,
            })
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runs.yaml");
    let told = json!({ "rule_files": [], "fuzzy_compare": true, "tests": tests });
    std::fs::write(&file, told.to_string()).unwrap();
    ask(&promtool, &["test", "rules"], &[file]).unwrap();
}

#[test]
fn the_configuration_of_the_local_stack_is_right() {
    let Some(promtool) = promtool("the_configuration_of_the_local_stack_is_right") else { return };
    let file = xtask::root().join(mixin::MIXIN).join("compose/prometheus.yaml");
    ask(&promtool, &["check", "config", "--syntax-only"], &[file]).unwrap();
}
