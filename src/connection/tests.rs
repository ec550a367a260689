//! Connections poll by poll, over streams that misbehave.

use std::{
    cell::RefCell,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    task::Waker,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::{
    config::Config,
    hub::Hub,
    wire::{
        deflate::Deflater,
        extension::{self, WindowBits},
    },
};

/// What a stream is asked for and gives.
#[derive(Default)]
struct Script {
    /// Given over and over again, in reads of 16 KiB; nothing if it is empty.
    read: Vec<u8>,
    /// Reads before it panics.
    reads_left: Option<u32>,
    reads: u32,
    written: Vec<u8>,
}

struct Scripted(Rc<RefCell<Script>>);

impl AsyncRead for Scripted {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut script = self.0.borrow_mut();
        assert_ne!(script.reads_left, Some(script.reads), "on purpose");
        script.reads += 1;
        if script.read.is_empty() {
            return Poll::Pending;
        }
        let mut left = buf.remaining().min(16 * 1024);
        while left > 0 {
            let len = left.min(script.read.len());
            buf.put_slice(&script.read[..len]);
            script.read.rotate_left(len);
            left -= len;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().written.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Does `work` on a shard, with permessage-deflate agreed on.
fn on_a_shard<T: Send + 'static>(
    work: impl FnOnce(&Rc<Shard>, Option<Agreed>) -> T + Send + 'static,
) -> T {
    let hub = Hub::start(&Config::default()).unwrap();
    let offer: &[u8] = b"permessage-deflate";
    let agreement = extension::accept([offer].into_iter(), true).unwrap();
    let agreed = agreement.map(|agreement| hub.grant(agreement));
    let (done, wait) = mpsc::channel();
    hub.run_on(0, move |shard| done.send(work(shard, agreed)).unwrap());
    wait.recv().unwrap()
}

/// An echo, after its opening handshake.
fn echo(
    shard: &Rc<Shard>,
    deflate: Option<Agreed>,
    script: Script,
) -> (Pin<Box<Task>>, Rc<RefCell<Script>>) {
    let script = Rc::new(RefCell::new(script));
    let connection = Connection::open(shard, Session::Echo, deflate).unwrap();
    let socket = Socket::Other(Box::new(Scripted(Rc::clone(&script))));
    (Box::pin(connection.start(socket, Vec::new())), script)
}

fn poll(task: &mut Pin<Box<Task>>) -> Poll<()> {
    task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// How often a connection reads in its first turn, and how much it writes, if this is all it gets.
fn turn_of(frame: Vec<u8>) -> (u32, usize) {
    on_a_shard(move |shard, deflate| {
        let script = Script {
            read: frame,
            ..Script::default()
        };
        let (mut task, script) = echo(shard, deflate, script);
        assert!(poll(&mut task).is_pending());
        let script = script.borrow();
        (script.reads, script.written.len())
    })
}

#[test]
fn small_frames_that_cost_much_end_a_turn_before_many_bytes_do() {
    let (reads, _) = turn_of(b"\x81\x80\0\0\0\0".to_vec());
    assert_eq!(reads, 17, "messages as they are");
    let (reads, _) = turn_of(b"\x89\x80\0\0\0\0".to_vec());
    assert_eq!(reads, 1, "pings");
}

#[test]
fn a_turn_inflates_no_more_than_it_may_receive() {
    let largest = vec![0; 64 * 1024];
    let payload = Deflater::new(WindowBits::MAX).deflate(&largest).unwrap();
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let header = [0xC2, 0x80 | 126, high, low, 0, 0, 0, 0];
    let (_, written) = turn_of([&header[..], &payload].concat());
    assert_eq!(written, 5 * (4 + payload.len()));
}

#[test]
fn what_a_turn_that_panics_leaves_behind_goes_to_nobody_else() {
    let written = on_a_shard(|shard, _| {
        let script = Script {
            read: b"\x81\x82\0\0\0\0hi".to_vec(),
            reads_left: Some(1),
            ..Script::default()
        };
        let (mut broken, _) = echo(shard, None, script);
        assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut broken))).is_err());
        drop(broken);
        let (mut other, script) = echo(shard, None, Script::default());
        assert!(poll(&mut other).is_pending());
        script.borrow().written.len()
    });
    assert_eq!(written, 0);
}
