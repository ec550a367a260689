//! Where the programs are that are compared.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

#[derive(Debug)]
pub struct Places {
    root: PathBuf,
    /// Of the peers written in Rust, beside this program.
    peers: PathBuf,
    /// Bun's program, if it could be installed.
    pub bun: Option<PathBuf>,
    /// Whether Node and its `ws` are there.
    pub has_node: bool,
}

impl Places {
    pub fn find() -> anyhow::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .ancestors()
            .nth(2)
            .context("this is not in benches/peers")?;
        let program = env::current_exe().context("looking for this program")?;
        let peers = program.parent().context("this program is nowhere")?;
        let places = Self {
            root: root.to_owned(),
            peers: peers.to_owned(),
            bun: bun(&here.join("js/node_modules/@oven")),
            has_node: runs("node") && here.join("js/node_modules/ws").exists(),
        };
        ensure!(
            places.framecast().exists(),
            "framecast is not built: use benches/peers/run"
        );
        Ok(places)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// framecast itself, as it is released.
    pub fn framecast(&self) -> PathBuf {
        self.root.join("target/release/framecast")
    }

    /// A peer written in Rust.
    pub fn peer(&self, name: &str) -> PathBuf {
        self.peers.join(name)
    }

    /// A file beside the peers in JavaScript.
    pub fn js(&self, name: &str) -> PathBuf {
        self.root.join("benches/peers/js").join(name)
    }

    /// A file that is only needed for a moment.
    pub fn scratch_file(&self, extension: &str) -> PathBuf {
        let name = format!("peers-{}.{extension}", std::process::id());
        self.root.join("target").join(name)
    }

    /// Where results go by default.
    pub fn out(&self, is_whole: bool) -> PathBuf {
        if is_whole {
            self.root.join("benches")
        } else {
            self.root.join("target/peers")
        }
    }
}

/// npm installs one for each kind of processor that may fit.
fn bun(packages: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(packages).ok()?.flatten();
    packages
        .map(|package| package.path().join("bin/bun"))
        .find(|program| runs(program))
}

fn runs(program: impl AsRef<std::ffi::OsStr>) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
