//! Tells the tool which commit it is built from, for the record; a build without git has none.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=QUORUMETER_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("QUORUMETER_COMMIT").is_some() {
        return;
    }
    // Written whenever another commit is checked out or made.
    let head = Path::new("../.git/logs/HEAD");
    if head.exists() {
        println!("cargo::rerun-if-changed={}", head.display());
    }
    let Ok(output) = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output() else { return };
    if output.status.success() {
        println!("cargo::rustc-env=QUORUMETER_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
