//! What the command line asks for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) server: PathBuf,
    /// An older server, for figures to compare with.
    pub(crate) before: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) is_long: bool,
    /// Only attacks whose names contain one of these; all if there are none.
    only: Vec<String>,
    /// Nothing is to be run.
    pub(crate) only_says: Option<Says>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Names,
    Help,
}

impl Arguments {
    /// `cargo test` hands all its test programs the same options; those for others say nothing
    /// here.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut parsed = Self {
            server: env!("CARGO_BIN_EXE_framecast").into(),
            before: None,
            markdown: None,
            is_long: false,
            only: Vec::new(),
            only_says: None,
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
                "--list" => parsed.only_says = Some(Says::Names),
                "--help" | "-h" => parsed.only_says = Some(Says::Help),
                // Of libtest, with a value that is no filter.
                "--test-threads" | "--skip" | "--format" | "--color" | "--logfile"
                | "--shuffle-seed" | "-Z" => drop(value()?),
                other if other.starts_with('-') => {}
                filter => parsed.only.push(filter.to_owned()),
            }
        }
        Ok(parsed)
    }

    /// The command that runs the same, wherever the programs are.
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

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

pub(crate) const HELP: &str = "\
Attacks a server beside bystanders who must not notice.

cargo test --test attacks -- [OPTIONS] [NAME]...

  --server PATH    the server program, instead of the one built with this
  --long           measure long enough for times, and hold them to their bounds; with all
                   who are after memory, and a look at what is left of it 30 s later
  --only NAME      only attacks whose names contain NAME
  --before PATH    attack this server too, for the column \"before\"
  --markdown FILE  write the tables, in place of those that FILE may have
  --list           print the names
";
