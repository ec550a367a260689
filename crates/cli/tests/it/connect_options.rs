//! Tests of the help of `connect` and `publish`: `docs/connect.md` has the same options, and the
//! text fits a terminal.

use std::{collections::BTreeSet, process::Command};

const CONNECT: &str = include_str!("../../../../docs/connect.md");
const FRAMECAST: &str = env!("CARGO_BIN_EXE_framecast");

/// Returns the names of the options in the help of a subcommand, without those that every
/// subcommand has.
fn options_of(subcommand: &str) -> BTreeSet<String> {
    let help = help(subcommand, "--help");
    // An option stands at the begin of its line, after at most six blanks and a short name.
    let lines = help.lines().filter(|line| !line.starts_with("        "));
    let lines = lines.map(str::trim).filter(|line| line.starts_with('-'));
    let names = lines.filter_map(|line| Some(name(line.split_once("--")?.1)));
    names
        .filter(|name| !["help", "version"].contains(&name.as_str()))
        .collect()
}

/// Returns the help of a subcommand.
fn help(subcommand: &str, option: &str) -> String {
    let help = Command::new(FRAMECAST)
        .args([subcommand, option])
        .output()
        .unwrap();
    String::from_utf8(help.stdout).unwrap()
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

#[test]
fn the_help_fits_a_terminal_of_80_columns() {
    for subcommand in ["connect", "publish"] {
        for option in ["-h", "--help"] {
            let help = help(subcommand, option);
            let too_long = help.lines().find(|line| line.chars().count() > 80);
            assert_eq!(too_long, None, "{subcommand} {option}");
        }
    }
}
