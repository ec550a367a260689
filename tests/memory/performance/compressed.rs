//! Actions of clients that have agreed on permessage-deflate.

use crate::{
    clients::{Offer, deflated, frame, payload, publish, send_while_taken},
    performance::{DELIVERY, MESSAGE, Performance, SENT},
};

/// Bytes of a compression context.
const CONTEXT: usize = 165 * 1024;

/// Number of messages that fill the socket of a client that does not read. Half of their bytes can
/// be compressed.
const FILLING: usize = 6;

/// Bytes of each of these messages.
const FILLING_BYTES: usize = 60_000;

/// Most bytes that are inflated for a client. Inflating takes time, and a client with small answers
/// is not stopped by a full socket.
const MOST_BYTES: usize = 512 * 1024;

impl Performance<'_> {
    /// Subscribers that do not read, one for each offer, and messages that are sent compressed and
    /// compressed again for the subscribers.
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
        // First messages that fill the kernel's buffers.
        let filling = (FILLING, payload(FILLING_BYTES, 50));
        for (count, payload) in [filling, (messages, payload(bytes, noise_percent))] {
            let compressed = frame(0xC2, &deflated(&payload));
            publish(&mut publisher, count, &compressed);
            // The server's encoding is as large as the client's, or larger for a smaller window.
            let form = SENT * (compressed.len() + compressed.len() / 8);
            let message = SENT * payload.len() + MESSAGE + form * (1 + offers.len());
            self.allow(count * (message + offers.len() * DELIVERY));
        }
    }

    /// Clients of the echo that do not read its compressed answers.
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
