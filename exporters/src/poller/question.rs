//! A question to a member that is open until it is answered.

use quorumeter_targets::Clock;
use quorumeter_targets::zookeeper::admin::AdminError;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, timeout_at};

/// The place for a question of one kind, of which one is open at a time.
#[derive(Debug, Default)]
pub(super) struct Question(Option<Open>);

#[derive(Debug)]
struct Open {
    asked_ns: u64,
    /// From then on it is overdue.
    due: Instant,
    /// The answer, and when it was complete.
    task: JoinHandle<(u64, Result<String, AdminError>)>,
}

/// What a question has come to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) asked_ns: u64,
    pub(super) done_ns: u64,
    pub(super) text: Result<String, AdminError>,
}

impl Question {
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Asks, unless the question is open. It is overdue from `due` on. An answer that nobody has taken is forgotten.
    pub(super) fn ask(
        &mut self,
        clock: Clock,
        due: Instant,
        asking: impl Future<Output = Result<String, AdminError>> + 'static,
    ) {
        if self.0.as_ref().is_some_and(|open| !open.task.is_finished()) {
            return;
        }
        let asked_ns = clock.now_ns();
        let task = spawn_local(async move {
            let text = asking.await;
            (clock.now_ns(), text)
        });
        self.0 = Some(Open { asked_ns, due, task });
    }

    /// The answer, if it comes by `deadline`; the question stays open otherwise.
    pub(super) async fn answer_by(&mut self, deadline: Instant) -> Option<Answer> {
        let open = self.0.as_mut()?;
        let ended = timeout_at(deadline, &mut open.task).await.ok()?;
        let asked_ns = open.asked_ns;
        self.0 = None;
        // A task that has not ended by itself had no answer.
        let (done_ns, text) = ended.ok()?;
        Some(Answer { asked_ns, done_ns, text })
    }

    /// The answer, if it comes before the question is overdue, or has come since.
    pub(super) async fn answer_in_time(&mut self) -> Option<Answer> {
        let due = self.0.as_ref()?.due;
        self.answer_by(due).await
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}
