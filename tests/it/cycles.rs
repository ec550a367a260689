//! Checks that no file of the library depends on itself, directly or through other files. A file
//! depends on those whose paths it names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::sources::{ROOT, code, files, named, relative};

/// All modules that have a file. The value of each is the other such modules that its file names.
type Dependencies = BTreeMap<String, BTreeSet<String>>;

/// Returns the module of a file, such as `hub::shard::state`.
fn module_of(path: &str) -> String {
    let module = path.trim_start_matches("src/").trim_end_matches(".rs");
    module.trim_end_matches("/mod").replace('/', "::")
}

/// Returns the innermost module on a path that has a file.
fn file_of(path: &[&str], modules: &BTreeSet<String>) -> Option<String> {
    let prefixes = (1..=path.len()).rev().map(|len| path[..len].join("::"));
    prefixes.into_iter().find(|prefix| modules.contains(prefix))
}

/// Returns the dependencies of all files of the library.
fn dependencies() -> Dependencies {
    let files = files(&Path::new(ROOT).join("src"));
    let modules = files.iter().map(|file| module_of(&relative(file)));
    let modules: BTreeSet<String> = modules.collect();
    let named_by = |file: &PathBuf| {
        let module = module_of(&relative(file));
        let code = code(file).replace("self::", &format!("crate::{module}::"));
        let paths = named(&code).into_iter();
        // `pub(in crate::hub)` names a module around this one, and is not a dependency.
        let is_around =
            |path: &[&str]| format!("{module}::").starts_with(&(path.join("::") + "::"));
        let paths = paths.filter(|path| !is_around(path));
        let named = paths.filter_map(|path| file_of(&path, &modules));
        let named = named.filter(|each| *each != module).collect();
        (module, named)
    };
    files.iter().map(named_by).collect()
}

/// Returns the modules that a module depends on, directly or through others.
fn reached(from: &str, dependencies: &Dependencies) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from.to_owned()];
    while let Some(module) = next.pop() {
        let named = dependencies.get(&module).into_iter().flatten();
        next.extend(named.filter(|&each| reached.insert(each.clone())).cloned());
    }
    reached
}

#[test]
fn files_have_no_circular_dependencies() {
    let dependencies = dependencies();
    for module in dependencies.keys() {
        let reached = reached(module, &dependencies);
        if !reached.contains(module) {
            continue;
        }
        let with = reached.iter().filter(|other| {
            let back = self::reached(other, &dependencies);
            back.contains(module)
        });
        panic!("{module} is in a cycle: {:?}", with.collect::<Vec<_>>());
    }
}
