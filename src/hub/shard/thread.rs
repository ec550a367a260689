//! The thread of a shard: its start, and what it does after the shard has panicked.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tracing::error;

use crate::hub::shard::{Item, Links, Shard};

/// Starts a shard on a thread of its own. Waits until the runtime of the thread is made, and
/// returns the error if that fails.
pub(in crate::hub) fn start(index: usize, links: Arc<Links>) -> io::Result<()> {
    let (started, wait) = sync_channel(1);
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            // Task polls between two polls of the sockets. Turns are short (0.1 ms) once a round is
            // over, so this many take at most 1.6 ms.
            .event_interval(16)
            // The blocking thread parses large request bodies, one at a time.
            .max_blocking_threads(1)
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let shard = Shard::new(index, links);
                let _ = started.send(Ok(()));
                run(&shard, runtime);
            }
            Err(error) => drop(started.send(Err(error))),
        }
    };
    thread::Builder::new()
        .name(format!("shard-{index}"))
        .spawn(run)?;
    wait.recv()
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

/// Runs a shard until it is stopped or has panicked. After a panic, closes its connections, and
/// discards the items of its inbox until the hub ends.
fn run(shard: &Rc<Shard>, runtime: LocalRuntime) {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(Rc::clone(shard).run());
    }));
    if ran.is_err() {
        shard.set_panicked();
    }
    if !shard.has_panicked() {
        return;
    }
    error!(shard = shard.index, "a shard has panicked");
    // The shard's data may be inconsistent, so this may panic, too. Sockets that it does not close
    // are closed when the runtime drops the shard's tasks.
    let _ = catch_unwind(AssertUnwindSafe(|| shard.close_connections()));
    // Drops the shard's tasks, whose destructors may panic, too.
    let _ = catch_unwind(AssertUnwindSafe(|| runtime.shutdown_background()));
    shard.shared.has_panicked.send_replace(true);
    discard_inbox(shard);
}

/// Drops all items that are pushed into the inbox of a shard that has panicked, until the hub ends.
/// A caller may wait on a channel for the outcome of an item. The item has the sender of the
/// channel, so dropping the item ends the wait. The inbox does not become full, so publishers do
/// not wait for it.
fn discard_inbox(shard: &Shard) {
    // This runtime has no I/O driver, which would need a file descriptor.
    let Ok(runtime) = Builder::new_current_thread().build() else {
        return;
    };
    runtime.block_on(async {
        loop {
            let items: VecDeque<Item> = shard.inbox().take_and_settle_all();
            if items.iter().any(|item| matches!(item, Item::Stop)) {
                return;
            }
            drop(items);
            shard.inbox().woken().await;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tokio::{task::spawn_local, time::timeout};

    use crate::{
        config::HubConfig,
        hub::{Hub, handle::Handle},
        message::Message,
        topic::TopicName,
    };

    /// Longest time that a test waits for anything.
    const TIMEOUT: Duration = Duration::from_secs(10);

    fn topic() -> TopicName {
        TopicName::new("cats").unwrap()
    }

    /// Returns a hub of which shard `panicking` has panicked, with a subscriber on that shard.
    async fn panicked_hub(shards: usize, panicking: usize) -> Hub {
        let config = HubConfig {
            shards: shards.try_into().unwrap(),
            ..HubConfig::default()
        };
        let hub = Hub::start(&config).unwrap();
        hub.run_on(panicking, |shard| {
            let handle = Handle::new(shard, None, None);
            handle.set_topics(&[topic()]);
            // Keeps the connection until the shard ends.
            spawn_local(async move {
                let _handle = handle;
                pending::<()>().await;
            });
        });
        hub.run_on(panicking, |_| panic!("on purpose"));
        timeout(TIMEOUT, hub.shard_panicked()).await.unwrap();
        hub
    }

    #[tokio::test]
    async fn the_hub_reports_a_shard_that_has_panicked() {
        for (shards, panicking) in [(1, 0), (2, 0), (2, 1)] {
            assert!(panicked_hub(shards, panicking).await.has_panicked());
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_its_shard() {
        let hub = Hub::start(&HubConfig::default()).unwrap();
        hub.run_on(0, |shard| {
            shard.spawn(async { panic!("on purpose") });
        });
        timeout(TIMEOUT, hub.shard_panicked()).await.unwrap();
    }

    #[tokio::test]
    async fn a_shard_that_has_panicked_gets_no_new_connections() {
        let hub = panicked_hub(2, 1).await;
        let next: Vec<_> = (0..3).map(|_| hub.next_shard()).collect();
        assert_eq!(next, [0, 0, 0]);
    }

    #[tokio::test]
    async fn publishers_and_the_drain_do_not_wait_for_a_shard_that_has_panicked() {
        let hub = panicked_hub(2, 0).await;
        // More bytes than the inbox of a running shard may hold before publishers wait.
        for _ in 0..3 {
            let message = Message::binary(&vec![0; 20 * 1024 * 1024]);
            let queued = timeout(TIMEOUT, hub.publish(&topic(), message)).await;
            assert_eq!(queued, Ok(0), "the only subscriber is gone");
        }
        assert_eq!(hub.drain(TIMEOUT).await, Ok(()));
    }
}
