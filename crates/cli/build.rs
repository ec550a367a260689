//! Compiles the settings of the program's allocator.

fn main() {
    println!("cargo::rerun-if-changed=src/allocator.c");
    cc::Build::new()
        .file("src/allocator.c")
        // Nothing asks for it by name: jemalloc has a weak symbol of its own.
        .link_lib_modifier("+whole-archive")
        .compile("allocator");
}
