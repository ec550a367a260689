//! Reads a connection: passes the events of the received bytes to the handler.

use std::io::Read as _;

use crate::{
    client::{
        Client, Context, KEPT_BYTES, Stage,
        answer::{Answer, Input},
        event::{ClientKey, Conn, End, Event},
        frame::{Keys, Opcode},
        is_temporary,
        messages::Incoming,
        requests::Requests,
    },
    clock::Moment,
    display::first_line,
    error::Error,
};

impl Client {
    /// Reads the socket once, and passes the events of the received bytes to the handler.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>, context: Context<'_>) -> Result<(), End> {
        let kept = self.rest.len();
        if buffer.len() < kept + READ_BYTES {
            buffer.resize(kept + READ_BYTES, 0);
        }
        buffer[..kept].copy_from_slice(&self.rest);
        let read = match self.socket.read(&mut buffer[kept..]) {
            Ok(0) if self.state.is_leaving() => return Err(End::Left),
            Ok(0) => return Err(self.on_end_of_stream(context)),
            Ok(read) => read,
            Err(error) if is_temporary(&error) => return Ok(()),
            // A server may answer the closing handshake by a reset, too.
            Err(_) if self.state.is_leaving() => return Err(End::Left),
            Err(_) if self.is_between_responses() => return Err(End::Expired),
            Err(error) => return Err(End::Failed(Error::Broken(error))),
        };
        let bytes = &buffer[..kept + read];
        let taken = self.process(bytes, context)?;
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[taken..]);
        if self.rest.is_empty() && self.rest.capacity() > KEPT_BYTES {
            self.rest = Vec::new();
        }
        Ok(())
    }

    /// Returns true for a connection for HTTP requests on which no response has begun.
    fn is_between_responses(&self) -> bool {
        matches!(self.stage, Stage::Http) && self.rest.is_empty()
    }

    /// Handles the end of what the server sends, which may be the end of a response, too. Returns
    /// how the connection has ended.
    fn on_end_of_stream(&mut self, context: Context<'_>) -> End {
        if self.is_between_responses() {
            return End::Expired;
        }
        if matches!(self.stage, Stage::Http)
            && let Ok(Some(_)) = Answer::read(&self.rest, Input::Ended)
        {
            self.requests.take_last_answered();
            self.notify(Event::Answered, context);
            return End::Expired;
        }
        End::Closed(None, String::new())
    }

    /// Processes all complete frames and responses in `bytes`. Returns how many bytes these take
    /// up.
    fn process(&mut self, bytes: &[u8], context: Context<'_>) -> Result<usize, End> {
        let Context { key, keys, handler } = context;
        // The clock is read only once for all events of one read.
        let now = Moment::now();
        let mut taken = 0;
        while taken < bytes.len() {
            let mut on_event = |event: Event<'_>, conn: &mut Conn<'_>| {
                handler.on_event(event, conn, now);
            };
            let Some(len) = self.process_next(&bytes[taken..], key, keys, &mut on_event)? else {
                break;
            };
            taken += len;
        }
        Ok(taken)
    }

    /// Processes the frame or response at the start of `bytes`. Returns its length, or `None` if it
    /// is not complete yet.
    fn process_next(
        &mut self,
        bytes: &[u8],
        key: ClientKey,
        keys: &mut Keys,
        on_event: &mut impl FnMut(Event<'_>, &mut Conn<'_>),
    ) -> Result<Option<usize>, End> {
        match &self.stage {
            Stage::Connecting(_) | Stage::Parked | Stage::Reconnecting => Ok(None),
            // §5.5.1: what follows a Close does not count.
            Stage::Closed => Ok(Some(bytes.len())),
            Stage::Upgrading(expected) => {
                let rejected = |rejection| End::Failed(Error::Rejected(rejection));
                let taken = expected.check(bytes).map_err(rejected)?;
                if taken.is_some() {
                    self.stage = Stage::Open;
                    on_event(Event::Opened, &mut self.conn(key, keys));
                }
                Ok(taken)
            }
            Stage::Http => {
                let answer = take_answer(&mut self.requests, bytes)?;
                if answer.is_some() {
                    on_event(Event::Answered, &mut self.conn(key, keys));
                }
                if answer.as_ref().is_some_and(|answer| answer.is_last) {
                    return Err(End::Expired);
                }
                // Those that have waited for this answer, if any.
                self.requests.send(&mut self.state.output.wire);
                Ok(answer.map(|answer| answer.len))
            }
            Stage::Open => self.process_frame(bytes, key, keys, on_event),
        }
    }

    /// Processes the frame at the start of `bytes`, as [`process_next`](Self::process_next) does.
    fn process_frame(
        &mut self,
        bytes: &[u8],
        key: ClientKey,
        keys: &mut Keys,
        on_event: &mut impl FnMut(Event<'_>, &mut Conn<'_>),
    ) -> Result<Option<usize>, End> {
        let mut conn = Conn::new(key, &mut self.state, keys);
        // The code and the reason of a Close, if one arrives.
        let mut closed = None;
        let greetings = &mut self.greetings;
        let taken = self.assembly.take(bytes, |incoming| match incoming {
            Incoming::Message(_) if *greetings > 0 => *greetings -= 1,
            Incoming::Message(message) => on_event(Event::Message(message), &mut conn),
            Incoming::Ping(payload) => conn.send(Opcode::Pong, &[payload]),
            Incoming::Close(code, reason) => closed = Some((code, reason.to_vec())),
        });
        let taken = taken.map_err(|error| End::Failed(Error::Protocol(error)))?;
        match closed {
            None => Ok(taken),
            Some((code, reason)) if !self.state.is_leaving() => {
                let reason = first_line(&String::from_utf8_lossy(&reason));
                Err(End::Closed(code, reason))
            }
            Some(_) if self.aborts => Err(End::Left),
            Some(_) => {
                self.stage = Stage::Closed;
                Ok(taken)
            }
        }
    }
}

/// Takes the response to the oldest of `requests` off the start of `bytes`. `None` if it is not
/// complete yet.
fn take_answer<'a>(requests: &mut Requests, bytes: &'a [u8]) -> Result<Option<Answer<'a>>, End> {
    // RFC 9112 §9.2: bytes without a request are no response. Some servers send a 408 before they
    // end an idle connection.
    if requests.is_empty() {
        return Err(End::Expired);
    }
    match Answer::take(bytes) {
        Ok(answer) => {
            match &answer {
                Some(answer) if answer.is_last => requests.take_last_answered(),
                Some(_) => requests.take_answered(),
                None => {}
            }
            Ok(answer)
        }
        Err(rejection) if rejection.is_timeout() && requests.may_be_sent_again() => {
            Err(End::Expired)
        }
        Err(rejection) => Err(End::Failed(Error::Publish(rejection))),
    }
}

/// Largest number of bytes of one read: about as many as the kernel usually has for one socket.
const READ_BYTES: usize = 256 << 10;
