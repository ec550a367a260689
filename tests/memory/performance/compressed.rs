//! Actions of clients that have agreed on permessage-deflate.

use crate::{
    clients::{Offer, deflated, frame, payload, publish, send_while_taken},
    performance::{DELIVERY, MESSAGE, Performance, SENT},
};

/// Allowed bytes for each compression context.
const CONTEXT: usize = 165 * 1024;

/// Number of messages that are sent first, to fill the kernel's buffers of a client that does not
/// read. Half of their bytes can be compressed.
const FILLING: usize = 6;

/// Size of each of the [`FILLING`] messages, in bytes.
const FILLING_BYTES: usize = 60_000;

/// Most bytes to which the server has to inflate the messages of one client of the echo, because
/// inflating takes time. Messages that are small when compressed would take long to fill the
/// socket.
const MOST_BYTES: usize = 512 * 1024;

impl Performance<'_> {
    /// Connects a subscriber that does not read for each of `offers`. Publishes compressed
    /// messages, which the server inflates and compresses again for the subscribers.
    pub(crate) fn compressed_readers(
        &mut self,
        offers: &[Offer],
        messages: usize,
        bytes: usize,
        noise_percent: usize,
    ) {
        let topic = self.new_names(1, 1);
        for &offer in offers {
            if let Offer::Context = offer {
                self.allow(CONTEXT);
            }
            let socket = self.join(&topic, offer);
            self.sockets.push(socket);
        }
        let mut publisher = self.join(&topic, Offer::Window(15));
        // Messages that fill the kernel's buffers come first, so that the others stay in the
        // server.
        let filling = (FILLING, payload(FILLING_BYTES, 50));
        for (count, payload) in [filling, (messages, payload(bytes, noise_percent))] {
            let compressed = frame(0xC2, &deflated(&payload));
            publish(&mut publisher, count, &compressed);
            // Bytes of one form in which the server encodes the message. It is as large as the
            // client's, or larger if the window is smaller. The publisher gets a form, too.
            let form = SENT * (compressed.len() + compressed.len() / 8);
            let message = SENT * payload.len() + MESSAGE + form * (1 + offers.len());
            self.allow(count * (message + offers.len() * DELIVERY));
        }
    }

    /// Connects clients to the echo. They send compressed messages and do not read the compressed
    /// replies.
    pub(crate) fn compressed_echoes(
        &mut self,
        connections: usize,
        window: u8,
        bytes: usize,
        noise_percent: usize,
    ) {
        let compressed = frame(0xC2, &deflated(&payload(bytes, noise_percent)));
        for _ in 0..connections {
            let mut socket = self.upgrade("/echo", Offer::Window(window));
            let sent = send_while_taken(&mut socket, &compressed, MOST_BYTES / bytes.max(20_000));
            let messages = sent.div_ceil(compressed.len());
            self.allow(messages * (SENT * bytes.max(compressed.len()) + MESSAGE + DELIVERY));
            self.sockets.push(socket);
        }
    }
}
