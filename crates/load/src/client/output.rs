//! Bytes that wait for a socket.

use std::{
    io::{self, Write as _},
    net::TcpStream,
};

use crate::client::{KEPT_BYTES, is_temporary};

/// The bytes that one connection has still to write to its socket.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub wire: Vec<u8>,
    /// Bytes at the start of `wire` that are already written.
    written: usize,
}

impl Output {
    /// Returns how many bytes are not written yet.
    pub(crate) fn len(&self) -> usize {
        self.wire.len() - self.written
    }

    /// Writes to the socket once. Bytes that the socket does not take wait for the next call.
    pub(crate) fn flush(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        if self.len() == 0 {
            return Ok(());
        }
        match socket.write(&self.wire[self.written..]) {
            Ok(written) => self.written += written,
            Err(error) if is_temporary(&error) => {}
            Err(error) => return Err(error),
        }
        if self.len() == 0 {
            self.wire.clear();
            self.written = 0;
            if self.wire.capacity() > KEPT_BYTES {
                self.wire = Vec::new();
            }
        } else if self.written > KEPT_BYTES {
            self.wire.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }
}
