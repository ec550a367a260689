//! The command line of `connect`.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::bail;

use crate::{
    connect::console::{
        encoding::Encoding,
        input::Source,
        message::{Format, Layout, Style},
    },
    header::{self, Header, Headers},
    value::{Count, Time},
};

/// Time without a message after which the client closes the connection, once the input has ended, if
/// `--wait` says nothing else. It is long enough for a reply from anywhere on Earth, with a round
/// trip below 400 ms, and short enough not to delay a script much.
pub(super) const QUIET: Duration = Duration::from_millis(500);

/// Longest time of `--wait` that counts. Arbitrary: a year, which is longer than anybody waits, and
/// no clock overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The text of `--help`, wrapped for 80 columns.
const LONG_ABOUT: &str = "\
Talk to a WebSocket server: send what is typed or piped in, print what comes

Each line of the input is sent as a text message. Each text message from the
server is printed as one line on standard output, with control characters
escaped (a line feed inside a message as \\n). A binary message is printed as
its size and its first bytes in hexadecimal. Standard output has messages only;
everything else goes to standard error.

At a terminal, lines can be edited, the arrow keys bring back earlier ones, and
messages are printed above the line that is typed, after a <. A pasted text is
one message, even if it has several lines, in terminals that mark pastes (most
do). Lines that start with a slash are commands there:

  /ping [TEXT]            send a Ping and report its round trip time
  /close [CODE] [REASON]  close the connection and exit
  /help                   list these commands
  //TEXT                  send /TEXT

There are colours at a terminal, unless NO_COLOR is set.

In a pipe, every line is sent as it is. The connection is closed once the input
has ended and no message has arrived for half a second, or the time of --wait:

  echo hello | framecast connect ws://127.0.0.1:8080/ws
  framecast connect ws://127.0.0.1:8080/ws -x hello --count 1 --raw | jq .

A line that is not UTF-8, or longer than 16 MiB, is not sent. In a pipe it ends
the input, also with --count, and the exit status is 1. At a terminal, the rest
of such a paste is dropped.

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

With --echo, standard input is not read, and every message is sent back to the
server unchanged, until the server closes the connection.

Ctrl-C closes the connection, too. A second Ctrl-C exits at once. Ctrl-D ends
the input, and Ctrl-Z stops the client until fg.

The exit status is 0 if the connection was closed as intended, 2 if the command
line is wrong, otherwise 1: also after a Ctrl-C that came before the first
connection, or before everything was sent.";

/// Talk to a WebSocket server: send what is typed or piped in, print what comes
#[derive(Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each of them is an option of the command line"
)]
pub(crate) struct Args {
    /// URL to connect to, such as ws://127.0.0.1:8080/ws?token=1
    pub(super) url: String,

    /// Append topic=TOPIC to the query; may be repeated
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(super) topics: Vec<String>,

    /// Add a header, such as "Cookie: id=1"
    ///
    /// It is part of the opening handshake. A Host replaces that of the URL.
    /// May be repeated.
    #[arg(
        short = 'H',
        long = "header",
        value_name = "LINE",
        verbatim_doc_comment
    )]
    headers: Vec<Header>,

    /// Add an Origin header, as a web page does
    #[arg(long)]
    origin: Option<String>,

    /// Offer a subprotocol; may be repeated
    ///
    /// The one that is wanted most comes first.
    #[arg(long = "subprotocol", value_name = "NAME")]
    subprotocols: Vec<String>,

    /// Add the header "Authorization: Bearer TOKEN"
    #[arg(long, value_name = "TOKEN")]
    bearer: Option<String>,

    /// Compress messages if the server agrees
    ///
    /// It is offered permessage-deflate (RFC 7692).
    #[arg(long)]
    pub(super) deflate: bool,

    /// Send this text, and end the input; may be repeated
    ///
    /// Standard input is not read.
    #[arg(
        short = 'x',
        long = "execute",
        value_name = "TEXT",
        allow_hyphen_values = true
    )]
    texts: Vec<String>,

    /// Send and print bytes
    ///
    /// Each line is the bytes of a binary message in this encoding, and
    /// binary messages are printed whole in it. In hex, spaces do not count.
    #[arg(long, value_name = "ENCODING", verbatim_doc_comment)]
    binary: Option<Encoding>,

    /// Indent messages that are JSON
    #[arg(long)]
    json: bool,

    /// Print the exact bytes, for another program
    ///
    /// A line feed follows each text. Messages are escaped all the same if
    /// standard output is a terminal.
    #[arg(long, conflicts_with_all = ["json", "timestamps"], verbatim_doc_comment)]
    raw: bool,

    /// Print the time before each message, in UTC
    #[arg(long)]
    timestamps: bool,

    /// Print nothing about the connection but errors
    ///
    /// The answers to commands are printed, too.
    #[arg(long)]
    pub(super) quiet: bool,

    /// Wait for messages after the end of the input
    ///
    /// The connection is closed when the input has ended, and no message has
    /// arrived for this time [default: 500ms, or as long as --count needs]
    #[arg(long, value_name = "TIME", verbatim_doc_comment)]
    wait: Option<Time>,

    /// Close after N messages, and fail if fewer arrive
    #[arg(long, value_name = "N")]
    count: Option<Count>,

    /// Send every message back instead of printing it
    ///
    /// Standard input is not read.
    #[arg(
        long,
        conflicts_with_all = ["texts", "binary", "json", "raw", "timestamps", "wait", "count"]
    )]
    pub(super) echo: bool,
}

impl Args {
    /// Returns the headers that are added to the opening handshake.
    pub(super) fn headers(&self) -> anyhow::Result<Headers> {
        let mut headers = self.headers.clone();
        if let Some(origin) = &self.origin {
            header::add(&mut headers, "--origin", "Origin", origin)?;
        }
        if let Some(token) = &self.bearer {
            header::add_bearer(&mut headers, token)?;
        }
        header::add_subprotocols(&mut headers, &self.subprotocols)?;
        Headers::new(headers)
    }

    /// Returns the source of the lines to send.
    pub(super) fn source(&self) -> anyhow::Result<Source> {
        if self.echo {
            return Ok(Source::Nothing);
        }
        if self.texts.is_empty() {
            return Ok(Source::Stdin);
        }
        for text in &self.texts {
            if let Some(encoding) = self.binary
                && encoding.decode(text).is_none()
            {
                bail!("-x: `{text}` is not {}", encoding.name());
            }
        }
        Ok(Source::Texts(self.texts.clone()))
    }

    /// Returns the way in which messages are printed in this style.
    pub(super) fn format(&self, style: Style) -> Format {
        Format {
            encoding: self.binary,
            layout: self.layout(),
            has_time: self.timestamps,
            style,
        }
    }

    /// Returns the form of a message's content. Raw bytes could control a terminal.
    fn layout(&self) -> Layout {
        match (self.raw && !io::stdout().is_terminal(), self.json) {
            (true, _) => Layout::Raw,
            (false, true) => Layout::Indented,
            (false, false) => Layout::Line,
        }
    }

    /// Returns the encoding of lines that are sent as binary messages. `None` if lines are sent as
    /// texts.
    pub(super) fn encoding(&self) -> Option<Encoding> {
        self.binary
    }

    /// Returns the number of messages that must arrive.
    pub(super) fn count(&self) -> Option<usize> {
        self.count.map(|count| count.0.get())
    }

    /// Returns the time without a message after which the client closes the connection, once the
    /// input has ended. `None` if it waits for the messages of `--count`, for as long as it takes.
    pub(super) fn wait(&self) -> Option<Duration> {
        match (self.wait, self.count) {
            (Some(Time(wait)), _) => Some(wait.min(LONGEST)),
            (None, Some(_)) => None,
            (None, None) => Some(QUIET),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    /// Parses a command line of words without spaces.
    fn parse(options: &str) -> Result<Args, clap::Error> {
        let words = "connect ws://h ".to_owned() + options;
        Cli::try_parse_from(words.split_whitespace()).map(|cli| cli.args)
    }

    #[test]
    fn options_for_one_header_are_headers_of_the_handshake() {
        let args = parse("-H X:1 --origin http://o --bearer t --subprotocol a --subprotocol b");
        let headers = args.unwrap().headers().unwrap();
        let expected = [
            "X: 1",
            "Origin: http://o",
            "Authorization: Bearer t",
            "Sec-WebSocket-Protocol: a, b",
        ];
        assert_eq!(headers.lines(), expected);
        for twice in ["-H origin:x --origin y", "-H Authorization:x --bearer y"] {
            assert!(parse(twice).unwrap().headers().is_err(), "{twice}");
        }
    }

    #[test]
    fn with_a_count_and_no_time_the_client_waits_for_the_messages() {
        let wait = |options| parse(options).unwrap().wait();
        assert_eq!(wait(""), Some(QUIET));
        assert_eq!(wait("--count 2"), None);
        assert_eq!(wait("--count 2 --wait 3s"), Some(Duration::from_secs(3)));
        assert_eq!(wait("--wait 0s"), Some(Duration::ZERO));
    }

    #[test]
    fn a_text_of_the_command_line_must_be_in_the_encoding_and_may_start_with_a_hyphen() {
        let source = |options| parse(options).unwrap().source();
        assert!(matches!(source("-x -5 -x /ping"), Ok(Source::Texts(texts)) if texts.len() == 2));
        assert!(source("--binary hex -x cafe").is_ok());
        let error = source("--binary hex -x cafe -x meow").unwrap_err();
        assert_eq!(error.to_string(), "-x: `meow` is not hexadecimal");
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for options in [
            "--raw --json",
            "--raw --timestamps",
            "--echo --json",
            "--echo -x a",
        ] {
            assert!(parse(options).is_err(), "{options}");
        }
        for options in [
            "--raw --binary hex",
            "--json --timestamps",
            "--echo --quiet",
        ] {
            assert!(parse(options).is_ok(), "{options}");
        }
    }
}
