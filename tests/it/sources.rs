//! Finds and reads source files, for the tests of dependencies and of words.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the folders of the product's code: the library's, and that of each crate.
fn sources() -> Vec<PathBuf> {
    let crates = ["cli", "load", "wire"].map(|name| format!("{ROOT}/crates/{name}/src"));
    let all = [format!("{ROOT}/src")].into_iter().chain(crates);
    all.map(PathBuf::from).collect()
}

/// Returns all Rust files of the product.
pub(crate) fn product() -> Vec<PathBuf> {
    sources().iter().flat_map(|folder| files(folder)).collect()
}

/// Returns the code of a file without comments and without its unit tests.
pub(crate) fn code(file: &Path) -> String {
    let source = fs::read_to_string(file).unwrap();
    let lines = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let source = lines.collect::<Vec<_>>().join("\n");
    // The declaration of a file of tests stands among those of the product's files.
    let source = source.replace("#[cfg(test)]\nmod model;", "");
    let product = source.split("#[cfg(test)]").next();
    product.unwrap_or_default().to_owned()
}

/// Returns the Rust files in a folder and in the folders below it, except those of build output.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.ends_with("target") {
                Vec::new()
            } else if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Returns the path of a file from the root of the repository.
pub(crate) fn relative(file: &Path) -> String {
    file.strip_prefix(ROOT)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

/// Returns the paths that a file names after `crate::`, one by one or in a list.
pub(crate) fn named(code: &str) -> Vec<Vec<&str>> {
    let mut paths = Vec::new();
    for (start, marker) in code.match_indices("crate::") {
        read_tree(&code[start + marker.len()..], &[], &mut paths);
    }
    paths
}

/// Reads the path or the list of paths at the start of `code`. Returns the code after it.
fn read_tree<'a>(code: &'a str, prefix: &[&'a str], paths: &mut Vec<Vec<&'a str>>) -> &'a str {
    let Some(mut list) = code.strip_prefix('{') else {
        let end = code.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (name, rest) = code.split_at(end.unwrap_or(code.len()));
        let path = [prefix, &[name]].concat();
        if let Some(rest) = rest.strip_prefix("::") {
            return read_tree(rest, &path, paths);
        }
        paths.push(path);
        return rest;
    };
    loop {
        list = list.trim_start();
        if let Some(rest) = list.strip_prefix('}') {
            return rest;
        }
        list = read_tree(list, prefix, paths);
        // Skip `as name`, and a comma.
        list = &list[list.find([',', '}']).unwrap()..];
        list = list.strip_prefix(',').unwrap_or(list);
    }
}

#[test]
fn every_path_of_a_list_is_found() {
    let code =
        "use crate::{\n    a,\n    b::{c::D, e as _, f::*},\n    g as h,\n};\ncrate::i::J::k()";
    let named = named(code);
    let joined: Vec<String> = named.iter().map(|path| path.join("::")).collect();
    assert_eq!(joined, ["a", "b::c::D", "b::e", "b::f::", "g", "i::J::k"]);
}
