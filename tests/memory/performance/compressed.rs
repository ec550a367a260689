//! Clients that have agreed on permessage-deflate.

use super::{DELIVERY, MESSAGE, Performance, SENT};
use crate::clients::{Offer, deflated, frame, payload, publish, send_while_taken};

/// What a context of its own may hold.
const CONTEXT: usize = 165 * 1024;

/// So many messages of so many bytes, half of which can be compressed, fill the socket of a client
/// that does not read.
const FILLING: usize = 6;
const FILLING_BYTES: usize = 60_000;

impl Performance<'_> {
    /// Subscribers that do not read, one for each offer, and what is published to them: sent
    /// compressed, and compressed again for them.
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
        // First what the kernel takes.
        let filling = (FILLING, payload(FILLING_BYTES, 50));
        for (count, payload) in [filling, (messages, payload(bytes, noise_percent))] {
            let compressed = frame(0xC2, &deflated(&payload));
            publish(&mut publisher, count, &compressed);
            // As large as the client's own, but for a smaller window.
            let form = SENT * (compressed.len() + compressed.len() / 8);
            let message = SENT * payload.len() + MESSAGE + form * (1 + offers.len());
            self.allow(count * (message + offers.len() * DELIVERY));
        }
    }

    /// Clients that are answered and do not read.
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

/// What is inflated for a client, in bytes: it takes time, and if it is answered with a few bytes, it
/// blocks nobody.
const MOST_BYTES: usize = 512 * 1024;
