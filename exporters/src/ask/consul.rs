//! The questions to a server of Consul.

use quorumeter_targets::http::Http;
use tokio::time::Instant;

use super::told::Told;
use super::web::Question;
use crate::consul;
use crate::sample::Role;

/// An answer without this is no Consul's. The token may not allow it.
const SELF: Question = Question { refused: &[403], foreign: &[404], ..Question::get("/v1/agent/self") };

const LEADER: Question = Question::get("/v1/status/leader");

/// As the server itself knows it: otherwise it would ask the leader.
const CONFIGURATION: Question =
    Question { refused: &[403, 404], ..Question::get("/v1/operator/raft/configuration?stale") };

/// Without `prometheus_retention_time` the status is 415.
const METRICS: Question =
    Question { refused: &[403, 404, 415], ..Question::get("/v1/agent/metrics?format=prometheus") };

/// The status is 429 when not all servers are healthy.
const AUTOPILOT: Question =
    Question { answered: &[429], refused: &[403, 404], ..Question::get("/v1/operator/autopilot/health") };

/// Puts them all.
pub(super) async fn ask(http: &Http, told: &mut Told<'_>, deadline: Instant) {
    let refusals = told.refusals();
    let (agent, leader, configuration, metrics) = tokio::join!(
        refusals.put("self", SELF.ask(http, deadline)),
        refusals.put("leader", LEADER.ask(http, deadline)),
        refusals.put("configuration", CONFIGURATION.ask(http, deadline)),
        refusals.put("metrics", METRICS.ask(http, deadline)),
    );
    told.take("self", agent, consul::agent_self);
    told.take("leader", leader, consul::leader);
    told.take("configuration", configuration, consul::configuration);
    told.take("metrics", metrics, consul::metrics);
    // The others would ask the leader.
    if told.sample().role == Some(Role::Leader) {
        let autopilot = refusals.put("autopilot", AUTOPILOT.ask(http, deadline)).await;
        told.take("autopilot", autopilot, consul::autopilot);
    }
}
