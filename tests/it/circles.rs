//! No file names another one that names it, over however many others. Executable.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::sources::{ROOT, code, files, named, relative};

/// A module that has a file, and the modules with files that it names.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The module of a file: `hub::shard::state`.
fn module_of(path: &str) -> String {
    let module = path.trim_start_matches("src/").trim_end_matches(".rs");
    module.trim_end_matches("/mod").replace('/', "::")
}

/// The innermost module with a file on a path.
fn file_of(path: &[&str], modules: &BTreeSet<String>) -> Option<String> {
    let prefixes = (1..=path.len()).rev().map(|len| path[..len].join("::"));
    prefixes.into_iter().find(|prefix| modules.contains(prefix))
}

fn arrows() -> Arrows {
    let files = files(&Path::new(ROOT).join("src"));
    let modules = files.iter().map(|file| module_of(&relative(file)));
    let modules: BTreeSet<String> = modules.collect();
    let named_by = |file: &PathBuf| {
        let module = module_of(&relative(file));
        let code = code(file).replace("self::", &format!("crate::{module}::"));
        let paths = named(&code).into_iter();
        // `pub(in crate::hub)` says who may see something.
        let is_around =
            |path: &[&str]| format!("{module}::").starts_with(&(path.join("::") + "::"));
        let paths = paths.filter(|path| !is_around(path));
        let named = paths.filter_map(|path| file_of(&path, &modules));
        let named = named.filter(|each| *each != module).collect();
        (module, named)
    };
    files.iter().map(named_by).collect()
}

/// All that a module names, and what that names, and so on.
fn reached(from: &str, arrows: &Arrows) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from.to_owned()];
    while let Some(module) = next.pop() {
        let named = arrows.get(&module).into_iter().flatten();
        next.extend(named.filter(|&each| reached.insert(each.clone())).cloned());
    }
    reached
}

#[test]
fn files_name_each_other_in_no_circle() {
    let arrows = arrows();
    for module in arrows.keys() {
        let reached = reached(module, &arrows);
        if !reached.contains(module) {
            continue;
        }
        let with = reached.iter().filter(|other| {
            let back = self::reached(other, &arrows);
            back.contains(module)
        });
        panic!("{module} is in a circle: {:?}", with.collect::<Vec<_>>());
    }
}
