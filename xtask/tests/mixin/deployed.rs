//! The examples for Compose and Kubernetes agree with the exporter, with the rules and with each other.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xtask::{mixin, root};

use crate::dashboard::{list, text};

/// Where `quorumeter export` listens, unless told otherwise.
const PORT: u64 = 9142;

fn read(path: &str) -> Value {
    let text = fs::read_to_string(root().join("dashboards").join(path)).expect("the file is there");
    mixin::parse_yaml(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a file of several.
fn documents(path: &str) -> Vec<Value> {
    read(path).as_array().expect("the file has several documents").clone()
}

#[test]
fn what_compose_mounts_and_builds_is_there() {
    let compose = read("compose/compose.yaml");
    let folder = root().join("dashboards/compose");
    let mut mounts = Vec::new();
    for (name, service) in compose["services"].as_object().unwrap() {
        for mount in list(service, "/volumes") {
            let [from, to, mode] = mount.as_str().unwrap().split(':').collect::<Vec<_>>()[..] else {
                panic!("{name}: {mount} has no mode")
            };
            assert!(folder.join(from).exists(), "{name}: {from}");
            assert_eq!(mode, "ro", "{name}: {mount}");
            mounts.push((name.as_str(), to.to_owned()));
        }
        let image = text(service, "/image");
        let is_pinned = image.rsplit_once(':').is_some_and(|(_, tag)| tag.contains('.'));
        assert!(is_pinned || !service["build"].is_null(), "{name}: its image has no version");
        for port in list(service, "/ports") {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port} is open to everybody");
        }
    }
    let build = &compose["services"]["exporter"]["build"];
    let context = folder.join(text(build, "/context"));
    let container = fs::read_to_string(context.join(text(build, "/dockerfile"))).unwrap();
    assert!(
        container.contains(&format!("\"0.0.0.0:{PORT}\"")),
        "it is reached from outside of its container"
    );
    assert!(container.contains("/etc/quorumeter/export.toml"));
    assert!(mounts.contains(&("exporter", "/etc/quorumeter/export.toml".to_owned())));

    let prometheus = read("compose/prometheus.yaml");
    for rule_file in list(&prometheus, "/rule_files") {
        assert!(mounts.contains(&("prometheus", rule_file.as_str().unwrap().to_owned())), "{rule_file}");
    }
    let provider = read("compose/grafana/dashboards/quorumeter.yaml");
    let path = text(&provider, "/providers/0/options/path");
    assert!(mounts.contains(&("grafana", path.to_owned())), "{path}");
}

#[test]
fn compose_names_and_ports_agree() {
    let compose = read("compose/compose.yaml");
    let services = compose["services"].as_object().unwrap();
    let prometheus = read("compose/prometheus.yaml");
    let job = &list(&prometheus, "/scrape_configs")[0];
    assert_eq!(text(job, "/job_name"), "quorumeter", "the job that the rules read");
    let (host, port) = text(job, "/static_configs/0/targets/0").split_once(':').unwrap();
    assert!(services.contains_key(host) && port == PORT.to_string());
    let source = read("compose/grafana/datasources/prometheus.yaml");
    assert_eq!(text(&source, "/datasources/0/url"), "http://prometheus:9090");
    let interval = text(&prometheus, "/global/scrape_interval");
    assert_eq!(text(&source, "/datasources/0/jsonData/timeInterval"), interval);
    let toml = fs::read_to_string(root().join("dashboards/compose/export.toml")).unwrap();
    let members = toml.split_once("zk://").unwrap().1.split('"').next().unwrap();
    for member in members.split(',') {
        let (host, port) = member.split_once(':').unwrap();
        assert!(services.contains_key(host) && port == "2181", "{member}");
    }
}

#[test]
fn kubernetes_names_labels_and_ports_agree() {
    let documents = documents("kubernetes/exporter.yaml");
    let of = |kind: &str| documents.iter().find(|document| text(document, "/kind") == kind).unwrap();
    let [map, deployment, service] = ["ConfigMap", "Deployment", "Service"].map(of);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels, &deployment["spec"]["selector"]["matchLabels"]);
    assert_eq!(labels, &service["spec"]["selector"]);
    assert_eq!(text(service, "/metadata/name"), "quorumeter", "the job that the rules read");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], PORT);
    assert_eq!(service["spec"]["ports"][0]["port"], PORT);
    for pointer in ["/readinessProbe/httpGet/port", "/livenessProbe/httpGet/port"] {
        assert_eq!(text(container, pointer), text(container, "/ports/0/name"));
    }
    assert_eq!(text(&service["spec"], "/ports/0/targetPort"), text(container, "/ports/0/name"));
    let volume = &deployment["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!(text(volume, "/configMap/name"), text(map, "/metadata/name"));
    assert_eq!(text(volume, "/name"), text(container, "/volumeMounts/0/name"));
    assert_eq!(text(container, "/volumeMounts/0/mountPath"), "/etc/quorumeter");
    assert!(map["data"]["export.toml"].is_string());

    let monitor = read("kubernetes/service-monitor.yaml");
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"]);
    assert_eq!(text(&monitor, "/spec/endpoints/0/port"), text(&service["spec"], "/ports/0/name"));
}

#[test]
fn what_the_guide_names_is_there() {
    let folder = root().join("dashboards");
    let guide = fs::read_to_string(folder.join("README.md")).unwrap();
    for (name, _) in mixin::render(&[]).unwrap() {
        assert!(guide.contains(&format!("`{}`", name.display())), "{} is in the guide", name.display());
    }
    let links = guide.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let named: Vec<PathBuf> = links.map(|link| folder.join(link)).collect();
    assert!(!named.is_empty());
    for path in named {
        assert!(Path::new(&path).exists(), "{}", path.display());
    }
    let knobs = guide.split("--set ").skip(1).map(|rest| rest.trim_start_matches('\''));
    let knobs: Vec<&str> = knobs.filter_map(|rest| rest.split([' ', '\n', '\'']).next()).collect();
    assert!(knobs.len() >= 5 && mixin::render(&knobs).is_ok(), "{knobs:?}");
}
