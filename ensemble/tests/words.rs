//! Four-letter words of the embedded member.

mod raw;

use quorumeter_ensemble::{Running, embedded};
use quorumeter_zk::OpCode;
use quorumeter_zk::four_letter::{self, Mntr, Mode, Srvr};
use quorumeter_zk::reply::Reply;
use quorumeter_zk::request::{Request, WatchedPath, create_mode, watch_mode};
use raw::{Raw, word};

fn start() -> Running {
    embedded::start(embedded::Options::default()).expect("a server")
}

#[test]
fn four_letter_words_are_answered_in_upstreams_format() {
    let server = start();
    let mut raw = Raw::connect(server.address());
    raw.create("/a", b"12345", create_mode::EPHEMERAL);
    raw.get("/a", true);
    let address = server.address();
    assert_eq!(word(address, "ruok"), "imok");
    assert_eq!(four_letter::parse_isro(&word(address, "isro")), Ok(false));
    let srvr = Srvr::parse(&word(address, "srvr")).unwrap();
    assert!(srvr.version.starts_with("3.9.4-quorumeter-"), "{}", srvr.version);
    assert!(srvr.version.contains(", built on "));
    assert_eq!((srvr.zxid, srvr.mode, srvr.node_count, srvr.connections), (2, Mode::Standalone, 6, 2));
    // Three requests with the handshake, and three words; the answer to this one is not sent yet.
    assert_eq!((srvr.received, srvr.sent), (6, 5));
    let mntr = Mntr::parse(&word(address, "mntr")).unwrap();
    for (key, value) in [
        ("server_state", "standalone"),
        ("znode_count", "6"),
        ("ephemerals_count", "1"),
        ("watch_count", "1"),
        ("global_sessions", "1"),
        ("num_alive_connections", "2"),
        ("outstanding_requests", "0"),
        ("packets_received", "7"),
        ("approximate_data_size", "51"),
    ] {
        assert_eq!(mntr.get(key), Some(value), "{key}");
    }
    for key in ["avg_latency", "min_latency", "max_latency", "uptime", "open_file_descriptor_count"] {
        assert!(mntr.number(key).is_some(), "{key}");
    }
    let session = format!("0x{:x}", raw.session_id);
    let peer = raw.stream.local_addr().unwrap();
    let stat = word(address, "stat");
    assert!(stat.contains(&format!("Clients:\n /{peer}[1](queued=0,recved=3,sent=3)\n")), "{stat}");
    assert!(Srvr::parse(&stat).is_ok());
    // The connection of the word itself is not read from any more.
    assert!(stat.contains("[0](queued=0,recved=1,sent=0)\n"), "{stat}");
    let cons = word(address, "cons");
    let line = format!(" /{peer}[1](queued=0,recved=3,sent=3,sid={session},lop=GETD,est=");
    assert!(cons.contains(&line) && cons.contains(",to=40000,lcxid=0x2,lzxid=0x2,lresp="), "{cons}");
    assert!(cons.contains("[0](queued=0,recved=1,sent=0)\n"), "{cons}");
    let dump = word(address, "dump");
    assert!(dump.contains(&format!("Sessions with Ephemerals (1):\n{session}:\n\t/a\n")), "{dump}");
    assert!(dump.contains("SessionTracker dump:\nSession Sets (1)/(1):\n1 expire at "), "{dump}");
    let line = format!("\tip: /{peer} sessionId: {session}\n");
    // The session's connection, and that of the word, which has ten seconds.
    assert!(dump.contains("Connections dump:\nConnections Sets (2)/(2):\n1 expire at "), "{dump}");
    assert!(dump.contains(&line) && dump.contains(" sessionId: 0x0\n"), "{dump}");
    assert!(word(address, "envi").starts_with("Environment:\nzookeeper.version=3.9.4-"));
    assert_eq!(word(address, "gtmk"), "gtmk is not executed because it is not in the whitelist.\n");
    assert_eq!(word(address, "dirs"), "datadir_size: 0\nlogdir_size: 0\n");
}

#[test]
fn watches_are_listed_by_session_and_by_path() {
    let server = start();
    let address = server.address();
    let [mut first, second, mut third] = [(); 3].map(|()| Raw::connect(address));
    assert_eq!((word(address, "wchc"), word(address, "wchp")), ("\n".to_owned(), "\n".to_owned()));
    first.create("/a", b"", 0);
    first.get("/a", true);
    first.call(&Request::Exists(WatchedPath { path: "/ä".into(), watch: true }));
    // Upstream lists the data watches alone.
    first.call(&Request::GetChildren(WatchedPath { path: "/".into(), watch: true }));
    third.call(&Request::AddWatch { path: "/a".into(), mode: watch_mode::PERSISTENT });
    third.call(&Request::AddWatch { path: "".into(), mode: watch_mode::PERSISTENT_RECURSIVE });
    // Null, and a persistent mode.
    let xid = third.take_xid();
    third.send_record(xid, OpCode::ADD_WATCH, &[255, 255, 255, 255, 0, 0, 0, 0]).unwrap();
    let answer = third.answer().unwrap().unwrap();
    assert_eq!((answer.header.xid, answer.reply(OpCode::ADD_WATCH)), (xid, Reply::AddWatch(0)));
    let [one, two, three] = [&first, &second, &third].map(|raw| format!("0x{:x}", raw.session_id));
    assert_eq!(word(address, "wchc"), format!("{one}\n\t/a\n\t/ä\n{three}\n\tnull\n\t\n\t/a\n\n"));
    let expected = format!("null\n\t{three}\n\n\t{three}\n/a\n\t{one}\n\t{three}\n/ä\n\t{one}\n\n");
    assert_eq!(word(address, "wchp"), expected);
    assert_eq!(word(address, "wchs"), "2 connections watching 4 paths\nTotal watches:5\n");
    first.set("/a", b"");
    first.create("/ä", b"", 0);
    // As upstream, who has no watch any more is listed until the connection ends.
    assert_eq!(word(address, "wchc"), format!("{one}\n{three}\n\tnull\n\t\n\t/a\n\n"));
    assert!(!word(address, "wchc").contains(&two));
    for mut raw in [first, third] {
        raw.call(&Request::CloseSession);
    }
    assert_eq!((word(address, "wchc"), word(address, "wchp")), ("\n".to_owned(), "\n".to_owned()));
}

#[test]
fn conf_tells_the_settings() {
    let options =
        embedded::Options { tick_time_ms: 500, max_client_connections: 60, ..embedded::Options::default() };
    let server = embedded::start(options).unwrap();
    // The keys and their order are those of 3.9.4 standalone.
    let expected = format!(
        "clientPort={}\nsecureClientPort=-1\ndataDir=\ndataDirSize=0\ndataLogDir=\ndataLogSize=0\ntickTime=500\n\
         maxClientCnxns=60\nminSessionTimeout=1000\nmaxSessionTimeout=10000\nclientPortListenBacklog=-1\nserverId=0\n",
        server.address().port()
    );
    assert_eq!(word(server.address(), "conf"), expected);
}

#[test]
fn what_is_counted_can_be_reset() {
    let server = start();
    let address = server.address();
    let mut raw = Raw::connect(address);
    raw.create("/a", b"12345", 0);
    assert_eq!(word(address, "crst"), "Connection stats reset.\n");
    let cons = word(address, "cons");
    let session = format!("(queued=0,recved=0,sent=0,sid=0x{:x},lop=NA,est=", raw.session_id);
    let rest = ",to=40000,lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n";
    assert!(cons.contains(&session) && cons.contains(rest), "{cons}");
    let mntr = |key: &str| Mntr::parse(&word(address, "mntr")).unwrap().number(key);
    assert_eq!(mntr("connection_request_count"), Some(1.0));
    assert_eq!(word(address, "srst"), "Server stats reset.\n");
    let srvr = Srvr::parse(&word(address, "srvr")).unwrap();
    // The word itself, and the answer to the one before.
    assert_eq!((srvr.received, srvr.sent, srvr.latency_ms), (1, 1, (0.0, 0.0, 0.0)));
    assert_eq!(mntr("connection_request_count"), Some(0.0));
    // Three words.
    assert_eq!(mntr("bytes_received_count"), Some(12.0));
}

#[test]
fn mntr_has_no_key_that_upstream_has_not() {
    let server = start();
    let upstream = Mntr::parse(include_str!("../../zk/tests/four_letter/standalone.mntr")).unwrap();
    let mntr = Mntr::parse(&word(server.address(), "mntr")).unwrap();
    for (key, value) in mntr.entries() {
        let expected = upstream.get(key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!(value.parse::<f64>().is_ok(), expected.parse::<f64>().is_ok(), "{key}");
        assert_eq!(value.contains('.'), expected.contains('.'), "{key}");
    }
    assert!(mntr.entries().count() >= 20);
}
