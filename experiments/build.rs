//! Tells the program which commit it was built from, where there is a repository to tell it.

use std::path::Path;
use std::process::Command;

fn main() {
    let head = Path::new("../.git/HEAD");
    if head.exists() {
        println!("cargo::rerun-if-changed=../.git/HEAD");
        println!("cargo::rerun-if-changed=../.git/logs/HEAD");
    }
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    if let Ok(output) = commit
        && output.status.success()
        && let Ok(commit) = String::from_utf8(output.stdout)
    {
        println!("cargo::rustc-env=QUORUMETER_COMMIT={}", commit.trim());
    }
}
