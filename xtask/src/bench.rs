//! The README's table of what the generator and the embedded server cost, beside others: one command, one table.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::{cargo, root, servers};

/// The benchmarks that compare, in the order of the table.
const COMPARISONS: [&str; 2] = ["generator", "embedded"];
/// With this argument they print the table's rows between everything else.
const MARKDOWN: &str = "--markdown";

/// Builds for release, runs the comparisons, and prints the table. What they say while they run goes to standard error.
pub(crate) fn run() -> Result<(), String> {
    servers::install(&["zookeeper".to_owned()])?;
    cargo(&["build", "--release"])?;
    // Compiling is no other work on the machine while it is measured.
    for name in COMPARISONS {
        cargo(&["bench", "--package", "quorumeter-benches", "--bench", name, "--no-run"])?;
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let mut said = Vec::new();
    for name in COMPARISONS {
        said.extend(compare(name)?);
    }
    println!("{}", table(&said, load)?);
    Ok(())
}

/// Runs one comparison, and returns the lines that it printed.
fn compare(name: &str) -> Result<Vec<String>, String> {
    let fail = |error| format!("the benchmark {name} cannot be run: {error}");
    let mut child = Command::new("cargo")
        .args(["bench", "--quiet", "--package", "quorumeter-benches", "--bench", name, "--", MARKDOWN])
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let mut said = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(fail)?;
            eprintln!("{line}");
            said.push(line);
        }
    }
    let status = child.wait().map_err(fail)?;
    if status.success() { Ok(said) } else { Err(format!("the benchmark {name} failed ({status})")) }
}

/// The machine's line, and a table of the rows among what the benchmarks said.
fn table(said: &[String], load: &str) -> Result<String, String> {
    let machine = said.iter().find_map(|line| line.strip_prefix("machine: "));
    let machine = machine.ok_or("the benchmarks did not name the machine")?;
    let rows: Vec<&str> = said.iter().map(String::as_str).filter(|line| line.starts_with("| ")).collect();
    if rows.is_empty() {
        return Err("the benchmarks printed no rows".to_owned());
    }
    Ok(format!(
        "Machine: {machine}; load average {load} before.\n\n| what | Quorumeter | beside it | |\n|---|--:|--:|---|\n{}",
        rows.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_the_rows_and_names_the_machine_once() {
        let said = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let all = said(&[
            "machine: A, 2 cores",
            "",
            "  read  1",
            "| read | 1 |",
            "machine: A, 2 cores",
            "| write | 2 |",
        ]);
        assert_eq!(
            table(&all, "0.10").unwrap(),
            "Machine: A, 2 cores; load average 0.10 before.\n\n| what | Quorumeter | beside it | |\n|---|--:|--:|---|\n\
             | read | 1 |\n| write | 2 |"
        );
        assert!(table(&said(&["| read | 1 |"]), "0").is_err());
        assert!(table(&said(&["machine: A"]), "0").is_err());
    }
}
