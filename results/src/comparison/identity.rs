//! What has to be the same for two records' numbers to be compared.

use std::collections::{BTreeMap, BTreeSet};

use quorumeter_record::Manifest;
use serde_json::Value;

use super::Record;
use crate::figures::span;

/// Something in which records differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is, in words.
    pub what: String,
    /// What the records have, side by side: of each side every value that one of its records has.
    pub values: Vec<String>,
    /// Whether numbers can be compared all the same: a version, the machine.
    pub is_harmless: bool,
}

/// Settings of a server that may differ: the release is what one often wants to compare.
const RELEASE: &str = "version";
/// Parts of a workload that change nothing that is measured, or only how long.
const BESIDE_THE_LOAD: [&str; 5] = ["name", "seed", "gates", "abort", "engine"];

/// In what the sides differ, and what some record does not tell so that it was not looked at. Records of one side must
/// agree as well.
pub(super) fn differences(sides: &[&[Record]]) -> (Vec<Difference>, Vec<String>) {
    let told: Vec<Vec<Facts>> = sides.iter().map(|side| side.iter().map(facts).collect()).collect();
    let names: BTreeSet<&(bool, String)> =
        told.iter().flatten().flat_map(|facts| facts.told.keys()).collect();
    let (mut differences, mut unchecked) = (Vec::new(), Vec::new());
    for name in names {
        let (is_harmless, what) = name;
        let value = |facts: &Facts| match facts.told.get(name) {
            Some(value) => Some(value.clone()),
            // A manifest tells everything that there is to be told.
            None => facts.has_manifest.then(|| "none".to_owned()),
        };
        let sets: Vec<BTreeSet<String>> =
            told.iter().map(|side| side.iter().filter_map(value).collect()).collect();
        if told.iter().flatten().any(|facts| value(facts).is_none()) && !is_harmless {
            // One word for everything of a kind.
            let kind = ["workload", "setting"].into_iter().find(|kind| what.starts_with(kind));
            let told = kind.map_or_else(|| what.clone(), str::to_owned);
            if !unchecked.contains(&told) {
                unchecked.push(told);
            }
        }
        if sets.iter().flatten().collect::<BTreeSet<_>>().len() > 1 {
            let values =
                sets.into_iter().map(|set| set.into_iter().collect::<Vec<_>>().join(" or ")).collect();
            differences.push(Difference { what: what.clone(), values, is_harmless: *is_harmless });
        }
    }
    (differences, unchecked)
}

/// What a record tells of what it measured, by name and whether a difference is harmless.
struct Facts {
    told: BTreeMap<(bool, String), String>,
    has_manifest: bool,
}

fn facts(record: &Record) -> Facts {
    let mut facts = Facts { told: BTreeMap::new(), has_manifest: record.manifest.is_some() };
    let summary = &record.summary;
    let kind = if summary.failover.is_some() { "failover" } else { "run" };
    facts.must("kind of measurement", kind);
    facts.must("target", summary.target.as_deref().unwrap_or("none"));
    if let Some(failover) = &summary.failover {
        facts.must("fault", &failover.fault);
        facts.must("victim", &failover.victim);
        facts.must("probe period", span(failover.probe_period_ns));
        facts.must("poll period", span(failover.poll_period_ns));
        let policies: Vec<&str> = failover.policies.keys().map(String::as_str).collect();
        facts.must("policies", if policies.is_empty() { "none".to_owned() } else { policies.join(", ") });
    } else {
        for (name, stream) in &summary.streams {
            facts.must(&format!("kind of stream {name}"), format!("{:?}", stream.loop_kind).to_lowercase());
        }
    }
    if let Some(manifest) = &record.manifest {
        facts.of_manifest(manifest);
    }
    facts
}

impl Facts {
    fn must(&mut self, what: &str, value: impl Into<String>) {
        self.told.insert((false, what.to_owned()), value.into());
    }

    fn may(&mut self, what: &str, value: impl Into<String>) {
        self.told.insert((true, what.to_owned()), value.into());
    }

    fn of_manifest(&mut self, manifest: &Manifest) {
        if let Some(plan) = &manifest.failover {
            let follows = || "from the baseline".to_owned();
            self.must("slow threshold", plan.slow_threshold_ns.map_or_else(follows, span));
            self.must("limit", span(plan.limit_ns));
            self.must("time before the fault is cleared", span(plan.clear_after_ns));
            self.may("length of the baseline", span(plan.baseline_ns));
        }
        if let Some(target) = &manifest.target {
            let observers = target.members.iter().filter(|m| m.role.as_deref() == Some("observer")).count();
            self.must("members", target.members.len().to_string());
            self.must("observers", observers.to_string());
            self.must("session timeout", span(target.session_timeout_ns));
            self.must("durability", &target.fsync);
            self.must("server on the generator's machine", if target.on_this_machine { "yes" } else { "no" });
            for (key, value) in target.settings.iter().filter(|(key, _)| *key != RELEASE) {
                self.must(&format!("setting {key}"), value);
            }
            let versions: BTreeSet<&str> =
                target.members.iter().filter_map(|m| m.version.as_deref()).collect();
            self.may("server's version", versions.into_iter().collect::<Vec<_>>().join(", "));
        }
        if let Value::Object(workload) = &manifest.workload {
            let load = workload.iter().filter(|(key, _)| !BESIDE_THE_LOAD.contains(&key.as_str()));
            for (key, value) in load {
                self.leaves(&format!("workload {key}"), value, manifest.failover.is_some());
            }
        }
        let tool = &manifest.tool;
        self.may("quorumeter", format!("{} ({} build)", tool.version, tool.build));
        let environment = &manifest.environment;
        self.may("kernel", &environment.kernel);
        self.may("cores", environment.cores.to_string());
        self.may("CPU", environment.cpu_model.as_deref().unwrap_or("unknown"));
    }

    /// The values within a part of the workload, by their path. How long a failover measures follows from its faults.
    fn leaves(&mut self, path: &str, value: &Value, is_failover: bool) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.leaves(&format!("{path}.{key}"), value, is_failover);
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    // Streams by their names.
                    let name = item.get("name").and_then(Value::as_str).map_or(i.to_string(), str::to_owned);
                    self.leaves(&format!("{path}.{name}"), item, is_failover);
                }
            }
            _ if is_failover && path == "workload phases.measure" => {}
            Value::String(text) => self.must(path, text),
            other => self.must(path, other.to_string()),
        }
    }
}
