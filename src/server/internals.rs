//! What the server decides about a request, apart from the connection that it came on.
#![expect(
    clippy::missing_errors_doc,
    clippy::result_large_err,
    reason = "the error is the rejection that is to be looked at"
)]

use hyper::Request;

use crate::{
    config::Access,
    message::Message,
    server::{api, origin, response::Response, routes, upgrade},
    topic::TopicName,
};

/// The opening handshake of a chat connection: its topics, or the rejection.
pub fn chat(request: &Request<()>) -> Result<Vec<TopicName>, Response> {
    upgrade::check(request)
        .and_then(|()| upgrade::asked(request))
        .and_then(|asked| origin::check(request.headers(), asked.as_ref(), &Access::default()))
        .and_then(|()| routes::chat_topics(request.uri().query().unwrap_or_default()))
        .map(|topics| topics.to_vec())
        .map_err(Response::from)
}

/// The body of a `POST /register`: user and topics, or the rejection.
pub fn register_request(body: &[u8]) -> Result<(String, Vec<TopicName>), Response> {
    api::register_request(body)
        .map(|(user, topics)| (user.as_str().to_owned(), topics.to_vec()))
        .map_err(Response::from)
}

/// The body of a `POST /publish`: topic, message and user, or the rejection.
pub fn publish_request(
    body: &[u8],
    limit_bytes: usize,
) -> Result<(TopicName, Message, Option<String>), Response> {
    api::publish_request(body, limit_bytes)
        .map(|(topic, frame, user)| (topic, frame, user.map(|user| user.as_str().to_owned())))
        .map_err(Response::from)
}
