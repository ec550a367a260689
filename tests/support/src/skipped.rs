//! The list of the tests that were skipped.
//!
//! All test programs of a run are children of the same `cargo test`. Each notes its skipped tests
//! in a file that is named after this parent, and the last one prints the notes
//! (`tests/skipped/list.rs`). Only doc tests run after it.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Write as _},
    os::unix::process::parent_id,
    panic::Location,
    path::PathBuf,
    thread,
};

use crate::tools::Tool;

/// Returns the folder of the notes, which is beside the folder of the test programs.
pub fn folder() -> PathBuf {
    let program = env::current_exe().unwrap();
    let build = program.ancestors().nth(2).unwrap();
    build.join("skipped-tests")
}

/// Notes that the running test is skipped, because it needs `tool`.
pub(crate) fn note(tool: Tool, place: &Location<'_>) {
    let thread = thread::current();
    // The test harness names the thread of a test after it, but not if there is only one thread.
    let test = match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => place.to_string(),
    };
    let line = format!("{}: {test}\n", tool.name());
    // Not `eprintln!`: the test harness captures that.
    let _ = write!(io::stderr(), "SKIPPED for want of {line}");
    fs::create_dir_all(folder()).unwrap();
    let file = folder().join(parent_id().to_string());
    let mut file = fs::File::options()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

/// Returns the notes of all children of the process `parent`, sorted, and removes them.
pub fn take(parent: u32) -> BTreeSet<String> {
    let file = folder().join(parent.to_string());
    let notes = fs::read_to_string(&file).unwrap_or_default();
    // Without notes there is no file.
    let _ = fs::remove_file(file);
    notes.lines().map(str::to_owned).collect()
}
