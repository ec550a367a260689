//! Responses, among them rejections: a status and one line of JSON that says why.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    StatusCode,
    header::{
        ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue,
        RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::Serialize;

use crate::{
    disconnect::Disconnect,
    hub::bounds::budget::ShortOfMemory,
    metrics::incidents::{Incident, Incidents},
    protocol,
};

/// A response, with all bytes of its body.
pub type Response = hyper::Response<Full<Bytes>>;

/// The reason why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Rejection {
    #[error("another handshake for this registration is under way; try again")]
    Arriving,
    /// The request is malformed. The text says why.
    #[error("{0}")]
    BadRequest(String),
    #[error("the body is over {limit_bytes} bytes")]
    BodyTooLarge { limit_bytes: usize },
    /// The body is not framed as HTTP requires, for the reason in the text.
    #[error("the body can't be read: {0}")]
    BodyUnreadable(String),
    /// The body is in another character encoding than UTF-8.
    #[error("Content-Type: only charset=utf-8 is understood")]
    Charset,
    /// The body is compressed, or encoded in another way.
    #[error("Content-Encoding: only identity is understood")]
    ContentCoding,
    /// The request was sent by a page of this origin.
    #[error("pages of this origin may not use this server")]
    ForeignOrigin(String),
    /// The request is for this host name, which is none of the server's own.
    #[error("this server does not answer to {0}; start it with --allow-host if it should")]
    ForeignHost(String),
    #[error("the item is over {limit_bytes} bytes")]
    ItemTooLarge { limit_bytes: usize },
    #[error("{field}: over {limit_bytes} bytes")]
    MessageTooLarge {
        field: &'static str,
        limit_bytes: usize,
    },
    #[error("only {0} here")]
    Method(&'static str),
    #[error("no such registration; it may have expired")]
    NoRegistration,
    #[error("no such resource")]
    NotFound,
    #[error("{0}")]
    Overloaded(String),
    #[error("the request took too long")]
    Timeout,
    #[error("more than {most} items")]
    TooManyItems { most: usize },
    /// Something follows the JSON object that the body should be.
    #[error("{0}")]
    Trailing(String),
    #[error("Transfer-Encoding: only chunked is understood")]
    TransferCoding,
    #[error("a WebSocket upgrade is required")]
    UpgradeRequired,
    #[error("WebSocket version 13 is required")]
    VersionRequired,
}

impl Rejection {
    pub(crate) fn bad_request(why: &impl ToString) -> Self {
        Self::BadRequest(why.to_string())
    }

    /// Adds to the error of a body with more than one object that such a body may be meant as lines.
    pub(crate) fn or_lines(self) -> Self {
        match self {
            Self::Trailing(error) => {
                Self::BadRequest(format!("{error}; lines need Content-Type: {LINES}"))
            }
            other => other,
        }
    }

    /// Rejects a publication that has not got a permit in time.
    pub(crate) fn too_much() -> Self {
        Self::Overloaded("too much is to be delivered; not published".into())
    }

    pub(crate) fn shutting_down() -> Self {
        Self::Overloaded("the server is shutting down".into())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Arriving => StatusCode::CONFLICT,
            Self::BadRequest(_) | Self::BodyUnreadable(_) | Self::Trailing(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTooLarge { .. }
            | Self::ItemTooLarge { .. }
            | Self::MessageTooLarge { .. }
            | Self::TooManyItems { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Charset | Self::ContentCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ForeignOrigin(_) => StatusCode::FORBIDDEN,
            Self::ForeignHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoRegistration | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::UpgradeRequired | Self::VersionRequired => StatusCode::UPGRADE_REQUIRED,
        }
    }

    /// Returns the reason for the log. It has nothing of the request but a host or an origin, which
    /// an operator may want to allow: a part of a body or of a path could be a secret.
    fn logged(&self) -> String {
        match self {
            Self::BadRequest(_) | Self::Trailing(_) => String::new(),
            Self::BodyUnreadable(_) => "the body can't be read".into(),
            Self::ForeignOrigin(origin) => format!("{self}: {origin}"),
            _ => self.to_string(),
        }
    }

    /// Returns the headers that the status asks for (RFC 9110 §15.5.6, §15.5.16, §15.5.22; RFC 6455
    /// §4.4).
    fn headers(&self) -> Vec<(HeaderName, &'static str)> {
        match self {
            Self::ContentCoding => vec![(ACCEPT_ENCODING, "identity")],
            Self::Method(allowed) => vec![(ALLOW, allowed)],
            Self::UpgradeRequired | Self::VersionRequired => vec![
                (UPGRADE, "websocket"),
                (CONNECTION, "Upgrade"),
                (SEC_WEBSOCKET_VERSION, "13"),
            ],
            Self::Arriving | Self::Overloaded(_) => vec![(RETRY_AFTER, "1")],
            // The connection cannot be used again, because the rest of the body is not read, or its
            // end cannot be found.
            Self::BodyTooLarge { .. }
            | Self::BodyUnreadable(_)
            | Self::Timeout
            | Self::TransferCoding => vec![(CONNECTION, "close")],
            _ => Vec::new(),
        }
    }
}

/// Makes the rejection of an upgrade request from the reason why its connection could not be made.
impl From<Disconnect> for Rejection {
    fn from(reason: Disconnect) -> Self {
        match reason {
            Disconnect::Overloaded => ShortOfMemory.into(),
            Disconnect::Unregistered => Self::NoRegistration,
            _ => Self::shutting_down(),
        }
    }
}

impl From<ShortOfMemory> for Rejection {
    fn from(short: ShortOfMemory) -> Self {
        Self::Overloaded(short.to_string())
    }
}

impl From<Rejection> for Response {
    fn from(rejection: Rejection) -> Self {
        let mut response = line(protocol::json::error_line(&rejection.to_string()));
        let mut reason = rejection.logged();
        reason.truncate(reason.floor_char_boundary(MAX_LOGGED_BYTES));
        response.extensions_mut().insert(Refused { reason });
        *response.status_mut() = rejection.status();
        for (name, value) in rejection.headers() {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// Marks a response as a rejection, for the log.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    reason: String,
}

/// Notes the response to `peer` as an incident, if it is a rejection.
pub(crate) fn note_refusal(response: &Response, incidents: &Incidents, peer: SocketAddr) {
    if let Some(refused) = response.extensions().get::<Refused>() {
        let incident = Incident::Refused(response.status().as_u16());
        incidents.note(incident, Some(peer), &refused.reason);
    }
}

/// Greatest length of a reason in the log, in bytes. The host in it may have 16 KiB.
const MAX_LOGGED_BYTES: usize = 256;

/// Returns a 200 with `value` as JSON on one line.
pub(crate) fn json(value: &impl Serialize) -> Response {
    line(protocol::json::json(value))
}

/// Returns a 503 with `value` as JSON on one line, and with a `Retry-After`.
pub(crate) fn unavailable(value: &impl Serialize) -> Response {
    let mut response = json(value);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Makes hyper close the HTTP connection after this response.
pub(crate) fn end_connection(response: &mut Response) {
    let headers = response.headers_mut();
    if headers
        .get_all(CONNECTION)
        .iter()
        .all(|value| value != "close")
    {
        // Appended, because the header may contain `Upgrade` already.
        headers.append(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn line(json: String) -> Response {
    content("application/json", (json + "\n").into())
}

/// Returns a 200 with `body`, and with headers that forbid caches to store it.
pub(crate) fn content(media_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Full::new(body));
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns a response without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// The media type of JSON on lines.
pub(crate) const LINES: &str = "application/x-ndjson";

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the reason with which a rejection is logged.
    fn logged(rejection: Rejection) -> String {
        let response = Response::from(rejection);
        response
            .extensions()
            .get::<Refused>()
            .unwrap()
            .reason
            .clone()
    }

    #[test]
    fn the_log_has_the_origin_or_host_that_is_refused_and_nothing_else_of_a_request() {
        let origin = Rejection::ForeignOrigin("https://a.example".into());
        assert!(logged(origin).ends_with(" may not use this server: https://a.example"));
        let host = Rejection::ForeignHost("a.example".into());
        assert!(logged(host).contains(" a.example;"));
        let quoted = "message: invalid type: string \"a secret\"";
        assert_eq!(logged(Rejection::bad_request(&quoted)), "");
        let unreadable = Rejection::BodyUnreadable(quoted.into());
        assert_eq!(logged(unreadable), "the body can't be read");
    }

    #[test]
    fn a_long_host_is_cut_off_in_the_log_between_two_characters() {
        let host = Rejection::ForeignHost("\u{e9}".repeat(8000));
        let reason = logged(host);
        assert!((250..=256).contains(&reason.len()), "{}", reason.len());
        assert!(reason.ends_with('\u{e9}'), "{reason}");
    }

    #[test]
    fn a_client_whose_registration_is_being_taken_over_is_told_to_try_again() {
        let response = Response::from(Rejection::Arriving);
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers().get(CONNECTION), None, "it may go on");
    }
}
