//! Bounds of work, memory and time: the time of a step ([`allowance`]), the memory that all clients
//! together may make the server hold ([`budget`]) and the part that one shard holds ([`ledger`]),
//! the queue in which publishers wait ([`publisher_queue`]), and the time for a drain
//! ([`drain_time`]).

pub(crate) mod allowance;
pub(crate) mod budget;
pub(crate) mod drain_time;
pub(crate) mod ledger;
pub(crate) mod publisher_queue;
