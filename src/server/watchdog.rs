//! The watchdog: a thread that notices when a shard stands still, and says so.
//!
//! Whatever holds a shard up holds up all that it has: its connections can't be helped. But new ones
//! go to others, and `/health` is answered, though it be the accepting shard that stands still, or
//! the only one.

use std::{
    cell::Cell,
    io,
    net::TcpStream,
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
use tracing::{debug, error, warn};

use crate::server::{
    brief,
    listener::{
        Entrance, Listener,
        arrivals::{ACCEPTING_SHARD, Arrivals},
    },
    standing::{Condition, STANDING_LOOKS, Watch},
};

/// The watchdog of a server.
pub(super) struct Watchdog {
    /// The acceptor's listeners once more. Dropped before `arrivals`: who waits for the end of those
    /// finds that nobody listens.
    listeners: Vec<Listener>,
    arrivals: Arrivals,
    look_every: Duration,
    watch: Watch,
    /// Connections that are being answered here.
    answering: Rc<Cell<usize>>,
}

impl Watchdog {
    pub(super) fn new(listeners: Vec<Listener>, arrivals: Arrivals, look_every: Duration) -> Self {
        let watch = Watch::new(arrivals.site.hub.shards());
        Self {
            listeners,
            arrivals,
            look_every,
            watch,
            answering: Rc::default(),
        }
    }

    /// Looks after the shards, until the server is to end.
    async fn run(mut self) {
        let mut is_ending = self.arrivals.lifetime.is_ending.clone();
        tokio::select! {
            () = self.look_for_ever() => {}
            _ = is_ending.wait_for(|&is_ending| is_ending) => {}
        }
    }

    async fn look_for_ever(&mut self) {
        let mut looks = interval(self.look_every);
        // A process that was stopped has nothing to catch up with.
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => self.look(),
                () = sleep(ACCEPT_EVERY), if self.stands_in() => self.accept(),
            }
        }
    }

    /// Looks at every shard, and asks it to tick until the next look.
    fn look(&mut self) {
        let site = &self.arrivals.site;
        for shard in 0..site.hub.shards() {
            let condition = self.watch.look(shard, site.hub.ticks(shard));
            site.hub.set_absent(shard, condition != Condition::Moving);
            let stands = condition == Condition::Standing;
            if site.standing.set(shard, stands) {
                if stands {
                    let unmoved = self.look_every * STANDING_LOOKS;
                    error!(shard, ?unmoved, "a shard stands still");
                } else {
                    warn!(shard, "a shard goes on that stood still");
                }
            }
            site.hub.nudge(shard);
        }
    }

    /// Returns true while this thread accepts: the shard that does so doesn't move, and either
    /// another one does, or it is settled that none will.
    fn stands_in(&self) -> bool {
        self.watch.condition(ACCEPTING_SHARD) != Condition::Moving
            && (self.watch.has(Condition::Moving) || self.watch.all_stand())
    }

    /// Accepts what waits for that.
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
                Ok((socket, _)) => self.place(socket, listener.entrance),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // One of the connection, or one of the system: it is tried again soon.
                Err(error) => return debug!(%error, "no connection can be accepted"),
            }
        }
    }

    /// Gives a socket to a shard that moves, if there is memory for it, or answers it here.
    fn place(&self, socket: TcpStream, entrance: Entrance) {
        // Other than tokio's, this listener gives out sockets that wait.
        if socket.set_nonblocking(true).is_err() {
            return;
        }
        let budget = self.arrivals.site.hub.budget();
        let why = if self.watch.all_stand() {
            "the server stands still"
        } else if budget.is_full() {
            budget.counts.refused_connections.increment();
            "the server is short of memory"
        } else {
            return self.arrivals.hand_over(socket, entrance);
        };
        let Ok(socket) = tokio::net::TcpStream::from_std(socket) else {
            return;
        };
        let (site, answering) = (Arc::clone(&self.arrivals.site), Rc::clone(&self.answering));
        answering.set(answering.get() + 1);
        spawn_local(async move {
            brief::serve(socket, &site, why).await;
            answering.set(answering.get() - 1);
        });
    }
}

/// Starts a watchdog on a thread of its own.
pub(super) fn start(
    listeners: Vec<Listener>,
    arrivals: Arrivals,
    look_every: Duration,
) -> io::Result<()> {
    let (started, wait) = sync_channel(1);
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(Watchdog::new(listeners, arrivals, look_every).run());
            }
            Err(error) => drop(started.send(Err(error))),
        }
    };
    thread::Builder::new().name("watchdog".into()).spawn(run)?;
    wait.recv()
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

/// How often the shards are looked at: a shard stands still that has not ticked for 2 s. It is asked
/// to by then, which costs a sleeping shard some microseconds.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether somebody waits to be accepted, while nobody else does. Waiting for
/// that in the event loop would have this thread woken for every connection at other times, too.
const ACCEPT_EVERY: Duration = Duration::from_millis(20);

/// Sockets that are accepted between two looks.
const ACCEPTED_AT_ONCE: usize = 1024;

/// Connections that are answered here at a time, each for a second at most.
const ANSWERED_AT_ONCE: usize = 64;
