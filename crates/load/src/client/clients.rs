//! All connections of a process, on one thread: waits for their sockets and handles a few per poll.
//!
//! It uses epoll itself, not tokio or mio. Level-triggered epoll needs only one read per event. Its
//! time-outs are exact to the nanosecond, as a schedule needs them. There is no task to keep and to
//! wake for each connection, so that the generator costs less than the server that it measures.

use std::{collections::VecDeque, mem, net::TcpStream, os::fd::OwnedFd, time::Duration};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
};
use slotmap::{Key as _, KeyData, SlotMap};

use crate::{
    account::connections::Connections,
    client::{
        Client, Context, Stage,
        closing::CLOSE_TIMEOUT,
        dial::Dialer,
        event::{ClientKey, End, Event, Handler, Role},
        frame::{Keys, Opcode},
        handshake::Handshake,
        output::Output,
    },
    clock::Moment,
    error::Error,
    plan::{Scheme, Target},
};

/// All connections of this process.
pub(crate) struct Clients {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    /// Index in `events` of the event that is handled next.
    next_event: usize,
    pub(super) clients: SlotMap<ClientKey, Client>,
    /// The receive buffer, which all connections share.
    buffer: Vec<u8>,
    pub(super) keys: Keys,
    target: Target,
    dialer: Dialer,
    /// Number of connections that are not open yet.
    opening: usize,
    /// Connections that ended outside of [`poll`](Self::poll), which tells the handler.
    ended: Vec<(ClientKey, End)>,
    /// Connections that have begun the closing handshake, oldest first, each with the time at which
    /// it ends even if the server has not ended it.
    pub(super) leaving: VecDeque<(Moment, ClientKey)>,
    pub counts: Connections,
    /// The reason why a connection ended, for the connection that was the first to end. Connections
    /// that the generator itself has closed do not count.
    pub first_end: Option<End>,
}

impl Clients {
    pub(crate) fn new(target: &Target, connection_offset: usize) -> Result<Self, Error> {
        let epoll = epoll::create(CreateFlags::CLOEXEC);
        let keys = match target.scheme {
            Scheme::Tcp => Keys::zeros(),
            Scheme::Ws => Keys::new(Moment::now().as_nanos()),
        };
        Ok(Self {
            epoll: epoll.map_err(|error| Error::Poll(error.into()))?,
            events: Vec::with_capacity(MAX_EVENTS),
            next_event: 0,
            clients: SlotMap::with_key(),
            buffer: Vec::new(),
            keys,
            dialer: Dialer::new(target.address, connection_offset),
            target: target.clone(),
            opening: 0,
            ended: Vec::new(),
            leaving: VecDeque::new(),
            counts: Connections::default(),
            first_end: None,
        })
    }

    /// Returns how many connections are not open yet.
    pub(crate) fn opening(&self) -> usize {
        self.opening
    }

    /// Begins to open a connection that was scheduled for `due`.
    pub(crate) fn dial(
        &mut self,
        role: Role,
        endpoint: Endpoint<'_>,
        due: Moment,
    ) -> Result<ClientKey, Error> {
        let handshake = match endpoint {
            Endpoint::Http => None,
            Endpoint::WebSocket(path) => Some(Handshake::new(&self.target, path)),
        };
        let handshake = handshake.transpose();
        let handshake = handshake.map_err(|error| Error::Random(error.into()))?;
        let socket = self.dial_socket()?;
        let client = Client::new(socket, &self.target, role, handshake, due);
        let key = self.clients.insert(client);
        self.add(key)?;
        self.opening += 1;
        Ok(key)
    }

    fn dial_socket(&mut self) -> Result<TcpStream, Error> {
        let socket = self.dialer.dial(self.clients.len());
        socket.map_err(|error| Error::Connect(self.target.address, error))
    }

    /// Adds the socket of a connection to epoll.
    fn add(&self, key: ClientKey) -> Result<(), Error> {
        let client = &self.clients[key];
        let data = EventData::new_u64(key.data().as_ffi());
        let added = epoll::add(&self.epoll, &client.socket, data, client.interest);
        added.map_err(|error| Error::Poll(error.into()))
    }

    /// Returns how many bytes wait for the socket of a connection, or for an answer of the server.
    /// `None` if the connection has ended.
    pub(crate) fn backlog(&self, key: ClientKey) -> Option<usize> {
        Some(self.clients.get(key)?.backlog())
    }

    /// Queues a frame on connection `key`. The payload of the frame is `parts`, one after the
    /// other. The next [`flush`](Self::flush) writes it.
    pub(crate) fn send(&mut self, key: ClientKey, opcode: Opcode, parts: &[&[u8]]) {
        if let Some(client) = self.clients.get_mut(key) {
            client.conn(key, &mut self.keys).send(opcode, parts);
        }
    }

    /// Queues an HTTP request on connection `key`, whose bytes are `parts`, one after the other. The
    /// next [`flush`](Self::flush) writes it.
    pub(crate) fn post(&mut self, key: ClientKey, parts: &[&[u8]]) {
        if let Some(client) = self.clients.get_mut(key) {
            client.post(parts.concat());
        }
    }

    /// Returns how many connections have not ended.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Returns true unless the connection has ended.
    pub(crate) fn has(&self, key: ClientKey) -> bool {
        self.clients.contains_key(key)
    }

    /// Ends a connection at once, without a closing handshake.
    pub(crate) fn abort(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.remove(key) {
            self.opening -= usize::from(client.is_opening());
        }
    }

    /// Writes the queued bytes of a connection, as many as its socket takes. If it has queued HTTP
    /// requests and is parked, opens another connection for them.
    pub(crate) fn flush(&mut self, key: ClientKey) -> Result<(), Error> {
        let Some(client) = self.clients.get_mut(key) else {
            return Ok(());
        };
        self.counts.resent += client.requests.take_resent();
        if client.state.take_leave() {
            // Without this, the end of the connection would be a reset.
            client.close_gently();
            self.leaving.push_back((Moment::now() + CLOSE_TIMEOUT, key));
        }
        match client.stage {
            Stage::Parked if client.requests.is_empty() => return Ok(()),
            Stage::Parked => return self.reconnect(key),
            // Bytes that are queued meanwhile are written once the socket is connected.
            Stage::Connecting(_) | Stage::Reconnecting => return Ok(()),
            _ => {}
        }
        if client.state.output.flush(&client.socket).is_err() {
            // Drops the queued bytes. The next read returns the reason of the error, after the
            // bytes that the server sent before the end.
            client.state.output = Output::default();
        }
        self.update_interest(key)
    }

    /// Makes epoll report that the socket is writable if bytes are queued for it, and only then.
    fn update_interest(&mut self, key: ClientKey) -> Result<(), Error> {
        let Some(client) = self.clients.get_mut(key) else {
            return Ok(());
        };
        let interest = match client.state.output.len() {
            0 => EventFlags::IN,
            _ => EventFlags::IN | EventFlags::OUT,
        };
        if client.interest == interest {
            return Ok(());
        }
        client.interest = interest;
        self.watch(key)
    }

    /// Tells epoll for which readiness of a connection to wait.
    fn watch(&self, key: ClientKey) -> Result<(), Error> {
        let client = &self.clients[key];
        let data = EventData::new_u64(key.data().as_ffi());
        let changed = epoll::modify(&self.epoll, &client.socket, data, client.interest);
        changed.map_err(|error| Error::Poll(error.into()))
    }

    /// Handles the events of up to [`EVENTS_PER_POLL`] sockets. If no unhandled events of the last
    /// wait are left, waits for new events first, at most until `until`. Returns how many events
    /// were handled.
    pub(crate) fn poll(
        &mut self,
        until: Moment,
        handler: &mut dyn Handler,
    ) -> Result<usize, Error> {
        for (key, end) in mem::take(&mut self.ended) {
            self.end(key, end, handler);
        }
        self.end_overdue(handler)?;
        if self.next_event == self.events.len() {
            self.wait(until)?;
        }
        let end = self.events.len().min(self.next_event + EVENTS_PER_POLL);
        for index in self.next_event..end {
            let epoll::Event { flags, data } = self.events[index];
            self.handle(KeyData::from_ffi(data.u64()).into(), flags, handler)?;
        }
        let handled = end - self.next_event;
        self.next_event = end;
        Ok(handled)
    }

    fn wait(&mut self, until: Moment) -> Result<(), Error> {
        let time = until.since(Moment::now()).min(LONGEST_WAIT);
        let time = Timespec::try_from(time).ok();
        self.events.clear();
        self.next_event = 0;
        let waited = epoll::wait(&self.epoll, spare_capacity(&mut self.events), time.as_ref());
        match waited {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::Poll(error.into())),
        }
    }

    pub(super) fn handle(
        &mut self,
        key: ClientKey,
        flags: EventFlags,
        handler: &mut dyn Handler,
    ) -> Result<(), Error> {
        let Some(client) = self.clients.get_mut(key) else {
            // The connection ended after epoll had returned the event.
            return Ok(());
        };
        let was_opening = client.is_opening();
        let was_connecting = client.is_connecting();
        let context = Context {
            key,
            keys: &mut self.keys,
            handler,
        };
        let done = if was_connecting {
            let connected = client.on_connected(context);
            connected.map_err(|error| End::Failed(Error::Connect(self.target.address, error)))
        } else if flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
            client.read(&mut self.buffer, context)
        } else {
            Ok(())
        };
        if was_opening && !client.is_opening() {
            self.opening -= 1;
            self.counts.opened += 1;
            let dialed = client.state.dialed;
            self.counts.handshakes.record(Moment::now().since(dialed));
        }
        match done {
            // The end of the connect has changed the interest.
            Ok(()) if was_connecting => {
                self.watch(key)?;
                self.flush(key)
            }
            Ok(()) => self.flush(key),
            Err(end) if client.may_reconnect(&end) => {
                let removed = epoll::delete(&self.epoll, &client.socket);
                removed.map_err(|error| Error::Poll(error.into()))?;
                client.park();
                self.flush(key)
            }
            Err(end) => {
                self.end(key, end, handler);
                Ok(())
            }
        }
    }

    /// Opens another connection for the HTTP requests of a parked client.
    fn reconnect(&mut self, key: ClientKey) -> Result<(), Error> {
        match self.dial_socket() {
            Ok(socket) => {
                let client = &mut self.clients[key];
                client.reconnect(socket);
                self.counts.resent += client.requests.take_resent();
                self.add(key)
            }
            Err(error) => {
                self.ended.push((key, End::Failed(error)));
                Ok(())
            }
        }
    }

    pub(super) fn end(&mut self, key: ClientKey, end: End, handler: &mut dyn Handler) {
        let Some(mut client) = self.clients.remove(key) else {
            return;
        };
        if let End::Closed(..) = end {
            client.answer_close(key, &mut self.keys, &end);
        }
        let context = Context {
            key,
            keys: &mut self.keys,
            handler,
        };
        client.notify(Event::Ended, context);
        if matches!(end, End::Left) {
            return;
        }
        if client.is_opening() {
            self.opening -= 1;
            self.counts.add_failure(&end);
        } else {
            self.counts.disconnected += 1;
        }
        if let End::Closed(Some(code), reason) = &end {
            self.counts.add_close(*code, reason);
        }
        self.first_end.get_or_insert(end);
    }
}

/// The protocol for which a connection is used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoint<'a> {
    /// HTTP requests.
    Http,
    /// A WebSocket at this path.
    WebSocket(&'a str),
}

/// Largest number of events that epoll returns from one wait. Arbitrary.
const MAX_EVENTS: usize = 1024;

/// Largest number of sockets whose events one poll handles. It is small so that scheduled messages
/// are not delayed for long: one read, with all its events, may take 100 µs.
const EVENTS_PER_POLL: usize = 8;

/// The longest wait for events in one poll. Arbitrary: callers poll again.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl From<End> for Error {
    /// Returns the error of a run that fails because of this end of a connection.
    fn from(end: End) -> Self {
        match end {
            End::Closed(Some(code), reason) if reason.is_empty() => {
                Self::Closed(format!(" with {code}"))
            }
            End::Closed(Some(code), reason) => Self::Closed(format!(" with {code} ({reason})")),
            End::Closed(None, _) | End::Expired | End::Left => Self::Closed(String::new()),
            End::Failed(error) => error,
        }
    }
}
