//! The files for the result.
//!
//! They are created before the run, so that a file that can't be written fails the run at once. The
//! file name `-` means standard output, and the table then goes to standard error.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::load::common::Common;

#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) json: Output,
    pub(super) hdr: Output,
    pub(super) plot: Output,
}

/// A file or standard output, with the name of the option's value; or `None` if the option is not
/// given.
#[derive(Debug)]
pub(super) struct Output(Option<(PathBuf, Sink)>);

#[derive(Debug)]
enum Sink {
    File(File),
    /// The value of the option is `-`.
    Stdout,
}

impl Outputs {
    pub(super) fn create(common: &Common) -> anyhow::Result<Self> {
        Ok(Self {
            json: Output::create(common.json.as_ref())?,
            hdr: Output::create(common.hdr.as_ref())?,
            plot: Output::create(common.plot.as_ref())?,
        })
    }

    /// Returns true if one of them is standard output, so that nothing else may be written there.
    pub(super) fn take_stdout(&self) -> bool {
        [&self.json, &self.hdr, &self.plot]
            .into_iter()
            .any(|output| matches!(output.0, Some((_, Sink::Stdout))))
    }
}

/// Returns true if `path` means standard output.
pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Output {
    fn create(path: Option<&PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let sink = if is_stdout(path) {
            Sink::Stdout
        } else {
            Sink::File(File::create(path).with_context(|| format!("writing {}", path.display()))?)
        };
        Ok(Self(Some((path.clone(), sink))))
    }

    /// Writes the text that `content` returns. Does not call `content` if the option is not given.
    pub(super) fn write(
        self,
        content: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let Some((path, sink)) = self.0 else {
            return Ok(());
        };
        let content = content()?;
        match sink {
            Sink::File(mut file) => file
                .write_all(content.as_bytes())
                .with_context(|| format!("writing {}", path.display())),
            Sink::Stdout => io::stdout()
                .write_all(content.as_bytes())
                .context("writing to standard output"),
        }
    }
}
