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

fn start(children: &Children, dir: &Path, script: &str) -> ChildId {
    children.start(spec(dir, script)).unwrap()
}

/// Starts a script and waits until it has come to its `UP`.
fn start_announced(children: &Children, dir: &Path, script: &str) -> ChildId {
    let child = start(children, dir, &script.replace("UP", "echo up > unfinished; mv unfinished announced"));
    assert_eq!(children.wait_for_announcement(child, LONG).unwrap(), "up");
    child
}

/// Signal and exit code.
fn how_it_ended(children: &Children, child: ChildId) -> (Option<i32>, Option<i32>) {
    let status = of(&mut children.running(), child).process.status().unwrap();
    (status.signal(), status.code())
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn wait_for_death(children: &Children, child: ChildId) -> LaunchError {
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        if let Err(error) = children.check(child) {
            return error;
        }
        thread::sleep(POLL);
    }
    panic!("{child:?} lives on");
}

#[test]
fn a_child_is_gone_once_its_owner_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let started = [0, 1].map(|_| start(&children, dir.path(), "exec sleep 60"));
    let pids = started.map(|child| children.pid(child));
    for child in started {
        children.check(child).unwrap();
        assert!(children.process_use(child).is_some());
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
        let child = start_announced(&children, dir.path(), script);
        children.stop_all(grace);
        assert_eq!(how_it_ended(&children, child), (signal, code), "{script}");
        assert!(!exists(children.pid(child)) && children.process_use(child).is_none());
    }
}

fn wait_for(children: &Children, child: ChildId, state: State) {
    let deadline = Instant::now() + LONG;
    while children.state(child) != state {
        assert!(Instant::now() < deadline, "{child:?} is not {state:?}, but {:?}", children.state(child));
        thread::sleep(POLL);
    }
}

#[test]
fn a_paused_child_is_stopped_until_it_is_resumed_and_hears_sigterm_too() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let child = start_announced(&children, dir.path(), "UP; exec sleep 60");
    for _ in 0..2 {
        children.pause(child);
        wait_for(&children, child, State::Stopped);
    }
    for _ in 0..2 {
        children.resume(child);
        wait_for(&children, child, State::Running);
    }
    children.pause(child);
    wait_for(&children, child, State::Stopped);
    children.check(child).unwrap();
    // That it is stopped is no reason to start it again.
    children.start_again(child).unwrap();
    assert_eq!(children.state(child), State::Stopped);
    children.stop_all(LONG);
    assert_eq!(how_it_ended(&children, child), (Some(15), None));
}

#[test]
fn an_end_on_purpose_is_no_death_and_the_child_can_be_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let script = "echo once more; trap '' TERM; UP; while :; do sleep 0.01; done";
    let child = start_announced(&children, dir.path(), script);
    let ends: [fn(&Children, ChildId); 2] =
        [Children::kill, |children, child| children.terminate(&[child], Duration::from_millis(20))];
    for end in ends {
        let pid = children.pid(child);
        for _ in 0..2 {
            end(&children, child);
        }
        wait_for(&children, child, State::Gone);
        assert_eq!(how_it_ended(&children, child), (Some(9), None));
        assert!(!exists(pid));
        children.check(child).unwrap();
        // There is nobody to signal.
        children.pause(child);
        children.resume(child);
        for _ in 0..2 {
            children.start_again(child).unwrap();
        }
        assert_eq!(children.wait_for_announcement(child, LONG).unwrap(), "up");
        assert_eq!((children.state(child), children.pid(child) != pid), (State::Running, true));
        assert_eq!(children.output(child), "once more\n", "that of this start alone");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("log")).unwrap(), "once more\n".repeat(3));
}

#[test]
fn a_child_that_ends_by_itself_after_it_was_started_again_is_a_death() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let child = start(&children, dir.path(), "[ -e second ] && exit 4; touch second; exec sleep 60");
    let deadline = Instant::now() + LONG;
    while !dir.path().join("second").exists() {
        assert!(Instant::now() < deadline);
        thread::sleep(POLL);
    }
    children.kill(child);
    wait_for(&children, child, State::Gone);
    children.start_again(child).unwrap();
    let error = wait_for_death(&children, child);
    assert_eq!(how_it_ended(&children, child), (None, Some(4)));
    // Nor does an order that comes too late excuse it.
    children.kill(child);
    assert_eq!(children.check(child).unwrap_err().to_string(), error.to_string());
}

#[test]
fn a_paused_child_is_gone_once_its_owner_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let child = start_announced(&children, dir.path(), "UP; exec sleep 60");
    children.pause(child);
    wait_for(&children, child, State::Stopped);
    let pid = children.pid(child);
    drop(children);
    assert!(!exists(pid));
}

#[test]
fn a_death_is_told_with_its_status_and_the_end_of_its_own_log() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log"), "of an earlier start\n").unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let child =
        start(&children, dir.path(), "i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line $i; done; exit 7");
    let error = wait_for_death(&children, child);
    let LaunchError::Died { status, tail, .. } = &error else { panic!("{error}") };
    assert_eq!(status.code(), Some(7));
    assert_eq!((tail.lines().count(), tail.lines().next()), (TAIL_LINES, Some("line 21")));
    assert!(error.to_string().starts_with("test member died (exit status: 7)"), "{error}");

    let child = start(&children, dir.path(), "exit 1");
    let LaunchError::Died { tail, .. } = wait_for_death(&children, child) else { panic!() };
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
    let child = start_announced(&children, dir.path(), "echo -- --parent-pid; UP; exec sleep 60");
    let told = format!("--parent-pid {} --\n-- --parent-pid\n", std::process::id());
    assert_eq!(children.output(child), told);
    // So it is when it is started again.
    children.kill(child);
    wait_for(&children, child, State::Gone);
    children.start_again(child).unwrap();
    assert_eq!(children.wait_for_announcement(child, LONG).unwrap(), "up");
    assert_eq!(children.output(child), told);
}

#[test]
fn a_child_has_a_process_group_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(Wrapper::None).unwrap();
    let pid = children.pid(start(&children, dir.path(), "exec sleep 60"));
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
