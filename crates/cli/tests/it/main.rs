//! The program's behaviour: settings, those of its allocator, signals, logs, what it costs of the machine,
//! clients that are not ours, and what the README and `docs/` say.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod allocator;
mod clients;
mod descriptors;
mod documents;
mod logs;
mod memory;
mod panics;
mod process;
mod readme;
mod signals;
mod system_calls;
