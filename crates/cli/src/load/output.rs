//! The files for the result.
//!
//! They are created before the run, so that a file that can't be written fails the run at once.

use std::{fs::File, io::Write as _, path::PathBuf};

use anyhow::Context as _;

use crate::load::common::Common;

#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) json: Output,
    pub(super) hdr: Output,
    pub(super) plot: Output,
}

/// An output file, or `None` if the option for it is not given.
#[derive(Debug)]
pub(super) struct Output(Option<(PathBuf, File)>);

impl Outputs {
    pub(super) fn create(common: &Common) -> anyhow::Result<Self> {
        Ok(Self {
            json: Output::create(common.json.as_ref())?,
            hdr: Output::create(common.hdr.as_ref())?,
            plot: Output::create(common.plot.as_ref())?,
        })
    }
}

impl Output {
    fn create(path: Option<&PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self(Some((path.clone(), file))))
    }

    /// Writes the text that `content` returns. Does not call `content` if there is no file to
    /// write.
    pub(super) fn write(
        self,
        content: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let Some((path, mut file)) = self.0 else {
            return Ok(());
        };
        let content = content()?;
        file.write_all(content.as_bytes())
            .with_context(|| format!("writing {}", path.display()))
    }
}
