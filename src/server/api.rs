//! The HTTP API: `/register` and `/health`.

use std::{fmt, time::Instant};

use hyper::{Request, body::Incoming};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

use crate::{
    authority::Authority,
    config::PublicUrl,
    disconnect::Disconnect,
    hub::shard::Shard,
    server::{
        body,
        body::parse,
        listener::Entrance,
        response::{Rejection, Response, json, unavailable},
        site::Site,
    },
    topic::list::{Named, TopicList, Topics},
    user::{MAX_USER_BYTES, UserId},
};

/// The body of a `POST /register`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterRequest {
    user_id: User,
    topics: Option<Named>,
}

/// The id of a user in JSON: a string, or an integer, which stands for the string of its digits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User(pub(super) UserId);

#[derive(Serialize)]
struct Registered {
    url: String,
}

#[derive(Serialize)]
struct Unregistered {
    deleted: String,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    /// Indexes of the shards that stand still. Left out if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    standing_shards: Vec<usize>,
    version: &'static str,
    uptime_seconds: u64,
    shards: usize,
    connections: u64,
    topics: u64,
    registrations: usize,
    deliveries: u64,
    writes: u64,
    memory_bytes: u64,
    memory_budget_bytes: u64,
    evicted: u64,
    unfinished: u64,
    /// Sum of `refused_connections`, `refused_registrations` and `refused_topics`.
    refused: u64,
    refused_connections: u64,
    refused_registrations: u64,
    refused_topics: u64,
    too_far_behind: u64,
    slow_consumers: u64,
    unanswered_pings: u64,
    violations: u64,
    accept_errors: u64,
    /// The most CPU time that a step or a turn has taken on any shard, in microseconds. Left out
    /// without the feature `internals`, because it is not measured then.
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_hold_us: Option<u64>,
}

/// The host that a request is for, and the listener through which it came.
pub(super) struct Destination {
    pub(super) host: Option<Authority>,
    pub(super) entrance: Entrance,
}

impl Destination {
    /// Returns the URL at which WebSocket clients reach this destination, or `None` if the request
    /// named no host.
    fn web_socket(self) -> Option<String> {
        let scheme = self.entrance.web_socket_scheme;
        Some(format!("{scheme}://{}", self.host?))
    }
}

/// Registers a connection that is to be made. The response has the URL at which it is to be made.
pub(super) async fn register(
    site: &Site,
    shard: &Shard,
    request: &mut Request<Incoming>,
    at: Destination,
) -> Result<Response, Rejection> {
    let base = site.public_url.as_ref().map(PublicUrl::web_socket);
    let base = base.or_else(|| at.web_socket());
    let base = base.ok_or_else(|| Rejection::bad_request(&"Host is required"))?;
    let read = body::read(shard, request, REGISTRATION_BYTES, register_request);
    let ((user, topics), _held) = read.await?;
    let registered = site.registry.register(user, topics, Instant::now());
    let id = registered.map_err(|full| Rejection::Overloaded(full.to_string()))?;
    Ok(json(&Registered {
        url: format!("{base}/ws/{}", id.simple()),
    }))
}

/// Parses the body of a `POST /register`. Returns the user and the topics.
pub(super) fn register_request(body: &[u8]) -> Result<(UserId, Topics), Rejection> {
    let wanted: RegisterRequest = parse(body)?;
    let topics = match wanted.topics {
        Some(Named(topics)) => topics.map_err(|fault| Rejection::bad_request(&fault))?,
        None => TopicList::default().or("cats"),
    };
    Ok((wanted.user_id.0, topics))
}

/// Deletes a registration, and ends its connection.
pub(super) fn unregister(site: &Site, id: Uuid) -> Result<Response, Rejection> {
    let connection = site.registry.delete(id).ok_or(Rejection::NoRegistration)?;
    if let Some(connection) = connection {
        site.hub.end(connection, Disconnect::Unregistered);
    }
    Ok(json(&Unregistered {
        deleted: id.simple().to_string(),
    }))
}

/// Reports the health of the server. The status is 503 if a shard stands still.
pub(super) fn health(site: &Site) -> Response {
    let hub = &site.hub;
    let metrics = hub.metrics();
    let (ended, memory) = (metrics.ended, metrics.memory);
    let standing_shards = site.standing.shards();
    let is_well = standing_shards.is_empty();
    let health = Health {
        status: if is_well {
            "ok"
        } else {
            "a shard stands still"
        },
        standing_shards,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: site.started.elapsed().as_secs(),
        shards: hub.shards(),
        connections: metrics.connections,
        topics: metrics.topics,
        registrations: site.registry.len(),
        deliveries: metrics.deliveries,
        writes: metrics.writes,
        memory_bytes: memory.held_bytes,
        memory_budget_bytes: memory.budget_bytes,
        evicted: memory.evicted,
        unfinished: memory.unfinished,
        refused: memory.refused(),
        refused_connections: memory.refused_connections,
        refused_registrations: memory.refused_registrations,
        refused_topics: memory.refused_topics,
        too_far_behind: ended.too_far_behind,
        slow_consumers: ended.slow_consumer + ended.too_far_behind,
        unanswered_pings: ended.no_pong,
        violations: ended.protocol_error,
        accept_errors: site.accept_errors.get(),
        longest_hold_us: hub.longest_hold(),
    };
    if is_well {
        json(&health)
    } else {
        unavailable(&health)
    }
}

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UserVisitor)
    }
}

struct UserVisitor;

impl de::Visitor<'_> for UserVisitor {
    type Value = User;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer, or a string of 1 to {MAX_USER_BYTES} bytes")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<User, E> {
        Ok(User(number.into()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<User, E> {
        Ok(User(number.into()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<User, E> {
        let user = UserId::new(text).map(User);
        user.map_err(|_| E::invalid_length(text.len(), &self))
    }
}

/// Size of the largest body of a registration that is parsed on the shard's thread, in bytes.
/// Parsing it takes at most 1.4 ms (measured, with a body that repeats one topic as often as it
/// can). A body of 256 KiB would take 4.2 ms.
const REGISTRATION_BYTES: usize = 80 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_string_or_an_integer_which_is_the_same_user_as_its_digits() {
        let user = |json: &str| {
            serde_json::from_str::<User>(json)
                .map(|user| user.0.as_str().to_owned())
                .ok()
        };
        assert_eq!(user("1").as_deref(), Some("1"));
        assert_eq!(user("\"1\"").as_deref(), Some("1"));
        assert_eq!(user("-5").as_deref(), Some("-5"));
        assert_eq!(
            user("18446744073709551615").as_deref(),
            Some("18446744073709551615")
        );
        for json in ["1.5", "true", "null", "\"\"", "[1]", "{}"] {
            assert_eq!(user(json), None, "{json}");
        }
    }
}
