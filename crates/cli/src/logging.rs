//! The log of `serve`: its filter, the format of its lines, and the lines for panics.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt::Display,
    io::{self, IsTerminal as _},
    panic, thread,
};

use anyhow::bail;
use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

use crate::stderr::{Lines, entry::Entry};

/// The format of the lines of the log.
#[derive(Clone, Copy, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    #[default]
    Text,
    Json,
}

/// Starts to log to standard error, through the queue `lines`. Text that clients sent is logged as
/// the value of a field, which both formats escape: as text by its `Debug` format.
pub(super) fn start(filter: &str, format: Format, lines: Lines) -> anyhow::Result<()> {
    let targets = targets(filter)?;
    if matches!(format, Format::Json) {
        lines.use_json();
    }
    log_panics(lines.clone());
    let layer = fmt::layer()
        .with_writer(move || lines.clone())
        // The layer would write its own errors to standard error directly, which may block.
        .log_internal_errors(false);
    let layer = match format {
        Format::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        // There are no spans.
        Format::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(targets)
        .with(layer)
        .init();
    Ok(())
}

fn targets(filter: &str) -> anyhow::Result<Targets> {
    // The parser takes a single word that is no level, such as `inof`, for a target, and turns all
    // other targets off.
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

/// Logs every panic, even if the filter of the log turns errors off. The default hook writes to
/// standard error directly, which could block a shard that panics.
fn log_panics(lines: Lines) {
    panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or("not a text");
        let text = match info.location() {
            Some(place) => panicked(&place, message),
            None => panicked(&"an unknown place", message),
        };
        let entry = Entry::new("ERROR", text);
        // Captured only if `RUST_BACKTRACE` or `RUST_LIB_BACKTRACE` is set.
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            lines.push_entry(&entry.with_backtrace(&backtrace.to_string()));
        } else {
            lines.push_entry(&entry);
        }
    }));
}

/// Formats a panic as one line, even if the message has several.
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
        let text = panicked(&"src/a.rs:1:2", "it\nbroke\x1b[2J");
        let line = Entry::new("ERROR", text).to_text();
        let (_, text) = line.split_once("Z ERROR framecast: ").unwrap_or_default();
        let (text, thread) = text.split_once(" thread=").unwrap_or_default();
        assert_eq!(
            text,
            r#"a thread panicked at src/a.rs:1:2: "it\nbroke\u{1b}[2J""#
        );
        assert!(thread.contains("a_panic_is_one_line"), "{thread}");
        assert_eq!(line.lines().count(), 1);
    }
}
