//! Tests of `docs/connect.md`: compares its tables of options with the help of the program.

use std::{collections::BTreeSet, process::Command};

const CONNECT: &str = include_str!("../../../../docs/connect.md");
const FRAMECAST: &str = env!("CARGO_BIN_EXE_framecast");

/// Returns the names of the options in the help of a subcommand, without those that every
/// subcommand has.
fn options_of(subcommand: &str) -> BTreeSet<String> {
    let help = Command::new(FRAMECAST)
        .args([subcommand, "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    // An option stands at the begin of its line, after at most six blanks and a short name.
    let lines = help.lines().filter(|line| !line.starts_with("        "));
    let lines = lines.map(str::trim).filter(|line| line.starts_with('-'));
    let names = lines.filter_map(|line| Some(name(line.split_once("--")?.1)));
    names
        .filter(|name| !["help", "version"].contains(&name.as_str()))
        .collect()
}

/// Returns the names of the options in the first cells of the tables of `text`.
fn documented(text: &str) -> BTreeSet<String> {
    let cells = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `-")?.split('|').next());
    cells
        .map(|cell| name(cell.rsplit_once('-').unwrap().1))
        .collect()
}

/// Returns the name at the begin of `text`.
fn name(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_ascii_lowercase() || *c == '-')
        .collect()
}

#[test]
fn the_documented_options_are_those_of_the_help() {
    let (connect, publish) = CONNECT.split_once("## Publishing").unwrap();
    assert_eq!(documented(connect), options_of("connect"));
    assert_eq!(documented(publish), options_of("publish"));
}
