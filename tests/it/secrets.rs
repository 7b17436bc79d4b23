//! What is given as a secret is in no file of a record.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{QUORUMETER, real_zookeeper};

const SECRET: &str = "hunter2";

#[test]
fn no_file_of_a_record_has_a_secret_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let refused = dir.path().join("refused");
    // The embedded server has no such setting, and the error repeats what was given.
    let output = run("embedded:1", &refused);
    assert_eq!(output.status.code(), Some(1));
    assert_no_secret(&refused);

    if real_zookeeper("secrets::no_file_of_a_record_has_a_secret_in_it").is_none() {
        return;
    }
    let launched = dir.path().join("launched");
    let output = run("zookeeper:1", &launched);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_no_secret(&launched);
    let manifest = fs::read_to_string(launched.join("run.json")).unwrap();
    assert_eq!(
        manifest.matches("***").count(),
        2,
        "the command line and the settings say that there was one"
    );
}

fn run(ensemble: &str, out: &Path) -> std::process::Output {
    Command::new(QUORUMETER)
        .args(["run", "--ensemble", ensemble, "--server"])
        .arg(format!("ssl.keyStore.password={SECRET}"))
        .args(["--warmup", "0s", "--duration", "500ms", "--rate", "200/s", "--set", "dataset.nodes=100"])
        .arg("--out")
        .arg(out)
        .output()
        .unwrap()
}

fn assert_no_secret(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            assert_no_secret(&path);
        } else {
            let bytes = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(SECRET), "{}:\n{text}", path.display());
        }
    }
}
