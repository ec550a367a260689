//! Compares framecast with its peers: every server in turn on one core, the load on another, and
//! what is compared is the CPU time that a message costs.
//!
//! ```text
//! cells ─► rounds ─┬─ server  (a peer's process, on the first core)      ─► results ─┬─ targets
//!                  ├─ load    (`framecast load`, on the second core)                 ├─ report
//!                  ├─ calls   (the same under `perf`, for system calls)              └─ picture
//!                  └─ stalled (with subscribers that never read)
//! ```
//!
//! All servers of a cell are measured in one round, seconds apart, then all again: a ratio is the
//! median over rounds of pairs of the same round, so that it does not matter how fast the machine
//! is at the moment.

mod calls;
mod cells;
mod cores;
mod load;
mod machine;
mod peers;
mod picture;
mod places;
mod report;
mod results;
mod rounds;
mod server;
mod stalled;
mod stop;
mod targets;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Parser;

use crate::{machine::Machine, places::Places, results::Results, rounds::Effort};

/// Compare framecast with its peers
#[derive(Debug, Parser)]
struct Args {
    /// See that everything works, in a minute: one short round, whose figures mean nothing
    #[arg(long)]
    quick: bool,

    /// Only measure the cells with this in their names
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Where RESULTS.md and peers.svg go [default: benches; with --quick or --only, target/peers]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let places = Places::find()?;
    cores::allow_descriptors()?;
    let machine = Machine::look(&places)?;
    let effort = Effort::new(args.quick, args.only);
    stop::listen()?;
    let results = rounds::measure(&places, &effort)?;
    let out = args.out.unwrap_or_else(|| places.out(effort.is_whole()));
    fs::create_dir_all(&out).context("making the folder for the results")?;
    write(&out, &machine, &effort, &results)?;
    print!("{}", report::summary(&results));
    println!("\nwritten to {}", out.display());
    Ok(())
}

fn write(out: &Path, machine: &Machine, effort: &Effort, results: &Results) -> anyhow::Result<()> {
    let report = report::document(machine, effort, results);
    fs::write(out.join("RESULTS.md"), report).context("writing RESULTS.md")?;
    let picture = picture::svg(results);
    fs::write(out.join("peers.svg"), picture).context("writing peers.svg")
}
