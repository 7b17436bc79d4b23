//! `docs/metrics.md`: every metric, from the table that defines it.

use std::fmt::Write as _;

use quorumeter_exporters::catalog::{ALL, BUCKETS_NS, Kind, Metric, Scope, Sources};

/// What stands above the table of each scope.
const SCOPES: [(Scope, &str, &str); 6] = [
    (Scope::Member, "Members", "As each member tells it of itself."),
    (
        Scope::Cluster,
        "Clusters",
        "What follows from all members of a cluster together, computed from the answers of one scrape.",
    ),
    (
        Scope::Probe,
        "The canary",
        "What a client feels: operations of the exporter's own (`--canary`) beside the metrics of the servers.",
    ),
    (Scope::Scrape, "Asking", "How asking the members went."),
    (Scope::Exporter, "The exporter", "Its own process."),
    (
        Scope::Bench,
        "Measurements",
        "Of `quorumeter run` and `quorumeter failover` with `--listen` or `--otlp`, while they go on.",
    ),
];

/// The whole page.
pub(crate) fn page() -> String {
    let buckets = BUCKETS_NS.map(|bucket| format!("{}", bucket as f64 / 1e9));
    let mut page = format!(
        "<!-- Written by `cargo xtask generate` from exporters/src/catalog.rs. Do not edit. -->\n\
         # Metrics\n\n\
         What `quorumeter export` and a measurement with `--listen` expose. The names are the same for ZooKeeper, \
         ClickHouse Keeper, etcd and Consul. **What a system does not tell is absent, never 0**: a query that treats \
         absence as 0 is wrong.\n\n\
         Times are seconds, sizes are bytes, counters end in `_total`. A state set has a series for each state, of which \
         one at most is 1. A histogram that Quorumeter times itself has the buckets {} s; one that a server tells has the \
         server's, and where the server tells only the sum and the number, `+Inf` is the only one: use `rate(…_sum) / \
         rate(…_count)` there. No metric is a percentile of a server's whole life.\n",
        buckets.join(", ")
    );
    for (scope, title, text) in SCOPES {
        let labels = match scope.labels() {
            [] => "No labels besides those that are named.".to_owned(),
            labels => format!("Labels of all: {}.", code_list(labels)),
        };
        let _ = write!(page, "\n## {title}\n\n{text} {labels}\n");
        for metric in ALL.iter().filter(|metric| metric.scope == scope) {
            page.push_str(&entry(metric));
        }
    }
    page
}

fn entry(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Info => "info",
        Kind::StateSet => "state set",
        Kind::Histogram => "histogram",
    };
    let unit = match (metric.unit, metric.kind) {
        ("", Kind::Gauge) if metric.name.ends_with("_term") => String::new(),
        ("", Kind::Gauge) => ", 0 or 1".to_owned(),
        ("", _) => String::new(),
        (unit, _) => format!(", {unit}"),
    };
    let labels = match metric.labels {
        [] => String::new(),
        labels => format!(", by {}", code_list(labels)),
    };
    let mut entry = format!("\n### `{}`\n\n{kind}{unit}{labels}. {}\n", metric.name, metric.help);
    let Sources { zookeeper, keeper, etcd, consul } = metric.sources;
    let sources =
        [("ZooKeeper", zookeeper), ("ClickHouse Keeper", keeper), ("etcd", etcd), ("Consul", consul)];
    let told: Vec<String> = sources
        .iter()
        .filter(|(_, source)| !source.is_empty())
        .map(|(system, source)| format!("- {system}: {source}\n"))
        .collect();
    if !told.is_empty() {
        let _ = write!(entry, "\n{}", told.concat());
        let silent: Vec<&str> =
            sources.iter().filter(|(_, source)| source.is_empty()).map(|(system, _)| *system).collect();
        if metric.scope == Scope::Member && !silent.is_empty() {
            let _ = writeln!(entry, "- absent on {}", silent.join(", "));
        }
    }
    if !metric.caveat.is_empty() {
        let _ = write!(entry, "\n> {}\n", metric.caveat);
    }
    entry
}

fn code_list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_metric_once() {
        let page = page();
        for metric in ALL {
            assert_eq!(page.matches(&format!("\n### `{}`\n", metric.name)).count(), 1, "{}", metric.name);
        }
    }

    #[test]
    fn an_entry_says_type_unit_labels_meaning_source_and_caveat() {
        let metric = Metric {
            name: "quorum_peer_ack_seconds",
            kind: Kind::Histogram,
            unit: "seconds",
            labels: &["peer"],
            scope: Scope::Member,
            help: "Acknowledgements of a peer.",
            sources: Sources { zookeeper: "`ack_latency{key}`", keeper: "", etcd: "`rtt`", consul: "" },
            caveat: "Sampled.",
        };
        assert_eq!(
            entry(&metric),
            "\n### `quorum_peer_ack_seconds`\n\nhistogram, seconds, by `peer`. Acknowledgements of a peer.\n\n\
             - ZooKeeper: `ack_latency{key}`\n- etcd: `rtt`\n- absent on ClickHouse Keeper, Consul\n\n> Sampled.\n"
        );
    }
}
