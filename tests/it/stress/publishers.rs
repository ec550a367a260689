//! The clients that publish.

use std::sync::Arc;

use framecast_test_support::frames::{first_text, last, masked, middle, pong, text};
use tokio::{io::AsyncWriteExt, net::tcp::OwnedWriteHalf};

use crate::stress::{
    plan::{Publisher, Way},
    shared::{Latch, Phase, Report, Shared},
    socket::{Frames, Socket},
};

impl Shared {
    /// Publishes in the chat, and receives its own messages like all subscribers.
    pub(super) async fn chat(
        self: Arc<Self>,
        index: usize,
        connected: Latch,
        published: Latch,
    ) -> Report {
        let topics = &self.plan.publishers[index].topics;
        let (Socket { mut frames, writer }, mut follower) = self.enter(topics, "").await;
        follower.compare_orders(topics, true);
        drop(connected);
        let writing = tokio::spawn(Arc::clone(&self).write(index, writer, published));
        while !follower.is_at_end() {
            if follower.take(frames.text().await) == Some(index) {
                self.publishers[index].count_returned();
            }
        }
        let writer = writing.await.unwrap();
        Socket { frames, writer }.close().await;
        Report::new(follower, 0)
    }

    /// Sends the messages in batches, of which two may be under way.
    async fn write(
        self: Arc<Self>,
        index: usize,
        mut writer: OwnedWriteHalf,
        published: Latch,
    ) -> OwnedWriteHalf {
        self.wait_for_phase(Phase::Publishing).await;
        let publisher = &self.plan.publishers[index];
        let progress = &self.publishers[index];
        let mut sent = 0;
        while sent < publisher.messages {
            let end = publisher.messages.min(sent + publisher.batch);
            let batch: Vec<u8> = (sent..end)
                .flat_map(|number| publisher.wire(index, number))
                .collect();
            progress.set_begun(end);
            writer.write_all(&batch).await.unwrap();
            progress.wait_for_returned(sent).await;
            sent = end;
        }
        progress.wait_for_returned(sent).await;
        drop(published);
        writer
    }

    /// Publishes over HTTP, on one connection. Sends a message when the server has answered that
    /// the one before is queued to all subscribers.
    pub(super) async fn post(self: Arc<Self>, index: usize, published: Latch) {
        self.wait_for_phase(Phase::Publishing).await;
        let publisher = &self.plan.publishers[index];
        let progress = &self.publishers[index];
        let mut http = Socket::dial(self.server).await;
        for number in 0..publisher.messages {
            progress.set_begun(number + 1);
            http.send(&publisher.wire(index, number)).await;
            read_queued(&mut http.frames).await;
            progress.set_queued(number + 1);
        }
        drop(published);
    }
}

impl Publisher {
    /// Returns the bytes in which message `number` of publisher `index` is sent.
    fn wire(&self, index: usize, number: u32) -> Vec<u8> {
        let message = self.message(index, number);
        match self.way {
            Way::Chat => masked([text(&message)]),
            Way::Fragments => fragments(message.as_bytes()),
            Way::Post => {
                let topic = self.topics[0];
                let body = format!("{{\"topic\":\"t{topic}\",\"message\":\"{message}\"}}");
                let length = body.len();
                let head = "POST /publish HTTP/1.1\r\nHost: a.localhost\r\nContent-Length:";
                format!("{head} {length}\r\n\r\n{body}").into_bytes()
            }
        }
    }
}

/// Returns the bytes of a message in three fragments, with a Pong after the first. The last digit
/// of the message's number determines the length of the second fragment: 0, 1 or 2 bytes.
fn fragments(message: &[u8]) -> Vec<u8> {
    let (first, rest) = message.split_at(message.len() / 3);
    let (second, third) = rest.split_at(usize::from(message[11] % 3));
    masked([first_text(first), pong(""), middle(second), last(third)])
}

/// Reads the response to a publication, and asserts that the message is queued to all subscribers.
async fn read_queued(frames: &mut Frames) {
    let head = frames.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let body = frames.body(length.unwrap().parse().unwrap()).await;
    assert!(body.starts_with(b"{\"queued\":"));
}
