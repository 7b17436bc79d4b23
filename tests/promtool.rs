//! What Prometheus's own tool says of alerts and recording rules.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

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
fn the_configuration_of_the_local_stack_is_right() {
    let Some(promtool) = promtool("the_configuration_of_the_local_stack_is_right") else { return };
    let file = xtask::root().join(mixin::MIXIN).join("compose/prometheus.yaml");
    ask(&promtool, &["check", "config", "--syntax-only"], &[file]).unwrap();
}
