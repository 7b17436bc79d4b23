//! Children that are shells.

use std::os::unix::process::ExitStatusExt;

use super::*;

const LONG: Duration = Duration::from_secs(30);

fn spec(dir: &Path, script: &str) -> ChildSpec {
    ChildSpec {
        name: "test member".to_owned(),
        program: PathBuf::from("sh"),
        args: vec!["-c".into(), script.into()],
        dir: dir.to_owned(),
        log: dir.join("log"),
        announcement: Some(dir.join("announced")),
    }
}

fn start(children: &Children, dir: &Path, script: &str) -> u32 {
    children.start(spec(dir, script)).unwrap()
}

/// Starts a script and waits until it has come to its `UP`.
fn start_announced(children: &Children, dir: &Path, script: &str) -> u32 {
    let pid = start(children, dir, &script.replace("UP", "echo up > unfinished; mv unfinished announced"));
    assert_eq!(children.wait_for_announcement(pid, LONG).unwrap(), "up");
    pid
}

/// Signal and exit code.
fn how_it_ended(children: &Children, pid: u32) -> (Option<i32>, Option<i32>) {
    match children.check(pid) {
        Err(LaunchError::Died { status, .. }) => (status.signal(), status.code()),
        other => panic!("{other:?}"),
    }
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn wait_for_death(children: &Children, pid: u32) -> LaunchError {
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        if let Err(error) = children.check(pid) {
            return error;
        }
        thread::sleep(POLL);
    }
    panic!("{pid} lives on");
}

#[test]
fn a_child_is_gone_once_its_owner_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let pids = [0, 1].map(|_| start(&children, dir.path(), "exec sleep 60"));
    for pid in pids {
        children.check(pid).unwrap();
        assert!(children.process_use(pid).is_some());
    }
    drop(children);
    assert!(pids.iter().all(|pid| !exists(*pid)));
}

#[test]
fn stopping_asks_first_and_kills_what_does_not_listen() {
    let dir = tempfile::tempdir().unwrap();
    for (script, grace, signal, code) in [
        ("trap 'exit 3' TERM; UP; while :; do sleep 0.01; done", LONG, None, Some(3)),
        ("UP; exec sleep 60", LONG, Some(15), None),
        ("trap '' TERM; UP; while :; do sleep 0.01; done", Duration::from_millis(50), Some(9), None),
    ] {
        let children = Children::new(Wrapper::None).unwrap();
        let pid = start_announced(&children, dir.path(), script);
        children.stop_all(grace);
        assert_eq!(how_it_ended(&children, pid), (signal, code), "{script}");
        assert!(!exists(pid) && children.process_use(pid).is_none());
    }
}

#[test]
fn a_stopped_child_hears_sigterm_too() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let pid = start_announced(&children, dir.path(), "UP; exec sleep 60");
    of(&mut children.running(), pid).signal(Signal::STOP);
    children.stop_all(LONG);
    assert_eq!(how_it_ended(&children, pid), (Some(15), None));
}

#[test]
fn a_death_is_told_with_its_status_and_the_end_of_its_own_log() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log"), "of an earlier start\n").unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let pid =
        start(&children, dir.path(), "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done; exit 7");
    let error = wait_for_death(&children, pid);
    let LaunchError::Died { status, tail, .. } = &error else { panic!("{error}") };
    assert_eq!(status.code(), Some(7));
    assert_eq!((tail.lines().count(), tail.lines().next()), (TAIL_LINES, Some("line 11")));
    assert!(error.to_string().starts_with("test member died (exit status: 7)"), "{error}");

    let pid = start(&children, dir.path(), "exit 1");
    let LaunchError::Died { tail, .. } = wait_for_death(&children, pid) else { panic!() };
    assert_eq!(tail, "(it is empty)");
}

#[test]
fn an_announcement_is_of_this_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("announced"), "of an earlier start\n").unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    start_announced(&children, dir.path(), "UP; exec sleep 60");

    let dead = start(&children, dir.path(), "exit 1");
    let error = children.wait_for_announcement(dead, LONG).unwrap_err();
    assert!(matches!(error, LaunchError::Died { .. }), "{error}");

    let silent = start(&children, dir.path(), "echo hm >&2; exec sleep 60");
    let error = children.wait_for_announcement(silent, Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, LaunchError::NotReady { .. }), "{error}");
}

#[test]
fn the_wrapper_is_told_its_parent_and_the_program() {
    let dir = tempfile::tempdir().unwrap();
    // The shell reads its first argument, `child`, as a script.
    std::fs::write(dir.path().join("child"), "echo \"$1 $2 $3\"; shift 3; exec \"$@\"\n").unwrap();
    let children = Children::new(Wrapper::Quorumeter(PathBuf::from("sh"))).unwrap();
    let pid = start_announced(&children, dir.path(), "echo -- --parent-pid; UP; exec sleep 60");
    assert_eq!(children.output(pid), format!("--parent-pid {} --\n-- --parent-pid\n", std::process::id()));
}

#[test]
fn a_child_has_a_process_group_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let pid = start(&children, dir.path(), "exec sleep 60");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let group = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(2).unwrap();
    assert_eq!(group, pid.to_string());
}

#[test]
fn a_program_that_is_not_there_is_an_error_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let missing = ChildSpec { program: "/no/such/program".into(), ..spec(dir.path(), "") };
    let error = children.start(missing).unwrap_err().to_string();
    assert!(error.contains("test member") && error.contains("/no/such/program"), "{error}");
}
