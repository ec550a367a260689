//! The server's own connection, from its task to its outbox, against a scripted peer.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Wake, Waker},
};

use framecast::{
    Chat, Echo, EchoFrames, HubConfig, TopicName,
    internals::{self, Shards},
};
use framecast_wire::validator::MessageLimits;

use crate::{
    input::{Input, Purpose},
    peer::Peer,
    server_frame::ServerFrame,
};

/// Serves the connection that `input` describes; what the peer has received when it is over.
///
/// # Panics
///
/// If the connection neither goes on nor ends: a wake-up was lost.
pub fn serve(input: &Input) -> Vec<ServerFrame> {
    // For the deadline of the closing handshake, which is never reached.
    let runtime = RUNTIME.with(|runtime| runtime.handle().clone());
    let _entered = runtime.enter();
    let shards = Shards::new(&config(input));
    let (leftover, rest) = input.wire.split_at(input.leftover());
    let peer = Peer::new(rest.to_vec(), input.reads(), input.writes());
    if input.is_abrupt() {
        peer.hang_up();
    }
    let offer = input.terms.offer();
    let leftover = leftover.to_vec();
    let offer = offer.as_deref();
    let socket = peer.clone();
    match input.purpose() {
        Purpose::Chat => {
            let chat = Chat::from(TopicName::new("lobby").expect("it is short and printable"));
            let task = internals::connection(&shards, chat, offer, socket, leftover);
            drive(task, &shards, &peer)
        }
        Purpose::Echo => {
            let task = internals::connection(&shards, Echo, offer, socket, leftover);
            drive(task, &shards, &peer)
        }
        Purpose::EchoFrames => {
            let task = internals::connection(&shards, EchoFrames, offer, socket, leftover);
            drive(task, &shards, &peer)
        }
    }
}

/// Polls a connection when it is to be polled, until it is over; what the peer has received then.
fn drive(task: impl Future<Output = ()>, shards: &Shards, peer: &Peer) -> Vec<ServerFrame> {
    let mut task = pin!(task);
    let alarm = Arc::new(Alarm(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&alarm));
    loop {
        while alarm.0.swap(false, Relaxed) {
            let is_over = task
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready();
            // What was published is delivered and written.
            while !shards.is_at_rest() {
                shards.tick(0);
            }
            if is_over {
                return ServerFrame::all(&peer.received_after(0));
            }
        }
        if peer.is_idle() {
            peer.hang_up();
        }
        assert!(peer.wake(), "a lost wake-up");
    }
}

fn config(input: &Input) -> HubConfig {
    let mut config = crate::config(1);
    let MessageLimits {
        message_bytes,
        fragments,
    } = input.rules().limits;
    config.limits.message_bytes = message_bytes;
    config.limits.fragments = fragments;
    config.deflate.enabled = input.terms.deflate();
    config.deflate.min_bytes = input.terms.min_bytes();
    config.deflate.contexts = input.terms.contexts();
    config
}

struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("it needs nothing from the system but a clock");
}
