//! Actions of clients that send messages without compression, whole or unfinished.

use std::io::Write;

use crate::{
    clients::{Offer, frame, header, publish, send_while_taken},
    performance::{DELIVERY, MESSAGE, Performance, SENT},
    script::Unfinished,
};

/// Number of messages that are sent first, to fill the kernel's buffers of a client that does not
/// read.
const FILLING: usize = 80;

/// Size of each of the [`FILLING`] messages, in bytes.
const FILLING_BYTES: usize = 60_000;

impl Performance<'_> {
    /// Connects subscribers to the chat, all with the same topics or each with topics of its own.
    pub(crate) fn followers(
        &mut self,
        connections: usize,
        topics: usize,
        name_bytes: usize,
        are_shared: bool,
    ) {
        let mut names = self.new_names(topics, name_bytes);
        for _ in 0..connections {
            let socket = self.join(&names, Offer::Nothing);
            self.sockets.push(socket);
            if !are_shared {
                names = self.new_names(topics, name_bytes);
            }
        }
    }

    /// Sends messages that never end, each on a connection of its own. Their headers announce
    /// `promised` bytes of payload, of which at most `sent` are sent.
    pub(crate) fn unfinished(
        &mut self,
        connections: usize,
        what: Unfinished,
        promised: usize,
        sent: usize,
    ) {
        let sent = sent.min(promised - 1);
        let (target, offer) = match what {
            Unfinished::Compressed => ("/ws?topic=unfinished", Offer::Window(15)),
            Unfinished::Fragments | Unfinished::Frame => ("/ws?topic=unfinished", Offer::Nothing),
            Unfinished::RawFragments | Unfinished::RawFrame => ("/echo/raw", Offer::Nothing),
        };
        let bytes = match what {
            Unfinished::Frame | Unfinished::RawFrame => {
                [header(0x82, promised), vec![b'x'; sent]].concat()
            }
            Unfinished::Compressed => [header(0xC2, promised), vec![b'x'; sent]].concat(),
            Unfinished::Fragments | Unfinished::RawFragments => {
                // 901 fragments with the first one, below the server's limit.
                let next = frame(0x00, b"x").repeat(sent.min(900));
                [frame(0x02, b"x"), next].concat()
            }
        };
        self.allow_topics(&["unfinished".to_owned()]);
        for _ in 0..connections {
            let mut socket = self.upgrade(target, offer);
            self.allow(SENT * bytes.len());
            socket.write_all(&bytes).unwrap();
            self.sockets.push(socket);
        }
    }

    /// Connects subscribers that do not read, and publishes messages to them.
    pub(crate) fn readers(&mut self, subscribers: usize, messages: usize, bytes: usize) {
        let topic = self.new_names(1, 1);
        for _ in 0..subscribers {
            let socket = self.join(&topic, Offer::Nothing);
            self.sockets.push(socket);
        }
        let mut publisher = self.join(&topic, Offer::Nothing);
        // Messages that fill the kernel's buffers come first, so that the others stay in the
        // server.
        for (count, bytes) in [(FILLING, FILLING_BYTES), (messages, bytes)] {
            publish(&mut publisher, count, &frame(0x82, &vec![0; bytes]));
            self.allow(count * (SENT * bytes + MESSAGE + subscribers * DELIVERY));
        }
    }

    /// Connects clients to the echo. They send messages and do not read the replies.
    pub(crate) fn echoes(&mut self, connections: usize, bytes: usize) {
        self.echo("/echo", connections, &frame(0x82, &vec![0; bytes]));
    }

    /// Connects clients to `/echo/raw`. They send fragmented messages with a Ping between the
    /// fragments, and do not read the replies.
    pub(crate) fn raw_echoes(&mut self, connections: usize, fragments: usize, bytes: usize) {
        let payload = vec![0; bytes];
        let first = [frame(0x02, &payload), frame(0x89, b"ping")].concat();
        let others = frame(0x00, &payload).repeat(fragments);
        let message = [first, others, frame(0x80, &payload)].concat();
        self.echo("/echo/raw", connections, &message);
    }

    /// Connects clients that never read. Each sends `message` again and again until the server
    /// reads no more. Allows the server memory for the bytes that were sent.
    fn echo(&mut self, path: &str, connections: usize, message: &[u8]) {
        for _ in 0..connections {
            let mut socket = self.upgrade(path, Offer::Nothing);
            let sent = send_while_taken(&mut socket, message, usize::MAX / message.len());
            self.allow(SENT * sent);
            self.sockets.push(socket);
        }
    }
}
