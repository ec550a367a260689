//! A shard's thread: how it starts, and what it still does for a shard that has panicked.

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

/// Starts a shard on a thread of its own.
pub(in crate::hub) fn start(index: usize, links: Arc<Links>) -> io::Result<()> {
    let (started, wait) = sync_channel(1);
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            // Turns are short when a round is over; so many of them take no longer than it.
            .event_interval(16)
            // Large bodies of requests are parsed beside the shard, one at a time.
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

/// Runs a shard until it is stopped or has panicked.
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
    // What it owns may be in disorder. If its clients can't be told, their sockets are closed with
    // its tasks all the same.
    let _ = catch_unwind(AssertUnwindSafe(|| shard.break_off()));
    // Its tasks are dropped with it, which may panic, too.
    let _ = catch_unwind(AssertUnwindSafe(|| runtime.shutdown_background()));
    shard.shared.has_panicked.send_replace(true);
    drop_what_comes(shard);
}

/// Drops whatever reaches a shard that is no more, until the hub ends: whoever waits for it to be done
/// learns that it is not, and publishers are not held back.
fn drop_what_comes(shard: &Shard) {
    // Without a driver: it needs no descriptor.
    let Ok(runtime) = Builder::new_current_thread().build() else {
        return;
    };
    runtime.block_on(async {
        loop {
            let items: VecDeque<Item> = shard.inbox().empty();
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

    /// What has not come by then does not come.
    const TIMEOUT: Duration = Duration::from_secs(10);

    fn topic() -> TopicName {
        TopicName::new("cats").unwrap()
    }

    /// A hub with a subscriber on the shard that has panicked.
    async fn panicked_hub(shards: usize, panicking: usize) -> Hub {
        let config = HubConfig {
            shards: shards.try_into().unwrap(),
            ..HubConfig::default()
        };
        let hub = Hub::start(&config).unwrap();
        hub.run_on(panicking, |shard| {
            let handle = Handle::new(shard, None, None);
            handle.set_topics(&[topic()]);
            // Kept for as long as the shard is there.
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
    async fn a_shard_that_panics_is_told_of() {
        for (shards, panicking) in [(1, 0), (2, 0), (2, 1)] {
            assert!(panicked_hub(shards, panicking).await.has_panicked());
        }
    }

    #[tokio::test]
    async fn a_task_of_a_shard_that_panics_ends_the_shard() {
        let hub = Hub::start(&HubConfig::default()).unwrap();
        hub.run_on(0, |shard| {
            shard.spawn(async { panic!("on purpose") });
        });
        timeout(TIMEOUT, hub.shard_panicked()).await.unwrap();
    }

    #[tokio::test]
    async fn connections_pass_a_shard_by_that_has_panicked() {
        let hub = panicked_hub(2, 1).await;
        let next: Vec<_> = (0..3).map(|_| hub.next_shard()).collect();
        assert_eq!(next, [0, 0, 0]);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_shard_that_has_panicked() {
        let hub = panicked_hub(2, 0).await;
        // More than may wait for a shard that is there.
        for _ in 0..3 {
            let message = Message::binary(&vec![0; 20 * 1024 * 1024]);
            let queued = timeout(TIMEOUT, hub.publish(&topic(), message)).await;
            assert_eq!(queued, Ok(0));
        }
        assert_eq!(hub.drain(TIMEOUT).await, Ok(()));
    }
}
