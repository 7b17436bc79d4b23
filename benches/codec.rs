//! What ZooKeeper's protocol costs a client: `cargo bench -p quorumeter-benches --bench codec`.
//!
//! Requests are encoded twice, plainly and from a template that is patched, as the generator does it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorumeter_zk::event::{EventType, SessionState, WatchedEvent};
use quorumeter_zk::frame::{self, Front};
use quorumeter_zk::reply::{Reply, ReplyHeader};
use quorumeter_zk::request::{Create, Request, WatchedPath, create_mode};
use quorumeter_zk::template::{DataTemplate, PathPattern, Template};
use quorumeter_zk::{Acl, OpCode, Stat};

const PREFIX: &str = "/quorumeter/20261124-000000-0000/data";
const FIELDS: &str = "/{6}/{8}";
const NUMBERS: [u64; 2] = [12, 1234];
const VALUE: [u8; 256] = [7; 256];

fn encode(c: &mut Criterion) {
    let pattern = PathPattern::below(PREFIX, FIELDS);
    let read = Template::flagged(OpCode::GET_DATA, &pattern, false);
    let write = DataTemplate::set_data(&pattern);
    let acl = &[Acl::OPEN][..];
    let create = DataTemplate::create(OpCode::CREATE, &pattern, acl, create_mode::PERSISTENT);
    let mut out = Vec::with_capacity(1024);
    let mut group = c.benchmark_group("encode");
    // Either way the path is a new one for each request: numbers in, bytes out.
    group.bench_function("getData, plain", |b| {
        b.iter(|| {
            out.clear();
            let path = pattern.path(black_box(&NUMBERS)).into();
            Request::GetData(WatchedPath { path, watch: false }).encode_frame(&mut out, 7);
            black_box(out.len())
        });
    });
    group.bench_function("getData, template", |b| {
        b.iter(|| {
            out.clear();
            read.write(&mut out, 7, black_box(&NUMBERS));
            black_box(out.len())
        });
    });
    group.bench_function("setData, plain", |b| {
        b.iter(|| {
            out.clear();
            let path = pattern.path(black_box(&NUMBERS)).into();
            Request::SetData { path, data: Some(&VALUE), version: -1 }.encode_frame(&mut out, 7);
            black_box(out.len())
        });
    });
    group.bench_function("setData, template", |b| {
        b.iter(|| {
            out.clear();
            write.write(&mut out, 7, black_box(&NUMBERS), &VALUE);
            black_box(out.len())
        });
    });
    group.bench_function("create, plain", |b| {
        b.iter(|| {
            out.clear();
            let path = pattern.path(black_box(&NUMBERS)).into();
            let flags = create_mode::PERSISTENT;
            Request::Create(Create { path, data: Some(&VALUE), acl: acl.into(), flags })
                .encode_frame(&mut out, 7);
            black_box(out.len())
        });
    });
    group.bench_function("create, template", |b| {
        b.iter(|| {
            out.clear();
            create.write(&mut out, 7, black_box(&NUMBERS), &VALUE);
            black_box(out.len())
        });
    });
    group.finish();
}

fn decode(c: &mut Criterion) {
    let path = PathPattern::below(PREFIX, FIELDS).path(&NUMBERS);
    let replies = [
        ("reply to getData", OpCode::GET_DATA, Reply::Data { data: Some(&VALUE), stat: Stat::default() }),
        ("reply to setData", OpCode::SET_DATA, Reply::Stat(Stat::default())),
        ("reply to create", OpCode::CREATE, Reply::Path { path: path.as_str().into() }),
    ];
    let mut group = c.benchmark_group("decode");
    for (name, op, reply) in replies {
        let mut bytes = Vec::new();
        reply.encode_frame(&mut bytes, 7, 42);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let (header, record) = split(black_box(&bytes));
                black_box((header.zxid, Reply::decode(op, record).expect("it was encoded above")));
            });
        });
    }
    let mut bytes = Vec::new();
    let event = WatchedEvent {
        kind: EventType::NODE_DATA_CHANGED,
        state: SessionState::SYNC_CONNECTED,
        path: path.as_str().into(),
    };
    event.encode_frame(&mut bytes, 42);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("watch event", |b| {
        b.iter(|| {
            let (header, record) = split(black_box(&bytes));
            black_box((header.zxid, WatchedEvent::decode(record).expect("it was encoded above")));
        });
    });
    group.finish();
}

fn split(bytes: &[u8]) -> (ReplyHeader, &[u8]) {
    match frame::front(bytes, frame::DEFAULT_MAX_FRAME) {
        Ok(Front::Frame(body)) => ReplyHeader::split(body).expect("it was encoded above"),
        other => unreachable!("{other:?}: it was encoded above"),
    }
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
