//! The drain: every connection is ended in good order, within a time.

use std::{rc::Rc, time::Duration};

use tokio::time::timeout;

use crate::{
    disconnect::Disconnect,
    error::DrainTimeout,
    hub::{Hub, bounds::drain_time::DrainTime},
};

impl Hub {
    /// Ends every connection in good order: what was published is delivered, what is queued is
    /// written, and each gets a Close with 1012. Nothing more is read from them.
    ///
    /// Returns when no connection is left. A hub that was drained takes no connections any more.
    ///
    /// # Errors
    ///
    /// If connections are still open after `grace`.
    ///
    /// # Cancel safety
    ///
    /// Connections that are not closed yet stay as they are, but are no longer read.
    pub async fn drain(&self, grace: Duration) -> Result<(), DrainTimeout> {
        timeout(grace, async {
            let time = DrainTime(grace);
            let stopped = self.on_every_shard(move |shard, done| {
                shard.begin_drain(time);
                drop(done);
            });
            // Not for ever: the clients of the others are to be told, though a shard stands still.
            let _ = timeout(time.for_stopping(), stopped).await;
            // What was published before is in the inboxes already.
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
