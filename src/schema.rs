//! `quorumeter schema`

use quorumeter_loadgen::workload_schema;

use crate::{EXIT_ENVIRONMENT, diagnose};

pub(crate) fn run() -> u8 {
    let text = serde_json::to_string_pretty(&workload_schema()).unwrap_or_default() + "\n";
    if diagnose::print(&text) { 0 } else { EXIT_ENVIRONMENT }
}
