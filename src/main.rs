//! The `framecast` program.

fn main() {}
