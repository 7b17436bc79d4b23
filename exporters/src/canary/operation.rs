//! One operation, over and over.

use std::sync::Arc;
use std::time::Duration;

use quorumeter_targets::zookeeper::Client;
use quorumeter_targets::zookeeper::client::ClientError;
use quorumeter_targets::zookeeper::layout::DATA;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::schedule::Schedule;
use super::stats::{Operation, Outcome};
use super::{OPERATION_LIMIT, Place, Shared, Trouble, close};

/// How long a session says nothing before it is told that the client is there, as a part of its timeout.
const IDLE_PART: u32 = 3;

/// What is left to a thread of the time until an operation is due; tokio's timers are never that late.
const COARSE: Duration = Duration::from_millis(3);

/// The node that is written and read.
pub(super) fn value(place: &Place) -> String {
    format!("{}/{DATA}/value", place.root.path)
}

/// The node that is watched.
pub(super) fn watched(place: &Place) -> String {
    format!("{}/{DATA}/watched", place.root.path)
}

/// Goes on until the end is wanted.
pub(super) async fn go_on(
    operation: Operation,
    place: Arc<Place>,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut sessions = Sessions::default();
    tokio::select! {
        () = repeat(operation, &place, &shared, &mut sessions) => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    sessions.close().await;
}

async fn repeat(operation: Operation, place: &Place, shared: &Shared, sessions: &mut Sessions) {
    let mut schedule = Schedule::new(place.rate_per_s, operation as usize, Operation::ALL.len());
    let start = Instant::now();
    loop {
        let due = start + schedule.due();
        sessions.idle_until(due, operation, place).await;
        let done = timeout(OPERATION_LIMIT, sessions.perform(operation, place)).await;
        let result = done.unwrap_or(Err(Trouble::Late));
        let (outcome, trouble) = match &result {
            Ok(()) => (Outcome::Ok, None),
            Err(trouble) if trouble.is_refusal() || !sessions.sent => {
                (Outcome::Failed, Some(trouble.to_string()))
            }
            Err(trouble) => (Outcome::Unknown, Some(trouble.to_string())),
        };
        let now = Instant::now();
        let missed = schedule.done(now - start);
        {
            let mut stats = shared.stats();
            stats.ended(operation, outcome, now - due, trouble);
            stats.missed(operation, missed);
        }
        sessions.settle(&result);
    }
}

/// The sessions of an operation; those that it has no use for are never made.
#[derive(Default)]
struct Sessions {
    main: Option<Client>,
    watcher: Option<Client>,
    /// The watcher's connection on which its watch is set.
    watching: Option<u64>,
    written: u64,
    /// Whether anything of the operation was handed over.
    sent: bool,
}

impl Sessions {
    /// Connects, and sets the watch, as far as that is not done.
    async fn prepare(&mut self, operation: Operation, place: &Place) -> Result<(), Trouble> {
        connected(&mut self.main, place).await?;
        if operation == Operation::Watch {
            if self.watcher.is_none() {
                self.watching = None;
            }
            let watcher = connected(&mut self.watcher, place).await?;
            if self.watching != Some(watcher.connections()) {
                watcher.watch(&watched(place)).await?;
                watcher.forget_events();
                self.watching = Some(watcher.connections());
            }
        }
        Ok(())
    }

    async fn perform(&mut self, operation: Operation, place: &Place) -> Result<(), Trouble> {
        self.sent = false;
        self.prepare(operation, place).await?;
        let main = connected(&mut self.main, place).await?;
        self.sent = true;
        let path = value(place);
        match operation {
            Operation::Write => {
                self.written += 1;
                main.set(&path, self.written.to_string().as_bytes()).await?;
            }
            Operation::Read => {
                main.get(&path).await?;
            }
            Operation::SyncRead => {
                main.sync(&path).await?;
                main.get(&path).await?;
            }
            Operation::Watch => {
                self.written += 1;
                let path = watched(place);
                // It is one event's, whatever becomes of it.
                self.watching = None;
                main.set(&path, self.written.to_string().as_bytes()).await?;
                let watcher = connected(&mut self.watcher, place).await?;
                while timeout(idle_for(watcher), watcher.event()).await.unwrap_or(Ok(String::new()))? != path
                {
                    // No event is no sign of life to the member, either.
                    watcher.ping().await?;
                    main.ping().await?;
                }
            }
        }
        Ok(())
    }

    /// Makes the sessions and keeps them alive until then: what can be done before is no part of what is timed. What goes
    /// wrong here does so again when it is due.
    async fn idle_until(&mut self, due: Instant, operation: Operation, place: &Place) {
        loop {
            let _ = timeout_at(due, self.prepare(operation, place)).await;
            let clients = [&self.main, &self.watcher].into_iter().flatten();
            let idle = clients.map(idle_for).min().unwrap_or(OPERATION_LIMIT);
            let Some(next) = next_ping(Instant::now(), idle, due) else { return wake_at(due).await };
            sleep_until(next).await;
            for session in [&mut self.main, &mut self.watcher] {
                if let Some(client) = session
                    && !timeout_at(due, client.ping()).await.is_ok_and(|pinged| pinged.is_ok())
                {
                    *session = None;
                }
            }
        }
    }

    /// After trouble with a connection everything begins anew: names are looked up again, and another member may answer.
    fn settle(&mut self, result: &Result<(), Trouble>) {
        let is_answer = |trouble: &Trouble| matches!(trouble, Trouble::Client(ClientError::Server { .. }));
        if result.as_ref().is_err_and(|trouble| !is_answer(trouble)) {
            self.main = None;
            self.watcher = None;
        }
    }

    async fn close(self) {
        for client in [self.main, self.watcher].into_iter().flatten() {
            close(client).await;
        }
    }
}

/// tokio's own timers tick in milliseconds, which is longer than most answers take, and what comes late here would count
/// as the ensemble's. The kernel wakes a thread that sleeps within a tenth of that.
async fn wake_at(due: Instant) {
    if let Some(coarse) = due.checked_sub(COARSE) {
        sleep_until(coarse).await;
    }
    let sleep = move || std::thread::sleep(due.saturating_duration_since(Instant::now()));
    // A sleep cannot fail.
    let _ = tokio::task::spawn_blocking(sleep).await;
}

/// When the next ping is to be sent, if there is one before the operation is due. That is a sign of life itself: a ping so
/// short before it that it might be cut off would cost it the session.
fn next_ping(now: Instant, idle: Duration, due: Instant) -> Option<Instant> {
    Some(now + idle).filter(|next| *next + idle / 2 < due)
}

/// How long a session may say nothing.
fn idle_for(client: &Client) -> Duration {
    client.session_timeout() / IDLE_PART
}

async fn connected<'s>(session: &'s mut Option<Client>, place: &Place) -> Result<&'s mut Client, Trouble> {
    match session {
        Some(client) => Ok(client),
        None => Ok(session.insert(place.connect().await?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ping_is_cut_off_by_the_operation() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        for (due, ping) in [
            (0, None),
            (1000, None),
            // Both at the same time, and just after.
            (3000, None),
            (3001, None),
            (4500, None),
            (4501, Some(3000)),
            (60_000, Some(3000)),
        ] {
            let next = next_ping(now, ms(3000), now + ms(due));
            assert_eq!(next.map(|next| next - now), ping.map(ms), "{due}");
        }
    }
}
