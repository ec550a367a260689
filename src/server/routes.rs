//! The routes: the paths that the server answers, and the code that answers each of them.

use std::{rc::Rc, sync::LazyLock};

use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{ALLOW, HeaderValue},
};
use uuid::Uuid;

use crate::{
    connection::Connection,
    hub::{bounds::budget::ShortOfMemory, shard::Shard},
    protocol::{
        Protocol,
        chat::Chat,
        echo::{Echo, EchoFrames},
        relay::{Relay, registry::Unclaimable},
    },
    server::{
        api,
        api::Destination,
        encoding, origin, page, publish,
        query::chat_topics,
        response,
        response::{Rejection, Response},
        site::Site,
        upgrade,
        upgraded::PendingConnection,
    },
    user::Identity,
};

/// A path that the server answers.
struct Route {
    /// The pattern of the path, in the syntax of [`matchit`].
    pattern: &'static str,
    /// The methods that the path takes, as the header `Allow` lists them.
    methods: &'static str,
    endpoint: Endpoint,
}

/// The code that answers requests for a path.
enum Endpoint {
    Health,
    Page,
    Publish,
    Register,
    Registration,
    WebSocket(WebSocketPath),
}

/// The decisions about a WebSocket that depend on its path.
#[derive(Clone, Copy)]
struct WebSocketPath {
    check: CheckTarget,
    choose: ChooseProtocol,
}

/// A function that returns the rejection that an opening handshake would get for its target. It
/// changes nothing.
type CheckTarget = fn(&Site, &RouteParams<'_>) -> Result<(), Rejection>;

/// A function that returns the identity and the protocol of a new connection, or the rejection of
/// its request.
type ChooseProtocol =
    fn(&Site, &RouteParams<'_>) -> Result<(Identity, Box<dyn Protocol>), Rejection>;

/// The variable parts of a request's target.
struct RouteParams<'a> {
    id: Option<&'a str>,
    query: Option<&'a str>,
}

/// All paths that the server answers.
const ROUTES: [Route; 9] = [
    Route::new("/", "GET, HEAD, OPTIONS", Endpoint::Page),
    Route::new("/health", "GET, HEAD, OPTIONS", Endpoint::Health),
    Route::new("/publish", "POST, OPTIONS", Endpoint::Publish),
    Route::new("/register", "POST, OPTIONS", Endpoint::Register),
    Route::new("/register/{id}", "DELETE, OPTIONS", Endpoint::Registration),
    Route::web_socket(
        "/echo",
        |_, _| Ok(()),
        |_, _| Ok((Identity::anonymous(), Box::new(Echo))),
    ),
    Route::web_socket(
        "/echo/raw",
        |_, _| Ok(()),
        |_, _| Ok((Identity::anonymous(), Box::new(EchoFrames))),
    ),
    Route::web_socket(
        "/ws",
        |_, params| chat_topics(params.query.unwrap_or_default()).map(drop),
        |_, params| {
            let topics = chat_topics(params.query.unwrap_or_default())?;
            Ok((Identity::anonymous(), Box::new(Chat::of(topics))))
        },
    ),
    Route::web_socket(
        "/ws/{id}",
        |site, params| {
            let checked = site.registry.check(parse_id(params.id)?);
            checked.map_err(Rejection::from)
        },
        |site, params| {
            let claim = site.registry.claim(parse_id(params.id)?)?;
            let identity = Identity::from(claim.user.clone());
            Ok((identity, Box::new(Relay::new(claim))))
        },
    ),
];

/// The routes by their patterns.
static PATHS: LazyLock<matchit::Router<Route>> = LazyLock::new(|| {
    let mut paths = matchit::Router::new();
    for route in ROUTES {
        paths
            .insert(route.pattern, route)
            .expect("the patterns are distinct");
    }
    paths
});

impl Route {
    const fn new(pattern: &'static str, methods: &'static str, endpoint: Endpoint) -> Self {
        Self {
            pattern,
            methods,
            endpoint,
        }
    }

    const fn web_socket(pattern: &'static str, check: CheckTarget, choose: ChooseProtocol) -> Self {
        let endpoint = Endpoint::WebSocket(WebSocketPath { check, choose });
        Self::new(pattern, "GET, OPTIONS", endpoint)
    }

    /// Returns true if the path can be requested with this method.
    fn takes(&self, method: &Method) -> bool {
        self.methods.split(", ").any(|each| each == method.as_str())
    }
}

impl Site {
    /// Finds the endpoint of a request's path, and answers the request there. A 101 is returned
    /// together with the connection that starts when the 101 is written.
    pub(super) async fn route(
        &self,
        shard: &Rc<Shard>,
        request: &mut Request<Incoming>,
        at: Destination,
    ) -> Result<(Response, Option<PendingConnection>), Rejection> {
        encoding::check_transfer(request.headers())?;
        let path = request.uri().path().to_owned();
        let matched = PATHS.at(&path).map_err(|_| Rejection::NotFound)?;
        let (route, id) = (matched.value, matched.params.get("id"));
        if !route.takes(request.method()) {
            return Err(Rejection::Method(route.methods));
        }
        if request.method() == Method::OPTIONS {
            return Ok((preflight(route), None));
        }
        let response = match route.endpoint {
            Endpoint::Page => page::page(),
            Endpoint::Health => api::health(self),
            Endpoint::Publish => publish::publish(&self.hub, shard, request).await?,
            Endpoint::Register => api::register(self, shard, request, at).await?,
            Endpoint::Registration => api::unregister(self, parse_id(id)?)?,
            Endpoint::WebSocket(path) => {
                return self.open(shard, request, id, (route.pattern, path));
            }
        };
        Ok((response, None))
    }

    /// Upgrades a request. The connection is made before the 101 is sent, so that its subscriptions
    /// are in force when the client gets the 101.
    fn open(
        &self,
        shard: &Rc<Shard>,
        request: &mut Request<Incoming>,
        id: Option<&str>,
        (pattern, path): (&'static str, WebSocketPath),
    ) -> Result<(Response, Option<PendingConnection>), Rejection> {
        let query = request.uri().query();
        let params = RouteParams { id, query };
        if let Err(rejection) = upgrade::check(request) {
            return Err(self.explain(rejection, &params, path.check));
        }
        let budget = self.hub.budget();
        budget.admit(|counts| &counts.refused_connections)?;
        let (identity, protocol) = (path.choose)(self, &params)?;
        let deflate = upgrade::agree(&self.hub, request)?;
        let (response, socket) = upgrade::accept(request, deflate.as_ref())?;
        let connection = Connection::open(shard, identity, protocol, deflate)?;
        connection.note_path(pattern);
        let pending = PendingConnection { connection, socket };
        Ok((response, Some(pending)))
    }

    /// Returns the rejection of a request that is no opening handshake. A plain request is told what
    /// a handshake for the same target would be refused for, because a browser hides the answer to a
    /// refused handshake from its page, and the page then asks by a plain request. If nothing but
    /// the upgrade is missing, that is what the plain request is told.
    fn explain(
        &self,
        rejection: Rejection,
        params: &RouteParams<'_>,
        check: CheckTarget,
    ) -> Rejection {
        if rejection != Rejection::UpgradeRequired {
            return rejection;
        }
        if self.hub.budget().is_crowded() {
            return ShortOfMemory.into();
        }
        check(self, params).err().unwrap_or(rejection)
    }
}

impl From<Unclaimable> for Rejection {
    fn from(error: Unclaimable) -> Self {
        match error {
            Unclaimable::Arriving => Self::Arriving,
            Unclaimable::Unknown => Self::NoRegistration,
        }
    }
}

/// Returns the response to an `OPTIONS` request, with which a browser asks whether it may send its
/// real request.
fn preflight(route: &Route) -> Response {
    let mut response = response::empty(StatusCode::NO_CONTENT);
    let methods = route.methods;
    let allow = HeaderValue::from_static(methods);
    response.headers_mut().insert(ALLOW, allow);
    origin::allow_preflight(methods, response.headers_mut());
    response
}

/// Parses an id in the form in which `/register` gives it out. No other form is accepted.
fn parse_id(id: Option<&str>) -> Result<Uuid, Rejection> {
    let id = id
        .filter(|id| id.len() == 32)
        .ok_or(Rejection::NoRegistration)?;
    Uuid::try_parse(id).map_err(|_| Rejection::NoRegistration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_accepted_only_in_the_form_in_which_it_is_given_out() {
        let id = Uuid::new_v4();
        assert_eq!(parse_id(Some(&id.simple().to_string())), Ok(id));
        assert!(parse_id(Some(&id.to_string())).is_err(), "with hyphens");
        assert!(parse_id(Some("")).is_err());
        assert!(parse_id(Some(&"x".repeat(32))).is_err());
    }
}
