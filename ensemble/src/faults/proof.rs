//! How a fault, and its end, show in a member.

use std::path::Path;
use std::time::{Duration, Instant};

use quorumeter_targets::session::Member;
use quorumeter_zk::four_letter::Srvr;

use super::{FaultKind, Seen, term};
use crate::ask::{Asker, Look};
use crate::launch::child::State;

/// A member that does not answer for so long hangs.
pub(super) const SILENCE: Duration = Duration::from_millis(300);

/// That a fault is in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// Since when, at the latest: a member that was asked then did not answer.
    pub(super) since: Instant,
    /// How it shows, in words.
    pub(super) how: String,
}

/// Looks once whether the fault shows in a member. `process` is the state of its process where that can be known, `before`
/// what the member told before the fault. An error says what is seen instead.
pub(super) fn look_for(
    kind: FaultKind,
    asker: &Asker,
    member: &Member,
    process: Option<State>,
    before: Seen,
) -> Result<Proof, String> {
    let since = Instant::now();
    match (kind, process) {
        (FaultKind::Pause, Some(State::Stopped)) => {
            return Ok(Proof { since, how: "its process is stopped".to_owned() });
        }
        (FaultKind::Pause, Some(State::Running)) => return Err("its process runs on".to_owned()),
        (FaultKind::Pause, Some(State::Gone)) => return Err("its process is gone".to_owned()),
        (FaultKind::Pause | FaultKind::Command, _) | (_, None | Some(State::Gone)) => {}
        (_, Some(State::Running | State::Stopped)) => return Err("its process lives on".to_owned()),
    }
    let how = judge(kind, asker.look(member, SILENCE), before)?;
    // What is seen by the lack of an answer was so when the answer was due; all else is seen now.
    let is_late = since.elapsed() >= SILENCE;
    Ok(Proof { since: if is_late { since } else { Instant::now() }, how })
}

/// What a look says of the fault.
fn judge(kind: FaultKind, look: Look, before: Seen) -> Result<String, String> {
    let silent = || format!("it takes connections and has not answered for {} ms", SILENCE.as_millis());
    let unreachable = || format!("nothing has come from its address for {} ms", SILENCE.as_millis());
    match (kind, look) {
        (FaultKind::Pause | FaultKind::Command, Look::Silent) => Ok(silent()),
        (_, Look::Silent) => Err(silent()),
        (FaultKind::Pause, Look::Refused(how)) => Err(format!("it does not hang, but is gone: {how}")),
        (FaultKind::Pause, Look::Unreachable) => Err(unreachable()),
        (_, Look::Refused(how)) => Ok(how),
        (_, Look::Unreachable) => Ok(unreachable()),
        (FaultKind::Command, Look::NotServing(how)) => Ok(how),
        (_, Look::NotServing(how)) => Err(format!("it answers: {how}")),
        (_, Look::Unclear(how)) => Err(how),
        (FaultKind::Command, Look::Told(srvr)) => changed(&srvr, before),
        (_, Look::Told(srvr)) => Err(format!("it answers as {}", srvr.mode.name())),
    }
}

/// Whether a member that answers is another than before.
fn changed(srvr: &Srvr, before: Seen) -> Result<String, String> {
    let role = srvr.mode.name();
    let term = term(srvr.zxid);
    match (before.role, before.term()) {
        (Some(mode), _) if mode != srvr.mode => Ok(format!("it was {} and is {role}", mode.name())),
        (_, Some(old)) if old != term => Ok(format!("it was {role} in term {old}, and is in term {term}")),
        _ => Err(format!("it answers as before, as {role} in term {term}")),
    }
}

/// Whether a member of ZooKeeper has anything on its disk.
pub(super) fn has_data(data: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(data.join("version-2")) else { return false };
    files.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("log.") || name.starts_with("snapshot.")
    })
}

#[cfg(test)]
mod tests {
    use quorumeter_zk::four_letter::Mode;

    use super::*;

    fn told(mode: Mode, term: i64) -> Look {
        Look::Told(Srvr {
            version: "3.9.4".to_owned(),
            latency_ms: (0.0, 0.0, 0.0),
            received: 0,
            sent: 0,
            connections: 1,
            outstanding: 0,
            zxid: term << 32 | 7,
            mode,
            proposal_sizes: None,
            node_count: 5,
        })
    }

    #[test]
    fn each_fault_shows_in_its_own_way() {
        use FaultKind::*;
        let before = Seen { role: Some(Mode::Leader), zxid: Some(3 << 32 | 5) };
        let refused = || Look::Refused("refused".into());
        let not_serving = || Look::NotServing("not serving".into());
        let unclear = || Look::Unclear("too many open files".into());
        for (kind, look, expected) in [
            (Kill, refused(), Ok("refused")),
            (Kill, Look::Unreachable, Ok("nothing has come")),
            (Kill, Look::Silent, Err("has not answered for 300 ms")),
            (Kill, not_serving(), Err("it answers: not serving")),
            (Restart, told(Mode::Follower, 4), Err("it answers as follower")),
            (KillRepeat, told(Mode::Leader, 3), Err("it answers as leader")),
            (Pause, Look::Silent, Ok("has not answered for 300 ms")),
            (Pause, refused(), Err("it does not hang, but is gone")),
            (Pause, Look::Unreachable, Err("nothing has come")),
            (Pause, not_serving(), Err("it answers")),
            (Pause, told(Mode::Leader, 3), Err("it answers as leader")),
            (Command, Look::Silent, Ok("has not answered")),
            (Command, refused(), Ok("refused")),
            (Command, not_serving(), Ok("not serving")),
            (Command, told(Mode::Follower, 4), Ok("it was leader and is follower")),
            (Command, told(Mode::Leader, 4), Ok("it was leader in term 3, and is in term 4")),
            (Kill, unclear(), Err("too many open files")),
            (Pause, unclear(), Err("too many open files")),
            (Command, unclear(), Err("too many open files")),
            (Command, told(Mode::Leader, 3), Err("it answers as before, as leader in term 3")),
        ] {
            match (judge(kind, look.clone(), before), expected) {
                (Ok(how), Ok(part)) | (Err(how), Err(part)) => {
                    assert!(how.contains(part), "{kind} {look:?}: {how}");
                }
                (judged, _) => panic!("{kind} {look:?}: {judged:?}"),
            }
        }
    }

    #[test]
    fn a_data_folder_has_data_when_there_are_logs_or_snapshots() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_data(dir.path()));
        let version = dir.path().join("version-2");
        std::fs::create_dir(&version).unwrap();
        for file in ["acceptedEpoch", "currentEpoch", "myid"] {
            std::fs::write(version.join(file), "1").unwrap();
        }
        assert!(!has_data(dir.path()));
        for file in ["snapshot.0", "log.100000001"] {
            std::fs::write(version.join(file), "").unwrap();
            assert!(has_data(dir.path()), "{file}");
            std::fs::remove_file(version.join(file)).unwrap();
        }
    }
}
