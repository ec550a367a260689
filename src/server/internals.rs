//! What the server decides about a request, apart from the connection that it came on.
#![expect(
    clippy::missing_errors_doc,
    clippy::result_large_err,
    reason = "the error is the refusal that is to be looked at"
)]

use hyper::Request;

use crate::{
    config::Access,
    server::{api, origin, reply::Reply, routes, upgrade},
    topic::TopicName,
    wire::frame::Frame,
};

/// The opening handshake of a chat connection: its topics, or the refusal.
pub fn chat(request: &Request<()>) -> Result<Vec<TopicName>, Reply> {
    upgrade::check(request)
        .and_then(|()| upgrade::asked(request))
        .and_then(|asked| origin::check(request.headers(), asked.as_ref(), &Access::default()))
        .and_then(|()| routes::chat_topics(request.uri().query().unwrap_or_default()))
        .map(|topics| topics.to_vec())
        .map_err(Reply::from)
}

/// The body of a `POST /register`: user and topics, or the refusal.
pub fn registration(body: &[u8]) -> Result<(String, Vec<TopicName>), Reply> {
    api::registration(body)
        .map(|(user, topics)| (user.as_str().to_owned(), topics.to_vec()))
        .map_err(Reply::from)
}

/// The body of a `POST /publish`: topic, message and user, or the refusal.
pub fn publication(
    body: &[u8],
    limit_bytes: usize,
) -> Result<(TopicName, Frame, Option<String>), Reply> {
    api::publication(body, limit_bytes)
        .map(|(topic, frame, user)| (topic, frame, user.map(|user| user.as_str().to_owned())))
        .map_err(Reply::from)
}
