//! The body of a request: read within limits of size, time and memory, and parsed on another thread
//! if it is large.

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

/// Reads the body of a request, within limits of size and time, and calls `parse` with it.
///
/// If the body has more than `inline_bytes`, `parse` is called on a blocking thread: parsing a
/// large body, and copying it into a message, would hold the shard up. Returns the parsed value,
/// and the ledger's entry for the memory that the body and the value hold.
pub(super) async fn read<T: Send + 'static>(
    shard: &Shard,
    request: &mut Request<Incoming>,
    inline_bytes: usize,
    parse: impl FnOnce(&[u8]) -> Result<T, Rejection> + Send + 'static,
) -> Result<(T, Held), Rejection> {
    let gathered = gather(shard, request.body_mut());
    let (bytes, held) = timeout(shard.config().timeouts.request, gathered)
        .await
        .map_err(|_| Rejection::Timeout)??;
    if bytes.len() <= inline_bytes {
        return Ok((parse(&bytes)?, held));
    }
    // An error means that `parse` has panicked, or that the shard is ending.
    let done = spawn_blocking(move || parse(&bytes)).await;
    let parsed =
        done.unwrap_or_else(|_| Err(Rejection::Overloaded("the body could not be parsed".into())))?;
    Ok((parsed, held))
}

/// Receives a body. Rejects the request if memory is short and the client has already taken longer
/// than a slow consumer may be blocked: others need the memory that its body holds.
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
            sleep(CHECK_INTERVAL).await;
            continue;
        }
        let Ok(frame) = timeout(CHECK_INTERVAL, body.frame()).await else {
            continue;
        };
        let Some(frame) = frame else {
            return Ok((gathered.bytes, held));
        };
        let frame = frame
            .map_err(|error| Rejection::BadRequest(format!("the body can't be read: {error}")))?;
        // Trailers of a chunked body are ignored.
        if let Ok(piece) = frame.into_data() {
            gathered.append(&piece)?;
            held.set(gathered.held_bytes());
        }
    }
}

/// The part of a body that has arrived, in one vector. The vector takes at most twice as much
/// memory as it has bytes, however small the chunks are in which the body arrives.
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

    /// Refuses a body of which `announced` more bytes will come, if that makes it too large.
    /// Reserves no memory for these bytes.
    fn expect(&self, announced: usize) -> Result<(), Rejection> {
        if announced > self.limit_bytes - self.bytes.len() {
            return Err(Rejection::BodyTooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        Ok(())
    }

    /// Returns how many bytes of memory the body holds, together with the text and the frame that
    /// will be made of the body.
    fn held_bytes(&self) -> usize {
        self.bytes.capacity() + 2 * self.bytes.len()
    }

    /// Appends bytes that have arrived. Only this takes memory for the body.
    fn append(&mut self, piece: &[u8]) -> Result<(), Rejection> {
        self.expect(piece.len())?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

/// Parses a body, which must be a JSON object. An error names the field that is wrong.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Rejection> {
    // serde would also take an array, with the fields' values in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Rejection::bad_request(&"an object is expected"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // The path `.` stands for no field, and `?` for an unknown one, which the error itself
        // names.
        let field = match path.as_str() {
            "." | "?" => String::new(),
            path => format!("{path}: "),
        };
        Rejection::BadRequest(format!("{field}{}", error.into_inner()))
    })?;
    json.end().map_err(|error| Rejection::bad_request(&error))?;
    Ok(parsed)
}

/// Time between two checks whether memory is short, while a body arrives slowly.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_at_most_twice_its_bytes_of_memory_however_small_its_chunks_are() {
        let mut gathered = Gathered::new(100_000);
        assert_eq!(gathered.expect(100_000), Ok(()));
        assert_eq!(gathered.bytes.capacity(), 0, "nothing has arrived");
        for count in 1..=100_000 {
            assert_eq!(gathered.append(b"x"), Ok(()));
            assert!(gathered.bytes.capacity() <= 2 * count.max(8));
        }
    }

    #[test]
    fn a_body_that_is_too_large_is_refused_as_soon_as_that_is_known() {
        let too_large = Err(Rejection::BodyTooLarge { limit_bytes: 10 });
        let mut gathered = Gathered::new(10);
        assert_eq!(gathered.expect(11), too_large);
        assert_eq!(gathered.append(&[0; 8]), Ok(()));
        assert_eq!(gathered.append(&[0; 3]), too_large);
        assert_eq!(gathered.append(&[0; 2]), Ok(()));
    }
}
