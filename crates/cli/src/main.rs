//! The program `framecast`, with one file or folder for each subcommand. Only the program prints or
//! exits, the libraries do not.
//!
//! [`serve`], [`connect`], [`publish`] and [`load`] are the subcommands. [`value`], [`size`] and
//! [`url`] parse options, and [`header`] those with which headers are added. [`dial`] connects to a
//! server. [`display`] makes text from the network safe to print. [`logging`] is the log, and
//! [`stderr`] the thread that writes the log and the errors. [`signals`] has the signals that end
//! `serve`, and [`descriptors`] the limit on open connections.

mod connect;
mod descriptors;
mod dial;
mod display;
mod header;
mod load;
mod logging;
mod publish;
mod serve;
mod signals;
mod size;
mod stderr;
mod url;
mod value;

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand, error::ErrorKind};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use self::stderr::Stderr;

/// The allocator: jemalloc, because it gives memory back to the system after many connections have
/// ended. Measured 30 s after 9,000 connections had made the server use 650 MB: jemalloc still held
/// 2 % of that, glibc's allocator 97 % and mimalloc (with its defaults) 18 to 40 %. An idle
/// connection takes 0.9 KiB with jemalloc, and 1.1 or 1.5 KiB with the other two.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// A WebSocket broadcast server: one message in, every subscriber out, never lost silently.
#[derive(Debug, Parser)]
#[command(name = "framecast", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// The variants have no doc comments, so that the help shows those of their `Args`.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Connect(connect::Args),
    Publish(publish::Args),
    Load(load::Args),
}

/// The error of a run of `load` that Ctrl-C has ended. It holds the text to print. The program
/// exits with status 130.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Interrupted(String);

/// A mistake in the command line or in a setting, if clap's parser does not find the mistake. The
/// program exits with status 2, as after an error that the parser finds.
#[derive(Debug)]
struct Misuse(anyhow::Error);

impl fmt::Display for Misuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#}", self.0)
    }
}

impl std::error::Error for Misuse {}

fn main() -> ExitCode {
    // Without its background thread, jemalloc gives memory back only while it is called. The call
    // fails if the build has no such thread.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
    run()
}

/// Runs the subcommand. An error is printed as one line on standard error. The exit status is 2 for
/// a wrong command line or setting, 130 for a load that Ctrl-C has ended, 70 for a shard that has
/// panicked, and 1 for any other error.
fn run() -> ExitCode {
    let stderr = match Stderr::start() {
        Ok(stderr) => stderr,
        Err(error) => {
            // Fails if standard error is closed.
            let _ = writeln!(
                io::stderr(),
                "framecast: a thread can't be started: {error}"
            );
            return ExitCode::FAILURE;
        }
    };
    let cli = match Cli::try_parse_from(with_negative_values(env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &stderr),
    };
    let done = match cli.command {
        Command::Serve(args) => block_on(serve::run(args, stderr.lines())),
        Command::Connect(args) => block_on(connect::run(args)),
        Command::Publish(args) => block_on(publish::run(args)),
        // Without a tokio runtime: the load generator waits for its sockets by itself.
        Command::Load(args) => load::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr.write_error(&format!("{error:#}"));
            ExitCode::from(status(&error))
        }
    }
}

/// Joins an option with a negative value after it: `--max-behind -5s` becomes `--max-behind=-5s`.
/// Otherwise clap takes `-5s` for an unknown option, and its error does not name `--max-behind`.
fn with_negative_values(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut joined: Vec<OsString> = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            joined.push(word);
            // Everything after `--` is a value.
            joined.extend(words);
            break;
        }
        match joined.last_mut() {
            Some(option) if is_option(option) && is_negative(&word) => {
                option.push("=");
                option.push(word);
            }
            _ => joined.push(word),
        }
    }
    joined
}

/// Returns true if `word` is a long option that has no value after a `=`.
fn is_option(word: &OsStr) -> bool {
    let word = word.as_encoded_bytes();
    word.starts_with(b"--") && !word.contains(&b'=')
}

fn is_negative(word: &OsStr) -> bool {
    matches!(word.as_encoded_bytes(), [b'-', b'0'..=b'9' | b'.', ..])
}

/// Returns the exit status for an error.
fn status(error: &anyhow::Error) -> u8 {
    if error.is::<Misuse>() {
        MISUSE
    } else if error.is::<Interrupted>() {
        INTERRUPTED
    } else if matches!(error.downcast_ref(), Some(framecast::Error::ShardPanicked)) {
        SOFTWARE
    } else {
        FAILURE
    }
}

/// Runs a subcommand on a tokio runtime that uses this thread only.
fn block_on(subcommand: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let done = runtime.block_on(subcommand);
    // Does not wait for blocking calls, such as a name lookup or a read from a terminal.
    LocalRuntime::shutdown_background(runtime);
    done
}

/// Prints the help or the version, or an error of the command line in one line. Returns the exit
/// status.
fn usage(error: &clap::Error, stderr: &Stderr) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
    ) {
        // Fails if standard output is closed.
        let _ = error.print();
        return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let line = one_line(&error.render().to_string());
    stderr.write_error(line.strip_prefix("error: ").unwrap_or(&line));
    ExitCode::from(MISUSE)
}

/// Joins the lines of clap's text for an error, up to the usage: the error itself, and the tips,
/// such as the name of a similar option.
fn one_line(text: &str) -> String {
    let mut joined = String::new();
    let lines = text.lines().map(str::trim);
    let lines = lines.take_while(|line| {
        !(line.starts_with("Usage:") || line.starts_with("For more information"))
    });
    for line in lines.filter(|line| !line.is_empty()) {
        joined.push_str(match (joined.as_str(), line.starts_with("tip:")) {
            ("", _) => "",
            (_, true) => "; ",
            (_, false) => " ",
        });
        joined.push_str(line);
    }
    joined
}

/// The exit status that clap uses for a wrong command line.
const MISUSE: u8 = 2;

/// The exit status that a shell reports for a program that SIGINT has killed: 128 + 2.
const INTERRUPTED: u8 = 130;

/// The exit status for a bug: `EX_SOFTWARE` of sysexits(3).
const SOFTWARE: u8 = 70;

/// The exit status for any other error.
const FAILURE: u8 = 1;

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};
    use framecast::{DrainTimeout, Error};

    use super::*;

    #[test]
    fn a_negative_value_is_joined_with_the_option_before_it() {
        for (line, expected) in [
            ("f serve --max-behind -5s", "f serve --max-behind=-5s"),
            ("f --a -1 --b -.5 -2", "f --a=-1 --b=-.5 -2"),
            ("f --a --b -1", "f --a --b=-1"),
            // The word before the number is an option with a value, a short option, and a value.
            ("f --a=1 -1", "f --a=1 -1"),
            ("f --a -h -1", "f --a -h -1"),
            ("f --a 5 -1", "f --a 5 -1"),
            // Nothing after `--` is an option.
            ("f --a -- -1 --b -2", "f --a -- -1 --b -2"),
        ] {
            let joined = with_negative_values(line.split(' ').map(OsString::from));
            assert_eq!(joined.join(OsStr::new(" ")), expected);
        }
    }

    #[test]
    fn the_error_of_a_misspelt_name_suggests_the_right_one_on_the_same_line() {
        for (line, expected) in [
            (
                "f connect ws://h --heder x",
                "unexpected argument '--heder' found; \
                 tip: a similar argument exists: '--header'",
            ),
            (
                "f conect ws://h",
                "unrecognized subcommand 'conect'; \
                 tip: a similar subcommand exists: 'connect'",
            ),
            (
                "f connect",
                "the following required arguments were not provided: <URL>",
            ),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            let text = one_line(&error.render().to_string());
            assert_eq!(text.strip_prefix("error: "), Some(expected));
        }
    }

    #[test]
    fn the_exit_status_distinguishes_a_bug_misuse_an_interruption_and_other_errors() {
        assert_eq!(status(&Error::ShardPanicked.into()), 70);
        let in_context = Err::<(), _>(Error::ShardPanicked).context("serve");
        assert_eq!(status(&in_context.unwrap_err()), 70);
        assert_eq!(status(&Misuse(anyhow!("no")).into()), 2);
        assert_eq!(status(&Interrupted("no".into()).into()), 130);
        assert_eq!(status(&Error::from(DrainTimeout).into()), 1);
        assert_eq!(status(&anyhow!("no")), 1);
    }
}
