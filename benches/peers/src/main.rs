//! Compares framecast with its peers by the CPU time that a message costs. Each server in turn runs
//! on one core, the load generator on another.
//!
//! ```text
//! cells ─► rounds ─┬─ server  (a peer's process, on the first core)      ─► results ─┬─ targets
//!                  ├─ load    (`framecast load`, on the second core)                 ├─ report
//!                  ├─ calls   (the server under `perf`, for system calls)            └─ picture
//!                  └─ stalled (with subscribers that never read)
//! ```
//!
//! A cell is a load, together with the servers that it is put on. All servers of a cell are measured
//! once in one round, seconds apart, and then all again in the next round. The CPU times of two
//! servers in the same round are divided by each other, and the report has the median of these
//! ratios over all rounds. So it does not matter how fast the machine is at the moment.

mod calls;
mod cells;
mod commit;
mod cores;
mod load;
mod machine;
mod paths;
mod peers;
mod picture;
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

use crate::{machine::Machine, paths::Paths, results::Results, rounds::Plan};

/// Compare framecast with its peers
#[derive(Debug, Parser)]
struct Args {
    /// Check that everything works: one short round, which judges no target
    #[arg(long)]
    quick: bool,

    /// Only measure the cells whose names contain this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Folder for RESULTS.md and peers.svg [default: benches; with --quick or --only, target/peers]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let paths = Paths::find()?;
    cores::raise_descriptor_limit()?;
    let machine = Machine::inspect(&paths)?;
    let plan = Plan::new(args.quick, args.only);
    stop::listen()?;
    let results = rounds::measure(&paths, &plan)?;
    let out = args.out.unwrap_or_else(|| paths.out(plan.is_complete()));
    fs::create_dir_all(&out).context("making the folder for the results")?;
    write(&out, &machine, &plan, &results)?;
    print!("{}", report::summary(&plan, &results));
    println!("\nwritten to {}", out.display());
    Ok(())
}

/// Writes the report and the picture to the folder `out`.
fn write(out: &Path, machine: &Machine, plan: &Plan, results: &Results) -> anyhow::Result<()> {
    let report = report::document(machine, plan, results);
    fs::write(out.join("RESULTS.md"), report).context("writing RESULTS.md")?;
    let picture = picture::svg(results);
    fs::write(out.join("peers.svg"), picture).context("writing peers.svg")
}
