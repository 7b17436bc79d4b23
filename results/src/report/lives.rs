//! Sessions that come and go, in words.

use quorumeter_record::{LifeInfo, LoopKind, OpSummary, SessionsSummary, StreamInfo, stage};

use super::wording::{Fact, quantiles};
use crate::Analysis;
use crate::figures::{count, counted, duration, rate, span, statistic};

const SHOWN: [&str; 3] = ["p50", "p99", "max"];

/// What became of the sessions of each stream of session lives.
pub(super) fn facts(analysis: &Analysis) -> impl Iterator<Item = Fact> {
    analysis.manifest.streams.iter().flat_map(|info| of_stream(analysis, info)).map(|text| ("Lives", text))
}

fn of_stream(analysis: &Analysis, info: &StreamInfo) -> Vec<String> {
    let (Some(life), Some(sessions)) = (&info.life, analysis.summary.sessions.get(&info.name)) else {
        return Vec::new();
    };
    let op = |name: &str| analysis.summary.ops.get(&format!("{}.{name}", info.name));
    let mut texts = vec![format!("{}: {}: {}", info.name, cycle(life, sessions), counts(sessions))];
    match life.cycle.as_str() {
        "idle" => texts.extend(op(stage::PING).map(|ping| pings(analysis, info, ping))),
        "expire" => texts.extend(op(stage::EXPIRY).map(|op| expiries(sessions, op))),
        "reattach" => texts.extend(op("reattach").filter(|op| op.ok > 0).map(|op| {
            let back = statistic(&op.ok_response_ns, "max");
            let not = op.response_ns.count - op.ok;
            format!("{} back, the last {back} after its time; {} not", count(op.ok), count(not))
        })),
        _ => {}
    }
    texts
}

fn cycle(life: &LifeInfo, sessions: &SessionsSummary) -> String {
    let held = if life.hold_ns > 0 { format!(", held for {}", span(life.hold_ns)) } else { String::new() };
    let what = match life.cycle.as_str() {
        "idle" => "sessions that are kept alive",
        "close" => "each op a session, closed by its client",
        "drop" => "each op a session, whose connection is dropped",
        "reattach" => "each op a connection dropped and its session taken up again",
        "expire" => "each op a session that falls silent",
        other => other,
    };
    let granted = match sessions.timeout_ms {
        Some((min, max)) if min == max => format!(", session timeout {} granted", milliseconds(min)),
        Some((min, max)) => {
            format!(", session timeouts of {} to {} granted", milliseconds(min), milliseconds(max))
        }
        None => String::new(),
    };
    format!("{what}{held}{granted}")
}

fn milliseconds(ms: u32) -> String {
    duration(i64::from(ms) * 1_000_000)
}

fn counts(sessions: &SessionsSummary) -> String {
    format!(
        "at most {} open at an interval's end, {} lost, {}",
        count(sessions.open_max),
        counted(sessions.lost_connections, "connection"),
        match sessions.retries {
            1 => "1 retry".to_owned(),
            n => format!("{} retries", count(n)),
        }
    )
}

/// What it takes to keep sessions alive. CPU is told where nothing else used it.
fn pings(analysis: &Analysis, info: &StreamInfo, ping: &OpSummary) -> String {
    let mut text = format!(
        "{} of {}, {}: {}",
        counted(ping.ok, "ping"),
        counted(u64::from(info.sessions), "session"),
        rate(ping.rate),
        quantiles(&ping.response_ns, &SHOWN)
    );
    let alone = analysis.manifest.streams.iter().filter(|s| s.loop_kind != LoopKind::Idle).count() == 0
        && analysis.manifest.streams.len() == 1;
    if alone && ping.ok > 0 {
        let per_ping_ns = analysis.summary.generator.cpu_s * 1e9 / ping.ok as f64;
        text.push_str(&format!(
            "; client CPU {} a ping, its idle worker included",
            duration(per_ping_ns.round() as i64)
        ));
    }
    text
}

fn expiries(sessions: &SessionsSummary, expiry: &OpSummary) -> String {
    format!(
        "{} whose ephemeral node another session saw go, {} after the timeout had passed since the last request was \
         sent; {} gone before",
        counted(expiry.ok, "silent session"),
        quantiles(&expiry.response_ns, &["min", "p50", "max"]),
        count(sessions.early)
    )
}
