//! A writer that a test holds in its hand: what is queued meanwhile, dropped, counted.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// Tells of each write, and waits until somebody has looked and says how it ends.
struct Watched {
    written: SyncSender<String>,
    outcomes: Receiver<io::Result<()>>,
}

struct Reader {
    written: Receiver<String>,
    outcomes: SyncSender<io::Result<()>>,
}

impl Write for Watched {
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
    /// What is being written: it is not yet done.
    fn look(&self) -> String {
        self.written.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    fn take(&self) {
        self.outcomes.send(Ok(())).unwrap();
    }

    fn fail(&self) {
        self.outcomes
            .send(Err(io::ErrorKind::StorageFull.into()))
            .unwrap();
    }

    fn read(&self) -> String {
        let text = self.look();
        self.take();
        text
    }
}

fn watched() -> (Stderr, Reader) {
    let (written, looked_at) = sync_channel(0);
    let (outcomes, outcome) = sync_channel(0);
    let out = Watched {
        written,
        outcomes: outcome,
    };
    let reader = Reader {
        written: looked_at,
        outcomes,
    };
    (Stderr::writing_to(out).unwrap(), reader)
}

fn is_count(text: &str, count: usize) -> bool {
    let ending = format!("Z  WARN framecast: log lines were dropped count={count}\n");
    text.ends_with(&ending) && text.lines().count() == 1
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_in_its_place() {
    let (stderr, reader) = watched();
    let lines = stderr.lines();
    lines.push(b"first\n");
    assert_eq!(reader.look(), "first\n");
    // Nothing of the queue is being written, so it takes all of its bound, and no more.
    let long = [&[b'x'; QUEUED_BYTES - 3][..], b"\n"].concat();
    lines.push(&long);
    for _ in 0..3 {
        lines.push(b"abc\n");
    }
    // It would fit, but its place is behind the gap.
    lines.push(b"\n");
    reader.take();
    assert_eq!(reader.read().len(), long.len());
    // Told of in silence, too: nothing has come since.
    assert!(is_count(&reader.look(), 4));
    lines.push(b"behind\n");
    reader.take();
    assert_eq!(reader.read(), "behind\n");
}

#[test]
fn a_line_over_the_bound_is_counted() {
    let (stderr, reader) = watched();
    stderr.lines().push(&[b'x'; QUEUED_BYTES + 1]);
    assert!(is_count(&reader.read(), 1));
}

#[test]
fn what_can_not_be_written_is_counted_when_something_can() {
    let (stderr, reader) = watched();
    let lines = stderr.lines();
    lines.push(b"a\nb\n");
    assert_eq!(reader.look(), "a\nb\n");
    reader.fail();
    assert!(is_count(&reader.look(), 2));
    reader.fail();
    lines.push(b"c\n");
    assert!(is_count(&reader.read(), 2));
    assert_eq!(reader.read(), "c\n");
}

#[test]
fn the_end_waits_for_what_is_queued() {
    let (stderr, reader) = watched();
    let other = thread::spawn(move || [reader.read(), reader.read()]);
    stderr.lines().push(b"first\n");
    stderr.say("last");
    drop(stderr);
    assert_eq!(other.join().unwrap(), ["first\n", "last\n"]);
}

#[test]
fn the_end_does_not_wait_for_a_reader_that_is_stuck() {
    let (stderr, reader) = watched();
    stderr.lines().push(b"first\n");
    assert_eq!(reader.look(), "first\n");
    // Never told how that ended.
    stderr.say("last");
    drop(stderr);
    drop(reader);
}

#[test]
fn lines_are_written_whole_and_many_at_a_time() {
    assert_eq!(piece(b"a\nbc\n"), 5);
    let long = [&[b'x'; PIPE_BUF][..], b"\nrest\n"].concat();
    assert_eq!(piece(&long), PIPE_BUF + 1);
    let both = [&b"short\n"[..], &long].concat();
    assert_eq!(piece(&both), 6);
    assert_eq!(piece(b"no end"), 6);
}
