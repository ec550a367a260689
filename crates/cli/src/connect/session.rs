//! The session of a user on one connection: sends the lines that the user types, until either side
//! closes the connection.

use std::{
    future::pending,
    io,
    time::{Duration, Instant},
};

use tokio::time::{sleep_until, timeout};

use crate::{
    connect::{
        console::{
            Console, Unsendable,
            command::{Command, HELP, NORMAL},
            notice,
        },
        link::{Event, Link, Written, disconnect::Disconnect, frame, pings::Pings},
    },
    display::escape,
};

/// Time without a message after which the client closes the connection, once the input has ended.
/// It is long enough for a reply from anywhere on Earth, with a round trip below 400 ms, and short
/// enough not to delay a script much.
const QUIET: Duration = Duration::from_millis(500);

/// Time that a closing handshake may take. Arbitrary: nothing is lost by giving up on it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The close code of an endpoint that goes away (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;

/// The end of a session.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The client closed the connection.
    Closed,
    /// The server or the network ended the connection.
    Disconnected(Disconnect),
    /// The user pressed Ctrl-C during the closing handshake. The client does not wait for its end.
    Interrupted,
}

/// The reason why no more lines are sent.
enum Stop {
    /// The client should close the connection.
    Close { code: u16, reason: String },
    /// The server or the network has ended the connection.
    Disconnected(Disconnect),
    /// A write has failed. The reader of the socket will report the reason.
    WriteFailed,
}

impl Stop {
    fn close(code: u16) -> Self {
        Self::Close {
            code,
            reason: String::new(),
        }
    }
}

/// A session on one connection.
#[derive(Debug)]
pub(super) struct Session<'a> {
    link: Link,
    console: &'a mut Console,
    /// The frame that is being written, and the line that it was made from. Meanwhile no other line
    /// is read, so at most this one is unsent if the connection fails.
    in_flight: Option<(Written, String)>,
    pings: Pings,
    /// The time of the last message, or of the end of the input if that is later.
    quiet_since: Instant,
    is_input_ended: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(link: Link, console: &'a mut Console) -> Self {
        Self {
            link,
            console,
            in_flight: None,
            pings: Pings::default(),
            quiet_since: Instant::now(),
            is_input_ended: false,
        }
    }

    /// Runs until either side ends the connection. If a line was taken from the input but its frame
    /// was not written, puts the line back.
    pub(super) async fn run(mut self) -> Outcome {
        let stop = self.exchange().await;
        let outcome = match stop {
            Stop::Close { code, reason } => self.close(code, &reason).await,
            Stop::Disconnected(disconnect) => {
                self.wait_for_close_reply(&disconnect).await;
                Outcome::Disconnected(disconnect)
            }
            Stop::WriteFailed => Outcome::Disconnected(self.reason().await),
        };
        if let Some((mut written, line)) = self.in_flight
            && written.try_recv().is_err()
        {
            self.console.input.put_back(line);
        }
        outcome
    }

    /// Sends lines and handles events until the session must stop.
    async fn exchange(&mut self) -> Stop {
        loop {
            let may_take = self.in_flight.is_none() && !self.is_input_ended;
            let may_leave = self.in_flight.is_none() && self.is_input_ended;
            let leave_at = (self.quiet_since + QUIET).into();
            let stop = tokio::select! {
                event = self.link.events.recv() => self.on_event(event),
                is_written = written(&mut self.in_flight) => self.on_written(is_written),
                () = self.link.frames.closed() => Some(Stop::WriteFailed),
                line = self.console.input.next(), if may_take => self.on_line(line).await,
                () = sleep_until(leave_at), if may_leave => Some(Stop::close(NORMAL)),
                () = self.console.interrupts.next() => Some(Stop::close(GOING_AWAY)),
                () = self.console.output.closed() => Some(Stop::close(GOING_AWAY)),
            };
            if let Some(stop) = stop {
                return stop;
            }
        }
    }

    fn on_event(&mut self, event: Option<Event>) -> Option<Stop> {
        match event {
            Some(Event::Disconnected(disconnect)) => Some(Stop::Disconnected(disconnect)),
            Some(Event::Message) => {
                self.quiet_since = Instant::now();
                None
            }
            Some(Event::Pong(payload)) => {
                report_pong(&mut self.pings, &payload);
                None
            }
            // The reader sends a reason before it ends, unless it panics.
            None => Some(Stop::WriteFailed),
        }
    }

    fn on_written(&mut self, is_written: bool) -> Option<Stop> {
        if !is_written {
            return Some(Stop::WriteFailed);
        }
        self.in_flight = None;
        None
    }

    async fn on_line(&mut self, line: Option<Result<String, Unsendable>>) -> Option<Stop> {
        let line = match line {
            Some(Ok(line)) => line,
            Some(Err(unsendable)) => {
                notice(&unsendable.to_string());
                return None;
            }
            None => {
                self.is_input_ended = true;
                self.quiet_since = Instant::now();
                return None;
            }
        };
        let wire = match Command::parse(&line) {
            Ok(Command::Close { code, reason }) => {
                let reason = reason.to_owned();
                return Some(Stop::Close { code, reason });
            }
            Ok(Command::Help) => {
                HELP.lines().for_each(notice);
                return None;
            }
            Ok(Command::Ping(payload)) => {
                let payload = payload.as_bytes();
                self.pings.on_ping(payload.to_vec(), Instant::now());
                frame::ping(payload)
            }
            Ok(Command::Send(text)) => self.link.text(text),
            Err(mistake) => {
                notice(&mistake);
                return None;
            }
        };
        self.in_flight = Some((self.link.send(wire).await, line));
        None
    }

    /// Performs the closing handshake (RFC 6455 §7.1.2). Messages that arrive meanwhile are
    /// printed.
    async fn close(&mut self, code: u16, reason: &str) -> Outcome {
        let handshake = async {
            // Does not wait for the write: the server's Close or the end of the socket will follow
            // it.
            drop(self.link.send(frame::close(code, reason)).await);
            disconnect(&mut self.link, &mut self.pings).await;
        };
        let answer = tokio::select! {
            answer = timeout(CLOSE_TIMEOUT, handshake) => answer,
            () = self.console.interrupts.next() => return Outcome::Interrupted,
        };
        if self.console.output.is_closed() {
            // The reader of standard output has gone, so the user is not interested any more.
        } else if answer.is_ok() {
            notice("closed");
        } else {
            notice("closed without an answer from the server");
        }
        Outcome::Closed
    }

    /// Waits until the writer has sent a Close: the reply to the server's Close, or, after a
    /// protocol error of the server, one with the code of the error.
    async fn wait_for_close_reply(&self, disconnect: &Disconnect) {
        if !matches!(disconnect, Disconnect::Lost(_)) {
            // After the timeout the client gives up: the socket takes nothing more.
            let _ = timeout(CLOSE_TIMEOUT, self.link.frames.closed()).await;
        }
    }

    /// Waits, after a write has failed, for the reason that the reader of the socket reports: it
    /// may still receive the server's Close.
    async fn reason(&mut self) -> Disconnect {
        let disconnect = timeout(CLOSE_TIMEOUT, disconnect(&mut self.link, &mut self.pings)).await;
        let disconnect = disconnect.ok().flatten();
        disconnect.unwrap_or_else(|| Disconnect::Lost(io::ErrorKind::BrokenPipe.into()))
    }
}

/// Waits until the connection has ended, and returns the reason. `None` if the reader has panicked.
async fn disconnect(link: &mut Link, pings: &mut Pings) -> Option<Disconnect> {
    loop {
        match link.events.recv().await? {
            Event::Disconnected(disconnect) => return Some(disconnect),
            Event::Message => {}
            Event::Pong(payload) => report_pong(pings, &payload),
        }
    }
}

/// Waits for the frame in flight. Returns true once it is written, or false once it is certain that
/// it will never be written. Without a frame in flight, waits for ever.
async fn written(in_flight: &mut Option<(Written, String)>) -> bool {
    match in_flight {
        Some((written, _)) => written.await.is_ok(),
        None => pending().await,
    }
}

fn report_pong(pings: &mut Pings, payload: &[u8]) {
    let Some(round_trip) = pings.on_pong(payload, Instant::now()) else {
        return;
    };
    let milliseconds = round_trip.as_secs_f64() * 1000.0;
    let payload = escape(&String::from_utf8_lossy(payload));
    let separator = if payload.is_empty() { "" } else { " " };
    notice(&format!("pong{separator}{payload} in {milliseconds:.3} ms"));
}
