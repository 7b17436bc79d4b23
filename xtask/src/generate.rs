//! Files that are generated from code and committed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use xtask::mixin::{self, RENDERED, TESTS};

use crate::{metrics, root};

/// Folder of the JSON Schemas.
const SCHEMAS: &str = "schemas";

/// Folders whose files are all generated, by the end of their names; other files in them are left alone.
const FOLDERS: [(&str, &str); 3] = [(SCHEMAS, ""), (RENDERED, ""), (TESTS, ".yaml")];

/// Every generated file: its path below the root, and its contents.
fn generated() -> Result<Vec<(PathBuf, String)>, String> {
    let mut files = Vec::new();
    let workload = ("workload.schema.json", quorumeter_loadgen::workload_schema());
    let export = ("export.schema.json", quorumeter_exporters::config::schema());
    for (name, schema) in quorumeter_record::schemas().into_iter().chain([workload, export]) {
        let text = serde_json::to_string_pretty(&schema).map_err(|error| format!("{name}: {error}"))?;
        files.push((Path::new(SCHEMAS).join(name), text + "\n"));
    }
    let below = |folder: &'static str| move |(path, text)| (Path::new(folder).join::<PathBuf>(path), text);
    files.extend(mixin::render(&[])?.into_iter().map(below(RENDERED)));
    files.extend(mixin::render_tests()?.into_iter().map(below(TESTS)));
    files.push((PathBuf::from("docs/metrics.md"), metrics::page()));
    Ok(files)
}

/// Writes the mixin into a folder, rendered with other knobs.
pub(crate) fn write_mixin(knobs: &[String], out: &Path) -> Result<(), String> {
    let knobs: Vec<&str> = knobs.iter().map(String::as_str).collect();
    std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    for (name, text) in mixin::render(&knobs)? {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}: written", path.display());
    }
    Ok(())
}

/// Brings every generated file up to date.
pub(crate) fn write() -> Result<(), String> {
    let files = generated()?;
    for path in stale(&root(), &files)? {
        let full = root().join(&path);
        let done = match files.iter().find(|(file, _)| *file == path) {
            Some((_, contents)) => full
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&full, contents))
                .map(|()| "written"),
            None => std::fs::remove_file(&full).map(|()| "removed: nothing generates it any more"),
        };
        println!("{}: {}", path.display(), done.map_err(|error| format!("{}: {error}", full.display()))?);
    }
    Ok(())
}

/// An error that lists the files that are not what they should be.
pub(crate) fn check() -> Result<(), String> {
    let stale = stale(&root(), &generated()?)?;
    if stale.is_empty() {
        return Ok(());
    }
    let list: String = stale.iter().map(|path| format!("\n  {}", path.display())).collect();
    Err(format!("these files are out of date; run `cargo xtask generate` and commit them:{list}"))
}

/// Files that differ from what is generated or are missing, and those in a folder of generated files that are not.
fn stale(root: &Path, files: &[(PathBuf, String)]) -> Result<BTreeSet<PathBuf>, String> {
    let mut stale = BTreeSet::new();
    for (path, contents) in files {
        if std::fs::read_to_string(root.join(path)).ok().as_ref() != Some(contents) {
            stale.insert(path.clone());
        }
    }
    for (folder, ending) in FOLDERS {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let name = entry.map_err(|error| format!("{folder}: {error}"))?.file_name();
            let path = Path::new(folder).join(&name);
            if name.to_string_lossy().ends_with(ending) && !files.iter().any(|(file, _)| *file == path) {
                stale.insert(path);
            }
        }
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_is_what_differs_is_missing_or_is_left_over() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| Path::new(SCHEMAS).join(name);
        std::fs::create_dir(root.path().join(SCHEMAS)).unwrap();
        for (name, contents) in [("same", "1\n"), ("changed", "2\n"), ("left-over", "3\n")] {
            std::fs::write(root.path().join(path(name)), contents).unwrap();
        }
        let files = ["same", "changed", "missing"].map(|name| (path(name), "1\n".to_owned()));
        assert_eq!(
            stale(root.path(), &files).unwrap(),
            ["changed", "missing", "left-over"].map(path).into_iter().collect()
        );
    }

    #[test]
    fn every_generated_file_has_its_own_path_and_ends_in_a_newline() {
        let files = generated().unwrap();
        assert!(!files.is_empty());
        assert_eq!(files.iter().map(|(path, _)| path).collect::<BTreeSet<_>>().len(), files.len());
        assert!(files.iter().all(|(_, contents)| contents.ends_with('\n')));
    }
}
