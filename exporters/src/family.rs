//! Families of series: what an exposition is written from, whatever its format.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use indexmap::IndexMap;

use crate::catalog::{self, Metric, Scope};
use crate::sample::Value;

/// All series of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The metric.
    pub metric: &'static Metric,
    /// Its series. No two of them have the same labels.
    pub series: Vec<Series>,
}

/// A series of a metric: its value now.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The values of its labels: those of the metric's [scope](Scope::labels), then [its own](Metric::labels).
    pub labels: Vec<String>,
    /// Its value now.
    pub value: Value,
}

impl Family {
    /// The names of the labels of its series, in their order.
    pub fn label_names(&self) -> impl Iterator<Item = &'static str> {
        let scope: Scope = self.metric.scope;
        scope.labels().iter().chain(self.metric.labels).copied()
    }
}

/// Families as they grow.
#[derive(Debug, Default)]
pub struct Families {
    /// By name: values by labels. Looking through the series would take the square of their number.
    by_name: HashMap<&'static str, IndexMap<Vec<String>, Value>>,
}

impl Families {
    /// Adds a series. A second one of the same metric and labels is left out.
    pub fn add(&mut self, metric: &'static Metric, labels: Vec<String>, value: Value) {
        debug_assert_eq!(labels.len(), metric.scope.labels().len() + metric.labels.len(), "{}", metric.name);
        self.by_name.entry(metric.name).or_default().entry(labels).or_insert(value);
    }

    /// Adds all series of others. Where both have the same, that of these stays.
    pub fn append(&mut self, others: Families) {
        for (name, others) in others.by_name {
            match self.by_name.entry(name) {
                Entry::Vacant(entry) => _ = entry.insert(others),
                Entry::Occupied(mut entry) => {
                    for (labels, value) in others {
                        entry.get_mut().entry(labels).or_insert(value);
                    }
                }
            }
        }
    }

    /// The same of families that are no more to grow.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Family>) {
        for family in others {
            for series in family.series {
                self.add(family.metric, series.labels, series.value);
            }
        }
    }

    /// The families, in the order of the catalog.
    pub fn into_sorted(self) -> Vec<Family> {
        let mut by_name = self.by_name;
        let families = catalog::ALL.iter().filter_map(|metric| {
            let series = by_name.remove(metric.name)?.into_iter();
            let series = series.map(|(labels, value)| Series { labels, value }).collect();
            Some(Family { metric, series })
        });
        families.collect()
    }
}
