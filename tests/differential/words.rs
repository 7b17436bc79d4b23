//! The words about watches, after steps chosen for them.

use quorumeter_zk::request::{Request, WatchedPath, watch_mode};

use crate::compare::Side;
use crate::raw::create;
use crate::steps::{Action, Encoded, Step, request};
use crate::{embedded, real, support};

#[test]
fn watches_are_listed_as_zookeeper_lists_them() {
    if support::real_zookeeper("watches_are_listed_as_zookeeper_lists_them").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (real_server, member) = (real(folder.path()), embedded());
    let mut real = Side::new(real_server.members[0].address);
    let mut embedded = Side::new(member.address());
    let watch = |path: &'static str| WatchedPath { path: path.into(), watch: true };
    let add = |path: &'static str, mode| request(&Request::AddWatch { path: path.into(), mode });
    let set = request(&Request::SetData { path: "/a".into(), data: None, version: -1 });
    let steps: [(usize, Encoded); 11] = [
        (0, request(&create("/a", b"", 0))),
        (0, request(&Request::GetData(watch("/a")))),
        (0, request(&Request::Exists(watch("/ä☃\u{1f980}")))),
        (1, request(&Request::GetChildren(watch("/a")))),
        (2, request(&Request::GetData(watch("/a")))),
        (3, add("/a", watch_mode::PERSISTENT)),
        (3, add("/a", watch_mode::PERSISTENT_RECURSIVE)),
        (3, add("", watch_mode::PERSISTENT)),
        (3, add("null", watch_mode::PERSISTENT)),
        (3, add("/", watch_mode::PERSISTENT).with_path(None)),
        (3, add("/", watch_mode::PERSISTENT_RECURSIVE).with_path(None)),
    ];
    let mut seen = Vec::new();
    for (session, request) in steps.into_iter().chain([(1, set)]) {
        let step = Step { session, action: Action::Request(request) };
        assert_eq!(real.run(&step), embedded.run(&step), "{step:?}");
        let watches = real.watches();
        assert_eq!(watches, embedded.watches(), "after {step:?}");
        seen.push(watches);
    }
    // What both tell is what there is: all but the child watch, and after the last step but for what it used up.
    let [.., before, after] = &seen[..] else { unreachable!("there are twelve steps") };
    let wchc = |first: &str, third: &str| {
        format!(
            "wchc [[\"S0\"{first}, \"\\t/ä☃\u{1f980}\"], [\"S2\"{third}], \
             [\"S3\", \"\\t\", \"\\t/a\", \"\\tnull\", \"\\tnull\"]]\n"
        )
    };
    assert!(before.starts_with("3 connections watching 5 paths\nTotal watches:7\n"), "{before}");
    assert!(before.contains(&wchc(", \"\\t/a\"", ", \"\\t/a\"")), "{before}");
    assert!(after.starts_with("3 connections watching 5 paths\nTotal watches:5\n"), "{after}");
    assert!(after.contains(&wchc("", "")), "{after}");
    let wchp = "wchp [[\"\", \"\\tS3\"], [\"/a\", \"\\tS3\"], [\"/ä☃\u{1f980}\", \"\\tS0\"], \
                [\"null\", \"\\tS3\"], [\"null\", \"\\tS3\"]]\n";
    assert!(after.ends_with(wchp), "{after}");
}
