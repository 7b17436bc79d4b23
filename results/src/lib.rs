//! Everything that is computed from a run record: statistics, gates, reports.
//!
//! All of it is pure: a record goes in, numbers and text come out. Nothing here reads a clock, opens a socket or
//! keeps anything between two calls, so a report can be made again from the record on another machine, by a
//! later version, without the servers.
//!
//! | module | from | to |
//! |---|---|---|
//! | (root) [`analyse`] | a [`RecordReader`](quorumeter_record::RecordReader), one streaming pass per file | [`Analysis`]: summary, series, sessions |
//! | [`gates`] | `app.read.response.p99 < 10ms` and a summary, or the lines of one interval | whether it holds |
//! | [`report`] | an [`Analysis`] | text, JSON, CSV, Markdown, and what pipelines read |
//! | [`comparison`] | records and a baseline | whether the records are worse |
//! | [`calibration`] | summaries of the steps of a calibration | what the generator can do, and what limits it |
//! | [`failover`] | the history of the probes, events, member samples | outages with their bounds, over the repetitions |
//! | [`figures`] | numbers | the way people read them: `1.23 ms`, `12,345/s` |

mod accounting;
mod agreement;
mod analysis;
pub mod calibration;
pub mod comparison;
pub mod failover;
pub mod figures;
pub mod gates;
mod generator;
mod latencies;
mod littles_law;
pub mod report;
mod tally;
mod timeline;
mod verdict;
mod warnings;

#[cfg(test)]
mod fixture;

pub use analysis::{Analysis, Point, Window, analyse};
pub use gates::{Gate, GateError};
pub use report::{
    Format, render, render_calibration, render_csv, render_json, render_markdown, render_text, render_text_in,
};
pub use timeline::{SessionCounts, StopSeen};
