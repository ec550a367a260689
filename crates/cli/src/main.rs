//! The program `framecast`: one file or folder a subcommand. The only place that prints or exits.
//!
//! [`serve`], [`connect`], [`publish`] and [`load`] are the subcommands. [`value`], [`size`] and [`url`] parse
//! what they are given, [`display`] makes safe what the network has sent, [`logging`] is the log and
//! [`stderr`] the thread that writes it and the errors, [`signals`] end `serve`, and [`descriptors`] limit
//! how many connections a process has.

mod connect;
mod descriptors;
mod display;
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

/// Gives the memory of a crowd back to the system. Measured, 30 s after 9,000 connections had made
/// the server hold 650 MB: of that it keeps 2 %, glibc's 97 % and mimalloc (with its defaults) 18 to
/// 40 %; an idle connection takes 0.9 KiB, and not 1.1 or 1.5.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// A WebSocket broadcast server: one message in, every subscriber out, never lost silently.
#[derive(Debug, Parser)]
#[command(name = "framecast", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// Without doc comments of their own, so that each shows that of its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Connect(connect::Args),
    Publish(publish::Args),
    Load(load::Args),
}

/// Ctrl-C has ended it, which this says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Interrupted(String);

/// What is asked for can't be. The parser has let it pass, and the exit status is the same.
#[derive(Debug)]
struct Misuse(anyhow::Error);

impl fmt::Display for Misuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#}", self.0)
    }
}

impl std::error::Error for Misuse {}

fn main() -> ExitCode {
    // Without its thread, memory is given back only where there is something to do. It is an option
    // of the build that may be missing.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
    run()
}

/// Runs the subcommand. What fails is said in one line on standard error: exit status 2 for a
/// wrong command line or setting, 130 for a load that Ctrl-C has ended, 70 for a shard that has
/// panicked, 1 for anything else.
fn run() -> ExitCode {
    let stderr = match Stderr::start() {
        Ok(stderr) => stderr,
        Err(error) => {
            // Nobody to tell if standard error is gone.
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
        // It waits for its sockets by itself.
        Command::Load(args) => load::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr.say(&format!("framecast: {error:#}"));
            ExitCode::from(status(&error))
        }
    }
}

/// Joins an option with a negative value behind it: `--max-behind -5s` becomes `--max-behind=-5s`.
/// The parser would take `-5s` for an option that there is not, and not name the one that is wrong.
fn with_negative_values(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut joined: Vec<OsString> = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            joined.push(word);
            // All that follows is as it stands.
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

/// Returns true for an option that has no value yet.
fn is_option(word: &OsStr) -> bool {
    let word = word.as_encoded_bytes();
    word.starts_with(b"--") && !word.contains(&b'=')
}

fn is_negative(word: &OsStr) -> bool {
    matches!(word.as_encoded_bytes(), [b'-', b'0'..=b'9' | b'.', ..])
}

/// The exit status that tells what kind of error it is.
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

/// Runs a subcommand on a runtime of one thread, this one.
fn block_on(subcommand: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let done = runtime.block_on(subcommand);
    // Not waited for: a name that is being looked up, or a terminal that is being read.
    LocalRuntime::shutdown_background(runtime);
    done
}

/// Shows the help that was asked for, or says in one line what is wrong.
fn usage(error: &clap::Error, stderr: &Stderr) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
    ) {
        // Nobody to tell if standard output is gone.
        let _ = error.print();
        return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let text = error.render().to_string();
    let lines = text
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim);
    let line = lines.collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    stderr.say(&format!("framecast: {line}"));
    ExitCode::from(MISUSE)
}

/// As the parser of the command line has it.
const MISUSE: u8 = 2;

/// As a shell reports a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// `EX_SOFTWARE` of sysexits(3): a bug.
const SOFTWARE: u8 = 70;

/// Anything else.
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
            ("f --a=1 -1", "f --a=1 -1"),
            ("f --a -h -1", "f --a -h -1"),
            ("f --a 5 -1", "f --a 5 -1"),
            ("f --a -- -1 --b -2", "f --a -- -1 --b -2"),
        ] {
            let joined = with_negative_values(line.split(' ').map(OsString::from));
            assert_eq!(joined.join(OsStr::new(" ")), expected);
        }
    }

    #[test]
    fn the_exit_status_tells_a_bug_from_misuse_and_from_anything_else() {
        assert_eq!(status(&Error::ShardPanicked.into()), 70);
        let in_context = Err::<(), _>(Error::ShardPanicked).context("serve");
        assert_eq!(status(&in_context.unwrap_err()), 70);
        assert_eq!(status(&Misuse(anyhow!("no")).into()), 2);
        assert_eq!(status(&Interrupted("no".into()).into()), 130);
        assert_eq!(status(&Error::from(DrainTimeout).into()), 1);
        assert_eq!(status(&anyhow!("no")), 1);
    }
}
