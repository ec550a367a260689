//! The session of a user on one connection: sends the lines that the user types, until either side
//! closes the connection.

use std::{
    cell::Cell,
    future::pending,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use framecast_wire::frame::Kind;
use tokio::time::timeout;

use crate::{
    connect::{
        args::QUIET,
        console::{
            Console, Output,
            command::{Command, HELP, NORMAL},
            encoding::Encoding,
            input::Unsendable,
        },
        link::{Event, Link, Written, disconnect::Disconnect, frame, pings::Pings},
    },
    display::escape,
};

/// Time that a closing handshake may take, without the time in which standard output takes nothing
/// ([`Output::timeout`]). Arbitrary: nothing is lost by giving up on it.
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
    /// The user pressed Ctrl-C during the closing handshake. The client does not wait for the end
    /// of the handshake.
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

/// The options of the user, for all sessions.
#[derive(Clone, Debug)]
pub(super) struct SessionOptions {
    /// The encoding of lines that are sent as binary messages. `None` if lines are sent as texts.
    pub(super) encoding: Option<Encoding>,
    /// Time without a message after which the client closes the connection, once the input has
    /// ended. `None` if it does not.
    pub(super) wait: Option<Duration>,
    /// The number of messages that are still to arrive, over all sessions. After the last one the
    /// client closes the connection. `None` if any number may.
    pub(super) left: Option<Rc<Cell<usize>>>,
}

/// A session on one connection.
#[derive(Debug)]
pub(super) struct Session<'a> {
    link: Link,
    console: &'a mut Console,
    options: SessionOptions,
    /// The frame that is being written, and the line that it was made from. Meanwhile no other line
    /// is read, so at most this one is unsent if the connection fails.
    in_flight: Option<(Written, String)>,
    pings: Pings,
    /// The time at which the last message was queued for standard output, or of the end of the input
    /// if that is later.
    quiet_since: Instant,
    is_input_ended: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(link: Link, console: &'a mut Console, options: SessionOptions) -> Self {
        Self {
            link,
            console,
            options,
            in_flight: None,
            pings: Pings::default(),
            quiet_since: Instant::now(),
            is_input_ended: false,
        }
    }

    /// Runs the session until either side ends the connection. If a line was taken from the input
    /// but its frame was not written, puts the line back.
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
        // Puts the line back unless its frame is known to be written.
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
            // A line is taken from the input only while none is in flight.
            let may_take = self.in_flight.is_none() && !self.is_input_ended;
            let may_leave = self.in_flight.is_none() && self.is_input_ended;
            let wait = self.wait().filter(|_| may_leave);
            let silence = self
                .console
                .output
                .silence(self.quiet_since, wait.unwrap_or_default());
            let stop = tokio::select! {
                event = self.link.events.recv() => self.on_event(event),
                is_written = written(&mut self.in_flight) => self.on_written(is_written),
                () = self.link.frames.closed() => Some(Stop::WriteFailed),
                line = self.console.input.next(), if may_take => self.on_line(line).await,
                () = silence, if wait.is_some() => Some(Stop::close(NORMAL)),
                () = self.console.interrupts.next() => Some(Stop::close(GOING_AWAY)),
                () = self.console.output.closed() => Some(Stop::close(GOING_AWAY)),
            };
            if let Some(stop) = stop {
                return stop;
            }
        }
    }

    /// Returns the time without a message after which the client closes the connection, once the
    /// input has ended. After a line that can't be sent, it does not wait for `--count`: the messages
    /// may be the answers to what was not sent.
    fn wait(&self) -> Option<Duration> {
        let otherwise = self.console.input.has_failed().then_some(QUIET);
        self.options.wait.or(otherwise)
    }

    fn on_event(&mut self, event: Option<Event>) -> Option<Stop> {
        match event {
            Some(Event::Disconnected(disconnect)) => Some(Stop::Disconnected(disconnect)),
            Some(Event::Message) => {
                self.quiet_since = Instant::now();
                let is_last = self
                    .options
                    .left
                    .as_ref()
                    .is_some_and(|left| left.get() == 0);
                is_last.then(|| Stop::close(NORMAL))
            }
            Some(Event::Pong(payload)) => {
                report_pong(&mut self.pings, &payload, &self.console.output);
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
        match line {
            Some(Ok(line)) if self.console.input.is_typed => self.on_typed(&line).await,
            Some(Ok(line)) => {
                self.say(&line, &line).await;
                None
            }
            Some(Err(unsendable)) => {
                self.refuse(unsendable);
                None
            }
            None => {
                self.is_input_ended = true;
                self.quiet_since = Instant::now();
                None
            }
        }
    }

    /// Handles a line that a person has typed: a command, or a message.
    async fn on_typed(&mut self, line: &str) -> Option<Stop> {
        match Command::parse(line) {
            Ok(Command::Close { code, reason }) => {
                let reason = reason.to_owned();
                return Some(Stop::Close { code, reason });
            }
            Ok(Command::Help) => HELP
                .lines()
                .for_each(|line| self.console.output.answer(line)),
            Ok(Command::Ping(payload)) => {
                let payload = payload.as_bytes();
                self.pings.on_ping(payload.to_vec(), Instant::now());
                let wire = frame::ping(payload);
                self.in_flight = Some((self.link.send(wire).await, line.to_owned()));
            }
            Ok(Command::Send(text)) => self.say(text, line).await,
            Err(mistake) => self.console.output.answer(&mistake),
        }
        None
    }

    /// Sends a message, which was made from `line`.
    async fn say(&mut self, text: &str, line: &str) {
        let wire = match self.options.encoding {
            None => self.link.message(Kind::Text, text.as_bytes()),
            Some(encoding) => match encoding.decode(text) {
                Some(bytes) => self.link.message(Kind::Binary, &bytes),
                None => return self.refuse(Unsendable::NotEncoded(encoding)),
            },
        };
        self.in_flight = Some((self.link.send(wire).await, line.to_owned()));
    }

    /// Handles a line that can't be sent. A person is told so, and goes on. A program would not
    /// notice, so that its input ends with an error.
    fn refuse(&mut self, unsendable: Unsendable) {
        if self.console.input.is_typed {
            let text = format!("the line {unsendable}; it was not sent");
            self.console.output.answer(&text);
        } else {
            self.console.input.fail(unsendable);
        }
    }

    /// Performs the closing handshake (RFC 6455 §7.1.2). Messages that arrive meanwhile are
    /// printed.
    async fn close(&mut self, code: u16, reason: &str) -> Outcome {
        let handshake = async {
            // Does not wait for the write: the server's Close or the end of the socket will follow
            // it.
            drop(self.link.send(frame::close(code, reason)).await);
            disconnect(&mut self.link, &mut self.pings, &self.console.output).await;
        };
        let answer = tokio::select! {
            answer = self.console.output.timeout(CLOSE_TIMEOUT, handshake) => answer,
            () = self.console.interrupts.next() => return Outcome::Interrupted,
        };
        if self.console.output.is_closed() {
            // The reader of standard output has gone, so the user is not interested any more.
        } else if answer.is_some() {
            self.console.output.notice("closed");
        } else {
            let text = "closed without an answer from the server";
            self.console.output.notice(text);
        }
        Outcome::Closed
    }

    /// Waits until the writer has sent a Close: the reply to the server's Close, or a Close with
    /// the code of the protocol error that the server made. Does not wait if the connection is
    /// lost.
    async fn wait_for_close_reply(&self, disconnect: &Disconnect) {
        if !matches!(disconnect, Disconnect::Lost(_)) {
            // After the timeout the client gives up: the socket takes nothing more.
            let _ = timeout(CLOSE_TIMEOUT, self.link.frames.closed()).await;
        }
    }

    /// Waits for the reason why a write has failed. The reader of the socket reports the reason: it
    /// may still receive the server's Close.
    async fn reason(&mut self) -> Disconnect {
        let disconnect = disconnect(&mut self.link, &mut self.pings, &self.console.output);
        let disconnect = self.console.output.timeout(CLOSE_TIMEOUT, disconnect);
        let disconnect = disconnect.await.flatten();
        disconnect.unwrap_or_else(|| Disconnect::Lost(io::ErrorKind::BrokenPipe.into()))
    }
}

/// Waits until the connection has ended, and returns the reason. `None` if the reader has panicked.
async fn disconnect(link: &mut Link, pings: &mut Pings, output: &Output) -> Option<Disconnect> {
    loop {
        match link.events.recv().await? {
            Event::Disconnected(disconnect) => return Some(disconnect),
            Event::Message => {}
            Event::Pong(payload) => report_pong(pings, &payload, output),
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

fn report_pong(pings: &mut Pings, payload: &[u8], output: &Output) {
    let Some(round_trip) = pings.on_pong(payload, Instant::now()) else {
        return;
    };
    let milliseconds = round_trip.as_secs_f64() * 1000.0;
    let payload = escape(&String::from_utf8_lossy(payload));
    let separator = if payload.is_empty() { "" } else { " " };
    output.answer(&format!("pong{separator}{payload} in {milliseconds:.3} ms"));
}
