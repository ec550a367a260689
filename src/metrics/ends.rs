//! The number of connections that have ended, by reason.

use crate::{disconnect::Disconnect, metrics::counter::Counter};

/// The number of ended connections, for each reason. `N` is the type of a number: an integer in a
/// snapshot, and a counter in the metrics that a shard keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ends<N = u64> {
    /// The application closed the connection.
    pub application: N,
    /// The client began the closing handshake.
    pub by_peer: N,
    /// The client ended the stream, or reset it, without a Close.
    pub lost: N,
    /// The client was silent for too long, and answered no Ping (4012).
    pub no_pong: N,
    /// Memory was short, and the client had begun a message or wanted more topics (1013).
    pub overloaded: N,
    /// The server was shut down (1012).
    pub restarting: N,
    /// The client read too slowly, or memory was short and the client was furthest behind (4008).
    /// Clients that were [too far behind](Self::too_far_behind) are not included.
    pub slow_consumer: N,
    /// A newer connection took over its registration (4506).
    pub taken_over: N,
    /// The client's oldest message had waited for too long (4008).
    pub too_far_behind: N,
    /// The registration of the connection was deleted (4503).
    pub unregistered: N,
    /// The client broke the protocol or a limit (1002, 1007, 1008 or 1009).
    pub protocol_error: N,
    /// The shard of the connection panicked (1011).
    pub shard_panicked: N,
}

impl Ends<Counter> {
    /// Returns the counter for a reason.
    pub(crate) fn of(&self, reason: Disconnect) -> &Counter {
        match reason {
            Disconnect::Application(_) => &self.application,
            Disconnect::ShardPanicked => &self.shard_panicked,
            Disconnect::ByPeer => &self.by_peer,
            Disconnect::Lost => &self.lost,
            Disconnect::NoPong => &self.no_pong,
            Disconnect::Overloaded => &self.overloaded,
            Disconnect::Restarting => &self.restarting,
            Disconnect::SlowConsumer => &self.slow_consumer,
            Disconnect::TakenOver => &self.taken_over,
            Disconnect::TooFarBehind => &self.too_far_behind,
            Disconnect::Unregistered => &self.unregistered,
            Disconnect::ProtocolError(_) => &self.protocol_error,
        }
    }
}

impl Ends {
    /// Adds the numbers of one shard to these.
    pub(super) fn add(&mut self, shard: &Ends<Counter>) {
        // Destructured, so that the compiler reports a field that is forgotten.
        let Ends {
            application,
            by_peer,
            lost,
            no_pong,
            overloaded,
            restarting,
            slow_consumer,
            taken_over,
            too_far_behind,
            unregistered,
            protocol_error,
            shard_panicked,
        } = shard;
        self.application += application.get();
        self.by_peer += by_peer.get();
        self.lost += lost.get();
        self.no_pong += no_pong.get();
        self.overloaded += overloaded.get();
        self.restarting += restarting.get();
        self.slow_consumer += slow_consumer.get();
        self.taken_over += taken_over.get();
        self.too_far_behind += too_far_behind.get();
        self.unregistered += unregistered.get();
        self.protocol_error += protocol_error.get();
        self.shard_panicked += shard_panicked.get();
    }

    /// Returns the number of connections that have ended, for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        // Destructured, so that the compiler reports a field that is forgotten.
        let Self {
            application,
            by_peer,
            lost,
            no_pong,
            overloaded,
            restarting,
            slow_consumer,
            taken_over,
            too_far_behind,
            unregistered,
            protocol_error,
            shard_panicked,
        } = self;
        let counts = [
            application,
            by_peer,
            lost,
            no_pong,
            overloaded,
            restarting,
            slow_consumer,
            taken_over,
            too_far_behind,
            unregistered,
            protocol_error,
            shard_panicked,
        ];
        counts.into_iter().sum()
    }
}
