//! Starting members until all of them serve.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::child::{ChildId, Children};
use super::{ATTEMPTS, LaunchError, Member, PORT_TAKEN};

/// Between two looks at the members that do not serve yet.
const POLL: Duration = Duration::from_millis(20);

/// Starts members and waits until each serves. When one finds a port of its taken they are all ended and started again,
/// a few times; `start` then gives them new ports.
pub(super) fn until_all_serve(
    children: &Children,
    deadline: Instant,
    mut start: impl FnMut() -> Result<Vec<Member>, LaunchError>,
    check_serving: impl Fn(&Member) -> Result<(), String>,
) -> Result<Vec<Member>, LaunchError> {
    let mut attempt = 1;
    loop {
        let members = start()?;
        match wait_until_all_serve(&members, children, deadline, &check_serving) {
            Ok(()) => return Ok(members),
            Err(_) if attempt < ATTEMPTS && who_found_a_port_taken(&members, children).is_some() => {
                children.stop_all(Duration::ZERO);
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn wait_until_all_serve(
    members: &[Member],
    children: &Children,
    deadline: Instant,
    check_serving: impl Fn(&Member) -> Result<(), String>,
) -> Result<(), LaunchError> {
    let mut waiting: Vec<&Member> = members.iter().collect();
    loop {
        // All of them, as one that served may be the one that dies.
        members.iter().try_for_each(|member| children.check(member.child))?;
        let mut missing = None;
        waiting.retain(|member| match check_serving(member) {
            Ok(()) => false,
            Err(reason) => {
                missing = Some((member.child, reason));
                true
            }
        });
        if let Some(child) = who_found_a_port_taken(members, children) {
            return Err(children.not_ready(child, PORT_TAKEN.to_owned()));
        }
        let Some((child, reason)) = missing else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(children.not_ready(child, reason));
        }
        thread::sleep(POLL);
    }
}

/// The member that could not bind one of its ports.
fn who_found_a_port_taken(members: &[Member], children: &Children) -> Option<ChildId> {
    members.iter().map(|member| member.child).find(|child| children.found_a_port_taken(*child))
}

/// Makes a folder.
pub(super) fn make_dir(path: &Path) -> Result<(), LaunchError> {
    std::fs::create_dir_all(path).map_err(|source| LaunchError::File {
        action: "make",
        path: path.to_owned(),
        source,
    })
}

/// Writes a file.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), LaunchError> {
    std::fs::write(path, text).map_err(|source| LaunchError::File {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::super::child::{ChildSpec, Wrapper};
    use super::*;

    /// A member that is a shell script, and whose log has its name.
    fn member(children: &Children, dir: &Path, name: &str, script: &str) -> Member {
        let log = dir.join(name);
        let child = children
            .start(ChildSpec {
                name: name.to_owned(),
                program: "sh".into(),
                args: vec!["-c".into(), script.into()],
                dir: dir.to_owned(),
                log: log.clone(),
                announcement: None,
            })
            .unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let pid = children.pid(child);
        Member { id: 1, address, pid, child, dir: dir.to_owned(), log, admin: None, secure: None }
    }

    fn never(_: &Member) -> Result<(), String> {
        Err("it says nothing".to_owned())
    }

    #[test]
    fn a_port_that_is_taken_is_seen_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let children = Children::new(Wrapper::None).unwrap();
        let deadline = || Instant::now() + Duration::from_secs(30);
        for (name, script, dies, taken) in [
            ("a", "echo 'java.net.BindException: Address already in use'; exit 1", true, true),
            ("b", "echo 'no space left on device'; exit 1", true, false),
            ("c", "echo 'Failed to bind: Address already in use'; exec sleep 60", false, true),
            ("d", "echo 'listen tcp: bind: address already in use'; exec sleep 60", false, true),
        ] {
            let members = [member(&children, dir.path(), name, script)];
            let error = loop {
                // A member may have said it, and not yet have died.
                match wait_until_all_serve(&members, &children, deadline(), never).unwrap_err() {
                    LaunchError::NotReady { .. } if dies => {}
                    error => break error,
                }
            };
            assert_eq!(matches!(error, LaunchError::Died { .. }), dies, "{name}: {error}");
            assert_eq!(who_found_a_port_taken(&members, &children).is_some(), taken, "{name}");
        }
        let members = [member(&children, dir.path(), "e", "echo starting; exec sleep 60")];
        let error = wait_until_all_serve(&members, &children, Instant::now(), never).unwrap_err();
        assert!(matches!(error, LaunchError::NotReady { .. }), "{error}");
        assert!(error.to_string().contains("it says nothing"), "{error}");
    }

    #[test]
    fn members_that_find_a_port_taken_are_started_again_a_few_times() {
        let dir = tempfile::tempdir().unwrap();
        let children = Children::new(Wrapper::None).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        for (good_from, expected) in [(ATTEMPTS, true), (ATTEMPTS + 1, false)] {
            let mut started = 0;
            let start = || {
                started += 1;
                let text = if started < good_from { "address already in use" } else { "fine" };
                let name = format!("{good_from}-{started}");
                Ok(vec![member(&children, dir.path(), &name, &format!("echo {text}; exec sleep 60"))])
            };
            let serves = |member: &Member| {
                let told = std::fs::read_to_string(&member.log).unwrap_or_default();
                if told == "fine\n" { Ok(()) } else { Err("not yet".to_owned()) }
            };
            let result = until_all_serve(&children, deadline, start, serves);
            assert_eq!((result.is_ok(), started), (expected, ATTEMPTS), "{result:?}");
        }
    }
}
