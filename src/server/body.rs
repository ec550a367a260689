//! The body of a request: read within limits of size, time and memory, and parsed on another thread
//! if it is large.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request,
    body::{Body, Incoming},
    header::TRANSFER_ENCODING,
};
use serde::Deserialize;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    hub::{Held, bounds::budget::ShortOfMemory, shard::Shard},
    server::{response::Rejection, underway::Underway},
};

/// An extension of a request whose body was read to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeBody {
    /// True if something came between the last chunk and the end.
    pub(super) has_trailers: bool,
}

/// Checks that a body, if there is one, has no other transfer coding than `chunked`. hyper takes
/// `gzip, chunked` for chunked, too, and would return the compressed bytes (RFC 9112 §6.1).
pub(super) fn check_coding(headers: &HeaderMap) -> Result<(), Rejection> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Rejection::TransferCoding),
    }
}

/// Reads the body of a request, within limits of size and time, and calls `parse` with it.
///
/// If the body has more than `inline_bytes`, `parse` is called on a blocking thread: parsing a
/// large body, and copying it into a message, would hold the shard up. Returns the parsed value,
/// and the ledger's entry for the memory that the body and the value hold.
///
/// A drain does not wait for the rest of a body. If no complete request is left to be answered
/// before the rest has come, the request is rejected.
pub(super) async fn read<T: Send + 'static>(
    shard: &Shard,
    request: &mut Request<Incoming>,
    inline_bytes: usize,
    parse: impl FnOnce(&[u8]) -> Result<T, Rejection> + Send + 'static,
) -> Result<(T, Held), Rejection> {
    let underway = request.extensions_mut().remove::<Underway>();
    let requests = underway.map(Underway::pause);
    let gathered = gather(shard, request.body_mut());
    let (bytes, held, whole) = timeout(shard.config().timeouts.request, gathered)
        .await
        .map_err(|_| Rejection::Timeout)??;
    request.extensions_mut().insert(whole);
    let parsed = if bytes.len() <= inline_bytes {
        parse(&bytes)?
    } else {
        // An error means that `parse` has panicked, or that the shard is ending.
        let done = spawn_blocking(move || parse(&bytes)).await;
        done.unwrap_or_else(|_| Err(Rejection::Overloaded("the body could not be parsed".into())))?
    };
    if let Some(requests) = requests {
        let underway = requests.begin().ok_or_else(Rejection::shutting_down)?;
        request.extensions_mut().insert(underway);
    }
    Ok((parsed, held))
}

/// Receives a body. Rejects the request if memory is short and the client has already taken longer
/// than a slow consumer may be blocked: the memory that the body holds is needed for others.
async fn gather(
    shard: &Shard,
    body: &mut Incoming,
) -> Result<(Vec<u8>, Held, WholeBody), Rejection> {
    let begun = Instant::now();
    let (ledger, longest) = (shard.ledger(), shard.config().timeouts.blocked);
    let mut held = ledger.hold(0);
    let mut gathered = Gathered::new(shard.config().limits.body_bytes());
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    gathered.expect(announced)?;
    let mut has_trailers = false;
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
            return Ok((gathered.bytes, held, WholeBody { has_trailers }));
        };
        let frame = frame.map_err(|error| Rejection::BodyUnreadable(error.to_string()))?;
        match frame.into_data() {
            Ok(piece) => {
                gathered.append(&piece)?;
                held.set(gathered.held_bytes());
            }
            Err(frame) => {
                has_trailers = true;
                // Where hyper finds no trailers, a line ends with a bare LF.
                if frame.trailers_ref().is_some_and(HeaderMap::is_empty) {
                    return Err(Rejection::BodyUnreadable("malformed trailers".into()));
                }
            }
        }
    }
}

/// The part of a body that has arrived, in one vector. The vector takes at most twice as much
/// memory as it has bytes, however small the pieces are in which the body arrives.
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

    /// Refuses the body if `announced` more bytes would make it too large. Reserves no memory for
    /// these bytes.
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
