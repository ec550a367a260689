//! Tests of the queue of lines, with a writer in place of standard error: each write blocks until
//! the test lets it go on, so that the queue fills meanwhile.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// A writer that passes the text of each write to a [`Reader`]. Then the write blocks until the
/// [`Reader`] decides whether it succeeds.
struct BlockingWriter {
    written: SyncSender<String>,
    outcomes: Receiver<io::Result<()>>,
}

/// The test's end of a [`BlockingWriter`]: it receives the text of each write, and decides whether
/// the write succeeds.
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

    /// Waits for a write, lets it succeed, and returns its text.
    fn read(&self) -> String {
        let text = self.next_write();
        self.succeed();
        text
    }
}

/// Starts a thread that writes to a [`BlockingWriter`].
fn start() -> (Stderr, Reader) {
    let (written_sender, written_receiver) = sync_channel(0);
    let (outcome_sender, outcome_receiver) = sync_channel(0);
    let out = BlockingWriter {
        written: written_sender,
        outcomes: outcome_receiver,
    };
    let reader = Reader {
        written: written_receiver,
        outcomes: outcome_sender,
    };
    (Stderr::writing_to(out).unwrap(), reader)
}

/// Returns true if `text` is the line that reports `count` dropped lines, and nothing else.
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
    // "first" is being written and no longer in the queue, which is empty and has its whole bound
    // left. The long line takes all of that but 2 bytes.
    let long = [&[b'x'; QUEUED_BYTES - 3][..], b"\n"].concat();
    lines.push(&long);
    // 4 bytes, which do not fit.
    for _ in 0..3 {
        lines.push(b"abc\n");
    }
    // 1 byte, which would fit, but comes after dropped lines.
    lines.push(b"\n");
    // Ends the write of "first".
    reader.succeed();
    assert_eq!(reader.read().len(), long.len());
    // The three lines of 4 bytes and the one of 1 byte. They are reported although no line was
    // pushed after them.
    assert!(is_count(&reader.next_write(), 4));
    lines.push(b"later\n");
    // Ends the write of the report.
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
    // The report of the two lines fails, too.
    assert!(is_count(&reader.next_write(), 2));
    reader.fail();
    // It is repeated before the next line.
    lines.push(b"c\n");
    assert!(is_count(&reader.read(), 2));
    assert_eq!(reader.read(), "c\n");
}

#[test]
fn a_drop_waits_until_queued_lines_are_written() {
    let (stderr, reader) = start();
    let reading = thread::spawn(move || [reader.read(), reader.read()]);
    stderr.lines().push(b"first\n");
    stderr.write_error("last");
    drop(stderr);
    assert_eq!(reading.join().unwrap(), ["first\n", "framecast: last\n"]);
}

#[test]
fn a_drop_does_not_wait_for_ever_if_nobody_reads() {
    let (stderr, reader) = start();
    stderr.lines().push(b"first\n");
    assert_eq!(reader.next_write(), "first\n");
    // The first write stays blocked.
    stderr.write_error("last");
    drop(stderr);
    drop(reader);
}

#[test]
fn lines_are_written_whole_and_many_at_a_time() {
    // Both lines.
    assert_eq!(write_len(b"a\nbc\n"), 5);
    // One line that is longer than `PIPE_BUF`, with its line feed.
    let long = [&[b'x'; PIPE_BUF][..], b"\nrest\n"].concat();
    assert_eq!(write_len(&long), PIPE_BUF + 1);
    // Only the first line, as the second one does not fit.
    let both = [&b"short\n"[..], &long].concat();
    assert_eq!(write_len(&both), "short\n".len());
    // A line without an end.
    assert_eq!(write_len(b"no end"), "no end".len());
}

#[test]
fn once_the_log_is_json_an_error_and_the_count_of_dropped_lines_are_json_too() {
    let (stderr, reader) = start();
    stderr.lines().use_json();
    let reading = thread::spawn(move || reader.read());
    stderr.write_error("no such file");
    drop(stderr);
    let line = reading.join().unwrap();
    let error: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(error["level"], "ERROR");
    assert_eq!(error["message"], "no such file");
}
