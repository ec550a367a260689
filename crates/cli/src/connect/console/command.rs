//! Parses the lines that the user types.
//!
//! Pure.

use framecast_wire::close::CloseCode;

use crate::display::escape;

/// Longest payload of a control frame, in bytes (RFC 6455 §5.5).
const MAX_CONTROL_BYTES: usize = 125;

/// Longest close reason, in bytes: the two bytes of the close code come before it in the payload of
/// the Close (RFC 6455 §5.5.1).
const MAX_REASON_BYTES: usize = MAX_CONTROL_BYTES - 2;

/// The close code for a normal closure (RFC 6455 §7.4.1).
pub(crate) const NORMAL: u16 = 1000;

/// The text of `/help`.
pub(crate) const HELP: &str = "\
/ping [TEXT]            send a Ping and report its round trip time
/close [CODE] [REASON]  close the connection (1000 if no code is given) and exit
/help                   list these commands
//TEXT                  send /TEXT
anything else           is sent as a text message";

/// A line typed by the user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    Close { code: u16, reason: &'a str },
    Help,
    Ping(&'a str),
    Send(&'a str),
}

impl<'a> Command<'a> {
    /// Parses `line`. The error is a text for the user.
    pub(crate) fn parse(line: &'a str) -> Result<Self, String> {
        let Some(command) = line.strip_prefix('/') else {
            return Ok(Self::Send(line));
        };
        if command.starts_with('/') {
            return Ok(Self::Send(command));
        }
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        match name {
            "close" => close(rest.trim()),
            "help" => Ok(Self::Help),
            "ping" => ping(rest),
            _ => Err(unknown(name)),
        }
    }
}

/// Returns the text for a command that does not exist.
fn unknown(name: &str) -> String {
    let tip = match similar(name) {
        Some(meant) => format!("did you mean /{meant}?"),
        None => "/help lists the commands".to_owned(),
    };
    let name = escape(name);
    format!("unknown command `/{name}`, nothing was sent; {tip} (//{name} sends /{name})")
}

/// Returns the command that a user of this name probably means.
fn similar(name: &str) -> Option<&'static str> {
    match name {
        "bye" | "disconnect" | "exit" | "q" | "quit" => Some("close"),
        "?" | "commands" | "h" => Some("help"),
        _ => ["close", "help", "ping"]
            .into_iter()
            .find(|command| distance(name, command) <= MAX_SLIPS),
    }
}

/// Largest distance of a misspelt name from the right one. Arbitrary: the commands differ in more.
const MAX_SLIPS: usize = 2;

/// Returns the number of bytes to insert, delete or replace that turn one name into the other
/// (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    // A name that is far too long is not compared byte by byte.
    if one.len().abs_diff(other.len()) > MAX_SLIPS {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, byte) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = number + 1;
        for (column, other) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

fn ping(text: &str) -> Result<Command<'_>, String> {
    if MAX_CONTROL_BYTES < text.len() {
        return Err(format!(
            "the text of a Ping is at most {MAX_CONTROL_BYTES} bytes, nothing was sent"
        ));
    }
    Ok(Command::Ping(text))
}

fn close(arguments: &str) -> Result<Command<'_>, String> {
    if arguments.is_empty() {
        return Ok(Command::Close {
            code: NORMAL,
            reason: "",
        });
    }
    let (code, reason) = arguments.split_once(' ').unwrap_or((arguments, ""));
    let sendable = |code: &u16| CloseCode::new(*code).is_ok();
    let Some(code) = code.parse().ok().filter(sendable) else {
        return Err(format!(
            "`{}` is not a close code that may be sent, the connection stays open",
            escape(code)
        ));
    };
    let reason = reason.trim_start();
    if MAX_REASON_BYTES < reason.len() {
        return Err(format!(
            "a close reason is at most {MAX_REASON_BYTES} bytes, the connection stays open"
        ));
    }
    Ok(Command::Close { code, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(text: &str) -> Result<Command<'_>, String> {
        Ok(Command::Send(text))
    }

    fn closes(code: u16, reason: &str) -> Result<Command<'_>, String> {
        Ok(Command::Close { code, reason })
    }

    #[test]
    fn a_line_without_a_slash_is_sent_as_it_is() {
        assert_eq!(Command::parse("hello /ping"), sends("hello /ping"));
        assert_eq!(Command::parse(" /ping"), sends(" /ping"));
        assert_eq!(Command::parse(""), sends(""));
    }

    #[test]
    fn a_double_slash_sends_one_slash() {
        assert_eq!(Command::parse("//ping"), sends("/ping"));
        assert_eq!(Command::parse("///"), sends("//"));
    }

    #[test]
    fn a_ping_carries_its_text() {
        assert_eq!(Command::parse("/ping"), Ok(Command::Ping("")));
        assert_eq!(Command::parse("/ping a b"), Ok(Command::Ping("a b")));
        let too_long = "x".repeat(MAX_CONTROL_BYTES + 1);
        assert!(Command::parse(&format!("/ping {too_long}")).is_err());
    }

    #[test]
    fn close_takes_a_code_and_a_reason() {
        assert_eq!(Command::parse("/close"), closes(1000, ""));
        assert_eq!(Command::parse("/close 4001"), closes(4001, ""));
        assert_eq!(
            Command::parse("/close 1001 good bye"),
            closes(1001, "good bye")
        );
    }

    #[test]
    fn a_close_frame_that_must_not_be_sent_is_refused() {
        // Codes that are reserved or out of range (RFC 6455 §7.4), and a text.
        for arguments in [
            "999", "1005", "1006", "1015", "2000", "5000", "65536", "bye",
        ] {
            assert!(
                Command::parse(&format!("/close {arguments}")).is_err(),
                "{arguments}"
            );
        }
        let too_long = "x".repeat(MAX_REASON_BYTES + 1);
        assert!(Command::parse(&format!("/close 1000 {too_long}")).is_err());
    }

    #[test]
    fn the_error_of_a_misspelt_command_suggests_the_right_one() {
        for (name, meant) in [
            ("pign", Some("ping")),
            ("Ping", Some("ping")),
            ("clse", Some("close")),
            ("hlp", Some("help")),
            ("exit", Some("close")),
            ("?", Some("help")),
            ("etc/passwd", None),
            ("msg", None),
            ("", None),
        ] {
            assert_eq!(similar(name), meant, "{name}");
        }
        let mistake = Command::parse("/pign x").unwrap_err();
        let expected = "unknown command `/pign`, nothing was sent; did you mean /ping? \
                        (//pign sends /pign)";
        assert_eq!(mistake, expected);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", "bcd"), 2);
    }

    #[test]
    fn the_error_of_an_unknown_command_names_it() {
        assert_eq!(Command::parse("/help"), Ok(Command::Help));
        assert!(Command::parse("/pong").unwrap_err().contains("`/pong`"));
        assert!(Command::parse("/").unwrap_err().contains("`/`"));
    }
}
