//! The body of a request: read within bounds, and parsed where that holds nobody up.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::{
    Request,
    body::{Body, Incoming},
};
use serde::Deserialize;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    hub::{Held, bounds::budget::ShortOfMemory, shard::Shard},
    server::response::Rejection,
};

/// Reads the body of a request, bounded in size and time, and lets `understand` make of it what is
/// asked for.
///
/// With more than `inline_bytes` that is done on a thread beside the shard: parsing a body and making
/// a message of it cost more with its length. What all this holds is the other result.
pub(super) async fn read<T: Send + 'static>(
    shard: &Shard,
    request: &mut Request<Incoming>,
    inline_bytes: usize,
    understand: impl FnOnce(&[u8]) -> Result<T, Rejection> + Send + 'static,
) -> Result<(T, Held), Rejection> {
    let gathered = gather(shard, request.body_mut());
    let (bytes, held) = timeout(shard.config().timeouts.request, gathered)
        .await
        .map_err(|_| Rejection::Timeout)??;
    if bytes.len() <= inline_bytes {
        return Ok((understand(&bytes)?, held));
    }
    // It has panicked, or the shard is ending.
    let done = spawn_blocking(move || understand(&bytes)).await;
    let understood =
        done.unwrap_or_else(|_| Err(Rejection::Overloaded("the body could not be parsed".into())))?;
    Ok((understood, held))
}

/// Gathers a body, unless memory is short and it has begun long ago: others wait for what it holds.
async fn gather(shard: &Shard, body: &mut Incoming) -> Result<(Vec<u8>, Held), Rejection> {
    let begun = Instant::now();
    let (ledger, longest) = (shard.ledger(), shard.config().timeouts.blocked);
    let mut held = ledger.hold(0);
    let mut gathered = Gathered::new(shard.config().limits.body_bytes());
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    gathered.expect(announced)?;
    loop {
        if ledger.budget().is_crowded() && begun.elapsed() >= longest {
            ledger.budget().counts.unfinished.increment();
            return Err(ShortOfMemory.into());
        }
        if ledger.budget().is_exhausted() {
            sleep(BETWEEN_LOOKS).await;
            continue;
        }
        let Ok(frame) = timeout(BETWEEN_LOOKS, body.frame()).await else {
            continue;
        };
        let Some(frame) = frame else {
            return Ok((gathered.bytes, held));
        };
        let frame = frame
            .map_err(|error| Rejection::BadRequest(format!("the body can't be read: {error}")))?;
        // The trailers of a chunked body say nothing.
        if let Ok(piece) = frame.into_data() {
            gathered.append(&piece)?;
            held.set(gathered.held_bytes());
        }
    }
}

/// What has come of a body, in one piece: however small the chunks are in which it comes, it takes
/// at most twice as much memory.
#[derive(Debug)]
struct Gathered {
    bytes: Vec<u8>,
    limit_bytes: usize,
}

impl Gathered {
    fn new(limit_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit_bytes,
        }
    }

    /// Refuses what is announced to be too large. No memory is taken for a promise.
    fn expect(&self, announced: usize) -> Result<(), Rejection> {
        if announced > self.limit_bytes - self.bytes.len() {
            return Err(Rejection::BodyTooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        Ok(())
    }

    /// Returns what it holds, in bytes, and what will be made of it: a text, and a frame.
    fn held_bytes(&self) -> usize {
        self.bytes.capacity() + 2 * self.bytes.len()
    }

    /// Appends what has come: the only place where memory is taken for a body.
    fn append(&mut self, piece: &[u8]) -> Result<(), Rejection> {
        self.expect(piece.len())?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

/// Parses a body, which is an object; an error names the field.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Rejection> {
    // serde would take an array for it, its elements for the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Rejection::bad_request(&"an object is expected"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // Not in a field, or in none that could be told.
        let field = match path.as_str() {
            "." | "?" => String::new(),
            path => format!("{path}: "),
        };
        Rejection::BadRequest(format!("{field}{}", error.into_inner()))
    })?;
    json.end().map_err(|error| Rejection::bad_request(&error))?;
    Ok(parsed)
}

/// How often to look whether memory is short while a body comes slowly.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_at_most_twice_what_has_come_however_small_its_pieces_are() {
        let mut gathered = Gathered::new(100_000);
        assert_eq!(gathered.expect(100_000), Ok(()));
        assert_eq!(gathered.bytes.capacity(), 0, "for a promise");
        for count in 1..=100_000 {
            assert_eq!(gathered.append(b"x"), Ok(()));
            assert!(gathered.bytes.capacity() <= 2 * count.max(8));
        }
    }

    #[test]
    fn a_body_that_is_too_large_is_refused_when_that_is_known() {
        let too_large = Err(Rejection::BodyTooLarge { limit_bytes: 10 });
        let mut gathered = Gathered::new(10);
        assert_eq!(gathered.expect(11), too_large);
        assert_eq!(gathered.append(&[0; 8]), Ok(()));
        assert_eq!(gathered.append(&[0; 3]), too_large);
        assert_eq!(gathered.append(&[0; 2]), Ok(()));
    }
}
