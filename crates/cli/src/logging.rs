//! What `serve` logs: which lines, how they look, and that a panic is one of them.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt::Display,
    io::{self, IsTerminal as _},
    panic, thread,
};

use anyhow::bail;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

use crate::stderr::{Lines, stamped};

/// Logs go to standard error. `Debug` of what clients sent is logged, which escapes it.
pub(super) fn start(filter: &str, lines: Lines) -> anyhow::Result<()> {
    let targets = targets(filter)?;
    tell_of_panics(lines.clone());
    let layer = fmt::layer()
        .with_writer(move || lines.clone())
        .with_ansi(io::stderr().is_terminal())
        // Those it would print itself, and wait.
        .log_internal_errors(false);
    tracing_subscriber::registry()
        .with(targets)
        .with(layer)
        .init();
    Ok(())
}

fn targets(filter: &str) -> anyhow::Result<Targets> {
    // A word alone would be taken for a target, and all others would be off.
    for directive in filter.split(',').map(str::trim) {
        let is_target = directive.contains('=') && !directive.contains('[');
        let is_level = !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
        if !is_target && !is_level {
            bail!("log: {directive:?} is neither a level, such as info, nor target=level");
        }
    }
    match filter.parse() {
        Ok(targets) => Ok(targets),
        Err(error) => bail!("log: {filter:?}: {error}"),
    }
}

/// Lets a panic be said as the log is, whatever the filter: the usual hook writes to standard error
/// itself, and a shard would wait for that.
fn tell_of_panics(lines: Lines) {
    panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or("not a text");
        let text = match info.location() {
            Some(place) => panicked(&place, message),
            None => panicked(&"an unknown place", message),
        };
        let mut said = stamped("ERROR", text);
        // Only where the environment asks for it.
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            said.push_str(&backtrace.to_string());
        }
        lines.push(said.as_bytes());
    }));
}

/// One line, whatever the message.
fn panicked(place: &dyn Display, message: &str) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    format!("a thread panicked at {place}: {message:?} thread={name:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_that_says_where_and_why() {
        let line = stamped("ERROR", panicked(&"src/a.rs:1:2", "it\nbroke\x1b[2J"));
        let (_, said) = line.split_once("Z ERROR framecast: ").unwrap_or_default();
        let (said, thread) = said.split_once(" thread=").unwrap_or_default();
        assert_eq!(
            said,
            r#"a thread panicked at src/a.rs:1:2: "it\nbroke\u{1b}[2J""#
        );
        assert!(thread.contains("a_panic_is_one_line"), "{thread}");
        assert_eq!(line.lines().count(), 1);
    }
}
