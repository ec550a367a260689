//! Adding connections to a shard, and removing them.

use std::sync::atomic::Ordering::Relaxed;

use crate::{
    disconnect::Disconnect,
    hub::{
        ids::PeerKey,
        peer::Peer,
        publication::compression::{Compression, Windows},
        shard::state::State,
    },
    user::UserId,
};

impl State {
    /// Adds a connection, which has no subscriptions yet. If it takes messages that are compressed
    /// for a window size, publishers count the cost of compressing for this size from now on.
    pub(in crate::hub) fn insert(
        &mut self,
        user: Option<UserId>,
        compression: Compression,
    ) -> PeerKey {
        if let Compression::Shared(window) = compression {
            self.compressors.add_connection(window);
            self.update_windows();
        }
        self.peers.insert(user, compression)
    }

    /// Ends a connection, if it has not ended, and removes and returns it.
    pub(in crate::hub) fn remove(&mut self, key: PeerKey) -> Option<Peer> {
        self.end(key, Disconnect::Lost);
        let removed = self.peers.remove(key);
        let compression = removed.as_ref().map(|peer| &peer.compression);
        if let Some(Compression::Shared(window)) = compression {
            self.compressors.remove_connection(*window);
            self.update_windows();
        }
        self.count_connections();
        removed
    }

    /// Updates the set of windows for which this shard compresses messages. Publishers read it.
    fn update_windows(&self) {
        let Windows(windows) = self.compressors.windows();
        self.shared.windows[self.index].store(windows, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{config::HubConfig, hub::shard::shared::Shared, wire::extension::WindowBits};

    #[test]
    fn publishers_count_a_window_while_a_connection_has_it() {
        let mut config = HubConfig::default();
        config.deflate.enabled = true;
        let shared = Arc::new(Shared::new(&config));
        let mut state = State::new(0, Arc::clone(&shared));
        let windows_of = |shard| shared.forms(shard, 100).windows;
        assert_eq!(windows_of(0), Windows(0));
        let windows = [WindowBits::MAX, WindowBits::MIN, WindowBits::MAX];
        let keys = windows.map(|window| state.insert(None, Compression::Shared(window)));
        // The highest bit is that of `MAX`, and the lowest one that of `MIN`.
        assert_eq!(windows_of(0), Windows(0b1000_0001));
        assert_eq!(windows_of(1), Windows(0), "of another shard");
        state.remove(keys[0]);
        assert_eq!(windows_of(0), Windows(0b1000_0001), "one is left for `MAX`");
        state.remove(keys[1]);
        assert_eq!(
            windows_of(0),
            Windows(0b1000_0000),
            "none is left for `MIN`"
        );
    }
}
