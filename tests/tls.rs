//! TLS against Apache ZooKeeper's secure port, with certificates made for the test.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use quorumeter_ensemble::faults::{self, FaultKind, Injector, Means, Victim};
use quorumeter_ensemble::launch::Launched;
use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_record::{FaultStage, RecordReader, Summary};
use quorumeter_targets::TlsOptions;
use quorumeter_targets::session::Member;
use quorumeter_zk::four_letter::Mode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use support::exporter::{Exporter, value};
use support::{QUORUMETER, quorumeter, real_zookeeper};

mod support;

/// The files of an authority, and of a server and a client that it vouches for.
struct Pki {
    dir: PathBuf,
    /// The client's private key as its file has it.
    key: String,
}

impl Pki {
    fn new(dir: &Path, name: &str) -> Pki {
        let dir = dir.join(name);
        std::fs::create_dir(&dir).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |names: &[&str]| {
            let key = KeyPair::generate().unwrap();
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names.clone()).unwrap();
            params.distinguished_name.push(DnType::CommonName, &names[0]);
            (params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
        };
        let (server, server_key) = issue(&["zk.test", "127.0.0.1"]);
        let (client, key) = issue(&["client.test"]);
        for (file, text) in [
            ("ca.pem", &authority.pem()),
            // ZooKeeper wants both in one file.
            ("server.pem", &format!("{server_key}{server}")),
            ("cert.pem", &client),
            ("key.pem", &key),
        ] {
            std::fs::write(dir.join(file), text).unwrap();
        }
        Pki { dir, key }
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }
}

/// Settings of a server that asks its clients for a certificate, as ZooKeeper's secure port does unless told otherwise.
fn settings(pki: &Pki) -> BTreeMap<String, String> {
    [
        ("serverCnxnFactory", "org.apache.zookeeper.server.NettyServerCnxnFactory"),
        ("ssl.keyStore.location", &pki.file("server.pem")),
        ("ssl.keyStore.type", "PEM"),
        ("ssl.trustStore.location", &pki.file("ca.pem")),
        ("ssl.trustStore.type", "PEM"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn zookeeper(dir: &Path, pki: &Pki) -> Launched {
    let mut options = Options::new(1, dir.join("zk"), Wrapper::Quorumeter(QUORUMETER.into()));
    options.ready_timeout = Duration::from_secs(120);
    options.settings = settings(pki);
    start(&options).unwrap()
}

/// Where `quorumeter ensemble up` says that the secure ports are, they are.
#[test]
fn an_ensemble_that_is_up_says_where_it_is_reached_over_tls() {
    if real_zookeeper("an_ensemble_that_is_up_says_where_it_is_reached_over_tls").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let pki = Pki::new(dir, "authority");
    let mut up = Command::new(QUORUMETER);
    up.args(["ensemble", "up", "zookeeper:2"]);
    for (key, value) in settings(&pki) {
        up.args(["--server", &format!("{key}={value}")]);
    }
    let mut up = up.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines: Vec<String> =
        BufReader::new(up.stdout.take().unwrap()).lines().take(4).map(Result::unwrap).collect();
    let cleaned = lines.get(1).and_then(|line| line.strip_prefix("over TLS: ")).map(|secure| {
        let (ca, cert, key) = (pki.file("ca.pem"), pki.file("cert.pem"), pki.file("key.pem"));
        quorumeter(dir, &["clean", "--target", secure, "--ca", &ca, "--cert", &cert, "--key", &key])
    });
    kill_process(Pid::from_child(&up), Signal::TERM).unwrap();
    assert!(up.wait().unwrap().success());

    let ports = |line: &str, before: &str| line.strip_prefix(before).map(|rest| rest.split(',').count());
    assert_eq!(ports(&lines[0], "zk://127.0.0.1:"), Some(2), "{lines:?}");
    assert_eq!(ports(&lines[1], "over TLS: zks://127.0.0.1:"), Some(2), "{lines:?}");
    assert!(lines[2].starts_with("member 1: ") && lines[3].starts_with("member 2: "), "{lines:?}");
    let cleaned = cleaned.unwrap();
    assert_eq!(String::from_utf8_lossy(&cleaned.stdout), "nothing to remove\n", "{cleaned:?}");
}

/// All files below a folder, read.
fn contents(dir: &Path, all: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            contents(&path, all);
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            all.push((path, text));
        }
    }
}

/// A fault is proven, and its end, over TLS: as a signal to a child, and as a command whose effect shows in silence alone.
fn pause_and_resume(ensemble: &Arc<Launched>, pki: &Pki) {
    let secure = ensemble.members[0].secure.unwrap();
    let options = TlsOptions {
        ca: Some(pki.file("ca.pem").into()),
        cert: Some(pki.file("cert.pem").into()),
        key: Some(pki.file("key.pem").into()),
        server_name: None,
    };
    let tls = options.load().unwrap().for_host("127.0.0.1").unwrap();
    let members = vec![Member { name: secure.to_string(), address: secure, tls: Some(tls) }];
    let limit = Duration::from_secs(60);
    assert_eq!(faults::roles(&members, limit).unwrap()[0].role, Some(Mode::Standalone));
    let pid = ensemble.pid(1).unwrap();
    let [fault, clear] = ["STOP", "CONT"].map(|signal| format!("kill -{signal} {pid}"));
    for means in
        [Means::Launched(ensemble.clone()), Means::Commands { fault, clear: Some(clear), timeout: limit }]
    {
        let mut fault = Injector::new(FaultKind::Pause, Victim::Leader, members.clone(), means).unwrap();
        let mut told = Vec::new();
        let mut tell = |stage, _: &[usize], _: &str| told.push(stage);
        fault.prepare(&[0], &mut tell).unwrap();
        fault.inject(&mut tell).unwrap();
        fault.prove_active(limit, &mut tell).unwrap();
        fault.clear(&mut tell).unwrap();
        fault.prove_cleared(limit, &mut tell).unwrap();
        use FaultStage::{Active, Asked, ClearAsked, Cleared, Prepared};
        assert_eq!(told, [Prepared, Asked, Active, ClearAsked, Cleared]);
    }
}

#[test]
fn real_zookeeper_is_measured_over_tls() {
    if real_zookeeper("real_zookeeper_is_measured_over_tls").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (pki, stranger) = (Pki::new(dir, "authority"), Pki::new(dir, "stranger"));
    let ensemble = Arc::new(zookeeper(dir, &pki));
    let member = &ensemble.members[0];
    let port = member.secure.unwrap().port();
    let secure = format!("zks://127.0.0.1:{port}");
    let (ca, cert, key) = (pki.file("ca.pem"), pki.file("cert.pem"), pki.file("key.pem"));

    pause_and_resume(&ensemble, &pki);

    let workload = "phases = { warmup = \"500ms\", measure = \"2s\" }\n[dataset]\nnodes = 20\nvalue = \"20 KiB\"\n\
                    [[stream]]\nname = \"app\"\nsessions = 4\ndepth = 8\n\
                    mix = { read = 60, read_fresh = 10, write = 20, write_cas = 10 }\n\
                    [[stream]]\nname = \"w\"\nsessions = 2\nwatch = { kind = \"persistent\", watchers = 2 }\n";
    std::fs::write(dir.join("workload.toml"), workload).unwrap();
    let tls = ["--ca", &ca, "--cert", &cert, "--key", &key];
    let with = |first: &[&str], last: &[&str]| quorumeter(dir, &[first, last].concat());
    let run = ["run", "workload.toml", "--json", "--out", "record", "--target", &secure];
    let output = with(&run, &tls);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary.complete && summary.accounting.balanced, "{summary:?}");
    assert!(summary.accounting.ok > 100 && summary.accounting.unknown == 0, "{summary:?}");
    let record = RecordReader::open(&dir.join("record")).unwrap();
    let target = record.manifest().target.clone().unwrap();
    assert_eq!(target.url, secure);
    // Four-letter words are answered on the secure port.
    assert_eq!(target.members[0].role.as_deref(), Some("standalone"));
    assert!(record.members().unwrap().any(|line| line.unwrap().packets_received.is_some()));

    // The key's path may be in the record, its content nowhere.
    let mut all = Vec::new();
    contents(&dir.join("record"), &mut all);
    all.push(("standard error".into(), said));
    all.push(("standard output".into(), String::from_utf8_lossy(&output.stdout).into_owned()));
    let secrets: Vec<&str> = pki.key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(all.len() > 5 && secrets.iter().map(|line| line.len()).sum::<usize>() > 100);
    assert!(all.iter().any(|(_, text)| text.contains("key.pem")), "the command line is in the record");
    for (path, text) in &all {
        assert!(!text.contains("PRIVATE KEY"), "{path:?}");
        assert!(!secrets.iter().any(|line| text.contains(line)), "{path:?}");
    }

    let cleaned = with(&["clean", "--target", &secure], &tls);
    assert_eq!(String::from_utf8_lossy(&cleaned.stdout), "nothing to remove\n", "{cleaned:?}");

    let strange_ca = stranger.file("ca.pem");
    let (strange_cert, strange_key) = (stranger.file("cert.pem"), stranger.file("key.pem"));
    let plain = format!("zks://{}", member.address);
    let unsecured = format!("zk://127.0.0.1:{port}");
    let named = |name| [&tls[..], &["--tls-server-name", name]].concat();
    for (target, args, code, expected) in [
        (&secure, vec!["--ca", &strange_ca, "--cert", &cert, "--key", &key], 5, "--ca FILE"),
        (&secure, named("elsewhere.test"), 5, "--tls-server-name NAME"),
        (&secure, named("zk.test"), 0, ""),
        (&secure, vec!["--ca", &ca], 5, "--cert FILE"),
        (&secure, vec!["--ca", &ca, "--cert", &strange_cert, "--key", &strange_key], 5, "--cert FILE"),
        (&secure, vec!["--ca", "missing.pem"], 1, "cannot read missing.pem (--ca)"),
        (&secure, vec!["--ca", &ca, "--cert", &cert], 1, "--key"),
        (
            &secure,
            vec!["--ca", &ca, "--cert", &cert, "--key", &strange_key],
            1,
            "is the key this certificate's?",
        ),
        (&plain, tls.to_vec(), 5, "zk://"),
        (&unsecured, vec![], 5, "zks://"),
        (&unsecured, vec!["--ca", &ca], 1, "zks://"),
    ] {
        for (number, command) in
            [&["clean"][..], &["run", "--duration", "1s", "--warmup", "0s"]].iter().enumerate()
        {
            if code == 0 && number == 1 {
                continue;
            }
            let output = with(&[*command, &["--target", target.as_str()]].concat(), &args);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{command:?} {target} {args:?}: {error}");
            assert!(error.contains(expected), "{command:?} {target} {args:?}: {error}");
            assert!(!error.contains("PRIVATE KEY-----\n"), "{error}");
        }
    }
}

/// An AdminServer that speaks HTTPS, with the stores of the quorum.
fn with_secured_admin_server(dir: &Path, pki: &Pki, how: &str) -> Launched {
    let mut options = Options::new(3, dir.join(how), Wrapper::Quorumeter(QUORUMETER.into()));
    options.ready_timeout = Duration::from_secs(120);
    options.settings = [
        (how, "true"),
        ("ssl.quorum.keyStore.location", &pki.file("server.pem")),
        ("ssl.quorum.keyStore.type", "PEM"),
        ("ssl.quorum.trustStore.location", &pki.file("ca.pem")),
        ("ssl.quorum.trustStore.type", "PEM"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    start(&options).unwrap()
}

#[test]
fn an_admin_server_over_https_tells_what_it_knows() {
    if real_zookeeper("an_admin_server_over_https_tells_what_it_knows").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (pki, stranger) = (Pki::new(dir, "authority"), Pki::new(dir, "stranger"));
    let (ca, strange_ca) = (pki.file("ca.pem"), stranger.file("ca.pem"));
    let of_source = |text: &str, member: &str, source: &str, kind: &str| {
        let labels = format!("cluster=\"c\",member=\"{member}\",source=\"{source}\"");
        let available = format!("quorum_scrape_source_available{{{labels}}}");
        let errors = format!("quorum_scrape_errors_total{{{labels},kind=\"{kind}\"}}");
        (value(text, &available), value(text, &errors))
    };
    for how in ["admin.forceHttps", "admin.portUnification"] {
        let ensemble = with_secured_admin_server(dir, &pki, how);
        let members: Vec<String> = ensemble.members.iter().map(|own| own.address.to_string()).collect();
        let target = format!("zk://{}", members.join(","));
        let admins = ensemble.members.iter().map(|own| own.admin.unwrap());
        let admins: Vec<String> = admins.map(|admin| format!("\"https://{admin}\"")).collect();
        let config = |ca: &str, server_name: &str| {
            format!(
                "[[cluster]]\nname = \"c\"\ntarget = \"{target}\"\nadmin = [{}]\ntls = {{ ca = \"{ca}\"{server_name} }}\n",
                admins.join(", ")
            )
        };
        let export = |text: String| {
            std::fs::write(dir.join("export.toml"), text).unwrap();
            Exporter::start(&["--config".as_ref(), dir.join("export.toml").as_os_str()])
        };
        for server_name in ["", ", server_name = \"zk.test\""] {
            let text = export(config(&ca, server_name)).metrics();
            for member in &members {
                assert_eq!(of_source(&text, member, "voting_view", "tls"), (Some(1.0), Some(0.0)), "{text}");
            }
            assert_eq!(value(&text, "quorum_cluster_voters{cluster=\"c\"}"), Some(3.0), "{text}");
        }
        let exporter = export(config(&strange_ca, ""));
        let text = exporter.metrics();
        assert_eq!(of_source(&text, &members[0], "voting_view", "tls"), (None, Some(1.0)), "{text}");
        let page = exporter.get("/", "").1;
        assert!(page.contains("not signed by an authority that is trusted"), "{page}");

        // By flags, and by a probe: one member each, as each has a port of its own here.
        let first = &ensemble.members[0];
        let one = format!("zk://{}", first.address);
        let port = first.admin.unwrap().port().to_string();
        let secured = ["--admin-port", &port, "--admin-scheme", "https", "--ca", &ca];
        let text = Exporter::start(&[&["--target", &format!("c={one}")], &secured[..]].concat()).metrics();
        assert_eq!(of_source(&text, &members[0], "zabstate", "tls"), (Some(1.0), Some(0.0)), "{text}");
        let probed = format!("/probe?target={one}&cluster=c");
        let exporter = Exporter::start(&[&["--probe-allow", "*"], &secured[..]].concat());
        let (_, text) = exporter.get(&probed, "");
        assert_eq!(of_source(&text, &members[0], "zabstate", "tls"), (Some(1.0), Some(0.0)), "{text}");
        let probe = format!("admin_port = {port}\nadmin_scheme = \"https\"\ntls = {{ ca = \"{ca}\" }}\n");
        let (_, text) = export(format!("[probe]\nallow = [\"*\"]\n{probe}")).get(&probed, "");
        assert_eq!(of_source(&text, &members[0], "zabstate", "tls"), (Some(1.0), Some(0.0)), "{text}");

        let in_the_clear = ["--target", &format!("c={one}"), "--admin-port", &port];
        let exporter = Exporter::start(&in_the_clear);
        let (text, page) = (exporter.metrics(), exporter.get("/", "").1);
        if how == "admin.forceHttps" {
            assert_eq!(of_source(&text, &members[0], "zabstate", "tls").0, None, "{text}");
            assert!(page.contains("if HTTPS is spoken there"), "{page}");
        } else {
            assert_eq!(
                of_source(&text, &members[0], "zabstate", "tls").0,
                Some(1.0),
                "both are spoken: {text}"
            );
        }
    }
}
