//! The answer to a request, and the end of the exchange: whether the connection goes on, and what
//! becomes of a body that was not read.

use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, StatusCode, Version,
    body::{Body, Incoming},
    header::{EXPECT, TRANSFER_ENCODING},
};

use crate::{
    hub::shard::Shard,
    server::{
        api::Destination,
        body::{AskedFor, WholeBody},
        listener::Entrance,
        origin, response,
        response::{Rejection, Response},
        site::Site,
        upgraded::PendingConnection,
    },
};

/// The answer to a request.
pub(super) struct Answer {
    pub(super) response: Response,
    /// The connection that starts when the response, a 101, is written.
    pub(super) upgrade: Option<PendingConnection>,
    /// The body of the request, if it is still to be read and thrown away.
    pub(super) unread: Option<Incoming>,
    /// True if a 100 (Continue) must be written before the response.
    pub(super) must_continue: bool,
}

impl Site {
    /// Answers a request on the shard that has read it.
    pub(super) async fn answer(
        &self,
        shard: &Rc<Shard>,
        mut request: Request<Incoming>,
        entrance: Entrance,
    ) -> Answer {
        let (response, upgrade) = match self.check_host_and_origin(&request) {
            Ok(host) => {
                let at = Destination { host, entrance };
                let answered = self.route(shard, &mut request, at).await;
                let (mut response, upgrade) =
                    answered.unwrap_or_else(|rejection| (rejection.into(), None));
                origin::allow(request.headers(), response.headers_mut());
                (response, upgrade)
            }
            // A page that may not use the server may not read the answer either.
            Err(rejection) => (rejection.into(), None),
        };
        self.end_exchange(request, response, upgrade)
    }

    /// Refuses a request that was complete only after the server had answered all others and begun
    /// to close its connections.
    pub(super) fn answer_late(&self, request: Request<Incoming>) -> Answer {
        self.end_exchange(request, Rejection::shutting_down().into(), None)
    }

    /// Charges the body of a response until the client has received it. What each connection is
    /// charged has room for a small one.
    fn charge(&self, response: Response) -> Response {
        response.map(|body| {
            let body = body.into_inner().unwrap_or_default();
            if body.len() <= SMALL_BYTES {
                return Full::new(body);
            }
            // Copied, because a string may have twice its bytes of memory.
            let copy = Bytes::from(Box::from(&body[..]));
            Full::new(self.hub.budget().own(copy, 0))
        })
    }

    /// Decides whether the connection ends with this response, and whether the body of the request
    /// must still be read.
    fn end_exchange(
        &self,
        request: Request<Incoming>,
        response: Response,
        upgrade: Option<PendingConnection>,
    ) -> Answer {
        let mut response = self.charge(response);
        let expects_continue = expects_continue(&request);
        if upgrade.is_some() {
            // RFC 9110 §7.8: the 100 comes before the 101. hyper sends none if there is no body.
            return Answer {
                response,
                upgrade,
                unread: None,
                must_continue: expects_continue,
            };
        }
        let whole = request.extensions().get::<WholeBody>().copied();
        let is_unread = whole.is_none() && !request.body().is_end_stream();
        let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
        // It is not known whether a client that expects a 100 sends its body now. And hyper loses
        // requests behind malformed trailers, which it can't tell from valid ones.
        let is_last = is_unread && (expects_continue || is_chunked)
            || whole.is_some_and(|body| body.has_trailers);
        if is_last || self.hub.budget().is_crowded() {
            response::end_connection(&mut response);
        }
        // Without a 100 it may never send the body. And the time of a client that was answered 408
        // is over.
        let is_asked_for = request.extensions().get::<AskedFor>().is_some();
        let skips_body =
            expects_continue && !is_asked_for || response.status() == StatusCode::REQUEST_TIMEOUT;
        Answer {
            response,
            upgrade,
            unread: (is_unread && !skips_body).then(|| request.into_body()),
            must_continue: false,
        }
    }
}

/// Returns true if the client waits for a 100 (Continue) before it sends a body (RFC 9110 §10.1.1).
/// An HTTP/1.0 client knows no 100.
fn expects_continue<B>(request: &Request<B>) -> bool {
    let mut expected = request.headers().get_all(EXPECT).iter();
    request.version() > Version::HTTP_10
        && expected.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Size of the largest body of a response that is not charged by itself, in bytes.
const SMALL_BYTES: usize = 1024;
