//! Families of series: what an exposition is written from, whatever its format.

use std::collections::{HashMap, HashSet};

use crate::catalog::{Metric, Scope};
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
    families: Vec<Family>,
    /// By name: where it is, and the labels of its series. Looking through the series would take the square of their number.
    index: HashMap<&'static str, (usize, HashSet<Vec<String>>)>,
}

impl Families {
    /// Adds a series. A second one of the same metric and labels is left out.
    pub fn add(&mut self, metric: &'static Metric, labels: Vec<String>, value: Value) {
        debug_assert_eq!(labels.len(), metric.scope.labels().len() + metric.labels.len(), "{}", metric.name);
        let families = &mut self.families;
        let (place, seen) = self.index.entry(metric.name).or_insert_with(|| {
            families.push(Family { metric, series: Vec::new() });
            (families.len() - 1, HashSet::new())
        });
        if seen.insert(labels.clone()) {
            families[*place].series.push(Series { labels, value });
        }
    }

    /// Adds all series of others. Where both have the same, that of these stays.
    pub fn append(&mut self, others: Families) {
        self.extend(others.families);
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
        let mut families = self.families;
        let place =
            |family: &Family| crate::catalog::ALL.iter().position(|metric| metric.name == family.metric.name);
        families.sort_by_key(place);
        families
    }
}
