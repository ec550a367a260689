//! The `framecast` program: parses the command line, runs the subcommand, reports what failed.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
