//! What writes left behind: the nodes of the write probes, read from every member after a sync.

use std::time::Duration;

use quorumeter_record::EventKind;
use quorumeter_targets::Clock;
use quorumeter_targets::session::{Member, Timeouts};
use quorumeter_targets::zookeeper::client::ClientError;
use quorumeter_targets::zookeeper::{Client, DialSettings, Layout};
use tokio::time::timeout;

/// How long one member may take for all of it.
const LIMIT: Duration = Duration::from_secs(20);

/// Reads the first `nodes` nodes of the dataset at one member. Each event has the time *before* the sync that its read
/// followed: the member then knows at least what had been acknowledged by that time. An error says in words why there is
/// nothing to be read.
pub(super) async fn audit(
    member: &Member,
    settings: DialSettings,
    layout: &Layout,
    nodes: u32,
    repetition: u32,
    clock: Clock,
) -> Result<Vec<(u64, EventKind)>, String> {
    let read = async {
        let timeouts = Timeouts { session_ms: 10_000, connect_ms: 2000, read_share: 2.0 / 3.0 };
        let limit = Duration::from_secs(5);
        let mut client = Client::connect(vec![member.clone()], timeouts, settings, limit).await?;
        let mut found = Vec::new();
        for key in 0..nodes {
            let path = layout.node(key);
            let before_ns = clock.now_ns();
            let stat = client.stat_after_sync(&path).await?;
            let audit = EventKind::Audit {
                repetition,
                member: member.address.to_string(),
                key,
                version: stat.as_ref().map(|stat| stat.version),
                mzxid: stat.as_ref().map(|stat| stat.mzxid),
            };
            found.push((before_ns, audit));
        }
        client.close().await;
        Ok::<_, ClientError>(found)
    };
    match timeout(LIMIT, read).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(format!("{}: {error}", member.address)),
        Err(_) => Err(format!("{} did not answer within {} s", member.address, LIMIT.as_secs())),
    }
}
