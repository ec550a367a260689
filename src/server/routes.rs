//! The paths that the server answers.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, LazyLock},
};

use http_body_util::BodyExt;
use hyper::{
    Method, Request, StatusCode,
    body::{Body, Incoming},
    header::EXPECT,
};
use matchit::Router;
use tokio::{task::spawn_local, time::timeout};
use uuid::Uuid;

use crate::{
    authority::Authority,
    connection::{Connection, Session},
    disconnect::Disconnect,
    hub::{Agreed, shard::Shard},
    protocol::relay::registry::Unclaimable,
    server::{
        api, origin, page, reply,
        reply::{Refusal, Reply},
        site::Site,
        socket::Upcoming,
        upgrade,
    },
    topic::{TopicName, list::TopicList},
};

#[derive(Clone, Copy, Debug)]
enum Path {
    Health,
    Page,
    Publish,
    Register,
    Registration,
    WebSocket(Purpose),
}

/// What a connection to a WebSocket path is for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Chat,
    Echo,
    EchoFrames,
    Relay,
}

/// Each path by its pattern.
static PATHS: LazyLock<Router<Path>> = LazyLock::new(|| {
    let mut paths = Router::new();
    for (pattern, path) in Path::ALL {
        paths
            .insert(pattern, path)
            .expect("the patterns are distinct");
    }
    paths
});

impl Path {
    const ALL: [(&str, Self); 9] = [
        ("/", Self::Page),
        ("/echo", Self::WebSocket(Purpose::Echo)),
        ("/echo/raw", Self::WebSocket(Purpose::EchoFrames)),
        ("/health", Self::Health),
        ("/publish", Self::Publish),
        ("/register", Self::Register),
        ("/register/{id}", Self::Registration),
        ("/ws", Self::WebSocket(Purpose::Chat)),
        ("/ws/{id}", Self::WebSocket(Purpose::Relay)),
    ];

    /// The methods that it takes, as `Allow` lists them.
    fn methods(self) -> &'static str {
        match self {
            Self::Page | Self::Health => "GET, HEAD, OPTIONS",
            Self::Publish | Self::Register => "POST, OPTIONS",
            Self::Registration => "DELETE, OPTIONS",
            Self::WebSocket(_) => "GET, OPTIONS",
        }
    }

    fn takes(self, method: &Method) -> bool {
        self.methods()
            .split(", ")
            .any(|each| each == method.as_str())
    }
}

impl Site {
    /// Answers a request on the shard that has read it. If that is with 101, the connection is
    /// `upcoming`.
    pub(super) async fn answer(
        &self,
        shard: &Rc<Shard>,
        mut request: Request<Incoming>,
        upcoming: &Cell<Option<Upcoming>>,
    ) -> Reply {
        let reply = match self.admit(&request) {
            Ok(asked) => {
                let answered = self.route(shard, &mut request, asked, upcoming).await;
                let mut reply = answered.unwrap_or_else(Reply::from);
                origin::allow(request.headers(), reply.headers_mut());
                reply
            }
            // For a page that may not use the server: not even to be read by it.
            Err(refusal) => refusal.into(),
        };
        // Who waits to be told to continue sends nothing, and who was too slow had its time.
        let is_over =
            request.headers().contains_key(EXPECT) || reply.status() == StatusCode::REQUEST_TIMEOUT;
        let is_refused =
            reply.status().is_client_error() || reply.status() == StatusCode::SERVICE_UNAVAILABLE;
        if is_refused && !is_over && !request.body().is_end_stream() {
            let within = self.hub.config().timeouts.request;
            spawn_local(timeout(within, discard(request.into_body())));
        }
        reply
    }

    async fn route(
        &self,
        shard: &Rc<Shard>,
        request: &mut Request<Incoming>,
        asked: Option<Authority>,
        upcoming: &Cell<Option<Upcoming>>,
    ) -> Result<Reply, Refusal> {
        let target = request.uri().path().to_owned();
        let matched = PATHS.at(&target).map_err(|_| Refusal::NotFound)?;
        let (path, id) = (*matched.value, matched.params.get("id"));
        if !path.takes(request.method()) {
            return Err(Refusal::Method(path.methods()));
        }
        if request.method() == Method::OPTIONS {
            return Ok(preflight(path));
        }
        match path {
            Path::Page => Ok(page::page()),
            Path::Health => Ok(api::health(self)),
            Path::Publish => api::publish(self, shard, request).await,
            Path::Register => api::register(self, shard, request, asked).await,
            Path::Registration => api::unregister(self, parse_id(id)?),
            Path::WebSocket(purpose) => {
                upgrade::check(request)?;
                let budget = self.hub.budget();
                budget.take_in(|counts| &counts.refused_connections)?;
                let session = self.session(purpose, id, request.uri().query())?;
                let deflate = upgrade::agree(&self.hub, request)?;
                let (reply, opened) = open(shard, request, session, deflate)?;
                upcoming.set(Some(opened));
                Ok(reply)
            }
        }
    }

    /// Makes what a new connection for a purpose begins with.
    fn session(
        &self,
        purpose: Purpose,
        id: Option<&str>,
        query: Option<&str>,
    ) -> Result<Session, Refusal> {
        Ok(match purpose {
            Purpose::Chat => Session::Chat(chat_topics(query.unwrap_or_default())?.into()),
            Purpose::Echo => Session::Echo,
            Purpose::EchoFrames => Session::EchoFrames,
            Purpose::Relay => {
                let claim = self.registry.claim(parse_id(id)?);
                Session::Relay(Arc::new(claim.map_err(|error| match error {
                    Unclaimable::Taken => Refusal::Taken,
                    Unclaimable::Unknown => Refusal::NoRegistration,
                })?))
            }
        })
    }
}

/// Upgrades a request that was checked. The connection is made first, so that its subscriptions
/// are in force when the client sees the 101.
fn open(
    shard: &Rc<Shard>,
    request: &mut Request<Incoming>,
    session: Session,
    deflate: Option<Agreed>,
) -> Result<(Reply, Upcoming), Refusal> {
    let (reply, socket) = upgrade::accept(request, deflate.as_ref())?;
    let connection = Connection::open(shard, session, deflate).map_err(|reason| match reason {
        Disconnect::Restarting => Refusal::shutting_down(),
        _ => Refusal::NoRegistration,
    })?;
    Ok((reply, Upcoming { connection, socket }))
}

/// Reads to its end what a refused request is still sending: a client that reads the answer only
/// then would lose it to a reset (RFC 9112 §9.6).
async fn discard(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn preflight(path: Path) -> Reply {
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    let methods = path.methods();
    let allow = hyper::header::HeaderValue::from_static(methods);
    reply.headers_mut().insert(hyper::header::ALLOW, allow);
    origin::allow_preflight(methods, reply.headers_mut());
    reply
}

/// The topics named in a query: `topic=a&topic=b`; without any, the lobby.
pub(super) fn chat_topics(query: &str) -> Result<Vec<TopicName>, Refusal> {
    let mut list = TopicList::default();
    let pairs = form_urlencoded::parse(query.as_bytes());
    for (_, name) in pairs.filter(|(key, _)| key == "topic") {
        // What is not UTF-8 was replaced: different names would become one topic.
        if name.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Refusal::bad_request(&"topics: a name is not UTF-8"));
        }
        list.add(&name)
            .map_err(|fault| Refusal::bad_request(&fault))?;
    }
    Ok(list.or("lobby"))
}

/// An id as it was given out; anything else belongs to nobody.
fn parse_id(id: Option<&str>) -> Result<Uuid, Refusal> {
    let id = id
        .filter(|id| id.len() == 32)
        .ok_or(Refusal::NoRegistration)?;
    Uuid::try_parse(id).map_err(|_| Refusal::NoRegistration)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn topics_come_from_the_query() {
        assert_eq!(topics("").unwrap(), ["lobby"]);
        assert_eq!(topics("x=1").unwrap(), ["lobby"]);
        assert_eq!(topics("topic=a&topic=b&topic=a").unwrap(), ["a", "b"]);
        assert_eq!(topics("topic=a%20b+c%2F%C3%A9").unwrap(), ["a b c/é"]);
        assert_eq!(topics("topic="), None);
        assert_eq!(topics("topic=a%0Ab"), None);
        assert_eq!(topics("topic=%FF"), None);
    }

    #[test]
    fn an_id_is_taken_in_the_form_in_which_it_is_given_out() {
        let id = Uuid::new_v4();
        assert_eq!(parse_id(Some(&id.simple().to_string())), Ok(id));
        assert!(parse_id(Some(&id.to_string())).is_err(), "with hyphens");
        assert!(parse_id(Some("")).is_err());
        assert!(parse_id(Some(&"x".repeat(32))).is_err());
    }
}
