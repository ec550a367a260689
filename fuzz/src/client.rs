//! Runs the read side of our client with a scripted peer. The read side is set up as in the
//! product.

use std::{
    cell::RefCell,
    future::Future,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use fastwebsockets::{FragmentCollector, OpCode};
use framecast_wire::{
    frame::Kind,
    gate::MessageInfos,
    inflate::Inflater,
    protocol_error::ProtocolError,
    read_side::{Reading, Stop, open_message, web_socket},
    validator::Rules,
};

use crate::{
    input::{Input, masked},
    peer::Peer,
    server_frame::ServerFrame,
};

/// The result of a run: everything that our client received, and its answers.
#[derive(Debug)]
pub struct Received {
    pub messages: Vec<(Kind, Vec<u8>)>,
    /// The Pongs of our client and its answer to a Close, unmasked.
    pub answers: Vec<ServerFrame>,
    pub end: End,
}

/// The event after which our client reads nothing more.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Close,
    Lost,
    ProtocolError(ProtocolError),
}

/// Runs our client until it ends. It reads the bytes of `input`, which a server sends.
///
/// # Panics
///
/// If the client is pending and has stored no waker with its socket.
pub fn read_all(input: &Input) -> Received {
    let peer = Peer::new(input.wire.clone(), input.reads(), input.writes());
    let mut reading = pin!(read(peer.clone(), input.rules()));
    loop {
        let polled = reading
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(received) = polled {
            return received;
        }
        if peer.is_idle() {
            peer.hang_up();
        }
        assert!(peer.wake(), "the client is pending without a waker");
    }
}

/// Reads messages with our client's read side until the connection ends.
async fn read(peer: Peer, rules: Rules) -> Received {
    let infos = MessageInfos::default();
    let answers = RefCell::new(Vec::new());
    let answer = |frame: &[u8]| answers.borrow_mut().push(unmasked(frame));
    let mut collector = FragmentCollector::new(web_socket(
        peer,
        rules,
        Reading::Messages,
        Rc::clone(&infos),
        answer,
    ));
    let mut inflater = Inflater::new();
    let mut messages = Vec::new();
    let end = loop {
        let frame = match collector.read_frame().await.map_err(Stop::from) {
            Ok(frame) => frame,
            Err(Stop::ProtocolError(error)) => break End::ProtocolError(error),
            Err(Stop::Lost(_)) => break End::Lost,
            Err(_) => continue, // idle between two messages
        };
        match frame.opcode {
            OpCode::Close => break End::Close,
            OpCode::Ping | OpCode::Pong => {}
            OpCode::Continuation => panic!("the collector returns whole messages"),
            OpCode::Text | OpCode::Binary => {
                let info = infos.borrow_mut().pop_front();
                let info = info.expect("the gate recorded each message");
                let limit = rules.limits.message_bytes;
                match open_message(info, &frame.payload, &mut inflater, limit) {
                    Ok(message) => messages.push((info.kind, message.into_owned())),
                    Err(error) => break End::ProtocolError(error),
                }
            }
        }
    };
    drop(collector);
    Received {
        messages,
        answers: answers.into_inner(),
        end,
    }
}

/// Parses and unmasks a control frame that the client sends.
fn unmasked(frame: &[u8]) -> ServerFrame {
    let [first, second, a, b, c, d, payload @ ..] = frame else {
        panic!("a truncated header: {frame:?}");
    };
    assert_eq!(usize::from(*second), 0x80 + payload.len());
    assert!(matches!(first, 0x88 | 0x8A) && payload.len() <= 125);
    ServerFrame {
        first: *first,
        payload: masked(payload, [*a, *b, *c, *d]),
    }
}
