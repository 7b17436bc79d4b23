//! From one write to the last of its watchers, at the embedded server: `cargo bench -p quorumeter-benches --bench
//! fan_out`.
//!
//! Every watcher has a session and a persistent watch of its own. Server, writer and watchers share the machine.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quorumeter_benches::{connect, read_frame};
use quorumeter_ensemble::embedded;
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::{Create, Request, create_mode};
use quorumeter_zk::{Acl, ErrorCode};

const NODE: &str = "/watched";
const VALUE: [u8; 256] = [7; 256];
/// addWatch's mode for a persistent watch.
const PERSISTENT: i32 = 0;

fn one_write(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan-out of one write");
    for watchers in [1_usize, 10, 100] {
        let server = embedded::start(embedded::Options::default()).expect("loopback can be listened on");
        let mut population =
            Population::new(server.address(), watchers).expect("the embedded server takes watches");
        group.throughput(Throughput::Elements(watchers as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{watchers} watchers")), |b| {
            b.iter(|| population.write_and_await_events().expect("every watcher is told"));
        });
    }
    group.finish();
}

struct Population {
    writer: TcpStream,
    watchers: Vec<TcpStream>,
    write: Vec<u8>,
    body: Vec<u8>,
}

impl Population {
    fn new(server: SocketAddr, watchers: usize) -> io::Result<Population> {
        let mut body = Vec::new();
        let mut writer = connect(server)?;
        let acl = &[Acl::OPEN][..];
        let flags = create_mode::PERSISTENT;
        let create = Create { path: NODE.into(), data: Some(&VALUE), acl: acl.into(), flags };
        ask(&mut writer, &Request::Create(create), &mut body)?;
        let mut watching = Vec::new();
        for _ in 0..watchers {
            let mut watcher = connect(server)?;
            ask(&mut watcher, &Request::AddWatch { path: NODE.into(), mode: PERSISTENT }, &mut body)?;
            watching.push(watcher);
        }
        let mut write = Vec::new();
        Request::SetData { path: NODE.into(), data: Some(&VALUE), version: -1 }.encode_frame(&mut write, 1);
        Ok(Population { writer, watchers: watching, write, body })
    }

    fn write_and_await_events(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.write)?;
        for watcher in &mut self.watchers {
            expect(watcher, xid::NOTIFICATION, &mut self.body)?;
        }
        expect(&mut self.writer, 1, &mut self.body)
    }
}

fn ask(stream: &mut TcpStream, request: &Request<'_>, body: &mut Vec<u8>) -> io::Result<()> {
    let mut frame = Vec::new();
    request.encode_frame(&mut frame, 1);
    stream.write_all(&frame)?;
    expect(stream, 1, body)
}

/// Reads a frame that has to have this xid, and no error.
fn expect(stream: &mut TcpStream, xid: i32, body: &mut Vec<u8>) -> io::Result<()> {
    read_frame(stream, body)?;
    let (header, _) = ReplyHeader::split(body).map_err(io::Error::other)?;
    if header.xid == xid && header.err == ErrorCode::OK {
        return Ok(());
    }
    Err(io::Error::other(format!("{header:?} instead of a reply with xid {xid}")))
}

criterion_group!(benches, one_write);
criterion_main!(benches);
