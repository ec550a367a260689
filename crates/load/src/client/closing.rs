//! The ends of connections: by a closing handshake, or by a reset.
//!
//! A socket resets its connection when it is dropped, unless the closing handshake was begun. The
//! server ends the connection then (RFC 6455 §7.1.1), so that this machine keeps no port in
//! TIME_WAIT.

use std::time::Duration;

use rustix::event::epoll::EventFlags;
use socket2::SockRef;

use crate::{
    client::{
        Client, Stage,
        clients::Clients,
        event::{ClientKey, End, Handler},
        frame::{Keys, Opcode},
    },
    clock::Moment,
    error::Error,
};

impl Client {
    /// Returns true if the server has answered the closing handshake.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// Makes the end of the connection one without a reset, unless the plan wants a reset.
    pub(super) fn close_gently(&self) {
        if !self.aborts {
            // Fails only for a socket that has ended.
            let _ = SockRef::from(&self.socket).set_linger(None);
        }
    }

    /// Makes the end of the connection a reset.
    pub(super) fn close_by_reset(&self) {
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    /// Answers the Close of a server that has begun the closing handshake, or its end of the
    /// connection. The connection can then be dropped.
    pub(super) fn answer_close(&mut self, key: ClientKey, keys: &mut Keys, end: &End) {
        if matches!(self.stage, Stage::Open) && !self.aborts {
            if let End::Closed(Some(code), _) = end {
                let code = code.to_be_bytes();
                self.conn(key, keys).send(Opcode::Close, &[&code]);
                // Fails if the server has ended the connection, too.
                let _ = self.state.output.flush(&self.socket);
            }
            self.close_gently();
        }
    }
}

impl Clients {
    /// Begins the closing handshake of a connection. If it is not open yet, ends it at once
    /// instead. A connection for HTTP has no closing handshake, and is closed.
    pub(crate) fn leave(&mut self, key: ClientKey) {
        match self.clients.get_mut(key) {
            Some(client) if client.is_opening() => self.abort(key),
            Some(client) if client.is_http() => {
                client.close_gently();
                self.clients.remove(key);
            }
            Some(client) => {
                client.conn(key, &mut self.keys).leave();
                // Fails only if epoll does. A write that fails is found when the socket is read.
                let _ = self.flush(key);
            }
            None => {}
        }
    }

    /// Ends all connections by closing handshakes, some at a time: a server that gets thousands at
    /// once could not answer in time. Returns when all have ended.
    pub(crate) fn leave_all(&mut self, handler: &mut dyn Handler) -> Result<(), Error> {
        let mut staying: Vec<_> = self.clients.keys().collect();
        let unclosed = self.counts.unclosed;
        while self.len() > 0 {
            // The time for a server that does not answer is spent only once.
            let at_once = if self.counts.unclosed == unclosed {
                LEAVING_AT_ONCE
            } else {
                usize::MAX
            };
            while self.len().saturating_sub(staying.len()) < at_once
                && let Some(key) = staying.pop()
            {
                self.leave(key);
            }
            let front = self.leaving.front();
            let due = front.map_or_else(Moment::now, |(due, _)| *due);
            self.poll(due, handler)?;
        }
        Ok(())
    }

    /// Ends the connections whose closing handshake has taken too long.
    pub(super) fn end_overdue(&mut self, handler: &mut dyn Handler) -> Result<(), Error> {
        if self.leaving.is_empty() {
            return Ok(());
        }
        let now = Moment::now();
        while let Some(&(due, key)) = self.leaving.front()
            && due <= now
        {
            self.leaving.pop_front();
            // The answer and the end may have arrived in time, and wait to be read: a generator with
            // thousands of connections needs some time for them.
            for _ in 0..2 {
                self.handle(key, EventFlags::IN, handler)?;
            }
            if let Some(client) = self.clients.get(key) {
                self.counts.unclosed += u64::from(!client.is_closed());
                client.close_by_reset();
                self.end(key, End::Left, handler);
            }
        }
        Ok(())
    }
}

/// Largest number of connections that are in the closing handshake at a time, at the end of a run.
/// Arbitrary: a server that needs a millisecond for each still answers in time.
const LEAVING_AT_ONCE: usize = 256;

/// Time after which a connection is reset whose closing handshake the server has not answered, or
/// which the server has not ended then (RFC 6455 §7.1.1). Arbitrary.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{
        client::{
            clients::Endpoint,
            event::{Conn, Event, Role},
        },
        plan::{Scheme, Target, tests::target},
    };

    struct Nobody;

    impl Handler for Nobody {
        fn on_event(&mut self, _event: Event<'_>, _conn: &mut Conn<'_>, _now: Moment) {}
    }

    /// Sends what the client has sent back to it.
    fn echo(server: &mut TcpStream) {
        let mut buffer = [0; 1024];
        let read = server.read(&mut buffer).unwrap();
        server.write_all(&buffer[..read]).unwrap();
    }

    #[test]
    fn an_answer_that_waits_to_be_read_when_the_time_is_over_counts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target {
            scheme: Scheme::Tcp,
            address: listener.local_addr().unwrap(),
            ..target()
        };
        let mut clients = Clients::new(&target, 0).unwrap();
        let endpoint = Endpoint::WebSocket("/");
        let key = clients.dial(Role::Holder, endpoint, Moment::now()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        clients.poll(Moment::now(), &mut Nobody).unwrap();
        echo(&mut server);
        while clients.opening() > 0 {
            clients.poll(Moment::now(), &mut Nobody).unwrap();
        }
        clients.leave(key);
        echo(&mut server);
        let socket = clients.clients[key].socket.try_clone().unwrap();
        while socket.peek(&mut [0]).is_err() {}
        clients.leaving[0].0 = Moment::default();
        clients.poll(Moment::now(), &mut Nobody).unwrap();
        assert_eq!((clients.len(), clients.counts.unclosed), (0, 0));
    }
}
