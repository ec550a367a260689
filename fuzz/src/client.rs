//! The read side of our client against a scripted peer, as the product reads with it.

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

/// What a client hears, and how it answers.
#[derive(Debug)]
pub struct Heard {
    pub messages: Vec<(Kind, Vec<u8>)>,
    /// Its pongs, and what it answers to a Close, unmasked.
    pub answers: Vec<ServerFrame>,
    pub end: End,
}

#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Close,
    Lost,
    ProtocolError(ProtocolError),
}

/// Reads what `input` has the server send.
///
/// # Panics
///
/// If it stops without an end.
pub fn listen(input: &Input) -> Heard {
    let peer = Peer::new(input.wire.clone(), input.reads(), input.writes());
    let mut reading = pin!(read(peer.clone(), input.rules()));
    loop {
        let polled = reading
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(heard) = polled {
            return heard;
        }
        if peer.is_idle() {
            peer.hang_up();
        }
        assert!(peer.wake(), "it waits for nothing");
    }
}

async fn read(peer: Peer, rules: Rules) -> Heard {
    let infos = MessageInfos::default();
    let answers = RefCell::new(Vec::new());
    let answer = |frame: &[u8]| answers.borrow_mut().push(unmasked(frame));
    let mut engine = FragmentCollector::new(web_socket(
        peer,
        rules,
        Reading::Messages,
        Rc::clone(&infos),
        answer,
    ));
    let mut inflater = Inflater::new();
    let mut messages = Vec::new();
    let end = loop {
        let frame = match engine.read_frame().await.map_err(Stop::from) {
            Ok(frame) => frame,
            Err(Stop::ProtocolError(error)) => break End::ProtocolError(error),
            Err(Stop::Lost(_)) => break End::Lost,
            Err(_) => continue, // between two messages
        };
        match frame.opcode {
            OpCode::Close => break End::Close,
            OpCode::Ping | OpCode::Pong => {}
            OpCode::Continuation => panic!("a message is whole"),
            OpCode::Text | OpCode::Binary => {
                let info = infos.borrow_mut().pop_front().expect("it passed the gate");
                let limit = rules.limits.message_bytes;
                match open_message(info, &frame.payload, &mut inflater, limit) {
                    Ok(message) => messages.push((info.kind, message.into_owned())),
                    Err(error) => break End::ProtocolError(error),
                }
            }
        }
    };
    drop(engine);
    Heard {
        messages,
        answers: answers.into_inner(),
        end,
    }
}

/// A control frame of a client's, which is masked.
fn unmasked(frame: &[u8]) -> ServerFrame {
    let [first, second, a, b, c, d, payload @ ..] = frame else {
        panic!("a torn header: {frame:?}");
    };
    assert_eq!(usize::from(*second), 0x80 + payload.len());
    assert!(matches!(first, 0x88 | 0x8A) && payload.len() <= 125);
    ServerFrame {
        first: *first,
        payload: masked(payload, [*a, *b, *c, *d]),
    }
}
