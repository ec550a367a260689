//! `POST /publish`: publishes one message, or a list of them.
//!
//! [`request`] parses a message that is to be published. [`items`] finds the items of a list, and
//! [`steps`] publishes them.

pub(super) mod items;
pub(super) mod request;
mod steps;

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use hyper::{HeaderMap, Request, StatusCode, body::Incoming, header::CONTENT_TYPE};
use serde::Serialize;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use self::{
    items::{ListForm, Search},
    request::PublishRequest,
    steps::{Outcome, Publisher},
};
use crate::{
    hub::{Held, Hub, shard::Shard},
    protocol::json::{error_line, json},
    server::{
        body,
        body::{Form, parse_in_time},
        encoding::elements,
        response,
        response::{Rejection, Response},
        turns,
    },
};

#[derive(Serialize)]
struct Published {
    /// Number of connections, or null if it was not known in time.
    queued: Option<usize>,
}

/// Publishes the message, or the messages, in the body of a request.
pub(super) async fn publish(
    hub: &Hub,
    shard: &Shard,
    request: &mut Request<Incoming>,
) -> Result<Response, Rejection> {
    let list_form = list_form(request.headers());
    let form = match list_form {
        ListForm::Array => Form::object_or_list(hub.config().limits.body_bytes(), LIST_BYTES),
        ListForm::Lines => Form::list(LIST_BYTES),
    };
    let (body, held) = body::receive(shard, request, form).await?;
    if body.is_list {
        publish_list(hub, shard, body.bytes, held, list_form).await
    } else {
        publish_one(hub, body.bytes, held).await
    }
}

/// Returns the form of the list that the body is, if it is one.
fn list_form(headers: &HeaderMap) -> ListForm {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let only = types.next().filter(|_| types.next().is_none());
    // Without its parameters (RFC 9110 §8.3.1).
    let essence = only.and_then(|only| elements(only, b';').next());
    let is_lines = |essence: &[u8]| {
        let mut names = NAMES_OF_LINES.iter();
        names.any(|name| essence.eq_ignore_ascii_case(name.as_bytes()))
    };
    if essence.is_some_and(is_lines) {
        ListForm::Lines
    } else {
        ListForm::Array
    }
}

/// Publishes the message that a JSON object asks for.
async fn publish_one(hub: &Hub, object: Bytes, held: Held) -> Result<Response, Rejection> {
    let config = hub.config();
    let limit_bytes = config.limits.message_bytes;
    let parse = move |object: &[u8]| PublishRequest::parse(object, limit_bytes);
    let request = parse_in_time(object, INLINE_BYTES, parse).await;
    let request = request.map_err(Rejection::or_lines)?;
    let (started, within) = (Instant::now(), config.timeouts.request);
    // While a shard has too much to deliver, the request waits for a permit, but not for ever. A
    // message that is rejected here was not published, and the client may try again.
    let permit = timeout(within, hub.acquire_permit(held.bytes())).await;
    let permit = permit.map_err(|_| Rejection::too_much())?;
    let message = hub.encode(request.message);
    let queued = hub.publish_now(&request.topics, message, request.user);
    drop((permit, held));
    let queued = counted(queued, time_to_count(started, within)).await;
    let mut response = response::json(&Published { queued });
    if queued.is_none() {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

/// Publishes the messages of a list. The response has the outcome of each item at its place.
async fn publish_list(
    hub: &Hub,
    shard: &Shard,
    list: Bytes,
    mut held: Held,
    form: ListForm,
) -> Result<Response, Rejection> {
    let (started, within) = (Instant::now(), hub.config().timeouts.request);
    let items = find_items(&list, form).await?;
    let outcome_bytes = items.len() * OUTCOME_BYTES;
    held.set(held.bytes() + outcome_bytes);
    let publisher = Publisher {
        hub,
        shard,
        held_bytes: held.bytes(),
        deadline: started + within,
    };
    let outcomes = publisher.publish(&list, items).await;
    drop(list);
    held.set(outcome_bytes);
    let answers = answers(outcomes, time_to_count(started, within)).await;
    let (media_type, answers) = match form {
        ListForm::Array => ("application/json", format!("[{}]\n", answers.join(","))),
        ListForm::Lines => (
            response::LINES,
            answers.into_iter().map(|line| line + "\n").collect(),
        ),
    };
    Ok(response::content(media_type, answers.into()))
}

/// Returns the answers to the items of a list. Messages that are not counted by the `deadline` are
/// answered without their count.
async fn answers(outcomes: Vec<Outcome>, deadline: Instant) -> Vec<String> {
    let mut answers = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        if answers.len() % ANSWERS_PER_TURN == ANSWERS_PER_TURN - 1 {
            turns::next_turn().await;
        }
        answers.push(match outcome {
            Outcome::Published(queued) => json(&Published {
                queued: counted(queued, deadline).await,
            }),
            Outcome::Refused(error) => error_line(&error),
        });
    }
    answers
}

/// Returns the places of the items of a list.
async fn find_items(list: &[u8], form: ListForm) -> Result<Vec<Range<usize>>, Rejection> {
    let mut search = Search::new(form);
    while search.step(list)? {
        turns::next_turn().await;
    }
    search.finish()
}

/// Returns the time until which messages are counted that are published now. From here on only
/// their count may be late. It gets the rest of the time `within` that the request may take, and at
/// least a tenth of it all, because it nearly always comes at once.
fn time_to_count(started: Instant, within: Duration) -> Instant {
    (started + within).max(Instant::now() + within / 10)
}

/// Returns the number of connections to which a message was queued, or `None` if it is not known in
/// time.
async fn counted(mut queued: oneshot::Receiver<usize>, deadline: Instant) -> Option<usize> {
    // The deadline may be over by now.
    if let Ok(queued) = queued.try_recv() {
        return Some(queued);
    }
    timeout_at(deadline, queued).await.ok()?.ok()
}

/// The media types of a list of lines. None is registered, and other programs use all of them. The
/// first one is that of an answer.
const NAMES_OF_LINES: [&str; 5] = [
    response::LINES,
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
];

/// Size of the largest list. Arbitrary: it is held as a whole, and 1,000 messages of 1 KiB fit.
const LIST_BYTES: usize = 1024 * 1024;

/// Bytes of memory that the outcome of an item takes, with its part of the response.
const OUTCOME_BYTES: usize = 512;

/// Size of the largest body of one message that a shard parses itself. Measured: 1.4 ms at most,
/// for a body that repeats one topic as often as it can. Plain text takes 0.03 ms.
const INLINE_BYTES: usize = 80 * 1024;

/// Number of answers that are written in a turn. Each takes up to 0.7 us.
const ANSWERS_PER_TURN: usize = 256;

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn lines_are_announced_by_one_content_type_with_or_without_parameters() {
        let form = |types: &[&'static str]| {
            let types = types.iter().map(|value| HeaderValue::from_static(value));
            list_form(&types.map(|value| (CONTENT_TYPE, value)).collect())
        };
        for one in [
            "application/x-ndjson",
            "Application/X-NDJSON",
            "application/ndjson",
            "application/jsonl",
            "application/x-jsonlines; charset=utf-8",
            "application/jsonlines",
            "application/x-ndjson; charset=utf-8",
            " application/x-ndjson ;x",
        ] {
            assert_eq!(form(&[one]), ListForm::Lines, "{one}");
        }
        for types in [
            &[][..],
            &["application/json"],
            &["application/x-www-form-urlencoded"],
            &["application/x-ndjsonx"],
            &["text/plain; application/x-ndjson"],
            &["application/json", "application/x-ndjson"],
        ] {
            assert_eq!(form(types), ListForm::Array, "{types:?}");
        }
    }
}
