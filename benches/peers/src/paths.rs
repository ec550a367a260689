//! Paths of the programs that are compared.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// Paths of the programs, and of the folders for the results.
#[derive(Debug)]
pub struct Paths {
    /// Folder of the whole project.
    root: PathBuf,
    /// Folder of the programs of the peers written in Rust, in which this program is, too.
    peers: PathBuf,
    /// Bun's program, if it is installed.
    pub bun: Option<PathBuf>,
    /// True if Node and its package `ws` are installed.
    pub has_node: bool,
}

impl Paths {
    /// Looks for the programs.
    ///
    /// # Errors
    ///
    /// framecast is not built. Missing peers are no error.
    pub fn find() -> anyhow::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .ancestors()
            .nth(2)
            .context("this package is not in benches/peers")?;
        let program = env::current_exe().context("looking for this program")?;
        let peers = program.parent().context("this program has no folder")?;
        let paths = Self {
            root: root.to_owned(),
            peers: peers.to_owned(),
            bun: bun(&here.join("js/node_modules/@oven")),
            has_node: runs("node") && here.join("js/node_modules/ws").exists(),
        };
        ensure!(
            paths.framecast().exists(),
            "framecast is not built: use benches/peers/run"
        );
        Ok(paths)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the release build of framecast.
    pub fn framecast(&self) -> PathBuf {
        self.root.join("target/release/framecast")
    }

    /// Returns the program of a peer written in Rust.
    pub fn peer(&self, name: &str) -> PathBuf {
        self.peers.join(name)
    }

    /// Returns a file in the folder of the peers written in JavaScript.
    pub fn js(&self, name: &str) -> PathBuf {
        self.root.join("benches/peers/js").join(name)
    }

    /// Returns the path of a temporary file.
    pub fn scratch_file(&self, extension: &str) -> PathBuf {
        let name = format!("peers-{}.{extension}", std::process::id());
        self.root.join("target").join(name)
    }

    /// Returns the default folder for the results: `benches`, where they are committed, only if the
    /// comparison is complete.
    pub fn out(&self, is_complete: bool) -> PathBuf {
        if is_complete {
            self.root.join("benches")
        } else {
            self.root.join("target/peers")
        }
    }
}

/// Finds Bun's program. npm installs one for each kind of processor that may fit. Returns the first
/// that runs on this one.
fn bun(packages: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(packages).ok()?.flatten();
    packages
        .map(|package| package.path().join("bin/bun"))
        .find(|program| runs(program))
}

/// Returns true if `program --version` succeeds.
fn runs(program: impl AsRef<std::ffi::OsStr>) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
