//! `framecast connect`: a WebSocket client for people and pipes.
//!
//! This file decides when to connect and reconnect, and when to exit. [`handshake`] opens a
//! connection, and [`open_error`] has the reasons why it could not. [`session`] exchanges messages
//! over a [`link`], and [`console`] has standard input and output. Standard output has the messages
//! and nothing else. Everything about the connection goes to standard error.
//!
//! ```text
//! stdin ─► console ─► session ─► console::command ─► link ─► socket
//!                        ▲                            │
//!                        └────────── events ──────────┤
//! stdout ◄─ console ◄───────── console::message ◄─────┘
//! ```
//!
//! [`target`] is the URL to connect to, and [`backoff`] computes the wait before the next attempt.

mod backoff;
mod console;
mod handshake;
mod link;
mod open_error;
mod session;
mod target;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, bail};
use tokio::time::sleep;
use uuid::Uuid;

use self::{
    console::{Console, Input, notice},
    handshake::Opened,
    link::{Link, Messages, disconnect::Disconnect},
    open_error::OpenError,
    session::{Outcome, Session},
    target::Target,
};
use crate::{
    Misuse,
    header::{Header, Headers},
};

/// Time after which a connection counts as stable, so that backoff starts again with the shortest
/// wait. Arbitrary: longer than connections last if a server accepts each of them and drops it at
/// once.
const STABLE: Duration = Duration::from_secs(10);

/// The text of `--help`, wrapped for 80 columns.
const LONG_ABOUT: &str = "\
Talk to a WebSocket server: send standard input, print what comes back

Each line of standard input is sent as a text message. Each text message from
the server is printed as one line on standard output, with control characters
escaped (a line feed inside a message as \\n). A binary message is printed as
its size and its first bytes in hexadecimal. Standard output has messages only;
everything else goes to standard error.

Lines that start with a slash are commands:

  /ping [TEXT]            send a Ping and report its round trip time
  /close [CODE] [REASON]  close the connection and exit
  /help                   list these commands
  //TEXT                  send /TEXT

If the connection is lost, the client reconnects after a random wait. The wait
is at most 0.5 s; this limit doubles with every attempt, up to 30 s. Lines typed
meanwhile are sent afterwards, in order. The client does not reconnect after
/close, after the end of the input, and if the server answers the handshake with
another status than 101, 408, 429 or 5xx, or closes the connection with code
1002, 1003, 1007 to 1010 or 4500 to 4999. If the input is not a terminal, the
very first attempt must succeed. A 409 with Retry-After says that another
handshake for the same connection is under way: the client tries again, unless
the input has ended; before its first connection, if the input is not a
terminal, at most 8 times. If Retry-After is a number of seconds, the client
waits for that time, but at most 30 s, before the random wait.

In a pipe, the connection is closed once the input has ended and no message has
arrived for half a second:

  echo hello | framecast connect ws://127.0.0.1:8080/ws

With --echo, standard input is not read, and every message is sent back to the
server unchanged, until the server closes the connection.

Ctrl-C closes the connection, too. A second Ctrl-C exits at once.

The exit status is 0 if the connection was closed as intended, 2 if the command
line is wrong, otherwise 1.";

/// Talk to a WebSocket server: send standard input, print what comes back
#[derive(Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub(crate) struct Args {
    /// URL to connect to, such as ws://127.0.0.1:8080/ws?token=1
    url: String,

    /// Append topic=TOPIC to the query of the URL; may be repeated
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,

    /// Add a header to the opening handshake, such as "Origin: https://app.example"; a Host
    /// replaces that of the URL; may be repeated
    #[arg(long = "header", value_name = "LINE")]
    headers: Vec<Header>,

    /// Offer permessage-deflate, and compress messages if the server agrees
    #[arg(long)]
    deflate: bool,

    /// Send every message back instead of printing it; standard input is not read
    #[arg(long)]
    echo: bool,
}

/// Runs the client, over several connections if necessary, until the user or the end of the input
/// ends it. Fails if an error ends it.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let headers = Headers::new(args.headers).map_err(Misuse)?;
    let mut client = Client {
        target: Target::parse(&args.url, &args.topics, headers).map_err(Misuse)?,
        console: Console::open(!args.echo),
        deflate: args.deflate,
        echo: args.echo,
        attempt: 0,
        was_connected: false,
    };
    let ending = client.run().await;
    if matches!(ending, Ok(Ending::Interrupted)) {
        bail!("interrupted");
    }
    let Console {
        output,
        mut interrupts,
        ..
    } = client.console;
    let printed = tokio::select! {
        printed = output.finish() => printed.context("writing to standard output"),
        () = interrupts.next() => bail!("interrupted before everything was printed"),
    };
    ending.and(printed)
}

/// The way in which the client ended, if not by an error.
enum Ending {
    Closed,
    /// The user pressed Ctrl-C during the closing handshake: the client exits without waiting for
    /// the end of the handshake or for the output.
    Interrupted,
}

/// The next step after the end of a connection.
#[derive(PartialEq, Eq)]
enum Next {
    Leave,
    Reconnect,
}

struct Client {
    target: Target,
    console: Console,
    deflate: bool,
    echo: bool,
    /// Number of attempts to reconnect since the last connection that lasted for [`STABLE`].
    attempt: u32,
    was_connected: bool,
}

impl Client {
    async fn run(&mut self) -> anyhow::Result<Ending> {
        let mut wait = Duration::ZERO;
        loop {
            let mut asked = Duration::ZERO;
            let opened = tokio::select! {
                opened = open(&self.target, self.deflate, wait) => opened,
                () = self.console.interrupts.next() => return Ok(Ending::Closed),
                () = self.console.output.closed() => return Ok(Ending::Closed),
            };
            match opened {
                Ok(opened) => match self.run_session(opened).await {
                    Outcome::Closed => return Ok(Ending::Closed),
                    Outcome::Interrupted => return Ok(Ending::Interrupted),
                    Outcome::Disconnected(disconnect) => {
                        if self.after_disconnect(disconnect)? == Next::Leave {
                            return Ok(Ending::Closed);
                        }
                    }
                },
                Err(error) => {
                    asked = error.retry_after().unwrap_or_default();
                    self.after_failure(error)?;
                }
            }
            wait = self.next_wait(asked);
        }
    }

    /// Runs a session on an open connection, until either side ends it.
    async fn run_session(&mut self, (socket, deflate): Opened) -> Outcome {
        notice(if deflate.is_some() {
            "connected, with compression"
        } else {
            "connected"
        });
        self.was_connected = true;
        let opened = Instant::now();
        let messages = if self.echo {
            Messages::Echo
        } else {
            Messages::Print(self.console.output.lines())
        };
        let link = Link::new(socket, deflate, messages);
        let outcome = Session::new(link, &mut self.console).run().await;
        if STABLE <= opened.elapsed() {
            self.attempt = 0;
        }
        outcome
    }

    /// Decides whether to reconnect after the end of a connection. Fails if the reason of the end
    /// forbids to reconnect. Also fails if the input has ended, and the end of the connection was
    /// not an orderly Close of the server ([`Disconnect::is_orderly`]).
    fn after_disconnect(&mut self, disconnect: Disconnect) -> anyhow::Result<Next> {
        // With `--echo` there is no input. It counts as ended, so that the client does not
        // reconnect.
        let is_input_ended = self.echo || self.console.input.is_ended();
        if disconnect.is_final() || (is_input_ended && !disconnect.is_orderly()) {
            return Err(disconnect.into());
        }
        notice(&format!("disconnected: {:#}", Error::from(disconnect)));
        if is_input_ended {
            return Ok(Next::Leave);
        }
        Ok(Next::Reconnect)
    }

    /// Reports a failed attempt to connect. Fails if another attempt is pointless.
    fn after_failure(&mut self, error: OpenError) -> anyhow::Result<()> {
        // Without a terminal nobody would notice a wrong address and stop the client.
        let is_hopeless = !self.was_connected
            && !Input::is_interactive()
            && !error.is_worth_another_attempt(self.attempt);
        // At the end of the input there is nothing left to send.
        if error.is_final() || is_hopeless || self.console.input.is_ended() {
            return Err(error.into());
        }
        notice(&format!("{:#}", Error::from(error)));
        Ok(())
    }

    /// Counts the next attempt to connect, announces it, and returns the wait before it: the time
    /// that the server has `asked` for, and a random one.
    fn next_wait(&mut self, asked: Duration) -> Duration {
        // The first field of a version 4 UUID is 32 random bits.
        let random = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
        let wait = backoff::delay(self.attempt, asked, random);
        self.attempt = self.attempt.saturating_add(1);
        notice(&format!(
            "reconnecting in {} ms (attempt {})",
            wait.as_millis(),
            self.attempt
        ));
        wait
    }
}

async fn open(target: &Target, deflate: bool, wait: Duration) -> Result<Opened, OpenError> {
    sleep(wait).await;
    notice(&format!("connecting to {target}"));
    handshake::open(target, deflate).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_client_connects_only_after_the_wait() {
        // Nobody listens there.
        let target = Target::parse("ws://127.0.0.1:1/", &[], Headers::default()).unwrap();
        let wait = Duration::from_secs(7);
        // The clock stands still while the client does anything but wait.
        let begun = tokio::time::Instant::now();
        assert!(open(&target, false, wait).await.is_err());
        assert!(wait <= begun.elapsed());
    }
}
