//! Bytes that wait for a socket.

use std::{
    io::{self, Write as _},
    net::TcpStream,
};

use crate::client::{KEPT_BYTES, is_temporary};

/// The bytes that wait for one socket.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub wire: Vec<u8>,
    written: usize,
}

impl Output {
    pub(crate) fn len(&self) -> usize {
        self.wire.len() - self.written
    }

    /// Writes once, which is all unless the socket is full.
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
