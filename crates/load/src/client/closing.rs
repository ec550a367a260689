//! The ends of connections: by a closing handshake, or by a reset.
//!
//! A socket resets its connection when it is dropped, unless the closing handshake was begun. The
//! server ends the connection then (RFC 6455 §7.1.1), so that this machine keeps no port in
//! TIME_WAIT.

use std::time::Duration;

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
            if let End::Closed(Some(code)) = end {
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

    /// Begins the closing handshakes of all connections.
    pub(crate) fn leave_all(&mut self, handler: &mut dyn Handler) -> Result<(), Error> {
        let keys: Vec<_> = self.clients.keys().collect();
        for some in keys.chunks(LEAVING_AT_ONCE) {
            for key in some {
                self.leave(*key);
            }
            // The answers of the server, so that they do not pile up.
            self.poll(Moment::now(), handler)?;
        }
        Ok(())
    }

    /// Ends the connections whose closing handshake has taken too long.
    pub(super) fn end_overdue(&mut self, handler: &mut dyn Handler) {
        if self.leaving.is_empty() {
            return;
        }
        let now = Moment::now();
        while let Some(&(due, key)) = self.leaving.front()
            && due <= now
        {
            self.leaving.pop_front();
            if let Some(client) = self.clients.get(key) {
                self.counts.unclosed += u64::from(!client.is_closed());
                client.close_by_reset();
                self.end(key, End::Left, handler);
            }
        }
    }
}

/// Number of connections that begin the closing handshake before the answers of the server are
/// read. Arbitrary.
const LEAVING_AT_ONCE: usize = 256;

/// Time after which a connection is reset whose closing handshake the server has not answered, or
/// which the server has not ended then (RFC 6455 §7.1.1). Arbitrary.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
