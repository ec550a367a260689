//! The handoff of accepted sockets to the shards, in turn.

use std::{
    net::{self, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use tokio::net::{TcpListener, TcpStream};
use tracing::error;

use crate::{
    hub::{bounds::budget::Charge, shard::Shard},
    server::{
        http,
        http::Lifetime,
        listener::{Entrance, Listener, accept, reserve::Reserve},
        site::Site,
    },
};

/// Hands accepted sockets to the shards, in turn.
#[derive(Clone)]
pub(in crate::server) struct Handoff {
    pub(in crate::server) site: Arc<Site>,
    pub(in crate::server) lifetime: Lifetime,
}

impl Handoff {
    /// Starts to accept from `listener`, on the first shard, until the server drains.
    pub(in crate::server) fn start(self, listener: Listener) {
        let Listener {
            socket, entrance, ..
        } = listener;
        let hub = self.site.hub.clone();
        let reserve = Reserve::new();
        hub.run_on(ACCEPTING_SHARD, move |shard| {
            let here = Rc::clone(shard);
            shard.spawn(async move {
                let listener = match TcpListener::from_std(socket) {
                    Ok(listener) => listener,
                    Err(error) => return error!(%error, "nothing can be accepted"),
                };
                let mut is_ending = self.lifetime.is_ending.clone();
                let accepting = accept::accept(listener, &self.site, reserve, |socket, peer| {
                    self.assign(&here, (socket, peer), entrance);
                });
                tokio::select! {
                    () = accepting => {}
                    _ = is_ending.wait_for(|&is_ending| is_ending) => {}
                }
            });
        });
    }

    /// Gives a socket that was accepted on the first shard, `here`, to the shard that is next in
    /// the rotation.
    fn assign(
        &self,
        here: &Rc<Shard>,
        (socket, peer): (TcpStream, SocketAddr),
        entrance: Entrance,
    ) {
        let index = self.site.hub.next_shard();
        if index == ACCEPTING_SHARD {
            let held = self.charge();
            return self.clone().serve(here, (socket, peer), entrance, held);
        }
        if let Ok(socket) = socket.into_std() {
            self.send_to(index, (socket, peer), entrance);
        }
    }

    /// Gives a socket that was accepted by another thread to the shard that is next in the
    /// rotation.
    pub(in crate::server) fn hand_over(
        &self,
        accepted: (net::TcpStream, SocketAddr),
        entrance: Entrance,
    ) {
        self.send_to(self.site.hub.next_shard(), accepted, entrance);
    }

    /// Sends a socket to the thread of a shard, which serves it.
    fn send_to(
        &self,
        index: usize,
        (socket, peer): (net::TcpStream, SocketAddr),
        entrance: Entrance,
    ) {
        let handoff = self.clone();
        let held = self.charge();
        self.site.hub.run_on(index, move |shard| {
            if let Ok(socket) = TcpStream::from_std(socket) {
                handoff.serve(shard, (socket, peer), entrance, held);
            }
        });
    }

    /// Charges the memory that a connection holds while it speaks HTTP. The charge is made when the
    /// connection is accepted, because many connections may be on their way to the shards before
    /// the first of them is served.
    fn charge(&self) -> Charge {
        self.site.hub.budget().charge(HTTP_BYTES)
    }

    /// Serves the requests on a socket. `shard` is the shard of the calling thread.
    fn serve(
        self,
        shard: &Rc<Shard>,
        (socket, peer): (TcpStream, SocketAddr),
        entrance: Entrance,
        held: Charge,
    ) {
        let client = http::Client {
            stream: socket,
            peer,
            entrance,
            held,
        };
        shard.spawn(http::serve(
            Rc::clone(shard),
            client,
            self.site,
            self.lifetime,
        ));
    }
}

/// Memory that a connection holds while it speaks HTTP, in bytes: its buffers, with a head in them,
/// and its state.
const HTTP_BYTES: usize = 32 * 1024;

/// Index of the shard that accepts connections: the first one, which always exists.
pub(in crate::server) const ACCEPTING_SHARD: usize = 0;
