//! Checks that the first line of nearly every doc comment says what a thing is or does, instead of
//! beginning with a clause such as "How many …".

use std::{fs, path::Path};

use crate::sources::{ROOT, files, relative};

/// Folders whose doc comments are read.
const FOLDERS: [&str; 6] = ["src", "crates", "tests", "fuzz", "benches", "examples"];

/// Words that begin a clause instead of a sentence.
const CLAUSE_WORDS: [&str; 8] = [
    "What", "Who", "Whoever", "Whether", "How", "When", "Where", "Why",
];

/// Largest share of first lines that may begin with one of [`CLAUSE_WORDS`], in percent. Good code
/// bases have 2 to 4.
const ALLOWED_PERCENT: usize = 3;

/// Returns the first line of each doc comment of a file.
fn first_lines(source: &str) -> Vec<&str> {
    let docs = source.lines().map(|line| {
        let line = line.trim_start();
        line.strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"))
    });
    let mut first_lines = Vec::new();
    let mut is_inside = false;
    for line in docs {
        if let Some(line) = line.filter(|_| !is_inside) {
            first_lines.push(line.trim_start());
        }
        is_inside = line.is_some();
    }
    first_lines
}

/// Returns true if a sentence is a clause without a main verb.
fn is_clause(sentence: &str) -> bool {
    let word = sentence.split(|c: char| !c.is_alphanumeric()).next();
    word.is_some_and(|word| CLAUSE_WORDS.contains(&word))
}

#[test]
fn few_doc_comments_begin_with_a_clause_instead_of_a_sentence() {
    let mut total = 0;
    let mut clauses = Vec::new();
    let folders = FOLDERS.iter().map(|folder| Path::new(ROOT).join(folder));
    for file in folders.flat_map(|folder| files(&folder)) {
        let source = fs::read_to_string(&file).unwrap();
        for line in first_lines(&source) {
            total += 1;
            if is_clause(line) {
                clauses.push(format!("{}: {line}", relative(&file)));
            }
        }
    }
    assert!(
        clauses.len() * 100 <= total * ALLOWED_PERCENT,
        "{} of {total} doc comments:\n{}",
        clauses.len(),
        clauses.join("\n")
    );
}

#[test]
fn the_first_line_of_each_doc_comment_is_found() {
    let source =
        "//! Head.\n//! More.\n\n/// One.\n///\n/// More.\nfn f() {}\n    /// Two.\n// No.\n";
    assert_eq!(first_lines(source), ["Head.", "One.", "Two."]);
    assert!(is_clause("How many."));
    assert!(!is_clause("However many."));
}
