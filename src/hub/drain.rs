//! The drain of a hub: every connection gets the messages that are queued for it and a Close,
//! within a limited time.

use std::{rc::Rc, time::Duration};

use tokio::time::timeout;

use crate::{
    disconnect::Disconnect,
    error::DrainTimeout,
    hub::{Hub, bounds::drain_time::DrainTime},
};

impl Hub {
    /// Ends every connection in an orderly way: delivers what was published, writes what is queued,
    /// and sends each connection a Close with 1012. New messages are no longer read.
    ///
    /// Returns when no connection is left. A drained hub accepts no new connections.
    ///
    /// # Errors
    ///
    /// Connections are still open after `grace`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, connections that are not closed yet stay open, but no new messages
    /// are read from them.
    pub async fn drain(&self, grace: Duration) -> Result<(), DrainTimeout> {
        timeout(grace, async {
            let time = DrainTime(grace);
            let stopped = self.on_every_shard(move |shard, done| {
                shard.begin_drain(time);
                drop(done);
            });
            // Goes on after a limited time even if not all shards have stopped reading: if one
            // shard stands still, the clients of the other shards still get their Close.
            let _ = timeout(time.for_stopping(), stopped).await;
            // Messages that were published before the shards stopped reading are in the inboxes by
            // now, ahead of this work.
            self.on_every_shard(|shard, done| {
                let draining = Rc::clone(shard);
                shard.spawn(async move {
                    draining.end_all(Disconnect::Restarting).await;
                    draining.emptied().await;
                    drop(done);
                });
            })
            .await;
        })
        .await
        .map_err(|_| DrainTimeout)
    }
}
