//! An outbox, next to a naive model of it: a list of the frames that must come out.

use std::slice;

use framecast::{
    Disconnect, Message, TopicName,
    internals::{self, Handle, Shards},
};
use framecast_wire::frame::Frame;

use crate::{config, input::Script, peer::Peer, server_frame::ServerFrame};

pub struct Model {
    shards: Shards,
    handle: Handle,
    peer: Peer,
    topic: TopicName,
    /// Frames in the order in which they must come out.
    queue: Vec<Queued>,
    /// All bytes that came out.
    written: Vec<u8>,
    /// Nothing can be queued any more: a Close is queued, or the connection has ended.
    is_sealed: bool,
    has_ended: bool,
    is_broken: bool,
}

struct Queued {
    bytes: Vec<u8>,
    is_control: bool,
    /// Some of its bytes are written already.
    is_begun: bool,
}

impl Model {
    pub fn new(writes: [u8; 3]) -> Self {
        let shards = Shards::new(&config(1));
        let peer = Peer::new(Vec::new(), Script::new([0; 4], 1), Script::new(writes, 1));
        let handle = shards.join(0, None, None, peer.clone());
        let topic = TopicName::new("t").expect("a valid name");
        handle.set_topics(slice::from_ref(&topic));
        let model = Self {
            shards,
            handle,
            peer,
            topic,
            queue: Vec::new(),
            written: Vec::new(),
            is_sealed: false,
            has_ended: false,
            is_broken: false,
        };
        model.run_shard();
        model
    }

    pub fn reply(&mut self, payload: &[u8]) {
        let frame = Frame::binary(payload);
        self.push(frame.as_bytes());
        self.handle.reply(frame);
    }

    /// Publishes one message several times between two ticks of the shard.
    pub fn publish(&mut self, payload: &[u8], times: usize) {
        let frame = Frame::binary(payload);
        for _ in 0..times {
            let message = Message::binary(payload);
            drop(self.shards.publish(self.topic.clone(), message, None));
        }
        if !self.has_ended {
            // A tick copies them into one element of the outbox: no control frame goes between
            // them.
            self.push(&frame.as_bytes().repeat(times));
        }
        self.run_shard();
    }

    pub fn control(&mut self, payload: &[u8]) {
        let pong = [&[0x8A, payload.len() as u8], payload].concat();
        self.push_control(&pong);
        self.handle.control(pong.into());
    }

    pub fn answer_close(&mut self) {
        let close = internals::close(1000, "");
        self.push(close.as_bytes());
        self.is_sealed = true;
        self.handle.answer_close(close.as_bytes().to_vec().into());
    }

    pub fn end(&mut self, reason: Disconnect) {
        self.handle.end(reason);
        self.expect_end(reason);
    }

    pub fn flush(&self) {
        self.handle.flush();
    }

    pub fn break_socket(&mut self) {
        self.peer.break_socket();
        self.is_broken = true;
    }

    /// Checks that the bytes which came out since the last call are the next in the list, and that
    /// the outbox's size is that of the rest.
    pub fn check(&mut self) {
        let held = self.handle.held_bytes();
        if self.is_broken && !self.queue.is_empty() && held == 0 {
            // A write has failed, and the outbox has dropped everything.
            self.queue.clear();
            self.expect_end(Disconnect::Lost);
        }
        let fresh = self.peer.received_after(self.written.len());
        self.written.extend(&fresh);
        let mut fresh = &fresh[..];
        while !fresh.is_empty() {
            let front = self.queue.first_mut().expect("something was queued");
            let len = front.bytes.len().min(fresh.len());
            let taken: Vec<u8> = front.bytes.drain(..len).collect();
            assert_eq!(taken, fresh[..len]);
            fresh = &fresh[len..];
            front.is_begun = true;
            if front.bytes.is_empty() {
                self.queue.remove(0);
            }
        }
        let bytes: usize = self.queue.iter().map(|queued| queued.bytes.len()).sum();
        assert_eq!(held, bytes + self.queue.len() * DELIVERY_BYTES);
    }

    /// Writes everything, and checks that it is whole frames.
    pub fn finish(mut self) {
        while !self.queue.is_empty() {
            self.flush();
            self.check();
        }
        if !self.is_broken {
            ServerFrame::all(&self.written);
        }
    }

    fn run_shard(&self) {
        while !self.shards.is_at_rest() {
            self.shards.tick(0);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if !self.is_sealed {
            self.queue.push(Queued {
                bytes: bytes.to_vec(),
                is_control: false,
                is_begun: false,
            });
        }
    }

    /// Queues a control frame behind the other control frames that are not begun, and before all
    /// other frames that are not begun. If 32 control frames wait already, replaces the last of
    /// them.
    fn push_control(&mut self, bytes: &[u8]) {
        if self.is_sealed {
            return;
        }
        let queued = Queued {
            bytes: bytes.to_vec(),
            is_control: true,
            is_begun: false,
        };
        let begun = self.queue.iter().filter(|queued| queued.is_begun).count();
        let waiting = self.queue[begun..].iter();
        let waiting = waiting.filter(|queued| queued.is_control).count();
        if waiting == 32 {
            self.queue[begun + 31] = queued;
        } else {
            self.queue.insert(begun + waiting, queued);
        }
    }

    fn expect_end(&mut self, reason: Disconnect) {
        if self.has_ended {
            return;
        }
        if discards_queue(reason) {
            self.queue.retain(|queued| queued.is_begun);
        }
        if let Some(close) = internals::close_frame(reason) {
            self.push(close.as_bytes());
        }
        self.is_sealed = true;
        self.has_ended = true;
    }
}

/// Returns true if the outbox discards its queue, because the peer would not read it any more.
fn discards_queue(reason: Disconnect) -> bool {
    matches!(reason, Disconnect::NoPong | Disconnect::SlowConsumer)
}

/// Size that the outbox counts for an element besides its bytes.
const DELIVERY_BYTES: usize = 96;
