//! Responses, among them rejections: a status and one line of JSON that says why.

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

use crate::{disconnect::Disconnect, hub::bounds::budget::ShortOfMemory, protocol};

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
    #[error("pages of this origin may not use this server")]
    ForeignOrigin,
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
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::ForeignHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoRegistration | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::UpgradeRequired | Self::VersionRequired => StatusCode::UPGRADE_REQUIRED,
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
        *response.status_mut() = rejection.status();
        for (name, value) in rejection.headers() {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

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

    #[test]
    fn a_client_whose_registration_is_being_taken_over_is_told_to_try_again() {
        let response = Response::from(Rejection::Arriving);
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers().get(CONNECTION), None, "it may go on");
    }
}
