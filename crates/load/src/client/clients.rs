//! All connections of the generator on one thread: waits for their sockets, a few at a turn.
//!
//! epoll itself, and not tokio or mio: level-triggered, one read per readiness is enough; time-outs
//! are exact to the nanosecond, which a schedule needs; and nothing is kept or woken per
//! connection, so that the generator costs less than the server that it measures.

use std::{os::fd::OwnedFd, time::Duration};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
};
use slotmap::{Key as _, KeyData, SlotMap};

use crate::{
    account::report::Connections,
    client::{
        Client, ClientKey, Ear, End, Hear, IsOpen, News, Opening, Output, Role, Stage,
        dial::dial,
        frame::{Keys, Opcode},
        opening,
    },
    clock::Moment,
    error::Error,
    plan::{Scheme, Target},
};

pub(crate) struct Clients {
    epoll: OwnedFd,
    events: Vec<Event>,
    /// The next of `events` to be looked at.
    next_event: usize,
    clients: SlotMap<ClientKey, Client>,
    /// What is read goes here first, whoever it is for.
    buffer: Vec<u8>,
    keys: Keys,
    target: Target,
    /// Connections of other processes.
    others: usize,
    opening: usize,
    pub counts: Connections,
    /// Why the first connection that has ended unasked has done so.
    pub first_end: Option<End>,
}

impl Clients {
    pub(crate) fn new(target: &Target, others: usize) -> Result<Self, Error> {
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
            target: target.clone(),
            others,
            opening: 0,
            counts: Connections::default(),
            first_end: None,
        })
    }

    /// Connections that are not yet open.
    pub(crate) fn opening(&self) -> usize {
        self.opening
    }

    /// Begins a connection for WebSocket messages.
    pub(crate) fn dial(&mut self, role: Role, path: &str, due: Moment) -> Result<ClientKey, Error> {
        let request = opening::request(&self.target.authority, path, &self.target.headers);
        self.begin(role, Opening::Upgrade(request), due)
    }

    /// Begins a connection for HTTP requests.
    pub(crate) fn dial_http(&mut self, role: Role, due: Moment) -> Result<ClientKey, Error> {
        self.begin(role, Opening::Http, due)
    }

    fn begin(&mut self, role: Role, opening: Opening, due: Moment) -> Result<ClientKey, Error> {
        let address = self.target.address;
        let socket = dial(address, self.others + self.clients.len());
        let socket = socket.map_err(|error| Error::Connect(address, error))?;
        let client = Client::new(socket, self.target.scheme, role, opening, due);
        let key = self.clients.insert(client);
        let client = &self.clients[key];
        let data = EventData::new_u64(key.data().as_ffi());
        let added = epoll::add(&self.epoll, &client.socket, data, client.interest);
        added.map_err(|error| Error::Poll(error.into()))?;
        self.opening += 1;
        Ok(key)
    }

    /// Bytes that a connection has not been able to send yet; `None` if it is over.
    pub(crate) fn backlog(&self, key: ClientKey) -> Option<usize> {
        Some(self.clients.get(key)?.output.len())
    }

    /// Appends a message to what a connection sends at the next [`flush`](Self::flush).
    pub(crate) fn send(&mut self, key: ClientKey, opcode: Opcode, parts: &[&[u8]]) {
        if let Some(client) = self.clients.get_mut(key) {
            client.send(opcode, &mut self.keys, parts);
        }
    }

    /// The same with bytes that are no frame.
    pub(crate) fn send_raw(&mut self, key: ClientKey, parts: &[&[u8]]) {
        if let Some(client) = self.clients.get_mut(key) {
            for part in parts {
                client.output.wire.extend_from_slice(part);
            }
        }
    }

    /// Begins the closing handshake of a connection; one that is not open yet ends without.
    pub(crate) fn leave(&mut self, key: ClientKey) {
        match self.clients.get_mut(key) {
            Some(client) if client.is_opening() => self.vanish(key),
            Some(client) => {
                client.leave(&mut self.keys);
                // What fails here is noticed when the socket is read.
                let _ = self.flush(key);
            }
            None => {}
        }
    }

    /// Whether a connection is there.
    pub(crate) fn has(&self, key: ClientKey) -> bool {
        self.clients.contains_key(key)
    }

    /// Ends a connection at once, without a word.
    pub(crate) fn vanish(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.remove(key) {
            self.opening -= usize::from(client.is_opening());
        }
    }

    /// Writes what a connection has to send.
    pub(crate) fn flush(&mut self, key: ClientKey) -> Result<(), Error> {
        let Some(client) = self.clients.get_mut(key) else {
            return Ok(());
        };
        if client.output.flush(&client.socket).is_err() {
            // Reading will say why, after what was said before the end.
            client.output = Output::default();
        }
        self.settle_interest(key)
    }

    /// Waits for the socket of a connection to take more, or no longer.
    fn settle_interest(&mut self, key: ClientKey) -> Result<(), Error> {
        let Some(client) = self.clients.get_mut(key) else {
            return Ok(());
        };
        if matches!(client.stage, Stage::Connecting(_)) {
            return Ok(());
        }
        let interest = match client.output.len() {
            0 => EventFlags::IN,
            _ => EventFlags::IN | EventFlags::OUT,
        };
        if client.interest == interest {
            return Ok(());
        }
        client.interest = interest;
        self.watch(key)
    }

    fn watch(&self, key: ClientKey) -> Result<(), Error> {
        let client = &self.clients[key];
        let data = EventData::new_u64(key.data().as_ffi());
        let changed = epoll::modify(&self.epoll, &client.socket, data, client.interest);
        changed.map_err(|error| Error::Poll(error.into()))
    }

    /// Lets a few connections read and write, after waiting for one until `until` if need be; how
    /// many had something to do.
    pub(crate) fn turn(&mut self, until: Moment, ear: &mut dyn Hear) -> Result<usize, Error> {
        if self.next_event == self.events.len() {
            self.wait(until)?;
        }
        let end = self.events.len().min(self.next_event + EVENTS_PER_TURN);
        for index in self.next_event..end {
            let Event { flags, data } = self.events[index];
            self.handle(KeyData::from_ffi(data.u64()).into(), flags, ear)?;
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

    fn handle(
        &mut self,
        key: ClientKey,
        flags: EventFlags,
        ear: &mut dyn Hear,
    ) -> Result<(), Error> {
        let Some(client) = self.clients.get_mut(key) else {
            // It has ended since.
            return Ok(());
        };
        let was_opening = client.is_opening();
        let to = Ear {
            key,
            keys: &mut self.keys,
            ear,
        };
        let done = if matches!(client.stage, Stage::Connecting(_)) {
            match client.connected() {
                Ok(IsOpen::NotYet) => Ok(()),
                Ok(IsOpen::Now) => {
                    client.tell(News::Opened, to);
                    Ok(())
                }
                Err(error) => Err(End::Failed(Error::Connect(self.target.address, error))),
            }
        } else if flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
            client.read(&mut self.buffer, to)
        } else {
            Ok(())
        };
        if was_opening && !client.is_opening() {
            self.opening -= 1;
            self.counts.opened += 1;
            self.counts
                .opening
                .record(Moment::now().since(client.dialed));
        }
        match done {
            Ok(()) if was_opening && client.interest == EventFlags::IN => {
                self.watch(key)?;
                self.flush(key)
            }
            Ok(()) => self.flush(key),
            Err(end) => {
                self.end(key, end, ear);
                Ok(())
            }
        }
    }

    fn end(&mut self, key: ClientKey, end: End, ear: &mut dyn Hear) {
        let Some(mut client) = self.clients.remove(key) else {
            return;
        };
        let keys = &mut self.keys;
        client.tell(News::Ended, Ear { key, keys, ear });
        if matches!(end, End::Left) {
            return;
        }
        if client.is_opening() {
            self.opening -= 1;
            self.counts.failed += 1;
        } else {
            self.counts.disconnected += 1;
        }
        if let End::Closed(Some(code)) = end {
            *self.counts.close_codes.entry(code).or_default() += 1;
        }
        self.first_end.get_or_insert(end);
    }
}

/// One wait takes what is ready up to here.
const MAX_EVENTS: usize = 1024;

/// So few that a schedule is never held up for long: a read and all in it may take 100 µs.
const EVENTS_PER_TURN: usize = 8;

/// Arbitrary: whoever waits longer just waits again.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl From<End> for Error {
    /// The error of a run that could not go on because of it.
    fn from(end: End) -> Self {
        match end {
            End::Closed(Some(code)) => Self::Closed(format!(" with {code}")),
            End::Closed(None) | End::Left => Self::Closed(String::new()),
            End::Failed(error) => error,
        }
    }
}
