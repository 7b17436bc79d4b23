//! What the engine does under loads that are not of the usual kind.

use quorumeter_record::SessionChange;

use crate::support::{measure, scripted};

/// Ops that go as soon as their batch is released are no backlog, however small that is.
#[test]
fn a_burst_that_fits_the_window_is_not_shed() {
    let server = scripted(Vec::new());
    let measured = measure(
        server.address(),
        "phases = { warmup = \"0s\", measure = \"3s\" }\n[dataset]\nnodes = 100\n\
         [[stream]]\nname = \"app\"\nsessions = 1\ndepth = 64\nrate = \"640/s\"\narrival = \"bursts(64)\"\n\
         backlog = \"10ms\"\nmix = { read = 1 }\n",
    );
    let accounting = measured.summary().accounting;
    assert!(accounting.balanced && accounting.scheduled >= 1800, "{accounting:?}");
    // A machine that stands still for longer than a burst's period sheds one; without room for them it is nearly all.
    assert!(accounting.shed * 4 < accounting.scheduled, "{accounting:?}");
}

/// Far more than can be released: every op that the schedule intended is counted, the drain keeps to its limit, and
/// the stream beside it gets its turn.
#[test]
fn a_flood_is_accounted_for_and_starves_nobody() {
    let server = scripted(Vec::new());
    let measured = measure(
        server.address(),
        "phases = { warmup = \"0s\", measure = \"2s\", drain = \"500ms\" }\n[dataset]\nnodes = 100\n\
         [[stream]]\nname = \"flood\"\nsessions = 2\ndepth = 4\nrate = \"2M/s\"\narrival = \"constant\"\n\
         backlog = \"1ms\"\nmix = { read = 1 }\n\
         [[stream]]\nname = \"other\"\nsessions = 1\ndepth = 64\nrate = \"100/s\"\narrival = \"constant\"\n\
         backlog = \"10s\"\nmix = { read = 1 }\n",
    );
    let accounting = measured.summary().accounting;
    assert!(accounting.balanced, "{accounting:?}");
    assert_eq!(accounting.scheduled, 2 * 2_000_000 + 2 * 100);
    let other = &measured.summary().ops["other.read"];
    assert_eq!(other.ok + other.unknown + other.shed, 200, "{other:?}");
    assert!(other.ok > 100, "{other:?}");
}

/// The server grants two seconds where a minute was asked for: idle sessions are kept alive all the same.
#[test]
fn sessions_are_kept_alive_by_the_timeout_that_was_granted() {
    let server = scripted(Vec::new());
    let measured = measure(
        server.address(),
        "phases = { warmup = \"0s\", measure = \"7s\" }\nclient = { session_timeout = \"60s\" }\n\
         [dataset]\nnodes = 100\n\
         [[stream]]\nname = \"app\"\nsessions = 8\ndepth = 1\nrate = \"1/s\"\narrival = \"constant\"\n\
         mix = { read = 1 }\n",
    );
    assert_eq!(measured.causes(SessionChange::Expired), Vec::<String>::new());
    assert_eq!(measured.summary().accounting.ok, 7);
}
