//! What Prometheus's own tool says of alerts and recording rules.

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

#[test]
fn the_configuration_of_the_local_stack_is_right() {
    let Some(promtool) = promtool("the_configuration_of_the_local_stack_is_right") else { return };
    let file = xtask::root().join(mixin::MIXIN).join("compose/prometheus.yaml");
    ask(&promtool, &["check", "config", "--syntax-only"], &[file]).unwrap();
}
