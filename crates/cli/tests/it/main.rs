//! Tests of the program: its settings and those of its allocator, signals, logs, panics, its use of
//! memory, descriptors and system calls, the addresses that it tries, clients and proxies by
//! others, and what the README and `docs/` say.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod addresses;
mod allocator;
mod clients;
mod connect_options;
mod descriptors;
mod documents;
mod log_lines;
mod logs;
mod memory;
mod panics;
mod process;
mod proxies;
mod readme;
mod signals;
mod system_calls;
