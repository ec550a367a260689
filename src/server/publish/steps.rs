//! The publication of a list, in steps. Each step parses, encodes and publishes some of the items,
//! and between two steps the shard's other connections have their turns.

use std::{ops::Range, time};

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    hub::{
        EncodedMessage, Hub,
        bounds::allowance::{Allowance, STEP_NANOSECONDS},
        shard::Shard,
    },
    server::{body::parse_in_time, publish::request::PublishRequest, response::Rejection, turns},
    topic::list::Topics,
    user::UserId,
};

/// The publisher of a list.
#[derive(Debug)]
pub(super) struct Publisher<'a> {
    pub(super) hub: &'a Hub,
    pub(super) shard: &'a Shard,
    /// Bytes that are charged for the list, besides its encoded messages.
    pub(super) held_bytes: usize,
    /// The time until which the list may wait for permits.
    pub(super) deadline: Instant,
}

/// The outcome of an item.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The item was published. The receiver gets the number of connections that it was queued to.
    Published(oneshot::Receiver<usize>),
    /// The item was not published, for the reason in the text.
    Refused(String),
}

/// A message that is ready to be published.
#[derive(Debug)]
struct Ready {
    topics: Topics,
    message: EncodedMessage,
    user: Option<UserId>,
}

impl Publisher<'_> {
    /// Publishes the `items` of `list` in their order, except those that are wrong. Returns the
    /// outcome of each. If a permit does not come in time, nothing more is published: a client that
    /// sends the rest again keeps the order.
    pub(super) async fn publish(&self, list: &Bytes, items: Vec<Range<usize>>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(items.len());
        let mut items = items.into_iter();
        let mut may_publish = true;
        while items.len() > 0 {
            let step = self.parse_some(list, &mut items).await;
            let messages = step
                .iter()
                .flatten()
                .map(|ready| ready.message.held_bytes());
            let permit = self
                .hub
                .acquire_permit(self.held_bytes + messages.sum::<usize>());
            let permit = timeout_at(self.deadline, permit).await;
            may_publish &= permit.is_ok();
            outcomes.extend(step.into_iter().map(|parsed| match parsed {
                Ok(ready) if may_publish => self.publish_now(ready),
                Ok(_) => Outcome::Refused(Rejection::too_much().to_string()),
                Err(error) => Outcome::Refused(error),
            }));
            drop(permit);
            if items.len() > 0 {
                turns::next_turn().await;
            }
        }
        outcomes
    }

    /// Parses and encodes the next items, until the step is over.
    async fn parse_some(
        &self,
        list: &Bytes,
        items: &mut impl Iterator<Item = Range<usize>>,
    ) -> Vec<Result<Ready, String>> {
        let mut allowance = Allowance::since(time::Instant::now(), STEP);
        let limit_bytes = self.hub.config().limits.message_bytes;
        let parse = move |item: &[u8]| PublishRequest::parse(item, limit_bytes);
        let mut step = Vec::new();
        while !allowance.is_spent()
            && let Some(item) = items.next()
        {
            let request = parse_in_time(list.slice(item), INLINE_BYTES, parse).await;
            let ready = request.map(|request| self.encode(request, &mut allowance));
            step.push(ready.map_err(|rejection| shortened(&rejection.to_string())));
            allowance.charge_elapsed();
        }
        step
    }

    /// Encodes a message, and charges the step for its publication and its delivery.
    fn encode(&self, request: PublishRequest, allowance: &mut Allowance) -> Ready {
        let PublishRequest {
            topics,
            message,
            user,
        } = request;
        let message = self.hub.encode(message);
        let delivery = self.hub.delivery_cost(self.shard, &topics, &message);
        allowance.charge_later(PUBLISH + topics.len() as u64 * PUBLISH_TO_TOPIC + delivery);
        Ready {
            topics,
            message,
            user,
        }
    }

    fn publish_now(&self, ready: Ready) -> Outcome {
        let queued = self
            .hub
            .publish_now(&ready.topics, ready.message, ready.user);
        Outcome::Published(queued)
    }
}

/// Shortens an error, which may quote the item, to [`ERROR_BYTES`] of JSON.
fn shortened(error: &str) -> String {
    let mut bytes = 0;
    let mut characters = error.char_indices();
    let cut = characters.find(|(_, character)| {
        bytes += match character {
            '"' | '\\' => 2,
            control if control.is_control() => 6,
            other => other.len_utf8(),
        };
        bytes > ERROR_BYTES
    });
    match cut {
        Some((at, _)) => format!("{}…", &error[..at]),
        None => error.to_owned(),
    }
}

/// The time of a step: half of a turn, because the last item of a step may take nearly as long.
const STEP: time::Duration = time::Duration::from_nanos(STEP_NANOSECONDS / 2);

/// Size of the largest item that a shard parses itself: it takes at most 0.2 ms, if it repeats one
/// topic as often as it can.
const INLINE_BYTES: usize = 12 * 1024;

/// The cost of publishing a message, in nanoseconds, and that for each of its topics.
const PUBLISH: u64 = 300;
const PUBLISH_TO_TOPIC: u64 = 150;

/// Greatest size of the error of an item. Arbitrary: enough for all that is not quoted.
const ERROR_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, rc::Rc};

    use tokio::task::spawn_local;

    use super::*;
    use crate::{
        config::HubConfig, hub::handle::Handle, protocol::json::error_line, topic::TopicName,
    };

    /// Publishes a list of `count` messages to a topic with `subscribers`. Returns the number of
    /// turns that it takes.
    async fn turns_of(subscribers: usize, count: usize) -> usize {
        let config = HubConfig {
            shards: 1.try_into().unwrap(),
            ..HubConfig::default()
        };
        let hub = Hub::start(&config).unwrap();
        let (done, result) = oneshot::channel();
        let publishing = hub.clone();
        hub.run_on(0, move |shard| {
            let shard = Rc::clone(shard);
            let topics = [TopicName::new("t").unwrap()];
            let handles = (0..subscribers).map(|_| {
                let handle = Handle::new(&shard, None, None);
                handle.set_topics(&topics);
                handle
            });
            let handles: Vec<Handle> = handles.collect();
            spawn_local(async move {
                let item = r#"{"topic":"t","message":"x"}"#;
                let publisher = Publisher {
                    hub: &publishing,
                    shard: &shard,
                    held_bytes: 0,
                    deadline: Instant::now() + time::Duration::from_secs(60),
                };
                let list = Bytes::from(item.repeat(count));
                let items = (0..count).map(|at| at * item.len()..(at + 1) * item.len());
                let mut publication = pin!(publisher.publish(&list, items.collect()));
                let mut polls = 0;
                let counted = poll_fn(|cx| {
                    polls += 1;
                    publication.as_mut().poll(cx)
                });
                let outcomes = turns::in_turns(&shard, counted).await;
                assert!(
                    outcomes
                        .iter()
                        .all(|each| matches!(each, Outcome::Published(_)))
                );
                drop(handles);
                let _ = done.send((outcomes.len(), polls));
            });
        });
        let (outcomes, turns) = result.await.unwrap();
        assert_eq!(outcomes, count);
        turns
    }

    // The time of a turn is half a millisecond.
    #[tokio::test]
    async fn a_list_takes_more_turns_the_more_deliveries_it_causes() {
        assert_eq!(turns_of(0, 1).await, 1);
        // 30 us of deliveries for each message.
        let turns = turns_of(1_000, 100).await;
        assert!(turns >= 10, "{turns}");
    }

    #[test]
    fn an_error_that_quotes_a_long_item_is_shortened() {
        assert_eq!(shortened("unknown field `x`"), "unknown field `x`");
        for character in ['x', 'é', '"', '\u{7f}', '\u{9b}', '\u{1F600}'] {
            let all = String::from(character).repeat(1_000);
            let line = error_line(&shortened(&all));
            assert!(line.len() <= ERROR_BYTES + 20, "{line}");
            assert!(line.len() > ERROR_BYTES - 10, "{line}");
            assert!(line.ends_with("…\"}"), "{line}");
        }
        let most = "x".repeat(ERROR_BYTES);
        assert_eq!(shortened(&most), most);
    }
}
