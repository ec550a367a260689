//! Tests of connections, poll by poll, over streams that misbehave. [`protocols`] tests what a
//! protocol may do.

mod protocols;

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    task::Waker,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::spawn_local,
};

use crate::{
    config::HubConfig,
    connection::*,
    hub::Hub,
    protocol::{Incoming, chat::Chat, echo::Echo},
    topic::TopicName,
    wire::{deflate::Deflater, extension, extension::WindowBits},
};

/// The script of a stream: the bytes that it returns, and a record of its reads and writes.
#[derive(Default)]
struct Script {
    /// Bytes that the stream returns again and again, up to 16 KiB a read. If empty, reads are
    /// pending.
    read: Vec<u8>,
    /// True if the stream returns `read` only once, and is pending after that.
    is_once: bool,
    /// Number of reads that succeed. The next one panics. `None` if no read panics.
    reads_left: Option<u32>,
    /// Number of reads so far.
    reads: u32,
    /// Function that the stream calls at its first read.
    at_read: Option<Box<dyn FnOnce()>>,
    /// All bytes that were written to the stream.
    written: Vec<u8>,
}

/// A stream that behaves as its script says.
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
        if let Some(at_read) = script.at_read.take() {
            at_read();
        }
        if script.read.is_empty() {
            return Poll::Pending;
        }
        if script.is_once {
            buf.put_slice(&mem::take(&mut script.read));
            return Poll::Ready(Ok(()));
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

/// Runs `work` on the first shard of a new hub, and returns its result. `work` also gets an
/// agreement on permessage-deflate, for connections that compress.
fn on_a_shard<T: Send + 'static>(
    work: impl FnOnce(&Rc<Shard>, Option<Agreed>) -> T + Send + 'static,
) -> T {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let offer: &[u8] = b"permessage-deflate";
    let agreement = extension::accept([offer].into_iter(), true).unwrap();
    let agreed = agreement.map(|agreement| hub.grant(agreement));
    let (done, wait) = mpsc::channel();
    hub.run_on(0, move |shard| done.send(work(shard, agreed)).unwrap());
    wait.recv().unwrap()
}

/// Opens an anonymous connection with this protocol. The connection gets its socket later.
fn open(
    shard: &Rc<Shard>,
    protocol: impl Protocol + 'static,
    deflate: Option<Agreed>,
) -> Connection {
    Connection::open(shard, Identity::anonymous(), Box::new(protocol), deflate).unwrap()
}

/// Opens an echo connection on a scripted stream. Returns its task and the script.
fn echo(
    shard: &Rc<Shard>,
    deflate: Option<Agreed>,
    script: Script,
) -> (Pin<Box<Task>>, Rc<RefCell<Script>>) {
    let script = Rc::new(RefCell::new(script));
    let connection = open(shard, Echo, deflate);
    let socket = Socket::Other(Box::new(Scripted(Rc::clone(&script))));
    (Box::pin(connection.start(socket, Vec::new())), script)
}

/// Polls a task once, with a waker that does nothing.
fn poll(task: &mut Pin<Box<Task>>) -> Poll<()> {
    task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Returns how many reads an echo connection makes in its first turn, and how many bytes it writes,
/// if the peer repeats `frame` endlessly.
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
fn a_turn_ends_whichever_frames_the_peer_sends_endlessly() {
    // The bytes alone end a turn after 17 reads of 16 KiB. It ends earlier if the frames are charged
    // more than their bytes, as short frames are.
    let endless: [&[u8]; 6] = [
        // An empty text, an empty Ping, and an empty Pong. All masks are zero.
        b"\x81\x80\0\0\0\0",
        b"\x89\x80\0\0\0\0",
        b"\x8A\x80\0\0\0\0",
        // A text in two fragments, with a Ping in between, and one without.
        b"\x01\x81\0\0\0\0x\x89\x80\0\0\0\0\x80\x80\0\0\0\0",
        b"\x01\x80\0\0\0\0\x80\x80\0\0\0\0",
        // A compressed empty message.
        b"\xC2\x81\0\0\0\0\0",
    ];
    for frames in endless {
        let (reads, _) = turn_of(frames.to_vec());
        assert!((1..=17).contains(&reads), "{reads} reads of {frames:02X?}");
    }
}

#[test]
fn a_turn_inflates_no_more_messages_than_its_time_allows() {
    let largest = vec![0; 64 * 1024];
    let payload = Deflater::new(WindowBits::MAX).deflate(&largest).unwrap();
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    // A compressed binary message with a length of 16 bits and a mask of zeros.
    let header = [0xC2, 0x80 | 126, high, low, 0, 0, 0, 0];
    let (_, written) = turn_of([&header[..], &payload].concat());
    // A reply is compressed as the message was, and has a header of 4 bytes.
    let messages = written / (4 + payload.len());
    // One read of 16 KiB holds 25 messages, of 640 bytes and 8 of header. A turn may receive 17
    // times as much.
    assert!(messages < 50, "{messages}");
}

/// A protocol that takes 50 us for every message, as an application's protocol may, and counts the
/// messages.
struct Slow(Rc<Cell<u32>>);

impl Protocol for Slow {
    fn on_message(&mut self, _: Incoming<'_>, _: &mut protocol::Context<'_>) {
        self.0.set(self.0.get() + 1);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(50) {}
    }
}

#[test]
fn a_turn_calls_a_protocol_no_more_often_than_its_time_allows() {
    let calls = on_a_shard(|shard, _| {
        let calls = Rc::new(Cell::new(0));
        let script = Script {
            // An empty text, again and again.
            read: b"\x81\x80\0\0\0\0".to_vec(),
            ..Script::default()
        };
        let connection = open(shard, Slow(Rc::clone(&calls)), None);
        let socket = Socket::Other(Box::new(Scripted(Rc::new(RefCell::new(script)))));
        let mut task = Box::pin(connection.start(socket, Vec::new()));
        assert!(poll(&mut task).is_pending());
        calls.get()
    });
    // One read of 16 KiB holds 2,730 messages. A turn has time for ten.
    assert!((1..=10).contains(&calls), "{calls}");
}

#[test]
fn a_turn_that_panics_ends_the_shard_and_no_other_connection_has_a_turn() {
    let done = on_a_shard(|shard, _| {
        let script = Script {
            // Two messages a read, so that the turn goes on after the first read: 8 KiB each, of
            // which 8 bytes are the header.
            read: [&[0x82, 0xFE, 0x1F, 0xF8, 0, 0, 0, 0][..], &[7; 0x1FF8]].concat(),
            reads_left: Some(1),
            ..Script::default()
        };
        let (mut panicking, _) = echo(shard, None, script);
        let (mut other, script) = echo(shard, None, Script::default());
        assert!(poll(&mut panicking).is_pending());
        assert!(shard.has_panicked());
        assert!(poll(&mut other).is_pending());
        let script = script.borrow();
        (script.reads, script.written.len())
    });
    // The other connection has neither read nor written.
    assert_eq!(done, (0, 0));
}

// A connection that waited for memory was once polled again and again.
#[test]
fn while_memory_is_exhausted_a_connection_waits_and_is_read_when_memory_is_free_again() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let budget = usize::try_from(hub.budget().limit()).unwrap();
    let exhausted = hub.budget().charge(budget);
    let polls = Arc::new(AtomicUsize::new(0));
    let (send, has_read) = mpsc::channel();
    let counted = Arc::clone(&polls);
    hub.run_on(0, move |shard| {
        // An empty binary message.
        let message = b"\x82\x80\0\0\0\0".to_vec();
        let (mut task, script) = echo(
            shard,
            None,
            Script {
                read: message,
                ..Script::default()
            },
        );
        spawn_local(poll_fn(move |cx| {
            counted.fetch_add(1, Relaxed);
            let polled = task.as_mut().poll(cx);
            if script.borrow().reads > 0 {
                script.borrow_mut().read.clear();
                let _ = send.send(());
            }
            polled
        }));
    });
    // While memory is exhausted, the shard runs 100 other pieces of work.
    for _ in 0..100 {
        let (done, wait) = mpsc::channel();
        hub.run_on(0, move |_| done.send(()).unwrap());
        wait.recv().unwrap();
    }
    assert_eq!(polls.load(Relaxed), 1);
    assert!(has_read.try_recv().is_err());
    drop(exhausted);
    has_read.recv_timeout(Duration::from_secs(10)).unwrap();
}

#[test]
fn a_slow_consumer_that_is_ended_holds_no_memory_during_its_closing_handshake() {
    let (before, after) = on_a_shard(|shard, _| {
        let budget = Arc::clone(shard.ledger().budget());
        let connection = open(shard, Echo, None);
        let script = Rc::new(RefCell::new(Script::default()));
        let socket = Socket::Other(Box::new(Scripted(Rc::clone(&script))));
        // The header of a message of 65,535 bytes, and 60,000 of these.
        let begun = [&[0x82, 0xFE, 0xFF, 0xFF, 0, 0, 0, 0][..], &[7; 60_000]].concat();
        let mut task = Box::pin(connection.start(socket, begun));
        // After some turns, all of this is read.
        for _ in 0..10 {
            assert!(poll(&mut task).is_pending());
        }
        let before = budget.held();
        if let Task::Open(connection) = &*task {
            connection.handle.end(Disconnect::SlowConsumer);
        }
        assert!(poll(&mut task).is_pending(), "the peer has not hung up");
        // A Close of 15 bytes with the code 4008.
        assert_eq!(script.borrow().written[..4], *b"\x88\x0F\x0F\xA8");
        (before, budget.held())
    });
    // The ledger may not have reported up to 16 KiB to the budget yet.
    assert!(before >= 100_000 && after < 20_000, "{before}, {after}");
}

// The server once read the rest of the turn's bytes after the end of the connection, in the time
// that the turn had left.
#[test]
fn a_connection_that_ends_while_it_waits_to_publish_is_read_no_further() {
    let written = on_a_shard(|shard, _| {
        let budget = Arc::clone(shard.ledger().budget());
        let chat = Chat::from(TopicName::new("cats").unwrap());
        let connection = open(shard, chat, None);
        // Memory gets short after the first message was read, when the server reads on in the
        // fragment.
        let seven_eighths = usize::try_from(budget.limit() / 8 * 7).unwrap();
        let short = Rc::new(RefCell::new(None));
        let (hold, charge) = (Rc::clone(&short), Arc::clone(&budget));
        let script = Rc::new(RefCell::new(Script {
            at_read: Some(Box::new(move || {
                hold.replace(Some(charge.charge(seven_eighths)));
            })),
            ..Script::default()
        }));
        let socket = Socket::Other(Box::new(Scripted(Rc::clone(&script))));
        // The text "x", and 2 of the 5 bytes of a fragment.
        let begun = b"\x81\x81\0\0\0\0x\x01\x85\0\0\0\0he".to_vec();
        let mut task = Box::pin(connection.start(socket, begun));
        while short.borrow().is_none() {
            assert!(poll(&mut task).is_pending());
        }
        // Now the text waits to be published, and the connection ends.
        if let Task::Open(connection) = &*task {
            connection.handle.end(Disconnect::Overloaded);
        }
        for _ in 0..3 {
            let _ = poll(&mut task);
        }
        script.borrow().written.clone()
    });
    // A Close of 27 bytes with the code 1013.
    assert_eq!(written[..4], *b"\x88\x1B\x03\xF5");
}

// The peer's Close was once forgotten, and the server waited for another one until the timeout.
#[test]
fn a_close_behind_a_message_that_waits_to_be_published_completes_the_closing_handshake() {
    let (polls, written) = on_a_shard(|shard, _| {
        let budget = Arc::clone(shard.ledger().budget());
        let cats = TopicName::new("cats").unwrap();
        let connection = open(shard, Chat::of(cats.into()), None);
        // A client sends a message and a Close. The message can't be published, because memory gets
        // short: 7/8 of it is charged while the server reads the second half of the Close (two bytes
        // of the mask, and the code 1000). Then the server ends the connection. It must answer the
        // Close that it has read, and not send one of its own and wait for an answer.
        let seven_eighths = usize::try_from(budget.limit() / 8 * 7).unwrap();
        let charge = Rc::new(RefCell::new(None));
        let charge_at_read = Rc::clone(&charge);
        let script = Rc::new(RefCell::new(Script {
            at_read: Some(Box::new(move || {
                charge_at_read.replace(Some(budget.charge(seven_eighths)));
            })),
            read: b"\0\0\x03\xE8".to_vec(),
            is_once: true,
            ..Script::default()
        }));
        let socket = Socket::Other(Box::new(Scripted(Rc::clone(&script))));
        // The text "x", and the first 4 of the 8 bytes of a Close.
        let begun = b"\x81\x81\0\0\0\0x\x88\x82\0\0".to_vec();
        let mut task = Box::pin(connection.start(socket, begun));
        while charge.borrow().is_none() {
            assert!(poll(&mut task).is_pending());
        }
        // Now the text waits to be published, and the Close is read.
        let Task::Open(connection) = &*task else {
            panic!("the connection is open");
        };
        connection.handle.end(Disconnect::Restarting);
        let pending = (0..10).take_while(|_| poll(&mut task).is_pending());
        (pending.count(), script.borrow().written.clone())
    });
    // The server has written nothing but the answer to the peer's Close, with the code 1000.
    assert_eq!(written, b"\x88\x02\x03\xE8");
    assert!(polls < 10, "it waits for another Close");
}
