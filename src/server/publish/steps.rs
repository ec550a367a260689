//! The publication of a list, in steps. Each step parses, encodes and publishes some of the items,
//! and between two steps the shard's other connections have their turns.

use std::{ops::Range, time, vec};

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
    server::{
        body::{parse_in_time, parsed_bytes},
        publish::request::PublishRequest,
        response::Rejection,
        turns,
    },
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

/// The progress of a list's publication.
#[derive(Debug)]
struct Progress {
    /// The items that are still to be published.
    items: vec::IntoIter<Range<usize>>,
    outcomes: Vec<Outcome>,
    /// False as soon as a permit has not come in time.
    may_publish: bool,
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
        let mut progress = Progress {
            outcomes: Vec::with_capacity(items.len()),
            items: items.into_iter(),
            may_publish: true,
        };
        while progress.items.len() > 0 {
            self.publish_some(list, &mut progress).await;
            if progress.items.len() > 0 {
                turns::next_turn().await;
            }
        }
        progress.outcomes
    }

    /// Parses the next items, until the step is over, and publishes them when a permit has come.
    async fn publish_some(&self, list: &Bytes, progress: &mut Progress) {
        let step = self.parse_some(list, &mut progress.items).await;
        let messages = step
            .iter()
            .flatten()
            .map(|ready| ready.message.held_bytes());
        let permit = self
            .hub
            .acquire_permit(self.held_bytes + messages.sum::<usize>());
        let permit = timeout_at(self.deadline, permit).await;
        // Not even if there is room again for a later item.
        progress.may_publish &= permit.is_ok();
        let may_publish = progress.may_publish;
        let outcomes = step.into_iter().map(|parsed| match parsed {
            Ok(ready) if may_publish => self.publish_now(ready),
            Ok(_) => Outcome::Refused(Rejection::too_much().to_string()),
            Err(error) => Outcome::Refused(error),
        });
        progress.outcomes.extend(outcomes);
        drop(permit);
    }

    /// Parses and encodes the next items, until the step is over.
    async fn parse_some(
        &self,
        list: &Bytes,
        items: &mut impl Iterator<Item = Range<usize>>,
    ) -> Vec<Result<Ready, String>> {
        let mut allowance = Allowance::since(time::Instant::now(), STEP);
        let mut step = Vec::new();
        while !allowance.is_spent()
            && let Some(item) = items.next()
        {
            let request = self.parse(list.slice(item)).await;
            let ready = request.map(|request| self.encode(request, &mut allowance));
            step.push(ready.map_err(|rejection| shortened(&rejection.to_string())));
            allowance.charge_elapsed();
        }
        step
    }

    /// Parses an item, unless it is larger than it could be by itself. While another thread parses
    /// it, the memory is charged that is made of it.
    async fn parse(&self, item: Bytes) -> Result<PublishRequest, Rejection> {
        let limits = &self.hub.config().limits;
        let (body_bytes, limit_bytes) = (limits.body_bytes(), limits.message_bytes);
        if item.len() > body_bytes {
            return Err(Rejection::ItemTooLarge {
                limit_bytes: body_bytes,
            });
        }
        let is_large = item.len() > INLINE_BYTES;
        let _held = is_large.then(|| self.shard.ledger().hold(parsed_bytes(item.len())));
        let parse = move |item: &[u8]| PublishRequest::parse(item, limit_bytes);
        parse_in_time(item, INLINE_BYTES, parse).await
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
    use std::{
        future::{Future, poll_fn},
        iter,
        pin::pin,
        rc::Rc,
        task::Poll,
    };

    use tokio::task::spawn_local;

    use super::*;
    use crate::{
        config::HubConfig, hub::handle::Handle, protocol::json::error_line, topic::TopicName,
    };

    /// Starts a hub with one shard.
    fn hub() -> Hub {
        let config = HubConfig {
            shards: 1.try_into().unwrap(),
            ..HubConfig::default()
        };
        Hub::start(&config).unwrap()
    }

    /// Runs `test` on the shard of a hub. Returns its result.
    async fn on_shard<T: Send + 'static, F: Future<Output = T> + 'static>(
        test: impl FnOnce(Hub, Rc<Shard>) -> F + Send + 'static,
    ) -> T {
        let hub = hub();
        let (done, result) = oneshot::channel();
        let here = hub.clone();
        hub.run_on(0, move |shard| {
            let test = Box::pin(test(here, Rc::clone(shard)));
            spawn_local(async move {
                let _ = done.send(test.await);
            });
        });
        result.await.unwrap()
    }

    /// Publishes a list of `count` messages to a topic with `subscribers`. Returns the number of
    /// turns that it takes.
    async fn turns_of(subscribers: usize, count: usize) -> usize {
        let hub = hub();
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

    /// Returns an item that another thread parses.
    fn large_item() -> String {
        let message = "x".repeat(INLINE_BYTES);
        format!(r#"{{"topic":"t","message":"{message}"}}"#)
    }

    // If there was room again, the last items were published without those before them.
    #[tokio::test]
    async fn behind_an_item_without_a_permit_nothing_is_published_though_there_is_room_again() {
        let outcomes = on_shard(async |hub: Hub, shard: Rc<Shard>| {
            let publisher = Publisher {
                hub: &hub,
                shard: &shard,
                held_bytes: 0,
                // Only a permit that is there at once comes in time.
                deadline: Instant::now(),
            };
            let mut progress = Progress {
                items: Vec::new().into_iter(),
                outcomes: Vec::new(),
                may_publish: true,
            };
            let item = Bytes::from(large_item());
            for is_full in [false, true, false] {
                let budget = hub.budget();
                let bytes = if is_full { budget.limit() } else { 0 };
                let _charge = budget.charge(bytes.try_into().unwrap());
                progress.items = iter::once(0..item.len()).collect::<Vec<_>>().into_iter();
                publisher.publish_some(&item, &mut progress).await;
            }
            progress.outcomes
        })
        .await;
        let [
            Outcome::Published(_),
            Outcome::Refused(second),
            Outcome::Refused(third),
        ] = &outcomes[..]
        else {
            panic!("{outcomes:?}");
        };
        let error = Rejection::too_much().to_string();
        assert_eq!((second, third), (&error, &error));
    }

    #[tokio::test]
    async fn an_item_is_charged_with_what_is_made_of_it_while_another_thread_parses_it() {
        // Bytes that the ledger may leave unreported.
        const UNREPORTED: u64 = 16 * 1024;
        let (expected, during, before, after) = on_shard(async |hub: Hub, shard: Rc<Shard>| {
            let publisher = Publisher {
                hub: &hub,
                shard: &shard,
                held_bytes: 0,
                deadline: Instant::now(),
            };
            let item = Bytes::from(large_item() + &" ".repeat(64 * 1024));
            let (parsed, before) = (parsed_bytes(item.len()), hub.budget().held());
            // The other thread may be done before this one has looked for the first time.
            let mut during = None;
            for _ in 0..1_000 {
                let mut parsing = pin!(publisher.parse(item.clone()));
                let poll = poll_fn(|cx| Poll::Ready(parsing.as_mut().poll(cx))).await;
                let held = hub.budget().held();
                if poll.is_pending() {
                    parsing.await.unwrap();
                    during = Some(held);
                    break;
                }
            }
            let during = during.expect("another thread parses it");
            (before + parsed as u64, during, before, hub.budget().held())
        })
        .await;
        assert!(during + UNREPORTED >= expected, "{during} {expected}");
        assert!(after <= before + UNREPORTED, "{before} {after}");
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
