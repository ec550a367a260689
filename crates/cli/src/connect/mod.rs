//! `framecast connect`: a WebSocket client for people and pipes.
//!
//! This file decides when to connect and reconnect, and when to exit. [`handshake`] opens a
//! connection, and [`open_error`] has the reasons why it could not. [`session`] exchanges messages
//! over a [`link`], and [`console`] has standard input and output. Standard output has the messages
//! and nothing else. Everything about the connection goes to standard error. At a terminal with a
//! line editor, both go above the line that is typed.
//!
//! ```text
//! stdin ─► console ─► session ─► console::command ─► link ─► socket
//!                        ▲                            │
//!                        └────────── events ──────────┤
//! stdout ◄─ console ◄───────── console::message ◄─────┘
//! ```
//!
//! [`args`] is the command line, [`target`] the URL to connect to, and [`backoff`] computes the wait
//! before the next attempt.

mod args;
mod backoff;
mod console;
mod handshake;
mod link;
mod open_error;
mod session;
mod target;

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Error, bail};
use tokio::time::sleep;
use uuid::Uuid;

pub(crate) use self::args::Args;
use self::{
    console::{Console, Output},
    handshake::Opened,
    link::{Link, Messages, disconnect::Disconnect},
    open_error::OpenError,
    session::{Outcome, Session, SessionOptions},
    target::Target,
};
use crate::{Misuse, connect::console::message::Format};

/// Time after which a connection counts as stable, so that backoff starts again with the shortest
/// wait. Arbitrary: longer than connections last if a server accepts each of them and drops it at
/// once.
const STABLE: Duration = Duration::from_secs(10);

/// Runs the client, over several connections if necessary, until the user or the end of the input
/// ends it. Fails if an error ends it.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let headers = args.headers().map_err(Misuse)?;
    let target = Target::parse(&args.url, &args.topics, headers).map_err(Misuse)?;
    let source = args.source().map_err(Misuse)?;
    let console = Console::open(source, args.quiet);
    let mut client = Client {
        target,
        deflate: args.deflate,
        echo: args.echo,
        format: args.format(console.style),
        options: SessionOptions {
            encoding: args.encoding(),
            wait: args.wait(),
            left: args.count().map(|count| Rc::new(Cell::new(count))),
        },
        console,
        attempt: 0,
        was_connected: false,
    };
    let ending = client.run().await;
    if matches!(ending, Ok(Ending::Interrupted)) {
        client.console.abandon();
        bail!("interrupted");
    }
    let missing = client.missing(args.count());
    let unsent = client.unsent();
    let failure = client.console.input.take_failure();
    let printed = client.console.finish().await;
    ending?;
    printed?;
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    unsent?;
    missing
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
    format: Format,
    options: SessionOptions,
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
                opened = open(&self.target, self.deflate, wait, &self.console.output) => opened,
                () = self.console.interrupts.next() => return Ok(Ending::Closed),
                () = self.console.output.closed() => return Ok(Ending::Closed),
            };
            match opened {
                Ok(opened) => match self.run_session(opened).await {
                    Outcome::Closed => return Ok(Ending::Closed),
                    Outcome::Interrupted => return Ok(Ending::Interrupted),
                    Outcome::Disconnected(disconnect) => {
                        if self.after_disconnect(disconnect).await? == Next::Leave {
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
        self.console.output.notice(if deflate.is_some() {
            "connected, with compression"
        } else {
            "connected"
        });
        self.was_connected = true;
        let opened = Instant::now();
        let messages = if self.echo {
            Messages::Echo
        } else {
            Messages::Print {
                messages: self.console.output.messages(),
                format: self.format,
                left: self.options.left.clone(),
            }
        };
        let link = Link::new(socket, deflate, messages);
        let session = Session::new(link, &mut self.console, self.options.clone());
        let outcome = session.run().await;
        if STABLE <= opened.elapsed() {
            self.attempt = 0;
        }
        outcome
    }

    /// Decides whether to reconnect after the end of a connection. Fails if the reason of the end
    /// forbids to reconnect. Also fails if the input has ended, and the end of the connection was
    /// not an orderly Close of the server ([`Disconnect::is_orderly`]).
    async fn after_disconnect(&mut self, disconnect: Disconnect) -> anyhow::Result<Next> {
        // With `--echo` there is no input. It counts as ended, so that the client does not
        // reconnect.
        let is_input_ended = self.echo || self.console.input.ends_soon().await;
        if disconnect.is_final() || (is_input_ended && !disconnect.is_orderly()) {
            return Err(disconnect.into());
        }
        let reason = Error::from(disconnect);
        self.console
            .output
            .notice(&format!("disconnected: {reason:#}"));
        if is_input_ended {
            return Ok(Next::Leave);
        }
        Ok(Next::Reconnect)
    }

    /// Reports a failed attempt to connect. Fails if another attempt is pointless.
    fn after_failure(&mut self, error: OpenError) -> anyhow::Result<()> {
        // Without a terminal nobody would notice a wrong address and stop the client.
        let is_hopeless = !self.was_connected
            && !self.console.input.is_watched
            && !error.is_worth_another_attempt(self.attempt);
        // At the end of the input there is nothing left to send.
        if error.is_final() || is_hopeless || self.console.input.is_ended() {
            return Err(error.into());
        }
        self.console
            .output
            .notice(&format!("{:#}", Error::from(error)));
        Ok(())
    }

    /// Counts the next attempt to connect, announces it, and returns the wait before it: the time
    /// that the server has `asked` for, and a random one.
    fn next_wait(&mut self, asked: Duration) -> Duration {
        // The first field of a version 4 UUID is 32 random bits.
        let random = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
        let wait = backoff::delay(self.attempt, asked, random);
        self.attempt = self.attempt.saturating_add(1);
        self.console.output.notice(&format!(
            "reconnecting in {} ms (attempt {})",
            wait.as_millis(),
            self.attempt
        ));
        wait
    }

    /// Fails if Ctrl-C has ended the client before it had a connection, or before all lines of the
    /// input were sent.
    fn unsent(&self) -> anyhow::Result<()> {
        if !self.console.interrupts.was_pressed {
            return Ok(());
        }
        if self.console.input.has_unsent() {
            bail!("interrupted before everything was sent");
        }
        if !self.was_connected {
            bail!("interrupted before there was a connection");
        }
        Ok(())
    }

    /// Fails if fewer messages have arrived than the `count` that the user asked for.
    fn missing(&self, count: Option<usize>) -> anyhow::Result<()> {
        let left = self.options.left.as_ref().map_or(0, |left| left.get());
        match count {
            Some(count) if left > 0 => {
                bail!("only {} of {count} messages arrived", count - left)
            }
            _ => Ok(()),
        }
    }
}

async fn open(
    target: &Target,
    deflate: bool,
    wait: Duration,
    output: &Output,
) -> Result<Opened, OpenError> {
    sleep(wait).await;
    output.notice(&format!("connecting to {target}"));
    handshake::open(target, deflate).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{connect::console::input::Source, header::Headers};

    #[tokio::test(start_paused = true)]
    async fn the_client_connects_only_after_the_wait() {
        // Nobody listens there.
        let target = Target::parse("ws://127.0.0.1:1/", &[], Headers::default()).unwrap();
        let wait = Duration::from_secs(7);
        let console = Console::open(Source::Nothing, true);
        // The clock stands still while the client does anything but wait.
        let begun = tokio::time::Instant::now();
        let opened = open(&target, false, wait, &console.output).await;
        assert!(opened.is_err());
        assert!(wait <= begun.elapsed());
    }
}
