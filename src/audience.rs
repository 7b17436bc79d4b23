//! What the command line says of who is told of a measurement while it goes.

use std::net::SocketAddr;

use quorumeter_experiments::Audience;
use quorumeter_exporters::otlp::Endpoint;
use quorumeter_exporters::otlp::endpoint::HEADERS_VARIABLE;

use crate::diagnose;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AudienceArgs {
    /// Serve metrics of the measurement and its members at http://ADDR/metrics while it goes, as in 127.0.0.1:9143; port 0
    /// takes any that is free.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Push metrics, and at the end a trace, over OTLP (HTTP, protobuf) to URL/v1/metrics and URL/v1/traces, as in
    /// http://127.0.0.1:4318. Headers come from OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
}

impl AudienceArgs {
    /// Who is told; an exit code where that makes no sense.
    pub(crate) fn audience(&self) -> Result<Audience, u8> {
        let headers = std::env::var(HEADERS_VARIABLE).ok();
        let endpoint = |url: &String| {
            Endpoint::new(url, headers.as_deref()).map_err(|error| diagnose::usage(&error.to_string()))
        };
        Ok(Audience { listen: self.listen, otlp: self.otlp.as_ref().map(endpoint).transpose()? })
    }
}
