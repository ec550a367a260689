//! The number of connections that have ended, by reason.

use crate::{disconnect::Disconnect, metrics::counter::Counter};

/// The number of ended connections, for each reason. `N` is the type of a number: an integer in a
/// snapshot, and a counter in the metrics that a shard keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ends<N = u64> {
    /// Connections that the application closed.
    pub application: N,
    /// Connections whose client began the closing handshake.
    pub by_peer: N,
    /// Connections whose client ended the stream, or reset it, without a Close.
    pub lost: N,
    /// Connections whose client was silent for too long and answered no Ping (close code 4012).
    pub no_pong: N,
    /// Connections whose client had not finished a message, or wanted more topics, while memory was
    /// short (close code 1013).
    pub overloaded: N,
    /// Connections that the server closed because it was shut down (close code 1012).
    pub restarting: N,
    /// Connections whose client read too slowly, or was furthest behind in reading while memory was
    /// short (close code 4008). Those of [`too_far_behind`](Self::too_far_behind) are not included.
    pub slow_consumer: N,
    /// Connections whose registration was taken over by a newer connection (close code 4506).
    pub taken_over: N,
    /// Connections whose oldest message had waited for the client for too long (close code 4008).
    pub too_far_behind: N,
    /// Connections whose registration was deleted (close code 4503).
    pub unregistered: N,
    /// Connections whose client broke the protocol or a limit (close code 1002, 1007, 1008 or
    /// 1009).
    pub protocol_error: N,
    /// Connections whose shard panicked (close code 1011).
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
