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
        /// The time in `Retry-After`. `None` if there is no such header.
        retry_after: Option<Duration>,
    },
    #[error("the server's 101 has more than one {header}")]
    Repeated { header: HeaderName },
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
            | Self::Repeated { .. }
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

    /// Returns true if a client that nobody watches is to try again, although it had no connection
    /// yet and has tried again `attempts` times already.
    pub(super) fn is_worth_another_attempt(&self, attempts: u32) -> bool {
        self.is_in_conflict() && attempts < MAX_CONFLICTS
    }

    /// Returns the time that the server asks the client to wait for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Returns the time in `Retry-After` (RFC 9110 §10.2.3), or `None` if there is no such header. The
/// time is zero if it is no number of seconds: a date says little without the server's clock, and
/// the client waits for a random time anyway.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.as_bytes().trim_ascii();
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if !is_number {
        return Some(Duration::ZERO);
    }
    let digits = str::from_utf8(value).unwrap_or_default();
    // Only a number that is too large for its type can't be parsed.
    Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)))
}

/// Number of times that a client in a pipe tries again after a conflict. Arbitrary: the random waits
/// alone add up to more than half a minute, which is longer than another handshake takes.
const MAX_CONFLICTS: u32 = 8;

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
    fn a_conflict_is_temporary_if_it_has_a_retry_after() {
        let refused = |status, after: &[&str]| {
            let headers = after
                .iter()
                .map(|after| HeaderValue::from_bytes(after.as_bytes()).unwrap());
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
        // A number may have any length.
        let long = refused(StatusCode::CONFLICT, &["99999999999999999999"]);
        assert_eq!(long, (false, seconds(u64::MAX)));
        // A date, and values that are not valid. The header says enough.
        let date = "Fri, 31 Dec 2027 23:59:59 GMT";
        for other in [date, "+1", "-1", "1.5", "1 s", "\u{e9}", ""] {
            assert_eq!(refused(StatusCode::CONFLICT, &[other]), (false, seconds(0)));
        }
        assert_eq!(refused(StatusCode::NOT_FOUND, &["1"]), (true, seconds(1)));
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(refused(busy, &["120"]), (false, seconds(120)));
    }

    #[test]
    fn a_client_in_a_pipe_tries_again_only_after_conflicts_and_not_for_ever() {
        let refused = |status, retry_after| OpenError::Refused {
            status,
            reason: String::new(),
            retry_after,
        };
        let conflict = refused(StatusCode::CONFLICT, Some(Duration::ZERO));
        assert!(conflict.is_worth_another_attempt(0));
        assert!(conflict.is_worth_another_attempt(MAX_CONFLICTS - 1));
        assert!(!conflict.is_worth_another_attempt(MAX_CONFLICTS));
        for other in [
            refused(StatusCode::CONFLICT, None),
            refused(StatusCode::SERVICE_UNAVAILABLE, Some(Duration::ZERO)),
            OpenError::TimedOut(Duration::ZERO),
        ] {
            assert!(!other.is_worth_another_attempt(0), "{other}");
        }
    }
}
