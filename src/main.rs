//! The `framecast` program: parses the command line, runs the subcommand, reports what failed.

mod cli;
mod load;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
