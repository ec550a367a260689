//! The settings of the program's allocator.

use std::process::Command;

use crate::process::FRAMECAST;

// These settings were once lost when the program was built from another folder.
#[test]
fn the_program_has_one_arena_and_gives_back_what_is_free_after_100_ms() {
    let output = Command::new(FRAMECAST)
        .arg("--version")
        .env("_RJEM_MALLOC_CONF", "stats_print:true")
        .output()
        .unwrap();
    let statistics = String::from_utf8(output.stderr).unwrap();
    let settings: Vec<&str> = statistics.lines().map(str::trim).collect();
    assert!(settings.contains(&"opt.narenas: 1"), "{statistics}");
    let decay = "opt.dirty_decay_ms: 100 (arenas.dirty_decay_ms: 100)";
    assert!(settings.contains(&decay), "{statistics}");
}
