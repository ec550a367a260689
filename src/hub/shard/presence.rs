//! How connections come to a shard and leave it for good.

use std::sync::atomic::Ordering::Relaxed;

use crate::{
    disconnect::Disconnect,
    hub::{
        ids::PeerKey,
        publication::compression::{Compression, Windows},
        shard::state::State,
    },
    user::UserId,
};

impl State {
    /// Adds a connection, which follows nothing yet. Publishers learn of its window before anything is
    /// published to it.
    pub(in crate::hub) fn insert(
        &mut self,
        user: Option<UserId>,
        compression: Compression,
    ) -> PeerKey {
        if let Compression::Shared(window) = compression {
            self.compressors.want(window);
            self.tell_windows();
        }
        self.peers.insert(user, compression)
    }

    /// Removes a connection that is gone for good.
    pub(in crate::hub) fn remove(&mut self, key: PeerKey) {
        self.end(key, Disconnect::Lost);
        let removed = self.peers.remove(key);
        if let Some(Compression::Shared(window)) = removed.map(|peer| peer.compression) {
            self.compressors.no_longer_want(window);
            self.tell_windows();
        }
        self.update_gauges();
    }

    /// Tells publishers for which windows messages are compressed here.
    fn tell_windows(&self) {
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
    fn a_window_is_weighed_while_a_connection_has_it() {
        let mut config = HubConfig::default();
        config.deflate.enabled = true;
        let shared = Arc::new(Shared::new(&config));
        let mut state = State::new(0, Arc::clone(&shared));
        let forms = |shard| shared.forms(shard, 100).windows;
        assert_eq!(forms(0), Windows(0));
        let windows = [WindowBits::MAX, WindowBits::MIN, WindowBits::MAX];
        let keys = windows.map(|window| state.insert(None, Compression::Shared(window)));
        assert_eq!(forms(0), Windows(0b1000_0001));
        assert_eq!(forms(1), Windows(0));
        state.remove(keys[0]);
        assert_eq!(forms(0), Windows(0b1000_0001));
        state.remove(keys[1]);
        assert_eq!(forms(0), Windows(0b1000_0000), "it has gone");
    }
}
