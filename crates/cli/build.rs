//! Compiles `allocator.c`, the settings of jemalloc, and links them into the program.

fn main() {
    println!("cargo::rerun-if-changed=src/allocator.c");
    cc::Build::new()
        .file("src/allocator.c")
        // Without this the linker drops the object: jemalloc's own weak symbol already satisfies
        // the only reference to it.
        .link_lib_modifier("+whole-archive")
        .compile("allocator");
}
