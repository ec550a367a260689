//! The reasons why a connection could not be opened, and the decision whether another attempt to
//! connect is worth while.

use std::{io, time::Duration};

use framecast_wire::extension::InvalidAnswer;
use hyper::{
    HeaderMap, StatusCode,
    header::{HeaderName, RETRY_AFTER},
};

/// The reason why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("the server did not answer as a WebSocket server")]
    Exchange(#[source] hyper::Error),
    #[error("the server's Sec-WebSocket-Extensions does not answer what was offered")]
    Extensions(#[source] InvalidAnswer),
    #[error("the server did not answer as a WebSocket server (its 101 lacks `{header}: {value}`)")]
    NotUpgraded {
        header: HeaderName,
        value: &'static str,
    },
    #[error("the server answered {status}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Refused {
        status: StatusCode,
        reason: String,
        /// The time that the server asks the client to wait for before it tries again.
        retry_after: Option<Duration>,
    },
    #[error("this URL cannot be requested")]
    Request(#[source] hyper::http::Error),
    /// There was no connection within this time.
    #[error("no connection within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the server accepted what was not offered ({header})")]
    Unoffered { header: HeaderName },
    #[error("cannot connect")]
    Unreachable(#[source] io::Error),
    #[error("the server's answer does not belong to this handshake (wrong Sec-WebSocket-Accept)")]
    WrongAccept,
}

impl OpenError {
    /// Returns true if another attempt to connect would fail in the same way.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Refused { status, .. } => is_final_status(*status) && !self.is_in_conflict(),
            // A server that does not speak HTTP won't the next time. A response that was cut off
            // may be complete the next time.
            Self::Exchange(error) => error.is_parse(),
            Self::Extensions(_)
            | Self::NotUpgraded { .. }
            | Self::Request(_)
            | Self::Unoffered { .. }
            | Self::WrongAccept => true,
            Self::TimedOut(_) | Self::Unreachable(_) => false,
        }
    }

    /// Returns true if another handshake for the same registration is under way: a 409 with a
    /// `Retry-After`. A 409 without one is final.
    pub(super) fn is_in_conflict(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::CONFLICT)
            && self.retry_after().is_some()
    }

    /// Returns the time that the server asks the client to wait for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Returns the time in `Retry-After` (RFC 9110 §10.2.3), if it is a number of seconds. A date is
/// ignored.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().map(Duration::from_secs).ok()
}

/// Returns true if a server that has answered `status`, which is any but 101, would answer the same
/// to another attempt to connect.
fn is_final_status(status: StatusCode) -> bool {
    // Success and redirection are final, too: they don't come from a WebSocket server.
    let is_temporary = status.is_server_error()
        || status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::TOO_MANY_REQUESTS;
    !is_temporary
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_refusal_is_final_unless_its_status_is_temporary() {
        let is_final = |status| is_final_status(StatusCode::from_u16(status).unwrap());
        for status in [200, 301, 400, 401, 403, 404, 409, 426] {
            assert!(is_final(status), "{status}");
        }
        for status in [408, 429, 500, 502, 503] {
            assert!(!is_final(status), "{status}");
        }
    }

    #[test]
    fn a_conflict_is_temporary_if_the_server_says_when_to_try_again() {
        let refused = |status, after: &[&'static str]| {
            let headers = after.iter().map(|after| HeaderValue::from_static(after));
            let headers = headers.map(|after| (RETRY_AFTER, after)).collect();
            let error = OpenError::Refused {
                status,
                reason: String::new(),
                retry_after: retry_after(&headers),
            };
            (error.is_final(), error.retry_after())
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(refused(StatusCode::CONFLICT, &["1"]), (false, seconds(1)));
        assert_eq!(refused(StatusCode::CONFLICT, &[]), (true, None));
        let date = "Fri, 31 Dec 1999 23:59:59 GMT";
        for other in [date, "-1", "1.5", "", "99999999999999999999"] {
            assert_eq!(refused(StatusCode::CONFLICT, &[other]), (true, None));
        }
        assert_eq!(refused(StatusCode::NOT_FOUND, &["1"]), (true, seconds(1)));
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(refused(busy, &["120"]), (false, seconds(120)));
    }
}
