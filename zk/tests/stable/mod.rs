//! What holds for any bytes at all: decoding does not panic, and what has been decoded is encoded into no more bytes
//! than it came from (but for malformed text that is replaced), which decode to the same again. The tests and the fuzz targets share this.

use quorumeter_zk::connect::{ConnectRequest, ConnectResponse};
use quorumeter_zk::event::WatchedEvent;
use quorumeter_zk::four_letter::{Mntr, Srvr, parse_isro, parse_ruok};
use quorumeter_zk::frame::{self, DEFAULT_MAX_FRAME, Front, PREFIX_LEN};
use quorumeter_zk::jute::Reader;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::RequestHeader;
use quorumeter_zk::tree::{Change, Transaction, Tree};
use quorumeter_zk::{OpCode, Reply, Request};

/// The server's side: the front of a stream, a handshake, a header, and the record of an `op` request.
pub(crate) fn request(op: OpCode, bytes: &[u8]) {
    if let Ok(Front::Frame(body)) = frame::front(bytes, DEFAULT_MAX_FRAME) {
        let again = encoded(|out| frame::put(out, body));
        assert!(bytes.starts_with(&again));
    }
    if let Ok(hello) = ConnectRequest::decode(bytes) {
        let again = body(|out| hello.encode_frame(out));
        assert!(again.len() <= bytes.len());
        assert_eq!(ConnectRequest::decode(&again), Ok(hello));
    }
    if let Ok(header) = RequestHeader::decode(&mut Reader::new(bytes)) {
        let again = encoded(|out| _ = frame::begin_request(out, header.xid, header.op));
        assert_eq!(again[PREFIX_LEN..], bytes[..8]);
    }
    let mut input = Reader::new(bytes);
    if let Ok(Some(request)) = Request::decode(op, &mut input) {
        assert_eq!(request.op(), op);
        let again = encoded(|out| request.encode(out));
        assert!(again.len() <= bytes.len() - input.rest().len());
        let mut input = Reader::new(&again);
        assert_eq!(Request::decode(op, &mut input), Ok(Some(request)));
        assert!(input.is_empty());
    }
    let mut input = Reader::replacing(bytes);
    if let Ok(Some(request)) = Request::decode(op, &mut input) {
        let again = encoded(|out| request.encode(out));
        let read = bytes.len() - input.rest().len();
        assert!(again.len() <= REPLACED_FACTOR * read);
        let mut input = Reader::replacing(&again);
        assert_eq!(Request::decode(op, &mut input), Ok(Some(request)));
    }
}

/// A byte of malformed text may be replaced by three.
const REPLACED_FACTOR: usize = 3;

/// The client's side: a handshake, a header, an event, and the record of a reply to an `op` request.
pub(crate) fn reply(op: OpCode, bytes: &[u8]) {
    if let Ok(welcome) = ConnectResponse::decode(bytes) {
        let again = body(|out| welcome.encode_frame(out));
        assert!(again.len() <= bytes.len());
        assert_eq!(ConnectResponse::decode(&again), Ok(welcome));
    }
    if let Ok((header, record)) = ReplyHeader::split(bytes) {
        let again = encoded(|out| header.encode(out));
        assert_eq!([&again, record].concat(), bytes);
    }
    if let Ok(event) = WatchedEvent::decode(bytes) {
        let again = body(|out| event.encode_frame(out, -1));
        assert!(again.len() <= ReplyHeader::LEN + bytes.len());
        assert_eq!(WatchedEvent::decode(&again[ReplyHeader::LEN..]), Ok(event));
    }
    if let Ok(Some(reply)) = Reply::decode(op, bytes) {
        let again = encoded(|out| reply.encode(out));
        assert!(again.len() <= bytes.len());
        assert_eq!(Reply::decode(op, &again), Ok(Some(reply)));
    }
}

/// Whoever stores transactions.
pub(crate) fn transaction(bytes: &[u8]) {
    if let Ok(transaction) = Transaction::decode(bytes) {
        let again = encoded(|out| transaction.encode(out));
        assert!(again.len() <= REPLACED_FACTOR * bytes.len());
        assert_eq!(Transaction::decode(&again), Ok(transaction));
    }
}

/// A tree: a byte chooses the op of a request, which follows, and so on. What fails changes nothing, and the counts are
/// those of the znodes that are there.
pub(crate) fn tree(bytes: &[u8]) {
    const SESSION: i64 = 1;
    let mut tree = Tree::new();
    let mut apply = |change| {
        let identities = Vec::new().into();
        let zxid = tree.last_zxid() + 1;
        let transaction = Transaction { zxid, time_ms: zxid, session_id: SESSION, identities, change };
        let (nodes, size) = (tree.node_count(), tree.approximate_data_size());
        let mut triggers = Vec::new();
        let result = tree.apply(&transaction, &mut triggers);
        if result.as_ref().map_or(true, |reply| reply.failure().is_some()) {
            assert_eq!((tree.node_count(), tree.approximate_data_size(), triggers.len()), (nodes, size, 0));
        }
        let root = tree.get("/").expect("there is a root");
        assert_eq!(tree.descendant_count(root) + 2, tree.node_count());
        assert!(tree.ephemerals_count() < tree.node_count());
    };
    apply(Change::CreateSession { timeout_ms: 1 });
    let mut input = Reader::replacing(bytes);
    while let Ok(choice) = input.u8("op") {
        let op = OpCode::ALL[usize::from(choice) % OpCode::ALL.len()];
        let Ok(Some(request)) = Request::decode(op, &mut input) else { break };
        apply(Change::Request(request));
    }
    apply(Change::CloseSession);
    assert_eq!(tree.ephemerals_count(), 0);
}

/// Whoever reads the answer to a four-letter word.
pub(crate) fn four_letter(answer: &str) {
    if let Ok(srvr) = Srvr::parse(answer) {
        assert_eq!(Srvr::parse(&srvr.write()), Ok(srvr));
    }
    if let Ok(mntr) = Mntr::parse(answer) {
        for (key, value) in mntr.entries() {
            assert!(!key.contains(['\t', '\n']) && !value.contains('\n'));
            assert!(mntr.get(key).is_some() && mntr.number(key).is_none_or(f64::is_finite));
        }
        assert_eq!(Mntr::parse(&mntr.write()), Ok(mntr));
    }
    // Three answers and as many errors, no more than a comparison each.
    let _ = (parse_isro(answer), parse_ruok(answer));
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// The body of an encoded frame.
fn body(encode_frame: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    encoded(encode_frame).split_off(PREFIX_LEN)
}
