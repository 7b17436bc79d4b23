use std::fs;
use std::path::PathBuf;

use super::*;

const SAMPLE: &str = include_str!("../../../deploy/quorumeter-export.toml");

#[test]
fn the_sample_says_everything() {
    let config = read(SAMPLE).unwrap();
    assert_eq!(config.listen.as_deref(), Some(DEFAULT_LISTEN));
    let names: Vec<&str> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(names, ["orders", "payments", "kubernetes", "discovery"]);
    let [orders, payments, kubernetes, discovery] = &config.clusters[..] else {
        unreachable!("there are four")
    };
    assert_eq!(orders.settings.admin, Admin::Port(HttpPort { scheme: Scheme::Http, port: 8080 }));
    assert_eq!(orders.settings.canary, Some(CanarySettings { rate_per_s: 1.0, root: None, auth: None }));
    assert_eq!(orders.settings.timeout, Duration::from_secs(3));
    assert_eq!(payments.target.tls.as_ref().unwrap().ca, Some("/etc/quorumeter/ca.pem".into()));
    assert_eq!(kubernetes.settings, Settings::default());
    assert_eq!(discovery.settings.token, Some(Secret::Env("CONSUL_HTTP_TOKEN".into())));
    assert_eq!(config.probe.allow.len(), 2);
}

#[test]
fn what_the_sample_has_commented_out_is_right_too() {
    // Keys in comments stand alone on their line; those of tables that are commented out follow their table.
    let mut text = String::new();
    for line in SAMPLE.lines() {
        let inside =
            line.strip_prefix("# ").filter(|inside| inside.contains(" = ") || inside.starts_with('['));
        let Some(inside) = inside.filter(|inside| !inside.starts_with(char::is_uppercase)) else {
            text += &format!("{line}\n");
            continue;
        };
        // It takes the place of what stands before it under the same key.
        let key = inside.split(" = ").next().unwrap_or_default().to_owned();
        let instead_of = match key.as_str() {
            "admin" => "admin_port",
            "token_file" => "token_env",
            key => key,
        };
        let table = text.rfind("\n[").map_or(0, |start| start + 1);
        let (before, own) = text.split_at(table);
        let kept = own.lines().filter(|line| !line.starts_with(&format!("{instead_of} = ")));
        text = before.to_owned() + &kept.map(|line| format!("{line}\n")).collect::<String>();
        text += &format!("{inside}\n");
    }
    // `token_env` stands behind the comment that it excludes.
    let text = text.replace("token_env = \"CONSUL_HTTP_TOKEN\"\n", "");
    let config = read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(matches!(&config.clusters[0].settings.admin, Admin::Each(all) if all.len() == 3));
    let prometheus = HttpPort { scheme: Scheme::Http, port: 7000 };
    assert_eq!(config.clusters[0].settings.prometheus, Some(prometheus));
    let (https, own) = (&config.clusters[1].settings, config.clusters[1].target.tls.as_ref().unwrap());
    assert_eq!(https.admin, Admin::Port(HttpPort { scheme: Scheme::Https, port: 8443 }));
    assert_eq!(own.server_name.as_deref(), Some("zookeeper.example"));
    assert!(config.probe.settings.has_https() && config.probe.settings.tls.ca.is_some());
    let canary = config.clusters[0].settings.canary.as_ref().unwrap();
    assert_eq!(canary.root.as_deref(), Some("/monitoring"));
    let auth = Credentials::new("monitor".into(), Secret::Env("CANARY_PASSWORD".into())).unwrap();
    assert_eq!(canary.auth.as_ref(), Some(&auth));
    assert!(matches!(config.clusters[3].settings.token, Some(Secret::File(_))));
    assert_eq!(config.otlp.unwrap().period, Duration::from_secs(15));
    assert_eq!(config.probe.allow, [Allowed::Any]);
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_would_help() {
    let cluster = "[[cluster]]\nname = \"a\"\ntarget = \"zk://a\"\n";
    let etcd = "[[cluster]]\nname = \"a\"\ntarget = \"etcd://a\"\n";
    for (text, place, message) in [
        ("lisen = \"a:1\"".to_owned(), Some((1, 1)), "did you mean \"listen\"?"),
        (format!("{cluster}admn_port = 1"), Some((4, 1)), "did you mean \"admin_port\"?"),
        (format!("{cluster}tokn = \"hunter2\""), Some((4, 1)), "there is no key \"tokn\" here"),
        ("listen = 1".to_owned(), Some((1, 10)), "expected a string"),
        ("listen = \"9142\"".to_owned(), Some((1, 10)), "write HOST:PORT"),
        ("listen = \"a:99999\"".to_owned(), Some((1, 10)), "write HOST:PORT"),
        ("listen = ".to_owned(), Some((1, 10)), ""),
        ("[[cluster]]\nname = \"a\"".to_owned(), Some((1, 1)), "\"target\" is missing"),
        (cluster.replace("zk://a", "a:2181"), Some((3, 10)), "has no scheme"),
        (cluster.replace("zk://a", "zk://u:hunter2@a"), Some((3, 10)), "no user or password"),
        (cluster.replace("zk://a", "zk://a,b,a"), Some((3, 10)), "a:2181 twice"),
        (cluster.replace("\"a\"", "\"\""), Some((2, 8)), "a cluster's name"),
        (format!("{cluster}{cluster}"), Some((5, 8)), "two clusters \"a\""),
        (format!("{cluster}admin_port = 99999"), Some((4, 14)), "u16"),
        (
            format!("{cluster}admin = [\"a:1\", \"b:1\"]"),
            Some((4, 9)),
            "2 addresses and the target 1 members",
        ),
        (format!("{cluster}admin = [\"a\"]"), Some((4, 9)), "HOST:PORT"),
        (format!("{cluster}admin = [\"a:1\"]\nadmin_port = 1"), Some((5, 14)), "either admin or admin_port"),
        (format!("{cluster}admin = [\"ftp://a:1\"]"), Some((4, 9)), "http or https"),
        (format!("{cluster}admin = [\"https://u:hunter2@a:1\"]"), Some((4, 9)), "https://HOST:PORT"),
        (format!("{cluster}admin_scheme = \"https\""), Some((4, 16)), "https://HOST:PORT in admin"),
        (format!("{cluster}admin_port = 1\nadmin_scheme = \"tls\""), Some((5, 16)), "known: http, https"),
        (format!("{cluster}prometheus_scheme = \"https\""), Some((4, 21)), "prometheus_port"),
        (
            format!("{cluster}admin_port = 1\ntls = {{ ca = \"a\" }}"),
            Some((5, 7)),
            "or https for an AdminServer",
        ),
        (
            format!("{cluster}admin_port = 1\nadmin_scheme = \"https\"\ntls = {{ key = \"k\" }}"),
            Some((6, 7)),
            "belong together",
        ),
        (format!("{cluster}timeout = \"5\""), Some((4, 11)), "as in \"5s\""),
        (format!("{cluster}timeout = \"1ms\""), Some((4, 11)), "from 10ms to 60s"),
        (format!("{cluster}canary = {{ rate = \"1000/s\" }}"), Some((4, 10)), "not to be a load"),
        (format!("{cluster}canary = {{ rate = \"0/s\" }}"), Some((4, 10)), "one in an hour"),
        (format!("{cluster}canary = {{ rate = 1, root = \"a\" }}"), Some((4, 10)), "no path"),
        (format!("{cluster}canary = {{ rate = 1, root = \"/\" }}"), Some((4, 10)), "node of its own"),
        (format!("{cluster}canary = {{ rate = 1, auth = {{ user = \"u\" }} }}"), Some((4, 10)), "either"),
        (
            format!(
                "{cluster}canary = {{ rate = 1, auth = {{ user = \"u:hunter2\", password_env = \"P\" }} }}"
            ),
            Some((4, 10)),
            "a colon",
        ),
        (
            format!("{cluster}canary = {{ rate = 1, auth = {{ user = \"u\", password = \"hunter2\" }} }}"),
            Some((4, 43)),
            "no key \"password\"",
        ),
        (
            format!("{cluster}canary = {{ rate = 1, auth = \"u:hunter2, expected \\\"hunter2\" }}"),
            Some((4, 29)),
            "invalid type: string, expected",
        ),
        (format!("{cluster}tls = {{ ca = \"ca.pem\" }}"), Some((4, 7)), "write zks://HOST:PORT"),
        (cluster.replace("zk:", "zks:") + "tls = { cert = \"c.pem\" }", Some((4, 7)), "belong together"),
        (format!("{cluster}token_env = \"T\""), Some((4, 13)), "etcd:// and consul://"),
        (etcd.replace("etcd:", "etcds:") + "admin_scheme = \"https\"", Some((4, 16)), "this one is of etcd"),
        (format!("{etcd}tls = {{ ca = \"a\" }}"), Some((4, 7)), "write etcds://HOST:PORT"),
        (format!("{etcd}admin_port = 1"), Some((4, 14)), "this one is of etcd"),
        (format!("{etcd}canary = {{ rate = 1 }}"), Some((4, 10)), "this one is of etcd"),
        (
            etcd.replace("etcd:", "consul:") + "token_env = \"T\"\ntoken_file = \"t\"",
            Some((4, 13)),
            "either token_file or token_env",
        ),
        ("[otlp]\nurl = \"collector:4318\"".to_owned(), Some((2, 7)), "http://"),
        ("[otlp]\nurl = \"ftp://u:hunter2@a\"".to_owned(), Some((2, 7)), "http:// or https://"),
        ("[otlp]\nurl = \"http://a\"\nperiod = \"1ms\"".to_owned(), Some((3, 10)), "from 100ms to 1h"),
        ("[probe]\nallow = [\"a:b\"]".to_owned(), Some((2, 10)), "is no member"),
        ("[probe]\nalow = []".to_owned(), Some((2, 1)), "did you mean \"allow\"?"),
    ] {
        let error = read(&text).unwrap_err();
        assert_eq!(error.place, place, "{text}: {error}");
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn files_for_tls_belong_to_the_target_or_else_to_what_is_asked_over_https() {
    for (scheme, own, has_of_target) in [("zk", Some("ca.pem"), false), ("zks", None, true)] {
        let config = read(&format!(
            "[[cluster]]\nname = \"a\"\ntarget = \"{scheme}://a,b\"\nadmin = [\"https://a:1\", \"b:2\"]\n\
             prometheus_port = 3\nprometheus_scheme = \"https\"\ntls = {{ ca = \"ca.pem\" }}\n"
        ))
        .unwrap();
        let Cluster { target, settings, .. } = &config.clusters[0];
        assert_eq!(settings.tls.ca, own.map(PathBuf::from));
        assert_eq!(target.tls.as_ref().is_some_and(|tls| tls.ca.is_some()), has_of_target);
        let told = |place: usize| settings.admin.of(place, &target.members[place]).unwrap().to_string();
        assert_eq!([told(0), told(1)], ["https://a:1", "http://b:2"]);
        assert_eq!(settings.prometheus.unwrap().of(&target.members[1]).to_string(), "https://b:3");
    }
}

#[test]
fn what_may_be_probed_is_said_by_host_and_port() {
    let allow = |entries: &[&str]| Probe {
        allow: entries.iter().map(|entry| entry.parse().unwrap()).collect(),
        ..Probe::default()
    };
    for (entries, target, refused) in [
        (&[][..], "zk://a", Some("a:2181")),
        (&["a"], "zk://A:1,a:2", None),
        (&["a:2181"], "zk://a", None),
        (&["a:2181"], "zk://a:22", Some("a:22")),
        (&["a"], "zk://a,b", Some("b:2181")),
        (&["a", "b"], "zk://a,b", None),
        (&["[::1]:2181"], "zk://[::1]", None),
        (&["[::1]"], "zk://[::1]:5", None),
        (&["a"], "zk://a.example", Some("a.example:2181")),
        (&["*"], "etcd://anything:1,[::1]", None),
    ] {
        let target: TargetUrl = target.parse().unwrap();
        let probe = allow(entries);
        let told = probe.refused(&target.members).map(HostPort::to_string);
        assert_eq!(told.as_deref(), refused, "{entries:?} {target}");
    }
}

#[test]
fn secrets_are_read_where_they_are_and_never_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = |content: &[u8]| {
        let path = dir.path().join("token");
        fs::write(&path, content).unwrap();
        Secret::File(path)
    };
    assert_eq!(file(b"hunter2\n").read().as_deref(), Ok("hunter2"));
    for content in [&b""[..], b"\n", b"hunter2\nhunter2\n", b"hunter\xff", &[b'h'; 5000]] {
        let error = file(content).read().unwrap_err();
        assert!(error.contains("token_file") && !error.contains("hunter"), "{error}");
    }
    // Of a password the first line counts, whatever is in it.
    for (content, password) in
        [(&b"hunter2"[..], "hunter2"), (b"hunter 2\r\nmore\n", "hunter 2"), ("ü".as_bytes(), "ü")]
    {
        assert_eq!(file(content).read_password().as_deref(), Ok(password));
    }
    for content in [&b""[..], b"\nhunter2", b"hunter\xff", &[b'h'; 5000]] {
        let error = file(content).read_password().unwrap_err();
        assert!(error.contains("password_file") && !error.contains("hunter"), "{error}");
    }
    for absent in [Secret::File("/hunter2/hunter2".into()), Secret::Env("hunter2".into())] {
        let error = absent.read().unwrap_err();
        assert!(error.contains("token_") && !error.contains("hunter2"), "{error}");
        let error = absent.read_password().unwrap_err();
        assert!(error.contains("password_") && !error.contains("hunter2"), "{error}");
    }
}
