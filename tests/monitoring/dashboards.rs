//! The rendered dashboards: their variables and panels, as Grafana reads them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::prometheus::Prometheus;

/// A dashboard.
pub(crate) struct Dashboard {
    /// Its file's name, without `.json`.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) panels: Vec<Panel>,
    variables: Vec<Value>,
}

/// A panel, or the header of a row of them.
pub(crate) struct Panel {
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) unit: String,
    /// What values are called, and in which colour: text and colour by value.
    pub(crate) mappings: BTreeMap<String, (String, String)>,
    /// Thresholds from below, with colours.
    pub(crate) steps: Vec<(f64, String)>,
    pub(crate) targets: Vec<Target>,
    /// Columns of 24, and rows: where it stands and how large it is.
    pub(crate) at: (u32, u32),
    pub(crate) size: (u32, u32),
}

/// A query, and how its series are named.
pub(crate) struct Target {
    pub(crate) expr: String,
    pub(crate) legend: String,
}

/// Values of the variables.
pub(crate) type Chosen = BTreeMap<String, String>;

/// All that are in a folder.
pub(crate) fn read(dir: &Path) -> Vec<Dashboard> {
    let files = std::fs::read_dir(dir).expect("the dashboards are rendered");
    let mut paths: Vec<_> = files.map(|file| file.expect("the folder can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.iter().map(|path| dashboard(path)).collect()
}

fn dashboard(path: &Path) -> Dashboard {
    let text = std::fs::read_to_string(path).expect("a dashboard can be read");
    let json: Value = serde_json::from_str(&text).expect("a dashboard is JSON");
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    Dashboard {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        title: text_of(&json["title"]),
        panels: all(&json["panels"]).iter().map(panel).collect(),
        variables: all(&json["templating"]["list"]),
    }
}

fn panel(json: &Value) -> Panel {
    let defaults = &json["fieldConfig"]["defaults"];
    let grid = |name: &str| json["gridPos"][name].as_u64().unwrap_or_default() as u32;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut mappings = BTreeMap::new();
    for mapping in list(&defaults["mappings"]) {
        for (value, to) in mapping["options"].as_object().into_iter().flatten() {
            mappings.insert(value.clone(), (text_of(&to["text"]), text_of(&to["color"])));
        }
    }
    let step = |step: &Value| (step["value"].as_f64().unwrap_or(f64::NEG_INFINITY), text_of(&step["color"]));
    Panel {
        kind: text_of(&json["type"]),
        title: text_of(&json["title"]),
        unit: text_of(&defaults["unit"]),
        mappings,
        steps: list(&defaults["thresholds"]["steps"]).iter().map(step).collect(),
        targets: list(&json["targets"])
            .iter()
            .map(|target| Target { expr: text_of(&target["expr"]), legend: text_of(&target["legendFormat"]) })
            .collect(),
        at: (grid("x"), grid("y")),
        size: (grid("w"), grid("h").max(1)),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Dashboard {
    /// Values that a person could choose, one set for each value of the variable that has most; those of a variable that
    /// takes several stand for all. `first` is taken first where it is among them.
    pub(crate) fn choices(&self, prometheus: &Prometheus, first: &str) -> Vec<Chosen> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for variable in &self.variables {
            let name = text_of(&variable["name"]);
            if variable["type"] != "query" {
                continue;
            }
            if variable["includeAll"] == true {
                values.insert(name, vec![text_of(&variable["allValue"])]);
                continue;
            }
            // Of what the variables before it let through.
            let known: Chosen = values.iter().map(|(name, of)| (name.clone(), of[0].clone())).collect();
            let query = substituted(&text_of(&variable["query"]["query"]), &known);
            let (selector, label) = query
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", "))
                .expect("a variable asks for values of a label");
            let mut found = prometheus.label_values(label, selector);
            found.sort_by_key(|value| value != first);
            assert!(!found.is_empty(), "{}: ${name} has no values: {query}", self.name);
            values.insert(name, found);
        }
        let most = values.values().map(Vec::len).max().unwrap_or(1);
        // Variables that have the same values differ from each other, as in a comparison.
        let mut shift = BTreeMap::new();
        (0..most)
            .map(|choice| {
                shift.clear();
                let one = |(name, of): (&String, &Vec<String>)| {
                    let shifted = shift.entry(of.clone()).and_modify(|n| *n += 1).or_insert(0_usize);
                    (name.clone(), of[(choice + *shifted) % of.len()].clone())
                };
                values.iter().map(one).collect()
            })
            .collect()
    }
}

/// A query with values in the place of variables.
pub(crate) fn substituted(query: &str, chosen: &Chosen) -> String {
    let mut query = query.to_owned();
    // The longest name first: $cluster is the beginning of $cluster_a.
    let mut names: Vec<_> = chosen.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        query = query.replace(&format!("${name}"), &chosen[name]);
    }
    query
}
