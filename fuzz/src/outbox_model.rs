//! Runs an outbox beside a naive model of it: a list of the bytes that it must write to its socket.

use std::slice;

use framecast::{
    Disconnect, Message, TopicName,
    internals::{self, Handle, Shards},
};
use framecast_wire::frame::Frame;

use crate::{config, input::Script, peer::Peer, server_frame::ServerFrame};

/// An outbox, and the model of it. Each method does the same with both.
pub struct Model {
    shards: Shards,
    handle: Handle,
    peer: Peer,
    topic: TopicName,
    /// The model: the elements in the order in which they must be written, without the bytes that
    /// are written already.
    queue: Vec<Queued>,
    /// All bytes that the socket has taken.
    written: Vec<u8>,
    /// True if nothing can be queued any more, because a Close is queued, or the connection has
    /// ended.
    is_sealed: bool,
    has_ended: bool,
    /// True if all writes to the socket fail.
    is_broken: bool,
}

/// An element of the outbox: a control frame, or one or more data frames that are written together.
struct Queued {
    bytes: Vec<u8>,
    is_control: bool,
    /// True if some of its bytes are written already.
    is_begun: bool,
}

impl Model {
    /// Returns an empty outbox. Its socket takes as many bytes with each write as `writes` says
    /// (see [`Script`]).
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

    /// Queues a reply.
    pub fn reply(&mut self, payload: &[u8]) {
        let frame = Frame::binary(payload);
        self.push(frame.as_bytes());
        self.handle.reply(frame);
    }

    /// Publishes the same message several times, between two ticks of the shard.
    pub fn publish(&mut self, payload: &[u8], times: usize) {
        let frame = Frame::binary(payload);
        for _ in 0..times {
            let message = Message::binary(payload);
            drop(self.shards.publish(self.topic.clone(), message, None));
        }
        if !self.has_ended {
            // A tick joins these messages in one element of the outbox. So no control frame is
            // written between them.
            self.push(&frame.as_bytes().repeat(times));
        }
        self.run_shard();
    }

    /// Queues a Pong.
    pub fn control(&mut self, payload: &[u8]) {
        let pong = [&[0x8A, payload.len() as u8], payload].concat();
        self.push_control(&pong);
        self.handle.control(pong.into());
    }

    /// Queues the answer to the peer's Close, after which nothing can be queued.
    pub fn answer_close(&mut self) {
        let close = internals::close(1000, "");
        self.push(close.as_bytes());
        self.is_sealed = true;
        self.handle.answer_close(close.as_bytes().to_vec().into());
    }

    /// Ends the connection.
    pub fn end(&mut self, reason: Disconnect) {
        self.handle.end(reason);
        self.expect_end(reason);
    }

    /// Lets the outbox write until it is empty or the socket blocks.
    pub fn flush(&self) {
        self.handle.flush();
    }

    /// Makes all further writes fail.
    pub fn break_socket(&mut self) {
        self.peer.break_socket();
        self.is_broken = true;
    }

    /// Checks that the bytes that were written since the last call are the next ones of the model,
    /// and that the outbox counts as many bytes as the model still has.
    pub fn check(&mut self) {
        let held = self.handle.held_bytes();
        if self.is_broken && !self.queue.is_empty() && held == 0 {
            // A write has failed. The connection has ended, and the outbox has dropped everything.
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

    /// Writes everything that is queued, and checks that all written bytes are whole frames.
    pub fn finish(mut self) {
        while !self.queue.is_empty() {
            self.flush();
            self.check();
        }
        if !self.is_broken {
            ServerFrame::all(&self.written);
        }
    }

    /// Lets the shard tick until it has nothing to do.
    fn run_shard(&self) {
        while !self.shards.is_at_rest() {
            self.shards.tick(0);
        }
    }

    /// Queues data frames, or a Close, as one element at the end of the model's list.
    fn push(&mut self, bytes: &[u8]) {
        if !self.is_sealed {
            self.queue.push(Queued {
                bytes: bytes.to_vec(),
                is_control: false,
                is_begun: false,
            });
        }
    }

    /// Queues a control frame in the model's list. Elements that are partly written stay first.
    /// Then come the waiting control frames, the new one last, and then the data frames. If 32
    /// control frames wait already, the new one replaces the last of them.
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

    /// Ends the connection in the model. The queue is discarded if `reason` asks for that, and the
    /// Close of `reason`, if it has one, is queued.
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

/// Returns true if a connection that ends for this reason discards its queue, because the peer
/// would not read it any more.
fn discards_queue(reason: Disconnect) -> bool {
    matches!(
        reason,
        Disconnect::Lost | Disconnect::NoPong | Disconnect::SlowConsumer
    )
}

/// Number of bytes that the outbox counts for each element, besides the bytes of its frames.
const DELIVERY_BYTES: usize = 96;
