//! The body of a request: read within limits of size, time and memory, and parsed on another thread
//! if it is large.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request,
    body::{Body, Incoming},
};
use serde::Deserialize;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    hub::{Held, bounds::budget::ShortOfMemory, shard::Shard},
    server::{encoding, response::Rejection, underway::Underway},
};

/// An extension of a request whose body was read to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeBody {
    /// True if something came between the last chunk and the end.
    pub(super) has_trailers: bool,
}

/// An extension of a request whose body was asked for. A client that waits for a 100 (Continue) has
/// got it, and sends the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedFor;

/// The form of a body, and how large it may be. Sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    object_bytes: usize,
    list_bytes: usize,
    /// True if the body is a list. `None` until its first byte that is no whitespace has come.
    is_list: Option<bool>,
}

impl Form {
    /// A JSON object.
    pub(super) fn object(most_bytes: usize) -> Self {
        Self {
            object_bytes: most_bytes,
            list_bytes: 0,
            is_list: Some(false),
        }
    }

    /// A list: lines, or the items of a JSON array.
    pub(super) fn list(most_bytes: usize) -> Self {
        Self {
            object_bytes: 0,
            list_bytes: most_bytes,
            is_list: Some(true),
        }
    }

    /// A JSON object or a JSON array.
    pub(super) fn object_or_list(object_bytes: usize, list_bytes: usize) -> Self {
        Self {
            object_bytes,
            list_bytes,
            is_list: None,
        }
    }

    fn limit_bytes(self) -> usize {
        match self.is_list {
            Some(true) => self.list_bytes,
            Some(false) => self.object_bytes,
            None => self.object_bytes.max(self.list_bytes),
        }
    }
}

/// A whole body.
#[derive(Debug)]
pub(super) struct ReceivedBody {
    pub(super) bytes: Bytes,
    pub(super) is_list: bool,
}

/// Reads the body of a request, which is a JSON object, and calls `parse` with it, as
/// [`parse_in_time`] does. Returns the parsed value, and the ledger's entry for the memory that the
/// body and the value hold.
pub(super) async fn read<T: Send + 'static>(
    shard: &Shard,
    request: &mut Request<Incoming>,
    inline_bytes: usize,
    parse: impl FnOnce(&[u8]) -> Result<T, Rejection> + Send + 'static,
) -> Result<(T, Held), Rejection> {
    let form = Form::object(shard.config().limits.body_bytes());
    let (body, held) = receive(shard, request, form).await?;
    Ok((parse_in_time(body.bytes, inline_bytes, parse).await?, held))
}

/// Receives the body of a request, which must be plain UTF-8, within limits of size and time. Also
/// returns the ledger's entry for the memory that the body holds, and for what will be made of it if
/// it is an object.
///
/// A drain does not wait for the rest of a body. If no complete request is left to be answered
/// before the rest has come, the request is rejected.
pub(super) async fn receive(
    shard: &Shard,
    request: &mut Request<Incoming>,
    form: Form,
) -> Result<(ReceivedBody, Held), Rejection> {
    encoding::check_content(request.headers())?;
    let underway = request.extensions_mut().remove::<Underway>();
    let requests = underway.map(Underway::pause);
    let is_asked_for = Cell::new(false);
    let gathered = gather(shard, request.body_mut(), form, &is_asked_for);
    let gathered = timeout(shard.config().timeouts.request, gathered).await;
    if is_asked_for.get() {
        request.extensions_mut().insert(AskedFor);
    }
    let (body, held, whole) = gathered.map_err(|_| Rejection::Timeout)??;
    request.extensions_mut().insert(whole);
    if let Some(requests) = requests {
        let underway = requests.begin().ok_or_else(Rejection::shutting_down)?;
        request.extensions_mut().insert(underway);
    }
    Ok((body, held))
}

/// Calls `parse` with `bytes`: on a blocking thread if there are more than `inline_bytes`, because
/// parsing them, and copying them into a message, would hold the shard up.
pub(super) async fn parse_in_time<T: Send + 'static>(
    bytes: Bytes,
    inline_bytes: usize,
    parse: impl FnOnce(&[u8]) -> Result<T, Rejection> + Send + 'static,
) -> Result<T, Rejection> {
    if bytes.len() <= inline_bytes {
        return parse(&bytes);
    }
    // An error means that `parse` has panicked, or that the shard is ending.
    let done = spawn_blocking(move || parse(&bytes)).await;
    done.unwrap_or_else(|_| Err(Rejection::Overloaded("the body could not be parsed".into())))
}

/// Receives a body. Rejects the request if memory is short and the client has already taken longer
/// than a slow consumer may be blocked: the memory that the body holds is needed for others. Sets
/// `is_asked_for` when the client is asked for the body.
async fn gather(
    shard: &Shard,
    body: &mut Incoming,
    form: Form,
    is_asked_for: &Cell<bool>,
) -> Result<(ReceivedBody, Held, WholeBody), Rejection> {
    let begun = Instant::now();
    let (ledger, longest) = (shard.ledger(), shard.config().timeouts.blocked);
    let mut held = ledger.hold(0);
    let _trailers = ledger.hold(trailer_bytes(body));
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut gathered = Gathered::new(form, announced)?;
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
        is_asked_for.set(true);
        let Ok(frame) = timeout(CHECK_INTERVAL, body.frame()).await else {
            continue;
        };
        let Some(frame) = frame else {
            return Ok((gathered.finish(), held, WholeBody { has_trailers }));
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

/// Returns the memory that hyper may hold for the trailers of a body while it is read, in bytes.
/// Only a body in chunks has trailers, and no length.
pub(super) fn trailer_bytes(body: &Incoming) -> usize {
    match body.size_hint().exact() {
        Some(_) => 0,
        None => TRAILER_BYTES,
    }
}

/// The part of a body that has arrived, in one vector. The vector takes at most twice as much
/// memory as it has bytes, however small the pieces are in which the body arrives, and no more than
/// the body may have.
#[derive(Debug)]
struct Gathered {
    bytes: Vec<u8>,
    /// Least number of bytes that the whole body has.
    announced: usize,
    form: Form,
}

impl Gathered {
    /// Begins with a body of at least `announced` bytes. Refuses it if they are too many. No memory
    /// is reserved for them yet.
    fn new(form: Form, announced: usize) -> Result<Self, Rejection> {
        let gathered = Self {
            bytes: Vec::new(),
            announced,
            form,
        };
        gathered.check(announced)?;
        Ok(gathered)
    }

    /// Refuses the body if it may not have so many bytes.
    fn check(&self, bytes: usize) -> Result<(), Rejection> {
        let limit_bytes = self.form.limit_bytes();
        if bytes > limit_bytes {
            return Err(Rejection::BodyTooLarge { limit_bytes });
        }
        Ok(())
    }

    /// Returns the memory that the body holds, in bytes, and that will be made of an object. What
    /// is made of the items of a list is charged while they are parsed, one by one.
    fn held_bytes(&self) -> usize {
        let parsed = match self.form.is_list {
            Some(true) => 0,
            Some(false) | None => parsed_bytes(self.bytes.len()),
        };
        self.bytes.capacity() + parsed
    }

    /// Appends bytes that have arrived. Only this takes memory for the body.
    fn append(&mut self, piece: &[u8]) -> Result<(), Rejection> {
        if self.form.is_list.is_none() {
            let first = piece.trim_ascii_start().first();
            self.form.is_list = first.map(|&byte| byte == b'[');
            self.check(self.announced)?;
        }
        let needed = self.bytes.len().saturating_add(piece.len());
        self.check(needed)?;
        if needed > self.bytes.capacity() {
            let doubled = (2 * self.bytes.capacity()).min(self.form.limit_bytes());
            let more = needed.max(doubled) - self.bytes.len();
            self.bytes.reserve_exact(more);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    fn finish(self) -> ReceivedBody {
        ReceivedBody {
            bytes: self.bytes.into(),
            is_list: self.form.is_list == Some(true),
        }
    }
}

/// Returns how many bytes of memory may be made of a JSON object of this many bytes while it is
/// parsed: a text, and a frame.
pub(super) fn parsed_bytes(json_bytes: usize) -> usize {
    2 * json_bytes
}

/// Parses a body, which must be a JSON object. An error names the field that is wrong.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Rejection> {
    if body.starts_with(BYTE_ORDER_MARK) {
        return Err(Rejection::bad_request(
            &"a byte order mark (U+FEFF) stands before the JSON",
        ));
    }
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
    json.end()
        .map_err(|error| Rejection::Trailing(error.to_string()))?;
    Ok(parsed)
}

/// Size of the largest trailers that hyper reads, in bytes.
const TRAILER_BYTES: usize = 16 * 1024;

/// The first bytes of text as some programs write it. JSON must not begin with them (RFC 8259 §8.1).
const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// Time between two checks whether memory is short, while a body arrives slowly.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_at_most_twice_its_bytes_of_memory_however_small_its_chunks_are() {
        let mut gathered = Gathered::new(Form::object(100_000), 100_000).unwrap();
        assert_eq!(gathered.bytes.capacity(), 0, "nothing has arrived");
        for count in 1..=100_000 {
            assert_eq!(gathered.append(b"x"), Ok(()));
            assert!(gathered.bytes.capacity() <= (2 * count.max(8)).min(100_000));
        }
    }

    fn too_large(limit_bytes: usize) -> Result<(), Rejection> {
        Err(Rejection::BodyTooLarge { limit_bytes })
    }

    #[test]
    fn a_body_that_is_too_large_is_refused_as_soon_as_that_is_known() {
        let begun = |announced| Gathered::new(Form::object(10), announced);
        assert_eq!(begun(11).map(drop), too_large(10));
        let mut gathered = begun(10).unwrap();
        assert_eq!(gathered.append(&[0; 8]), Ok(()));
        assert_eq!(gathered.append(&[0; 3]), too_large(10));
        assert_eq!(gathered.append(&[0; 2]), Ok(()));
    }

    #[test]
    fn an_object_and_a_list_have_limits_of_their_own_from_the_first_byte_on() {
        let begun = |announced| Gathered::new(Form::object_or_list(10, 20), announced);
        assert_eq!(begun(21).map(drop), too_large(20));
        for (first, limit) in [(b"{", 10), (b"[", 20), (b"x", 10)] {
            assert_eq!(begun(limit).unwrap().append(first), Ok(()));
            if limit < 20 {
                assert_eq!(begun(limit + 1).unwrap().append(first), too_large(limit));
            }
            let mut gathered = begun(0).unwrap();
            assert_eq!(gathered.append(b"\r\n "), Ok(()), "not known yet");
            assert_eq!(gathered.append(first), Ok(()));
            assert_eq!(gathered.append(&vec![b' '; limit - 4]), Ok(()));
            assert_eq!(gathered.append(b" "), too_large(limit));
            assert_eq!(gathered.finish().is_list, first == b"[");
        }
        let lines = Gathered::new(Form::list(20), 20).unwrap();
        assert!(lines.finish().is_list);
    }
}
