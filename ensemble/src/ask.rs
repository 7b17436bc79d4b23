//! Questions to members, plain or over TLS, from threads that may block.

use std::io;
use std::time::Duration;

use quorumeter_targets::session::{ConnectError, Member, Timeouts, Waited};
use quorumeter_targets::stream::Stream;
use quorumeter_targets::tls::TlsFailure;
use quorumeter_targets::zookeeper::{Client, DialSettings, admin};
use quorumeter_zk::four_letter::{AnswerError, Mode, Srvr};
use quorumeter_zk::request::Request;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// Longest answer that is read from a member.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Timeout of the sessions that are opened to see that they can be, milliseconds.
const SESSION_TIMEOUT_MS: u32 = 4_000;

/// Asks members. It must be used, and may be dropped anywhere, outside asynchronous code.
#[derive(Debug)]
pub(crate) struct Asker {
    /// `None` only while being dropped.
    runtime: Option<Runtime>,
}

/// What a member did when it was asked `srvr`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Look {
    /// It takes no connections, or closes them without a word.
    Refused(String),
    /// Nothing at all came from its address in time.
    Unreachable,
    /// It took the connection and said nothing in time.
    Silent,
    /// It answered that it serves nobody now.
    NotServing(String),
    /// What came says nothing of it: it could not be asked, or its answer is none to this question.
    Unclear(String),
    /// It answered.
    Told(Srvr),
}

/// What a member said, and when.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The answer's instant.
    pub(crate) at: std::time::Instant,
    /// The answer. An error says in words what is missing.
    pub(crate) told: Result<Srvr, String>,
}

impl Asker {
    pub(crate) fn new() -> io::Result<Asker> {
        Ok(Asker { runtime: Some(Builder::new_current_thread().enable_all().build()?) })
    }

    /// Asks the member `srvr`; `limit` bounds the whole.
    pub(crate) fn look(&self, member: &Member, limit: Duration) -> Look {
        self.wait_for(look(member, limit))
    }

    /// Asks all members `srvr` at once; `limit` bounds the whole. The answers are in the order of the members.
    pub(crate) fn srvr_of_all(&self, members: &[Member], limit: Duration) -> Vec<Answer> {
        self.wait_for(async {
            let mut asked = JoinSet::new();
            for (place, member) in members.iter().cloned().enumerate() {
                asked.spawn(async move {
                    let told = admin::srvr(&member, limit).await.map_err(|error| error.to_string());
                    (place, Answer { at: std::time::Instant::now(), told })
                });
            }
            let mut answers = asked.join_all().await;
            answers.sort_unstable_by_key(|(place, _)| *place);
            answers.into_iter().map(|(_, answer)| answer).collect()
        })
    }

    /// The member's own number in its ensemble; `None` when it does not tell.
    pub(crate) fn server_id(&self, member: &Member, limit: Duration) -> Option<String> {
        let conf = self.wait_for(admin::four_letter_word(member, "conf", limit)).ok()?;
        conf.lines().find_map(|line| Some(line.strip_prefix("serverId=")?.trim().to_owned()))
    }

    /// Asks the member for its role, opens a session at it and closes that again: both are writes, so the member is part
    /// of a working ensemble when this succeeds. `limit` bounds each of the two steps. An error says in words what is
    /// missing.
    pub(crate) fn check_serving(&self, member: &Member, limit: Duration) -> Result<Srvr, String> {
        let told = self.wait_for(admin::srvr(member, limit)).map_err(|error| format!("srvr: {error}"))?;
        if told.mode == Mode::ReadOnly {
            return Err(format!("srvr: its mode is {}", told.mode.name()));
        }
        let late = || format!("opening a session: no session within {} ms", limit.as_millis());
        self.wait_for(async { timeout(limit, open_and_close_session(member, limit)).await })
            .map_err(|_| late())?
            .map_err(|error| format!("opening a session: {error}"))?;
        Ok(told)
    }

    fn wait_for<T>(&self, questions: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it is there until the drop").block_on(questions)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Unlike a drop, this is allowed in asynchronous code, too, and there is nothing to wait for.
            runtime.shutdown_background();
        }
    }
}

async fn look(member: &Member, limit: Duration) -> Look {
    let deadline = Instant::now() + limit;
    let mut stream = match Stream::open(member, limit, || {}).await {
        Ok(stream) => stream,
        Err(ConnectError::Timeout { what: Waited::Tcp, .. }) => return Look::Unreachable,
        Err(ConnectError::Timeout { .. }) => return Look::Silent,
        Err(ConnectError::Tcp(error)) => return broken(&error),
        Err(error @ ConnectError::Tls(TlsFailure::Closed)) => return Look::Refused(error.to_string()),
        Err(error) => return Look::Unclear(error.to_string()),
    };
    // A member that hangs is not left with one half-closed connection for each look.
    let reset = stream.reset_when_dropped(true);
    let mut answer = Vec::new();
    let asked = timeout_at(deadline, async {
        stream.send(b"srvr").await?;
        (&mut stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await
    })
    .await;
    match (reset, asked) {
        (_, Err(_)) => Look::Silent,
        (Err(error), _) | (_, Ok(Err(error))) => broken(&error),
        (Ok(()), Ok(Ok(_))) => match Srvr::parse(&String::from_utf8_lossy(&answer)) {
            Ok(srvr) => Look::Told(srvr),
            Err(AnswerError::Empty) => Look::Refused("it closed the connection without an answer".to_owned()),
            Err(error @ AnswerError::NotServing) => Look::NotServing(error.to_string()),
            Err(error) => Look::Unclear(error.to_string()),
        },
    }
}

/// What an error of the network says of the member: one of this machine's own, such as too many open files, says nothing.
fn broken(error: &io::Error) -> Look {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkUnreachable, NotConnected, TimedOut, UnexpectedEof,
    };
    match error.kind() {
        ConnectionRefused => Look::Refused(error.to_string()),
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected | UnexpectedEof => {
            Look::Refused(format!("it broke the connection: {error}"))
        }
        HostUnreachable | NetworkUnreachable | TimedOut => Look::Unreachable,
        _ => Look::Unclear(format!("it cannot be asked: {error}")),
    }
}

async fn open_and_close_session(member: &Member, limit: Duration) -> Result<(), String> {
    let timeouts = Timeouts {
        session_ms: SESSION_TIMEOUT_MS,
        connect_ms: limit.as_millis().try_into().unwrap_or(u64::MAX),
        read_share: 1.0,
    };
    let one = vec![member.clone()];
    let mut client = Client::connect(one, timeouts, DialSettings::default(), Duration::ZERO)
        .await
        .map_err(|error| error.to_string())?;
    let closed = client.call(&Request::CloseSession, |_| Some(())).await;
    closed.map_err(|error| format!("it could not be closed: {error}"))
}

/// A member to ask at a plain address.
pub(crate) fn at(address: std::net::SocketAddr) -> Member {
    Member { name: address.to_string(), address, tls: None }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use quorumeter_zk::ErrorCode;
    use quorumeter_zk::connect::{ConnectResponse, PASSWORD_LEN};
    use quorumeter_zk::reply::ReplyHeader;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    /// A member that answers the n-th connection with the n-th answer.
    fn member(answers: Vec<Vec<u8>>) -> Member {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 64]);
                stream.write_all(&answer).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        at(address)
    }

    fn srvr(mode: Mode) -> Vec<u8> {
        let srvr = Srvr {
            version: "3.9.4".to_owned(),
            latency_ms: (0.0, 0.0, 0.0),
            received: 0,
            sent: 0,
            connections: 1,
            outstanding: 0,
            zxid: 0,
            mode,
            proposal_sizes: None,
            node_count: 5,
        };
        srvr.write().into_bytes()
    }

    /// The answer to a handshake and the reply to closeSession.
    fn session(timeout_ms: i32, err: ErrorCode) -> Vec<u8> {
        let mut out = Vec::new();
        ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: 1,
            password: Some(&[7; PASSWORD_LEN]),
            read_only: Some(false),
        }
        .encode_frame(&mut out);
        ReplyHeader { xid: 1, zxid: 5, err }.encode_frame(&mut out);
        out
    }

    const NOT_SERVING: &[u8] = b"This ZooKeeper instance is not currently serving requests\n";

    #[test]
    fn a_member_serves_when_it_has_a_role_and_gives_a_session() {
        let asker = Asker::new().unwrap();
        let follower = || srvr(Mode::Follower);
        for (answers, expected) in [
            (vec![follower(), session(4_000, ErrorCode::OK)], Ok(Mode::Follower)),
            (vec![srvr(Mode::Standalone), session(4_000, ErrorCode::OK)], Ok(Mode::Standalone)),
            (vec![NOT_SERVING.to_vec()], Err("not serving")),
            (vec![srvr(Mode::ReadOnly)], Err("mode is read-only")),
            (vec![vec![]], Err("answer is empty")),
            (vec![follower(), vec![]], Err("opening a session")),
            (vec![follower(), session(0, ErrorCode::OK)], Err("takes no sessions now")),
            (vec![follower(), session(4_000, ErrorCode::THROTTLED_OP)], Err("not be closed")),
            (vec![follower(), b"HTTP/1.1 400".to_vec()], Err("opening a session")),
        ] {
            match (asker.check_serving(&member(answers), LONG), expected) {
                (Ok(told), Ok(mode)) => assert_eq!(told.mode, mode),
                (Err(error), Err(part)) => assert!(error.contains(part), "{part}: {error}"),
                (result, _) => panic!("{expected:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_look_tells_silence_refusal_and_answers_apart() {
        let asker = Asker::new().unwrap();
        let told = asker.look(&member(vec![srvr(Mode::Leader)]), LONG);
        assert!(matches!(&told, Look::Told(srvr) if srvr.mode == Mode::Leader), "{told:?}");
        let not_serving = asker.look(&member(vec![NOT_SERVING.to_vec()]), LONG);
        assert!(
            matches!(&not_serving, Look::NotServing(why) if why.contains("not serving")),
            "{not_serving:?}"
        );
        let unclear = asker.look(&member(vec![b"HTTP/1.1 400".to_vec()]), LONG);
        assert!(matches!(&unclear, Look::Unclear(_)), "{unclear:?}");
        let closed = asker.look(&member(vec![vec![]]), LONG);
        assert!(matches!(&closed, Look::Refused(why) if why.contains("without an answer")), "{closed:?}");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = at(listener.local_addr().unwrap());
        assert_eq!(asker.look(&silent, Duration::from_millis(20)), Look::Silent);
        let error = asker.check_serving(&silent, Duration::from_millis(20)).unwrap_err();
        assert!(error.starts_with("srvr: "), "{error}");
        drop(listener);
        for (errno, expected) in [
            (rustix::io::Errno::MFILE, "cannot be asked"),
            (rustix::io::Errno::ADDRNOTAVAIL, "cannot be asked"),
            (rustix::io::Errno::CONNRESET, "broke the connection"),
        ] {
            let look = broken(&errno.into());
            let (Look::Unclear(why) | Look::Refused(why)) = &look else { panic!("{look:?}") };
            let proves_nothing = matches!(look, Look::Unclear(_));
            assert!(why.contains(expected) && proves_nothing == (expected == "cannot be asked"), "{look:?}");
        }
        assert_eq!(broken(&rustix::io::Errno::HOSTUNREACH.into()), Look::Unreachable);
        let refused = asker.look(&silent, LONG);
        assert!(matches!(&refused, Look::Refused(why) if why.contains("refused")), "{refused:?}");
    }

    #[test]
    fn all_members_are_asked_at_once_and_a_silent_one_keeps_nobody_up() {
        let asker = Asker::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = at(listener.local_addr().unwrap());
        let members = [silent, member(vec![srvr(Mode::Leader)]), member(vec![NOT_SERVING.to_vec()])];
        let answers = asker.srvr_of_all(&members, Duration::from_secs(2));
        assert!(answers[1].at < answers[0].at, "{answers:?}");
        assert!(answers[0].told.as_ref().unwrap_err().contains("2000 ms"), "{answers:?}");
        assert_eq!(answers[1].told.as_ref().unwrap().mode, Mode::Leader);
        assert!(answers[2].told.as_ref().unwrap_err().contains("not serving"), "{answers:?}");
    }

    #[test]
    fn a_member_tells_its_number() {
        let asker = Asker::new().unwrap();
        let conf = b"clientPort=2181\ndataDir=/d/version-2\nserverId=3\n".to_vec();
        assert_eq!(asker.server_id(&member(vec![conf]), LONG).as_deref(), Some("3"));
        let secret = b"conf is not executed because it is not in the whitelist.\n".to_vec();
        assert_eq!(asker.server_id(&member(vec![secret]), LONG), None);
    }

    #[tokio::test]
    async fn it_may_be_dropped_in_asynchronous_code() {
        let asker = Asker::new().unwrap();
        drop(asker);
    }
}
