//! Measures reading messages from a socket in four ways: with our fast path, with fastwebsockets
//! above our gate, with fastwebsockets alone, and with tungstenite.
//!
//! fastwebsockets alone makes fewer checks, and uses one reader for all messages. Above the gate a
//! new reader is built for each message, as for a connection that was idle before.

use std::{hint::black_box, rc::Rc};

use criterion::{BenchmarkId, Criterion, Throughput};
use fastwebsockets::{FragmentCollector, Role, WebSocket};
use framecast::internals::Received;
use framecast_wire::{
    frame::Kind,
    gate::MessageInfos,
    inflate::Inflater,
    read_side::{Reading, Stop, open_message, web_socket},
};
use futures_util::FutureExt as _;
use tokio::io::{join, sink};
use tokio_tungstenite::tungstenite;

use crate::wire::{KINDS, LIMITS, Messages, RULES, SIZES, Socket};

/// Prepares to read these messages. Returns a function that reads all of them once per call.
type Reader = fn(&Messages) -> Box<dyn FnMut()>;

const READERS: [(&str, Reader); 4] = [
    ("fast path", fast_path),
    ("gate", gate),
    ("fastwebsockets", fastwebsockets),
    ("tungstenite", tungstenite),
];

pub(crate) fn measure(criterion: &mut Criterion) {
    for kind in KINDS {
        let kind_name = if kind == Kind::Text { "text" } else { "binary" };
        let mut group = criterion.benchmark_group(format!("read {kind_name}"));
        for size in SIZES {
            let messages = Messages::new(kind, size);
            group.throughput(Throughput::Elements(messages.count as u64));
            for (name, reader) in READERS {
                let mut read = reader(&messages);
                group.bench_function(BenchmarkId::new(name, size), |bencher| {
                    bencher.iter(&mut read);
                });
            }
        }
        group.finish();
    }
}

fn fast_path(messages: &Messages) -> Box<dyn FnMut()> {
    let bytes = messages.bytes.clone();
    let mut received = Received::new();
    Box::new(move || {
        let take = |kind, payload: &[u8]| {
            black_box((kind, payload));
        };
        assert!(received.take_plain(&bytes, LIMITS, take));
    })
}

fn gate(messages: &Messages) -> Box<dyn FnMut()> {
    let mut socket = Socket::new(&messages.bytes);
    let count = messages.count;
    let infos = MessageInfos::default();
    let mut inflater = Inflater::new();
    Box::new(move || {
        for _ in 0..count {
            let reader = web_socket(
                &mut socket,
                RULES,
                Reading::Messages,
                Rc::clone(&infos),
                |_| (),
            );
            let mut reader = FragmentCollector::new(reader);
            let frame = reader.read_frame().now_or_never().unwrap().unwrap();
            let info = infos.borrow_mut().pop_front().unwrap();
            let limit = LIMITS.message_bytes;
            black_box(open_message(info, &frame.payload, &mut inflater, limit).unwrap());
            let stop = reader.read_frame().now_or_never().unwrap().map(|_| ());
            assert!(matches!(stop.map_err(Stop::from), Err(Stop::Idle)));
        }
    })
}

fn fastwebsockets(messages: &Messages) -> Box<dyn FnMut()> {
    let socket = join(Socket::new(&messages.bytes), sink());
    let count = messages.count;
    let mut reader = FragmentCollector::new(WebSocket::after_handshake(socket, Role::Server));
    Box::new(move || {
        for _ in 0..count {
            black_box(reader.read_frame().now_or_never().unwrap().unwrap());
        }
    })
}

fn tungstenite(messages: &Messages) -> Box<dyn FnMut()> {
    let socket = Socket::new(&messages.bytes);
    let count = messages.count;
    let role = tungstenite::protocol::Role::Server;
    let mut reader = tungstenite::WebSocket::from_raw_socket(socket, role, None);
    Box::new(move || {
        for _ in 0..count {
            black_box(reader.read().unwrap());
        }
    })
}
