use quorumeter_targets::policy::Policy;

use super::*;
use crate::plan::{Override, WatchKind, WatchOn};

const BASE: &str = r#"
name = "test"
[dataset]
nodes = 100
[[stream]]
name = "app"
rate = "1k/s"
mix = { read = 90, write = 10 }
"#;

fn workload(text: &str, sets: &[&str]) -> Result<Workload, PlanError> {
    let overrides: Vec<Override> = sets.iter().map(|s| s.parse().unwrap()).collect();
    Workload::read(text, &overrides, || 77)
}

fn with(sets: &[&str]) -> Workload {
    workload(BASE, sets).unwrap()
}

#[test]
fn defaults_are_filled_in_and_recorded() {
    let w = with(&[]);
    assert_eq!((w.seed, w.file.seed), (77, Some(77)));
    assert_eq!((w.warmup_ns, w.measure_ns), (5_000_000_000, 30_000_000_000));
    let stream = &w.file.stream[0];
    assert_eq!(stream.arrival, Some(Arrival::Poisson));
    assert_eq!(stream.keys, Some(Keys::Uniform));
    assert_eq!(stream.nodes, Some([0, 100]));
    let Load::Open { backlog_per_session, .. } = w.streams[0].load else { panic!() };
    assert_eq!(backlog_per_session, 1250, "10 s of 1,000/s over 8 sessions");
    // What is recorded is a workload itself, and the same one.
    let json = serde_json::to_value(&w.file).unwrap();
    let again: WorkloadFile = serde_json::from_value(json).unwrap();
    assert_eq!(again, w.file);
}

/// Every field, with a value that is not its default, and what changes with it.
#[test]
fn every_override_arrives() {
    type Check = fn(&Workload) -> bool;
    let cases: [(&str, Check); 29] = [
        ("name=x", |w| w.file.name == "x"),
        ("seed=5", |w| w.seed == 5),
        ("phases.warmup=1s", |w| w.warmup_ns == 1_000_000_000),
        ("phases.measure=2s", |w| w.measure_ns == 2_000_000_000),
        ("phases.drain=3s", |w| w.drain_ns == 3_000_000_000),
        ("dataset.nodes=7", |w| w.dataset.nodes == 7),
        ("dataset.children_per_parent=3", |w| w.dataset.children_per_parent == 3),
        ("dataset.value=1 KiB", |w| w.dataset_value.max() == 1024 && w.streams[0].value.max() == 1024),
        ("client.policy=java", |w| w.streams[0].policy == Policy::Java),
        ("client.session_timeout=4s", |w| w.streams[0].session_timeout_ms == 4000),
        ("client.connect_limit=4s", |w| w.file.client.connect_limit == Dur(4_000_000_000)),
        ("engine.workers=3", |w| w.file.engine.workers == 3),
        ("engine.timer=spin", |w| w.spin_ns == Some(50_000)),
        ("engine.interval=500ms", |w| w.interval_ns == 500_000_000),
        ("engine.pin=false", |w| !w.file.engine.pin),
        ("app.sessions=3", |w| w.streams[0].sessions == 3),
        ("app.keys=own", |w| w.streams[0].keys == Keys::Own),
        ("app.nodes=[10, 20]", |w| w.streams[0].nodes == Nodes { first: 10, count: 20 }),
        ("app.history=true", |w| w.streams[0].history),
        ("app.depth=5", |w| w.streams[0].depth == 5),
        (
            "app.rate=2k/s",
            |w| matches!(&w.streams[0].load, Load::Open { profile, .. } if profile.rate_at(0.0) == 2e3),
        ),
        ("app.arrival=constant", |w| {
            matches!(w.streams[0].load, Load::Open { arrival: Arrival::Constant, .. })
        }),
        ("app.backlog=1s", |w| matches!(w.streams[0].load, Load::Open { backlog_per_session: 125, .. })),
        ("app.mix={ sync = 1 }", |w| w.streams[0].ops[0].kind == OpKind::Sync),
        ("app.keys=zipf(0.5)", |w| w.streams[0].keys == Keys::Zipf { exponent: 0.5 }),
        ("app.value=9 B", |w| w.streams[0].value.max() == 9 && w.dataset_value.max() == 256),
        ("app.members=[2]", |w| w.streams[0].placement == Members::Numbers(vec![2])),
        ("app.policy=none", |w| w.streams[0].policy == Policy::None),
        ("app.session_timeout=9s", |w| w.streams[0].session_timeout_ms == 9000),
    ];
    for (set, check) in cases {
        assert!(!check(&with(&[])), "{set}: the default is no other");
        assert!(check(&with(&[set])), "{set}");
    }
    let gates = with(&["gates.app.read.response.p99=< 1ms", "abort.grace=1s", "abort.app.rate=> 1/s"]);
    assert_eq!(gates.file.gates["app.read.response.p99"], "< 1ms");
    assert_eq!(
        (gates.file.abort.grace.0, gates.file.abort.conditions["app.rate"].as_str()),
        (1_000_000_000, "> 1/s")
    );
}

/// The text of the file at the error's place.
fn pointed_at<'a>(text: &'a str, error: &PlanError) -> &'a str {
    &text[error.span.clone().unwrap()]
}

#[test]
fn errors_point_at_the_key_and_name_what_would_help() {
    let cases = [
        ("rate = \"1k/s\"", "ratee = \"1k/s\"", "ratee", "no key \"ratee\"", "did you mean \"rate\"?"),
        ("rate = \"1k/s\"", "rate = \"fast\"", "rate", "no rate", "20k/s"),
        ("rate = \"1k/s\"", "rate = true", "rate", "expected a rate", ""),
        ("nodes = 100", "nodes = -1", "nodes", "nodes", ""),
        ("nodes = 100", "nodes = 0", "nodes", "nodes is 0", "from 1 to"),
        ("nodes = 100", "nods = 100", "nods", "no key \"nods\"", "did you mean \"nodes\"?"),
        ("[dataset]", "[datasets]", "datasets", "no key \"datasets\"", "did you mean \"dataset\"?"),
        ("read = 90", "raed = 90", "raed", "no op \"raed\"", "did you mean \"read\"?"),
        ("read = 90", "read = -1", "read", "weight", "above 0"),
        ("read = 90", "delete = 90", "delete", "deletes 90", "at least the same weight"),
        ("read = 90", "\"multi(500)\" = 90", "multi", "500 nodes", "distinct"),
        ("name = \"app\"", "name = \"App\"", "name", "no name of a stream", "small letters"),
        ("name = \"app\"", "name = \"gates\"", "name", "something else", "another name"),
        ("rate = \"1k/s\"", "arrival = \"poisson\"", "arrival", "closed loop", "add a rate"),
        ("rate = \"1k/s\"", "depth = 0", "depth", "depth is 0", "from 1 to"),
        ("rate = \"1k/s\"", "depth = 16385", "depth", "depth is 16385", "to 16384"),
        ("rate = \"1k/s\"", "members = [0]", "members", "has a 0", "from 1"),
        ("rate = \"1k/s\"", "members = \"boss\"", "members", "\"leader\"", ""),
        ("rate = \"1k/s\"", "nodes = [99, 2]", "nodes", "are 2, from number 99", "has 100 nodes"),
        ("rate = \"1k/s\"", "nodes = [7, 0]", "nodes", "are 0, from number 7", "how many"),
        ("rate = \"1k/s\"", "nodes = [4294967295, 2]", "nodes", "from number 4294967295", "how many"),
        ("rate = \"1k/s\"", "nodes = [1]", "nodes", "an array of length 2", ""),
        ("rate = \"1k/s\"", "keys = \"own\"\nnodes = [0, 7]", "nodes", "8 sessions", "as many nodes"),
        (
            "read = 90, write = 10 }",
            "sync = 1, \"multi(2)\" = 1 }\nkeys = \"own\"",
            "own",
            "multi(2)",
            "leave",
        ),
        ("read = 90, write = 10 }", "create = 1 }\nnodes = [0, 7]", "nodes", "no op", "leave nodes out"),
        ("read = 90", "\"multi(9)\" = 1 }\nnodes = [50, 8]\n# ", "multi", "9 nodes", "the stream's"),
        (
            "rate = \"1k/s\"",
            "watch = { kind = \"persistent\" }",
            "mix",
            "watchers issues no ops",
            "leave it out",
        ),
        ("mix = ", "watch = { kind = \"always\" }\nmix = ", "kind", "none of the known", "persistent"),
    ];
    for (from, to, at, message, help) in cases {
        let text = BASE.replace(from, to);
        let error = workload(&text, &[]).unwrap_err();
        assert!(error.message.contains(message), "{to}: {error:?}");
        assert!(
            error.help.clone().unwrap_or_else(|| error.message.clone()).contains(help),
            "{to}: {error:?}"
        );
        assert!(pointed_at(&text, &error).contains(at), "{to}: {:?}", pointed_at(&text, &error));
    }
    for text in ["", "name = ", "[[stream]]\nname = \"a\"", "\u{0}"] {
        assert!(workload(text, &[]).is_err(), "{text:?}");
    }
    assert!(workload(&"#".repeat(2 << 20), &[]).unwrap_err().message.contains("bytes"));
}

#[test]
fn watchers_need_writers_and_sessions() {
    let watchers =
        |kind: &str| format!("{BASE}\n[[stream]]\nname = \"w\"\nsessions = 2\nwatch = {{ {kind} }}\n");
    let w = workload(&watchers("kind = \"one-shot\", watchers = 2, paths = 10"), &[]).unwrap();
    assert_eq!(
        w.streams[1].watch(),
        Some(Watch { kind: WatchKind::OneShot, on: WatchOn::Data, watchers: 2, paths: 10 })
    );
    assert_eq!(w.watched_nodes(Change::Data), 10);
    // 100 nodes with 30 a parent: the last of the four parents has ten.
    let parents = |paths: &str| {
        let text = watchers(&format!("kind = \"recursive\"{paths}"));
        workload(&text, &["dataset.children_per_parent=30"])
            .map(|w| (w.streams[1].watch(), w.watched_nodes(Change::Data)))
    };
    for (paths, number, nodes) in [("", 4, 100), (", paths = 4", 4, 100), (", paths = 3", 3, 90)] {
        let watch = Watch { kind: WatchKind::Recursive, on: WatchOn::Data, watchers: 1, paths: number };
        assert_eq!(parents(paths).unwrap(), (Some(watch), nodes), "{paths}");
    }
    assert!(parents(", paths = 5").is_err());
    let all = workload(&watchers("kind = \"persistent\""), &[]).unwrap();
    assert_eq!(
        all.streams[1].watch(),
        Some(Watch { kind: WatchKind::Persistent, on: WatchOn::Data, watchers: 1, paths: 100 })
    );
    for (kind, message) in [
        ("kind = \"persistent\", watchers = 3", "watchers = 3"),
        ("kind = \"persistent\", on = \"exists\"", "not by exists"),
        ("kind = \"persistent\", paths = 101", "paths = 101"),
        ("kind = \"persistent\", on = \"children\"", "no stream creates or deletes children"),
        ("watchers = 1", "\"kind\" is missing"),
    ] {
        let error = workload(&watchers(kind), &[]).unwrap_err();
        assert!(error.message.contains(message), "{error:?}");
    }
    let nobody_writes = watchers("kind = \"persistent\"").replace(", write = 10", "");
    assert!(workload(&nobody_writes, &[]).unwrap_err().message.contains("no stream writes"));
}

/// Watched for their children, nodes are folders: each is a path of its own, whatever the kind.
#[test]
fn watchers_of_children_need_somebody_who_creates_them() {
    let children = |kind: &str| {
        let writers = BASE.replace("read = 90, write = 10", "create_child = 2, delete = 1");
        format!(
            "{writers}\n[[stream]]\nname = \"w\"\nsessions = 2\nwatch = {{ kind = {kind}, on = \"children\" }}\n"
        )
    };
    for (kind, name) in [
        ("\"one-shot\"", "one-shot on children"),
        ("\"persistent\"", "persistent on children"),
        ("\"recursive\", paths = 100", "recursive on children"),
    ] {
        let w = workload(&children(kind), &[]).unwrap();
        assert_eq!(w.streams[1].watch().unwrap().name(), name);
        assert_eq!((w.watched_nodes(Change::Children), w.watched_nodes(Change::Data)), (100, 0));
        assert!(w.streams[0].changes(Change::Children) && !w.streams[0].changes(Change::Data));
    }
    let nobody_creates = children("\"recursive\"").replace("create_child", "create");
    let error = workload(&nobody_creates, &[]).unwrap_err();
    assert!(error.help.unwrap().contains("create_child"));
    let nobody_writes = children("\"one-shot\"").replace("on = \"children\"", "on = \"data\"");
    assert!(workload(&nobody_writes, &[]).unwrap_err().message.contains("no stream writes"));
    let too_many = children("\"persistent\", paths = 101");
    assert!(workload(&too_many, &[]).unwrap_err().message.contains("paths = 101"));
}

#[test]
fn overrides_that_fit_nothing_are_told() {
    for (set, message) in [
        ("ap.rate=1/s", "no table \"ap\""),
        ("app.raet=1/s", "no key \"raet\""),
        ("app=1", "whole stream"),
        ("name.x=1", "no table"),
        ("app.rate=quick", "no rate"),
        ("engine.spin=50us", "does not spin"),
    ] {
        let error = workload(BASE, &[set]).unwrap_err();
        assert!(error.message.contains(message), "{set}: {error:?}");
        assert!(error.override_path.is_some() && error.span.is_none(), "{set}: {error:?}");
    }
    assert!("novalue".parse::<Override>().is_err());
}

#[test]
fn secrets_come_from_elsewhere_and_are_not_shown() {
    let auth = |table: &str| BASE.replace("[dataset]", &format!("[client]\nauth = {{ {table} }}\n[dataset]"));
    let error = workload(&auth("user = \"u\""), &[]).unwrap_err();
    assert!(error.message.contains("one place"), "{error:?}");
    let error = workload(&auth("user = \"u\", password = \"secret\""), &[]).unwrap_err();
    assert!(error.message.contains("no key \"password\""), "{error:?}");
    let error = workload(&auth("user = \"u\", password_env = \"QUORUMETER_NO_SUCH\""), &[]).unwrap_err();
    assert!(error.message.contains("no variable"), "{error:?}");
    let path = std::env::temp_dir().join(format!("quorumeter-password-{}", std::process::id()));
    fs::write(&path, "hush-hush\n").unwrap();
    let w = workload(&auth(&format!("user = \"u\", password_file = {path:?}")), &[]).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(w.credentials.as_ref().unwrap().password, "hush-hush");
    assert!(!format!("{w:?}").contains("hush"));
    assert!(!serde_json::to_string(&w.file).unwrap().contains("hush"));
}

#[test]
fn a_log_normal_value_leaves_room_for_several_in_a_multi() {
    let w = with(&["app.mix={ \"multi(20)\" = 1 }", "app.value=lognormal(256 B, 0.5)"]);
    assert!(w.streams[0].value.max() < 10_000, "{}", w.streams[0].value.max());
}

#[test]
fn a_mix_has_a_limit() {
    let mix: Vec<String> = (1..=257).map(|n| format!("\"multi({n})\" = 1")).collect();
    let text = format!(
        "[dataset]\nnodes = 1000\n[[stream]]\nname = \"a\"\nmix = {{ {} }}\nvalue = \"1 B\"\n",
        mix.join(", ")
    );
    assert!(workload(&text, &[]).unwrap_err().to_string().contains("257 kinds"));
}

#[test]
fn a_backlog_has_a_limit() {
    let error = workload(BASE, &["app.rate=3M/s"]).unwrap_err().to_string();
    assert!(error.contains("30000000 ops"), "{error}");
    with(&["app.rate=3M/s", "app.backlog=1s"]);
    // What a probe needs to survive two minutes without a server.
    with(&["app.sessions=1", "app.rate=100/s", "app.backlog=200s", "app.depth=16384"]);
}

#[test]
fn a_misspelt_key_of_a_table_of_metrics_is_told() {
    for (table, key, said) in
        [("abort", "grce", "did you mean \"grace\"?"), ("gates", "p99", "stream.op.metric")]
    {
        let text = format!("{BASE}\n[{table}]\n{key} = \"1s\"\n");
        let error = workload(&text, &[]).unwrap_err();
        assert!(pointed_at(&text, &error).contains(key), "{error}");
        assert!(error.help.as_ref().is_some_and(|help| help.contains(said)), "{error:?}");
    }
}

#[test]
fn lives_have_what_their_cycle_needs_and_nothing_else() {
    let stream = |lines: &str| {
        Workload::read(&format!("[[stream]]\nname = \"s\"\nsessions = 6\n{lines}\n"), &[], || 1)
    };
    let good = |lines: &str| stream(lines).unwrap();
    let held = good("rate = \"10/s\"\nlife = { cycle = \"close\", hold = \"2s\" }");
    assert_eq!(held.streams[0].life, Some(Life { cycle: Cycle::Close, hold_ns: 2_000_000_000 }));
    assert_eq!(held.streams[0].op_names(), ["connect", "tcp", "tls", "handshake", "first_op", "close"]);
    assert!(matches!(held.streams[0].load, Load::Open { .. }));
    let json = serde_json::to_value(&held.file).unwrap();
    let again: WorkloadFile = serde_json::from_value(json).unwrap();
    assert_eq!(again, held.file);
    let text = toml::to_string(&held.file).unwrap();
    assert_eq!(Workload::read(&text, &[], || 1).unwrap().streams, held.streams);
    for (cycle, load, first, folders) in [
        ("idle", Load::Idle, 6, 0),
        ("drop", Load::Closed, 0, 0),
        ("reattach", Load::Closed, 6, 0),
        ("expire", Load::Closed, 2, 6),
    ] {
        let workload = good(&format!("life = {{ cycle = \"{cycle}\" }}"));
        let stream = &workload.streams[0];
        assert_eq!((&stream.load, stream.first_connections(2)), (&load, first), "{cycle}");
        assert_eq!((stream.creating_sessions(), stream.depth), (folders, 1), "{cycle}");
    }
    for (lines, cause) in [
        ("life = { cycle = \"idle\" }\nrate = \"1/s\"", "has no rate"),
        ("life = { cycle = \"expire\" }\nkeys = \"uniform\"", "has no keys"),
        ("life = { cycle = \"expire\" }\nnodes = [0, 10]", "has no nodes"),
        ("life = { cycle = \"close\" }\nmix = { read = 1 }", "has no mix"),
        ("life = { cycle = \"close\" }\nwatch = { kind = \"persistent\" }", "has no watch"),
        ("life = { cycle = \"close\" }\ndepth = 4", "has no depth"),
        ("life = { cycle = \"reattach\", hold = \"1s\" }", "no session is held"),
        ("life = { cycle = \"close\" }\narrival = \"poisson\"", "without a rate"),
    ] {
        let error = stream(lines).unwrap_err().to_string();
        assert!(error.contains(cause), "{lines}: {error}");
    }
}
