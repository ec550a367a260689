//! Prints the tests that this run of `cargo test` has skipped, and writes them to a file, from
//! which `.ci/run` repeats them in its last lines.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "this is a program of tests"
)]

use std::{env, fs, os::unix::process::parent_id};

use framecast_test_support::{skipped, tools};

fn main() {
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    let names = env::var("FRAMECAST_SKIP").unwrap_or_default();
    tools::parse(&names).unwrap();
    let notes = skipped::take(parent_id());
    let text = match notes.len() {
        0 => "no test was skipped\n".to_owned(),
        count => {
            let lines: String = notes.iter().map(|note| format!("  {note}\n")).collect();
            format!("tests skipped (FRAMECAST_SKIP={names}): {count}\n{lines}")
        }
    };
    print!("\n{text}");
    fs::create_dir_all(skipped::folder()).unwrap();
    fs::write(skipped::folder().join("list"), text).unwrap();
}
