//! Where the sockets go that are accepted: to the shard whose turn it is.

use std::{net, rc::Rc, sync::Arc};

use tokio::net::{TcpListener, TcpStream};
use tracing::error;

use crate::{
    hub::{bounds::budget::Charge, shard::Shard},
    server::{accept, http, http::Lifetime, reserve::Reserve, site::Site},
};

/// What accepts for a server, and what it needs for that.
#[derive(Clone)]
pub(super) struct Arrivals {
    pub(super) site: Arc<Site>,
    pub(super) lifetime: Lifetime,
}

impl Arrivals {
    /// Accepts on the first shard, until the end.
    pub(super) fn start(self, listener: net::TcpListener) {
        let hub = self.site.hub.clone();
        let reserve = Reserve::new();
        hub.run_on(ACCEPTING_SHARD, move |shard| {
            let here = Rc::clone(shard);
            shard.spawn(async move {
                let listener = match TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return error!(%error, "nothing can be accepted"),
                };
                let mut is_ending = self.lifetime.is_ending.clone();
                let accepting = accept::accept(listener, &self.site, reserve, |socket| {
                    self.take(&here, socket);
                });
                tokio::select! {
                    () = accepting => {}
                    _ = is_ending.wait_for(|&is_ending| is_ending) => {}
                }
            });
        });
    }

    /// Gives a socket that was accepted on shard `here` to the one whose turn it is.
    fn take(&self, here: &Rc<Shard>, socket: TcpStream) {
        let index = self.site.hub.next_shard();
        if index == ACCEPTING_SHARD {
            let held = self.charge();
            return self.clone().serve(here, socket, held);
        }
        if let Ok(socket) = socket.into_std() {
            self.send_to(index, socket);
        }
    }

    /// Gives a socket that was accepted elsewhere to the shard whose turn it is.
    pub(super) fn hand_over(&self, socket: net::TcpStream) {
        self.send_to(self.site.hub.next_shard(), socket);
    }

    fn send_to(&self, index: usize, socket: net::TcpStream) {
        let arrivals = self.clone();
        let held = self.charge();
        self.site.hub.run_on(index, move |shard| {
            if let Ok(socket) = TcpStream::from_std(socket) {
                arrivals.serve(shard, socket, held);
            }
        });
    }

    /// Charges what a connection holds while it speaks HTTP. It is charged when it is accepted: a crowd
    /// of them may be on its way to the shards before the first is served.
    fn charge(&self) -> Charge {
        self.site.hub.budget().charge(HTTP_BYTES)
    }

    fn serve(self, shard: &Rc<Shard>, socket: TcpStream, held: Charge) {
        let Self { site, lifetime } = self;
        let serving = http::serve(Rc::clone(shard), socket, site, lifetime, held);
        shard.spawn(serving);
    }
}

/// What a connection holds while it speaks HTTP: its buffers, with a head in them, and its state.
const HTTP_BYTES: usize = 32 * 1024;

/// There always is a first one.
pub(super) const ACCEPTING_SHARD: usize = 0;
