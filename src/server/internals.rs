//! Decisions of the server about requests, as functions that need no connection, for `fuzz/`.
#![expect(
    clippy::missing_errors_doc,
    clippy::result_large_err,
    reason = "the error is the rejection, which the caller inspects"
)]

use std::ops::Range;

use hyper::Request;

use crate::{
    config::Access,
    message::Message,
    server::{
        api, origin,
        publish::{
            items::{ListForm, Search},
            request::PublishRequest,
        },
        query,
        response::Response,
        upgrade,
    },
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

/// Parses a message that is to be published. Returns topics, message and user, or the rejection.
pub fn publish_request(
    json: &[u8],
    limit_bytes: usize,
) -> Result<(Vec<TopicName>, Message, Option<String>), Response> {
    let request = PublishRequest::parse(json, limit_bytes).map_err(Response::from)?;
    let user = request.user.map(|user| user.as_str().to_owned());
    Ok((request.topics.to_vec(), request.message, user))
}

/// Returns the places of the items of a JSON array that are to be published.
pub fn array_items(list: &[u8]) -> Result<Vec<Range<usize>>, Response> {
    items(list, ListForm::Array)
}

/// Returns the places of the lines that are to be published.
pub fn line_items(list: &[u8]) -> Result<Vec<Range<usize>>, Response> {
    items(list, ListForm::Lines)
}

fn items(list: &[u8], form: ListForm) -> Result<Vec<Range<usize>>, Response> {
    let mut search = Search::new(form);
    while search.step(list).map_err(Response::from)? {}
    search.finish().map_err(Response::from)
}
