//! The routes: the paths that the server answers, and the code that answers each of them.

use std::{rc::Rc, sync::LazyLock};

use http_body_util::BodyExt;
use hyper::{
    Method, Request, StatusCode,
    body::{Body, Incoming},
    header::EXPECT,
};
use tokio::{task::spawn_local, time::timeout};
use uuid::Uuid;

use crate::{
    connection::Connection,
    hub::shard::Shard,
    protocol::{
        Protocol,
        chat::Chat,
        echo::{Echo, EchoFrames},
        relay::{Relay, registry::Unclaimable},
    },
    server::{
        api,
        api::Destination,
        listener::Entrance,
        origin, page, publish, response,
        response::{Rejection, Response},
        site::Site,
        upgrade,
        upgraded::PendingConnection,
    },
    topic::list::{TopicList, Topics},
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
    WebSocket(ChooseProtocol),
}

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
    Route::web_socket("/echo", |_, _| Ok((Identity::anonymous(), Box::new(Echo)))),
    Route::web_socket("/echo/raw", |_, _| {
        Ok((Identity::anonymous(), Box::new(EchoFrames)))
    }),
    Route::web_socket("/ws", |_, params| {
        let topics = chat_topics(params.query.unwrap_or_default())?;
        Ok((Identity::anonymous(), Box::new(Chat::of(topics))))
    }),
    Route::web_socket("/ws/{id}", |site, params| {
        let claim = site.registry.claim(parse_id(params.id)?);
        let claim = claim.map_err(|error| match error {
            Unclaimable::Arriving => Rejection::Arriving,
            Unclaimable::Unknown => Rejection::NoRegistration,
        })?;
        let identity = Identity::from(claim.user.clone());
        Ok((identity, Box::new(Relay::new(claim))))
    }),
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

    const fn web_socket(pattern: &'static str, choose: ChooseProtocol) -> Self {
        Self::new(pattern, "GET, OPTIONS", Endpoint::WebSocket(choose))
    }

    /// Returns true if the path can be requested with this method.
    fn takes(&self, method: &Method) -> bool {
        self.methods.split(", ").any(|each| each == method.as_str())
    }
}

/// The answer to a request.
pub(super) enum Answer {
    Response(Response),
    /// A 101, and the connection that starts when the 101 is written.
    Upgrade(Response, PendingConnection),
}

impl Answer {
    fn response_mut(&mut self) -> &mut Response {
        match self {
            Self::Response(response) | Self::Upgrade(response, _) => response,
        }
    }

    /// Returns the response, and for a 101 the connection that starts when it is written.
    pub(super) fn into_parts(self) -> (Response, Option<PendingConnection>) {
        match self {
            Self::Response(response) => (response, None),
            Self::Upgrade(response, pending) => (response, Some(pending)),
        }
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl Site {
    /// Answers a request on the shard that has read it.
    pub(super) async fn answer(
        &self,
        shard: &Rc<Shard>,
        mut request: Request<Incoming>,
        entrance: Entrance,
    ) -> Answer {
        let mut answer = match self.admit(&request) {
            Ok(host) => {
                let at = Destination { host, entrance };
                let answered = self.route(shard, &mut request, at).await;
                let mut answer =
                    answered.unwrap_or_else(|rejection| Response::from(rejection).into());
                origin::allow(request.headers(), answer.response_mut().headers_mut());
                answer
            }
            // A page that may not use the server may not read the answer either.
            Err(rejection) => Response::from(rejection).into(),
        };
        let status = answer.response_mut().status();
        // A client whose request is rejected may still be sending its body, which must be read (see
        // `discard`). But a client that waits for a 100 (Continue) sends no body, and the time of a
        // client that was answered 408 is over.
        let skips_body =
            request.headers().contains_key(EXPECT) || status == StatusCode::REQUEST_TIMEOUT;
        let is_refused = status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE;
        if is_refused && !skips_body && !request.body().is_end_stream() {
            let within = self.hub.config().timeouts.request;
            spawn_local(timeout(within, discard(request.into_body())));
        }
        if self.hub.budget().is_crowded() && status != StatusCode::SWITCHING_PROTOCOLS {
            response::end_connection(answer.response_mut());
        }
        answer
    }

    /// Finds the endpoint of a request's path, and answers the request there.
    async fn route(
        &self,
        shard: &Rc<Shard>,
        request: &mut Request<Incoming>,
        at: Destination,
    ) -> Result<Answer, Rejection> {
        let path = request.uri().path().to_owned();
        let matched = PATHS.at(&path).map_err(|_| Rejection::NotFound)?;
        let (route, id) = (matched.value, matched.params.get("id"));
        if !route.takes(request.method()) {
            return Err(Rejection::Method(route.methods));
        }
        if request.method() == Method::OPTIONS {
            return Ok(preflight(route).into());
        }
        let response = match route.endpoint {
            Endpoint::Page => page::page(),
            Endpoint::Health => api::health(self),
            Endpoint::Publish => publish::publish(&self.hub, shard, request).await?,
            Endpoint::Register => api::register(self, shard, request, at).await?,
            Endpoint::Registration => api::unregister(self, parse_id(id)?)?,
            Endpoint::WebSocket(choose) => return self.open(shard, request, id, choose),
        };
        Ok(response.into())
    }

    /// Upgrades a request. The connection is made before the 101 is sent, so that its subscriptions
    /// are in force when the client gets the 101.
    fn open(
        &self,
        shard: &Rc<Shard>,
        request: &mut Request<Incoming>,
        id: Option<&str>,
        choose: ChooseProtocol,
    ) -> Result<Answer, Rejection> {
        upgrade::check(request)?;
        let budget = self.hub.budget();
        budget.admit(|counts| &counts.refused_connections)?;
        let query = request.uri().query();
        let (identity, protocol) = choose(self, &RouteParams { id, query })?;
        let deflate = upgrade::agree(&self.hub, request)?;
        let (response, socket) = upgrade::accept(request, deflate.as_ref())?;
        let connection = Connection::open(shard, identity, protocol, deflate)?;
        let pending = PendingConnection { connection, socket };
        Ok(Answer::Upgrade(response, pending))
    }
}

/// Reads the rest of the body of a rejected request. Otherwise a client that reads the answer only
/// after it has sent the body would lose the answer to a reset (RFC 9112 §9.6).
async fn discard(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Returns the response to an `OPTIONS` request, with which a browser asks whether it may send its
/// real request.
fn preflight(route: &Route) -> Response {
    let mut response = response::empty(StatusCode::NO_CONTENT);
    let methods = route.methods;
    let allow = hyper::header::HeaderValue::from_static(methods);
    response.headers_mut().insert(hyper::header::ALLOW, allow);
    origin::allow_preflight(methods, response.headers_mut());
    response
}

/// Returns the topics in a query such as `topic=a&topic=b`, or `lobby` if there are none.
pub(super) fn chat_topics(query: &str) -> Result<Topics, Rejection> {
    let mut list = TopicList::default();
    for (key, name) in form_urlencoded::parse(query.as_bytes()) {
        if key != "topic" {
            // The client would be in the lobby without noticing it.
            if MISTAKEN_KEYS.contains(&key.to_ascii_lowercase().as_str()) {
                let error = format!("query: `topic` is expected, not `{key}`");
                return Err(Rejection::BadRequest(error));
            }
            continue;
        }
        // The parser has replaced bytes that are not UTF-8 by this character. So different names
        // would become the same topic.
        if name.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Rejection::bad_request(&"topics: a name is not UTF-8"));
        }
        list.add(&name)
            .map_err(|fault| Rejection::bad_request(&fault))?;
    }
    Ok(list.or("lobby"))
}

/// Keys of a query that are written in place of `topic`, in upper or lower case.
const MISTAKEN_KEYS: [&str; 4] = ["topic", "topics", "channel", "room"];

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

    /// Returns the topics of a query, or `None` if it is rejected.
    fn topics(query: &str) -> Option<Vec<String>> {
        let topics = chat_topics(query).ok()?;
        Some(
            topics
                .iter()
                .map(|topic| topic.as_str().to_owned())
                .collect(),
        )
    }

    #[test]
    fn a_chat_room_has_the_topics_of_the_query() {
        assert_eq!(topics("").unwrap(), ["lobby"]);
        assert_eq!(topics("x=1").unwrap(), ["lobby"]);
        assert_eq!(topics("topic=a&topic=b&topic=a").unwrap(), ["a", "b"]);
        assert_eq!(topics("topic=a%20b+c%2F%C3%A9").unwrap(), ["a b c/é"]);
        assert_eq!(topics("topic="), None);
        assert_eq!(topics("topic=a%0Ab"), None);
        assert_eq!(topics("topic=%FF"), None);
    }

    // They were ignored, and the client was in the lobby.
    #[test]
    fn a_key_that_is_written_in_place_of_topic_is_refused_and_others_are_ignored() {
        for key in [
            "topics", "Topic", "TOPICS", "channel", "Channel", "room", "%72oom",
        ] {
            for query in [
                format!("{key}=a"),
                format!("topic=a&{key}"),
                format!("{key}=&x"),
            ] {
                let error = chat_topics(&query).unwrap_err().to_string();
                assert!(
                    error.starts_with("query: `topic` is expected, not `"),
                    "{query}: {error}"
                );
            }
        }
        for key in [
            "token", "topic[]", "rooms", "topic%00", "x-topic", "+topic", "",
        ] {
            assert_eq!(topics(&format!("{key}=a")).unwrap(), ["lobby"], "{key}");
        }
    }

    #[test]
    fn an_id_is_accepted_only_in_the_form_in_which_it_is_given_out() {
        let id = Uuid::new_v4();
        assert_eq!(parse_id(Some(&id.simple().to_string())), Ok(id));
        assert!(parse_id(Some(&id.to_string())).is_err(), "with hyphens");
        assert!(parse_id(Some("")).is_err());
        assert!(parse_id(Some(&"x".repeat(32))).is_err());
    }
}
