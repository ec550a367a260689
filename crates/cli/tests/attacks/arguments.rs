//! The command line of this program.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Parsed command line.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// The server program to attack.
    pub(crate) server: PathBuf,
    /// An older server program, attacked too, for the column "before".
    pub(crate) before: Option<PathBuf>,
    /// The file whose tables are replaced.
    pub(crate) markdown: Option<PathBuf>,
    /// True for the long form of the tests.
    pub(crate) is_long: bool,
    /// Parts of names: only attacks whose names contain one of them run. Empty: all attacks.
    only: Vec<String>,
    /// Text to print instead of running any attack.
    pub(crate) only_prints: Option<Printout>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Printout {
    Names,
    Help,
}

impl Arguments {
    /// Parses the command line, and ignores unknown options: `cargo test` passes the same options
    /// to all of its test programs.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut parsed = Self {
            server: env!("CARGO_BIN_EXE_framecast").into(),
            before: None,
            markdown: None,
            is_long: false,
            only: Vec::new(),
            only_prints: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .context(format!("{argument} wants a value"))
            };
            match argument.as_str() {
                "--server" => parsed.server = value()?.into(),
                "--before" => parsed.before = Some(value()?.into()),
                "--markdown" => parsed.markdown = Some(value()?.into()),
                "--only" => parsed.only.push(value()?),
                "--long" => parsed.is_long = true,
                "--list" => parsed.only_prints = Some(Printout::Names),
                "--help" | "-h" => parsed.only_prints = Some(Printout::Help),
                // Options of libtest whose value must not be taken for a filter.
                "--test-threads" | "--skip" | "--format" | "--color" | "--logfile"
                | "--shuffle-seed" | "-Z" => drop(value()?),
                other if other.starts_with('-') => {}
                filter => parsed.only.push(filter.to_owned()),
            }
        }
        Ok(parsed)
    }

    /// Returns the command that repeats this run, with placeholders instead of the paths.
    pub(crate) fn command(&self) -> String {
        let mut command = "cargo test --release --test attacks --".to_owned();
        let server = self.server != Path::new(env!("CARGO_BIN_EXE_framecast"));
        let options = [
            (self.is_long, "--long"),
            (server, "--server PATH"),
            (self.before.is_some(), "--before PATH"),
            (self.markdown.is_some(), "--markdown FILE"),
        ];
        for (_, option) in options.iter().filter(|(is_given, _)| *is_given) {
            command.push(' ');
            command.push_str(option);
        }
        for name in &self.only {
            command.push_str(" --only ");
            command.push_str(name);
        }
        command
    }

    /// Returns true if the attack with this name is to run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

pub(crate) const HELP: &str = "\
Attacks a server next to well-behaved clients that must not notice.

cargo test --test attacks -- [OPTIONS] [NAME]...

  --server PATH    the server program to attack, instead of the one built with this
  --long           measure for longer and check latencies against their bounds; attack memory
                   with all attackers, and measure again 30 s after they have gone
  --only NAME      only attacks whose names contain NAME
  --before PATH    attack this older server too, for the column \"before\"
  --markdown FILE  write the tables into FILE, in place of the old ones
  --list           print the names of the attacks
";
