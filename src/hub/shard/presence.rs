//! How connections come to a shard and leave it for good.

use std::sync::atomic::Ordering::Relaxed;

use crate::{
    disconnect::Disconnect,
    hub::{ids::PeerKey, publication::compression::Compression, shard::state::State},
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

    /// Tells publishers in how many windows messages are compressed here.
    fn tell_windows(&self) {
        self.links.windows[self.index].store(self.compressors.windows(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{config::Config, hub::shard::links::Links, wire::extension::WindowBits};

    #[test]
    fn a_window_is_weighed_while_a_connection_has_it() {
        let mut config = Config::default();
        config.deflate.enabled = true;
        let links = Arc::new(Links::new(&config));
        let mut state = State::new(0, Arc::clone(&links));
        assert_eq!(links.forms(0, 100), 0);
        let windows = [WindowBits::MAX, WindowBits::MIN, WindowBits::MAX];
        let keys = windows.map(|window| state.insert(None, Compression::Shared(window)));
        assert_eq!(links.forms(0, 100), 2);
        assert_eq!(links.forms(1, 100), 0);
        state.remove(keys[0]);
        assert_eq!(links.forms(0, 100), 2);
        state.remove(keys[1]);
        assert_eq!(links.forms(0, 100), 1, "it has gone");
    }
}
