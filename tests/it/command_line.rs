//! The command line, as a user meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use quorumeter_record::Summary;

use crate::support::{QUORUMETER, scripted};

fn quorumeter(args: &[&str], dir: &Path) -> Output {
    Command::new(QUORUMETER).args(args).current_dir(dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_cannot_be_done_is_told_with_a_next_step() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("binary.toml"), [0xff, 0xfe, 0, 1]).unwrap();
    fs::write(dir.path().join("huge.toml"), vec![b'#'; 2 << 20]).unwrap();
    fs::write(dir.path().join("typo.toml"), "[[stream]]\nname = \"a\"\ndepht = 3\nmix = { read = 1 }\n")
        .unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    fs::create_dir(dir.path().join("full")).unwrap();
    fs::write(dir.path().join("full/thing"), "").unwrap();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&[], 1, &["Usage: quorumeter <COMMAND>"]),
        (&["fly"], 1, &["unrecognized subcommand 'fly'"]),
        (&["run", "missing.toml"], 1, &["cannot read the workload missing.toml", "No such file"]),
        (&["run", "."], 1, &["is a folder", "workloads/default.toml"]),
        (&["run", "binary.toml"], 1, &["no text"]),
        (&["run", "huge.toml"], 1, &["more than 1048576 bytes"]),
        (&["run", "/dev/zero"], 1, &["more than 1048576 bytes"]),
        (&["run", "typo.toml"], 1, &["typo.toml:3", "no key \"depht\"", "did you mean \"depth\"?"]),
        (&["run", "--rate", "fast"], 1, &["no rate", "20k/s"]),
        (&["run", "--rate", "0/s"], 1, &["leave the rate out"]),
        (&["run", "--duration=-5s"], 1, &["--duration", "no duration"]),
        (&["run", "--duration", "1ms"], 1, &["it goes from 100ms"]),
        (&["run", "--set", "app.sessions=0"], 1, &["sessions is 0", "from 1"]),
        (&["run", "--set", "nonsense"], 1, &["app.rate=30k/s"]),
        (&["run", "--require", "app.read.response.p99"], 1, &["is not a requirement"]),
        (&["run", "--require", "app.red.response.p99 < 1ms"], 1, &["did you mean", "app.read.response.p99"]),
        (&["run", "--target", "zk://user:secret@h"], 1, &["no user or password"]),
        (&["run", "--target", "zk://127.0.0.1:1/a/"], 1, &["no chroot"]),
        (&["run", "--target", "zk://127.0.0.1:1", "--ensemble", "null"], 1, &["cannot be used with"]),
        (&["run", "--ensemble", "etc:3"], 1, &["known: embedded, zookeeper, etcd, consul, null"]),
        (&["run", "--ensemble", "etcd:3"], 1, &["quorumeter ensemble up etcd:3", "quorumeter export"]),
        (
            &["failover", "--ensemble", "consul:3"],
            1,
            &["quorumeter ensemble up consul:3", "quorumeter export"],
        ),
        (&["run", "--server", "tickTim=1"], 1, &["tickTime"]),
        (&["run", "--out", "full"], 1, &["already holds", "--out"]),
        (&["run", "--out", "file/below"], 5, &["cannot create the folder"]),
        (&["report", "nowhere"], 1, &["not a run record"]),
        (&["report", "full"], 1, &["not a run record"]),
        (&["report", "full", "--format", "yaml"], 1, &["no report format", "junit"]),
        (&["report", "full", "--json", "--format", "csv"], 1, &["cannot be used with"]),
        (&["report", "full", "--inconclusive", "maybe"], 1, &["possible values: fail, warn"]),
        (&["compare"], 1, &["required", "<RUN>"]),
        (&["clean", "--target", "zk://127.0.0.1:1"], 5, &["refused"]),
        (&["ensemble", "up", "embedded:3"], 1, &["zookeeper:N"]),
    ];
    for (args, code, said) in cases {
        let output = quorumeter(args, dir.path());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {error}");
        for words in *said {
            // Long lines are folded.
            let flat = error.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(words), "{args:?} does not say {words:?}: {error}");
        }
        assert!(!error.contains("secret") && !error.contains("panicked"), "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}: errors go to standard error");
    }
}

#[test]
fn the_first_command_works_and_its_record_is_reported_again() {
    let dir = tempfile::tempdir().unwrap();
    let args =
        ["run", "--warmup", "200ms", "--duration", "1s", "--rate", "1k/s", "--out", "record", "--json"];
    let run = quorumeter(&args, dir.path());
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let summary: Summary = serde_json::from_slice(&run.stdout).unwrap();
    assert!(summary.complete && summary.accounting.balanced && summary.accounting.ok > 500, "{summary:?}");

    let again = quorumeter(&["report", "record", "--json"], dir.path());
    let reported: Summary = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(reported, summary, "everything can be computed again from the record");
    let stored: Summary =
        serde_json::from_slice(&fs::read(dir.path().join("record/summary.json")).unwrap()).unwrap();
    assert_eq!(stored, summary);

    let report = text(&quorumeter(&["report", "record"], dir.path()).stdout);
    for words in ["embedded", "app.read", "app.write", "Accounting", "Little's law", "Generator", "Verdict"] {
        assert!(report.contains(words), "{words}: {report}");
    }
    let csv = text(&quorumeter(&["report", "record", "--csv"], dir.path()).stdout);
    assert_eq!(csv.lines().count(), 3, "a header and a line per op: {csv}");
    let markdown = text(&quorumeter(&["report", "record", "--markdown"], dir.path()).stdout);
    assert!(markdown.contains("| app.read |") || markdown.contains("`app.read`"), "{markdown}");
}

/// Everything a JSON file of the record holds is described by its schema, and the committed schemas are current.
#[test]
fn the_committed_schemas_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let generated = quorumeter_record::schemas()
        .into_iter()
        .chain([("workload.schema.json", quorumeter_loadgen::workload_schema())]);
    for (name, schema) in generated {
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        let committed: serde_json::Value = serde_json::from_str(&committed).unwrap_or_default();
        assert!(committed == *schema.as_value(), "schemas/{name} is stale: run `cargo xtask generate`");
    }
}

#[test]
fn the_schema_and_the_matrix_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let schema: serde_json::Value =
        serde_json::from_slice(&quorumeter(&["schema"], dir.path()).stdout).unwrap();
    assert!(schema["properties"]["stream"].is_object(), "{schema}");
    let matrix: serde_json::Value =
        serde_json::from_slice(&quorumeter(&["targets", "--json"], dir.path()).stdout).unwrap();
    assert_eq!(matrix["systems"][0]["system"], "zookeeper");
    assert!(text(&quorumeter(&["targets"], dir.path()).stdout).contains("write_cas"));
}

/// Two runs with the same chroot: the second one is told, and harms nothing. What a killed one left is removed.
#[test]
fn a_root_has_one_run_at_a_time_and_clean_removes_what_is_left() {
    let server = scripted(Vec::new());
    let target = format!("zk://{}/bench/here", server.address());
    let dir = tempfile::tempdir().unwrap();
    let args = |out: &str| -> Vec<String> {
        let fixed = ["run", "--target", &target, "--warmup", "0s", "--duration", "30s", "--rate", "100/s"];
        let more = ["--set", "dataset.nodes=50", "--set", "client.session_timeout=1s", "--out", out];
        fixed.iter().chain(&more).map(|s| (*s).to_owned()).collect()
    };
    let mut first = Command::new(QUORUMETER)
        .args(args("first"))
        .current_dir(dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    {
        use std::io::{BufRead as _, BufReader};
        let lines = BufReader::new(first.stderr.take().unwrap()).lines();
        assert!(
            lines
                .map_while(Result::ok)
                .any(|line| line.starts_with("warm-up") || line.starts_with("measure"))
        );
    }
    let second = Command::new(QUORUMETER).args(args("second")).current_dir(dir.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(5));
    assert!(text(&second.stderr).contains("still alive"), "{}", text(&second.stderr));
    let busy = quorumeter(&["clean", "--target", &target], dir.path());
    assert_eq!(busy.status.code(), Some(1));
    assert!(text(&busy.stderr).contains("left alone /bench/here"), "{}", text(&busy.stderr));

    first.kill().unwrap();
    first.wait().unwrap();
    // The lock goes with the killed run's session.
    let begun = std::time::Instant::now();
    loop {
        let clean = quorumeter(&["clean", "--target", &target], dir.path());
        if clean.status.code() == Some(0) {
            assert!(text(&clean.stdout).contains("removed /bench/here"), "{}", text(&clean.stdout));
            break;
        }
        assert!(begun.elapsed().as_secs() < 20, "{}", text(&clean.stderr));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let nothing = quorumeter(&["clean", "--target", &target], dir.path());
    assert!(text(&nothing.stdout).contains("nothing to remove"));
}

#[test]
fn a_secret_is_in_no_record_and_no_message() {
    let server = scripted(Vec::new());
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("auth.toml"),
        "phases = { warmup = \"0s\", measure = \"500ms\" }\n[dataset]\nnodes = 10\n\
         [client.auth]\nuser = \"bench\"\npassword_env = \"TEST_SECRET\"\n\
         [[stream]]\nname = \"app\"\nrate = \"100/s\"\nmix = { read = 1 }\n",
    )
    .unwrap();
    let target = format!("zk://{}", server.address());
    let output = Command::new(QUORUMETER)
        .args(["run", "auth.toml", "--target", &target, "--out", "record"])
        .env("TEST_SECRET", "tiger-lily")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mut seen = vec![text(&output.stdout), text(&output.stderr)];
    for entry in fs::read_dir(dir.path().join("record")).unwrap() {
        seen.push(text(&fs::read(entry.unwrap().path()).unwrap()));
    }
    assert!(seen.iter().any(|s| s.contains("\"user\": \"bench\"")), "the record says who it was");
    assert!(seen.iter().all(|s| !s.contains("tiger-lily")));
}
