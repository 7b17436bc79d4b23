//! Pushing to an OpenTelemetry collector, or to whatever takes OTLP over HTTP in protobuf, as Prometheus does.
//!
//! | module | what it knows |
//! |---|---|
//! | [`endpoint`] | where to, with which headers, which are secrets |
//! | [`encode`] | metrics as OTLP has them |
//! | [`push`] | pushing them again and again |
//! | [`traces`] | a measurement as a trace |
//!
//! Nothing that is measured waits for a push, and a push that fails is no failure of what is measured: it is counted, and
//! told once.

pub mod encode;
pub mod endpoint;
pub mod push;
pub mod traces;

pub use encode::{Reading, encode};
pub use endpoint::{Endpoint, EndpointError};
pub use push::{Push, Pushed, Pusher, Source};
pub use traces::{TraceOf, push_trace};

/// What the pushed things are of, as attributes.
pub type Resource = Vec<(&'static str, String)>;

/// `service.name` of an exporter, which is the job that alerts and recording rules read.
pub const EXPORTER: &str = "quorumeter";

/// `service.name` of a measurement: one of its own, so that what it breaks on purpose wakes nobody.
pub const MEASUREMENT: &str = "quorumeter-bench";

/// The usual resource: `service.name`, `service.version`, and `service.instance.id`, which tells two of them apart.
pub fn resource(service: &str, version: &str, instance: &str) -> Resource {
    vec![
        ("service.name", service.to_owned()),
        ("service.version", version.to_owned()),
        ("service.instance.id", instance.to_owned()),
    ]
}
