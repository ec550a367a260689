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
use crate::{Config, Hub};

/// What a stream is asked for and gives.
#[derive(Default)]
struct Script {
    /// Given over and over again; nothing if it is empty.
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
        while let room @ 1.. = buf.remaining() {
            let len = room.min(script.read.len());
            buf.put_slice(&script.read[..len]);
            script.read.rotate_left(len);
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

/// Does `work` on a shard.
fn on_a_shard<T: Send + 'static>(work: impl FnOnce(&Rc<Shard>) -> T + Send + 'static) -> T {
    let hub = Hub::start(&Config::default()).unwrap();
    let (done, wait) = mpsc::channel();
    hub.run_on(0, move |shard| done.send(work(shard)).unwrap());
    wait.recv().unwrap()
}

/// An echo, after its opening handshake.
fn echo(shard: &Rc<Shard>, script: Script) -> (Pin<Box<Task>>, Rc<RefCell<Script>>) {
    let script = Rc::new(RefCell::new(script));
    let connection = Connection::open(shard, Session::Echo, None).unwrap();
    let stream = Box::new(Scripted(Rc::clone(&script)));
    (Box::pin(connection.start(stream, Vec::new())), script)
}

fn poll(task: &mut Pin<Box<Task>>) -> Poll<()> {
    task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn what_a_turn_that_panics_leaves_behind_goes_to_nobody_else() {
    let written = on_a_shard(|shard| {
        let script = Script {
            read: b"\x81\x82\0\0\0\0hi".to_vec(),
            reads_left: Some(1),
            ..Script::default()
        };
        let (mut broken, _) = echo(shard, script);
        assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut broken))).is_err());
        drop(broken);
        let (mut other, script) = echo(shard, Script::default());
        assert!(poll(&mut other).is_pending());
        script.borrow().written.len()
    });
    assert_eq!(written, 0);
}
