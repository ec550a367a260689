//! Connects subscribers that never read, and measures the memory that the kernel holds for sockets.

use std::{
    fs,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use anyhow::Context as _;

/// Numbers of subscribers that never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalled {
    pub total: usize,
    /// Number of them that the server has disconnected.
    pub disconnected: usize,
}

/// Subscribers that never read.
#[derive(Debug)]
pub struct StalledSubscribers(Vec<TcpStream>);

impl StalledSubscribers {
    /// Connects `count` subscribers to framecast's topic `lobby`.
    pub fn connect(count: usize, port: u16) -> anyhow::Result<Self> {
        let sockets = (0..count).map(|_| subscribe(port));
        sockets.collect::<anyhow::Result<_>>().map(Self)
    }

    /// Counts the subscribers that the server has disconnected. Reads their sockets to find out.
    pub fn count_disconnected(self) -> Stalled {
        Stalled {
            total: self.0.len(),
            disconnected: self.0.iter().filter(|socket| is_over(socket)).count(),
        }
    }
}

/// Connects to framecast's chat without naming a topic, which subscribes to `lobby`.
fn subscribe(port: u16) -> anyhow::Result<TcpStream> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting")?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    // The subscription is in force when the answer arrives. Nothing is published yet.
    let mut answer = [0; 1024];
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let read = socket.read(&mut answer)?;
    let is_accepted = answer[..read].starts_with(b"HTTP/1.1 101 ");
    is_accepted
        .then_some(socket)
        .context("the server has refused the handshake")
}

/// Returns true if the server has ended the connection, or has sent a Close.
fn is_over(mut socket: &TcpStream) -> bool {
    let mut received = Vec::new();
    let timeout = socket.set_read_timeout(Some(Duration::from_millis(200)));
    let end = timeout.and_then(|()| socket.read_to_end(&mut received));
    let is_silent =
        |error: io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    !end.is_err_and(is_silent) || has_close(&received)
}

/// Returns true if there is a Close among the frames.
fn has_close(mut frames: &[u8]) -> bool {
    while let Some((&[first, len], rest)) = frames.split_first_chunk() {
        if first & 0x0F == 0x8 {
            return true;
        }
        let (header, len) = match (len, rest) {
            (126, &[high, low, ..]) => (2, usize::from(u16::from_be_bytes([high, low]))),
            // No frame is longer in this comparison.
            (126.., _) => return false,
            _ => (0, usize::from(len)),
        };
        frames = rest.get(header + len..).unwrap_or_default();
    }
    false
}

/// Does `work`. Returns its result, and the median size of the kernel's buffers of all TCP sockets
/// meanwhile, in bytes.
pub fn with_socket_bytes<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = || {
            let mut sizes = Vec::new();
            while !is_over.load(Relaxed) {
                sizes.extend(socket_bytes());
                thread::sleep(Duration::from_millis(50));
            }
            sizes.sort_by(f64::total_cmp);
            sizes.get(sizes.len() / 2).copied().unwrap_or(0.0)
        };
        let watch: ScopedJoinHandle<'_, f64> = scope.spawn(watch);
        let result = work();
        is_over.store(true, Relaxed);
        (result, watch.join().unwrap_or(0.0))
    })
}

/// Reads the size of the kernel's buffers of all TCP sockets, in bytes. `/proc` has it in pages.
fn socket_bytes() -> Option<f64> {
    let sockets = fs::read_to_string("/proc/net/sockstat").ok()?;
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:"))?;
    let mut words = tcp.split_whitespace().skip_while(|word| *word != "mem");
    let pages: f64 = words.nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_found_behind_other_frames() {
        // A frame of 2 bytes and one of 256, whose payloads look like the first byte of a Close.
        let mut frames = b"\x82\x02\x88\x88\x82\x7E\x01\x00".to_vec();
        frames.resize(8 + 256, 0x88);
        assert!(!has_close(&frames));
        frames.extend(b"\x88\x00");
        assert!(has_close(&frames));
    }
}
