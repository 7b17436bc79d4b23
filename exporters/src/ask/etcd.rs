//! The questions to a member of etcd.

use quorumeter_targets::http::Http;
use tokio::time::Instant;

use super::told::Told;
use super::web::Question;
use crate::etcd;

/// An answer without these is no etcd's.
const METRICS: Question = Question { refused: &[], foreign: &[404], ..Question::get("/metrics") };

/// The gateway may be switched off (404), or want credentials.
const STATUS: Question =
    Question { json: Some("{}"), refused: &[401, 403, 404], ..Question::get("/v3/maintenance/status") };

/// As the member itself knows it: the linearizable list would wait for a leader.
const MEMBER_LIST: Question =
    Question { json: Some(r#"{"linearizable":false}"#), path: "/v3/cluster/member/list", ..STATUS };

/// Puts them all.
pub(super) async fn ask(http: &Http, told: &mut Told<'_>, deadline: Instant) {
    let refusals = told.refusals();
    let (status, metrics, member_list) = tokio::join!(
        refusals.put("status", STATUS.ask(http, deadline)),
        refusals.put("metrics", METRICS.ask(http, deadline)),
        refusals.put("member_list", MEMBER_LIST.ask(http, deadline)),
    );
    told.take("status", status, etcd::status);
    told.take("metrics", metrics, etcd::metrics);
    told.take("member_list", member_list, etcd::member_list);
}
