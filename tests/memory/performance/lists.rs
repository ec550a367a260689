//! Lists of publications.

use crate::{
    clients::send_while_taken,
    performance::{CONNECTION, Performance, SENT},
};

/// Bytes that the server may hold for each item of a list.
const ITEM: usize = 512;

impl Performance<'_> {
    /// Sends pipelined lists of publications, and reads none of the answers. Every item is wrong,
    /// in such a way that its answer is as long as an answer can be. For each connection adds to
    /// `allowed` the memory of only one list, because the server must have let go of those that it
    /// has answered.
    pub(crate) fn lists(&mut self, connections: usize, lists: usize, items: usize) {
        // The error names the unknown field.
        let field = "x".repeat(300);
        let list = vec![format!("{{\"{field}\":0}}"); items].join(",");
        let length = list.len() + 2;
        let request = format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n[{list}]"
        );
        for _ in 0..connections {
            let mut socket = self.server.dial();
            send_while_taken(&mut socket, request.as_bytes(), lists);
            self.allow(CONNECTION + SENT * request.len() + ITEM * items);
            self.sockets.push(socket);
        }
    }
}
