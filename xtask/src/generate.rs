//! Files that are generated from code and committed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::root;

/// Folder whose files are all generated.
const SCHEMAS: &str = "schemas";

/// Every generated file: its path below the root, and its contents.
fn generated() -> Result<Vec<(PathBuf, String)>, String> {
    quorumeter_record::schemas()
        .into_iter()
        .chain([("workload.schema.json", quorumeter_loadgen::workload_schema())])
        .map(|(name, schema)| {
            let text = serde_json::to_string_pretty(&schema).map_err(|error| format!("{name}: {error}"))?;
            Ok((Path::new(SCHEMAS).join(name), text + "\n"))
        })
        .collect()
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
    let Ok(folder) = std::fs::read_dir(root.join(SCHEMAS)) else { return Ok(stale) };
    for entry in folder {
        let path = Path::new(SCHEMAS).join(entry.map_err(|error| format!("{SCHEMAS}: {error}"))?.file_name());
        if !files.iter().any(|(file, _)| *file == path) {
            stale.insert(path);
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
        assert!(files.iter().all(|(path, contents)| path.starts_with(SCHEMAS) && contents.ends_with("}\n")));
    }
}
