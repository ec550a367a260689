//! What keeps work, memory and time within bounds: the time that a step has ([`allowance`]), the memory
//! that all clients may make the server hold ([`budget`]) with what a shard has of it ([`ledger`]), the
//! [`publisher_queue`] that publishers wait in, and the time for a drain ([`drain_time`]).

pub(crate) mod allowance;
pub(crate) mod budget;
pub(crate) mod drain_time;
pub(crate) mod ledger;
pub(crate) mod publisher_queue;
