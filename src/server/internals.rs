//! Decisions of the server about requests, as functions that need no connection, for `fuzz/`.
#![expect(
    clippy::missing_errors_doc,
    clippy::result_large_err,
    reason = "the error is the rejection, which the caller inspects"
)]

use hyper::Request;

use crate::{
    config::Access,
    message::Message,
    server::{api, origin, query, response::Response, upgrade},
    topic::TopicName,
};

/// Checks the opening handshake of a chat connection. Returns its topics, or the rejection.
pub fn chat(request: &Request<()>) -> Result<Vec<TopicName>, Response> {
    upgrade::check(request)
        .and_then(|()| upgrade::requested_host(request))
        .and_then(|host| origin::check(request.headers(), host.as_ref(), &Access::default()))
        .and_then(|()| query::chat_topics(request.uri().query().unwrap_or_default()))
        .map(|topics| topics.to_vec())
        .map_err(Response::from)
}

/// Parses the body of a `POST /register`. Returns the user and the topics, or the rejection.
pub fn register_request(body: &[u8]) -> Result<(String, Vec<TopicName>), Response> {
    api::register_request(body)
        .map(|(user, topics)| (user.as_str().to_owned(), topics.to_vec()))
        .map_err(Response::from)
}

/// Parses the body of a `POST /publish`. Returns the topic, the message, and the user that the
/// message is for, if it is not for everybody; or the rejection.
pub fn publish_request(
    body: &[u8],
    limit_bytes: usize,
) -> Result<(TopicName, Message, Option<String>), Response> {
    api::publish_request(body, limit_bytes)
        .map(|(topic, frame, user)| (topic, frame, user.map(|user| user.as_str().to_owned())))
        .map_err(Response::from)
}
