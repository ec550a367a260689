//! The body of a request: read within bounds, and parsed where that holds nobody up.

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use hyper::{
    Request,
    body::{Body, Incoming},
};
use serde::Deserialize;
use tokio::{task::spawn_blocking, time::timeout};

use super::reply::Refusal;
use crate::config::Config;

/// Reads the body of a request, bounded in size and time, and lets `understand` make of it what is
/// asked for.
///
/// What takes long is done on a thread beside the shard: putting the body's pieces together,
/// parsing, and making a message of it all cost more with its length.
pub(super) async fn read<T: Send + 'static>(
    config: &Config,
    request: &mut Request<Incoming>,
    understand: impl FnOnce(&[u8]) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let mut body = collect(config, request).await?.aggregate();
    let bytes = body.remaining();
    let work = move || understand(&body.copy_to_bytes(bytes));
    if bytes <= INLINE_BYTES {
        return work();
    }
    // It has panicked, or the shard is ending.
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Refusal::Overloaded("the body could not be parsed".into())))
}

async fn collect(
    config: &Config,
    request: &mut Request<Incoming>,
) -> Result<Collected<Bytes>, Refusal> {
    let limit_bytes = config.limits.body_bytes();
    let too_large = Refusal::BodyTooLarge { limit_bytes };
    let announced = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit_bytes {
        return Err(too_large);
    }
    let read = Limited::new(request.body_mut(), limit_bytes).collect();
    let read = timeout(config.timeouts.request, read)
        .await
        .map_err(|_| Refusal::Timeout)?;
    read.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return too_large;
        }
        Refusal::BadRequest(format!("the body can't be read: {error}"))
    })
}

/// Parses a body, which is an object; an error names the field.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    // serde would take an array for it, its elements for the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::bad_request(&"an object is expected"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // Not in a field, or in none that could be told.
        let field = match path.as_str() {
            "." | "?" => String::new(),
            path => format!("{path}: "),
        };
        Refusal::BadRequest(format!("{field}{}", error.into_inner()))
    })?;
    json.end().map_err(|error| Refusal::bad_request(&error))?;
    Ok(parsed)
}

/// What a shard parses itself: a message of the default limit. A list of as many names as fit into it
/// takes 2 ms. Beyond that, another thread is the smaller price.
const INLINE_BYTES: usize = 80 * 1024;
