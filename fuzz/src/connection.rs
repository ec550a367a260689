//! Runs a connection of the server, from reading to its outbox, with a scripted peer.

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

/// Serves the connection that `input` describes. Returns all frames that the peer received.
///
/// # Panics
///
/// If the connection is pending and nothing can wake it: a wake-up was lost.
pub fn serve(input: &Input) -> Vec<ServerFrame> {
    // The closing handshake needs a timer for its timeout, which is never reached.
    let runtime = RUNTIME.with(|runtime| runtime.handle().clone());
    let _entered = runtime.enter();
    let shards = Shards::new(&config(input));
    // The first bytes may arrive together with the request, before the connection begins.
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
            let chat = Chat::from(TopicName::new("lobby").expect("a valid name"));
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

/// Polls the task of a connection each time it is woken, until it completes. Returns all frames
/// that the peer received.
fn drive(task: impl Future<Output = ()>, shards: &Shards, peer: &Peer) -> Vec<ServerFrame> {
    let mut task = pin!(task);
    let woken = Arc::new(WakeFlag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    loop {
        while woken.0.swap(false, Relaxed) {
            let is_over = task
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready();
            // Delivers and writes everything that was published.
            while !shards.is_at_rest() {
                shards.tick(0);
            }
            if is_over {
                return ServerFrame::all(&peer.received_after(0));
            }
        }
        // The connection waits for its socket. If all bytes of the peer are read and no write is
        // pending, the peer ends its stream. Otherwise a read or write that the script has blocked
        // may go on now.
        if peer.is_idle() {
            peer.hang_up();
        }
        assert!(peer.wake(), "a lost wake-up");
    }
}

/// Returns the configuration of the server that `input` describes.
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

/// A waker that sets this flag when it is called.
struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

// The runtime whose timer the closing handshake uses. Nothing is spawned on it.
thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O can always be built");
}
