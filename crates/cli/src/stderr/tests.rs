//! Tests with a writer that blocks until the test lets it go on, so that the queue fills meanwhile.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// A writer that passes the text of each write to a [`Reader`], and blocks until that decides how
/// the write ends.
struct BlockingWriter {
    written: SyncSender<String>,
    outcomes: Receiver<io::Result<()>>,
}

struct Reader {
    written: Receiver<String>,
    outcomes: SyncSender<io::Result<()>>,
}

impl Write for BlockingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.written.send(text).map_err(io::Error::other)?;
        self.outcomes.recv().map_err(io::Error::other)??;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    /// Waits for a write, and returns its text. The write is still blocked.
    fn next_write(&self) -> String {
        self.written.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    /// Lets the blocked write succeed.
    fn succeed(&self) {
        self.outcomes.send(Ok(())).unwrap();
    }

    /// Lets the blocked write fail.
    fn fail(&self) {
        self.outcomes
            .send(Err(io::ErrorKind::StorageFull.into()))
            .unwrap();
    }

    fn read(&self) -> String {
        let text = self.next_write();
        self.succeed();
        text
    }
}

fn start() -> (Stderr, Reader) {
    let (written, writes) = sync_channel(0);
    let (outcomes, outcome) = sync_channel(0);
    let out = BlockingWriter {
        written,
        outcomes: outcome,
    };
    let reader = Reader {
        written: writes,
        outcomes,
    };
    (Stderr::writing_to(out).unwrap(), reader)
}

fn is_count(text: &str, count: usize) -> bool {
    let ending = format!("Z  WARN framecast: log lines were dropped count={count}\n");
    text.ends_with(&ending) && text.lines().count() == 1
}

#[test]
fn lines_that_do_not_fit_are_dropped_and_counted_in_their_place() {
    let (stderr, reader) = start();
    let lines = stderr.lines();
    lines.push(b"first\n");
    assert_eq!(reader.next_write(), "first\n");
    // The first line has left the queue, so that the queue takes all of its bound and no more.
    let long = [&[b'x'; QUEUED_BYTES - 3][..], b"\n"].concat();
    lines.push(&long);
    for _ in 0..3 {
        lines.push(b"abc\n");
    }
    // It would fit, but comes after dropped lines.
    lines.push(b"\n");
    reader.succeed();
    assert_eq!(reader.read().len(), long.len());
    // The count is written although no line has come since.
    assert!(is_count(&reader.next_write(), 4));
    lines.push(b"later\n");
    reader.succeed();
    assert_eq!(reader.read(), "later\n");
}

#[test]
fn a_line_over_the_bound_is_counted() {
    let (stderr, reader) = start();
    stderr.lines().push(&[b'x'; QUEUED_BYTES + 1]);
    assert!(is_count(&reader.read(), 1));
}

#[test]
fn lines_that_can_not_be_written_are_counted_by_the_next_write_that_succeeds() {
    let (stderr, reader) = start();
    let lines = stderr.lines();
    lines.push(b"a\nb\n");
    assert_eq!(reader.next_write(), "a\nb\n");
    reader.fail();
    assert!(is_count(&reader.next_write(), 2));
    reader.fail();
    lines.push(b"c\n");
    assert!(is_count(&reader.read(), 2));
    assert_eq!(reader.read(), "c\n");
}

#[test]
fn a_drop_waits_until_queued_lines_are_written() {
    let (stderr, reader) = start();
    let other = thread::spawn(move || [reader.read(), reader.read()]);
    stderr.lines().push(b"first\n");
    stderr.write_line("last");
    drop(stderr);
    assert_eq!(other.join().unwrap(), ["first\n", "last\n"]);
}

#[test]
fn a_drop_does_not_wait_for_ever_if_nobody_reads() {
    let (stderr, reader) = start();
    stderr.lines().push(b"first\n");
    assert_eq!(reader.next_write(), "first\n");
    // The first write stays blocked.
    stderr.write_line("last");
    drop(stderr);
    drop(reader);
}

#[test]
fn lines_are_written_whole_and_many_at_a_time() {
    assert_eq!(write_len(b"a\nbc\n"), 5);
    let long = [&[b'x'; PIPE_BUF][..], b"\nrest\n"].concat();
    assert_eq!(write_len(&long), PIPE_BUF + 1);
    let both = [&b"short\n"[..], &long].concat();
    assert_eq!(write_len(&both), 6);
    assert_eq!(write_len(b"no end"), 6);
}
