//! The watchdog: a thread that notices when a shard stands still, and reports it.
//!
//! The connections of a shard that stands still can't be helped. But new connections go to the
//! other shards, and `/health` is answered, even if the shard that stands still is the one that
//! accepts, or the only one.

use std::{
    cell::Cell,
    io,
    net::{SocketAddr, TcpStream},
    rc::Rc,
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, LocalOptions},
    task::spawn_local,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{error, warn};

use crate::{
    metrics::incidents::Incident,
    server::{
        brief,
        listener::{
            Entrance, Listener,
            handoff::{ACCEPTING_SHARD, Handoff},
        },
        standing::{Condition, STANDING_CHECKS, Watch},
    },
};

/// The watchdog of a server.
pub(super) struct Watchdog {
    /// Clones of the listeners from which the first shard accepts. This field stands before
    /// `handoff`, so that it is dropped first: the drain goes on when all clones of the handoff are
    /// dropped, and from then on no listener may be open.
    listeners: Vec<Listener>,
    handoff: Handoff,
    check_interval: Duration,
    watch: Watch,
    /// Number of connections that this thread is answering.
    answering: Rc<Cell<usize>>,
}

impl Watchdog {
    pub(super) fn new(
        listeners: Vec<Listener>,
        handoff: Handoff,
        check_interval: Duration,
    ) -> Self {
        let watch = Watch::new(handoff.site.hub.shards());
        Self {
            listeners,
            handoff,
            check_interval,
            watch,
            answering: Rc::default(),
        }
    }

    /// Watches the shards until the server drains.
    async fn run(mut self) {
        let mut is_ending = self.handoff.lifetime.is_ending.clone();
        tokio::select! {
            () = self.check_forever() => {}
            _ = is_ending.wait_for(|&is_ending| is_ending) => {}
        }
    }

    /// Checks the shards again and again. Accepts connections between the checks while
    /// [`must_accept`](Self::must_accept) returns true.
    async fn check_forever(&mut self) {
        let mut checks = interval(self.check_interval);
        // After the process was stopped (`SIGSTOP`), missed checks are not made up for.
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = checks.tick() => self.check_shards(),
                () = sleep(ACCEPT_EVERY), if self.must_accept() => self.accept(),
            }
        }
    }

    /// Checks whether each shard has ticked since the last check, and asks it to tick before the
    /// next check.
    fn check_shards(&mut self) {
        let site = &self.handoff.site;
        for shard in 0..site.hub.shards() {
            let condition = self.watch.check(shard, site.hub.ticks(shard));
            site.hub
                .set_unavailable(shard, condition != Condition::Moving);
            let stands = condition == Condition::Standing;
            if site.standing.set(shard, stands) {
                if stands {
                    let unmoved = self.check_interval * STANDING_CHECKS;
                    error!(shard, ?unmoved, "a shard stands still");
                } else {
                    warn!(shard, "a shard that stood still goes on");
                }
            }
            site.hub.request_tick(shard);
        }
    }

    /// Returns true if this thread must accept, because the accepting shard does not move. It
    /// accepts only if another shard moves and can serve the connections, or if all shards stand
    /// still and this thread answers the clients itself.
    fn must_accept(&self) -> bool {
        self.watch.condition(ACCEPTING_SHARD) != Condition::Moving
            && (self.watch.has(Condition::Moving) || self.watch.all_stand())
    }

    /// Accepts the connections that wait at the listeners.
    fn accept(&self) {
        for listener in &self.listeners {
            self.accept_from(listener);
        }
    }

    fn accept_from(&self, listener: &Listener) {
        for _ in 0..ACCEPTED_AT_ONCE {
            if self.answering.get() >= ANSWERED_AT_ONCE {
                return;
            }
            match listener.socket.accept() {
                Ok(accepted) => self.hand_over_or_answer(accepted, listener.entrance),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An error of this connection or of the system. The next call tries again, in 20
                // ms.
                Err(error) => {
                    let site = &self.handoff.site;
                    let incidents = site.hub.incidents();
                    incidents.note(Incident::AcceptFailed, None, &error);
                    return site.accept_errors.increment();
                }
            }
        }
    }

    /// Hands a socket to a shard that moves, if there is memory for it. Otherwise answers the
    /// client on this thread.
    fn hand_over_or_answer(&self, accepted: (TcpStream, SocketAddr), entrance: Entrance) {
        let (socket, peer) = accepted;
        // The standard library's listener, unlike tokio's, returns blocking sockets.
        if socket.set_nonblocking(true).is_err() {
            return;
        }
        let budget = self.handoff.site.hub.budget();
        let why = if self.watch.all_stand() {
            "the server stands still"
        } else if budget.is_full() {
            let incidents = self.handoff.site.hub.incidents();
            incidents.note_peer(Incident::RefusedConnection, Some(peer));
            budget.counts.refused_connections.increment();
            "the server is short of memory"
        } else {
            return self.handoff.hand_over((socket, peer), entrance);
        };
        let Ok(socket) = tokio::net::TcpStream::from_std(socket) else {
            return;
        };
        let (site, answering) = (Arc::clone(&self.handoff.site), Rc::clone(&self.answering));
        answering.set(answering.get() + 1);
        spawn_local(async move {
            brief::serve(socket, peer, &site, why).await;
            answering.set(answering.get() - 1);
        });
    }
}

/// Starts a watchdog on a thread of its own.
pub(super) fn start(
    listeners: Vec<Listener>,
    handoff: Handoff,
    check_interval: Duration,
) -> io::Result<()> {
    // The thread reports whether its runtime could be built.
    let (started, wait) = sync_channel(1);
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(Watchdog::new(listeners, handoff, check_interval).run());
            }
            Err(error) => drop(started.send(Err(error))),
        }
    };
    thread::Builder::new().name("watchdog".into()).spawn(run)?;
    wait.recv()
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

/// Time between two checks of the shards. A shard stands still if it has not ticked for 2 s, which
/// is [`STANDING_CHECKS`] checks. Each check asks every shard to tick, which costs a sleeping shard
/// a few microseconds.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Time between two attempts to accept, while this thread accepts. The thread does not wait for the
/// listeners in its event loop, because it would then be woken for every connection while the first
/// shard accepts, too.
const ACCEPT_EVERY: Duration = Duration::from_millis(20);

/// Greatest number of sockets that one attempt to accept takes from a listener, so that it does not
/// delay the next check.
const ACCEPTED_AT_ONCE: usize = 1024;

/// Greatest number of connections that this thread answers at a time, each within a second.
const ANSWERED_AT_ONCE: usize = 64;
