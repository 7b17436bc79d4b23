//! The pinned Prometheus: started on loopback, and asked.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quorumeter_ensemble::launch::child::{ChildId, ChildSpec, Children};
use quorumeter_ensemble::launch::ports::free_port;
use quorumeter_ensemble::launch::{http, servers_dir};
use serde_json::Value;

use super::skip;

/// Longest wait for one answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A program of the installed Prometheus (`prometheus`, `promtool`), or `None` after saying that `test` is skipped.
pub(crate) fn installed(program: &str, test: &str) -> Option<PathBuf> {
    let servers = servers_dir().inspect_err(|error| skip(test, &error.to_string())).ok()?;
    let path = servers.join("prometheus-0.315.0/bin").join(program);
    if !path.is_file() {
        skip(test, "Prometheus is not installed; `cargo xtask servers prometheus` does that");
        return None;
    }
    Some(path)
}

/// A Prometheus that scrapes. It ends with its [`Children`].
pub(crate) struct Prometheus {
    pub(crate) address: SocketAddr,
    child: ChildId,
}

/// A series: its labels, and its values at Unix times in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Series {
    pub(crate) fn finite(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().copied().filter(|(_, value)| value.is_finite())
    }
}

impl Prometheus {
    /// Starts one in a folder of its own with a configuration, and waits until it is ready.
    pub(crate) fn start(children: &Children, program: &Path, dir: &Path, configuration: &str) -> Prometheus {
        std::fs::create_dir_all(dir).expect("the folder can be made");
        std::fs::write(dir.join("prometheus.yaml"), configuration).expect("the folder can be written to");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a port is free")));
        let args = [
            "--config.file=prometheus.yaml".to_owned(),
            "--storage.tsdb.path=data".to_owned(),
            format!("--web.listen-address={address}"),
            "--web.enable-otlp-receiver".to_owned(),
        ];
        let child = children
            .start(ChildSpec {
                name: "prometheus".to_owned(),
                program: program.to_owned(),
                args: args.map(Into::into).to_vec(),
                dir: dir.to_owned(),
                log: dir.join("log"),
                announcement: None,
            })
            .expect("Prometheus can be started");
        let prometheus = Prometheus { address, child };
        let begun = Instant::now();
        while !matches!(http::get(address, "/-/ready", LIMIT), Ok((200, _))) {
            children.check(child).expect("Prometheus runs");
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(60), "not ready: {}", children.output(child));
            std::thread::sleep(Duration::from_millis(50));
        }
        prometheus
    }

    pub(crate) fn log(&self, children: &Children) -> String {
        children.output(self.child)
    }

    /// The data of an answer of the API.
    pub(crate) fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let query: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        let url = format!("/api/v1/{path}?{}", query.join("&"));
        let (status, body) = http::get(self.address, &url, LIMIT).expect("Prometheus answers");
        assert_eq!(status, 200, "{path} {parameters:?}: {body}");
        let mut answer: Value = serde_json::from_str(&body).expect("Prometheus answers in JSON");
        answer["data"].take()
    }

    /// The values of an expression over a time, each `step_s` seconds.
    pub(crate) fn range(&self, expr: &str, (from, to): (f64, f64), step_s: u32) -> Vec<Series> {
        let (from, to, step) = (from.to_string(), to.to_string(), step_s.to_string());
        let data =
            self.api("query_range", &[("query", expr), ("start", &from), ("end", &to), ("step", &step)]);
        let series = |result: &Value| Series {
            labels: labels(&result["metric"]),
            points: result["values"].as_array().into_iter().flatten().filter_map(point).collect(),
        };
        data["result"].as_array().into_iter().flatten().map(series).collect()
    }

    /// The values of an expression now.
    pub(crate) fn now(&self, expr: &str) -> Vec<Series> {
        let data = self.api("query", &[("query", expr)]);
        let series = |result: &Value| Series {
            labels: labels(&result["metric"]),
            points: point(&result["value"]).into_iter().collect(),
        };
        data["result"].as_array().into_iter().flatten().map(series).collect()
    }

    /// Values of a label, sorted.
    pub(crate) fn label_values(&self, label: &str, selector: &str) -> Vec<String> {
        let data = self.api(&format!("label/{label}/values"), &[("match[]", selector)]);
        data.as_array().into_iter().flatten().filter_map(|value| Some(value.as_str()?.to_owned())).collect()
    }
}

/// Unix time, seconds.
pub(crate) fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs_f64()
}

fn labels(metric: &Value) -> BTreeMap<String, String> {
    let pairs = metric.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn point(value: &Value) -> Option<(f64, f64)> {
    // Numbers come as text, because of NaN and Inf.
    Some((value[0].as_f64()?, value[1].as_str()?.parse().ok()?))
}

fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
