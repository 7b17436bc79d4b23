//! TLS against a small server of this test, with certificates made for it.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorumeter_targets::http::{Answer, Http, HttpError, HttpSetupError, Limits};
use quorumeter_targets::session::{ConnectError, Identity, Member, Timeouts, WatchEvent};
use quorumeter_targets::tls::TlsFailure;
use quorumeter_targets::url::HostPort;
use quorumeter_targets::zookeeper::client::ClientError;
use quorumeter_targets::zookeeper::connection::ZooKeeperConnection;
use quorumeter_targets::zookeeper::{Client, Dataset, DialSettings, Layout, ZooKeeper, admin};
use quorumeter_targets::{
    Clock, Completion, Connection, Driver, Operation, Outcome, Sink, TlsError, TlsOptions, Value,
};
use quorumeter_zk::connect::ConnectResponse;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::{ErrorCode, OpCode, Stat};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, rustls};

/// Longer than any reply's value, and than one record.
const VALUE_LEN: usize = 40_000;

/// An authority, a member's certificate by it for `localhost`, and a client's.
struct Pki {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    server: (rcgen::Certificate, KeyPair),
}

impl Pki {
    fn new() -> Pki {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let certificate =
                CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority);
            (certificate.unwrap(), key)
        };
        let (server, client) = (issue("localhost"), issue("client"));
        for (file, text) in [
            ("ca.pem", authority.pem()),
            ("cert.pem", client.0.pem()),
            ("key.pem", client.1.serialize_pem()),
            ("other-key.pem", server.1.serialize_pem()),
            ("text", "-----BEGIN secret".to_owned()),
        ] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        Pki { dir, authority, server }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn trusting(&self) -> TlsOptions {
        TlsOptions { ca: Some(self.file("ca.pem")), ..TlsOptions::default() }
    }

    fn with_client(&self, options: TlsOptions) -> TlsOptions {
        TlsOptions { cert: Some(self.file("cert.pem")), key: Some(self.file("key.pem")), ..options }
    }

    fn acceptor(&self, asks_for_certificate: bool) -> TlsAcceptor {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = if asks_for_certificate {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(self.server.1.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![self.server.0.der().clone()], key).unwrap()).into()
    }

    /// A member that speaks TLS.
    async fn member(&self, asks_for_certificate: bool) -> SocketAddr {
        let acceptor = self.acceptor(asks_for_certificate);
        let (listener, address) = listen().await;
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        serve(stream).await;
                    }
                });
            }
        });
        address
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let len = stream.read_u32().await.ok()?;
    if len == u32::from_be_bytes(*b"ruok") {
        return Some(b"ruok".to_vec());
    }
    let mut body = vec![0; len as usize];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn shake_hands(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    match read_frame(stream).await {
        None => return false,
        Some(word) if word == b"ruok" => {
            stream.write_all(b"imok").await.unwrap();
            stream.shutdown().await.unwrap();
            return false;
        }
        Some(_) => {}
    }
    let mut out = Vec::new();
    let password = Some(&[7; 16][..]);
    ConnectResponse {
        protocol_version: 0,
        timeout_ms: 10_000,
        session_id: 5,
        password,
        read_only: Some(false),
    }
    .encode_frame(&mut out);
    stream.write_all(&out).await.unwrap();
    true
}

/// Answers as a member with nodes that never change.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    if !shake_hands(&mut stream).await {
        return;
    }
    while let Some(request) = read_frame(&mut stream).await {
        let (xid, op) = request.split_at(4);
        let mut body = Vec::new();
        let xid = i32::from_be_bytes(xid.try_into().unwrap());
        ReplyHeader { xid, zxid: 1, err: ErrorCode::OK }.encode(&mut body);
        let op = OpCode(i32::from_be_bytes(op[..4].try_into().unwrap()));
        if op == OpCode::GET_DATA {
            body.extend((VALUE_LEN as u32).to_be_bytes());
            body.extend([1; VALUE_LEN]);
        }
        body.extend([0; Stat::LEN]);
        let mut out = (body.len() as u32).to_be_bytes().to_vec();
        out.extend(body);
        if stream.write_all(&out).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

fn member(address: SocketAddr, options: &TlsOptions, host: &str) -> Member {
    let tls = options.load().unwrap().for_host(host).unwrap();
    Member { name: host.to_owned(), address, tls: Some(tls) }
}

const TIMEOUTS: Timeouts = Timeouts { session_ms: 10_000, connect_ms: 5000, read_share: 0.7 };

async fn failure(member: Member) -> TlsFailure {
    let connected = Client::connect(vec![member], TIMEOUTS, DialSettings::default(), Duration::ZERO).await;
    match connected.err().unwrap() {
        ClientError::Connect(ConnectError::Tls(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// What the connection told.
#[derive(Default)]
struct Told {
    sent: Vec<(u32, u64)>,
    done: Vec<(u32, Completion)>,
    not_sent: Vec<u32>,
}

impl Sink<u32> for Told {
    fn sent(&mut self, tag: &u32, sent_ns: u64, _: u64) {
        self.sent.push((*tag, sent_ns));
    }
    fn done(&mut self, tag: u32, _: Operation, completion: Completion) {
        self.done.push((tag, completion));
    }
    fn not_sent(&mut self, tag: u32, _: Operation) {
        self.not_sent.push(tag);
    }
    fn event(&mut self, _: WatchEvent) {}
}

async fn load_connection(member: Member, clock: Clock) -> ZooKeeperConnection<u32> {
    let layout = Layout {
        root: "/quorumeter/test".into(),
        dataset: Dataset { nodes: 10, children_per_parent: 10 },
        streams: vec!["app".into()],
    };
    let values = vec![2; VALUE_LEN].into();
    let driver = ZooKeeper::new(vec![member], DialSettings::default(), layout, values);
    driver.connect(0, 0, 0, &Identity::default(), TIMEOUTS, clock).await.unwrap().connection.unwrap()
}

#[tokio::test]
async fn a_session_a_word_and_a_load_go_over_tls() {
    let pki = Pki::new();
    for (asks, options) in [(false, pki.trusting()), (true, pki.with_client(pki.trusting()))] {
        let address = pki.member(asks).await;
        let member = member(address, &options, "localhost");
        let word = admin::four_letter_word(&member, "ruok", Duration::from_secs(5)).await;
        assert_eq!(word.unwrap(), "imok");
        let mut client =
            Client::connect(vec![member.clone()], TIMEOUTS, DialSettings::default(), Duration::ZERO)
                .await
                .unwrap();
        assert_eq!(client.get("/a").await.unwrap().0.len(), VALUE_LEN);

        let clock = Clock::start();
        let mut connection = load_connection(member, clock).await;
        let mut told = Told::default();
        let value = Value { offset: 0, len: VALUE_LEN as u32 };
        for tag in 0..120 {
            let key = tag % 10;
            let op = match tag % 3 {
                0 => Operation::Read { key },
                1 => Operation::Exists { key },
                _ => Operation::Write { key, value },
            };
            connection.submit(op, tag);
        }
        let socket = connection.socket();
        while told.done.len() < 120 {
            connection.flush(&clock, &mut told).unwrap();
            socket.ready(connection.wants_write()).await.unwrap();
            while connection.receive(&clock, &mut told).unwrap() {}
        }
        assert_eq!(connection.open_ops(), 0);
        assert!(told.sent.iter().map(|(tag, _)| *tag).eq(0..120), "{:?}", told.sent);
        for ((tag, completion), (_, sent_ns)) in told.done.iter().zip(&told.sent) {
            assert_eq!(completion.outcome, Outcome::Ok, "{tag}");
            assert!(completion.sent_ns == *sent_ns && *sent_ns < completion.done_ns, "{tag}: {completion:?}");
            assert_eq!(completion.value_bytes, (tag % 3 != 1).then_some(VALUE_LEN as u32), "{tag}");
        }
    }
}

/// A member that stops reading: an op is told to be sent exactly if the bytes that the kernel took let the member read
/// all of it, whatever rustls has sealed beyond that.
#[tokio::test]
async fn sent_are_those_ops_that_the_member_can_open() {
    let pki = Pki::new();
    let acceptor = pki.acceptor(false);
    let (listener, address) = listen().await;
    let (go, wait) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        assert!(shake_hands(&mut stream).await);
        wait.await.unwrap();
        let mut whole = 0;
        while read_frame(&mut stream).await.is_some() {
            whole += 1;
        }
        whole
    });
    let clock = Clock::start();
    let mut connection = load_connection(member(address, &pki.trusting(), "localhost"), clock).await;
    let mut sink = Told::default();
    let ops = 1000;
    for tag in 0..ops {
        // Of different lengths, so that ops and records do not begin and end together.
        connection.submit(
            Operation::Write { key: 0, value: Value { offset: 0, len: 1 + tag * 37 % VALUE_LEN as u32 } },
            tag,
        );
    }
    // Twice, so that what the kernel takes more when it has thought about it has been given.
    for _ in 0..2 {
        connection.flush(&clock, &mut sink).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(connection.wants_write());
    let sent = sink.sent.len();
    connection.abandon(clock.now_ns(), &mut sink);
    assert!(sent > 0 && sink.sent.iter().map(|(tag, _)| *tag).eq(0..sink.sent.len() as u32));
    assert!(sink.sent.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    // Ops of which the kernel has a part are neither sent nor unsent: those of one record, and what reaches into it.
    let unknown = sink.done.len();
    assert!(sink.done.iter().all(|(_, completion)| completion.outcome == Outcome::Unknown));
    assert_eq!(unknown + sink.not_sent.len(), ops as usize);
    assert!(sink.not_sent.len() > 10 && unknown >= sent, "{unknown} {sent}");
    drop(connection);
    go.send(()).unwrap();
    assert_eq!(server.await.unwrap(), sent);
}

#[tokio::test]
async fn what_is_wrong_with_a_connection_is_told() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let address = pki.member(false).await;
    assert_eq!(failure(member(address, &stranger.trusting(), "localhost")).await, TlsFailure::UnknownIssuer);
    let wrong = failure(member(address, &pki.trusting(), "127.0.0.1")).await;
    let TlsFailure::WrongName { wanted, has } = &wrong else { panic!("{wrong:?}") };
    assert!(wanted == "127.0.0.1" && has.join("").contains("localhost"), "{wrong}");
    assert!(wrong.to_string().contains("--tls-server-name"), "{wrong}");
    let named = TlsOptions { server_name: Some("localhost".into()), ..pki.trusting() };
    let connected = Client::connect(
        vec![member(address, &named, "127.0.0.1")],
        TIMEOUTS,
        DialSettings::default(),
        Duration::ZERO,
    );
    connected.await.unwrap();

    let asking = pki.member(true).await;
    for options in [pki.trusting(), stranger.with_client(pki.trusting())] {
        let refused = failure(member(asking, &options, "localhost")).await;
        assert!(matches!(refused, TlsFailure::Refused(_)), "{refused:?}");
        assert!(refused.to_string().contains("--cert"), "{refused}");
    }
}

/// The wrong scheme, either way.
#[tokio::test]
async fn a_port_of_the_other_kind_is_told() {
    let pki = Pki::new();
    let (listener, plain) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tcp.write_all(b"\0\0\0\x29what a plain server might say, and more of it").await.unwrap();
            tokio::spawn(drain(tcp));
        }
    });
    assert_eq!(failure(member(plain, &pki.trusting(), "localhost")).await, TlsFailure::NotTls);

    let (listener, closing) = listen().await;
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    assert_eq!(failure(member(closing, &pki.trusting(), "localhost")).await, TlsFailure::Closed);

    let plainly = |address| Member { name: "localhost".into(), address, tls: None };
    assert_eq!(failure(plainly(pki.member(false).await)).await, TlsFailure::NotExpected);
    // One that says nothing to what is not TLS, as ZooKeeper.
    let (listener, silent) = listen().await;
    let acceptor = pki.acceptor(false);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut first = [0];
            tcp.peek(&mut first).await.unwrap();
            if first == [22] {
                let _ = acceptor.accept(tcp).await;
            }
        }
    });
    assert_eq!(failure(plainly(silent)).await, TlsFailure::NotExpected);
    let connected =
        Client::connect(vec![plainly(closing)], TIMEOUTS, DialSettings::default(), Duration::ZERO);
    let error = connected.await.err().unwrap();
    assert!(matches!(error, ClientError::Connect(ConnectError::Closed(_))), "{error}");
}

/// HTTP over the same TLS as everything else, and nothing else's: this process has no provider of cryptography of its own.
#[tokio::test]
async fn questions_over_http_are_secured_in_the_same_way() {
    async fn member(acceptor: TlsAcceptor) -> u16 {
        let (listener, address) = listen().await;
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                    if stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
                    }
                    let _ = stream.read(&mut [0; 1]).await;
                });
            }
        });
        address.port()
    }
    async fn ask(options: Option<&TlsOptions>, host: &str, port: u16) -> Result<Answer, HttpError> {
        let address = HostPort { host: host.to_owned(), port };
        let tls = options.map(|options| options.load().unwrap());
        let http = Http::new(&address, tls.as_ref(), None).unwrap();
        http.get("/", Limits { time: Duration::from_secs(5), bytes: 100 }).await
    }
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let (pki, stranger) = (Pki::new(), Pki::new());
    let (port, asking) = (member(pki.acceptor(false)).await, member(pki.acceptor(true)).await);
    let trusting = pki.trusting();
    let named = TlsOptions { server_name: Some("localhost".into()), ..trusting.clone() };
    let with_client = pki.with_client(trusting.clone());
    for (options, host, port) in
        [(&trusting, "localhost", port), (&named, "127.0.0.1", port), (&with_client, "localhost", asking)]
    {
        let answer = ask(Some(options), host, port).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
    }
    let failed = async |options: &TlsOptions, host: &str, port| match ask(Some(options), host, port).await {
        Err(HttpError::Tls(failure)) => failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(&stranger.trusting(), "localhost", port).await, TlsFailure::UnknownIssuer);
    let wrong = failed(&trusting, "127.0.0.1", port).await;
    assert!(matches!(wrong, TlsFailure::WrongName { .. }), "{wrong:?}");
    let refused = failed(&trusting, "localhost", asking).await;
    assert!(matches!(refused, TlsFailure::Refused(_)), "{refused:?}");

    let (listener, plain) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            tokio::spawn(drain(tcp));
        }
    });
    assert_eq!(failed(&trusting, "localhost", plain.port()).await, TlsFailure::NotTls);
    let unsecured = ask(None, "localhost", port).await.unwrap_err();
    assert!(matches!(unsecured, HttpError::NotHttp(_) | HttpError::Closed), "{unsecured:?}");

    let by_address = TlsOptions { server_name: Some("192.0.2.1".into()), ..trusting };
    let member = HostPort { host: "localhost".into(), port };
    let error = Http::new(&member, Some(&by_address.load().unwrap()), None).unwrap_err();
    assert!(matches!(error, HttpSetupError::ServerName(_)), "{error}");
}

async fn drain(mut tcp: TcpStream) {
    let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
}

#[test]
fn files_that_will_not_do_are_told_without_their_content() {
    let pki = Pki::new();
    let missing = pki.file("missing");
    let with = |change: &dyn Fn(&mut TlsOptions)| {
        let mut options = pki.with_client(pki.trusting());
        change(&mut options);
        options.load().unwrap_err()
    };
    for (error, expected) in [
        (with(&|o| o.ca = Some(missing.clone())), "(--ca)"),
        (with(&|o| o.ca = Some(pki.file("text"))), "BEGIN CERTIFICATE"),
        (with(&|o| o.ca = Some(pki.file("key.pem"))), "BEGIN CERTIFICATE"),
        (with(&|o| o.cert = Some(missing.clone())), "(--cert)"),
        (with(&|o| o.key = Some(missing.clone())), "(--key)"),
        (with(&|o| o.key = Some(pki.file("text"))), "BEGIN PRIVATE KEY"),
        (with(&|o| o.key = Some(pki.file("cert.pem"))), "BEGIN PRIVATE KEY"),
        (with(&|o| o.key = Some(pki.file("other-key.pem"))), "is the key this certificate's?"),
        (with(&|o| o.key = None), "--key FILE"),
        (with(&|o| o.server_name = Some("a b".into())), "--tls-server-name"),
    ] {
        let text = format!("{error} {error:?}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(matches!(with(&|o| o.ca = Some(missing.clone())), TlsError::Read { .. }));
}
