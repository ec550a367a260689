//! Actions of registered connections that change their topics.

use std::io::Write;

use crate::{
    clients::{Offer, frame, read_frame},
    performance::{MESSAGE, Performance, SENT},
    script::Relays,
};

impl Performance<'_> {
    /// Registers connections, connects them, and has each send lists of new topics, one after the
    /// other.
    pub(crate) fn relays(&mut self, relays: &Relays) {
        let Relays {
            connections,
            topics,
            name_bytes,
            changes,
            kept,
            is_reading,
        } = *relays;
        for _ in 0..connections {
            let registered = self.new_names(topics, name_bytes);
            let id = self.register(&registered);
            let mut socket = self.upgrade(&format!("/ws/{id}"), Offer::Nothing);
            self.ids.push(id);
            let mut names = registered;
            for change in 1..=changes {
                let count = if change == changes { kept } else { topics };
                names = self.new_names(count, name_bytes);
                let message = list(&names);
                socket.write_all(&message).unwrap();
                if is_reading {
                    read_frame(&mut socket);
                } else {
                    // The server's reply to the list stays in the outbox.
                    self.allow(SENT * message.len() + MESSAGE);
                }
            }
            // Only the last list may hold memory, and not the topics of earlier ones.
            self.allow_registration(&names);
            self.allow_topics(&names);
            self.sockets.push(socket);
        }
    }
}

/// Returns the message, as a masked frame, that sets the topics of a connection to `names`.
fn list(names: &[String]) -> Vec<u8> {
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let list = format!("{{\"topics\":[{}]}}", names.join(","));
    frame(0x81, list.as_bytes())
}
