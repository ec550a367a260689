//! The queue of messages for standard output, which knows whether all of them are written.

use std::{
    mem,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    time::{sleep, sleep_until},
};

/// Capacity of the queue, in messages. Arbitrary: the thread that prints them flushes all queued
/// messages at once, and a longer queue would hardly save flushes. While the queue is full, the
/// socket is not read, so that TCP's flow control slows the server down.
const QUEUED_MESSAGES: usize = 64;

/// Time between two looks at the queue. Arbitrary: short beside the times that are measured by it.
const STEP: Duration = Duration::from_millis(50);

/// The state of the messages that were queued.
#[derive(Debug)]
struct Progress {
    unwritten: usize,
    /// The time of the last write, or of the start.
    written_at: Instant,
}

/// The sender of messages, in the form in which they are printed.
#[derive(Clone, Debug)]
pub(crate) struct MessageQueue {
    messages: mpsc::Sender<Vec<u8>>,
    progress: watch::Sender<Progress>,
}

/// The receiver of the messages, for the thread that writes them.
#[derive(Debug)]
pub(super) struct QueuedMessages {
    messages: mpsc::Receiver<Vec<u8>>,
    progress: watch::Sender<Progress>,
    /// Number of messages that were received, and are not written yet.
    taken: usize,
}

/// Opens a queue.
pub(super) fn open() -> (MessageQueue, QueuedMessages) {
    let (sender, receiver) = mpsc::channel(QUEUED_MESSAGES);
    let progress = watch::Sender::new(Progress {
        unwritten: 0,
        written_at: Instant::now(),
    });
    let queue = MessageQueue {
        messages: sender,
        progress: progress.clone(),
    };
    let queued = QueuedMessages {
        messages: receiver,
        progress,
        taken: 0,
    };
    (queue, queued)
}

impl MessageQueue {
    /// Queues a message. Waits while the queue is full. Drops the message if nothing can be written
    /// any more.
    ///
    /// # Cancel safety
    ///
    /// If it is cancelled, the message is not queued.
    pub(crate) async fn send(&self, message: Vec<u8>) {
        if let Ok(permit) = self.messages.reserve().await {
            self.progress
                .send_modify(|progress| progress.unwritten += 1);
            permit.send(message);
        }
    }

    /// Queues a message. Returns it if the queue is full.
    pub(super) fn try_send(&self, message: Vec<u8>) -> Option<Vec<u8>> {
        match self.messages.try_reserve() {
            Ok(permit) => {
                self.progress
                    .send_modify(|progress| progress.unwritten += 1);
                permit.send(message);
                None
            }
            Err(mpsc::error::TrySendError::Full(())) => Some(message),
            Err(mpsc::error::TrySendError::Closed(())) => None,
        }
    }

    /// Waits until nothing can be written any more.
    pub(super) async fn closed(&self) {
        self.messages.closed().await;
    }

    /// Returns true if nothing can be written any more.
    pub(super) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// Waits until every message is written, and none was for `time`. Time before `since` does not
    /// count.
    pub(super) async fn silence(&self, since: Instant, time: Duration) {
        let mut progress = self.progress.subscribe();
        loop {
            let written = progress.wait_for(|progress| progress.unwritten == 0).await;
            // Does not fail: this is a sender itself.
            let Ok(written_at) = written.map(|progress| progress.written_at) else {
                return;
            };
            sleep_until((since.max(written_at) + time).into()).await;
            let progress = progress.borrow();
            if progress.unwritten == 0 && progress.written_at == written_at {
                return;
            }
        }
    }

    /// Waits until `time` has passed in which the queue had room.
    pub(super) async fn time_with_room(&self, mut time: Duration) {
        let is_full = || !self.is_closed() && self.messages.capacity() == 0;
        while !time.is_zero() {
            let was_full = is_full();
            let step = time.min(STEP);
            sleep(step).await;
            if !was_full && !is_full() {
                time -= step;
            }
        }
    }
}

impl QueuedMessages {
    /// Receives the next message. Returns `None` if there will be none.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.blocking_recv();
        self.taken += usize::from(message.is_some());
        message
    }

    /// Receives a message that is queued already.
    pub(super) fn next_queued(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.try_recv().ok();
        self.taken += usize::from(message.is_some());
        message
    }

    /// Notes that every message that was received is written.
    pub(super) fn note_written(&mut self) {
        let taken = mem::take(&mut self.taken);
        self.progress.send_modify(|progress| {
            progress.unwritten -= taken;
            progress.written_at = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_the_queue_is_full_does_not_count() {
        let (queue, mut queued) = open();
        for _ in 0..QUEUED_MESSAGES {
            queue.send(Vec::new()).await;
        }
        let mut time = Box::pin(queue.time_with_room(SHORT));
        assert!(timeout(LONG, &mut time).await.is_err());
        queued.next_queued().unwrap();
        assert!(timeout(SHORT * 2, &mut time).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_silence_while_a_message_waits_to_be_written() {
        let (queue, mut queued) = open();
        let begun = Instant::now();
        queue.send(Vec::new()).await;
        assert!(timeout(LONG, queue.silence(begun, SHORT)).await.is_err());
        // Taken, and still not written.
        queued.next_queued().unwrap();
        assert!(timeout(LONG, queue.silence(begun, SHORT)).await.is_err());
        queued.note_written();
        assert!(timeout(LONG, queue.silence(begun, SHORT)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_not_queued_in_the_end_does_not_end_the_silence() {
        let (queue, mut queued) = open();
        for _ in 0..QUEUED_MESSAGES {
            queue.send(Vec::new()).await;
        }
        assert!(timeout(SHORT, queue.send(Vec::new())).await.is_err());
        while queued.next_queued().is_some() {}
        queued.note_written();
        let silence = queue.silence(Instant::now(), SHORT);
        assert!(timeout(LONG, silence).await.is_ok());
    }
}
